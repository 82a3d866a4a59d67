"""Fuse depth images into the signed distances, table and obstacles around one action point (open3d)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.errors import SceneError
from point2act.core.geometry import frame_from_normal, invert, transform_points, voxel_downsample
from point2act.core.planes import TableConfig, find_table
from point2act.core.types import View
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.free_space import seen_through


@dataclass(frozen=True)
class SurfaceConfig:
    """How depth images become a surface. The sizes are those of the grasp study unless answered otherwise."""

    voxel: float = 0.002
    """Side of a voxel, metres."""
    half_size: float = 0.09
    """Half the side of the cube about the action point, metres."""
    truncation: float = 0.004
    """Distances are interrupted here, metres. A wall thinner than this views thicker than it is (a 2 mm wall
    6 mm thick), so it stays at two voxels."""
    obstacle_voxel: float = 0.004
    """Spacing of the cloud of the rest of the scene, metres."""
    obstacle_reach: float = 0.30
    """How far around the action point the rest of the scene is kept: a gripper and its approach, metres."""
    table_reach: float = 0.40
    """How far around the action point the table is looked for, metres."""
    flying: float = 0.02
    """A pixel that lies between two neighbours, further than this share of its depth from both, is a
    mixture of front and back and is dropped. A surface has to be seen at 80 degrees to look like that."""
    slack: float = 0.02
    """A depth within this share of a point's own sees the point; a larger one views through it."""
    baseline: float = 0.06
    """A depth camera's two eyes are at most this far apart, metres: 50 mm in a RealSense D435. A shadow that
    such a pair throws is seen through; other gaps are unknown."""
    max_points: int = 500_000
    """Pixels turned into points for the table and the obstacles; more are thinned out evenly."""
    table: TableConfig = field(default_factory=TableConfig)
    """How to look for the table."""
    seed: int = 0
    """Of the random planes tried for the table."""


def fuse_local(
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    center: Float[np.ndarray, "3"],
    *,
    config: SurfaceConfig = SurfaceConfig(),
) -> LocalVolume:
    """Fuse the depth images that belong to the views around a world point.

    ``depths`` are z-depths in metres, measured or rendered, 0 where there is none; a view's mask hides
    its pixels. Weighted averages of truncated signed distances (Curless and Levoy 1996); the grid is
    turned so that its z axis is up and its x axis points towards the first camera, so a turned world
    gives the same grid. Raises SceneError when views and depths do not match.
    """
    clean = _clean_depths(views, depths, config)
    rng = np.random.default_rng(config.seed)
    towards = _towards_cameras(views, center)
    near = _points_near(views, clean, center, config)
    sample = near[rng.permutation(len(near))[:5000]]
    table = find_table(sample, towards, config=config.table, rng=rng)
    resolution = 2 * math.ceil(config.half_size / config.voxel) + 1
    volume = LocalVolume(
        tsdf=np.zeros((resolution,) * 3, np.float32),
        observed=np.zeros((resolution,) * 3, bool),
        T_world_volume=np.eye(4),
        voxel=config.voxel,
        truncation=config.truncation,
        obstacles=np.zeros((0, 3)),
        table=table,
        towards_cameras=towards,
    )
    T_world_volume = _volume_frame(views, center, volume.up)
    tsdf, observed = _integrate(views, clean, T_world_volume, resolution, config)
    _see_through(tsdf, observed, views, clean, T_world_volume, table, config)
    return LocalVolume(
        tsdf=tsdf,
        observed=observed,
        T_world_volume=T_world_volume,
        voxel=config.voxel,
        truncation=config.truncation,
        obstacles=_obstacles(near, views, clean, T_world_volume, volume.half_size, config),
        table=table,
        towards_cameras=towards,
    )


def _clean_depths(
    views: Sequence[View], depths: Sequence[Float[np.ndarray, "_h _w"]], config: SurfaceConfig
) -> list[Float[np.ndarray, "_h _w"]]:
    if len(views) != len(depths):
        raise SceneError(f"{len(depths)} depth images for {len(views)} views: give one for each view")
    clean = []
    for view, depth in zip(views, depths, strict=True):
        if depth.shape != (view.camera.height, view.camera.width):
            raise SceneError(
                f"the depth image of {view.name} is {depth.shape[1]}x{depth.shape[0]}, its view "
                f"{view.camera.width}x{view.camera.height}: resize the depth with the view"
            )
        usable = np.isfinite(depth) & (depth > 0)
        usable &= True if view.mask is None else view.mask
        usable &= ~flying_pixels(np.where(usable, depth, 0.0), config.flying)
        clean.append(np.where(usable, depth, 0.0).astype(np.float32))
    return clean


def flying_pixels(depth: Float[np.ndarray, "h w"], share: float) -> Bool[np.ndarray, "h w"]:
    """Pixels between a nearer and a farther neighbour, a jump away from both, along x or along y.

    A jump is ``share`` of the pixel's depth. Sharp edges stay: their pixels have a jump on one side only.
    """
    flying = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        step = np.diff(depth, axis=axis)
        before, after = (step[:-1], step[1:]) if axis == 0 else (step[:, :-1], step[:, 1:])
        inner = (slice(1, -1), slice(None)) if axis == 0 else (slice(None), slice(1, -1))
        jump = share * depth[inner]
        flying[inner] |= (before * after > 0) & (np.abs(before) > jump) & (np.abs(after) > jump)
    return flying & (depth > 0)


def _towards_cameras(views: Sequence[View], center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    directions = [view.T_world_cam[:3, 3] - center for view in views]
    units = [d / np.linalg.norm(d) for d in directions if np.linalg.norm(d) > 1e-6]
    if not units:
        return np.array([0.0, 0.0, 1.0])
    mean = np.mean(units, axis=0)
    length = np.linalg.norm(mean)
    # Cameras on all sides cancel out.
    return mean / length if length > 0.1 else units[0]


def _points_near(
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    center: Float[np.ndarray, "3"],
    config: SurfaceConfig,
) -> Float[np.ndarray, "n 3"]:
    """World points of the pixels whose surface lies near the action point, evenly thinned out."""
    reach = max(config.table_reach, config.obstacle_reach)
    pixels = sum(depth.size for depth in depths)
    stride = max(1, math.ceil(math.sqrt(pixels / config.max_points)))
    found = [np.zeros((3, 0))]
    for view, depth in zip(views, depths, strict=True):
        row, column = np.nonzero(depth[::stride, ::stride])
        row, column = stride * row, stride * column
        z = depth[row, column].astype(float)
        x = (column + 0.5 - view.camera.cx) / view.camera.fx * z
        y = (row + 0.5 - view.camera.cy) / view.camera.fy * z
        away = view.T_world_cam[:3, :3] @ np.stack([x, y, z]) + (view.T_world_cam[:3, 3] - center)[:, None]
        found.append(away[:, np.einsum("ij,ij->j", away, away) < reach**2])
    return np.concatenate(found, axis=1).T + center


def _volume_frame(
    views: Sequence[View], center: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    T_world_volume = np.eye(4)
    T_world_volume[:3, :3] = frame_from_normal(up[None])[0]
    T_world_volume[:3, 3] = center
    for view in views:
        # Whatever turns with the world will do; a camera straight above has no direction to offer.
        for direction in (view.T_world_cam[:3, 3] - center, view.T_world_cam[:3, 0]):
            x = direction - (direction @ up) * up
            if np.linalg.norm(x) > 0.1 * np.linalg.norm(direction):
                x /= np.linalg.norm(x)
                T_world_volume[:3, :3] = np.stack([x, np.cross(up, x), up], axis=1)
                return T_world_volume
    return T_world_volume


def _integrate(
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    T_world_volume: Float[np.ndarray, "4 4"],
    resolution: int,
    config: SurfaceConfig,
) -> tuple[Float[np.ndarray, "r r r"], Bool[np.ndarray, "r r r"]]:
    o3d = open3d()
    side = resolution * config.voxel
    grid = o3d.pipelines.integration.UniformTSDFVolume(
        side,
        resolution,
        config.truncation,
        o3d.pipelines.integration.TSDFVolumeColorType.NoColor,
        np.full((3, 1), -side / 2),  # the corner of the first voxel
    )
    for view, depth in zip(views, depths, strict=True):
        if depth.any():
            image = o3d.geometry.RGBDImage()
            image.depth = o3d.geometry.Image(np.ascontiguousarray(depth))
            camera = view.camera
            intrinsics = o3d.camera.PinholeCameraIntrinsic(
                camera.width, camera.height, camera.fx, camera.fy, camera.cx - 0.5, camera.cy - 0.5
            )  # open3d has pixel centres at integers
            grid.integrate(image, intrinsics, view.T_cam_world @ T_world_volume)
    values = np.asarray(grid.extract_volume_tsdf())  # (distance / truncation, weight), z fastest
    tsdf = (values[:, 0] * config.truncation).astype(np.float32)
    return tsdf.reshape((resolution,) * 3), (values[:, 1] > 0).reshape((resolution,) * 3)


def _see_through(
    tsdf: Float[np.ndarray, "r r r"],
    observed: Bool[np.ndarray, "r r r"],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    T_world_volume: Float[np.ndarray, "4 4"],
    table: Float[np.ndarray, "4"] | None,
    config: SurfaceConfig,
) -> None:
    """Write into the grid what is free because a view views past it in a shadow; above the table only."""
    unknown = np.argwhere(~observed)
    places = transform_points(T_world_volume, (unknown - (len(tsdf) - 1) / 2) * config.voxel)
    if table is not None:
        above = places @ table[:3] + table[3] > 0
        unknown, places = unknown[above], places[above]
    past = seen_through(places, views, depths, baseline=config.baseline, truncation=config.truncation)
    free = tuple(unknown[past].T)
    tsdf[free], observed[free] = config.truncation, True


def open3d() -> ModuleType:
    """The library, imported when it is first wanted: that takes a second.

    Raises SceneError where the system lacks what it needs.
    """
    with warnings.catch_warnings():
        # It complains about a missing GPU, which nothing here uses.
        warnings.simplefilter("ignore", ImportWarning)
        try:
            return import_module("open3d")
        except OSError as err:  # a bare container has no libGL
            raise SceneError(
                f"open3d cannot start ({err}): install the system's OpenGL, on Debian and Ubuntu with "
                "apt-get install libgl1 libx11-6 libgomp1"
            ) from err


def _projection(view: View, T_world_local: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 4"]:
    """Maps homogeneous local points to (x z, y z, z), with the pixel (x, y) and the z-depth z."""
    return view.camera.K @ (invert(view.T_world_cam) @ T_world_local)[:3]


def _obstacles(
    points: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    T_world_volume: Float[np.ndarray, "4 4"],
    half_size: float,
    config: SurfaceConfig,
) -> Float[np.ndarray, "m 3"]:
    local = transform_points(invert(T_world_volume), points)
    x, y, z = np.abs(local).T
    outside = (np.maximum(np.maximum(x, y), z) > half_size) & (x**2 + y**2 + z**2 < config.obstacle_reach**2)
    sparse = transform_points(T_world_volume, voxel_downsample(local[outside], config.obstacle_voxel))
    return sparse[confirmed(sparse, views, depths, slack=config.slack)]


def confirmed(
    points: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    *,
    slack: float,
) -> Bool[np.ndarray, " n"]:
    """World points that no more views look through than see: stray readings fail.

    A view sees a point when its depth there is the point's own within ``slack`` (a share of it), and
    views through it when its depth is larger; where something hides it, the view says nothing.
    """
    balance = np.zeros(len(points), np.int32)
    columns = np.ascontiguousarray(points.T)
    for view, depth in zip(views, depths, strict=True):
        height, width = depth.shape
        P = _projection(view, np.eye(4))
        x, y, z = P[:, :3] @ columns + P[:, 3:]
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = x / z, y / z
        here = np.flatnonzero((z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height))
        measured = depth[y[here].astype(int), x[here].astype(int)]
        z = z[here]
        seen = np.abs(measured - z) <= slack * z
        balance[here] += seen.astype(np.int32) - (measured > z + slack * z)
    return balance >= 0
