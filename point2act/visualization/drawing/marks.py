"""Marks at pixels, captions, and grids of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from point2act.visualization.drawing.canvas import DARK, Canvas, Color

_PAPER = (246, 247, 249)
_GAP = 8


def draw_points(
    image: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], color: Color
) -> UInt8[np.ndarray, "h w 3"]:
    """Mark pixels with a cross in a ring, whose open middle does not hide the object."""
    canvas = Canvas(image)
    radius = max(4.0, max(image.shape) / 60)
    thin = max(1.5, radius / 5)
    for pixel in pixels:
        for shade, width in ((DARK, 2.2 * thin), (color, thin)):
            reach = 1.65 * radius + (width - thin) / 2
            for axis in np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]):
                canvas.line(np.stack([pixel + axis * 0.55 * radius, pixel + axis * reach]), shade, width)
            canvas.ring(pixel, radius, shade, width)
        canvas.disc(pixel, 0.75 * thin, color)
    return canvas.merged()


def caption(image: UInt8[np.ndarray, "h w 3"], text: str) -> UInt8[np.ndarray, "h w 3"]:
    """Write a line into the upper left corner."""
    canvas = Canvas(image)
    size = max(11.0, image.shape[1] / 28)
    canvas.text(np.array([0.6, 0.5]) * size, text, (255, 255, 255), size=size)
    return canvas.merged()


def grid(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], columns: int, labels: Sequence[str] = ()
) -> UInt8[np.ndarray, "h w 3"]:
    """Arrange pictures in rows, each in the middle of its cell, with captions if there are labels.

    Args:
        images: Pictures of any sizes.
        columns: Pictures per row.
        labels: A caption for each picture, or none.

    Raises:
        ValueError: There are no pictures, or not one label for each.
    """
    if not images or columns < 1:
        raise ValueError("a grid needs at least one picture and one column")
    if labels and len(labels) != len(images):
        raise ValueError(f"{len(labels)} labels for {len(images)} pictures: give one for each, or none")
    if labels:
        images = [caption(image, label) for image, label in zip(images, labels, strict=True)]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    high = max(image.shape[0] for image in images) + _GAP
    wide = max(image.shape[1] for image in images) + _GAP
    page = np.full((rows * high + _GAP, columns * wide + _GAP, 3), _PAPER, dtype=np.uint8)
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        top = _GAP + index // columns * high + (high - _GAP - height) // 2
        left = _GAP + index % columns * wide + (wide - _GAP - width) // 2
        page[top : top + height, left : left + width] = image
    return page
