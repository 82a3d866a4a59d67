"""The graphics card's side of ``splatting.render``: gsplat's kernels, versions 1.4 and 1.5.

gsplat's parts are called one by one rather than through ``gsplat.rasterization``, so that the centres
in pixels are a tensor of their own, whose gradient can be asked for, and depth is one more channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from gsplat import fully_fused_projection, isect_offset_encode, isect_tiles, rasterize_to_pixels
from jaxtyping import Float, Int32
from torch import Tensor

from point2act.core.types import Camera
from point2act.splatting.projection import Projection

TILE = 16
CHANNELS = 32
"""Channels drawn in one go: gsplat's own ``channel_chunk``, bounded by shared memory."""


@dataclass(frozen=True, eq=False)
class GsplatProjection(Projection):
    """What a camera sees, with what gsplat needs to draw it."""

    conics: Float[Tensor, "n 3"]
    offsets: Int32[Tensor, "1 tiles_y tiles_x"]
    """Where each tile's Gaussians begin among the members."""
    members: Int32[Tensor, " meetings"]


def project(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
) -> GsplatProjection:
    """Gaussians in the world to Gaussians on the image plane and the tiles they touch."""
    K = torch.tensor(camera.K, dtype=torch.float32, device=means.device)
    # The radii are (1, n) in version 1.4, (1, n, 2) in 1.5.
    radii, means2d, depths, conics, _ = fully_fused_projection(
        means, None, quats, scales, T_cam_world[None], K[None], camera.width, camera.height
    )
    tiles_x, tiles_y = -(-camera.width // TILE), -(-camera.height // TILE)
    _, meetings, members = isect_tiles(means2d.detach(), radii, depths.detach(), TILE, tiles_x, tiles_y)
    offsets = isect_offset_encode(meetings, 1, tiles_x, tiles_y).reshape(1, tiles_y, tiles_x)
    largest = radii[0] if radii.dim() == 2 else radii[0].amax(dim=-1)
    seen = (opacities, means2d[0], depths[0], largest.int())
    return GsplatProjection(camera, T_cam_world, *seen, conics[0], offsets, members)


def rasterize(
    projection: GsplatProjection, features: Float[Tensor, "n c"]
) -> tuple[Float[Tensor, "h w c"], Float[Tensor, "h w"]]:
    """Gaussians on the image plane to accumulated features and alpha."""
    gaussians = (projection.means2d[None], projection.conics[None])
    frame = (projection.camera.width, projection.camera.height, TILE, projection.offsets, projection.members)
    pictures, alpha = [], None
    for some in features.split(CHANNELS, dim=1):
        picture, alpha = rasterize_to_pixels(*gaussians, some[None], projection.opacities[None], *frame)
        pictures.append(picture[0])
    assert alpha is not None, "render always draws depth, so there is a channel"
    return torch.cat(pictures, dim=-1), alpha[0, ..., 0]


def gather(projection: GsplatProjection, maps: Float[Tensor, "h w q"]) -> Float[Tensor, "n q+1"]:
    """Blending weights times maps, and in the last column weights alone, summed over the pixels."""
    return gather_maps(projection, torch.cat([maps, torch.ones_like(maps[..., :1])], dim=-1))


def gather_maps(projection: GsplatProjection, maps: Float[Tensor, "h w q"]) -> Float[Tensor, "n q"]:
    """Blending weights times maps, summed over the pixels.

    A picture is linear in the features, so this is the gradient of the sum of picture times maps.
    """
    features = torch.zeros(len(projection.opacities), maps.shape[-1], device=maps.device)
    if not maps.shape[-1]:
        return features  # gsplat draws at least one channel
    with torch.enable_grad():
        picture, _ = rasterize(projection, features.requires_grad_())
        return torch.autograd.grad(picture, features, maps)[0]
