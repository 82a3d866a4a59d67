"""A recording as read, no pixels yet; and one image of it → a view with depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.types import Capture, Frame, View
from point2act.data.capture import load_view
from point2act.data.capture.images import depth_size, image_size, read_depth
from point2act.data.importers.calibration import Calibration, DepthCamera, DistortedCamera
from point2act.data.importers.depth_registration import register_depth

Poses = Mapping[str, Float[np.ndarray, "4 4"] | None]
"""``T_world_cam`` by the stem of an image's file; None where tracking was lost."""

_SATURATED = 65535
"""The largest number of 16 bits: 7-Scenes' mark for no reading, and beyond the range of every sensor."""


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One image of a recording with its depth."""

    frame: Frame
    depth_unit: float
    """Metres for one unit of the depth file."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What a folder of somebody's recording holds, in order."""

    shots: tuple[RecordedFrame, ...]
    depth_camera: DepthCamera | None
    """The camera that depth was taken with; None where depth is registered to the colours."""
    notes: tuple[str, ...] = ()
    """What a person should know: what was left out, and numbers that the recording does not have."""


@dataclass(frozen=True)
class FilePairs:
    """The colour and depth files of a recording by what both are called."""

    color: Mapping[str, Path]
    depth: Mapping[str, Path]


def assemble(
    folder: Path, files: FilePairs, poses: Poses, calibration: Calibration, depth_unit: float = 1e-3
) -> Recording:
    """The recording of the images that have depth and a pose, all taken with the same camera.

    ``depth_unit`` is the layout's, metres, which the calibration may overrule.
    Raises ``CaptureError`` where there is none.
    """
    with_depth = [name for name in files.color if name in files.depth]
    names = [name for name in with_depth if poses.get(name) is not None]
    if not names:
        raise CaptureError(
            f"{folder} has {len(files.color)} colour images, {len(with_depth)} of them with depth, and no "
            "pose for any: name colour, depth and pose files alike, and write poses that are finite"
        )
    shots = []
    for name in names:
        T_world_cam = poses[name]
        assert T_world_cam is not None
        unit = calibration.depth_unit or depth_unit
        shots.append(make_frame(files.color[name], files.depth[name], calibration.color, T_world_cam, unit))
    notes = omitted_note("depth", len(files.color) - len(with_depth))
    notes += omitted_note("a pose", len(with_depth) - len(names))
    return Recording(tuple(shots), calibration.depth, notes)


def make_frame(
    color: Path,
    depth: Path,
    sensor: DistortedCamera,
    T_world_cam: Float[np.ndarray, "4 4"],
    depth_unit: float,
) -> RecordedFrame:
    """A shot named after its colour file."""
    stem = color.stem.removesuffix(".color")  # 7-Scenes' frame-000000.color.png
    frame = Frame(f"images/{stem}.png", color, depth, None, sensor.camera, sensor.lens, T_world_cam)
    return RecordedFrame(frame, depth_unit)


def omitted_note(what: str, count: int) -> tuple[str, ...]:
    """The note that so many images were left out for lack of something; none for none."""
    return (f"{count} images without {what} are left out",) if count else ()


def load_frame(recording: Recording, shot: RecordedFrame) -> View:
    """Pixels of a shot: undistorted colours, and depth in metres of the same camera.

    Raises ``CaptureError`` for files that cannot be read, or of another size than their camera's.
    """
    frame, other = shot.frame, recording.depth_camera
    assert frame.depth_path is not None
    size = (frame.camera.height, frame.camera.width)
    _check_size(frame.image_path, image_size(frame.image_path), size, "that is what its calibration is for")
    if other is None:
        mend = "register the depth to the image, or describe the depth camera in a file for --camera"
        _check_size(frame.depth_path, depth_size(frame.depth_path), size, mend)
        return _with_depth(_load(frame, shot.depth_unit), shot.depth_unit)
    view = _load(replace(frame, depth_path=None), shot.depth_unit)
    camera = other.sensor.camera
    there = (camera.height, camera.width)
    _check_size(frame.depth_path, depth_size(frame.depth_path), there, "that is what its calibration is for")
    depth = _unsaturated(read_depth(frame.depth_path, shot.depth_unit), shot.depth_unit)
    return replace(view, depth=register_depth(depth, other, view.camera))


def _load(frame: Frame, depth_unit: float) -> View:
    capture = Capture(frame.image_path.parent, (frame,), depth_unit, None, None, metric=True)
    return load_view(capture, frame)


def _with_depth(view: View, depth_unit: float) -> View:
    assert view.depth is not None
    return replace(view, depth=_unsaturated(view.depth, depth_unit))


def _unsaturated(depth: Float[np.ndarray, "h w"], unit: float) -> Float[np.ndarray, "h w"]:
    return np.where(depth > (_SATURATED - 0.5) * unit, np.float32(0), depth)


def _check_size(path: Path, found: tuple[int, int], wanted: tuple[int, int], mend: str) -> None:
    if found != wanted:
        raise CaptureError(f"{path} is {found[1]}x{found[0]} pixels and not {wanted[1]}x{wanted[0]}: {mend}")
