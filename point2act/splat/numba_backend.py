"""The processor's side of :mod:`point2act.splat.render`: torch tensors in, numba kernels, tensors out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int32
from torch import Tensor

from point2act.splat import project_kernels, raster_kernels, tile_kernels
from point2act.splat.tile_kernels import Splats, Tiles
from point2act.types import Camera

_LOCK = threading.Lock()
"""One kernel at a time: numba's plainest thread pool ends the program when two threads start work at once."""


@dataclass(frozen=True, eq=False)
class Projected:
    """Gaussians on the image plane."""

    means2d: Float32[Tensor, "n 2"]
    shapes: Float32[Tensor, "n 3"]
    depths: Float32[Tensor, " n"]
    radii: Int32[Tensor, " n"]
    reach: Float32[np.ndarray, "n 3"]


def project(
    means: Float32[Tensor, "n 3"],
    quats: Float32[Tensor, "n 4"],
    scales: Float32[Tensor, "n 3"],
    opacities: Float32[Tensor, " n"],
    T_cam_world: Float32[Tensor, "4 4"],
    camera: Camera,
) -> Projected:
    """Gaussians in the world to Gaussians on the image plane; opacities only decide what is drawn."""
    lens = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    lens = tuple(float(value) for value in lens)
    outputs = _Project.apply(means, quats, scales, T_cam_world, _array(opacities), lens)
    means2d, shapes, depths, radii, reach = outputs
    return Projected(means2d, shapes, depths, radii, reach.numpy())


def rasterize(
    projected: Projected, opacities: Float32[Tensor, " n"], features: Float32[Tensor, "n c"], camera: Camera
) -> tuple[Float32[Tensor, "h w c"], Float32[Tensor, "h w"]]:
    """Gaussians on the image plane to accumulated features and alpha."""
    return _Rasterize.apply(
        projected.means2d, projected.shapes, opacities, features, projected.reach, projected.depths, camera
    )


def gather(
    projected: Projected, opacities: Float32[Tensor, " n"], maps: Float32[Tensor, "h w q"], camera: Camera
) -> Float32[Tensor, "n q+1"]:
    """Blending weights times maps, and in the last column weights alone, summed over the pixels."""
    splats = Splats(*map(_array, (projected.means2d, projected.shapes, opacities)), projected.reach)
    tiles = _tiles(splats, _array(projected.depths), camera)
    records = np.zeros((len(tiles.members), maps.shape[2] + 1), np.float32)
    totals = np.empty((len(opacities), maps.shape[2] + 1), np.float32)
    _run(raster_kernels.gather, splats, tiles, _array(maps), records)
    _run(raster_kernels.sum_columns, tiles.slot_start, records, totals)
    return torch.from_numpy(totals)


def _run(kernel: Callable[..., Any], *arguments: Any) -> Any:
    with _LOCK:
        return kernel(*arguments)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _tiles(splats: Splats, depths: np.ndarray, camera: Camera) -> Tiles:
    order = _run(tile_kernels.sort_by_depth, depths, splats.reach)
    tiles_x, tiles_y = (-(-side // tile_kernels.TILE) for side in (camera.width, camera.height))
    return _run(tile_kernels.bin_tiles, order, splats, tiles_x, tiles_y)


class _Project(torch.autograd.Function):
    """means, quats, scales, pose -> centres, shapes, depths (and, without gradients, radii and reach)."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        *tensors, opacities, lens = inputs
        means, quats, scales, pose = (_array(tensor) for tensor in tensors)
        pose = pose.astype(np.float64)
        n = len(means)
        outputs = [np.zeros((n, 2), np.float32), np.zeros((n, 3), np.float32), np.zeros(n, np.float32)]
        radii, reach = np.zeros(n, np.int32), np.zeros((n, 3), np.float32)
        _run(
            project_kernels.project_forward,
            means,
            quats,
            scales,
            opacities,
            pose,
            lens,
            *outputs,
            radii,
            reach,
        )
        ctx.saved = (means, quats, scales, pose, lens, outputs[1], radii)
        tensors = tuple(torch.from_numpy(array) for array in (*outputs, radii, reach))
        ctx.mark_non_differentiable(*tensors[3:])
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        upstream = [_array(gradient) for gradient in gradients[:3]]
        outputs = [np.zeros_like(array) for array in ctx.saved[:3]]
        blocks = -(-len(ctx.saved[0]) // project_kernels.BLOCK)
        v_poses = np.zeros((blocks, 3, 4))
        _run(project_kernels.project_backward, *ctx.saved, *upstream, *outputs, v_poses)
        v_pose = np.zeros((4, 4), np.float32)
        v_pose[:3] = v_poses.sum(axis=0)
        return *(torch.from_numpy(array) for array in (*outputs, v_pose)), None, None


class _Rasterize(torch.autograd.Function):
    """centres, shapes, opacities, features -> picture, alpha."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Any:
        *tensors, reach, depths, camera = inputs
        centers, shapes, opacities, features = (_array(tensor) for tensor in tensors)
        splats = Splats(centers, shapes, opacities, reach)
        tiles = _tiles(splats, _array(depths), camera)
        image = np.empty((camera.height, camera.width, features.shape[1]), np.float32)
        transmittance = np.empty(image.shape[:2], np.float32)
        last = np.empty(image.shape[:2], np.int32)
        _run(raster_kernels.draw, splats, features, tiles, image, transmittance, last)
        ctx.saved = (splats, features, tiles, transmittance, last)
        return torch.from_numpy(image), torch.from_numpy(1 - transmittance)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        splats, features, tiles = ctx.saved[:3]
        records = np.zeros((len(tiles.members), features.shape[1] + raster_kernels.MOMENTS), np.float32)
        _run(raster_kernels.differentiate, *ctx.saved, *(_array(gradient) for gradient in gradients), records)
        v_features = np.empty_like(features)
        v_splats = [np.empty_like(array) for array in splats[:3]]
        _run(raster_kernels.sum_columns, tiles.slot_start, records, v_features)
        _run(raster_kernels.sum_moments, splats, tiles.slot_start, records, *v_splats)
        return *(torch.from_numpy(array) for array in (*v_splats, v_features)), None, None, None
