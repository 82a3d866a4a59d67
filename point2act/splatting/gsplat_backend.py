"""CUDA backend of ``splatting.render``: gsplat's kernels, versions 1.4 and 1.5.

gsplat's functions are called one by one in place of ``gsplat.rasterization``, so that the projected centres
are a tensor of their own, whose gradient is available, and depth is one more channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from gsplat import fully_fused_projection, isect_offset_encode, isect_tiles, rasterize_to_pixels
from jaxtyping import Float, Int32
from torch import Tensor

from point2act.core.types import Camera
from point2act.splatting.gaussians import Projection

TILE = 16
CHANNELS = 32
"""Maximum number of channels per kernel call: gsplat's ``channel_chunk``, bounded by shared memory."""


@dataclass(frozen=True, eq=False)
class GsplatProjection(Projection):
    """Projection with the inputs of gsplat's rasteriser."""

    conics: Float[Tensor, "n 3"]
    offsets: Int32[Tensor, "1 tiles_y tiles_x"]
    """Index of each tile's first Gaussian among the members."""
    members: Int32[Tensor, " pairs"]
    """Gaussians of all tiles, front to back within each."""


def project(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
) -> GsplatProjection:
    """Project Gaussians to the image plane and assign them to tiles."""
    K = torch.tensor(camera.K, dtype=torch.float32, device=means.device)
    # The radii are (1, n) in version 1.4, (1, n, 2) in 1.5.
    radii, means2d, depths, conics, _ = fully_fused_projection(
        means, None, quats, scales, T_cam_world[None], K[None], camera.width, camera.height
    )
    tiles_x, tiles_y = -(-camera.width // TILE), -(-camera.height // TILE)
    _, pairs, members = isect_tiles(means2d.detach(), radii, depths.detach(), TILE, tiles_x, tiles_y)
    offsets = isect_offset_encode(pairs, 1, tiles_x, tiles_y).reshape(1, tiles_y, tiles_x)
    largest = radii[0] if radii.dim() == 2 else radii[0].amax(dim=-1)
    common = (opacities, means2d[0], depths[0], largest.int())
    return GsplatProjection(camera, T_cam_world, *common, conics[0], offsets, members)


def rasterize(
    projection: GsplatProjection, features: Float[Tensor, "n c"]
) -> tuple[Float[Tensor, "h w c"], Float[Tensor, "h w"]]:
    """Return blended features and alpha."""
    gaussians = (projection.means2d[None], projection.conics[None])
    frame = (projection.camera.width, projection.camera.height, TILE, projection.offsets, projection.members)
    images, alpha = [], None
    for chunk in features.split(CHANNELS, dim=1):
        image, alpha = rasterize_to_pixels(*gaussians, chunk[None], projection.opacities[None], *frame)
        images.append(image[0])
    assert alpha is not None, "render always adds a depth channel"
    return torch.cat(images, dim=-1), alpha[0, ..., 0]


def gather(projection: GsplatProjection, maps: Float[Tensor, "h w q"]) -> Float[Tensor, "n q+1"]:
    """Sum blending weights times maps over the pixels, and in the last column the weights alone."""
    return gather_maps(projection, torch.cat([maps, maps.new_ones((*maps.shape[:2], 1))], dim=-1))


def gather_maps(projection: GsplatProjection, maps: Float[Tensor, "h w q"]) -> Float[Tensor, "n q"]:
    """Sum blending weights times maps over the pixels.

    An image is linear in the features, so this is the gradient of the sum of image times maps.
    """
    features = torch.zeros(len(projection.opacities), maps.shape[-1], device=maps.device)
    if not maps.shape[-1]:
        return features  # gsplat draws at least one channel
    with torch.enable_grad():
        image, _ = rasterize(projection, features.requires_grad_())
        return torch.autograd.grad(image, features, maps)[0]
