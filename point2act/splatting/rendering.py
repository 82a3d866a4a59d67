"""Renderings of a frozen scene from a view, as numpy arrays for reports, grasps and measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from point2act.core.types import RelevancyField, View
from point2act.splatting.gaussians import FrozenGaussians, Projection, colors
from point2act.splatting.render import draw, project_gaussians


@dataclass(frozen=True, eq=False)
class RenderedSurface:
    """Depth and coverage of a scene, rendered from one view."""

    depth: Float[np.ndarray, "h w"]
    """Expected z-depth in the scene's unit, 0 where no Gaussian is drawn."""
    alpha: Float[np.ndarray, "h w"]
    """Opacity accumulated along each pixel's ray."""


@dataclass(frozen=True, eq=False)
class RenderedView(RenderedSurface):
    """Colour, depth, coverage and relevancy of a scene, rendered from one view."""

    rgb: Float[np.ndarray, "h w 3"]
    """Colours in [0, 1]."""
    relevancy: Float[np.ndarray, "h w q"]
    """Relevancy of the surface in [0, 1], one channel per query."""


def project_view(view: View, frozen: FrozenGaussians) -> Projection:
    """Project a frozen scene into a view's camera."""
    pose = torch.tensor(view.T_cam_world, dtype=torch.float32, device=frozen.gaussians.means.device)
    return project_gaussians(frozen.gaussians, pose, view.camera)


def render_surface(projection: Projection) -> RenderedSurface:
    """Render depth and coverage alone."""
    image = draw(projection, projection.depths.new_zeros(len(projection.depths), 0))
    return RenderedSurface(depth=image.depth.cpu().numpy(), alpha=image.alpha.cpu().numpy())


def render_view(
    projection: Projection, frozen: FrozenGaussians, *, relevancy: RelevancyField | None = None
) -> RenderedView:
    """Render colour, depth, coverage and each query's relevancy of a projected scene.

    Args:
        projection: Projection of ``frozen``, from ``project_view``.
        frozen: Scene with its colours.
        relevancy: One number per Gaussian and query; none renders no relevancy channel.
    """
    features = colors(frozen.parameters, torch.linalg.inv(projection.T_cam_world), degree=frozen.degree)
    if relevancy is not None:
        features = torch.cat([features, torch.as_tensor(relevancy.values).to(features)], dim=1)
    image = draw(projection, features)
    drawn, depth, alpha = (t.cpu().numpy() for t in (image.features, image.depth, image.alpha))
    return RenderedView(
        depth=depth,
        alpha=alpha,
        rgb=np.clip(drawn[..., :3], 0.0, 1.0),
        # Divided by alpha, for the relevancy of the surface and not of the partly covered pixel.
        relevancy=drawn[..., 3:] / np.maximum(alpha, 1e-3)[..., None],
    )
