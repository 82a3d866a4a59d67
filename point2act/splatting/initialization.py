"""Initialisation of Gaussians from depth images, a point cloud, triangulated features, or at random.

All functions return Gaussians in the world frame of the views, coloured by spherical harmonics of degree 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.core.errors import SceneError
from point2act.core.geometry import frame_from_normal
from point2act.core.ply import as_columns, read_ply
from point2act.core.types import GaussianScene, ProgressCallback, View
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

_AGREEMENT = 0.3
"""Length of a voxel's mean normal below which the local plane's normal is used in its place."""
_MAX_COPIES = 3
"""Maximum number of Gaussians per point of a sparse cloud. On photographs, 3 gain 1 dB after 300 steps, and
more only cost time."""
_WIDEST = 0.1
"""Largest standard deviation over the distance to the camera, for points without near neighbours."""
_NEAREST = 1e-3
"""Smallest distance to the camera that sizes are computed from, over the median one (or one unit)."""


_FAR = 1e7
"""Largest coordinate of a cloud's points; squares of larger ones overflow sooner or later."""
_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class StartConfig:
    """Number, size and opacity of the initial Gaussians."""

    target_count: int = 30_000
    """Approximate number of initial Gaussians."""
    fill_share: float = 0.1
    """Maximum fraction of additional Gaussians in holes of the depth: shiny surfaces, distant background."""
    opacity: float = 0.8
    """Opacity of Gaussians on measured surfaces."""
    cloud_opacity: float = 0.3
    """Opacity of Gaussians at the points of a cloud, which may be off the surface."""
    loose_opacity: float = 0.1
    """Opacity of Gaussians at random places, as in 3DGS (Kerbl et al. 2023)."""
    width: float = 0.7
    """Standard deviation along the surface over the distance to the neighbours."""
    thickness: float = 0.3
    """Smallest standard deviation along the normal over the one along the surface."""
    depth_tolerance: float = 0.02
    """Relative difference below which depths agree."""
    min_features: int = 100
    """Smallest number of triangulated features to initialise from, in place of random places."""


@dataclass(frozen=True, eq=False)
class InitialGaussians:
    """Gaussians to fit, with their source."""

    scene: GaussianScene
    source: str
    """``depth``, ``cloud``, ``features`` or ``spread``."""
    detail: str
    """Source in words, for the sentence "30000 Gaussians ..."."""


def initialize_gaussians(
    views: Sequence[View],
    *,
    point_cloud_path: Path | None,
    config: StartConfig = StartConfig(),
    rng: np.random.Generator,
    progress: ProgressCallback | None = None,
) -> InitialGaussians:
    """Initialise Gaussians from the best source: depth, else a point cloud, else features, else at random.

    Args:
        views: Undistorted views in the world frame.
        point_cloud_path: PLY file in the world frame, with x, y, z and optionally red, green, blue.
        config: Number, size and opacity of the Gaussians.
        rng: Source of all random draws.
        progress: Called with the steps done and the steps in all.

    Raises:
        SceneError: If there are no views, or the cloud cannot be read.
    """
    if not views:
        raise SceneError("the capture has no views to initialise Gaussians from: add frames to it")
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
        scene, "spread", f"at random places before the cameras, as only {len(points)} features were found"
    )


def from_depth(
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
    *,
    progress: ProgressCallback | None = None,
) -> GaussianScene:
    """Return flat Gaussians on the surfaces that depth images show; an empty scene without usable depth.

    Masked pixels, flying pixels at edges, and points that no more views confirm than contradict are left out.
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
    surfels = _unit_normals(surfels, views)
    scales = _scales(surfels, views, config, np.zeros(len(surfels)))
    return _with_filled_holes(surfels, scales, config.opacity, views, config, rng)


def from_cloud(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
) -> GaussianScene:
    """Return Gaussians at given points with colours in [0, 1], as flat as the points around them.

    A cloud of more than the target count is downsampled; one of few points is augmented by copies drawn from
    each Gaussian.
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
    """Return faint round Gaussians at random depths around the point that the cameras look at."""
    cloud = random_surfels(views, config.target_count, rng)
    return _gaussians(cloud, _scales(cloud, views, config, np.ones(len(cloud))), config.loose_opacity)


def read_cloud(path: Path) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Read the points of a PLY file and their colours in [0, 1], grey if it has none.

    Non-finite points and coordinates beyond 1e7 are left out.

    Raises:
        SceneError: If the file cannot be read or has no coordinates.
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
    near = (np.abs(points) <= _FAR).all(axis=1)
    return points[near], np.clip(np.nan_to_num(colors[near], nan=0.5), 0.0, 1.0)


def _unit_normals(surfels: Surfels, views: Sequence[View]) -> Surfels:
    """Normalise normals, with those of local planes where a surfel's own contradict one another."""
    planes = orient_towards(local_planes(surfels.points)[0], surfels.points, _eyes(views))
    lengths = np.linalg.norm(surfels.normals, axis=1, keepdims=True)
    normals = np.where(lengths < _AGREEMENT, planes, surfels.normals / np.maximum(lengths, _AGREEMENT))
    return Surfels(surfels.points, normals, surfels.colors)


def _scales(
    surfels: Surfels, views: Sequence[View], config: StartConfig, roundness: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Return standard deviations from the distances to neighbours; the last is along the normal."""
    distance, _ = KDTree(_eyes(views)).query(surfels.points)
    distance = np.maximum(distance, _NEAREST * (np.median(distance) or 1.0))
    pixel = distance / max(view.camera.fx for view in views)
    along = config.width * np.clip(spacing(surfels.points), pixel, np.maximum(pixel, _WIDEST * distance))
    return np.stack([along, along, np.maximum(roundness, config.thickness) * along], axis=1)


def _scatter(
    cloud: Surfels, scales: Float[np.ndarray, "n 3"], copies: int, rng: np.random.Generator
) -> Surfels:
    """Return the cloud and copies of it, with every point drawn from its Gaussian."""
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
