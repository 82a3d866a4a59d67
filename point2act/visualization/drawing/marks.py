"""Marks at pixels, captions, and many pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from point2act.visualization.drawing.canvas import DARK, Color, Sheet

_PAPER = (246, 247, 249)
_GAP = 8


def draw_points(
    image: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], color: Color
) -> UInt8[np.ndarray, "h w 3"]:
    """Mark pixels with a cross in a ring; the open middle leaves what is meant to be seen."""
    sheet = Sheet(image)
    radius = max(4.0, max(image.shape) / 60)
    thin = max(1.5, radius / 5)
    for pixel in pixels:
        for shade, width in ((DARK, 2.2 * thin), (color, thin)):
            reach = 1.65 * radius + (width - thin) / 2
            for axis in np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]):
                sheet.line(np.stack([pixel + axis * 0.55 * radius, pixel + axis * reach]), shade, width)
            sheet.ring(pixel, radius, shade, width)
        sheet.disc(pixel, 0.75 * thin, color)
    return sheet.merged()


def caption(image: UInt8[np.ndarray, "h w 3"], words: str) -> UInt8[np.ndarray, "h w 3"]:
    """Write a line into the upper left corner."""
    sheet = Sheet(image)
    size = max(11.0, image.shape[1] / 28)
    sheet.text(np.array([0.6, 0.5]) * size, words, (255, 255, 255), size=size)
    return sheet.merged()


def grid(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], columns: int, labels: Sequence[str] = ()
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay pictures out in rows, each in the middle of its cell, with captions if there are labels.

    Raises ValueError without pictures, or when labels are given but not one for each.
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
