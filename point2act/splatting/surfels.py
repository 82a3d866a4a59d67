"""Surfels, i.e. oriented and coloured surface points, from depth images and point clouds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from point2act.core.geometry import (
    back_project,
    frame_from_normal,
    inside,
    invert,
    pixel_centers,
    project,
    transform_points,
)
from point2act.core.types import Camera, View

_ADJACENT = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_MAX_SLOPE = float(np.tan(np.radians(80.0)))
"""Larger depth steps are edges: surfaces at more than 80 degrees to the ray return next to no light."""
_MIN_COMPANIONS = 3
"""Smallest number of the eight adjacent pixels on the same surface. A pixel on a straight edge has 5, of a
wire two pixels wide 5, of a column of flying pixels between an object and its background at most 2."""
_PLANE_NEIGHBOURS = 8
"""Nearest neighbours of local planes: enough to average noise, few enough to follow edges."""


@dataclass(frozen=True, eq=False)
class Surfels:
    """Oriented and coloured surface points in world coordinates."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Normals, weighted by their length; zero where unknown."""
    colors: Float[np.ndarray, "n 3"]
    """Colours in [0, 1]."""

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, chosen: np.ndarray) -> Surfels:
        return Surfels(self.points[chosen], self.normals[chosen], self.colors[chosen])


def concatenate(parts: Sequence[Surfels]) -> Surfels:
    """Return the surfels of all parts, in order."""
    empty = np.zeros((0, 3))
    return Surfels(
        np.concatenate([empty, *(part.points for part in parts)]),
        np.concatenate([empty, *(part.normals for part in parts)]),
        np.concatenate([empty, *(part.colors for part in parts)]),
    )


def usable_depth(view: View) -> Float[np.ndarray, "h w"]:
    """Return the depth image with 0 where a reading is missing, non-finite or masked."""
    if view.depth is None:
        return np.zeros(view.rgb.shape[:2])
    usable = np.isfinite(view.depth) & (view.depth > 0)
    if view.mask is not None:
        usable &= view.mask
    return np.where(usable, view.depth, 0.0)


def surfels_of_view(view: View) -> Surfels:
    """Return one surfel for each pixel with a reliable depth; normals point to the camera."""
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
    """Return the readings that share a surface with enough adjacent pixels, i.e. are no flying pixels."""
    height, width = depth.shape
    padded = np.pad(depth, 1)
    pixel = depth / min(camera.fx, camera.fy)
    companions = np.zeros(depth.shape, dtype=int)
    for dy, dx in _ADJACENT:
        other = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        companions += (other > 0) & (np.abs(other - depth) <= _MAX_SLOPE * np.hypot(dy, dx) * pixel)
    return (depth > 0) & (companions >= _MIN_COMPANIONS)


def _depth_normals(depth: Float[np.ndarray, "h w"], camera: Camera) -> Float[np.ndarray, "h w 3"]:
    """Return normals in the camera frame, towards the camera, 0 where a gradient is missing.

    With the surface point P = z (x, y, 1), (x, y) = (X/Z, Y/Z), and the depth gradients a = fx z_u / z and
    b = fy z_v / z, the cross product of its derivatives along the pixel axes is proportional to
    (a, b, -(1 + x a + y b)). This is linear in the depth's gradient, so that noise averages out in sums of
    normals; unit normals would be biased towards the camera.
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
    """Return the depth change per pixel to the right, averaged over differences that cross no edge."""
    step = np.diff(depth, axis=1)
    near = np.minimum(depth[:, 1:], depth[:, :-1])
    smooth = (near > 0) & (np.abs(step) <= _MAX_SLOPE * near / focal)
    step = np.where(smooth, step, 0.0)
    total = np.pad(step, ((0, 0), (0, 1))) + np.pad(step, ((0, 0), (1, 0)))
    count = np.pad(smooth, ((0, 0), (0, 1))).astype(int) + np.pad(smooth, ((0, 0), (1, 0)))
    return total / np.maximum(count, 1), count > 0


def voxel_downsample(surfels: Surfels, views: Sequence[View], target: int) -> Surfels:
    """Average the surfels in each voxel, with a voxel size that leaves about ``target`` of them.

    Voxels grow in octaves with the distance from the nearest camera, for the same detail in the images near
    and far, and are at least a pixel's footprint. The grid is aligned to the first camera: results rotate
    with the world, and planes at round world coordinates do not fall between two layers of voxels. Normals
    keep the length of their mean over the mean of their lengths: 1 where all agree, near 0 where they
    contradict.
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
    """Return a key for each voxel: its octave, and twenty bits for each coordinate."""
    cells = np.floor(local / (size * 2.0**octave)[:, None]).astype(np.int64) & (2**20 - 1)
    return ((octave.astype(np.int64) << 20 | cells[:, 0]) << 20 | cells[:, 1]) << 20 | cells[:, 2]


def _cell_size(
    local: Float[np.ndarray, "n 3"], octave: Float[np.ndarray, " n"], pixel: float, target: int
) -> float:
    """Return the voxel size that leaves about ``target``: on surfaces, their number falls with its square."""
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
    """Count the views that confirm each point, and the views that contradict it.

    A view confirms a point if its depth at the point's pixel agrees within ``tolerance`` times the depth, and
    contradicts it if that pixel and all adjacent ones measure more than that behind the point.
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


def spacing(points: Float[np.ndarray, "n 3"], *, neighbours: int = 3) -> Float[np.ndarray, " n"]:
    """Return the root mean square distance to the nearest neighbours; infinite for a point without any.

    Three neighbours are 3DGS's choice for the size of initial Gaussians (Kerbl et al. 2023, section 5.1).
    """
    k = min(neighbours, len(points) - 1)
    if k < 1:
        return np.full(len(points), np.inf)
    distances, _ = KDTree(points).query(points, k=k + 1)
    return np.sqrt(np.mean(distances[:, 1:] ** 2, axis=1))


def local_planes(
    points: Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Return unit normals of unknown sign, and the flatness of each neighbourhood, by principal components.

    The flatness is the smallest over the largest standard deviation of the eight nearest neighbours: 0 in a
    plane, near 1 in a ball, and 1 where there are too few points.
    """
    k = min(_PLANE_NEIGHBOURS, len(points) - 1)
    if k < 3:
        return np.tile([0.0, 0.0, 1.0], (len(points), 1)), np.ones(len(points))
    _, nearest = KDTree(points).query(points, k=k + 1)
    around = points[nearest] - points[nearest].mean(axis=1, keepdims=True)
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    widest = np.maximum(variances[:, 2], np.finfo(float).tiny)
    return axes[:, :, 0], np.sqrt(np.clip(variances[:, 0] / widest, 0.0, 1.0))


def orient_towards(
    normals: Float[np.ndarray, "n 3"], points: Float[np.ndarray, "n 3"], eyes: Float[np.ndarray, "c 3"]
) -> Float[np.ndarray, "n 3"]:
    """Flip each normal to the side of the nearest camera centre."""
    _, nearest = KDTree(eyes).query(points)
    away = np.einsum("ni,ni->n", normals, eyes[nearest] - points) < 0
    return np.where(away[:, None], -normals, normals)


def quaternions_from_normals(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    """Return wxyz quaternions that rotate the z axis to the given unit normals."""
    return np.roll(Rotation.from_matrix(frame_from_normal(normals)).as_quat(), 1, axis=1)
