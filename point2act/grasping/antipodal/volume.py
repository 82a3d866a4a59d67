"""What the cameras saw around an action point: a signed distance grid, the rest of the scene, the table.

The volume frame has its origin in the middle of the grid and its z axis along ``up``; everything in the
grasp head is computed in it, so a capture in a turned world gives the same grasps, turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import map_coordinates

from point2act.core.geometry import invert, transform_points


@dataclass(frozen=True, eq=False)
class LocalVolume:
    """A truncated signed distance field in a cube, and what lies around it.

    The centre of voxel ``(i, j, k)`` is at ``((i, j, k) - (r - 1) / 2) * voxel`` in the volume frame.
    """

    tsdf: Float[np.ndarray, "r r r"]
    """Metres, positive outside, within ±truncation; meaningless where not observed."""
    observed: Bool[np.ndarray, "r r r"]
    """Whether any camera saw the voxel: as free space or as the first millimetres below a surface."""
    T_world_volume: Float[np.ndarray, "4 4"]
    voxel: float
    truncation: float
    obstacles: Float[np.ndarray, "m 3"]
    """World points on the scene outside the cube, within reach of a gripper that grasps inside it."""
    table: Float[np.ndarray, "4"] | None
    """World plane ``(n, d)`` with a unit normal: ``n @ x + d`` is the height over it; or not found."""
    towards_cameras: Float[np.ndarray, "3"]
    """Unit vector in the world from the cube's centre to where the cameras were, on average."""

    @property
    def up(self) -> Float[np.ndarray, "3"]:
        """The table's normal in the world; the way to the cameras where there is no table."""
        return self.towards_cameras if self.table is None else self.table[:3]

    @property
    def half_size(self) -> float:
        """Half the side of the cube spanned by the voxel centres, metres."""
        return (self.tsdf.shape[0] - 1) / 2 * self.voxel

    @property
    def table_in_volume(self) -> Float[np.ndarray, "4"] | None:
        """The table's plane in the volume frame."""
        return None if self.table is None else self.table @ self.T_world_volume

    @property
    def cameras_in_volume(self) -> Float[np.ndarray, "3"]:
        """The way to the cameras in the volume frame."""
        return self.towards_cameras @ self.T_world_volume[:3, :3]

    @property
    def obstacles_in_volume(self) -> Float[np.ndarray, "m 3"]:
        """The obstacles in the volume frame."""
        return transform_points(invert(self.T_world_volume), self.obstacles)


def solid(volume: LocalVolume) -> Float[np.ndarray, "r r r"]:
    """The signed distances with everything that was never seen taken for solid, metres."""
    return np.where(volume.observed, volume.tsdf, -volume.truncation).astype(np.float32)


def sample(
    volume: LocalVolume,
    field: Float[np.ndarray, "r r r"],
    points: Float[np.ndarray, "n 3"],
    *,
    outside: float,
) -> Float[np.ndarray, " n"]:
    """Trilinear values of a grid at points of the volume frame; ``outside`` beyond the voxel centres."""
    index = (points + volume.half_size) / volume.voxel
    return map_coordinates(field, index.T, order=1, mode="constant", cval=outside, prefilter=False)


def seen_at(volume: LocalVolume, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Whether the voxel nearest to each point of the volume frame was observed; True outside the cube."""
    last = volume.tsdf.shape[0] - 1
    i, j, k = np.rint((points.T + volume.half_size) / volume.voxel).astype(np.int32)
    inside = (i >= 0) & (j >= 0) & (k >= 0) & (i <= last) & (j <= last) & (k <= last)
    flat = (i * (last + 1) + j) * (last + 1) + k
    return ~inside | np.take(volume.observed, flat, mode="clip")
