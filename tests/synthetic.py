"""Pictures of textured boxes on a table, by exact ray casting: a small world with known answers.

It shares no code with what it tests: own projection, own files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from point2act.core.types import Camera, View

SKY = np.array([40, 60, 90], dtype=np.uint8)


@dataclass(frozen=True)
class Block:
    """An axis-aligned box; ``color`` in [0, 1]."""

    center: tuple[float, float, float]
    half_extents: tuple[float, float, float]
    color: tuple[float, float, float]


TABLETOP = (
    Block((0.00, 0.00, 0.05), (0.03, 0.04, 0.05), (0.9, 0.2, 0.2)),
    Block((0.12, 0.05, 0.03), (0.04, 0.02, 0.03), (0.2, 0.8, 0.3)),
    Block((-0.10, -0.08, 0.02), (0.02, 0.05, 0.02), (0.2, 0.3, 0.9)),
)
"""Three boxes on the plane z = 0, metres."""

TABLE_COLOR = (0.75, 0.7, 0.6)


@dataclass(frozen=True, eq=False)
class Picture:
    rgb: np.ndarray
    """(h, w, 3) uint8."""
    depth: np.ndarray
    """(h, w) float32 z-depth in metres, 0 where the ray meets nothing."""
    ids: np.ndarray
    """(h, w) index of the block, -1 for the table, -2 for nothing."""


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return T_world_cam (OpenCV axes) of a camera at ``eye`` that faces ``target``, world z up."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    pose[:3, 3] = eye
    return pose


def orbit(n: int, *, radius: float = 0.35, height: float = 0.35) -> list[np.ndarray]:
    """T_world_cam of ``n`` cameras on a circle around the table, looking at it."""
    angles = np.arange(n) * 2 * np.pi / n
    eyes = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(n, height)], axis=1)
    return [look_at(eye, np.array([0.0, 0.0, 0.03])) for eye in eyes]


def pinhole(height: int = 48, width: int = 64) -> Camera:
    """A camera with a principal point that is not the centre and pixels that are not square."""
    return Camera(0.95 * width, 0.94 * width, 0.51 * width, 0.48 * height, height, width)


def rays(camera: Camera) -> np.ndarray:
    """(h, w, 2) directions x/z, y/z through the pixel centres."""
    x = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    y = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    return np.stack(np.meshgrid(x, y), axis=-1)


def render(T_world_cam: np.ndarray, directions: np.ndarray, blocks: tuple[Block, ...] = TABLETOP) -> Picture:
    """What is seen along (h, w, 2) directions x/z, y/z: of a pinhole, or of any other lens."""
    shape = directions.shape[:2]
    ones = np.ones((*shape, 1))
    along = np.concatenate([directions, ones], axis=-1) @ T_world_cam[:3, :3].T
    eye = T_world_cam[:3, 3]
    along = np.where(np.abs(along) < 1e-12, 1e-12, along)

    table = -eye[2] / along[..., 2]
    depth = np.where(table > 0, table, np.inf)
    ids = np.where(table > 0, -1, -2)
    for index, block in enumerate(blocks):
        near = (np.array(block.center) - block.half_extents - eye) / along
        far = (np.array(block.center) + block.half_extents - eye) / along
        enter = np.minimum(near, far).max(axis=-1)
        leave = np.maximum(near, far).min(axis=-1)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        depth, ids = np.where(hit, enter, depth), np.where(hit, index, ids)

    seen = ids > -2
    points = eye + along * np.where(seen, depth, 0.0)[..., None]
    colors = np.array([*(block.color for block in blocks), TABLE_COLOR, TABLE_COLOR])
    # Waves of 6 to 9 cm: smooth at 64x48 pixels, different on every face.
    waves = np.sin(points @ np.array([[100.0, 20, 30], [15, 90, 25], [45, 10, 70]]).T).mean(axis=-1)
    shaded = colors[ids] * (0.7 + 0.3 * waves[..., None])
    rgb = np.where(seen[..., None], np.clip(shaded * 255, 0, 255).astype(np.uint8), SKY)
    return Picture(rgb, np.where(seen, depth, 0.0).astype(np.float32), ids)


def views(n: int = 8, *, height: int = 48, width: int = 64) -> tuple[View, ...]:
    """RGB-D views of ``TABLETOP`` from all around."""
    camera = pinhole(height, width)
    found = []
    for index, pose in enumerate(orbit(n)):
        picture = render(pose, rays(camera))
        found.append(View(f"images/{index:04d}.png", camera, pose, picture.rgb, picture.depth))
    return tuple(found)


def transforms(captured: tuple[View, ...]) -> dict:
    """The content of a nerfstudio transforms.json for views that share one camera."""
    camera = captured[0].camera
    frames = []
    for view in captured:
        opengl = view.T_world_cam * np.array([1.0, -1.0, -1.0, 1.0])
        entry = {"file_path": view.name, "transform_matrix": opengl.tolist()}
        frames.append(entry | {"depth_file_path": view.name.replace("images/", "depth/")})
    shared = {"fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy}
    size = {"w": camera.width, "h": camera.height}
    return {"camera_model": "OPENCV", **shared, **size, "frames": frames}


def write_capture_files(folder: Path, captured: tuple[View, ...]) -> None:
    """A capture folder: images/*.png, depth/*.png in millimetres, transforms.json."""
    for view in captured:
        assert view.depth is not None
        for name, array in (
            (view.name, view.rgb),
            (view.name.replace("images/", "depth/"), np.round(view.depth * 1000).astype(np.uint16)),
        ):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    (folder / "transforms.json").write_text(json.dumps(transforms(captured)))


TEXTURED = 10
"""Views of ``textured``."""


@cache
def textured(grains: tuple[float, ...] = (0.006, 0.0137)) -> tuple[View, ...]:
    """RGB-D views of the three boxes, on all of which lies a solid texture that features stick to.

    It is made of grains of such sizes, metres, and repeats itself where all of them do.
    """
    rng = np.random.default_rng(0)
    texture = rng.uniform(30, 225, (48, 48, 48, 3))
    camera = pinhole(180, 240)
    found = []
    paths = [orbit(2 * TEXTURED, radius=r, height=h) for r, h in ((0.35, 0.35), (0.28, 0.45))]
    for index in range(TEXTURED):
        pose = paths[index % 2][index]
        picture = render(pose, rays(camera))
        seen = np.dstack([rays(camera), np.ones(picture.depth.shape)]) * picture.depth[..., None]
        points = seen.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
        grain = np.mean([_solid(texture, points / size) for size in grains], axis=0)
        tint = np.array([*(block.color for block in TABLETOP), (1.0, 1.0, 1.0), (0.3, 0.3, 0.4)])
        rgb = 0.8 * grain.reshape(picture.rgb.shape) + 80 * tint[picture.ids]
        noisy = np.clip(rgb + rng.normal(scale=1.0, size=rgb.shape), 0, 255).astype(np.uint8)
        found.append(View(f"images/{index:04d}.png", camera, pose, noisy, picture.depth))
    return tuple(found)


def _solid(texture: np.ndarray, places: np.ndarray) -> np.ndarray:
    channels = [map_coordinates(texture[..., c], places.T, order=1, mode="grid-wrap") for c in range(3)]
    return np.stack(channels, axis=1)
