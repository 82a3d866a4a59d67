"""Poses and intrinsics as robot datasets store them: rows of numbers, one for each step."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from scipy.spatial.transform import Rotation

from point2act.core.errors import CaptureError

PoseFormat = Literal[
    "auto", "matrix", "xyz_euler", "xyz_rotvec", "xyz_quaternion_wxyz", "xyz_quaternion_xyzw"
]
"""What the numbers of a pose are; ``auto`` knows matrices and six numbers, which are ``xyz_euler``.

``xyz_euler`` has angles about the fixed axes x, y, z in this order, ``R.from_euler("xyz", …)`` in scipy, as
DROID's (droid/misc/transformations.py), which LeRobot's port of it calls roll, pitch, yaw.
"""

_LENGTHS = {"xyz_euler": 6, "xyz_rotvec": 6, "xyz_quaternion_wxyz": 7, "xyz_quaternion_xyzw": 7}
_MATRIX = (12, 16)
_UNIT = 1e-2
"""Largest difference of a quaternion's length from 1: those in files have four digits and more. Chosen."""


def pose_rows(values: Shaped[np.ndarray, "*n"]) -> Float[np.ndarray, "n k"] | None:
    """Return the poses of an array as rows, one row if it holds for all steps; None for others."""
    counts = {*_LENGTHS.values(), *_MATRIX}
    if values.ndim > 1 and values[0].size in counts:
        return values.reshape(len(values), -1).astype(np.float64)
    return values.reshape(1, -1).astype(np.float64) if values.size in counts else None


def poses_from_rows(
    rows: Float[np.ndarray, "n k"], form: PoseFormat, place: str
) -> Float[np.ndarray, "n 4 4"]:
    """Return 4x4 matrices from rows of numbers; rows that are not finite stay so.

    Args:
        rows: Matrices row by row (12 or 16 numbers), or a position in metres and a rotation (6 or 7).
        form: What the numbers are.
        place: Where they come from, for errors.

    Raises:
        CaptureError: The rows have another length than the format, or a quaternion is not of unit length.
    """
    width = rows.shape[1]
    if form == "auto":
        form = "matrix" if width in _MATRIX else "xyz_euler"
    if width not in (_MATRIX if form == "matrix" else (_LENGTHS[form],)):
        raise CaptureError(
            f"{place} has {width} numbers for a pose, which are not {form}: name their format in the "
            f"mapping, one of {', '.join(('matrix', *_LENGTHS))}"
        )
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    if form == "matrix":
        poses[:, : width // 4] = rows.reshape(len(rows), -1, 4)
        return poses
    known = np.isfinite(rows).all(axis=1)
    poses[~known] = np.nan
    poses[known, :3, :3] = _rotation(rows[known, 3:], form, place).as_matrix()
    poses[known, :3, 3] = rows[known, :3]
    return poses


def _rotation(rows: Float[np.ndarray, "n k"], form: PoseFormat, place: str) -> Rotation:
    if form == "xyz_euler":
        return Rotation.from_euler("xyz", rows)
    if form == "xyz_rotvec":
        return Rotation.from_rotvec(rows)
    if np.abs(np.linalg.norm(rows, axis=1) - 1).max(initial=0.0) > _UNIT:
        raise CaptureError(
            f"{place} holds a quaternion that is not of unit length: name the format of the poses"
        )
    return Rotation.from_quat(rows[:, [1, 2, 3, 0]] if form == "xyz_quaternion_wxyz" else rows)


def intrinsics(values: Shaped[np.ndarray, "*n"], place: str) -> tuple[float, float, float, float]:
    """Return ``(fx, fy, cx, cy)`` from four numbers or a 3x3 matrix, the same at every step.

    Args:
        values: The numbers, or one set for each step.
        place: Where they come from, for errors.

    Raises:
        CaptureError: They are something else, or change in the episode.
    """
    sets = values[None] if values.shape in ((4,), (9,), (3, 3)) else values
    if sets.ndim < 2 or not len(sets) or sets[0].size not in (4, 9):
        raise CaptureError(
            f"{place} has the shape {values.shape}: intrinsics are fx, fy, cx, cy or a 3x3 matrix"
        )
    rows = sets.reshape(len(sets), -1).astype(np.float64)
    if not np.allclose(rows, rows[0], rtol=1e-4):
        raise CaptureError(f"{place} changes in the episode: cameras that zoom are not supported")
    fx, fy, cx, cy = (float(value) for value in (rows[0][[0, 4, 2, 5]] if len(rows[0]) == 9 else rows[0]))
    return fx, fy, cx, cy
