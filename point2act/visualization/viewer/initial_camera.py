"""From where a scene is first looked at, which way is up, and where its ground is. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import frame_from_normal, line_intersection_equations
from point2act.core.planes import TableConfig, find_table
from point2act.core.types import GaussianScene

# Gaussians fainter than this are haze.
_SOLID = 0.1
# So many are enough to find a table among.
_ENOUGH = 20_000
# A table's plane lies within this share of the distance to the cameras: 6 mm at half a metre.
_THICKNESS = 0.012
# A plane whose normal is further than 60 degrees from the cameras' up is a wall.
_GROUND = 0.5
# Where the mean of the cameras' unit vectors up is shorter, they are turned every way. Chosen.
_TURNED = 0.2
# A share of the coordinates: what rounding leaves of a distance that is none.
_NOTHING = 1e-7
# Cameras nearer to the centre than this share of the Gaussians' spread stand among them. Chosen.
_AMONG = 0.02
# One begins a little further away than the cameras, to see more than they saw, and lower by this factor.
_BACK, _LOWER = 1.45, 0.65


@dataclass(frozen=True, eq=False)
class InitialCamera:
    """How a scene is looked at, world frame and unit."""

    center: Float[np.ndarray, " 3"]
    """What the cameras look at."""
    up: Float[np.ndarray, " 3"]
    eye: Float[np.ndarray, " 3"]
    """A good place to begin."""
    distance: float
    """From the cameras to the centre; lengths of what is drawn go by it."""
    T_world_ground: Float[np.ndarray, "4 4"]
    """A frame on the ground under the centre, +z up."""


def find_initial_camera(scene: GaussianScene, poses: Sequence[Float[np.ndarray, "4 4"]]) -> InitialCamera:
    """Look at a scene from about where its cameras ``T_world_cam`` did.

    The ground is the largest plane under the Gaussians, or, where there is none, level under the lowest of
    them. Works without cameras and without Gaussians.
    """
    solid = scene.means[scene.opacities > _SOLID].astype(np.float64)
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
    T_world_ground = np.eye(4)
    T_world_ground[:3, :3], T_world_ground[:3, 3] = frame_from_normal(up[None])[0], foot
    return InitialCamera(center, up, _eye(center, eyes, up, distance), distance, T_world_ground)


def _center(solid: Float[np.ndarray, "n 3"], cameras: Float[np.ndarray, "m 4 4"]) -> Float[np.ndarray, "3"]:
    """The point nearest to all cameras' axes, drawn towards the Gaussians where the axes are parallel."""
    middle = np.median(solid, axis=0) if len(solid) else np.zeros(3)
    if not len(cameras):
        return middle
    matrix, right = line_intersection_equations(cameras[:, :3, 3], cameras[:, :3, 2])
    pull = 0.1 if len(solid) else 1e-9 / len(cameras)
    return np.linalg.solve(matrix + pull * np.eye(3), right + pull * middle)


def _distance(
    solid: Float[np.ndarray, "n 3"], eyes: Float[np.ndarray, "m 3"], center: Float[np.ndarray, "3"]
) -> float:
    """From the cameras to the centre; where they stand in it, twice that of the Gaussians; else 1."""
    nothing = _NOTHING * max(np.abs(center).max(), np.abs(eyes).max(initial=0.0))
    away, spread = (
        float(np.median(np.linalg.norm(points - center, axis=1))) if len(points) else 0.0
        for points in (eyes, solid)
    )
    if away > max(nothing, _AMONG * spread):
        return away
    return 2 * spread if spread > nothing else 1.0


def _up(cameras: Float[np.ndarray, "m 4 4"], center: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """As most cameras have it; towards them, where they look down and are turned every way; else +z."""
    level = np.array([0.0, 0.0, 1.0])
    if not len(cameras):
        return level
    own = -cameras[:, :3, 1].mean(axis=0)
    if np.linalg.norm(own) > _TURNED:
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
    near = near[:: max(1, len(near) // _ENOUGH)]
    if len(near) < 3 or not len(eyes):
        return None
    # Gaussians on a line lie on as many planes as one likes.
    spread = np.linalg.svd(near - near.mean(axis=0), compute_uv=False) / np.sqrt(len(near))
    if spread[1] < _THICKNESS * distance:
        return None
    config = TableConfig(inlier_distance=_THICKNESS * distance)
    towards = eyes.mean(axis=0) - center
    plane = find_table(near, towards, config=config, rng=np.random.default_rng(0))
    return None if plane is None or plane[:3] @ up < _GROUND else plane


def _eye(
    center: Float[np.ndarray, "3"],
    eyes: Float[np.ndarray, "m 3"],
    up: Float[np.ndarray, "3"],
    distance: float,
) -> Float[np.ndarray, "3"]:
    """Lower than the cameras, which are then not in the way, on the side of the one of medium height."""
    aside, height = frame_from_normal(up[None])[0][:, 0], np.pi / 4
    if len(eyes):
        ways = (eyes - center) / np.maximum(np.linalg.norm(eyes - center, axis=1, keepdims=True), 1e-9)
        medium = ways[np.argsort(ways @ up, kind="stable")[(len(ways) - 1) // 2]]
        height = float(np.arcsin(np.clip(medium @ up, -1.0, 1.0)))
        aside = _unit(medium - (medium @ up) * up, aside)
    height *= _LOWER
    return center + _BACK * distance * (np.cos(height) * aside + np.sin(height) * up)


def _unit(vector: Float[np.ndarray, "3"], otherwise: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else otherwise
