"""CPU backend of ``splatting.render``: torch functions around the numba kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.autograd.function import once_differentiable

from point2act.core.types import Camera
from point2act.splatting.cpu import project_kernels, raster_kernels, tile_kernels
from point2act.splatting.cpu.project_kernels import Gaussians, ImageGaussians, Lens
from point2act.splatting.cpu.tile_kernels import Splats, Tiles
from point2act.splatting.gaussians import Projection

_LOCK = threading.Lock()
"""Runs one kernel at a time: numba's basic thread pool aborts when two threads start parallel work."""


@dataclass(frozen=True, eq=False)
class NumbaProjection(Projection):
    """Projection with the inputs of the kernels; see ``tile_kernels`` for shapes and extents."""

    shapes: Float32[Tensor, "n 3"]
    extent: Float32[np.ndarray, "n 3"]
    tiles: Tiles


def project(
    means: Float32[Tensor, "n 3"],
    quats: Float32[Tensor, "n 4"],
    scales: Float32[Tensor, "n 3"],
    opacities: Float32[Tensor, " n"],
    T_cam_world: Float32[Tensor, "4 4"],
    camera: Camera,
) -> NumbaProjection:
    """Project Gaussians to the image plane and assign them to tiles."""
    values = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    outputs = _Project.apply(means, quats, scales, T_cam_world, opacities.detach(), Lens(*map(float, values)))
    means2d, shapes, depths, radii, extent = outputs
    extent = extent.numpy()
    tiles = _tiles(_splats(means2d, shapes, opacities, extent), _array(depths), camera)
    return NumbaProjection(camera, T_cam_world, opacities, means2d, depths, radii, shapes, extent, tiles)


def rasterize(
    projection: NumbaProjection, features: Float32[Tensor, "n c"]
) -> tuple[Float32[Tensor, "h w c"], Float32[Tensor, "h w"]]:
    """Return blended features and alpha."""
    return _Rasterize.apply(
        projection.means2d,
        projection.shapes,
        projection.opacities,
        features,
        projection.extent,
        projection.tiles,
        projection.camera,
    )


def gather(projection: NumbaProjection, maps: Float32[Tensor, "h w q"]) -> Float32[Tensor, "n q+1"]:
    """Sum blending weights times maps over the pixels, and in the last column the weights alone."""
    return _gather(raster_kernels.gather, projection, maps, maps.shape[2] + 1)


def gather_maps(projection: NumbaProjection, maps: Float32[Tensor, "h w q"]) -> Float32[Tensor, "n q"]:
    """Do the same without the last column, bit for bit; tiles in which all maps are 0 are skipped."""
    return _gather(raster_kernels.gather_nonzero, projection, maps, maps.shape[2])


def _gather(kernel: Callable[..., Any], projection: NumbaProjection, maps: Tensor, columns: int) -> Tensor:
    splats = _splats(projection.means2d, projection.shapes, projection.opacities, projection.extent)
    records = np.zeros((len(projection.tiles.members), maps.shape[2] + 1), np.float32)
    totals = np.empty((len(projection.opacities), columns), np.float32)
    _run(kernel, splats, projection.tiles, _array(maps), records)
    _run(raster_kernels.sum_columns, projection.tiles.slot_start, records, totals)
    return torch.from_numpy(totals)


def _run(kernel: Callable[..., Any], *arguments: Any) -> Any:
    with _LOCK:
        return kernel(*arguments)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _splats(means2d: Tensor, shapes: Tensor, opacities: Tensor, extent: np.ndarray) -> Splats:
    return Splats(_array(means2d), _array(shapes), _array(opacities), extent)


def _tiles(splats: Splats, depths: np.ndarray, camera: Camera) -> Tiles:
    order = _run(tile_kernels.sort_by_depth, depths, splats.extent)
    tiles_x = -(-camera.width // tile_kernels.WIDTH)
    tiles_y = -(-camera.height // tile_kernels.HEIGHT)
    return _run(tile_kernels.bin_tiles, order, splats, tiles_x, tiles_y)


class _Project(torch.autograd.Function):
    """Projection with gradients for centres, shapes and depths; none for radii and extents."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        means, quats, scales, pose, opacities, lens = inputs
        gaussians = Gaussians(_array(means), _array(quats), _array(scales))
        T, n = _array(pose).astype(np.float64), len(means)
        projected = ImageGaussians(*(np.zeros(shape, np.float32) for shape in ((n, 2), (n, 3), (n,))))
        radii, extent = np.zeros(n, np.int32), np.zeros((n, 3), np.float32)
        kernel = project_kernels.project_forward
        _run(kernel, gaussians, _array(opacities), T, lens, projected, radii, extent)
        ctx.save_for_backward(means, quats, scales, pose)
        ctx.plan = (lens, projected.shapes, radii)
        outputs = tuple(map(torch.from_numpy, (*projected, radii, extent)))
        ctx.mark_non_differentiable(*outputs[3:])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        *gaussians, pose = map(_array, ctx.saved_tensors)
        v_gaussians = Gaussians(*map(np.zeros_like, gaussians))
        v_projected = ImageGaussians(*map(_array, gradients[:3]))
        v_poses = np.zeros((-(-len(v_gaussians.means) // project_kernels.BLOCK), 3, 4))
        kernel, T = project_kernels.project_backward, pose.astype(np.float64)
        _run(kernel, Gaussians(*gaussians), T, *ctx.plan, v_projected, v_gaussians, v_poses)
        v_pose = np.zeros((4, 4), np.float32)
        v_pose[:3] = v_poses.sum(axis=0)
        return *map(torch.from_numpy, (*v_gaussians, v_pose)), None, None


class _Rasterize(torch.autograd.Function):
    """Rasterisation with gradients."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        means2d, shapes, opacities, features, extent, tiles, camera = inputs
        splats = _splats(means2d, shapes, opacities, extent)
        image = np.empty((camera.height, camera.width, features.shape[1]), np.float32)
        transmittance, last = (np.empty((camera.height, camera.width, 1), np.float32) for _ in range(2))
        _run(raster_kernels.draw, splats, _array(features), tiles, image, transmittance, last)
        ctx.save_for_backward(means2d, shapes, opacities, features)
        ctx.plan = (extent, tiles, transmittance, last)
        return torch.from_numpy(image), torch.from_numpy(1 - transmittance[..., 0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        means2d, shapes, opacities, features = ctx.saved_tensors
        extent, tiles, *drawn = ctx.plan
        splats = _splats(means2d, shapes, opacities, extent)
        v_image, v_alpha = map(_array, gradients)
        pixels = (*drawn, v_image, v_alpha[..., None])
        records = np.zeros((len(tiles.members), features.shape[1] + raster_kernels.MOMENTS), np.float32)
        _run(raster_kernels.differentiate, splats, _array(features), tiles, *pixels, records)
        outputs = [np.empty(tensor.shape, np.float32) for tensor in ctx.saved_tensors]
        _run(raster_kernels.sum_moments, splats, tiles.slot_start, records, *outputs[:3])
        _run(raster_kernels.sum_columns, tiles.slot_start, records, outputs[3])
        return *map(torch.from_numpy, outputs), None, None, None
