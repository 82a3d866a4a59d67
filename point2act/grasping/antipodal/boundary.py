"""Surface points and normals of a TSDF, and segmentation of the object from the table and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from point2act.core.pieces import connected_pieces
from point2act.grasping.antipodal.volume import (
    LocalVolume,
    interpolate,
    over_gap,
    solid_field,
    zero_crossings,
)
from point2act.grasping.records import Records


@dataclass(frozen=True)
class NormalConfig:
    """Bilateral smoothing of normals."""

    # Chosen on simulated tables against the true shapes: half of the normals are within 4 degrees, 88 %
    # within 15; normals of a field smoothed by one voxel: 8 degrees and 71 %.

    distance_sigma: float = 0.004
    """Standard deviation of the weight by distance, metres; truncated at 1.5 times that."""
    angle_scale: float = 0.25
    """Scale of the weight by angle between normals, radians; keeps edges sharp."""
    iterations: int = 3
    """Number of smoothing passes."""


@dataclass(frozen=True)
class BoundaryConfig:
    """Extraction of surface points from the TSDF and segmentation of the object."""

    normals: NormalConfig = field(default_factory=NormalConfig)
    """Smoothing of the object's normals."""
    presumed_distance: float = 0.012
    """Largest distance from an observed surface at which the border between free and unobserved space counts
    as a presumed surface, metres."""
    # About the depth that fingertips reach: cameras on one side see nothing of the other.
    table_thickness: tuple[float, float] = (0.002, 0.005)
    """Smallest and largest height of points that belong to the table, metres; between them three times its
    roughness counts."""
    # A voxel, and the noise of real depth cameras on a plane.
    max_gap: float = 0.004
    """Largest distance between neighbouring points of one connected component, metres."""
    # Just over a voxel's diagonal.
    attraction_width: float = 0.010
    """Standard deviation of the Gaussian at the action point that selects the object's component, metres."""
    obstacle_gap: float = 0.010
    """Largest distance between neighbouring points of one component outside the volume, metres."""
    # Two cells of the coarser cloud there.
    obstacle_area: float = 6.25
    """Area of a point outside the volume, in points of the volume: (5 mm / 2 mm)²."""


@dataclass(frozen=True, eq=False)
class SurfacePoints(Records):
    """Points on the surface in the volume frame, one per voxel."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Outward, unit length."""
    seen: Bool[np.ndarray, " n"]
    """False for presumed surface at the border of unobserved space."""
    on_object: Bool[np.ndarray, " n"]
    """Points in the connected component at the action point."""

    @cached_property
    def tree(self) -> KDTree:
        """Search tree of the points."""
        return KDTree(self.points)


@dataclass(frozen=True, eq=False)
class SolidPoints(Records):
    """Observed points above the table that a gripper must not collide with, in the volume frame."""

    points: Float[np.ndarray, "n 3"]
    on_object: Bool[np.ndarray, " n"]
    """Points of the object that is lifted."""
    area: Float[np.ndarray, " n"]
    """Area that a point represents, in voxel faces."""

    def centroid(self, default: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """Return the mean of the object's observed surface, an estimate of its centre of mass."""
        own = self.on_object
        return np.average(self.points[own], axis=0, weights=self.area[own]) if own.any() else default


def surface_points(
    volume: LocalVolume, action_point: Float[np.ndarray, "3"], *, config: BoundaryConfig
) -> SurfacePoints:
    """Extract the zero crossings between neighbouring voxels, and segment the object.

    Args:
        action_point: Point on or near the object, volume frame, metres.

    Returns:
        Observed points, and presumed ones where free space borders unobserved space near an observed point.
    """
    crossings = [zero_crossings(solid_field(volume), volume.observed, axis) for axis in range(3)]
    points, seen = (np.concatenate(column) for column in zip(*crossings, strict=True))
    points, seen = _one_per_voxel(points * volume.voxel - volume.half_size, seen, volume.voxel)
    if seen.any() and not seen.all():
        distance, _ = KDTree(points[seen]).query(points, distance_upper_bound=config.presumed_distance)
        near = seen | np.isfinite(distance)
        points, seen = points[near], seen[near]
    elif not seen.any():
        points, seen = points[:0], seen[:0]
    on_object = _connected(volume, points, seen, action_point, config)
    normals = field_gradients(volume, points)
    normals[on_object] = smooth_normals(points[on_object], normals[on_object], config=config.normals)
    return SurfacePoints(points, normals, seen, on_object)


def _one_per_voxel(
    points: Float[np.ndarray, "n 3"], seen: Bool[np.ndarray, " n"], voxel: float
) -> tuple[Float[np.ndarray, "m 3"], Bool[np.ndarray, " m"]]:
    """Return the mean of the points in each cell; observed and presumed points are not mixed."""
    cell = np.floor(points / voxel).astype(np.int64) + 1024
    key = (cell @ np.array([1 << 22, 1 << 11, 1])) * 2 + seen
    _, where, count = np.unique(key, return_inverse=True, return_counts=True)
    sums = [np.bincount(where, weights=column, minlength=len(count)) for column in points.T]
    flags = np.zeros(len(count), bool)
    flags[where] = seen
    return np.stack(sums, axis=1) / count[:, None], flags


def solid_points(volume: LocalVolume, surface: SurfacePoints, *, config: BoundaryConfig) -> SolidPoints:
    """Return all observed points above the table, inside and outside the volume."""
    inner, outer = surface.only(surface.seen), volume.obstacles_in_volume
    solid = SolidPoints(
        np.concatenate([inner.points, outer]),
        np.concatenate([inner.on_object, np.zeros(len(outer), bool)]),
        np.repeat([1.0, config.obstacle_area], [len(inner.points), len(outer)]),
    )
    beyond_edge = over_gap(volume, solid.points)
    beyond_edge &= volume.heights(solid.points) < -config.table_thickness[1]
    solid = solid.only(beyond_edge | _above_table(volume, solid.points, config.table_thickness))
    on_object = solid.on_object
    beyond = np.flatnonzero(~on_object & (solid.area > 1))
    if on_object.any() and len(beyond):
        chain = np.concatenate([solid.points[on_object], solid.points[beyond]])
        label, count = connected_pieces(chain, config.obstacle_gap), int(on_object.sum())
        on_object[beyond] = np.isin(label[count:], np.unique(label[:count]))
    return solid


def _above_table(
    volume: LocalVolume, points: Float[np.ndarray, "n 3"], thickness: tuple[float, float]
) -> Bool[np.ndarray, " n"]:
    """Return which points are higher than the roughness of the table."""
    height = volume.heights(points)
    of_table = np.abs(height[np.abs(height) < thickness[1]])
    # 1.48 times the median of absolute deviations is a standard deviation (Hampel 1974).
    roughness = 1.48 * float(np.median(of_table)) if len(of_table) else 0.0
    return height > np.clip(3 * roughness, *thickness)


def _connected(
    volume: LocalVolume,
    points: Float[np.ndarray, "n 3"],
    seen: Bool[np.ndarray, " n"],
    action_point: Float[np.ndarray, "3"],
    config: BoundaryConfig,
) -> Bool[np.ndarray, " n"]:
    """Return which points above the table are connected with the surface at the action point.

    The component with the largest sum of Gaussian weights wins, not the one with the nearest point. Observed
    points form the components; a presumed point joins its nearest observed one, since shadows bridge gaps.
    """
    on_object = np.zeros(len(points), bool)
    above = _above_table(volume, points, config.table_thickness)
    known, presumed = np.flatnonzero(above & seen), np.flatnonzero(above & ~seen)
    if not len(known):
        return on_object
    label = connected_pieces(points[known], config.max_gap)
    squared = ((points[known] - action_point) ** 2).sum(axis=1)
    votes = np.bincount(label, weights=np.exp(-0.5 * squared / config.attraction_width**2))
    on_object[known] = label == np.argmax(votes)
    on_object[presumed] = on_object[known][KDTree(points[known]).query(points[presumed])[1]]
    return on_object


def field_gradients(volume: LocalVolume, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the unit gradient of the signed distance at points of the volume frame: the outward normal.

    Central differences over one voxel, ``g_i = f(x + h e_i) - f(x - h e_i)``, normalised.
    """
    field = solid_field(volume)
    slope = [
        interpolate(volume, field, points + step, outside=0.0)
        - interpolate(volume, field, points - step, outside=0.0)
        for step in volume.voxel * np.eye(3)
    ]
    gradient = np.stack(slope, axis=1).astype(float)
    return gradient / np.maximum(np.linalg.norm(gradient, axis=1, keepdims=True), 1e-12)


def smooth_normals(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], *, config: NormalConfig
) -> Float[np.ndarray, "n 3"]:
    """Smooth unit normals with a bilateral filter, which keeps edges.

    ``n_i <- normalise(n_i + sum_j exp(-|x_i - x_j|² / 2 s²) exp(-(1 - n_i . n_j) / a²) n_j)`` over the points
    j within 1.5 s (Tomasi and Manduchi 1998; on normals of meshes Zheng et al. 2011); ``1 - cos t ~ t² / 2``.
    """
    pairs = KDTree(points).query_pairs(1.5 * config.distance_sigma, output_type="ndarray")
    here, there = pairs.T
    squared = ((points[here] - points[there]) ** 2).sum(axis=1)
    near = np.exp(-0.5 * squared / config.distance_sigma**2)
    for _ in range(config.iterations):
        cosine = (normals[here] * normals[there]).sum(axis=1)
        weight = near * np.exp(-(1 - cosine) / config.angle_scale**2)
        total = normals.copy()
        for axis in range(3):
            total[:, axis] += np.bincount(here, weight * normals[there, axis], minlength=len(points))
            total[:, axis] += np.bincount(there, weight * normals[here, axis], minlength=len(points))
        normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return normals
