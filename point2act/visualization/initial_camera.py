"""Initial camera of the viewer, the up direction of a scene, and its ground. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import frame_from_normal, line_intersection_equations, transform
from point2act.core.planes import TableConfig, find_table
from point2act.core.types import GaussianScene

# Opacity below which Gaussians are haze.
_MIN_OPACITY = 0.1
# Maximum number of Gaussians in which a table is searched.
_MAX_POINTS = 20_000
# Inlier distance of the table plane, as a fraction of the distance to the cameras: 6 mm at half a metre.
_THICKNESS = 0.012
# Smallest cosine between the ground's normal and the cameras' up: a steeper plane is a wall.
_MIN_GROUND_COS = 0.5
# Shortest mean of the cameras' up vectors that defines up: below, they are rotated in all directions. Chosen.
_MIN_MEAN_UP = 0.2
# Rounding error of a zero distance, relative to the coordinates.
_ROUNDING = 1e-7
# Distance of the cameras to the centre relative to the Gaussians' spread, below which they are inside.
_INSIDE = 0.02
# Distance and elevation of the initial camera relative to those of the cameras: farther away and lower.
_DISTANCE_FACTOR, _ELEVATION_FACTOR = 1.45, 0.65


@dataclass(frozen=True, eq=False)
class InitialCamera:
    """Pose of the first camera and directions of the scene, world frame and unit."""

    center: Float[np.ndarray, " 3"]
    """Point that the cameras look at."""
    up: Float[np.ndarray, " 3"]
    eye: Float[np.ndarray, " 3"]
    """Position of the initial camera."""
    distance: float
    """Distance from the cameras to the centre, the scale of everything that is drawn."""
    T_world_ground: Float[np.ndarray, "4 4"]
    """A frame on the ground under the centre, +z up."""


def find_initial_camera(scene: GaussianScene, poses: Sequence[Float[np.ndarray, "4 4"]]) -> InitialCamera:
    """Return a camera near those of a scene.

    The ground is the largest plane (RANSAC) under the Gaussians or, without one, level with the lowest of
    them. Works without cameras and without Gaussians.

    Args:
        scene: Gaussians, world frame.
        poses: ``T_world_cam`` of the cameras.
    """
    solid = scene.means[scene.opacities > _MIN_OPACITY].astype(np.float64)
    cameras = np.array(poses).reshape(-1, 4, 4)
    center = _center(solid, cameras)
    eyes = cameras[:, :3, 3]
    distance, up = _distance(solid, eyes, center), _up(cameras, center)
    plane = _ground(solid, center, eyes, up, distance)
    if plane is None:
        low = float(np.percentile((solid - center) @ up, 2)) if len(solid) else 0.0
        foot = center + low * up
    else:
        up = plane[:3]
        foot = center - (plane[:3] @ center + plane[3]) * up
    T_world_ground = transform(frame_from_normal(up[None])[0], foot)
    return InitialCamera(center, up, _eye(center, eyes, up, distance), distance, T_world_ground)


def _center(solid: Float[np.ndarray, "n 3"], cameras: Float[np.ndarray, "m 4 4"]) -> Float[np.ndarray, "3"]:
    """Return the point nearest to all optical axes, pulled towards the Gaussians if the axes are parallel."""
    middle = np.median(solid, axis=0) if len(solid) else np.zeros(3)
    if not len(cameras):
        return middle
    matrix, right = line_intersection_equations(cameras[:, :3, 3], cameras[:, :3, 2])
    pull = 0.1 if len(solid) else 1e-9 / len(cameras)
    return np.linalg.solve(matrix + pull * np.eye(3), right + pull * middle)


def _distance(
    solid: Float[np.ndarray, "n 3"], eyes: Float[np.ndarray, "m 3"], center: Float[np.ndarray, "3"]
) -> float:
    """Return the cameras' distance to the centre; if they are inside, twice that of the Gaussians; else 1."""
    nothing = _ROUNDING * max(np.abs(center).max(), np.abs(eyes).max(initial=0.0))
    away, spread = (
        float(np.median(np.linalg.norm(points - center, axis=1))) if len(points) else 0.0
        for points in (eyes, solid)
    )
    if away > max(nothing, _INSIDE * spread):
        return away
    return 2 * spread if spread > nothing else 1.0


def _up(cameras: Float[np.ndarray, "m 4 4"], center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the cameras' mean up; the direction to them if they look down in all rotations; else +z."""
    level = np.array([0.0, 0.0, 1.0])
    if not len(cameras):
        return level
    own = -cameras[:, :3, 1].mean(axis=0)
    if np.linalg.norm(own) > _MIN_MEAN_UP:
        return own / np.linalg.norm(own)
    return _unit(cameras[:, :3, 3].mean(axis=0) - center, level)


def _ground(
    solid: Float[np.ndarray, "n 3"],
    center: Float[np.ndarray, "3"],
    eyes: Float[np.ndarray, "m 3"],
    up: Float[np.ndarray, "3"],
    distance: float,
) -> Float[np.ndarray, "4"] | None:
    near = solid[np.linalg.norm(solid - center, axis=1) < distance]
    near = near[:: max(1, len(near) // _MAX_POINTS)]
    if len(near) < 3 or not len(eyes):
        return None
    # Points on a line do not define a plane.
    spread = np.linalg.svd(near - near.mean(axis=0), compute_uv=False) / np.sqrt(len(near))
    if spread[1] < _THICKNESS * distance:
        return None
    config = TableConfig(inlier_distance=_THICKNESS * distance)
    towards = eyes.mean(axis=0) - center
    plane = find_table(near, towards, config=config, rng=np.random.default_rng(0))
    return None if plane is None or plane[:3] @ up < _MIN_GROUND_COS else plane


def _eye(
    center: Float[np.ndarray, "3"],
    eyes: Float[np.ndarray, "m 3"],
    up: Float[np.ndarray, "3"],
    distance: float,
) -> Float[np.ndarray, "3"]:
    """Return a position lower than the cameras, on the side of the camera of median elevation."""
    aside, height = frame_from_normal(up[None])[0][:, 0], np.pi / 4
    if len(eyes):
        ways = (eyes - center) / np.maximum(np.linalg.norm(eyes - center, axis=1, keepdims=True), 1e-9)
        medium = ways[np.argsort(ways @ up, kind="stable")[(len(ways) - 1) // 2]]
        height = float(np.arcsin(np.clip(medium @ up, -1.0, 1.0)))
        aside = _unit(medium - (medium @ up) * up, aside)
    height *= _ELEVATION_FACTOR
    return center + _DISTANCE_FACTOR * distance * (np.cos(height) * aside + np.sin(height) * up)


def _unit(vector: Float[np.ndarray, "3"], otherwise: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else otherwise
