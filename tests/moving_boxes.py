"""RGB-D frames of textured boxes at any poses, by exact ray casting: things that move, with known motions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation
from synthetic import look_at, rays

from point2act.core.types import Camera, View

CAMERA = Camera(300.0, 298.0, 158.0, 122.0, 240, 320)
EYE = look_at(np.array([0.30, -0.10, 0.40]), np.array([0.0, 0.0, 0.03]))
"""``T_world_cam`` of a camera half a metre away."""


@dataclass(frozen=True, eq=False)
class Box:
    """A box with stripes that move with it."""

    T_world_box: np.ndarray
    half_extents: tuple[float, float, float]
    color: tuple[float, float, float]

    def moved(self, shift: Sequence[float] = (0, 0, 0), turn: float = 0.0) -> Box:
        """The box after a shift in the world and a turn about its own vertical axis, degrees."""
        T = self.T_world_box.copy()
        T[:3, :3] = T[:3, :3] @ Rotation.from_euler("z", turn, degrees=True).as_matrix()
        T[:3, 3] += shift
        return replace(self, T_world_box=T)


def box(x: float, y: float, size: tuple[float, float, float], color: tuple[float, float, float]) -> Box:
    """A box that stands on the table z = 0."""
    T = np.eye(4)
    T[:3, 3] = x, y, size[2] / 2
    return Box(T, (size[0] / 2, size[1] / 2, size[2] / 2), color)


RED = box(0.02, 0.0, (0.05, 0.07, 0.06), (0.85, 0.2, 0.2))
BLUE = box(-0.11, 0.06, (0.06, 0.05, 0.05), (0.2, 0.35, 0.85))


def frame(
    *boxes: Box,
    T_world_cam: np.ndarray = EYE,
    camera: Camera = CAMERA,
    noise: float = 0.0,
    seed: int = 0,
) -> View:
    """Boxes on a table; ``noise`` is the standard deviation of depth, metres."""
    ones = np.ones((camera.height, camera.width, 1))
    along = np.concatenate([rays(camera), ones], axis=-1) @ T_world_cam[:3, :3].T
    eye = T_world_cam[:3, 3]
    depth = np.where(along[..., 2] < 0, -eye[2] / np.minimum(along[..., 2], -1e-9), 0.0)
    points = eye + along * depth[..., None]
    shade = 0.9 + 0.1 * np.sin(points @ [[60.0, 10], [20, 70], [0, 0]]).mean(axis=-1)
    rgb = np.array([0.75, 0.7, 0.6]) * shade[..., None]
    for one in boxes:
        T = np.linalg.inv(one.T_world_box)
        start, way = T[:3, :3] @ eye + T[:3, 3], along @ T[:3, :3].T
        way = np.where(np.abs(way) < 1e-12, 1e-12, way)
        ends = np.stack([(side * np.array(one.half_extents) - start) / way for side in (-1, 1)])
        enter, leave = ends.min(axis=0).max(axis=-1), ends.max(axis=0).min(axis=-1)
        hit = (enter < leave) & (enter > 0) & ((enter < depth) | (depth == 0))
        inside = start + way * enter[..., None]
        waves = np.sin(inside @ np.array([[190.0, 40, 30], [35, 170, 25], [45, 20, 210]]).T).mean(axis=-1)
        depth = np.where(hit, enter, depth)
        rgb = np.where(hit[..., None], np.array(one.color) * (0.8 + 0.2 * waves[..., None]), rgb)
    rng = np.random.default_rng(seed)
    read = np.where(depth > 0, depth + noise * rng.standard_normal(depth.shape), 0.0)
    return View(
        "frame.png", camera, T_world_cam, np.round(255 * rgb).astype(np.uint8), read.astype(np.float32)
    )


def pixel_of(point: np.ndarray, camera: Camera = CAMERA) -> tuple[float, float]:
    """The pixel of a world point seen from ``EYE``."""
    x, y, z = np.linalg.inv(EYE)[:3] @ [*point, 1.0]
    return float(camera.fx * x / z + camera.cx), float(camera.fy * y / z + camera.cy)


def top(one: Box) -> np.ndarray:
    """The middle of a box's upper side, world."""
    return one.T_world_box[:3] @ [0.0, 0.0, one.half_extents[2], 1.0]
