"""The reference: gsplat's own pure-torch path on the CPU.

gsplat ships a torch implementation of each of its CUDA kernels, but that of its rasterizer calls two
functions which exist on CUDA only. They are replaced here, compiled by numba so that they take almost no
time:

- ``gsplat.cuda._wrapper.rasterize_to_indices_in_range``, the Gaussians that contribute to each pixel;
- ``nerfacc.render_weight_from_alpha``, products along each pixel's Gaussians.

Everything else is gsplat's, and the gradients are autograd's. One of its functions, ``_isect_tiles``, is a
Python loop over every intersection of a Gaussian with a tile and takes more than half of its time:
``isect_tiles`` here lists the same intersections by array operations, so that both comparisons can be made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import nerfacc
import numpy as np
import torch
from gsplat.cuda import _torch_impl, _wrapper
from numba import njit, prange
from torch import Tensor

from point2act.core.types import Camera

TILE = 16
IsectTiles = Callable[[Tensor, Tensor, Tensor, int, int, int], tuple[Tensor, Tensor, Tensor]]


def render(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    T_cam_world: Tensor,
    camera: Camera,
    *,
    isect_tiles: IsectTiles = _torch_impl._isect_tiles,
) -> tuple[Tensor, Tensor, Tensor]:
    """Render features (h, w, c), mean depth (h, w) and alpha (h, w), as ``render`` does."""
    K = torch.tensor(camera.K, dtype=torch.float32)
    covariances, _ = _torch_impl._quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    assert covariances is not None, "they were asked for"
    radii, means2d, depths, conics, _ = _torch_impl._fully_fused_projection(
        means, covariances, T_cam_world[None], K[None], camera.width, camera.height
    )
    tiles_x, tiles_y = -(-camera.width // TILE), -(-camera.height // TILE)
    _, meetings, members = isect_tiles(means2d.detach(), radii, depths.detach(), TILE, tiles_x, tiles_y)
    offsets = _torch_impl._isect_offset_encode(meetings, 1, tiles_x, tiles_y)
    channels = torch.cat([features, depths[0][:, None]], dim=1)
    with _without_cuda():
        image, alpha = _torch_impl._rasterize_to_pixels(
            means2d,
            conics,
            channels[None],
            opacities[None],
            camera.width,
            camera.height,
            TILE,
            offsets,
            members,
        )
    alpha = alpha[0, ..., 0]
    return image[0, ..., :-1], image[0, ..., -1] / alpha.clamp_min(1e-6), alpha


@contextmanager
def _without_cuda() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(patch.object(_wrapper, "rasterize_to_indices_in_range", indices_in_range))
        stack.enter_context(patch.object(nerfacc, "render_weight_from_alpha", render_weight_from_alpha))
        yield


def isect_tiles(
    means2d: Tensor, radii: Tensor, depths: Tensor, tile_size: int, tiles_x: int, tiles_y: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what gsplat's ``_isect_tiles`` returns for one camera, without its loop.

    These are the number of tiles of each Gaussian, and for each intersection, sorted, a key of tile and
    depth, and the Gaussian.
    """
    center, radius = means2d[0] / tile_size, (radii[0] / tile_size)[:, None]
    most = torch.tensor([tiles_x, tiles_y])
    low = torch.minimum(torch.floor(center - radius).long().clamp_min(0), most)
    high = torch.minimum(torch.ceil(center + radius).long().clamp_min(0), most)
    columns, rows = ((high - low) * (radii[0] > 0)[:, None]).unbind(dim=1)
    met = columns * rows
    members = torch.repeat_interleave(torch.arange(len(met)), met)
    number = torch.arange(len(members)) - torch.repeat_interleave(torch.cumsum(met, 0) - met, met)
    row = low[members, 1] + torch.div(number, columns[members], rounding_mode="floor")
    column = low[members, 0] + number % columns[members]
    keys = ((row * tiles_x + column) << 32) | depths[0].view(torch.int32)[members].long()
    keys, order = torch.sort(keys, stable=True)
    return met[None].int(), keys, members[order].int()


# ── Gaussians that contribute to each pixel ──────────────────────────────────────────────────────
def indices_in_range(
    range_start: int, range_end: int, transmittances: Tensor, means2d: Tensor, conics: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return Gaussian, pixel and camera of each contribution, by pixel and nearest first; for one camera."""
    opacities, width, height, tile_size, offsets, members = rest
    block = tile_size * tile_size
    bounds = np.append(offsets[0].flatten().numpy(), len(members))
    first = np.minimum(bounds[:-1] + range_start * block, bounds[1:])
    last = np.minimum(bounds[:-1] + range_end * block, bounds[1:])
    means, shapes, densities = (t.detach()[0].contiguous().numpy() for t in (means2d, conics, opacities))
    through = transmittances.detach()[0].numpy()
    inputs = (first, last, members.numpy(), means, shapes, densities, through, tile_size)
    counts = np.zeros(height * width + 1, np.int64)
    nothing = np.empty(0, np.int64)
    _list_contributions(*inputs, place=counts[1:], gaussians=nothing, pixels=nothing)
    starts = np.cumsum(counts)
    gaussians, pixels = np.empty(starts[-1], np.int64), np.empty(starts[-1], np.int64)
    _list_contributions(*inputs, place=starts[:-1].copy(), gaussians=gaussians, pixels=pixels)
    return torch.from_numpy(gaussians), torch.from_numpy(pixels), torch.zeros(len(pixels), dtype=torch.long)


@njit(parallel=True, cache=True)
def _list_contributions(
    first, last, members, means, conics, opacities, through, tile_size, place, gaussians, pixels
):
    """Count contributions in ``place``; if the last two arrays have elements, write them from there on."""
    height, width = through.shape
    tiles_x = (width + tile_size - 1) // tile_size
    for tile in prange(len(first)):
        top, left = tile // tiles_x * tile_size, tile % tiles_x * tile_size
        for y in range(top, min(top + tile_size, height)):
            for x in range(left, min(left + tile_size, width)):
                pixel = y * width + x
                now = through[y, x]
                for meeting in range(first[tile], last[tile]):
                    i = members[meeting]
                    dx = np.float32(x + 0.5) - means[i, 0]
                    dy = np.float32(y + 0.5) - means[i, 1]
                    squares = conics[i, 0] * dx * dx + conics[i, 2] * dy * dy
                    sigma = np.float32(0.5) * squares + conics[i, 1] * dx * dy
                    alpha = min(np.float32(0.999), opacities[i] * np.exp(-sigma))
                    if sigma < 0 or alpha < np.float32(1 / 255):
                        continue
                    now *= np.float32(1) - alpha
                    if now <= np.float32(1e-4):
                        break
                    if len(pixels) > 0:
                        gaussians[place[pixel]] = i
                        pixels[place[pixel]] = pixel
                    place[pixel] += 1


# ── products along the pixels ────────────────────────────────────────────────────────────────────
def render_weight_from_alpha(alphas: Tensor, *, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """Return blending weights and transmittances of contributions that are sorted by pixel."""
    through = _ExclusiveProduct.apply(1 - alphas, ray_indices, n_rays)
    return through * alphas, through


class _ExclusiveProduct(torch.autograd.Function):
    """Product of all previous factors in the same ray."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor, rays: Tensor, count: int) -> Tensor:
        starts = torch.searchsorted(rays, torch.arange(count + 1)).numpy()
        products = np.empty(len(factors), np.float32)
        _products(starts, factors.detach().numpy(), products)
        ctx.save_for_backward(factors)
        ctx.plan = (starts, products)
        return torch.from_numpy(products)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (factors,) = ctx.saved_tensors
        starts, products = ctx.plan
        v_factors = np.empty(len(factors), np.float32)
        _products_gradient(
            starts, factors.detach().numpy(), products, gradients[0].contiguous().numpy(), v_factors
        )
        return torch.from_numpy(v_factors), None, None


@njit(parallel=True, cache=True)
def _products(starts, factors, products):
    for ray in prange(len(starts) - 1):
        now = np.float32(1)
        for k in range(starts[ray], starts[ray + 1]):
            products[k] = now
            now *= factors[k]


@njit(parallel=True, cache=True)
def _products_gradient(starts, factors, products, v_products, v_factors):
    for ray in prange(len(starts) - 1):
        behind = np.float32(0)
        for k in range(starts[ray + 1] - 1, starts[ray] - 1, -1):
            v_factors[k] = behind / factors[k]
            behind += v_products[k] * products[k]
