"""Where the Gaussians start: on depth images, on a point cloud, on triangulated features, or spread.

The better the start, the fewer steps the fit needs. All functions return Gaussians in the world frame
of the views, coloured by spherical harmonics of degree 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.errors import SceneError
from point2act.geometry import back_project
from point2act.ply import read_ply
from point2act.splat.fill import fill_holes
from point2act.splat.neighbours import flatness, quaternions_from_normals, spacing, towards
from point2act.splat.surfels import Surfels, join, surfels_of_view, thin, votes
from point2act.splat.triangulate import triangulate
from point2act.types import GaussianScene, View

Progress = Callable[[int, int], None]

_SH_DC = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi))."""

_AGREEMENT = 0.3
"""Normals of a cell whose mean is shorter than this contradict one another: ask the neighbours."""


@dataclass(frozen=True)
class StartConfig:
    """How many Gaussians to start with, and how they look."""

    target_count: int = 30_000
    """About how many Gaussians to start with where the data allow it."""
    fill_share: float = 0.1
    """At most this share of them where no depth is: shiny things, the background out of range."""
    opacity: float = 0.7
    """Of Gaussians on measured surfaces."""
    loose_opacity: float = 0.1
    """Of Gaussians that may be far from any surface. The value of 3DGS (Kerbl et al. 2023)."""
    width: float = 0.6
    """Standard deviation along the surface, as a share of the distance to the neighbours."""
    thickness: float = 0.3
    """Smallest standard deviation along the normal, as a share of the one along the surface."""
    depth_tolerance: float = 0.02
    """Depths that differ by less than this share agree."""
    min_features: int = 100
    """With fewer triangulated features than this the start is spread at random."""


@dataclass(frozen=True, eq=False)
class Start:
    """Gaussians to fit, and where they come from."""

    scene: GaussianScene
    source: str
    """``depth``, ``cloud``, ``features`` or ``spread``."""
    detail: str
    """The rest of the sentence "30000 Gaussians ..."."""


def start(
    views: Sequence[View],
    *,
    point_cloud_path: Path | None,
    config: StartConfig = StartConfig(),
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Start:
    """Start from the best that there is: depth, else the point cloud, else features, else spread.

    Views are undistorted and in the world frame, as is the point cloud (PLY with x, y, z and, at will,
    red, green, blue). Raises :class:`SceneError` where there are no views or the cloud cannot be read.
    """
    if not views:
        raise SceneError("the capture has no views: nothing to start from; check its transforms.json")
    scene = from_depth(views, config, rng, progress=progress)
    if len(scene):
        return Start(scene, "depth", f"on the depth images of {len(views)} views")
    if point_cloud_path is not None:
        points, colors = read_cloud(point_cloud_path)
        if len(points):
            scene = from_cloud(points, colors, views, config, rng)
            return Start(scene, "cloud", f"on the {len(points)} points of {point_cloud_path.name}")
    points, colors = triangulate(views, progress=progress)
    if len(points) >= config.min_features:
        scene = from_cloud(points, colors, views, config, rng)
        return Start(scene, "features", f"on {len(points)} features triangulated from {len(views)} views")
    scene = from_nothing(views, config, rng)
    return Start(scene, "spread", f"spread before the cameras, where only {len(points)} features were found")


def from_depth(
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
    *,
    progress: Progress | None = None,
) -> GaussianScene:
    """Flat Gaussians on the surfaces that the depth images show; none where no depth can be used.

    Masked pixels, flying pixels at edges, and what more views look through than measure are left out.
    """
    parts = []
    for done, view in enumerate(views, start=1):
        parts.append(surfels_of_view(view))
        if progress is not None:
            progress(done, len(views))
    surfels = thin(join(parts), views, config.target_count)
    measured, crossed = votes(surfels.points, views, config.depth_tolerance)
    surfels = _mend_normals(surfels[crossed <= measured], views)
    along = config.width * spacing(surfels.points)
    across = config.thickness * along
    return _with_filled_holes(surfels, along, across, config.opacity, views, config, rng)


def from_cloud(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    config: StartConfig,
    rng: np.random.Generator,
) -> GaussianScene:
    """Gaussians on given points with colours in [0, 1], as wide as the distance to three neighbours.

    They are as flat as the points around them. A cloud of more than the target count is thinned.
    """
    cloud = Surfels(points, np.zeros_like(points), colors)
    if len(cloud) > config.target_count:
        cloud = thin(cloud, views, config.target_count)
    normals, flat = flatness(cloud.points)
    cloud = Surfels(cloud.points, towards(normals, cloud.points, _eyes(views)), cloud.colors)
    along = config.width * spacing(cloud.points)
    across = np.maximum(flat, config.thickness) * along
    return _with_filled_holes(cloud, along, across, config.opacity, views, config, rng)


def from_nothing(views: Sequence[View], config: StartConfig, rng: np.random.Generator) -> GaussianScene:
    """Faint round Gaussians at random depths around the place that the cameras look at.

    Each lies on the ray of a random pixel of a random view and has its colour.
    """
    depths = _focus_depths(views)
    shares = np.array([np.count_nonzero(view.mask) if view.mask is not None else view.rgb.size / 3 for view in views])
    if shares.sum() == 0:
        raise SceneError("every pixel of every view is masked: nothing to start from; check the masks")
    counts = rng.multinomial(config.target_count, shares / shares.sum())
    parts = [_spread(view, int(count), depth, rng) for view, count, depth in zip(views, counts, depths, strict=True)]
    cloud = join(parts)
    size = config.width * spacing(cloud.points)
    return _gaussians(cloud, size, size, config.loose_opacity)


def read_cloud(path: Path) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points and colours in [0, 1] of a PLY file; grey where it has no colours."""
    vertices = read_ply(path, SceneError)
    names = vertices.dtype.names or ()
    if not {"x", "y", "z"} <= set(names):
        raise SceneError(f"{path} has no x, y and z: give a PLY file with points, or remove ply_file_path")
    points = np.stack([vertices[name].astype(float) for name in ("x", "y", "z")], axis=1)
    colors = np.full_like(points, 0.5)
    if {"red", "green", "blue"} <= set(names):
        channels = [vertices[name] for name in ("red", "green", "blue")]
        top = np.iinfo(channels[0].dtype).max if channels[0].dtype.kind in "iu" else 1.0
        colors = np.stack([channel.astype(float) / top for channel in channels], axis=1)
    finite = np.isfinite(points).all(axis=1)
    return points[finite], np.clip(colors[finite], 0.0, 1.0)


def _spread(view: View, count: int, depth: float, rng: np.random.Generator) -> Surfels:
    """Points at random pixels, from half to twice the depth, as many before it as behind."""
    height, width = view.rgb.shape[:2]
    allowed = np.arange(height * width) if view.mask is None else np.flatnonzero(view.mask)
    rows, columns = np.divmod(rng.choice(allowed, count), width)
    z = depth * 2.0 ** rng.uniform(-1.0, 1.0, count)
    pixels = np.stack([columns, rows], axis=1) + rng.uniform(0.0, 1.0, (count, 2))
    points = back_project(view.camera, view.T_world_cam, pixels, z)
    normals = np.tile(-view.T_world_cam[:3, 2], (count, 1))
    return Surfels(points, normals, view.rgb[rows, columns] / 255.0)


def _focus_depths(views: Sequence[View]) -> list[float]:
    """The depth in each view of the point nearest to all optical axes.

    Where the axes are parallel, or meet behind a camera, ten times the distance between neighbouring
    cameras stands in, and one length unit where there is one camera.
    """
    eyes = _eyes(views)
    axes = np.array([view.T_world_cam[:3, 2] for view in views])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    apart = spacing(eyes, neighbours=1)
    usual = 10.0 * float(np.median(apart)) if len(views) > 1 and np.median(apart) > 0 else 1.0
    if np.linalg.eigvalsh(across.mean(axis=0))[0] < _PARALLEL:
        return [usual] * len(views)
    focus = np.linalg.solve(across.sum(axis=0), np.einsum("nij,nj->i", across, eyes))
    depths = np.einsum("ni,ni->n", axes, focus - eyes)
    return [float(depth) if depth > 0 else usual for depth in depths]


def _mend_normals(surfels: Surfels, views: Sequence[View]) -> Surfels:
    """Unit normals; those of the neighbourhood's plane where the surfel's own are not to be trusted."""
    lengths = np.linalg.norm(surfels.normals, axis=1, keepdims=True)
    planes = towards(flatness(surfels.points)[0], surfels.points, _eyes(views))
    normals = np.where(lengths < _AGREEMENT, planes, surfels.normals / np.maximum(lengths, _AGREEMENT))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Surfels(surfels.points, normals, surfels.colors)


def _with_filled_holes(
    surfels: Surfels,
    along: Float[np.ndarray, " n"],
    across: Float[np.ndarray, " n"],
    config: StartConfig,
    views: Sequence[View],
    rng: np.random.Generator,
) -> GaussianScene:
