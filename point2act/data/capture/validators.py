"""Values of transforms.json, checked one by one; ``place`` is what an error calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import brief, is_text
from point2act.core.geometry import nearest_rotation

_RIGID = 1e-3  # Poses printed with four digits pass; a scale or a shear does not.
# From here on, telling what is wrong with a rotation would overflow. Chosen.
_OVERFLOWS = 1e6
# Metres from the origin: frames fixed to the Earth's centre stay below. Chosen.
_FARTHEST = 1e7
# Metres per step of a depth file: nanometres to kilometres. Chosen.
_UNITS = (1e-9, 1e3)
# Characters of a path. Linux's limit is 4096 bytes.
_LONGEST = 1000


def file_name(value: Any, place: str) -> str:
    """A path, with forward slashes."""
    if not isinstance(value, str) or not value:
        raise CaptureError(f"{place} is {brief(value)}: write the path of a file")
    if len(value) > _LONGEST or not is_text(value):
        raise CaptureError(
            f"{place} is {brief(value)}: write the path of a file, at most {_LONGEST} characters and none of "
            "them a control character"
        )
    return value.replace("\\", "/")


def rigid(rows: Any, place: str) -> Float[np.ndarray, "4 4"]:
    """A 4x4 (or 3x4) matrix, checked to be a rotation and a translation, its rotation made exact."""
    mend = "write a rigid 4x4 camera-to-world matrix" if "matrix" in place else "write a rigid 4x4 matrix"
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.shape not in ((4, 4), (3, 4)):
        raise CaptureError(f"{place} is not four rows of four numbers: {mend}")
    if not np.isfinite(matrix).all():
        raise CaptureError(f"{place} holds a number that is not finite: {mend}")
    rotation = matrix[:3, :3]
    if np.abs(matrix[:3, 3]).max() > _FARTHEST:
        raise CaptureError(
            f"{place} leads {np.abs(matrix[:3, 3]).max():g} from the origin: {mend}, in metres"
        )
    if np.abs(rotation).max() > _OVERFLOWS:
        raise CaptureError(f"{place} is not rigid, it scales, shears or mirrors: {mend}")
    if np.linalg.matrix_rank(rotation) < 3:
        raise CaptureError(f"{place} is singular: {mend}")
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > _RIGID or np.linalg.det(rotation) < 0:
        raise CaptureError(f"{place} is not rigid, it scales, shears or mirrors: {mend}")
    if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > _RIGID:
        raise CaptureError(f"{place} does not end with the row 0 0 0 1: {mend}")
    T_a_b = np.eye(4)
    T_a_b[:3, :3] = nearest_rotation(rotation)
    T_a_b[:3, 3] = matrix[:3, 3]
    return T_a_b


def finite(value: Any, place: str) -> float:
    """A finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not np.isfinite(number):
        raise CaptureError(f"{place} is {brief(value)}: write a finite number")
    return number


def positive(value: Any, place: str) -> float:
    """A number above zero."""
    number = finite(value, place)
    if number <= 0:
        raise CaptureError(f"{place} is {number:g}: write a number above zero")
    return number


def depth_unit(value: Any, place: str) -> float:
    """Metres that a step of a depth file stands for."""
    unit = positive(value, place)
    if not _UNITS[0] <= unit <= _UNITS[1]:
        raise CaptureError(
            f"{place} is {unit:g}: write how many metres a step of depth is, 0.001 for millimetres"
        )
    return unit
