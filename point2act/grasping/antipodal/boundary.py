"""Where the object ends: points on its surface, seen and presumed, and which of them are the object."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from point2act.grasping.antipodal.normals import NormalConfig, slopes_at, smooth_normals
from point2act.grasping.antipodal.volume import LocalVolume, solid


@dataclass(frozen=True)
class BoundaryConfig:
    """How the surface is read off the volume."""

    normals: NormalConfig = field(default_factory=NormalConfig)
    """How the object's normals are smoothed."""
    presumed: float = 0.012
    """Where free space ends in the unseen, within this distance of a seen surface, an unseen surface is
    presumed, metres: what a camera on one side has to go by. About the depth that fingertips reach."""
    table_shell: tuple[float, float] = (0.002, 0.005)
    """Points nearer to the table than three times its roughness are the table, but no less and no more than
    this, metres: a voxel, and what real depth cameras leave of a plane."""
    gap: float = 0.004
    """Surface points nearer than this is connected, metres: just over a voxel's diagonal."""
    attraction: float = 0.010
    """The object is what has most surface about the action point, under a Gaussian of this width, metres:
    a speck that happens to be nearest does not win."""
    outer_gap: float = 0.008
    """The same as ``gap`` for the coarser cloud outside the volume, metres: two of its cells."""
    outer_area: float = 4.0
    """What a point of that cloud stands for, in points of the volume: (4 mm / 2 mm)²."""


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on the surface in the volume frame, one for a voxel."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Outward."""
    seen: Bool[np.ndarray, " n"]
    """False where free space ends in the unseen and the surface is only presumed."""
    on_object: Bool[np.ndarray, " n"]
    """True on what is connected with the action point."""

    @cached_property
    def tree(self) -> KDTree:
        """To find the points near a place."""
        return KDTree(self.points)


@dataclass(frozen=True, eq=False)
class Solid:
    """All that was seen above the table and a gripper must not touch, in the volume frame."""

    points: Float[np.ndarray, "n 3"]
    on_object: Bool[np.ndarray, " n"]
    """True on what is connected with the action point: what is lifted."""
    area: Float[np.ndarray, " n"]
    """What a point stands for, in voxels."""

    def centroid(self, default: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """Middle of the object's seen surface, a stand-in for its centre of mass; the default without any."""
        own = self.on_object
        return np.average(self.points[own], axis=0, weights=self.area[own]) if own.any() else default


def surface_points(
    volume: LocalVolume, action_point: Float[np.ndarray, "3"], *, config: BoundaryConfig
) -> SurfacePoints:
    """Zero crossings between neighbouring voxels: seen ones, and presumed ones next to the unseen.

    The action point, in the volume frame, reports which of them are the object.
    """
    field = solid(volume)
    found, flags = [], []
    for axis in range(3):
        crossings, seen = _crossings(field, volume.observed, axis)
        found.append(crossings)
        flags.append(seen)
    points = np.concatenate(found) * volume.voxel - volume.half_size
    seen = np.concatenate(flags)
    points, seen = _one_per_voxel(points, seen, volume.voxel)
    if seen.any() and not seen.all():
        distance, _ = KDTree(points[seen]).query(points, distance_upper_bound=config.presumed)
        near = seen | np.isfinite(distance)
        points, seen = points[near], seen[near]
    elif not seen.any():
        points, seen = points[:0], seen[:0]
    belongs = _connected(volume, points, seen, action_point, config)
    normals = slopes_at(volume, points)
    normals[belongs] = smooth_normals(points[belongs], normals[belongs], config=config.normals)
    return SurfacePoints(points, normals, seen, belongs)


def _crossings(
    field: Float[np.ndarray, "r r r"], observed: Bool[np.ndarray, "r r r"], axis: int
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    """Voxel coordinates where the field changes sign along one axis, and whether both ends were seen."""
    step = np.eye(3, dtype=int)[axis]
    outside = np.moveaxis(field > 0, axis, 0)
    low = np.argwhere(np.moveaxis(outside[:-1] != outside[1:], 0, axis))
    here, there = tuple(low.T), tuple((low + step).T)
    fraction = field[here] / (field[here] - field[there])
    return low + fraction[:, None] * step, observed[here] & observed[there]


def _one_per_voxel(
    points: Float[np.ndarray, "n 3"], seen: Bool[np.ndarray, " n"], voxel: float
) -> tuple[Float[np.ndarray, "m 3"], Bool[np.ndarray, " m"]]:
    """The mean of the points in each cell; seen and presumed points are not mixed."""
    cell = np.floor(points / voxel).astype(np.int64) + 1024
    key = (cell @ np.array([1 << 22, 1 << 11, 1])) * 2 + seen
    _, where, count = np.unique(key, return_inverse=True, return_counts=True)
    sums = np.stack(
        [np.bincount(where, weights=points[:, i], minlength=len(count)) for i in range(3)], axis=1
    )
    flags = np.zeros(len(count), bool)
    flags[where] = seen
    return sums / count[:, None], flags


def all_solid(volume: LocalVolume, surface: SurfacePoints, *, config: BoundaryConfig) -> Solid:
    """All that was seen but the table, in the volume frame."""
    outer = volume.obstacles_in_volume
    points = np.concatenate([surface.points[surface.seen], outer])
    area = np.repeat([1.0, config.outer_area], [len(points) - len(outer), len(outer)])
    on_object = np.concatenate([surface.on_object[surface.seen], np.zeros(len(outer), bool)])
    above = _above(volume, points, config.table_shell)
    points, area, on_object = points[above], area[above], on_object[above]
    beyond = np.flatnonzero(~on_object & (area > 1))
    if on_object.any() and len(beyond):
        chain = np.concatenate([points[on_object], points[beyond]])
        label = _chained(chain, config.outer_gap)
        inner = int(on_object.sum())
        on_object[beyond] = np.isin(label[inner:], np.unique(label[:inner]))
    return Solid(points, on_object, area)


def _above(
    volume: LocalVolume, points: Float[np.ndarray, "n 3"], shell: tuple[float, float]
) -> Bool[np.ndarray, " n"]:
    """Which points stand out from the table."""
    table = volume.table_in_volume
    if table is None:
        return np.ones(len(points), bool)
    height = points @ table[:3] + table[3]
    of_table = np.abs(height[np.abs(height) < shell[1]])
    # 1.48 times the median of absolute deviations is a standard deviation (Hampel 1974).
    roughness = 1.48 * float(np.median(of_table)) if len(of_table) else 0.0
    return height > np.clip(3 * roughness, *shell)


def _connected(
    volume: LocalVolume,
    points: Float[np.ndarray, "n 3"],
    seen: Bool[np.ndarray, " n"],
    action_point: Float[np.ndarray, "3"],
    config: BoundaryConfig,
) -> Bool[np.ndarray, " n"]:
    """Which points above the table is connected with what lies about the action point.

    Seen points are linked; a presumed one goes with the nearest seen one, for shadows bridge gaps.
    """
    belongs = np.zeros(len(points), bool)
    above = _above(volume, points, config.table_shell)
    known, presumed = np.flatnonzero(above & seen), np.flatnonzero(above & ~seen)
    if not len(known):
        return belongs
    label = _chained(points[known], config.gap)
    squared = ((points[known] - action_point) ** 2).sum(axis=1)
    votes = np.bincount(label, weights=np.exp(-0.5 * squared / config.attraction**2))
    belongs[known] = label == np.argmax(votes)
    belongs[presumed] = belongs[known][KDTree(points[known]).query(points[presumed])[1]]
    return belongs


def _chained(points: Float[np.ndarray, "n 3"], gap: float) -> Int[np.ndarray, " n"]:
    """A label for each point, the same for points that is connected by steps of at most ``gap``."""
    links = KDTree(points).query_pairs(gap, output_type="ndarray")
    graph = coo_matrix((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(len(points),) * 2)
    return connected_components(graph, directed=False)[1]
