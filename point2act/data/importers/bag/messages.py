"""Pixels from ROS messages: Image and CompressedImage.

Encodings are those of sensor_msgs/image_encodings.h, depth is as in REP 118: 16UC1 in millimetres, 32FC1 in
metres. Compressed depth is that of compressed_depth_image_transport.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from point2act.core.errors import CaptureError
from point2act.core.files import brief, write_bytes
from point2act.data.capture.images import read_depth, read_rgb
from point2act.data.capture.write import write_png

_COLORS = {
    "rgb8": (3, slice(0, 3)),
    "bgr8": (3, slice(2, None, -1)),
    "8UC3": (3, slice(2, None, -1)),
    "rgba8": (4, slice(0, 3)),
    "bgra8": (4, slice(2, None, -1)),
    "8UC4": (4, slice(2, None, -1)),
    "mono8": (1, slice(0, 1)),
    "8UC1": (1, slice(0, 1)),
}
"""Channels of an encoding, and those that are red, green and blue; OpenCV's names mean its order."""

_DEPTHS = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}

_UNITS = {"u": 1e-3, "f": 1.0}
"""Metres per unit by the kind of number."""

_HEADER = struct.Struct("<iff")
"""Before compressed depth: the format, and the two parameters of inverse depth for 32FC1."""


def save_color(message: Any, path: Path, place: str) -> tuple[int, int]:
    """Write the colours of an Image or CompressedImage as a file that Pillow reads.

    Args:
        message: The message.
        path: File to write.
        place: Topic and time, for errors.

    Returns:
        Height and width.

    Raises:
        CaptureError: The encoding is not supported, or the data is incomplete.
    """
    if hasattr(message, "encoding"):
        colors = _raw_color(message, place)
        write_png(path, colors)
    else:
        write_bytes(path, bytes(message.data))
        with _naming(place, path):
            colors, _ = read_rgb(path)
    return len(colors), len(colors[0])


def save_depth(message: Any, path: Path, place: str) -> tuple[Shaped[np.ndarray, "h w"], float]:
    """Write the depth of an Image or CompressedImage as a ``.npy`` file.

    Args:
        message: The message.
        path: File to write, ``.npy``.
        place: Topic and time, for errors.

    Returns:
        The depth, and the metres per unit that its encoding stands for.

    Raises:
        CaptureError: The encoding is not supported, or the data is incomplete.
    """
    depth = (
        _raw_depth(message, place) if hasattr(message, "encoding") else _packed_depth(message, path, place)
    )
    np.save(path, depth)
    return depth, _UNITS[depth.dtype.kind]


def _raw_color(message: Any, place: str) -> UInt8[np.ndarray, "h w 3"]:
    if message.encoding not in _COLORS:
        raise CaptureError(
            f"{place} is encoded as {brief(message.encoding)}, not as one of {', '.join(_COLORS)}: record "
            "such colours, as image_proc publishes them"
        )
    channels, order = _COLORS[message.encoding]
    pixels = _rows(message, np.dtype("u1"), channels, place)[..., order]
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _raw_depth(message: Any, place: str) -> Shaped[np.ndarray, "h w"]:
    if message.encoding not in _DEPTHS:
        raise CaptureError(
            f"{place} is encoded as {brief(message.encoding)}, not as depth ({', '.join(_DEPTHS)}): name "
            "another topic with --depth"
        )
    order = ">" if message.is_bigendian else "<"
    kind = np.dtype(_DEPTHS[message.encoding])
    return _rows(message, kind.newbyteorder(order), 1, place)[..., 0].astype(kind)


def _rows(message: Any, kind: np.dtype, channels: int, place: str) -> Shaped[np.ndarray, "h w c"]:
    """Return the pixels of an Image whose rows may be padded."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * channels * kind.itemsize
    if not row or step < row or not height or len(message.data) < height * step:
        raise CaptureError(
            f"{place} has {len(message.data)} bytes for {width}x{height} pixels of "
            f"{brief(message.encoding)} in rows of {step}: its driver is wrong; record it again"
        )
    rows = np.asarray(message.data)[: height * step].reshape(height, step)[:, :row]
    return np.ascontiguousarray(rows).view(kind).reshape(height, width, channels)


def _packed_depth(message: Any, path: Path, place: str) -> Shaped[np.ndarray, "h w"]:
    """Return the depth of a PNG, after the header that compressed_depth_image_transport writes."""
    data, packed = bytes(message.data), "compressedDepth" in message.format
    start = _HEADER.size if packed else 0
    if not data[start:].startswith(b"\x89PNG"):
        raise CaptureError(
            f"{place} is {brief(message.format)} and no PNG: depth is read from raw images and from "
            "compressedDepth as PNG, not from JPEG or RVL; republish it as one of these"
        )
    picture = path.with_name(f"{path.stem}.depth.png")
    write_bytes(picture, data[start:])
    with _naming(place, picture):
        values = read_depth(picture, 1.0)
    picture.unlink()
    if packed and message.format.strip().startswith("32FC1"):
        return _from_inverse(values, *_HEADER.unpack_from(data)[1:])
    return values.astype(np.uint16)


def _from_inverse(values: Float[np.ndarray, "h w"], a: float, b: float) -> Float[np.ndarray, "h w"]:
    """Return metres ``a / (value - b)``, 0 without a reading."""
    seen = values > 0
    return np.divide(a, values - b, out=np.zeros_like(values), where=seen & (values != b))


@contextmanager
def _naming(place: str, path: Path) -> Iterator[None]:
    """Name the message in an error, not the file that its bytes were written to."""
    try:
        yield
    except CaptureError as err:
        raise CaptureError(str(err).replace(str(path), place)) from err
