"""Cropping and resizing of images, with exact conversion of pixels between the crop and the image on disk.

Pixels are continuous on both sides, so the conversion is exact whatever size was rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in whole pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Crop:
    """A resampled window of an image."""

    image: UInt8[np.ndarray, "h w 3"]
    window: Window

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the crop in its own pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def magnification(self) -> float:
        """Pixels of the crop per pixel of the image on disk."""
        return self.image.shape[1] / self.window.width

    def to_disk(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Convert pixels ``(x, y)`` of the crop to pixels of the image on disk."""
        return points * self._scale + [self.window.left, self.window.top]

    def from_disk(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Convert pixels ``(x, y)`` of the image on disk to pixels of the crop, inverse of ``to_disk``."""
        return (points - [self.window.left, self.window.top]) / self._scale

    @property
    def _scale(self) -> Float[np.ndarray, " 2"]:
        height, width = self.size
        return np.array([self.window.width / width, self.window.height / height])


def resize_image(image: UInt8[np.ndarray, "h w 3"], *, max_side: int) -> Crop:
    """Return the whole image, its longer side reduced to at most ``max_side`` pixels."""
    height, width = image.shape[:2]
    return crop_image(image, Window(0, 0, width, height), side=min(max_side, max(height, width)))


def window_around(middle: Float[np.ndarray, "2"], side: int, *, size: Int[np.ndarray, "2"]) -> Window:
    """Return the square window around ``middle`` ``(x, y)``, shifted and cut to an image (width, height)."""
    extent = np.minimum(side, size)
    corner = np.clip(np.round(middle - extent / 2), 0, size - extent).astype(int)
    return Window(*corner.tolist(), *extent.tolist())


def crop_image(image: UInt8[np.ndarray, "h w 3"], window: Window, *, side: int) -> Crop:
    """Crop a window and resample it so that its longer side has ``side`` pixels."""
    cut = image[window.top : window.top + window.height, window.left : window.left + window.width]
    scale = side / max(window.width, window.height)
    size = max(1, round(window.width * scale)), max(1, round(window.height * scale))
    if size == (window.width, window.height):
        return Crop(np.ascontiguousarray(cut), window)
    # Lanczos is sharp when enlarging and averages over the window when reducing.
    return Crop(np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.LANCZOS)), window)
