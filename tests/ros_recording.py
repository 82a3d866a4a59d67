"""A small recording of a robot with a camera on its wrist, written as bags: its truth is a formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import synthetic
from PIL import Image
from scipy.spatial.transform import Rotation

from benchmarks.bags.writing import BagWriter, Format

BASE, ARM, TOOL, BODY = "base_link", "arm_mount", "tool0", "camera_link"
OPTICAL, DEPTH_OPTICAL = "camera_color_optical_frame", "camera_depth_optical_frame"
COLOR, INFO = "/camera/color/image_raw", "/camera/color/camera_info"
DEPTH, DEPTH_INFO = "/camera/aligned_depth_to_color/image_raw", "/camera/aligned_depth_to_color/camera_info"
PINHOLE = synthetic.pinhole()
START = 1_700_000_000_123_456_789


def rigid(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", [roll, pitch, yaw]).as_matrix()
    pose[:3, 3] = x, y, z
    return pose


T_BASE_ARM = rigid(0.1, -0.2, 0.05, 0.0, 0.1, 0.7)
T_TOOL_BODY = rigid(0.03, 0.0, 0.06, 0.2, -0.1, 1.2)
T_BODY_OPTICAL = rigid(0.0, 0.015, 0.001, -np.pi / 2, 0.01, -np.pi / 2)
STATIC = ((BASE, ARM, T_BASE_ARM), (TOOL, BODY, T_TOOL_BODY), (BODY, OPTICAL, T_BODY_OPTICAL))


def pose_at(time: int) -> np.ndarray:
    """T_base_cam at a time in nanoseconds: around the table in 20 s, with rests (it moves as t - sin t)."""
    seconds = (time - START) / 1e9
    angle = 2 * np.pi * (seconds - np.sin(2 * np.pi * seconds) / (2 * np.pi)) / 20
    eye = np.array([0.35 * np.cos(angle), 0.35 * np.sin(angle), 0.35])
    return synthetic.look_at(eye, np.array([0.0, 0.0, 0.03]))


def tool_at(time: int) -> np.ndarray:
    """T_arm_tool that puts the camera there."""
    T_tool_cam = T_TOOL_BODY @ T_BODY_OPTICAL
    return np.linalg.inv(T_BASE_ARM) @ pose_at(time) @ np.linalg.inv(T_tool_cam)


@dataclass(frozen=True)
class Recipe:
    """How a recording is written; the fields are what may be wrong with it."""

    seconds: float = 1.0
    encoding: str = "rgb8"
    depth_encoding: str = "16UC1"
    compressed: str = ""
    """jpeg or png for colours; depth is then compressedDepth."""
    tf: tuple[tuple[float, float], ...] = ((-0.1, 100.0),)
    """Intervals with tf, in seconds."""
    static: Sequence[tuple[str, str, np.ndarray]] = STATIC
    infos: bool = True
    frame: str = OPTICAL
    depth_scale: float = 1.0
    depth_delay: int = 4_000_000
    jump: float = 0.0
    """Seconds by which stamps of images go back half-way."""
    stamped: bool = True


def image_times(recipe: Recipe) -> list[int]:
    return [START + round(number * 1e9 / 30) for number in range(round(30 * recipe.seconds))]


def pictures(recipe: Recipe) -> list[synthetic.Picture]:
    return [synthetic.render(pose_at(time), synthetic.rays(PINHOLE)) for time in image_times(recipe)]


def packed(pixels: np.ndarray, kind: str) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def write(path: Path, kind: Format, recipe: Recipe | None = None) -> Path:
    """Write images at 30 Hz, and tf at 100 Hz with jitter."""
    recipe = recipe or Recipe()
    rng = np.random.default_rng(0)
    with BagWriter(path, kind) as bag:
        if recipe.static:
            bag.tf(START - 10**8, recipe.static, static=True)
        events = [(time, index) for index, time in enumerate(image_times(recipe))]
        for first, end in recipe.tf:
            end = min(end, recipe.seconds + 0.1)
            count = round((end - first) * 100)
            ticks = first + (np.arange(count) + rng.uniform(-0.4, 0.4, count)) / 100
            events += [(START + round(tick * 1e9), -1) for tick in ticks]
        shown = pictures(recipe)
        for time, index in sorted(events):
            if index < 0:
                bag.tf(time, [(ARM, TOOL, tool_at(time))])
            else:
                _write_images(bag, recipe, time, shown[index], index)
    return path


def _write_images(bag: BagWriter, recipe: Recipe, time: int, shown: synthetic.Picture, index: int) -> None:
    late = recipe.jump and index >= 15 * recipe.seconds
    stamp = (time - round(recipe.jump * 1e9) if late else time) if recipe.stamped else 0
    bag.latency = time - stamp + 3_000_000
    if recipe.infos:
        bag.info(INFO, stamp, recipe.frame, PINHOLE)
        bag.info(DEPTH_INFO, stamp, recipe.frame, PINHOLE)
    pixels = shown.rgb[..., ::-1] if recipe.encoding == "bgr8" else shown.rgb
    if "mono" in recipe.encoding or "bayer" in recipe.encoding:
        pixels = shown.rgb[..., 0]
    depth = shown.depth * recipe.depth_scale
    depth = (
        np.round(depth * 1000).astype(np.uint16)
        if recipe.depth_encoding == "16UC1"
        else depth.astype(np.float32)
    )
    if recipe.compressed:
        words = f"rgb8; {recipe.compressed} compressed bgr8"
        bag.compressed(
            f"{COLOR}/compressed", stamp, recipe.frame, packed(shown.rgb, recipe.compressed), words
        )
        data = bytes(12) + packed(depth, "png")
        bag.compressed(f"{DEPTH}/compressedDepth", stamp, recipe.frame, data, "16UC1; compressedDepth png")
    else:
        bag.image(COLOR, stamp, recipe.frame, pixels, recipe.encoding)
        bag.latency -= recipe.depth_delay
        bag.image(DEPTH, stamp + recipe.depth_delay, recipe.frame, depth, recipe.depth_encoding)
    bag.latency = 3_000_000
