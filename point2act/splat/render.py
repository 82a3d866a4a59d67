"""Draw Gaussians: differentiable splatting with one function and two backends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from point2act.splat import project_kernels, raster_kernels
from point2act.types import Camera


@dataclass(frozen=True, eq=False)
class Rendered:
    """One picture and what was found on the way."""

    features: Float[Tensor, "h w c"]
    depth: Float[Tensor, "h w"]
    """Mean z-depth, weighted as the features are; 0 where alpha is 0."""
    alpha: Float[Tensor, "h w"]
    means2d: Float[Tensor, "n 2"]
    """Pixels; zero behind the camera. Call ``retain_grad()`` on it for gradients in pixels."""
    depths: Float[Tensor, " n"]
    """z-depth of every Gaussian's centre, whether drawn or not."""
    radii: Int32[Tensor, " n"]
    """Three standard deviations along the longer axis, in pixels; 0 if the Gaussian is not drawn."""


def render(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    features: Float[Tensor, "n c"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
    *,
    background: Float[Tensor, " c"] | None = None,
) -> Rendered:
    """Draw Gaussians as a camera sees them, with gradients for all six tensors."""
    pose = T_cam_world.to(device=means.device, dtype=torch.float32)
    means, quats, scales, opacities, features = (
        tensor.to(torch.float32) for tensor in (means, quats, scales, opacities, features)
    )
    project, rasterize = _backend(means)
    splats = project(means, quats, scales, opacities, pose, camera)
    channels = torch.cat([features, splats.depths[:, None]], dim=1)
    image, alpha = rasterize(splats, opacities, channels, camera)
    picture = image[..., :-1]
    if background is not None:
        picture = picture + (1 - alpha)[..., None] * background
    depth = image[..., -1] / alpha.clamp_min(1e-10)
    return Rendered(picture, depth, alpha, splats.means2d, splats.depths, splats.radii)


def gather(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
    maps: Float[Tensor, "h w q"],
) -> tuple[Float[Tensor, "n q"], Float[Tensor, " n"]]:
    """Sum what each Gaussian contributes to the picture, weighted by maps, and alone."""
    with torch.no_grad():
        pose = T_cam_world.to(torch.float32)
        means, quats, scales, opacities, maps = (
            tensor.to(torch.float32) for tensor in (means, quats, scales, opacities, maps)
        )
        splats = _project_cpu(means, quats, scales, opacities, pose, camera)
        m, s, o = _array(splats.means2d), _array(splats.shapes), _array(opacities)
        tile_start, members, slots, slot_start = _bin(splats, m, s, camera)
        queries = maps.shape[2]
        records = np.zeros((len(members), queries + 1), np.float32)
        raster_kernels.gather_tiles(m, s, o, splats.reach, tile_start, members, slots, _array(maps), records)
        totals = np.empty((len(m), queries + 1), np.float32)
        raster_kernels.sum_gathered(slot_start, records, totals)
        result = torch.from_numpy(totals)
        return result[:, :-1], result[:, -1]


@dataclass(frozen=True, eq=False)
class _Splats:
    means2d: Tensor
    shapes: Tensor
    depths: Tensor
    radii: Tensor
    reach: Any


def _backend(means: Tensor) -> Any:
    return _project_cpu, _rasterize_cpu


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _lens(camera: Camera) -> tuple[float, ...]:
    values = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return tuple(float(value) for value in values)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        pose: Tensor,
        camera: Camera,
    ) -> Any:
        inputs = [_array(tensor) for tensor in (means, quats, scales)]
        T = _array(pose).astype(np.float64)
        n = len(means)
        means2d, shapes = np.zeros((n, 2), np.float32), np.zeros((n, 3), np.float32)
        depths, reach, radii = np.zeros(n, np.float32), np.zeros((n, 4), np.float32), np.zeros(n, np.int32)
        project_kernels.project_forward(
            *inputs, _array(opacities), T, _lens(camera), means2d, shapes, depths, reach, radii
        )
        ctx.inputs, ctx.T, ctx.lens, ctx.shapes, ctx.radii = inputs, T, _lens(camera), shapes, radii
        outputs = tuple(torch.from_numpy(array) for array in (means2d, shapes, depths, reach, radii))
        ctx.mark_non_differentiable(*outputs[3:])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        v_means2d, v_shapes, v_depths = (_array(gradient) for gradient in gradients[:3])
        outputs = [np.zeros_like(array) for array in ctx.inputs]
        blocks = -(-len(ctx.radii) // project_kernels.BLOCK)
        v_poses = np.zeros((blocks, 3, 4))
        project_kernels.project_backward(
            *ctx.inputs,
            ctx.T,
            ctx.lens,
            ctx.shapes,
            ctx.radii,
            v_means2d,
            v_shapes,
            v_depths,
            *outputs,
            v_poses,
        )
        v_pose = np.zeros((4, 4), np.float32)
        v_pose[:3] = v_poses.sum(axis=0)
        v_means, v_quats, v_scales = (torch.from_numpy(array) for array in outputs)
        return v_means, v_quats, v_scales, None, torch.from_numpy(v_pose), None


def _project_cpu(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, pose: Tensor, camera: Camera
) -> _Splats:
    means2d, shapes, depths, reach, radii = _Project.apply(means, quats, scales, opacities, pose, camera)
    return _Splats(means2d, shapes, depths, radii, reach.numpy())


def _bin(splats: _Splats, means2d: np.ndarray, shapes: np.ndarray, camera: Camera) -> Any:
    order = raster_kernels.sort_by_depth(_array(splats.depths), splats.reach)
    tiles_x, tiles_y = (-(-side // raster_kernels.TILE) for side in (camera.width, camera.height))
    return raster_kernels.bin_tiles(order, means2d, shapes, splats.reach, tiles_x, tiles_y)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        means2d: Tensor,
        shapes: Tensor,
        opacities: Tensor,
        channels: Tensor,
        splats: _Splats,
        camera: Camera,
    ) -> Any:
        inputs = [_array(means2d), _array(shapes), _array(opacities), splats.reach, _array(channels)]
        tile_start, members, slots, slot_start = _bin(splats, inputs[0], inputs[1], camera)
        height, width = camera.height, camera.width
        image = np.empty((height, width, channels.shape[1]), np.float32)
        transmittance = np.empty((height, width), np.float32)
        last = np.empty((height, width), np.int32)
        raster_kernels.rasterize_forward(*inputs, tile_start, members, image, transmittance, last)
        ctx.inputs, ctx.state = inputs, (tile_start, members, slots, transmittance, last)
        ctx.slot_start = slot_start
        return torch.from_numpy(image), torch.from_numpy(1 - transmittance)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        v_image, v_alpha = (_array(gradient) for gradient in gradients)
        means2d, shapes, opacities, _, channels = ctx.inputs
        records = np.zeros((len(ctx.state[1]), channels.shape[1] + raster_kernels.MOMENTS), np.float32)
        raster_kernels.rasterize_backward(*ctx.inputs, *ctx.state, v_image, v_alpha, records)
        outputs = [np.empty_like(array) for array in (channels, means2d, shapes, opacities)]
        raster_kernels.sum_records(shapes, opacities, ctx.slot_start, records, *outputs)
        v_channels, v_means2d, v_shapes, v_opacities = (torch.from_numpy(array) for array in outputs)
        return v_means2d, v_shapes, v_opacities, v_channels, None, None


def _rasterize_cpu(splats: _Splats, opacities: Tensor, channels: Tensor, camera: Camera) -> Any:
    return _Rasterize.apply(splats.means2d, splats.shapes, opacities, channels, splats, camera)
