"""Image, depth and mask files → arrays, with errors that name the file. Pixels stay as stored."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from point2act.core.errors import CaptureError

_MEND = "copy or export it again"
# Pixels from which Pillow warns of a decompression bomb. No camera on a robot has half as many.
_MOST_PIXELS = 2**30 // 12
# Formats that Pillow reads by having another program run what the file says.
_PROGRAMS = ("EPS", "WMF")
_WORDS = 200  # Characters that an error shows of a library's. Chosen.
# Metres, as for poses: what is farther was written for "nothing there", as the largest float32 is.
_FARTHEST = 1e7

# 16-bit and 32-bit single-channel images, which nerfstudio reads as depth.
_DEPTH_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_OPAQUE = 128  # Alpha from here on counts as there.


def image_size(path: Path) -> tuple[int, int]:
    """``(height, width)`` from the header of an image file."""
    width, height = _open(path).size
    return height, width


def depth_size(path: Path) -> tuple[int, int]:
    """``(height, width)`` of a depth file, from its header."""
    if path.suffix == ".npy":
        height, width = _open_npy(path).shape
        return height, width
    return image_size(path)


def read_rgb(path: Path) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"] | None]:
    """Colours, and where the image is opaque if it has an alpha channel."""
    image = _load(path)
    if image.mode[0] in "IF":
        raise CaptureError(
            f"{path} has {image.mode} pixels, not 8-bit colours: save it with 8 bits a channel"
        )
    with _told(path, f"has {image.mode} pixels that do not turn into colours"):
        alpha = None
        if image.has_transparency_data:
            alpha = np.asarray(image.convert("RGBA"))[..., 3] >= _OPAQUE
        return np.asarray(image.convert("RGB")), alpha


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """True where a mask image is not black."""
    image = _load(path)
    with _told(path, f"has {image.mode} pixels that do not turn into a mask"):
        return np.asarray(image.convert("L")) > 0


def read_depth(path: Path, unit: float) -> Float[np.ndarray, "h w"]:
    """Metres, 0 where there is no reading (also for NaN, infinite, negative and absurdly large values).

    Reads 16-bit and 32-bit single-channel images and ``.npy`` arrays, all multiplied by ``unit``.
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
    measured = (values > 0) & (values <= _FARTHEST / unit)
    return (np.where(measured, values, 0.0) * unit).astype(np.float32)


def _open(path: Path) -> Image.Image:
    """The header, checked; the file is closed again."""
    with _told(path, "is not an image that can be read"), _opened(path) as image:
        return image


def _load(path: Path) -> Image.Image:
    """All pixels, decoded."""
    with _told(path, "cannot be read to its end"), _opened(path) as image:
        image.load()
        return image


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file of which only the header was read, and nothing will be decoded that should not be."""
    with warnings.catch_warnings():
        # What Pillow would warn of is refused below.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path)
    with image:
        if image.format in _PROGRAMS:
            raise CaptureError(f"{path} is a program in {image.format}, not an image: save it as PNG or JPEG")
        _check_count(path, image.width, image.height)
        yield image


def _check_count(path: Path, width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise CaptureError(
            f"{path} says that it has {width}x{height} pixels, and {_MOST_PIXELS / 1e6:.0f} million are the "
            "most that are read: make it smaller, or export it again if it is not so large"
        )


def _open_npy(path: Path) -> np.ndarray:
    """An array that is read where it lies. Objects, which would be pickled, cannot be."""
    with _told(path, "is not a numpy array that can be read"):
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
def _told(path: Path, trouble: str) -> Iterator[None]:
    """Whatever a reader of files runs into, as our error.

    All of it, since they raise what parsing ends in: OSError, SyntaxError, struct.error, KeyError,
    DecompressionBombError, MemoryError and more, as the file likes.
    """
    try:
        yield
    except CaptureError:
        raise
    except Exception as err:
        raise CaptureError(f"{path} {trouble} ({_reason(path, err)}): {_MEND}") from err


def _reason(path: Path, err: BaseException) -> str:
    try:
        empty = path.stat().st_size == 0
    except OSError:
        empty = False
    words = " ".join(str(err).replace(f" {str(path)!r}", "").split()) or type(err).__name__
    return "it is empty" if empty else words[:_WORDS]
