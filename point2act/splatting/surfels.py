"""Depth images into oriented, coloured surface points: back-project, reject, voxel_downsample, cross-check.

A surfel is a point of a surface with a normal and a colour. numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from point2act.core.geometry import back_project, inside, invert, pixel_centers, project, transform_points
from point2act.core.types import Camera, View

_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]

_MAX_SLOPE = float(np.tan(np.radians(80.0)))
"""Surfaces steeper than 80 degrees to the ray return next to no light: a larger jump is an edge."""

_MIN_COMPANIONS = 3
"""Of the eight neighbours. A pixel on a straight edge has 5, one of a wire two pixels wide 5, one of
a column of pixels that a sensor invented between an object and its background at most 2."""


@dataclass(frozen=True, eq=False)
class Surfels:
    """Oriented surface points in world coordinates."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Of any length; in sums, the length is the weight. Zero where unknown."""
    colors: Float[np.ndarray, "n 3"]
    """In [0, 1]."""

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, chosen: np.ndarray) -> Surfels:
        return Surfels(self.points[chosen], self.normals[chosen], self.colors[chosen])


def concatenate(parts: Sequence[Surfels]) -> Surfels:
    """All surfels of all parts, in order."""
    empty = np.zeros((0, 3))
    return Surfels(
        np.concatenate([empty, *(part.points for part in parts)]),
        np.concatenate([empty, *(part.normals for part in parts)]),
        np.concatenate([empty, *(part.colors for part in parts)]),
    )


def usable_depth(view: View) -> Float[np.ndarray, "h w"]:
    """The depth image with 0 wherever there is no reading, no finite one, or the mask forbids."""
    if view.depth is None:
        return np.zeros(view.rgb.shape[:2])
    usable = np.isfinite(view.depth) & (view.depth > 0)
    if view.mask is not None:
        usable &= view.mask
    return np.where(usable, view.depth, 0.0)


def surfels_of_view(view: View) -> Surfels:
    """One surfel for each pixel with a trustworthy depth; normals point to the camera."""
    depth = usable_depth(view)
    rows, columns = np.nonzero(_solid(depth, view.camera))
    pixels = np.stack([columns, rows], axis=1) + 0.5
    normals = _depth_normals(depth, view.camera)[rows, columns]
    return Surfels(
        back_project(view.camera, view.T_world_cam, pixels, depth[rows, columns]),
        normals @ view.T_world_cam[:3, :3].T,
        view.rgb[rows, columns] / 255.0,
    )


def _solid(depth: Float[np.ndarray, "h w"], camera: Camera) -> Bool[np.ndarray, "h w"]:
    """Which readings lie on a surface with enough of their neighbours, so are no flying pixels."""
    height, width = depth.shape
    padded = np.pad(depth, 1)
    pixel = depth / min(camera.fx, camera.fy)
    companions = np.zeros(depth.shape, dtype=int)
    for dy, dx in _NEIGHBOURS:
        other = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        companions += (other > 0) & (np.abs(other - depth) <= _MAX_SLOPE * np.hypot(dy, dx) * pixel)
    return (depth > 0) & (companions >= _MIN_COMPANIONS)


def _depth_normals(depth: Float[np.ndarray, "h w"], camera: Camera) -> Float[np.ndarray, "h w 3"]:
    """Normals in the camera frame, towards the camera, 0 where a gradient is missing.

    The cross product of the derivatives of z * (x/z, y/z, 1), divided by z^2 / (fx fy). It is linear
    in the depth's gradient, so that noise averages out in sums of neighbouring normals; normals of
    unit length would be biased towards the camera.
    """
    z = np.where(depth > 0, depth, 1.0)
    along_x, known_x = _gradient(depth, camera.fx)
    along_y, known_y = _gradient(depth.T, camera.fy)
    a, b = camera.fx * along_x / z, camera.fy * along_y.T / z
    rays = pixel_centers(*depth.shape)
    x, y = (rays[..., 0] - camera.cx) / camera.fx, (rays[..., 1] - camera.cy) / camera.fy
    normals = np.stack([a, b, -(1.0 + x * a + y * b)], axis=-1)
    return np.where((known_x & known_y.T)[..., None], normals, 0.0)


def _gradient(
    depth: Float[np.ndarray, "h w"], focal: float
) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Depth change a pixel to the right: mean of the differences that do not cross an edge."""
    step = np.diff(depth, axis=1)
    near = np.minimum(depth[:, 1:], depth[:, :-1])
    smooth = (near > 0) & (np.abs(step) <= _MAX_SLOPE * near / focal)
    step = np.where(smooth, step, 0.0)
    total = np.pad(step, ((0, 0), (0, 1))) + np.pad(step, ((0, 0), (1, 0)))
    count = np.pad(smooth, ((0, 0), (0, 1))).astype(int) + np.pad(smooth, ((0, 0), (1, 0)))
    return total / np.maximum(count, 1), count > 0


def voxel_downsample(surfels: Surfels, views: Sequence[View], target: int) -> Surfels:
    """Average the surfels in each cell of a grid, with cells so large that about ``target`` are left.

    Cells grow in octaves with the distance from the nearest camera, so that near and far things get
    the same detail in the images; they are never smaller than a pixel's footprint. The grid is that
    of the first camera: turning the world turns the result, and planes of the world, which often lie
    on round coordinates, do not fall between two layers of cells. Normals keep the length of their
    mean, relative to the mean of their lengths: 1 where all agree, near 0 where they contradict.
    """
    if len(surfels) == 0:
        return surfels
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    distance, _ = KDTree(eyes).query(surfels.points)
    typical = float(np.median(distance))
    octave = np.round(np.log2(np.maximum(distance, 1e-6 * typical) / typical))
    local = transform_points(invert(views[0].T_world_cam), surfels.points)
    pixel = typical / max(view.camera.fx for view in views)
    keys = _cells(local, octave, _cell_size(local, octave, pixel, target))
    _, groups, count = np.unique(keys, return_inverse=True, return_counts=True)
    lengths = np.bincount(groups, np.linalg.norm(surfels.normals, axis=1))
    return Surfels(
        _sums(surfels.points, groups) / count[:, None],
        _sums(surfels.normals, groups) / np.maximum(lengths, 1e-12)[:, None],
        _sums(surfels.colors, groups) / count[:, None],
    )


def _cells(
    local: Float[np.ndarray, "n 3"], octave: Float[np.ndarray, " n"], size: float
) -> Int[np.ndarray, " n"]:
    """One number for each cell: octave and three coordinates, twenty bits for each of these."""
    cells = np.floor(local / (size * 2.0**octave)[:, None]).astype(np.int64) & (2**20 - 1)
    return ((octave.astype(np.int64) << 20 | cells[:, 0]) << 20 | cells[:, 1]) << 20 | cells[:, 2]


def _cell_size(
    local: Float[np.ndarray, "n 3"], octave: Float[np.ndarray, " n"], pixel: float, target: int
) -> float:
    """The cell size that leaves about ``target`` cells: on surfaces their number falls with its square."""
    every = max(1, len(local) // (20 * target))
    size = 4.0 * pixel
    for _ in range(6):
        count = len(np.unique(_cells(local[::every], octave[::every], size)))
        size = max(pixel, size * float(np.sqrt(count / target)))
    return size


def _sums(values: Float[np.ndarray, "n 3"], groups: Int[np.ndarray, " n"]) -> Float[np.ndarray, "m 3"]:
    return np.stack([np.bincount(groups, values[:, i]) for i in range(3)], axis=1)


def count_votes(
    points: Float[np.ndarray, "n 3"], views: Sequence[View], tolerance: float
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """How many views measured each point, and how many looked through it.

    A view measures a point when its depth at that pixel is within ``tolerance`` times the depth, and
    looks through it when it and all its neighbours read more than that behind the point.
    """
    measured, crossed = np.zeros(len(points), dtype=int), np.zeros(len(points), dtype=int)
    for view in views:
        if view.depth is None:
            continue
        depth = usable_depth(view)
        nearest = ndimage.minimum_filter(np.where(depth > 0, depth, np.inf), size=3)
        pixels, z = project(view.camera, view.T_world_cam, points)
        (seen,) = np.nonzero((z > 0) & inside(view.camera, pixels))
        columns, rows = pixels[seen].astype(int).T
        here, slack = depth[rows, columns], tolerance * z[seen]
        measured[seen] += (here > 0) & (np.abs(here - z[seen]) <= slack)
        crossed[seen] += (here > 0) & (nearest[rows, columns] > z[seen] + slack)
    return measured, crossed
