"""Parsing of text files with poses and times, as datasets write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.errors import CaptureError
from point2act.data.capture.validators import rigid


def read_matrix(path: Path) -> Float[np.ndarray, "4 4"]:
    """Read a 4x4, 3x4 or 3x3 matrix, completed with the last row and column of the identity."""
    rows = read_rows(path)
    shapes = {(4, 4), (3, 4), (3, 3)}
    if (len(rows), len(rows[0]) if rows else 0) not in shapes or len({len(row) for row in rows}) > 1:
        raise CaptureError(f"{path} is not a matrix of four rows of four numbers: write it again")
    matrix = np.eye(4)
    matrix[: len(rows), : len(rows[0])] = rows
    return matrix


def read_pose(path: Path) -> Float[np.ndarray, "4 4"] | None:
    """Read a rigid 4x4 matrix, None if it is not finite, as ScanNet marks lost tracking."""
    return checked_pose(read_matrix(path), str(path))


def checked_pose(matrix: Float[np.ndarray, "4 4"], place: str) -> Float[np.ndarray, "4 4"] | None:
    """Return the matrix with its rotation made exact, None if it is not finite; ``place`` is for errors."""
    return rigid(matrix, place) if np.isfinite(matrix).all() else None


def read_poses(path: Path) -> list[Float[np.ndarray, "4 4"] | None]:
    """Read a list of poses: 16 or 12 numbers per line, or 4 lines of 4."""
    rows = read_rows(path)
    widths = {len(row) for row in rows}
    numbers = np.array([value for row in rows for value in row])
    if widths == {12}:
        matrices = np.tile(np.eye(4), (len(rows), 1, 1))
        matrices[:, :3] = numbers.reshape(-1, 3, 4)
    elif widths in ({16}, {4}) and len(numbers) % 16 == 0:
        matrices = numbers.reshape(-1, 4, 4)
    else:
        raise CaptureError(
            f"{path} is not a list of poses: write 16 or 12 numbers a line, camera to world, or 4 lines of 4"
        )
    return [checked_pose(matrix, f"{path}: pose {index}") for index, matrix in enumerate(matrices)]


def read_trajectory(path: Path) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 4 4"]]:
    """Read sorted times (s) and ``T_world_cam`` of a TUM trajectory: ``t tx ty tz qx qy qz qw``."""
    rows = [row for row in read_rows(path) if np.isfinite(row).all()]
    if not rows or {len(row) for row in rows} != {8}:
        raise CaptureError(f"{path} is not a trajectory: write lines of t tx ty tz qx qy qz qw")
    table = np.array(rows)
    table = table[np.argsort(table[:, 0], kind="stable")]
    lengths = np.linalg.norm(table[:, 4:], axis=1)
    # Chosen: published quaternions have four digits.
    if np.abs(lengths - 1).max() > 1e-2:
        raise CaptureError(
            f"{path}: the quaternion at {table[np.abs(lengths - 1).argmax(), 0]} is not of unit length: "
            "write qx qy qz qw, in this order"
        )
    poses = np.tile(np.eye(4), (len(table), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(table[:, 4:]).as_matrix()
    poses[:, :3, 3] = table[:, 1:4]
    return table[:, 0], poses


def read_stamped(path: Path) -> tuple[Float[np.ndarray, " n"], list[str]]:
    """Read sorted times in seconds and file names of a TUM list: ``t name``."""
    stamped = []
    for number, line in _lines(path):
        time, _, name = line.partition(" ")
        stamped.append((_floats([time], path, number)[0], name.strip()))
        if not name.strip() or not np.isfinite(stamped[-1][0]):
            raise CaptureError(f"{path}: line {number} is not a time and a file name: fix it")
    stamped.sort()
    return np.array([time for time, _ in stamped], dtype=float), [name for _, name in stamped]


def nearest_times(
    wanted: Float[np.ndarray, " n"], offered: Float[np.ndarray, " m"], tolerance: float
) -> list[int | None]:
    """Return the index of the nearest offered time (sorted) for every wanted one, None beyond a tolerance."""
    if not len(offered):
        return [None] * len(wanted)
    right = np.clip(np.searchsorted(offered, wanted), 1, max(len(offered) - 1, 1))
    pair = np.stack([right - 1, np.minimum(right, len(offered) - 1)])
    gaps = np.abs(offered[pair] - wanted)
    best = pair[gaps.argmin(axis=0), np.arange(len(wanted))]
    return [int(i) if gap <= tolerance else None for i, gap in zip(best, gaps.min(axis=0), strict=True)]


def read_rows(path: Path) -> list[list[float]]:
    """Read the numbers of every line, separated by blanks or commas, without ``#`` comments."""
    return [_floats(line.replace(",", " ").split(), path, number) for number, line in _lines(path)]


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise CaptureError(f"{path} is not a text file that can be read ({err}): check it") from err
    lines = ((number, line.split("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line]


def _floats(words: Sequence[str], path: Path, number: int) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError as err:
        raise CaptureError(f"{path}: line {number} holds {err.args[0][-40:]}: write numbers") from err
