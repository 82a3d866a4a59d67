"""Selection and alignment of the views of a region by the depth that they measured there (open3d).

Poses from hand-eye calibration, odometry or structure from motion are off by millimetres, and not equally in
all views: surfaces from all of them are thick, and what is free in each is blocked in their union. Views are
added in the order of their information about the region. A view whose surface differs from that of the views
before it is registered to it by coloured ICP (Park et al. 2017); one that still differs is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from point2act.core.geometry import invert, transform
from point2act.core.open3d_import import open3d
from point2act.core.types import DepthImages, View
from point2act.grasping.depth_images import clean_depths, readings_near
from point2act.grasping.depth_noise import DepthNoise, estimate_noise


@dataclass(frozen=True)
class AlignmentConfig:
    """Selection and alignment of the views of a region."""

    radius: float = 0.15
    """Radius around the action point within which surfaces are compared, metres."""
    # A gripper and what is beside it.
    sigma: float = 0.06
    """Standard deviation of the weight of a surface by its distance from the action point, metres."""
    voxel: float = 0.005
    """Spacing of the compared points, metres."""
    min_points: int = 200
    """Smallest number of readings near the action point of a view that is used."""
    max_distance: float = 0.015
    """Largest distance of corresponding points, metres."""
    max_angle: float = 0.05
    """Largest rotation of a view, radians."""
    good_residual: float = 0.0010
    """Residual up to which a view is taken as it is, metres, beside ``noise_factor`` times its noise."""
    max_residual: float = 0.0025
    """Residual above which a view is left out, metres, beside ``noise_factor`` times its noise."""
    noise_factor: float = 0.3
    """Weight of the standard deviation of depth in both."""
    # Points of a cloud are means of neighbouring readings, which share most of their noise: two halves of one
    # view differ by a fifth of it, for a simulated D435 at 0.55 m and for a Kinect at 1.8 m.
    min_overlap: float = 0.3
    """Smallest fraction of a view's points with a corresponding point."""
    min_gain: float = 0.2
    """Smallest decrease of the residual for which a view is moved, as a fraction of it."""
    iterations: int = 20
    """Largest number of iterations of coloured ICP."""
    max_references: int = 3
    """Largest number of views that are tried as the first one, until more than half of all agree with it."""
    max_views: int = 24
    """Largest number of views that are used."""


@dataclass(frozen=True, eq=False)
class AlignedViews:
    """The views of a region that agree, most informative first."""

    indices: tuple[int, ...]
    """Index of each among the given views."""
    views: tuple[View, ...]
    """The views at their aligned poses."""
    left_out: tuple[int, ...]
    """Indices of views that see the region and disagree."""
    depth_sigma: float
    """Standard deviation of single readings of the first view along the ray, metres."""


def align_views(
    views: Sequence[View],
    depths: DepthImages,
    center: Float[np.ndarray, "3"],
    *,
    noise: DepthNoise | None = None,
    config: AlignmentConfig = AlignmentConfig(),
) -> AlignedViews:
    """Select the views that agree about the surface around a point, and align them.

    Args:
        views: Views with camera, pose, image and mask.
        depths: z-depth of each view, metres; 0 for none.
        center: Action point, world.
        noise: Noise of the camera; by default estimated from these depth images.
        config: Tolerances.

    Returns:
        The views to fuse, the one with the most information first; all of them, unchanged, if none has enough
        points near the action point.

    Raises:
        SceneError: Views and depths do not match, or open3d cannot be imported.
    """
    clean = clean_depths(views, depths)
    clouds = [_cloud(view, depth, center, config) for view, depth in zip(views, clean, strict=True)]
    information = [
        _information(view, cloud, center, config) for view, cloud in zip(views, clouds, strict=True)
    ]
    order = [int(i) for i in np.argsort(information, kind="stable")[::-1] if information[i] > 0]
    if not order:
        return AlignedViews(tuple(range(len(views))), tuple(views), (), 0.0)
    noise = noise or estimate_noise(views, clean)
    best: AlignedViews | None = None
    for first in order[: config.max_references]:
        sigma = float(noise.sigma(float(views[first].T_cam_world[2] @ np.append(center, 1.0))))
        motions = _motions(clouds, [first, *(i for i in order if i != first)], sigma, config)
        kept = tuple(_moved(views[i], T, center) for i, T in motions.items())
        left_out = tuple(i for i in order if i not in motions)
        if best is None or len(kept) > len(best.views):
            best = AlignedViews(tuple(motions), kept, left_out, sigma)
        if 2 * len(best.views) > min(len(order), config.max_views):
            break
    assert best is not None
    return best


def _moved(view: View, motion: Float[np.ndarray, "4 4"], center: Float[np.ndarray, "3"]) -> View:
    """Return a view after a motion about a point."""
    about = transform(np.eye(3), center)
    return replace(view, T_world_cam=about @ motion @ invert(about) @ view.T_world_cam)


def _motions(
    clouds: Sequence[Any], order: Sequence[int], sigma: float, config: AlignmentConfig
) -> dict[int, Float[np.ndarray, "4 4"]]:
    """Return the motion about the action point of every view that agrees with those before it.

    The first one stays.
    """
    model, motions = clouds[order[0]], {order[0]: np.eye(4)}
    for index in order[1:]:
        if len(motions) == config.max_views:
            break
        T = _alignment(clouds[index], model, sigma, config)
        if T is not None:
            motions[index] = T
            moved = open3d().geometry.PointCloud(clouds[index]).transform(T)
            model = (model + moved).voxel_down_sample(config.voxel)
    return motions


def _cloud(
    view: View, depth: Float[np.ndarray, "h w"], center: Float[np.ndarray, "3"], config: AlignmentConfig
) -> Any:
    """Return the readings near the action point as an open3d cloud with normals; None if there are few.

    Its origin is the action point: about a distant one a turn is a shift as well, and the steps of open3d's
    coloured ICP diverge.
    """
    o3d = open3d()
    points, pixels = readings_near(view, depth, center, config.radius)
    if len(points) < config.min_points:
        return None
    colors = view.rgb.reshape(-1, 3)[pixels] / 255.0
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points - center))
    cloud.colors = o3d.utility.Vector3dVector(colors)
    cloud = cloud.voxel_down_sample(config.voxel)
    cloud.estimate_normals(o3d.geometry.KDTreeSearchParamHybrid(4 * config.voxel, 30))
    cloud.orient_normals_towards_camera_location(view.T_world_cam[:3, 3] - center)
    return cloud


def _information(view: View, cloud: Any, center: Float[np.ndarray, "3"], config: AlignmentConfig) -> float:
    """Return the information of a view about the surface: the sum of cos t / z⁴ over its points.

    The standard deviation of triangulated depth grows with z², its inverse square is the information; t is
    the angle of incidence.
    """
    if cloud is None:
        return 0.0
    points, normals = np.asarray(cloud.points), np.asarray(cloud.normals)
    ray = view.T_world_cam[:3, 3] - center - points
    squared = (ray**2).sum(axis=1)
    cosine = np.abs((normals * ray).sum(axis=1)) / np.sqrt(squared)
    near = np.exp(-0.5 * (points**2).sum(axis=1) / config.sigma**2)
    return float((near * cosine / squared**2).sum())


def _alignment(
    cloud: Any, model: Any, sigma: float, config: AlignmentConfig
) -> Float[np.ndarray, "4 4"] | None:
    """Return the motion that aligns a cloud with a model; None if they disagree."""
    registration = open3d().pipelines.registration
    points = np.asarray(cloud.points)
    residual, overlap = _residual(points, model, config)
    if overlap < config.min_overlap:
        return None
    if residual <= config.good_residual + config.noise_factor * sigma:
        return np.eye(4)
    try:
        found = registration.registration_colored_icp(
            cloud,
            model,
            config.max_distance,
            np.eye(4),
            registration.TransformationEstimationForColoredICP(),
            registration.ICPConvergenceCriteria(max_iteration=config.iterations),
        )
    except RuntimeError:  # the clouds have drifted apart
        return None
    T, angle = rounded_motion(np.array(found.transformation))
    distance = np.linalg.norm(T[:3, 3])
    moved, _ = _residual(points @ T[:3, :3].T + T[:3, 3], model, config)
    if angle > config.max_angle or distance > config.max_distance or moved > (1 - config.min_gain) * residual:
        T, moved = np.eye(4), residual
    return T if moved <= config.max_residual + config.noise_factor * sigma else None


def rounded_motion(T: Float[np.ndarray, "4 4"]) -> tuple[Float[np.ndarray, "4 4"], float]:
    """Return a motion to ten nanometres and nanoradians, and its angle in radians.

    open3d's threads add up in any order: last digits differ from call to call, and grasps would with them.
    """
    turn = Rotation.from_matrix(T[:3, :3]).as_rotvec().round(8)
    rounded = np.eye(4)
    rounded[:3, :3], rounded[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), T[:3, 3].round(8)
    return rounded, float(np.linalg.norm(turn))


def _residual(points: Float[np.ndarray, "n 3"], model: Any, config: AlignmentConfig) -> tuple[float, float]:
    """Return the robust point-to-plane residual to a model, metres, and the fraction of points near it.

    1.48 times the median of absolute values is a standard deviation (Hampel 1974).
    """
    there = np.asarray(model.points)
    if not len(there):
        return np.inf, 0.0
    distance, nearest = KDTree(there).query(points, distance_upper_bound=config.max_distance)
    near = np.isfinite(distance)
    if not near.any():
        return np.inf, 0.0
    nearest = nearest[near]
    away = ((points[near] - there[nearest]) * np.asarray(model.normals)[nearest]).sum(axis=1)
    return 1.48 * float(np.median(np.abs(away))), float(near.mean())
