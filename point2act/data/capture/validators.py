"""Validation of single values of transforms.json; ``place`` is their name in an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import brief, is_text
from point2act.core.geometry import nearest_rotation, transform

_RIGID = 1e-3  # Poses printed with four digits pass; a scale or a shear does not.
# Larger entries of a rotation would overflow in the checks. Chosen.
_MAX_ENTRY = 1e6
# Metres from the origin: Earth-centred frames stay below. Chosen.
_MAX_DISTANCE = 1e7
# Metres per unit of a depth file: nanometres to kilometres. Chosen.
_UNITS = (1e-9, 1e3)
# Characters of a path. Linux's limit is 4096 bytes.
_MAX_LENGTH = 1000


def file_name(value: Any, place: str) -> str:
    """Return a file path with forward slashes."""
    if not isinstance(value, str) or not value:
        raise CaptureError(f"{place} is {brief(value)}: write the path of a file")
    if len(value) > _MAX_LENGTH or not is_text(value):
        raise CaptureError(
            f"{place} is {brief(value)}: write the path of a file, at most {_MAX_LENGTH} characters "
            "without control characters"
        )
    return value.replace("\\", "/")


def rigid(rows: Any, place: str) -> Float[np.ndarray, "4 4"]:
    """Return a 4x4 (or 3x4) matrix after checking that it is rigid, with its rotation made exact."""
    fix = "write a rigid 4x4 camera-to-world matrix" if "matrix" in place else "write a rigid 4x4 matrix"
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise CaptureError(f"{place} is not four rows of four numbers: {fix}")
    if not np.isfinite(matrix).all():
        raise CaptureError(f"{place} holds a number that is not finite: {fix}")
    rotation = matrix[:3, :3]
    if np.abs(matrix[:3, 3]).max() > _MAX_DISTANCE:
        raise CaptureError(f"{place} leads {np.abs(matrix[:3, 3]).max():g} from the origin: {fix}, in metres")
    if np.abs(rotation).max() > _MAX_ENTRY:
        raise CaptureError(f"{place} is not rigid, it scales, shears or mirrors: {fix}")
    if np.linalg.matrix_rank(rotation) < 3:
        raise CaptureError(f"{place} is singular: {fix}")
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > _RIGID or np.linalg.det(rotation) < 0:
        raise CaptureError(f"{place} is not rigid, it scales, shears or mirrors: {fix}")
    if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > _RIGID:
        raise CaptureError(f"{place} does not end with the row 0 0 0 1: {fix}")
    return transform(nearest_rotation(rotation), matrix[:3, 3])


def finite(value: Any, place: str) -> float:
    """Return a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise CaptureError(f"{place} is {brief(value)}: write a finite number")
    return number


def positive(value: Any, place: str) -> float:
    """Return a number above zero."""
    number = finite(value, place)
    if number <= 0:
        raise CaptureError(f"{place} is {number:g}: write a number above zero")
    return number


def depth_unit(value: Any, place: str) -> float:
    """Return the metres per unit of a depth file."""
    unit = positive(value, place)
    if not _UNITS[0] <= unit <= _UNITS[1]:
        raise CaptureError(f"{place} is {unit:g}: write the metres per unit of depth, 0.001 for millimetres")
    return unit
