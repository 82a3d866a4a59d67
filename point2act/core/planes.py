"""Find the plane that things stand on, whichever way the world is turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class TableConfig:
    """How to look for a table."""

    thickness: float = 0.006
    """Points this near to a plane belong to it, metres: depth noise of 1-2 mm and small waves."""
    share: float = 0.15
    """A table holds at least this share of the points near the action point."""
    below: float = 0.03
    """At most this share of the points may lie beneath it: a box's lid has the table beneath."""
    trials: int = 300
    """Planes through three random points: enough for a 99 % chance at a share of 0.25."""
    attempts: int = 4
    """How many planes, the largest first, may be refused before saying that there is no table."""


def find_table(
    points: Float[np.ndarray, "n 3"],
    towards_cameras: Float[np.ndarray, "3"],
    *,
    config: TableConfig,
    rng: np.random.Generator,
) -> Float[np.ndarray, "4"] | None:
    """The largest plane with next to nothing behind it, as ``(n, d)`` with n towards the cameras.

    ``n @ x + d`` is then the height of x over the table. RANSAC (Fischler and Bolles 1981) with a
    least-squares fit of the inliers; planes with points behind them are set aside one after another.
    """
    remaining = points
    for _ in range(config.attempts):
        if len(remaining) < max(3, config.share * len(points)):
            return None
        plane = _refine(remaining, _best_plane(remaining, config, rng), config.thickness)
        plane = plane if plane[:3] @ towards_cameras > 0 else -plane
        height = points @ plane[:3] + plane[3]
        inliers = np.abs(height) < config.thickness
        if inliers.mean() < config.share:
            return None
        if (height < -2 * config.thickness).mean() <= config.below:
            return plane
        left = remaining @ plane[:3] + plane[3]
        remaining = remaining[np.abs(left) >= config.thickness]
    return None


def _best_plane(
    points: Float[np.ndarray, "n 3"], config: TableConfig, rng: np.random.Generator
) -> Float[np.ndarray, "4"]:
    corners = points[rng.integers(len(points), size=(config.trials, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(length, 1e-12)[:, None]
    offsets = -(normals * corners[:, 0]).sum(axis=1)
    votes = (np.abs(points @ normals.T + offsets) < config.thickness).sum(axis=0)
    best = np.argmax(np.where(length > 1e-9, votes, -1))
    return np.append(normals[best], offsets[best])


def _refine(
    points: Float[np.ndarray, "n 3"], plane: Float[np.ndarray, "4"], thickness: float
) -> Float[np.ndarray, "4"]:
    for _ in range(3):
        inliers = points[np.abs(points @ plane[:3] + plane[3]) < thickness]
        if len(inliers) < 3:
            return plane
        center = inliers.mean(axis=0)
        normal = np.linalg.svd(inliers - center, full_matrices=False)[2][2]
        plane = np.append(normal, -normal @ center)
    return plane
