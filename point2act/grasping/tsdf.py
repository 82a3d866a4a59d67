"""TSDF fusion of depth images around an action point (open3d), with the table and other obstacles.

Voxel x gets the weighted mean over views of the truncated signed distance along the camera's axis,

    D(x) = sum_v w_v(x) d_v(x) / sum_v w_v(x),   d_v(x) = clip(depth_v(pixel(x)) - z_v(x), -t, t)

where views with ``d_v < -t`` do not count: they see nothing behind a surface (Curless and Levoy 1996).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import (
    frame_from_normal,
    inside,
    invert,
    project,
    transform_points,
    voxel_downsample,
)
from point2act.core.open3d_import import open3d
from point2act.core.planes import TableConfig, find_table
from point2act.core.types import DepthImages, View
from point2act.grasping.antipodal.volume import GAP_CELL, LocalVolume
from point2act.grasping.depth_images import FLYING_PIXEL_JUMP, clean_depths, readings_near
from point2act.grasping.free_space import seen_through_shadows

# Sparse TSDF: voxels along the side of a block, and blocks that are allocated at first. Chosen.
_BLOCK = 8
_BLOCKS = 1000


@dataclass(frozen=True)
class SurfaceConfig:
    """TSDF fusion and the surroundings of the fused volume."""

    voxel: float = 0.002
    """Side of a voxel, metres."""
    half_size: float = 0.09
    """Half the side of the cube around the action point, metres."""
    truncation: float = 0.004
    """Largest absolute signed distance, metres; thinner walls appear thicker than they are."""
    # Two voxels: a 2 mm wall appears 6 mm thick.
    obstacle_voxel: float = 0.005
    """Side of a voxel of the coarser TSDF around the volume, metres."""
    obstacle_truncation: float = 0.010
    """Largest absolute signed distance of that TSDF, metres."""
    obstacle_radius: float = 0.30
    """Radius around the action point within which points outside the volume are kept, metres."""
    # A gripper and its approach.
    table_radius: float = 0.40
    """Radius around the action point within which the table is detected, metres."""
    flying_pixel_jump: float = FLYING_PIXEL_JUMP
    """Jump in depth to a nearer and a farther neighbour beyond which a pixel is dropped, as a fraction of its
    depth."""
    stereo_baseline: float = 0.06
    """Largest baseline of the depth camera, metres: gaps that its stereo shadows explain are free space."""
    # 50 mm in a RealSense D435.
    gap_depth: float = 0.03
    """Depth behind the plane of a table at which a reading shows a gap, as a fraction of the distance."""
    # 15 mm at half a metre, beyond all noise. Chosen.
    max_gap_fraction: float = 0.3
    """Largest fraction of gaps around an action point in the plane of a table; with more, the plane is the
    object, such as the back of a chair."""
    # Chosen.
    max_points: int = 500_000
    """Largest number of pixels that become points for table and obstacles; more are subsampled evenly."""
    table: TableConfig = field(default_factory=TableConfig)
    """Detection of the table."""
    seed: int = 0
    """Seed of the random planes of table detection."""


def fuse_local(
    views: Sequence[View],
    depths: DepthImages,
    center: Float[np.ndarray, "3"],
    *,
    config: SurfaceConfig = SurfaceConfig(),
) -> LocalVolume:
    """Fuse depth images into a TSDF around a point.

    The grid's z axis is up and its x axis points towards the first camera, so that a rotated world gives the
    same grid.

    Args:
        views: Views with camera, pose and mask.
        depths: z-depth of each view, measured or rendered, metres; 0 for none.
        center: Action point, world.
        config: Sizes and tolerances.

    Raises:
        SceneError: Views and depths do not match, or open3d cannot be imported.
    """
    clean = clean_depths(views, depths, jump=config.flying_pixel_jump)
    rng = np.random.default_rng(config.seed)
    towards = _towards_cameras(views, center)
    near = _points_near(views, clean, center, config)
    sample = near[rng.permutation(len(near))[:5000]]
    table = find_table(sample, towards, config=config.table, rng=rng, supported=center)
    gaps = np.zeros((1, 1), bool)
    if table is not None:
        gaps = _table_gaps(views, clean, table, _volume_frame(views, center, table[:3]), config)
        if _is_object(table, gaps, center, config):
            table, gaps = None, gaps[:1, :1]
    T_world_volume = _volume_frame(views, center, towards if table is None else table[:3])
    tsdf, observed = _integrate(views, clean, T_world_volume, config)
    _add_stereo_shadows(tsdf, observed, views, clean, T_world_volume, table, config)
    obstacles = _obstacles(views, clean, T_world_volume, config)
    return LocalVolume(
        tsdf, observed, T_world_volume, config.voxel, config.truncation, obstacles, table, towards, gaps
    )


def _table_gaps(
    views: Sequence[View],
    depths: DepthImages,
    table: Float[np.ndarray, "4"],
    T_world_volume: Float[np.ndarray, "4 4"],
    config: SurfaceConfig,
) -> Bool[np.ndarray, "g g"]:
    """Return the cells of the table's plane through which more views look than see something there."""
    side = np.arange(-config.table_radius, config.table_radius + GAP_CELL / 2, GAP_CELL)
    x, y = np.meshgrid(side, side, indexing="ij")
    normal = table @ T_world_volume
    z = -(normal[0] * x + normal[1] * y + normal[3]) / normal[2]
    cells = transform_points(T_world_volume, np.stack([x, y, z], axis=-1).reshape(-1, 3))
    votes = np.zeros(len(cells), int)
    for view, depth in zip(views, depths, strict=True):
        pixels, distance = project(view.camera, view.T_world_cam, cells)
        seen = np.flatnonzero(inside(view.camera, pixels) & (distance > 0))
        column, row = pixels[seen].astype(int).T
        measured = depth[row, column]
        beyond = measured - distance[seen]
        tolerance = config.gap_depth * distance[seen]
        votes[seen] += np.where(
            measured > 0, (beyond > tolerance).astype(int) - (np.abs(beyond) <= tolerance), 0
        )
    return (votes > 0).reshape(x.shape)


def _is_object(
    table: Float[np.ndarray, "4"],
    gaps: Bool[np.ndarray, "g g"],
    center: Float[np.ndarray, "3"],
    config: SurfaceConfig,
) -> bool:
    """Return whether the plane is the object itself: the action point lies in it, and it ends nearby."""
    if abs(table[:3] @ center + table[3]) > 2 * config.table.inlier_distance:
        return False
    middle, near = len(gaps) // 2, round(config.half_size / GAP_CELL)
    around = gaps[middle - near : middle + near + 1, middle - near : middle + near + 1]
    return bool(around.mean() > config.max_gap_fraction)


def _towards_cameras(views: Sequence[View], center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the mean direction to the cameras; that to the first one if they surround the point."""
    directions = [view.T_world_cam[:3, 3] - center for view in views]
    units = [d / np.linalg.norm(d) for d in directions if np.linalg.norm(d) > 1e-6]
    if not units:
        return np.array([0.0, 0.0, 1.0])
    mean = np.mean(units, axis=0)
    length = np.linalg.norm(mean)
    return mean / length if length > 0.1 else units[0]


def _points_near(
    views: Sequence[View], depths: DepthImages, center: Float[np.ndarray, "3"], config: SurfaceConfig
) -> Float[np.ndarray, "n 3"]:
    """Return world points of an even subsample of the pixels, those near the action point."""
    radius = max(config.table_radius, config.obstacle_radius)
    pixels = sum(depth.size for depth in depths)
    stride = max(1, math.ceil(math.sqrt(pixels / config.max_points)))
    found = [np.zeros((0, 3))]
    for view, depth in zip(views, depths, strict=True):
        sparse = np.zeros_like(depth)
        sparse[::stride, ::stride] = depth[::stride, ::stride]
        found.append(readings_near(view, sparse, center, radius)[0])
    return np.concatenate(found)


def _volume_frame(
    views: Sequence[View], center: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """Return the frame of the grid: z up, x towards the first camera that is not straight above."""
    T_world_volume = np.eye(4)
    T_world_volume[:3, :3] = frame_from_normal(up[None])[0]
    T_world_volume[:3, 3] = center
    for view in views:
        for direction in (view.T_world_cam[:3, 3] - center, view.T_world_cam[:3, 0]):
            x = direction - (direction @ up) * up
            if np.linalg.norm(x) > 0.1 * np.linalg.norm(direction):
                x /= np.linalg.norm(x)
                T_world_volume[:3, :3] = np.stack([x, np.cross(up, x), up], axis=1)
                return T_world_volume
    return T_world_volume


def _integrate(
    views: Sequence[View],
    depths: DepthImages,
    T_world_volume: Float[np.ndarray, "4 4"],
    config: SurfaceConfig,
) -> tuple[Float[np.ndarray, "r r r"], Bool[np.ndarray, "r r r"]]:
    """Return the TSDF and which voxels have a weight."""
    o3d = open3d()
    resolution = 2 * math.ceil(config.half_size / config.voxel) + 1
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
            grid.integrate(image, intrinsics, invert(view.T_world_cam) @ T_world_volume)
    values = np.asarray(grid.extract_volume_tsdf())  # (distance / truncation, weight), z fastest
    tsdf = (values[:, 0] * config.truncation).astype(np.float32)
    return tsdf.reshape((resolution,) * 3), (values[:, 1] > 0).reshape((resolution,) * 3)


def _add_stereo_shadows(
    tsdf: Float[np.ndarray, "r r r"],
    observed: Bool[np.ndarray, "r r r"],
    views: Sequence[View],
    depths: DepthImages,
    T_world_volume: Float[np.ndarray, "4 4"],
    table: Float[np.ndarray, "4"] | None,
    config: SurfaceConfig,
) -> None:
    """Mark voxels above the table as free that a view sees through a stereo shadow."""
    unknown = np.argwhere(~observed)
    places = transform_points(T_world_volume, (unknown - (len(tsdf) - 1) / 2) * config.voxel)
    if table is not None:
        above = places @ table[:3] + table[3] > 0
        unknown, places = unknown[above], places[above]
    free = seen_through_shadows(
        places, views, depths, baseline=config.stereo_baseline, truncation=config.truncation
    )
    index = tuple(unknown[free].T)
    tsdf[index], observed[index] = config.truncation, True


def _obstacles(
    views: Sequence[View],
    depths: DepthImages,
    T_world_volume: Float[np.ndarray, "4 4"],
    config: SurfaceConfig,
) -> Float[np.ndarray, "m 3"]:
    """Return world points on the surfaces around the volume: zero crossings of a coarser, sparse TSDF.

    A reading that other views look through has no crossing: their mean is positive there.
    """
    o3d, voxel = open3d(), config.obstacle_voxel
    tensor, margin = o3d.core.Tensor, config.obstacle_truncation / voxel
    grid = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight"), (o3d.core.float32,) * 2, ((1,), (1,)), voxel, _BLOCK, _BLOCKS
    )
    images, touched = [], [np.zeros((0, 3), np.int32)]
    for view, depth in zip(views, depths, strict=True):
        if depth.any():
            K = view.camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]  # open3d has pixel centres at integers
            T_cam_volume = invert(view.T_world_cam) @ T_world_volume
            image = o3d.t.geometry.Image(tensor(np.ascontiguousarray(depth)))
            images.append((image, tensor(K), tensor(T_cam_volume), 1.0, float(depth.max()) + 1.0, margin))
            touched.append(grid.compute_unique_block_coordinates(*images[-1]).numpy())
    blocks = np.unique(np.concatenate(touched), axis=0)
    middles = (blocks + 0.5) * _BLOCK * voxel
    reach = config.obstacle_radius + _BLOCK * voxel
    blocks = blocks[(middles**2).sum(axis=1) < reach**2]
    if not len(blocks):
        return np.zeros((0, 3))
    for image in images:
        grid.integrate(tensor(blocks), *image)
    local = grid.extract_point_cloud(weight_threshold=0.5).point.positions.numpy().astype(float)
    half_size = math.ceil(config.half_size / config.voxel) * config.voxel
    outside = (np.abs(local).max(axis=1) > half_size) & ((local**2).sum(axis=1) < config.obstacle_radius**2)
    local = local[outside]
    # open3d's threads return them in any order.
    local = local[np.lexsort(local.T)]
    # Crossings lie on the borders of the cells around the origin: half a cell further they lie inside.
    sparse = voxel_downsample(local + voxel / 2, voxel) - voxel / 2
    return transform_points(T_world_volume, sparse)
