"""Where the Gaussians start: on depth images, on a point cloud, on triangulated features, or spread.

The better the start, the fewer steps the fit needs. All functions return Gaussians in the world frame
of the views, coloured by spherical harmonics of degree 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.core.errors import SceneError
from point2act.core.geometry import frame_from_normal
from point2act.core.ply import as_columns, read_ply
from point2act.core.types import GaussianScene, View
from point2act.splatting.fill import fill_holes, random_surfels
from point2act.splatting.gaussians import SH_DC
from point2act.splatting.surfels import (
    Surfels,
    concatenate,
    count_votes,
    local_planes,
    orient_towards,
    quaternions_from_normals,
    spacing,
    surfels_of_view,
    voxel_downsample,
)

Progress = Callable[[int, int], None]

_AGREEMENT = 0.3
"""Normals of a cell whose mean is shorter than this contradict one another: ask the neighbours."""

_MAX_COPIES = 3
"""Of each point of a sparse cloud: measured on photographs, 3 gain 1 dB after 300 steps, more cost time."""

_WIDEST = 0.1
"""Of the distance to the camera: a stray point must not become a wall."""

_NEAREST = 1e-3
"""Of the median distance to the camera, or of one unit: a point in a camera's centre has a size too."""


# Of a cloud's points, from the origin: squares of what is further away overflow sooner or later. Chosen.
_FAR = 1e7
_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class StartConfig:
    """How many Gaussians to start with, and how they look."""

    target_count: int = 30_000
    """About how many Gaussians to start with where the data allow it."""
    fill_share: float = 0.1
    """At most this share more where no depth is: shiny things, the background out of range."""
    opacity: float = 0.8
    """Of Gaussians on measured surfaces."""
    cloud_opacity: float = 0.3
    """Of Gaussians on and around the points of a cloud, which may be off the surface."""
    loose_opacity: float = 0.1
    """Of Gaussians spread at random. The value of 3DGS (Kerbl et al. 2023)."""
    width: float = 0.7
    """Standard deviation along the surface, as a share of the distance to the neighbours."""
    thickness: float = 0.3
    """Smallest standard deviation along the normal, as a share of the one along the surface."""
    depth_tolerance: float = 0.02
    """Depths that differ by less than this share agree."""
    min_features: int = 100
    """With fewer triangulated features than this the start is spread at random."""


@dataclass(frozen=True, eq=False)
class InitialGaussians:
    """Gaussians to fit, and where they come from."""

    scene: GaussianScene
    source: str
    """``depth``, ``cloud``, ``features`` or ``spread``."""
    detail: str
    """The rest of the sentence "30000 Gaussians ..."."""


def initialize_gaussians(
    views: Sequence[View],
    *,
    point_cloud_path: Path | None,
    config: StartConfig = StartConfig(),
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> InitialGaussians:
    """Start from the best that there is: depth, else the point cloud, else features, else spread.

    Views are undistorted and in the world frame, as is the point cloud (PLY with x, y, z and, at will,
    red, green, blue). Raises ``SceneError`` where there are no views or the cloud cannot be read.
    """
    if not views:
        raise SceneError("the capture has no views, so there is nothing to start from: add frames to it")
    with_depth = sum(view.depth is not None for view in views)
    if with_depth:
        scene = from_depth(views, config, rng, progress=progress)
        if len(scene):
            return InitialGaussians(scene, "depth", f"on the depth images of {with_depth} views")
    if point_cloud_path is not None:
        points, colors = read_cloud(point_cloud_path)
        if len(points):
            scene = from_cloud(points, colors, views, config, rng)
            return InitialGaussians(scene, "cloud", f"on the {len(points)} points of {point_cloud_path.name}")
    from point2act.splatting.triangulate import triangulate  # late: pycolmap, and most captures have depth

    points, colors = triangulate(views, progress=progress)
    if len(points) >= config.min_features:
        scene = from_cloud(points, colors, views, config, rng)
        return InitialGaussians(
            scene, "features", f"on {len(points)} features triangulated from {len(views)} views"
        )
    scene = from_nothing(views, config, rng)
    return InitialGaussians(
        scene, "spread", f"spread before the cameras, where only {len(points)} features were found"
    )


def from_depth(
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
    *,
    progress: Progress | None = None,
) -> GaussianScene:
    """Flat Gaussians on the surfaces that the depth images show; none where no depth can be used.

    Masked pixels, flying pixels at edges, and what no more views measure than look through are left out.
    """
    parts = []
    for done, view in enumerate(views, start=1):
        parts.append(surfels_of_view(view))
        if progress is not None:
            progress(done, len(views))
    surfels = voxel_downsample(concatenate(parts), views, config.target_count)
    measured, crossed = count_votes(surfels.points, views, config.depth_tolerance)
    surfels = surfels[measured > crossed]
    if len(surfels) == 0:
        return _gaussians(surfels, np.zeros((0, 3)), config.opacity)
    surfels = _mend_normals(surfels, views)
    scales = _scales(surfels, views, config, np.zeros(len(surfels)))
    return _with_filled_holes(surfels, scales, config.opacity, views, config, rng)


def from_cloud(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
) -> GaussianScene:
    """Gaussians on given points with colours in [0, 1], as wide as the distance to three neighbours.

    They are as flat as the points around them. A cloud of more than the target count is thinned; one
    of few points is thickened with copies scattered over each Gaussian.
    """
    cloud = Surfels(points, np.zeros_like(points), colors)
    if len(cloud) > config.target_count:
        cloud = voxel_downsample(cloud, views, config.target_count)
    normals, flat = local_planes(cloud.points)
    cloud = Surfels(cloud.points, orient_towards(normals, cloud.points, _eyes(views)), cloud.colors)
    copies = min(_MAX_COPIES, config.target_count // len(cloud))
    if copies > 1:
        cloud = _scatter(cloud, _scales(cloud, views, config, flat), copies, rng)
        flat = np.tile(flat, copies)
    scales = _scales(cloud, views, config, flat)
    return _with_filled_holes(cloud, scales, config.cloud_opacity, views, config, rng)


def from_nothing(views: Sequence[View], config: StartConfig, rng: np.random.Generator) -> GaussianScene:
    """Faint round Gaussians at random depths around the place that the cameras look at."""
    cloud = random_surfels(views, config.target_count, rng)
    return _gaussians(cloud, _scales(cloud, views, config, np.ones(len(cloud))), config.loose_opacity)


def read_cloud(path: Path) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points of a PLY file and their colours in [0, 1], grey where it has none.

    Points that are not finite or absurdly far are left out. Raises ``SceneError`` where the file cannot
    be read or has no coordinates.
    """
    vertices = read_ply(path, SceneError)
    names = vertices.dtype.names or ()
    if not {"x", "y", "z"} <= set(names):
        raise SceneError(f"{path} has no x, y and z: give a PLY file with points, or remove ply_file_path")
    points = as_columns(vertices, "xyz")
    colors = np.full_like(points, 0.5)
    if set(_CHANNELS) <= set(names):
        first = vertices.dtype[_CHANNELS[0]]
        colors = as_columns(vertices, _CHANNELS) / (np.iinfo(first).max if first.kind in "iu" else 1.0)
    near = (np.abs(points) <= _FAR).all(axis=1)  # no NaN is
    return points[near], np.clip(np.nan_to_num(colors[near], nan=0.5), 0.0, 1.0)


def _mend_normals(surfels: Surfels, views: Sequence[View]) -> Surfels:
    """Unit normals; those of the neighbours' plane where the surfel's own are not to be trusted."""
    planes = orient_towards(local_planes(surfels.points)[0], surfels.points, _eyes(views))
    lengths = np.linalg.norm(surfels.normals, axis=1, keepdims=True)
    normals = np.where(lengths < _AGREEMENT, planes, surfels.normals / np.maximum(lengths, _AGREEMENT))
    return Surfels(surfels.points, normals, surfels.colors)


def _scales(
    surfels: Surfels, views: Sequence[View], config: StartConfig, roundness: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Sizes from the distance to the neighbours, at least a pixel; the third axis is the normal's."""
    distance, _ = KDTree(_eyes(views)).query(surfels.points)
    distance = np.maximum(distance, _NEAREST * (np.median(distance) or 1.0))
    pixel = distance / max(view.camera.fx for view in views)
    along = config.width * np.clip(spacing(surfels.points), pixel, np.maximum(pixel, _WIDEST * distance))
    return np.stack([along, along, np.maximum(roundness, config.thickness) * along], axis=1)


def _scatter(
    cloud: Surfels, scales: Float[np.ndarray, "n 3"], copies: int, rng: np.random.Generator
) -> Surfels:
    """The cloud, then copies of it with every point drawn anew from its Gaussian."""
    frames = np.tile(frame_from_normal(cloud.normals), (copies - 1, 1, 1))
    steps = rng.standard_normal((len(frames), 3)) * np.tile(scales, (copies - 1, 1))
    moved = concatenate([cloud] * (copies - 1))
    moved = replace(moved, points=moved.points + np.einsum("nij,nj->ni", frames, steps))
    return concatenate([cloud, moved])


def _with_filled_holes(
    surfels: Surfels,
    scales: Float[np.ndarray, "n 3"],
    opacity: float,
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
) -> GaussianScene:
    budget = round(config.fill_share * config.target_count)
    holes, widths = fill_holes(surfels, views, budget=budget, tolerance=config.depth_tolerance, rng=rng)
    flat = config.width * widths[:, None] * np.array([1.0, 1.0, config.thickness])
    return _gaussians(concatenate([surfels, holes]), np.concatenate([scales, flat]), opacity)


def _gaussians(surfels: Surfels, scales: Float[np.ndarray, "n 3"], opacity: float) -> GaussianScene:
    return GaussianScene(
        means=surfels.points,
        quats=quaternions_from_normals(surfels.normals),
        scales=scales,
        opacities=np.full(len(surfels), opacity),
        sh=((surfels.colors - 0.5) / SH_DC)[:, None, :],
    )


def _eyes(views: Sequence[View]) -> Float[np.ndarray, "v 3"]:
    return np.array([view.T_world_cam[:3, 3] for view in views])
