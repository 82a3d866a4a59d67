"""One colour image with depth and its intrinsics, as files of any camera, read as a capture of one frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.types import Capture, View
from point2act.data.capture.images import depth_size, image_size, is_float
from point2act.data.importers.calibration import Calibration, camera_from_intrinsics, read_calibration
from point2act.data.importers.recording import RecordedFrame, Recording, load_frame, make_frame

_MILLIMETRES = 1e-3
_FORMS = "give fx,fy,cx,cy, a JSON file with fx, fy, cx and cy, or a text file with the 3x3 matrix"


def read_intrinsics(given: str, image: Path) -> Calibration:
    """Read the intrinsics of an image's camera.

    Args:
        given: ``fx,fy,cx,cy`` in pixels with the centre of the first pixel at 0; the path of a JSON file for
            ``read_calibration``, in which the size may be missing; or that of a text file with the 3x3
            matrix.
        image: The colour image, for its size.

    Raises:
        CaptureError: The image or the file cannot be read, or the numbers are no intrinsics of this image.
    """
    size, path = image_size(image), Path(given)
    if path.suffix == ".json":
        calibration = read_calibration(path, size=size)
    elif path.is_file():
        calibration = Calibration(camera_from_intrinsics(_matrix(path), size))
    else:
        calibration = Calibration(camera_from_intrinsics(_four(given), size))
    camera = calibration.color.camera
    if not (0 < camera.cx < camera.width and 0 < camera.cy < camera.height and min(camera.fx, camera.fy) > 0):
        raise CaptureError(
            f"--intrinsics {given}: fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy {camera.cy:g} "
            f"are not those of an image of {camera.width}x{camera.height} pixels: give those of {image}"
        )
    return calibration


def read_single_image(
    color: Path,
    depth: Path,
    calibration: Calibration,
    T_world_cam: Float[np.ndarray, "4 4"],
    *,
    depth_unit: float | None = None,
) -> tuple[Capture, View]:
    """Read a colour image and its depth, undistorted; depth of a second camera is registered to the colours.

    Args:
        color: Colour image.
        depth: Depth image.
        calibration: The camera, or both cameras.
        T_world_cam: Pose of the camera.
        depth_unit: Metres per unit of depth; None for that of the calibration, else millimetres, and metres
            for files of floats.

    Returns:
        The capture, and its only frame at full size.

    Raises:
        CaptureError: A file cannot be read, or an image has another size than its camera.
    """
    if calibration.depth is None:
        _check_registered(color, depth)
    unit = depth_unit or calibration.depth_unit or (1.0 if is_float(depth) else _MILLIMETRES)
    recorded = make_frame(color, depth, calibration.color, T_world_cam, unit)
    recorded = RecordedFrame(replace(recorded.frame, name=color.name), unit)
    view = load_frame(Recording((recorded,), calibration.depth), recorded)
    return Capture(color.parent, (recorded.frame,), unit, None, None, metric=True), view


def _check_registered(color: Path, depth: Path) -> None:
    (height, width), (rows, columns) = image_size(color), depth_size(depth)
    if (height, width) != (rows, columns):
        raise CaptureError(
            f"{depth} is {columns}x{rows} pixels and {color} {width}x{height}: register the depth to the "
            "colours in the camera's driver, or describe both cameras, color and depth, in a JSON file"
        )


def _four(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise CaptureError(
            f"--intrinsics {text}: there is no such file, and these are not 4 numbers: {_FORMS}"
        )
    return numbers


def _matrix(path: Path) -> list[float]:
    """Read fx, fy, cx, cy from a text file with the 3x3 matrix, separated by spaces or commas."""
    try:
        words = path.read_text(encoding="utf-8").replace(",", " ").split()
        matrix = np.array(words, dtype=np.float64)
    except (OSError, ValueError) as err:
        raise CaptureError(f"{path} is not a file of 9 numbers ({err}): {_FORMS}") from err
    if matrix.size != 9 or not np.isfinite(matrix).all():
        raise CaptureError(f"{path} holds {matrix.size} numbers and not the 9 of a 3x3 matrix: {_FORMS}")
    return matrix[[0, 4, 2, 5]].tolist()
