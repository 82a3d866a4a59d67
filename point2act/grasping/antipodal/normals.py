"""Normals of the surface: the field's slope, smoothed on faces and left sharp at edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.grasping.antipodal.volume import LocalVolume, sample, solid


@dataclass(frozen=True)
class NormalConfig:
    """How far, and across what, normals are averaged.

    Chosen on simulated tables against the true shapes: half of the normals are within 4 degrees, 88 % within
    15; those of a field smoothed by one voxel, 8 degrees and 71 %.
    """

    distance: float = 0.004
    """Standard deviation of the weight by distance, metres: two voxels; truncated at 1.5 times that."""
    angle: float = 0.25
    """Scale of the weight by angle, radians (14 degrees): what faces another way is another face."""
    rounds: int = 3
    """How often."""


def slopes_at(volume: LocalVolume, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Unit vectors along the slope of the signed distance at points of the volume frame, outward."""
    field = solid(volume)
    steps = volume.voxel * np.eye(3)
    slope = [
        sample(volume, field, points + step, outside=0.0) - sample(volume, field, points - step, outside=0.0)
        for step in steps
    ]
    gradient = np.stack(slope, axis=1).astype(float)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)


def smooth_normals(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], *, config: NormalConfig
) -> Float[np.ndarray, "n 3"]:
    """Unit normals averaged with those near by that face nearly the same way.

    A bilateral filter (Tomasi and Manduchi 1998) on normals, as for meshes by Zheng et al. (2011).
    """
    pairs = KDTree(points).query_pairs(1.5 * config.distance, output_type="ndarray")
    here, there = pairs.T
    squared = ((points[here] - points[there]) ** 2).sum(axis=1)
    near = np.exp(-0.5 * squared / config.distance**2)
    for _ in range(config.rounds):
        cosine = (normals[here] * normals[there]).sum(axis=1)
        weight = near * np.exp(-(1 - cosine) / config.angle**2)  # 1 - cos a is a² / 2
        total = normals.copy()
        for axis in range(3):
            total[:, axis] += np.bincount(here, weight * normals[there, axis], minlength=len(points))
            total[:, axis] += np.bincount(there, weight * normals[here, axis], minlength=len(points))
        normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return normals
