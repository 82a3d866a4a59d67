"""RGB-D recordings as read from a dataset, and loading of their frames as views with depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.types import Camera, Capture, Frame, View
from point2act.data.capture import load_view
from point2act.data.capture.images import depth_size, image_size, read_depth
from point2act.data.importers.calibration import Calibration, DepthCamera, DistortedCamera
from point2act.data.importers.depth_registration import register_depth

Poses = Mapping[str, Float[np.ndarray, "4 4"] | None]
"""``T_world_cam`` by the stem of an image file, None for lost tracking."""

_SATURATED = 65535
"""Largest 16-bit number: 7-Scenes' mark of a missing reading, and beyond the range of every sensor."""


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """An image of a recording with its depth."""

    frame: Frame
    depth_unit: float
    """Metres per unit of the depth file."""


@dataclass(frozen=True, eq=False)
class Recording:
    """The frames of a recording, in order."""

    frames: tuple[RecordedFrame, ...]
    depth_camera: DepthCamera | None
    """The depth camera; None if depth is registered to the colours."""
    notes: tuple[str, ...] = ()
    """Remarks for the user: what was omitted, and nominal values in use."""
    T_base_world: Float[np.ndarray, "4 4"] | None = None
    """Pose of the world in the robot's base frame, if known."""


@dataclass(frozen=True)
class FilePairs:
    """The colour and depth files of a recording by their common name."""

    color: Mapping[str, Path]
    depth: Mapping[str, Path]


def assemble(
    folder: Path, files: FilePairs, poses: Poses, calibration: Calibration, depth_unit: float = 1e-3
) -> Recording:
    """Assemble the images that have depth and a pose, all of the same camera.

    ``depth_unit`` is the layout's in metres; that of the calibration precedes it. Raises ``CaptureError`` if
    no image is left.
    """
    with_depth = [name for name in files.color if name in files.depth]
    posed = {name: pose for name in with_depth if (pose := poses.get(name)) is not None}
    if not posed:
        raise CaptureError(
            f"{folder} has {len(files.color)} colour images, {len(with_depth)} of them with depth, and no "
            "pose for any: name colour, depth and pose files alike, and write poses that are finite"
        )
    unit = calibration.depth_unit or depth_unit
    frames = tuple(
        make_frame(files.color[name], files.depth[name], calibration.color, pose, unit)
        for name, pose in posed.items()
    )
    notes = omitted_note("depth", len(files.color) - len(with_depth))
    notes += omitted_note("a pose", len(with_depth) - len(frames))
    return Recording(frames, calibration.depth, notes)


def make_frame(
    color: Path,
    depth: Path,
    camera: DistortedCamera,
    T_world_cam: Float[np.ndarray, "4 4"],
    depth_unit: float,
) -> RecordedFrame:
    """Make a frame that is named after its colour file."""
    stem = color.stem.removesuffix(".color")  # 7-Scenes' frame-000000.color.png
    frame = Frame(f"images/{stem}.png", color, depth, None, camera.camera, camera.lens, T_world_cam)
    return RecordedFrame(frame, depth_unit)


def omitted_note(what: str, count: int) -> tuple[str, ...]:
    """Return a note on the number of omitted images, none for zero."""
    return (f"{count} images without {what} are omitted",) if count else ()


def load_frame(recording: Recording, recorded: RecordedFrame) -> View:
    """Load a frame: undistorted colours, and depth in metres registered to them.

    Raises ``CaptureError`` for files that cannot be read, or of another size than their camera's.
    """
    frame, unit, depth_camera = recorded.frame, recorded.depth_unit, recording.depth_camera
    assert frame.depth_path is not None
    calibrated = "that is what its calibration is for"
    _check_size(frame.image_path, image_size(frame.image_path), frame.camera, calibrated)
    if depth_camera is None:
        fix = "register the depth to the image, or describe the depth camera in a file for --camera"
        _check_size(frame.depth_path, depth_size(frame.depth_path), frame.camera, fix)
        view = _load(frame, unit)
        assert view.depth is not None
        return replace(view, depth=_unsaturated(view.depth, unit))
    view = _load(replace(frame, depth_path=None), unit)
    _check_size(frame.depth_path, depth_size(frame.depth_path), depth_camera.sensor.camera, calibrated)
    depth = _unsaturated(read_depth(frame.depth_path, unit), unit)
    return replace(view, depth=register_depth(depth, depth_camera, view.camera))


def _load(frame: Frame, depth_unit: float) -> View:
    return load_view(Capture(frame.image_path.parent, (frame,), depth_unit, None, None, metric=True), frame)


def _unsaturated(depth: Float[np.ndarray, "h w"], unit: float) -> Float[np.ndarray, "h w"]:
    return np.where(depth > (_SATURATED - 0.5) * unit, np.float32(0), depth)


def _check_size(path: Path, found: tuple[int, int], camera: Camera, fix: str) -> None:
    if found != (camera.height, camera.width):
        size = f"{camera.width}x{camera.height}"
        raise CaptureError(f"{path} is {found[1]}x{found[0]} pixels and not {size}: {fix}")
