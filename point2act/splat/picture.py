"""Pictures of a scene from a view, as numpy: what people, grasps and reports look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from point2act.splat.gaussians import activated, colors, to_parameters
from point2act.splat.render import render
from point2act.types import GaussianScene, RelevancyField, View


@dataclass(frozen=True, eq=False)
class Picture:
    """A scene seen from one view."""

    rgb: Float[np.ndarray, "h w 3"]
    """In [0, 1]."""
    depth: Float[np.ndarray, "h w"]
    """Expected z-depth in the scene's unit, 0 where no Gaussian is."""
    alpha: Float[np.ndarray, "h w"]
    relevancy: Float[np.ndarray, "h w q"]
    """Of the surface, one channel per query, in [0, 1]."""


def render_view(
    scene: GaussianScene,
    view: View,
    *,
    relevancy: RelevancyField | None = None,
    device: torch.device | str = "cpu",
) -> Picture:
    """Render colour, depth, coverage and each query's relevancy from a view's camera."""
    degree = round(scene.sh.shape[1] ** 0.5) - 1
    with torch.no_grad():
        parameters = to_parameters(scene, device=device, degree=degree)
        T_world_cam = torch.tensor(view.T_world_cam, dtype=torch.float32, device=device)
        T_cam_world = torch.tensor(view.T_cam_world, dtype=torch.float32, device=device)
        features = colors(parameters, T_world_cam, degree=degree)
        if relevancy is not None:
            values = torch.tensor(relevancy.values, dtype=torch.float32, device=device)
            features = torch.cat([features, values], dim=1)
        image = render(*activated(parameters), features, T_cam_world, view.camera)
    features, depth, alpha = (t.cpu().numpy() for t in (image.features, image.depth, image.alpha))
    return Picture(
        rgb=np.clip(features[..., :3], 0.0, 1.0),
        depth=depth,
        alpha=alpha,
        # Of the surface, not of the pixel: thin coverage must not look irrelevant.
        relevancy=features[..., 3:] / np.maximum(alpha, 1e-3)[..., None],
    )
