"""Images of ROS 2 as arrays in point2act's units."""

from typing import Any

import numpy as np

from point2act.core.errors import RobotError
from point2act.core.types import Camera

COLOR = {"rgb8": slice(None), "bgr8": slice(None, None, -1)}
# REP 118: depth is in millimetres as 16 bits, and in metres as floats.
DEPTH = {"16UC1": (np.dtype(np.uint16), 1e-3), "32FC1": (np.dtype(np.float32), 1.0)}


def _known(message: Any, encodings: dict[str, Any]) -> Any:
    if message.encoding not in encodings:
        raise RobotError(f"an image is encoded as '{message.encoding}': publish {' or '.join(encodings)}")
    return encodings[message.encoding]


def _rows(message: Any, itemsize: int) -> np.ndarray:
    """Return the bytes of each row, without those that pad it."""
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    return np.ascontiguousarray(rows[:, : message.width * itemsize])


def color_of(message: Any) -> np.ndarray:
    """Return the colours of a sensor_msgs/Image, (h, w, 3)."""
    order = _known(message, COLOR)
    return np.ascontiguousarray(_rows(message, 3).reshape(message.height, message.width, 3)[..., order])


def depth_of(message: Any) -> np.ndarray:
    """Return the z-depth of a sensor_msgs/Image, (h, w), metres; 0 without a reading."""
    kind, unit = _known(message, DEPTH)
    kind = kind.newbyteorder(">" if message.is_bigendian else "<")
    depth = _rows(message, kind.itemsize).view(kind).astype(np.float32) * np.float32(unit)
    return np.where(np.isfinite(depth), depth, np.float32(0))


def camera_of(info: Any) -> Camera:
    """Return the intrinsics in a sensor_msgs/CameraInfo: those of the rectified image, which are in P."""
    fx, _, cx, _, _, fy, cy = info.p[:7]
    if not (fx > 0 and fy > 0):
        raise RobotError("the camera's CameraInfo has no projection matrix P: calibrate the camera")
    # The centre of the first pixel is 0 in ROS, and 0.5 here.
    return Camera(fx, fy, cx + 0.5, cy + 0.5, info.height, info.width)
