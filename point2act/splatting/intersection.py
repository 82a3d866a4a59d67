"""Intersection of a ray with the surface that Gaussians make up. numpy only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import quaternion_to_matrix
from point2act.core.types import GaussianScene

# Mahalanobis distance from which a Gaussian does not count, as in rendering.
_CUTOFF = 3.0
# Transmittance at which the surface is reached: the median depth.
_HALF = 0.5


def intersect_ray(
    scene: GaussianScene, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"] | None:
    """Return the point at which a ray meets the surface of a scene.

    Along the ray x(t) = o + t d, a Gaussian with mean m, covariance S and opacity a is densest at

        t* = d' S^-1 (m - o) / d' S^-1 d,    alpha = a exp(-1/2 |S^-1/2 (x(t*) - m)|^2),

    and the surface is where the transmittance prod (1 - alpha) falls below one half, nearest Gaussian first
    (Yu, Sattler and Geiger, "Gaussian Opacity Fields", 2024, section 3.1).

    Args:
        scene: Gaussians, world.
        origin: Start of the ray, world.
        direction: Direction of the ray, world, of any length.

    Returns:
        World point, or None if the ray passes the scene.
    """
    direction = direction / np.linalg.norm(direction)
    away = scene.means - origin
    aside = np.linalg.norm(away - (away @ direction)[:, None] * direction, axis=1)
    near = np.flatnonzero(aside < _CUTOFF * scene.scales.max(axis=1, initial=0.0))
    # In each Gaussian's own frame, divided by its standard deviations, it is the unit Gaussian.
    rotations = quaternion_to_matrix(scene.quats[near])
    means = np.einsum("nij,ni->nj", rotations, away[near]) / scene.scales[near]
    rays = np.einsum("nij,i->nj", rotations, direction) / scene.scales[near]
    depths = (rays * means).sum(axis=1) / (rays * rays).sum(axis=1)
    squared = ((depths[:, None] * rays - means) ** 2).sum(axis=1)
    order = np.argsort(depths, kind="stable")
    order = order[(depths[order] > 0) & (squared[order] < _CUTOFF**2)]
    alphas = scene.opacities[near][order] * np.exp(-0.5 * squared[order])
    reached = np.flatnonzero(np.cumprod(1 - alphas) < _HALF)
    return None if len(reached) == 0 else origin + depths[order[reached[0]]] * direction
