"""Signed distances of a fused surface for hands: of the object, and of all else; unknown space is solid.

A TSDF knows distances up to its truncation only, and a hand is larger than its cube. Beyond the truncation
distances come from a Euclidean distance transform, and around the cube from a coarser grid with the table and
the obstacles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor

from point2act.core.geometry import distance_to_box
from point2act.core.types import OrientedBox
from point2act.grasping.antipodal.boundary import SolidPoints, SurfacePoints
from point2act.grasping.antipodal.volume import LocalVolume, interpolate, over_gap, solid_field


@dataclass(frozen=True)
class FieldConfig:
    """Grids of signed distances."""

    outer_half_size: float = 0.22
    """Half the side of the coarse grid around the action point, metres."""
    # A hand is 0.25 m long and is placed with its fingers at the action point.
    outer_voxel: float = 0.004
    """Side of a voxel of the coarse grid, metres."""
    smoothing: float = 1.0
    """Standard deviation of the filter of the object's distances, voxels; raw normals are noisy."""
    region_smoothing: float = 2.0
    """Standard deviation of the filter of the region's probability, voxels."""
    unseen_factor: float = 0.2
    """Factor on the region's probability where the object's surface was not seen but is presumed. Chosen."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Channels of numbers on a cube of voxels around the origin, interpolated trilinearly."""

    values: Float[Tensor, "1 c r r r"]
    half_size: float
    """Half the side of the cube that the voxels' centres span, metres."""

    def at(self, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n c"]:
        """Interpolate at points; beyond the cube the value is that of its border."""
        # grid_sample counts the last axis of the volume first.
        where = (points / self.half_size).flip(-1)[None, None]
        found = torch.nn.functional.grid_sample(
            self.values, where, mode="bilinear", padding_mode="border", align_corners=True
        )
        return found[0, :, 0].movedim(0, -1)

    def distance_at(self, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n"]:
        """Interpolate the first channel, a distance, which grows beyond the cube."""
        clamped = points.clamp(-self.half_size, self.half_size)
        beyond = (points - clamped).square().sum(dim=-1)
        return self.at(points)[..., 0] + torch.sqrt(beyond + 1e-12) - 1e-6

    def least_around(self, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b n"]:
        """Return the smallest value of the first channel at the voxel of each point and its 26 neighbours.

        It is never larger than the interpolated value, and takes a fifth of its time.
        """
        side = self.values.shape[-1]
        cells = ((points / self.half_size + 1) * (0.5 * (side - 1))).round().clamp(0, side - 1).int()
        flat = (cells[..., 0] * side + cells[..., 1]) * side + cells[..., 2]
        return self._lowest.take(flat.long())

    @cached_property
    def _lowest(self) -> Float[Tensor, "1 1 r r r"]:
        return -torch.nn.functional.max_pool3d(-self.values[:, :1], kernel_size=3, stride=1, padding=1)


@dataclass(frozen=True, eq=False)
class SceneField:
    """What a hand meets, in the volume frame.

    Channels of ``object``: signed distance in metres, three of its gradient, and the region's probability.
    """

    object: Grid
    body: Grid
    """Signed distance to the object alone, metres: the first channel of ``object``, unfiltered."""
    surroundings: Grid
    """Signed distance to the table, to neighbours and to unknown space that is not the object's, metres."""
    center: Float[Tensor, "3"]
    """Estimate of the object's centre of mass, metres."""

    def to(self, device: torch.device | str, dtype: torch.dtype) -> SceneField:
        """Return the field on a device."""
        object_, body, surroundings = (
            Grid(grid.values.to(device, dtype), grid.half_size)
            for grid in (self.object, self.body, self.surroundings)
        )
        return SceneField(object_, body, surroundings, self.center.to(device, dtype))


def scene_field(
    volume: LocalVolume,
    surface: SurfacePoints,
    solid: SolidPoints,
    probability: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]],
    avoid: Sequence[OrientedBox] = (),
    *,
    config: FieldConfig = FieldConfig(),
) -> SceneField:
    """Compute the signed distances around an action point.

    Args:
        volume: TSDF around the action point.
        surface: Its surface points, of the object and of the rest.
        solid: Observed points above the table, inside and outside the cube.
        probability: Returns the region's probability, in [0, 1], at points of the volume frame.
        avoid: Boxes to keep away from, volume frame.
        config: Sizes and smoothing.
    """
    field = solid_field(volume)
    of_object = _nearest_is_object(volume, surface)
    occupied = (field <= 0) & ~_table_voxels(volume)
    own = _signed_distance(volume, field, occupied & of_object)
    rest = _signed_distance(volume, field, (field <= 0) & ~(occupied & of_object))
    smooth = gaussian_filter(own, config.smoothing)
    wanted = _probabilities(volume, surface, probability, config.region_smoothing, config.unseen_factor)
    outer = _outer(volume, rest, solid.points[~solid.on_object], config)
    if avoid:
        centers = _voxel_centers(len(outer), config.outer_half_size)
        apart = np.min([distance_to_box(centers, box) for box in avoid], axis=0)
        outer = np.minimum(outer, apart.reshape(outer.shape))
    return SceneField(
        _grid([smooth, *np.gradient(smooth, volume.voxel), wanted], volume.half_size),
        _grid([own], volume.half_size),
        _grid([outer], config.outer_half_size),
        torch.as_tensor(solid.centroid(np.zeros(3)), dtype=torch.float64),
    )


def _grid(channels: list[np.ndarray], half_size: float) -> Grid:
    return Grid(torch.as_tensor(np.stack(channels)[None], dtype=torch.float64), half_size)


def _voxel_centers(resolution: int, half_size: float) -> Float[np.ndarray, "n 3"]:
    steps = np.linspace(-half_size, half_size, resolution)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)


def _table_voxels(volume: LocalVolume) -> Bool[np.ndarray, "r r r"]:
    """Return the voxels below the table's plane and not over a gap of it."""
    resolution = volume.tsdf.shape[0]
    if volume.table is None:
        return np.zeros(volume.tsdf.shape, dtype=bool)
    centers = _voxel_centers(resolution, volume.half_size)
    below = (volume.heights(centers) < 0) & ~over_gap(volume, centers)
    return below.reshape(volume.tsdf.shape)


def _nearest_is_object(volume: LocalVolume, surface: SurfacePoints) -> Bool[np.ndarray, "r r r"]:
    """Return whether the surface point nearest to each voxel is on the object."""
    labels = np.zeros(volume.tsdf.shape, dtype=np.int8)
    last = volume.tsdf.shape[0] - 1
    index = np.clip(np.rint((surface.points + volume.half_size) / volume.voxel).astype(int), 0, last)
    labels[tuple(index.T)] = 1
    own = index[surface.on_object]
    labels[tuple(own.T)] = 2
    if not len(own):
        return np.zeros(labels.shape, dtype=bool)
    return _from_nearest(labels, labels > 0) == 2


def _from_nearest(values: np.ndarray, known: Bool[np.ndarray, "r r r"]) -> np.ndarray:
    """Return for each voxel the value of the nearest known one."""
    index = np.asarray(distance_transform_edt(~known, return_distances=False, return_indices=True))
    return values[index[0], index[1], index[2]]


def _cells_to_border(occupied: Bool[np.ndarray, "r r r"]) -> Float[np.ndarray, "r r r"]:
    """Return distances to the border of occupied voxels, in voxels, negative inside; it lies between two."""
    # scipy leaves the interpreter free meanwhile: on two cores this takes half of the time.
    with ThreadPoolExecutor(2) as pool:
        outside, inside = map(np.asarray, pool.map(_cells_to_other, (~occupied, occupied)))
    return np.where(occupied, 0.5 - inside, outside - 0.5)


def _cells_to_other(chosen: Bool[np.ndarray, "r r r"]) -> Float[np.ndarray, "r r r"]:
    """Return distances of chosen voxels to the nearest other one, in voxels; 0 for the others.

    They are computed in the box around the chosen voxels and one layer more: seen from inside, no other voxel
    beyond the layer is nearer than the one of the layer before it.
    """
    found = np.zeros(chosen.shape)
    sides = [np.flatnonzero(chosen.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(max(side[0] - 1, 0), side[-1] + 2) for side in sides if len(side))
    if len(box) == chosen.ndim:
        found[box] = distance_transform_edt(chosen[box])
    return found


def _signed_distance(
    volume: LocalVolume, field: Float[np.ndarray, "r r r"], occupied: Bool[np.ndarray, "r r r"]
) -> Float[np.ndarray, "r r r"]:
    """Return distances to the border of what is occupied, metres, negative inside.

    Near an observed border the TSDF is finer than a voxel; elsewhere the border lies between two voxels.
    """
    if not occupied.any():
        return np.full(field.shape, 2 * volume.half_size)
    far = volume.voxel * _cells_to_border(occupied)
    near = (np.abs(far) < 1.5 * volume.voxel) & (np.abs(field) < 0.99 * volume.truncation)
    near &= (field <= 0) == occupied
    return np.where(near, field, far)


def _probabilities(
    volume: LocalVolume,
    surface: SurfacePoints,
    probability: Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]],
    smoothing: float,
    unseen: float,
) -> Float[np.ndarray, "r r r"]:
    """Return for each voxel the region's probability at the nearest point of the object."""
    last = volume.tsdf.shape[0] - 1
    points = surface.points[surface.on_object]
    index = np.clip(np.rint((points + volume.half_size) / volume.voxel).astype(int), 0, last)
    values, filled = np.zeros(volume.tsdf.shape), np.zeros(volume.tsdf.shape, dtype=bool)
    if not len(points):
        return values
    # A contact on a presumed surface may touch nothing.
    trust = np.where(surface.seen[surface.on_object], 1.0, unseen)
    values[tuple(index.T)], filled[tuple(index.T)] = trust * probability(points), True
    return gaussian_filter(_from_nearest(values, filled), smoothing)


def _outer(
    volume: LocalVolume,
    inner: Float[np.ndarray, "r r r"],
    points: Float[np.ndarray, "n 3"],
    config: FieldConfig,
) -> Float[np.ndarray, "s s s"]:
    """Return distances on the coarse grid: those of the cube inside it, and to points and table around it."""
    resolution = 2 * round(config.outer_half_size / config.outer_voxel) + 1
    centers = _voxel_centers(resolution, config.outer_half_size)
    shape = (resolution,) * 3
    within = (np.abs(centers) <= volume.half_size).all(axis=1).reshape(shape)
    fine = interpolate(volume, inner, centers, outside=np.inf).reshape(shape)
    occupied = within & (fine <= 0)
    index = np.rint((points + config.outer_half_size) / config.outer_voxel).astype(int)
    index = index[((index >= 0) & (index < resolution)).all(axis=1)]
    occupied[tuple(index.T)] = True
    if not occupied.any():
        distance = np.full(shape, 2 * config.outer_half_size)
    else:
        distance = config.outer_voxel * _cells_to_border(occupied)
    # Inside the cube the finer distances hold, unless something outside it is nearer.
    distance = np.where(within & (distance > fine - 2 * config.outer_voxel), fine, distance)
    if volume.table is not None:
        height = np.where(over_gap(volume, centers), np.inf, volume.heights(centers))
        distance = np.minimum(distance, height.reshape(shape))
    return distance
