"""Reading of image, depth and mask files as arrays, pixels as stored, with errors that name the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from point2act.core.errors import CaptureError

_FIX = "copy or export it again"
# Pixels from which Pillow warns of a decompression bomb. No camera on a robot has half as many.
_MAX_PIXELS = 2**30 // 12
# Formats that Pillow reads by running another program on the file.
_PROGRAMS = ("EPS", "WMF")
_MAX_SHOWN = 200  # Characters of a library's error in ours. Chosen.
# Metres, as for poses: larger values, as the largest float32, mark pixels without a reading.
_MAX_DEPTH = 1e7

# Pillow's modes of 16-bit and 32-bit single-channel images, which nerfstudio reads as depth.
_DEPTH_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_OPAQUE = 128  # Smallest alpha of an opaque pixel.


def image_size(path: Path) -> tuple[int, int]:
    """Return ``(height, width)`` from the header of an image file."""
    width, height = _open(path).size
    return height, width


def depth_size(path: Path) -> tuple[int, int]:
    """Return ``(height, width)`` from the header of a depth file."""
    if path.suffix == ".npy":
        height, width = _open_npy(path).shape
        return height, width
    return image_size(path)


def is_float(path: Path) -> bool:
    """Return whether a depth file holds floating-point numbers."""
    return _open_npy(path).dtype.kind == "f" if path.suffix == ".npy" else _open(path).mode == "F"


def read_rgb(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"] | None]:
    """Return the colours, and where the image is opaque if it has an alpha channel."""
    image = _load(path)
    if image.mode[0] in "IF":
        raise CaptureError(
            f"{path} has {image.mode} pixels, not 8-bit colours: save it with 8 bits a channel"
        )
    with _as_capture_error(path, f"has {image.mode} pixels that do not turn into colours"):
        alpha = None
        if image.has_transparency_data:
            alpha = np.asarray(image.convert("RGBA"))[..., 3] >= _OPAQUE
        return np.asarray(image.convert("RGB")), alpha


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Return where a mask image is not black."""
    image = _load(path)
    with _as_capture_error(path, f"has {image.mode} pixels that do not turn into a mask"):
        return np.asarray(image.convert("L")) > 0


def read_channels(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """Return the values of a mask image as stored, its colour channels without alpha."""
    image = _load(path)
    with _as_capture_error(path, f"has {image.mode} pixels that do not turn into a mask"):
        values = np.asarray(image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("L"))
    values = values.reshape(*values.shape[:2], -1)
    return values[..., :-1] if image.mode in ("LA", "RGBA") else values


def read_depth(path: Path, unit: float) -> Float[np.ndarray, "h w"]:
    """Return depth in metres, 0 without a reading (also for non-finite, negative and very large values).

    Reads 16-bit and 32-bit single-channel images and ``.npy`` arrays, in multiples of ``unit`` metres.
    """
    if path.suffix == ".npy":
        values = np.array(_open_npy(path), dtype=np.float64)
    else:
        image = _load(path)
        if image.mode not in _DEPTH_MODES:
            raise CaptureError(
                f"{path} has {image.mode} pixels, not 16-bit depth: save depth as a 16-bit "
                "single-channel PNG in millimetres"
            )
        values = np.asarray(image, dtype=np.float64)
    measured = (values > 0) & (values <= _MAX_DEPTH / unit)
    return (np.where(measured, values, 0.0) * unit).astype(np.float32)


def _open(path: Path) -> Image.Image:
    """Read and check the header; the file is closed again."""
    with _as_capture_error(path, "is not an image that can be read"), _opened(path) as image:
        return image


def _load(path: Path) -> Image.Image:
    """Decode all pixels."""
    with _as_capture_error(path, "cannot be read to its end"), _opened(path) as image:
        image.load()
        return image


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file, refusing programs and decompression bombs by its header."""
    with warnings.catch_warnings():  # _check_count raises an error instead.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path)
    with image:
        if image.format in _PROGRAMS:
            raise CaptureError(f"{path} is a program in {image.format}, not an image: save it as PNG or JPEG")
        _check_count(path, image.width, image.height)
        yield image


def _check_count(path: Path, width: int, height: int) -> None:
    if width * height > _MAX_PIXELS:
        raise CaptureError(
            f"{path} has {width}x{height} pixels by its header, more than {_MAX_PIXELS / 1e6:.0f} million: "
            "make it smaller, or export it again if it is not so large"
        )


def _open_npy(path: Path) -> np.ndarray:
    """Memory-map an array; pickled objects are refused."""
    with _as_capture_error(path, "is not a numpy array that can be read"):
        array = np.lib.format.open_memmap(path, mode="r")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise CaptureError(
            f"{path} holds {array.dtype} of shape {array.shape}: save depth as one number a pixel, (h, w)"
        )
    _check_count(path, array.shape[1], array.shape[0])
    return array


@contextmanager
def _as_capture_error(path: Path, trouble: str) -> Iterator[None]:
    """Turn any exception of a file reader into a ``CaptureError``.

    Broken files raise OSError, SyntaxError, struct.error, KeyError, DecompressionBombError, MemoryError and
    more.
    """
    try:
        yield
    except CaptureError:
        raise
    except Exception as err:
        raise CaptureError(f"{path} {trouble} ({_reason(path, err)}): {_FIX}") from err


def _reason(path: Path, err: BaseException) -> str:
    try:
        empty = path.stat().st_size == 0
    except OSError:
        empty = False
    words = " ".join(str(err).replace(f" {str(path)!r}", "").split()) or type(err).__name__
    return "it is empty" if empty else words[:_MAX_SHOWN]
