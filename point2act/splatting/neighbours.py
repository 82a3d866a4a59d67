"""What the nearest neighbours of a point tell: spacing, normal, flatness. numpy and scipy only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from point2act.core.geometry import frame_from_normal

_NEIGHBOURS = 8
"""For normals and flatness: enough for a plane in noise, few enough to follow edges."""


def spacing(points: Float[np.ndarray, "n 3"], *, neighbours: int = 3) -> Float[np.ndarray, " n"]:
    """Root mean square distance to the nearest neighbours, the size of a starting Gaussian.

    Three neighbours are 3DGS's choice (Kerbl et al. 2023, section 5.1, and its code). Infinite for a
    point without neighbours.
    """
    k = min(neighbours, len(points) - 1)
    if k < 1:
        return np.full(len(points), np.inf)
    distances, _ = KDTree(points).query(points, k=k + 1)
    return np.sqrt(np.mean(distances[:, 1:] ** 2, axis=1))


def local_planes(
    points: Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Unit normals of unknown sign, and how thick the neighbourhood is beside its width.

    Principal components of the eight nearest neighbours. The thickness is the smallest over the
    largest standard deviation: 0 in a plane, near 1 in a ball, and 1 where there are too few points
    to tell.
    """
    k = min(_NEIGHBOURS, len(points) - 1)
    if k < 3:
        return np.tile([0.0, 0.0, 1.0], (len(points), 1)), np.ones(len(points))
    _, nearest = KDTree(points).query(points, k=k + 1)
    around = points[nearest] - points[nearest].mean(axis=1, keepdims=True)
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    widest = np.maximum(variances[:, 2], np.finfo(float).tiny)
    return axes[:, :, 0], np.sqrt(np.clip(variances[:, 0] / widest, 0.0, 1.0))


def orient_towards(
    normals: Float[np.ndarray, "n 3"],
    points: Float[np.ndarray, "n 3"],
    eyes: Float[np.ndarray, "c 3"],
) -> Float[np.ndarray, "n 3"]:
    """Flip each normal to the side of the nearest camera centre."""
    _, nearest = KDTree(eyes).query(points)
    away = np.einsum("ni,ni->n", normals, eyes[nearest] - points) < 0
    return np.where(away[:, None], -normals, normals)


def quaternions_from_normals(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    """``wxyz`` rotations that turn the local z axis to the given unit normals."""
    return np.roll(Rotation.from_matrix(frame_from_normal(normals)).as_quat(), 1, axis=1)
