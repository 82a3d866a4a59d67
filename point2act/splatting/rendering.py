"""Pictures of a scene from a view, as numpy: what people, grasps and reports look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from point2act.core.types import RelevancyField, View
from point2act.splatting.gaussians import FrozenGaussians, colors
from point2act.splatting.projection import Projection
from point2act.splatting.render import draw, project_gaussians


@dataclass(frozen=True, eq=False)
class RenderedSurface:
    """Where a scene's surface is, seen from one view."""

    depth: Float[np.ndarray, "h w"]
    """Expected z-depth in the scene's unit, 0 where no Gaussian is."""
    alpha: Float[np.ndarray, "h w"]
    """How much of the pixel Gaussians cover."""


@dataclass(frozen=True, eq=False)
class RenderedView:
    """A scene seen from one view."""

    rgb: Float[np.ndarray, "h w 3"]
    """In [0, 1]."""
    depth: Float[np.ndarray, "h w"]
    """Expected z-depth in the scene's unit, 0 where no Gaussian is."""
    alpha: Float[np.ndarray, "h w"]
    relevancy: Float[np.ndarray, "h w q"]
    """Of the surface, one channel per query, in [0, 1]."""


def project_view(view: View, frozen: FrozenGaussians) -> Projection:
    """What a view's camera sees of a scene."""
    pose = torch.tensor(view.T_cam_world, dtype=torch.float32, device=frozen.gaussians.means.device)
    return project_gaussians(frozen.gaussians, pose, view.camera)


def render_surface(projection: Projection) -> RenderedSurface:
    """Draw depth and coverage alone."""
    image = draw(projection, projection.depths.new_zeros(len(projection.depths), 0))
    return RenderedSurface(depth=image.depth.cpu().numpy(), alpha=image.alpha.cpu().numpy())


def render_view(
    projection: Projection, frozen: FrozenGaussians, *, relevancy: RelevancyField | None = None
) -> RenderedView:
    """Draw colour, depth, coverage and each query's relevancy of the scene that was looked at."""
    features = colors(frozen.parameters, torch.linalg.inv(projection.T_cam_world), degree=frozen.degree)
    if relevancy is not None:
        features = torch.cat([features, torch.as_tensor(relevancy.values).to(features)], dim=1)
    image = draw(projection, features)
    drawn, depth, alpha = (t.cpu().numpy() for t in (image.features, image.depth, image.alpha))
    return RenderedView(
        rgb=np.clip(drawn[..., :3], 0.0, 1.0),
        depth=depth,
        alpha=alpha,
        # Of the surface, not of the pixel: thin coverage must not look irrelevant.
        relevancy=drawn[..., 3:] / np.maximum(alpha, 1e-3)[..., None],
    )
