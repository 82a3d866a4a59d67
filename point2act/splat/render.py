"""Draw Gaussians: differentiable splatting with one function and two backends."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from point2act.types import Camera


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture, and what was found on the way."""

    features: Float[Tensor, "h w c"]
    """Blended, on the background if there is one."""
    depth: Float[Tensor, "h w"]
    """Mean z-depth, weighted as the features are; 0 where alpha is 0."""
    alpha: Float[Tensor, "h w"]
    """How much of the background is hidden."""
    means2d: Float[Tensor, "n 2"]
    """The centres in pixels. Call ``means2d.retain_grad()`` before going backward to get their gradient."""
    depths: Float[Tensor, " n"]
    """The centres' z-depths."""
    radii: Int32[Tensor, " n"]
    """Three standard deviations along the longer axis, in pixels; 0 for a Gaussian that is not drawn."""


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
    """Draw Gaussians with any number of features, none included, as a camera sees them.

    ``quats`` are wxyz of any length but zero, ``scales`` standard deviations in metres, opacities in
    [0, 1]. Differentiable with respect to all tensors. Computes in float32, on the graphics card when
    the means are there, else on the processor.
    """
    tensors = [tensor.to(torch.float32) for tensor in (means, quats, scales, opacities, features)]
    means, quats, scales, opacities, features = tensors
    backend = _backend(means.device)
    projected = backend.project(means, quats, scales, opacities, T_cam_world.to(means), camera)
    channels = torch.cat([features, projected.depths[:, None]], dim=1)
    picture, alpha = backend.rasterize(projected, opacities, channels, camera)
    depth = picture[..., -1] / alpha.clamp_min(1e-6)
    picture = picture[..., :-1]
    if background is not None:
        picture = picture + (1 - alpha)[..., None] * background.to(picture)
    return Rendered(picture, depth, alpha, projected.means2d, projected.depths, projected.radii)


def gather(
    means: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
    T_cam_world: Float[Tensor, "4 4"],
    camera: Camera,
    maps: Float[Tensor, "h w q"],
) -> tuple[Float[Tensor, "n q"], Float[Tensor, " n"]]:
    """Bring maps of an image back to the Gaussians that drew it.

    Returns, for each Gaussian, the sum over pixels of its blending weight times each map, and the sum
    of its blending weights. Their quotient is the closed form of lifting a map to Gaussians; the
    first is also the gradient of ``(render(...).features * maps).sum()`` for the features. Without
    gradients itself.
    """
    with torch.no_grad():
        tensors = [tensor.to(torch.float32) for tensor in (means, quats, scales, opacities)]
        backend = _backend(means.device)
        projected = backend.project(*tensors, T_cam_world.to(tensors[0]), camera)
        totals = backend.gather(projected, tensors[3], maps.to(tensors[0]), camera)
    return totals[:, :-1], totals[:, -1]


def _backend(device: torch.device) -> ModuleType:
    if device.type == "cuda":
        from point2act.splat import gsplat_backend

        return gsplat_backend
    from point2act.splat import numba_backend

    return numba_backend
