"""Where the object ends: points on its surface, seen and presumed, and which of them are the object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from point2act.grasps.volume import LocalVolume, normals_at, slopes, solid


@dataclass(frozen=True)
class BoundaryConfig:
    """How the surface is read off the volume."""

    smoothing: float = 1.0
    """Gaussian over which normals are averaged, voxels: 2 mm, the depth noise."""
    presumed: float = 0.012
    """Where free space ends in the unseen, within this distance of a seen surface, an unseen surface is
    presumed, metres: what a camera on one side has to go by. About the depth that fingertips reach."""
    table_skin: float = 0.004
    """Points nearer to the table than this are the table, metres: two voxels."""
    gap: float = 0.004
    """Surface points nearer than this hang together, metres: just over a voxel's diagonal."""
    attraction: float = 0.010
    """The object is what has most surface about the action point, under a Gaussian of this width, metres:
    a speck that happens to be nearest does not win."""


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on the surface in the volume frame, one for a voxel."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Outward."""
    seen: Bool[np.ndarray, " n"]
    """False where free space ends in the unseen and the surface is only presumed."""
    on_object: Bool[np.ndarray, " n"]
    """True on what hangs together with the action point."""
    slopes: Float[np.ndarray, "3 r r r"]
    """Of the smoothed field, for :func:`~point2act.grasps.volume.normals_at`."""


def surface_points(
    volume: LocalVolume, action_point: Float[np.ndarray, "3"], *, config: BoundaryConfig
) -> SurfacePoints:
    """Zero crossings between neighbouring voxels: seen ones, and presumed ones next to the unseen.

    The action point, in the volume frame, tells which of them are the object.
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
    rise = slopes(volume, smoothing=config.smoothing)
    belongs = _connected(volume, points, seen, action_point, config)
    return SurfacePoints(points, normals_at(volume, rise, points), seen, belongs, rise)


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


def object_centroid(surface: SurfacePoints, action_point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Mean of the object's seen surface inside the cube; the action point where there is none."""
    mine = surface.points[surface.seen & surface.on_object]
    return mine.mean(axis=0) if len(mine) else action_point


def solid_points(
    volume: LocalVolume, surface: SurfacePoints, *, config: BoundaryConfig
) -> Float[np.ndarray, "n 3"]:
    """All that was seen and a hand must not touch, but the table, in the volume frame."""
    points = np.concatenate([surface.points[surface.seen], volume.obstacles_in_volume])
    return points[_above(volume, points, config.table_skin)]


def _above(volume: LocalVolume, points: Float[np.ndarray, "n 3"], skin: float) -> Bool[np.ndarray, " n"]:
    table = volume.table_in_volume
    return np.ones(len(points), bool) if table is None else points @ table[:3] + table[3] > skin


def _connected(
    volume: LocalVolume,
    points: Float[np.ndarray, "n 3"],
    seen: Bool[np.ndarray, " n"],
    action_point: Float[np.ndarray, "3"],
    config: BoundaryConfig,
) -> Bool[np.ndarray, " n"]:
    """Which points above the table hang together with what lies about the action point.

    Seen points are linked; a presumed one goes with the nearest seen one, for shadows bridge gaps.
    """
    belongs = np.zeros(len(points), bool)
    above = _above(volume, points, config.table_skin)
    known, presumed = np.flatnonzero(above & seen), np.flatnonzero(above & ~seen)
    if not len(known):
        return belongs
    tree = KDTree(points[known])
    links = tree.query_pairs(config.gap, output_type="ndarray")
    graph = coo_matrix((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(len(known),) * 2)
    _, label = connected_components(graph, directed=False)
    squared = ((points[known] - action_point) ** 2).sum(axis=1)
    votes = np.bincount(label, weights=np.exp(-0.5 * squared / config.attraction**2))
    belongs[known] = label == np.argmax(votes)
    belongs[presumed] = belongs[known][tree.query(points[presumed])[1]]
    return belongs
