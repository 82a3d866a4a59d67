"""Where the Gaussians start: on the depth images, on a point cloud, on triangulated features, or spread.

The better the start, the fewer steps the fit needs: from depth 20 s of fitting reach what a random
start does not reach at all. Every function here returns Gaussians in the world frame of the views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.errors import SceneError
from point2act.splat.neighbours import flatness, quaternions_from_normals, spacing, towards
from point2act.splat.surfels import Surfels, join, surfels_of_view, thin, votes
from point2act.types import GaussianScene, View

_SH_DC = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi))."""


@dataclass(frozen=True)
class StartConfig:
    """How many Gaussians to start with, and how they look."""

    target_count: int = 30_000
    """About how many Gaussians to start with where the data allow it."""
    opacity: float = 0.7
    """Of every Gaussian at the start."""
    width: float = 0.6
    """Standard deviation along the surface, as a share of the distance to the neighbours."""
    thickness: float = 0.3
    """Standard deviation along the normal, as a share of the one along the surface."""
    depth_tolerance: float = 0.02
    """Depth readings within this share of the depth agree."""


def from_depth(views: Sequence[View], config: StartConfig, rng: np.random.Generator) -> GaussianScene:
    """Gaussians on the surfaces that the depth images show; none when no pixel has a usable depth."""
    surfels = join([surfels_of_view(view) for view in views])
    if len(surfels) == 0:
        return _flat_gaussians(surfels, np.zeros(0), config)
    surfels = thin(surfels, views, config.target_count)
    measured, crossed = votes(surfels.points, views, config.depth_tolerance)
    surfels = surfels[crossed <= measured]
    normals, _ = flatness(surfels.points)
    lengths = np.linalg.norm(surfels.normals, axis=1)

    return _flat_gaussians(surfels, spacing(surfels.points), config)


def _flat_gaussians(surfels: Surfels, size: Float[np.ndarray, " n"], config: StartConfig) -> GaussianScene:
    along = config.width * size
    scales = np.stack([along, along, config.thickness * along], axis=1)
    lengths = np.linalg.norm(surfels.normals, axis=1, keepdims=True)
    quats = quaternions_from_normals(surfels.normals / np.maximum(lengths, 1e-12))
    return _scene(surfels.points, quats, scales, surfels.colors, config)


def _scene(means, quats, scales, colors, config: StartConfig) -> GaussianScene:
    opacities = np.full(len(means), config.opacity)
    return GaussianScene(means, quats, scales, opacities, ((colors - 0.5) / _SH_DC)[:, None, :])
