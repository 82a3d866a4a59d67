"""The graphics card's side of :mod:`point2act.splat.render`: gsplat's kernels, versions 1.4 and 1.5.

gsplat's parts are called one by one rather than through ``gsplat.rasterization``, so that the centres
in pixels are a tensor of their own, whose gradient can be asked for, and depth is one more channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from gsplat import fully_fused_projection, isect_offset_encode, isect_tiles, rasterize_to_pixels
from jaxtyping import Float, Int32
from torch import Tensor

from point2act.types import Camera

TILE = 16
CHANNELS = 32
"""Channels drawn in one go: gsplat's own ``channel_chunk``, bounded by shared memory."""


@dataclass(frozen=True, eq=False)
class Projected:
    """Gaussians on the image plane."""

    means2d: Float[Tensor, "n 2"]
    conics: Float[Tensor, "n 3"]
    depths: Float[Tensor, " n"]
    radii: Int32[Tensor, " n"]
    tile_radii: Tensor
    """As gsplat gave them: (1, n) from version 1.4, (1, n, 2) from 1.5."""


def project(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
) -> Projected:
    """Gaussians in the world to Gaussians on the image plane; opacities are not needed here."""
    K = torch.tensor(camera.K, dtype=torch.float32, device=means.device)
    radii, means2d, depths, conics, _ = fully_fused_projection(
        means, None, quats, scales, T_cam_world[None], K[None], camera.width, camera.height
    )
    largest = radii if radii.dim() == 2 else radii.amax(dim=-1)
    return Projected(means2d[0], conics[0], depths[0], largest[0].int(), radii)


def rasterize(
    projected: Projected, opacities: Float[Tensor, " n"], features: Float[Tensor, "n c"], camera: Camera
) -> tuple[Float[Tensor, "h w c"], Float[Tensor, "h w"]]:
    """Gaussians on the image plane to accumulated features and alpha."""
    means2d, conics = projected.means2d[None], projected.conics[None]
    tiles_x, tiles_y = -(-camera.width // TILE), -(-camera.height // TILE)
    _, meetings, members = isect_tiles(
        means2d.detach(), projected.tile_radii, projected.depths[None].detach(), TILE, tiles_x, tiles_y
    )
    offsets = isect_offset_encode(meetings, 1, tiles_x, tiles_y).reshape(1, tiles_y, tiles_x)
    pictures, alpha = [], None
    for some in features.split(CHANNELS, dim=1):
        picture, alpha = rasterize_to_pixels(
            means2d, conics, some[None], opacities[None], camera.width, camera.height, TILE, offsets, members
        )
        pictures.append(picture[0])
    assert alpha is not None, "render always draws depth, so there is a channel"
    return torch.cat(pictures, dim=-1), alpha[0, ..., 0]


def gather(
    projected: Projected, opacities: Float[Tensor, " n"], maps: Float[Tensor, "h w q"], camera: Camera
) -> Float[Tensor, "n q+1"]:
    """Blending weights times maps, and in the last column weights alone, summed over the pixels.

    A picture is linear in the features, so this is the gradient of the sum of picture times maps.
    """
    upstream = torch.cat([maps, torch.ones_like(maps[..., :1])], dim=-1)
    with torch.enable_grad():
        features = torch.zeros(len(opacities), upstream.shape[-1], device=maps.device, requires_grad=True)
        picture, _ = rasterize(projected, opacities, features, camera)
        return torch.autograd.grad(picture, features, upstream)[0]
