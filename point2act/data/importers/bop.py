"""Reader of a scene of a BOP dataset, with the cameras of all images in scene_camera.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.files import read_json
from point2act.core.geometry import invert, transform
from point2act.data.capture.images import image_size
from point2act.data.capture.validators import positive
from point2act.data.importers.calibration import Calibration, DistortedCamera, camera_from_intrinsics
from point2act.data.importers.folders import COLORS, DEPTHS, named_files
from point2act.data.importers.pose_text import checked_pose
from point2act.data.importers.recording import RecordedFrame, Recording, make_frame, omitted_note


def read_bop(folder: Path, calibration: Calibration | None) -> Recording:
    """Read ``rgb/``, ``depth/`` and ``scene_camera.json`` of a scene; poses are in millimetres."""
    path = folder / "scene_camera.json"
    color, depth = named_files(folder / "rgb", COLORS), named_files(folder / "depth", DEPTHS)
    numbered = {int(stem): stem for stem in color if stem.isdecimal() and stem in depth}
    document = read_json(path, CaptureError)
    if not isinstance(document, dict):
        raise CaptureError(f"{path} holds no JSON object: write one entry per image number")
    entries = {int(key): value for key, value in document.items() if key.isdecimal()}
    frames: list[RecordedFrame] = []
    unposed = 0
    for number, stem in sorted(numbered.items()):
        place = f"{path}: image {number}"
        fields = entries.get(number)
        if not isinstance(fields, dict) or "cam_R_w2c" not in fields or "cam_t_w2c" not in fields:
            unposed += 1
            continue
        camera = calibration.color if calibration else _bop_sensor(fields, image_size(color[stem]), place)
        unit = positive(fields.get("depth_scale", 1.0), f"{place}: depth_scale") * 1e-3
        frames.append(make_frame(color[stem], depth[stem], camera, _bop_pose(fields, place), unit))
    if not frames:
        raise CaptureError(
            f"{path} has no cam_R_w2c and cam_t_w2c for any of {len(numbered)} images with depth: take a "
            "scene whose cameras have poses"
        )
    notes = omitted_note("depth", len(color) - len(numbered)) + omitted_note("a pose", unposed)
    return Recording(tuple(frames), calibration.depth if calibration else None, notes)


def _bop_sensor(fields: dict[str, Any], size: tuple[int, int], place: str) -> DistortedCamera:
    K = _array(fields.get("cam_K"), (3, 3), f"{place}: cam_K")
    return camera_from_intrinsics((K[0, 0], K[1, 1], K[0, 2], K[1, 2]), size)


def _bop_pose(fields: dict[str, Any], place: str) -> Float[np.ndarray, "4 4"]:
    rotation = _array(fields["cam_R_w2c"], (3, 3), f"{place}: cam_R_w2c")
    translation = _array(fields["cam_t_w2c"], (3,), f"{place}: cam_t_w2c") * 1e-3
    T_cam_world = checked_pose(transform(rotation, translation), f"{place}: cam_R_w2c")
    assert T_cam_world is not None
    return invert(T_cam_world)


def _array(values: Any, shape: tuple[int, ...], place: str) -> np.ndarray:
    try:
        array = np.array(values, dtype=float).reshape(shape)
    except (TypeError, ValueError, OverflowError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise CaptureError(f"{place} is not {np.prod(shape)} finite numbers: fix it")
    return array
