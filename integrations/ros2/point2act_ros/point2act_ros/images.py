"""Images and calibrations of ROS as views of point2act; plain functions of the messages' fields."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from point2act.core.errors import CaptureError
from point2act.core.types import Camera, View

_COLOR = {"rgb8": slice(None), "bgr8": slice(None, None, -1)}
# REP 118: depth is in millimetres as 16 bits, and in metres as floats.
_DEPTH = {"16UC1": (np.dtype(np.uint16), 1e-3), "32FC1": (np.dtype(np.float32), 1.0)}
_OPENCV, _FISHEYE = ("plumb_bob", "rational_polynomial"), "equidistant"


def color_of(message: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Return the RGB image of a sensor_msgs/Image.

    Raises:
        CaptureError: Its encoding is not one of 8-bit colours, or bytes are missing.
    """
    order = _encoded(message, _COLOR, "colour")
    return np.ascontiguousarray(_rows(message, 3).reshape(message.height, message.width, 3)[..., order])


def depth_of(message: Any) -> Float32[np.ndarray, "h w"]:
    """Return the z-depth of a sensor_msgs/Image, metres; 0 without a reading.

    Raises:
        CaptureError: Its encoding is not one of depth, or bytes are missing.
    """
    kind, unit = _encoded(message, _DEPTH, "depth")
    kind = kind.newbyteorder(">" if message.is_bigendian else "<")
    depth = _rows(message, kind.itemsize).view(kind).astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def camera_of(info: Any, *, rectified: bool) -> Camera:
    """Return the intrinsics in a sensor_msgs/CameraInfo.

    Args:
        info: The calibration; the centre of the first pixel is 0 in ROS, and 0.5 here.
        rectified: Whether the images are rectified: their intrinsics are those in P, otherwise those in K.

    Raises:
        CaptureError: The camera is not calibrated.
    """
    fx, cx, fy, cy = (
        (info.p[0], info.p[2], info.p[5], info.p[6]) if rectified else np.take(info.k, [0, 2, 4, 5])
    )
    if not (np.isfinite([fx, cx, fy, cy]).all() and fx > 0 and fy > 0):
        raise CaptureError(
            f"the CameraInfo of {info.header.frame_id or 'the camera'} has no focal length in "
            f"{'P' if rectified else 'K'}: calibrate the camera"
        )
    return Camera(float(fx), float(fy), float(cx) + 0.5, float(cy) + 0.5, info.height, info.width)


def view_of(
    color: Any,
    depth: Any,
    info: Any,
    T_world_cam: Float[np.ndarray, "4 4"],
    *,
    rectified: bool,
) -> View:
    """Make an undistorted view of a colour image and the depth that is registered to it.

    Args:
        color: The sensor_msgs/Image with the colours.
        depth: The sensor_msgs/Image with the depth, pixel by pixel that of the colours.
        info: The sensor_msgs/CameraInfo of the colours.
        T_world_cam: Pose of the camera's optical frame.
        rectified: Whether the images are rectified already.

    Raises:
        CaptureError: The messages cannot be used, see above, or differ in size.
    """
    rgb, metres, camera = color_of(color), depth_of(depth), camera_of(info, rectified=rectified)
    sizes = [rgb.shape[:2], metres.shape, (camera.height, camera.width)]
    if len(set(sizes)) > 1:
        listed = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise CaptureError(
            f"colour, depth and CameraInfo differ in size ({listed}): register the depth to the colours"
        )
    if rectified or not any(info.d):
        return View("", camera, T_world_cam, rgb, metres)
    x, y = _distortion_maps(info)
    # What the lens did not see is black, and without a reading.
    rgb = np.asarray(cv2.remap(rgb, x, y, cv2.INTER_LINEAR), dtype=np.uint8)
    metres = np.asarray(cv2.remap(metres, x, y, cv2.INTER_NEAREST), dtype=np.float32)
    return View("", camera, T_world_cam, rgb, metres)


def _encoded(message: Any, encodings: dict[str, Any], what: str) -> Any:
    if message.encoding not in encodings:
        raise CaptureError(
            f"the {what} images are encoded as '{message.encoding}': publish {' or '.join(encodings)}"
        )
    return encodings[message.encoding]


def _rows(message: Any, itemsize: int) -> UInt8[np.ndarray, "h n"]:
    """Return the bytes of each row, without those that pad it."""
    used = message.width * itemsize
    if used == 0 or message.step < used or len(message.data) != message.height * message.step:
        raise CaptureError(
            f"an image of {message.width}x{message.height} pixels, {message.encoding}, has "
            f"{len(message.data)} bytes in rows of {message.step}: repair its driver"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return np.ascontiguousarray(rows[:, :used])


def _distortion_maps(info: Any) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Return where the distorted image shows each pixel of the pinhole with the same K."""
    K, D = np.reshape(info.k, (3, 3)).astype(float), np.array(info.d, dtype=float)
    size = (info.width, info.height)
    if info.distortion_model in _OPENCV and len(D) in (4, 5, 8):
        return cv2.initUndistortRectifyMap(K, D, np.eye(3), K, size, cv2.CV_32FC1)
    if info.distortion_model == _FISHEYE and len(D) == 4:
        return cv2.fisheye.initUndistortRectifyMap(K, D, np.eye(3), K, size, cv2.CV_32FC1)
    raise CaptureError(
        f"the distortion model '{info.distortion_model}' with {len(D)} numbers is not supported: use "
        f"{', '.join((*_OPENCV, _FISHEYE))}, or rectified images"
    )
