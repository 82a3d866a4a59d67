"""Fused surfaces of simple solids that are known exactly, seen from all sides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from point2act.core.types import OrientedBox, Region, Support
from point2act.grasping.antipodal.volume import LocalVolume

Distance = Callable[[np.ndarray], np.ndarray]

FLOOR = -0.08
"""Height of the table in the volume frame."""


def box(half: tuple[float, float, float], center: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    def distance(points: np.ndarray) -> np.ndarray:
        q = np.abs(points - np.array(center)) - np.array(half)
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(axis=-1), 0)

    return distance


def sphere(radius: float, center: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    return lambda points: np.linalg.norm(points - np.array(center), axis=-1) - radius


def cylinder(radius: float, half: float, center: tuple[float, float, float] = (0, 0, 0)) -> Distance:
    def distance(points: np.ndarray) -> np.ndarray:
        local = points - np.array(center)
        q = np.stack([np.hypot(local[..., 0], local[..., 1]) - radius, np.abs(local[..., 2]) - half], -1)
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(axis=-1), 0)

    return distance


def volume_of(*solids: Distance, floor: float | None = FLOOR, half_size: float = 0.09) -> LocalVolume:
    """Fuse solids on a table: space is observed but for what is deeper than the truncation in a solid."""
    voxel, truncation = 0.002, 0.004
    steps = np.arange(-round(half_size / voxel), round(half_size / voxel) + 1) * voxel
    centers = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    distance = np.min([solid(centers) for solid in solids], axis=0)
    if floor is not None:
        distance = np.minimum(distance, centers[..., 2] - floor)
    up = np.array([0.0, 0.0, 1.0])
    return LocalVolume(
        tsdf=np.clip(distance, -truncation, truncation).astype(np.float32),
        observed=distance > -truncation,
        T_world_volume=np.eye(4),
        voxel=voxel,
        truncation=truncation,
        obstacles=np.zeros((0, 3)),
        table=None if floor is None else np.array([*up, -floor]),
        towards_cameras=up,
    )


def region_at(point: tuple[float, float, float], half: tuple[float, float, float]) -> Region:
    center = np.array(point, dtype=float)
    return Region(center, 1.0, Support(20, 0, 0), OrientedBox(center, np.eye(3), np.array(half)))
