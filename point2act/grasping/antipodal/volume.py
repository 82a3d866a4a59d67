"""Truncated signed distance field (TSDF) around an action point, with the table and other obstacles.

The volume frame has its origin at the centre of the grid and its z axis along ``up``. Grasps are planned in
this frame, so that a capture in a rotated world gives the same grasps, rotated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, map_coordinates

from point2act.core.geometry import invert, transform_points

GAP_CELL = 0.02
"""Side of a cell of ``LocalVolume.table_gaps``, metres."""


@dataclass(frozen=True, eq=False)
class LocalVolume:
    """A TSDF in a cube, and the surfaces around it.

    The centre of voxel ``(i, j, k)`` is at ``((i, j, k) - (r - 1) / 2) * voxel`` in the volume frame.
    """

    tsdf: Float[np.ndarray, "r r r"]
    """Signed distance, metres, positive outside, within ±truncation; undefined where not observed."""
    observed: Bool[np.ndarray, "r r r"]
    """Voxels that a camera observed, as free space or as the first millimetres below a surface."""
    T_world_volume: Float[np.ndarray, "4 4"]
    voxel: float
    """Side of a voxel, metres."""
    truncation: float
    """Largest absolute value of the TSDF, metres."""
    obstacles: Float[np.ndarray, "m 3"]
    """World points on surfaces outside the cube, within reach of a gripper that grasps inside it."""
    table: Float[np.ndarray, "4"] | None
    """World plane ``(n, d)`` with a unit normal n: ``n @ x + d`` is the height of x; None without a table."""
    towards_cameras: Float[np.ndarray, "3"]
    """Mean direction from the centre of the cube to the cameras, world, unit length."""
    table_gaps: Bool[np.ndarray, "g g"] = field(default_factory=lambda: np.zeros((1, 1), bool))
    """Cells of the table's plane that cameras looked through: it ends there, or has a gap. Cell (i, j) has
    its centre at ``((i, j) - (g - 1) / 2) * GAP_CELL`` along x and y of the volume frame."""
    shadows: Bool[np.ndarray, "_ _ _"] = field(default_factory=lambda: np.zeros((1, 1, 1), bool))
    """Unobserved voxels that are presumed to be free, see ``with_free_shadows``."""
    noise: float = 0.0
    """Standard deviation of depth around the action point, metres; 0 if unknown."""

    @property
    def up(self) -> Float[np.ndarray, "3"]:
        """Normal of the table, world; the direction to the cameras without a table."""
        return self.towards_cameras if self.table is None else self.table[:3]

    @property
    def half_size(self) -> float:
        """Half the side of the cube spanned by the voxel centres, metres."""
        return (self.tsdf.shape[0] - 1) / 2 * self.voxel

    @property
    def table_in_volume(self) -> Float[np.ndarray, "4"] | None:
        """Plane of the table in the volume frame."""
        return None if self.table is None else self.table @ self.T_world_volume

    @cached_property
    def gap_distances(self) -> Float[np.ndarray, "g g"]:
        """Lower bounds of the distance of each cell of ``table_gaps``, and of a border around it, to a gap.

        A cell's border is up to half its diagonal nearer than its centre, and so is the gap's.
        """
        # Cells beyond the grid are no gaps, and not far from them: a border of one cell stands for them.
        gaps = np.pad(self.table_gaps, 1)
        if not gaps.any():
            return np.full(gaps.shape, np.inf)
        cells = distance_transform_edt(~gaps) - np.sqrt(2)
        return np.where(gaps, 0.0, GAP_CELL * np.maximum(cells, 1e-3))

    def heights(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
        """Return the heights of points of the volume frame above the table; infinite without a table."""
        table = self.table_in_volume
        return np.full(points.shape[:-1], np.inf) if table is None else points @ table[:3] + table[3]

    @property
    def cameras_in_volume(self) -> Float[np.ndarray, "3"]:
        """Direction to the cameras in the volume frame."""
        return self.towards_cameras @ self.T_world_volume[:3, :3]

    @property
    def obstacles_in_volume(self) -> Float[np.ndarray, "m 3"]:
        """Obstacles in the volume frame."""
        return transform_points(invert(self.T_world_volume), self.obstacles)


def solid_field(volume: LocalVolume) -> Float[np.ndarray, "r r r"]:
    """Return the signed distances with unobserved voxels as solid, those in shadows as free, metres."""
    field = np.where(volume.observed, volume.tsdf, -volume.truncation)
    return np.where(volume.shadows, volume.truncation, field).astype(np.float32)


def with_free_shadows(volume: LocalVolume) -> LocalVolume:
    """Return the same volume with unobserved voxels as free where no surface lies above them.

    Objects on a table hide what is below their tops, and cast shadows behind them: their far sides are
    presumed to drop straight down from the edges of their tops. Unchanged without a table.
    """
    if volume.table is None:
        return volume
    inside = volume.observed & (volume.tsdf <= 0)
    covered = np.logical_or.accumulate(inside[:, :, ::-1], axis=2)[:, :, ::-1]
    return replace(volume, shadows=~volume.observed & ~covered)


def interpolate(
    volume: LocalVolume,
    field: Float[np.ndarray, "r r r"],
    points: Float[np.ndarray, "n 3"],
    *,
    outside: float,
) -> Float[np.ndarray, " n"]:
    """Interpolate a grid trilinearly at points of the volume frame; ``outside`` beyond the voxel centres."""
    index = (points + volume.half_size) / volume.voxel
    return map_coordinates(field, index.T, order=1, mode="constant", cval=outside, prefilter=False)


def observed_at(volume: LocalVolume, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Return whether the voxel nearest to each point (volume frame) is observed; True outside the cube."""
    last = volume.tsdf.shape[0] - 1
    i, j, k = np.rint((points.T + volume.half_size) / volume.voxel).astype(np.int32)
    inside = (i >= 0) & (j >= 0) & (k >= 0) & (i <= last) & (j <= last) & (k <= last)
    flat = (i * (last + 1) + j) * (last + 1) + k
    return ~inside | np.take(volume.observed, flat, mode="clip")


def zero_crossings(
    field: Float[np.ndarray, "r r r"], observed: Bool[np.ndarray, "r r r"], axis: int
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    """Return voxel coordinates of sign changes along one axis, and whether both voxels are observed."""
    step = np.eye(3, dtype=int)[axis]
    outside = np.moveaxis(field > 0, axis, 0)
    low = np.argwhere(np.moveaxis(outside[:-1] != outside[1:], 0, axis))
    here, there = tuple(low.T), tuple((low + step).T)
    fraction = field[here] / (field[here] - field[there])
    return low + fraction[:, None] * step, observed[here] & observed[there]


def over_gap(volume: LocalVolume, points: Float[np.ndarray, "... 3"]) -> Bool[np.ndarray, "..."]:
    """Return which points of the volume frame lie over or under a gap of the table."""
    return distance_to_gap(volume, points) == 0


def distance_to_gap(volume: LocalVolume, points: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "..."]:
    """Return lower bounds of the horizontal distances of points of the volume frame to gaps of the table.

    0 over a gap, infinite without gaps; beyond the grid there are none.
    """
    distance = volume.gap_distances
    index = points[..., :2] * (1 / GAP_CELL) + len(distance) / 2  # the cast rounds: half a cell is added
    i, j = np.moveaxis(np.clip(index, 0, len(distance) - 1).astype(np.int32), -1, 0)
    return np.take(distance.ravel(), i * len(distance) + j)
