"""Image, depth and mask files → arrays, with errors that name the file. Pixels stay as stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from point2act.errors import CaptureError

# What Pillow raises for empty, foreign and cut-off files: UnidentifiedImageError is an OSError, broken
# PNG chunks are SyntaxErrors or ValueErrors, oversized files DecompressionBombErrors.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
_MEND = "copy or export it again"

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
    alpha = None
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA"))[..., 3] >= _OPAQUE
    return np.asarray(image.convert("RGB")), alpha


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """True where a mask image is not black."""
    return np.asarray(_load(path).convert("L")) > 0


def read_depth(path: Path, unit: float) -> Float[np.ndarray, "h w"]:
    """Metres, 0 where there is no reading (also for NaN, infinite and negative values).

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
    return np.where(np.isfinite(values) & (values > 0), values * unit, 0.0).astype(np.float32)


def _open(path: Path) -> Image.Image:
    """The header, checked; the file is closed again."""
    try:
        with Image.open(path) as image:
            return image
    except _BROKEN as err:
        raise CaptureError(
            f"{path} is not an image that can be read ({_reason(path, err)}): {_MEND}"
        ) from err


def _load(path: Path) -> Image.Image:
    """All pixels, decoded."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except _BROKEN as err:
        raise CaptureError(f"{path} cannot be read to its end ({_reason(path, err)}): {_MEND}") from err


def _open_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise CaptureError(f"{path} is not a numpy array that can be read ({err}): {_MEND}") from err
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise CaptureError(
            f"{path} holds {array.dtype} of shape {array.shape}: save depth as one number a pixel, (h, w)"
        )
    return array


def _reason(path: Path, err: BaseException) -> str:
    try:
        return "it is empty" if path.stat().st_size == 0 else str(err).replace(f" {str(path)!r}", "")
    except OSError:
        return str(err)
