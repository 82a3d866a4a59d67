"""Detection of the supporting plane of a scene (the table) with RANSAC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class TableConfig:
    """RANSAC detection of the supporting plane."""

    inlier_distance: float = 0.006
    """Largest distance of an inlier to the plane, metres."""
    # Depth noise is 1-2 mm, and tables have small waves.
    inlier_fraction: float = 0.15
    """Smallest fraction of the points near the action point that must be inliers."""
    max_below: float = 0.03
    """Largest fraction of the points that may lie below the plane: a box's lid has the table below."""
    max_below_support: float = 0.3
    """The same for a large plane below the object: what lies below it is beyond the table's edge."""
    support_fraction: float = 0.35
    """Smallest fraction of the points that must be inliers of such a plane."""
    # More than 12 mm of a ball's visible half, which is a quarter of it. Chosen.
    max_below_wide: float = 0.1
    """The same for a wide plane in which the object lies, such as a pen near the edge of a table."""
    wide: float = 0.07
    """Smallest standard deviation of the inliers of a wide plane in its narrower direction, metres."""
    # A lid of 20 x 24 cm; what is wider, and has hardly anything below it, is no lid. Chosen.
    trials: int = 300
    """Number of planes through three random points."""
    # 300 give a 99 % chance of a hit at an inlier fraction of 0.25.
    max_planes: int = 4
    """Number of planes, largest first, that are tried before the scene counts as having no table."""


def find_table(
    points: Float[np.ndarray, "n 3"],
    towards_cameras: Float[np.ndarray, "3"],
    *,
    config: TableConfig,
    rng: np.random.Generator,
    supported: Float[np.ndarray, "3"] | None = None,
) -> Float[np.ndarray, "4"] | None:
    """Find the largest plane with almost no points behind it.

    RANSAC (Fischler and Bolles 1981): the plane ``n @ x + d = 0`` through three random points with the most
    inliers ``|n @ x + d| < inlier_distance``, refined by three rounds of total least squares (n is the
    singular vector of the centred inliers with the smallest singular value). The inliers of a plane with
    points behind it are removed before the next one is sought.

    Args:
        points: Surface points about the action point, in the world frame.
        towards_cameras: Direction towards the cameras, world; the normal is on its side.
        config: Thresholds.
        rng: Source of the random points.
        supported: A point of what stands on the table. The lid of a box is no table for a point on it, but
            it is for what stands on the lid.

    Returns:
        ``(n, d)`` with a unit normal, so that ``n @ x + d`` is the height of x above the table; None without
        a table.
    """
    remaining = points
    for _ in range(config.max_planes):
        if len(remaining) < max(3, config.inlier_fraction * len(points)):
            return None
        plane = _refine(remaining, _best_plane(remaining, config, rng), config.inlier_distance)
        plane = plane if plane[:3] @ towards_cameras > 0 else -plane
        height = points @ plane[:3] + plane[3]
        inliers = np.abs(height) < config.inlier_distance
        if inliers.mean() < config.inlier_fraction:
            return None
        below = (height < -2 * config.inlier_distance).mean()
        if below <= _max_below(points[inliers], len(points), plane, supported, config):
            return plane
        distance = np.abs(remaining @ plane[:3] + plane[3])
        remaining = remaining[distance >= config.inlier_distance]
    return None


def _max_below(
    inliers: Float[np.ndarray, "i 3"],
    total: int,
    plane: Float[np.ndarray, "4"],
    supported: Float[np.ndarray, "3"] | None,
    config: TableConfig,
) -> float:
    """Return the largest fraction of points that may lie below a plane."""
    if supported is None or len(inliers) < config.support_fraction * total:
        return config.max_below
    height, margin = supported @ plane[:3] + plane[3], 2 * config.inlier_distance
    if height > margin:
        return config.max_below_support
    spread = np.linalg.svd(inliers - inliers.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(inliers))
    return config.max_below_wide if height > -margin and spread > config.wide else config.max_below


def _best_plane(
    points: Float[np.ndarray, "n 3"], config: TableConfig, rng: np.random.Generator
) -> Float[np.ndarray, "4"]:
    corners = points[rng.integers(len(points), size=(config.trials, 3))]
    normals, offsets, area = planes_through(corners)
    votes = (np.abs(points @ normals.T + offsets) < config.inlier_distance).sum(axis=0)
    best = np.argmax(np.where(area > 1e-9, votes, -1))
    return np.append(normals[best], offsets[best])


def planes_through(
    corners: Float[np.ndarray, "n 3 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return unit normals n and offsets d of planes through three points, and twice the triangles' areas.

    ``n ~ (b - a) x (c - a)`` and ``d = -n @ a``, in the order of the corners a, b, c.
    """
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1)
    normals /= np.where(area > 0, area, 1)[:, None]
    return normals, -(normals * corners[:, 0]).sum(axis=1), area


def _refine(
    points: Float[np.ndarray, "n 3"], plane: Float[np.ndarray, "4"], inlier_distance: float
) -> Float[np.ndarray, "4"]:
    for _ in range(3):
        inliers = points[np.abs(points @ plane[:3] + plane[3]) < inlier_distance]
        if len(inliers) < 3:
            return plane
        center = inliers.mean(axis=0)
        normal = np.linalg.svd(inliers - center, full_matrices=False)[2][2]
        plane = np.append(normal, -normal @ center)
    return plane
