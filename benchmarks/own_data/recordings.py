"""Simulated recordings: a phone video of a table with printed markers, and a RealSense folder of a robot.

Both are of a simulated table, so that the truth is known. The phone is moved around it by hand, films in a
format that OpenCV can write, and has neither poses nor scale. The robot's poses are off by some millimetres,
and its depth camera differs from its colour camera, with noise and holes.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from point2act.core.geometry import back_project, pixel_centers
from point2act.core.types import Camera, View
from point2act.physics.pictures import look_at, pinhole
from point2act.physics.scene import Scene
from point2act.simulation.camera import SimView, WristConfig, render, wrist_poses
from point2act.simulation.sensor import SensorConfig, measured_color, measured_depth

SIDE = 0.05
"""Side of a marker's black square, metres."""
CORNERS = ((-0.2, 0.2), (0.2, 0.2), (0.2, -0.2), (-0.2, -0.2))
"""Positions of markers 0 to 3 relative to the table's middle, metres."""
_PHONE = pinhole((540, 960), 780.0)
_PICTURES, _RATE = 180, 30
_SHAKE = 0.004, 0.6
"""Camera shake before smoothing, metres and degrees."""
_COLOR = pinhole((480, 640), 610.0)
_DEPTH = pinhole((480, 640), 385.0)
"""Roughly the depth camera of a RealSense D435, whose field of view is wider than the colour camera's."""
_BASELINE = 0.015
"""Distance between the two cameras, metres."""
_POSE_ERROR = 0.002, 0.3
"""Errors of the robot's poses, metres and degrees: those of a fair calibration."""


def T_world_board(scene: Scene) -> Float[np.ndarray, "4 4"]:
    """Return the frame of the first marker: its middle, x along its upper side, z up."""
    T = np.eye(4)
    T[:3, 3] = *CORNERS[0], scene.layout.table.height
    return T


def film(scene: Scene, path: Path, rng: np.random.Generator) -> tuple[SimView, ...]:
    """Write a video of the table with its markers; return the ground truth of every image."""
    poses = _hand_held_poses(scene, rng)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _RATE, (_PHONE.width, _PHONE.height))
    sheet = _marker_sheet()
    shots: list[SimView] = []
    for some in np.array_split(np.array(poses), _PICTURES // 20):
        for pose, color, depth, ids in zip(some, *render(scene, list(some), _PHONE), strict=True):
            painted = _with_markers(scene, sheet, pose, color, depth, ids)
            rgb = measured_color(painted, SensorConfig(), rng)
            writer.write(np.ascontiguousarray(rgb[..., ::-1]))
            shots.append(SimView(View(str(len(shots)), _PHONE, pose, rgb), ids, depth))
    writer.release()
    return tuple(shots)


def record(scene: Scene, folder: Path, rng: np.random.Generator, *, views: int = 24) -> tuple[SimView, ...]:
    """Write colour, depth, poses and camera.json; return the ground truth of every image."""
    poses = wrist_poses(scene.layout.table.height, WristConfig(views=views), rng)
    T_color_depth = np.eye(4)
    T_color_depth[0, 3] = -_BASELINE
    for name in ("color", "depth", "pose"):
        (folder / name).mkdir(parents=True)
    shots = []
    seen = render(scene, poses, _COLOR)
    beside = render(scene, [pose @ T_color_depth for pose in poses], _DEPTH)
    for index, (pose, color, near, ids) in enumerate(zip(poses, *seen, strict=True)):
        depth, there = beside[1][index], beside[2][index]
        rgb = measured_color(color, SensorConfig(), rng)
        metres = measured_depth(depth, there, _DEPTH, SensorConfig(), rng)
        name = f"{index:06}"
        cv2.imwrite(str(folder / f"color/{name}.jpg"), rgb[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 92))
        cv2.imwrite(str(folder / f"depth/{name}.png"), np.round(1000 * metres).astype(np.uint16))
        np.savetxt(folder / f"pose/{name}.txt", pose @ _step(rng, *_POSE_ERROR))
        shots.append(SimView(View(f"images/{name}.png", _COLOR, pose, rgb, near), ids, near))
    extrinsics = {
        "rotation": np.eye(3).reshape(-1).tolist(),
        "translation": T_color_depth[:3, 3].tolist(),
    }
    described = {"color": _intrinsics(_COLOR), "depth": _intrinsics(_DEPTH), "depth_to_color": extrinsics}
    (folder / "camera.json").write_text(json.dumps(described, indent=1))
    return tuple(shots)


def _hand_held_poses(scene: Scene, rng: np.random.Generator) -> list[Float[np.ndarray, "4 4"]]:
    """Return poses around most of the table, up and down once, with camera shake."""
    along = np.linspace(0, 1, _PICTURES)
    azimuth = np.radians(-150 + 300 * along)
    elevation = np.radians(50 + 14 * np.sin(2 * np.pi * 1.5 * along))
    distance = 0.62 + 0.06 * np.cos(2 * np.pi * 2 * along)
    shift = gaussian_filter1d(rng.normal(size=(_PICTURES, 3)), 3, axis=0) * 4 * _SHAKE[0]
    turn = gaussian_filter1d(rng.normal(size=(_PICTURES, 3)), 3, axis=0) * 4 * np.radians(_SHAKE[1])
    target = np.array([0.0, 0.0, scene.layout.table.height + 0.02])
    poses = []
    for a, e, d, s, t in zip(azimuth, elevation, distance, shift, turn, strict=True):
        eye = target + d * np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]) + s
        pose = look_at(eye, target)
        pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(t).as_matrix()
        poses.append(pose)
    return poses


_PER_METRE = 2000
"""Pixels per metre of the rendered markers: half a millimetre, a phone's pixel on the table being 0.8."""


def _marker_sheet() -> Float[np.ndarray, "h w 2"]:
    """Return brightness and coverage of the markers, half a metre each way from the middle."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    side, white = round(SIDE * _PER_METRE), round(0.012 * _PER_METRE)
    sheet = np.zeros((_PER_METRE, _PER_METRE, 2), np.float32)
    for number, (x, y) in enumerate(CORNERS):
        marker = np.clip(cv2.aruco.generateImageMarker(dictionary, number, side), 20, 235)
        marker = np.pad(marker, white, constant_values=235).astype(np.float32)
        half = len(marker) // 2
        left, top = round((0.5 + x) * _PER_METRE) - half, round((0.5 - y) * _PER_METRE) - half
        sheet[top : top + len(marker), left : left + len(marker)] = np.dstack([marker, np.ones_like(marker)])
    # Blur by the lens and the pixel's own size.
    return cv2.GaussianBlur(sheet, (0, 0), 0.8)


def _with_markers(
    scene: Scene,
    sheet: Float[np.ndarray, "s s 2"],
    pose: Float[np.ndarray, "4 4"],
    color: UInt8[np.ndarray, "h w 3"],
    depth: Float[np.ndarray, "h w"],
    ids: np.ndarray,
) -> UInt8[np.ndarray, "h w 3"]:
    """Paint the markers into the image where the bare table is visible."""
    pixels = pixel_centers(*depth.shape).reshape(-1, 2)
    points = back_project(_PHONE, pose, pixels, depth.reshape(-1).astype(float)).reshape(*depth.shape, 3)
    bare = (ids == -1) & (np.abs(points[..., 2] - scene.layout.table.height) < 0.005)
    # cv2 has pixel centres at integers.
    where = ((0.5 + sign * points[..., axis]) * _PER_METRE - 0.5 for axis, sign in ((0, 1), (1, -1)))
    x, y = (side.astype(np.float32) for side in where)
    ink, coverage = np.moveaxis(cv2.remap(sheet, x, y, cv2.INTER_LINEAR), 2, 0) * bare
    return (ink[..., None] + (1 - coverage[..., None]) * color).round().astype(np.uint8)


def _step(rng: np.random.Generator, shift: float, turn: float) -> Float[np.ndarray, "4 4"]:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rng.normal(scale=np.radians(turn) / 3**0.5, size=3)).as_matrix()
    T[:3, 3] = rng.normal(scale=shift / 3**0.5, size=3)
    return T


def _intrinsics(camera: Camera) -> dict[str, float]:
    """Return the intrinsics as librealsense has them, the centre of the first pixel at 0."""
    size = {"width": camera.width, "height": camera.height}
    return size | {"fx": camera.fx, "fy": camera.fy, "ppx": camera.cx - 0.5, "ppy": camera.cy - 0.5}
