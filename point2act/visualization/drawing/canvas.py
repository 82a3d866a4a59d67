"""Anti-aliased drawing on images: shapes are drawn on an enlarged transparent layer, then reduced."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

# Okabe & Ito (2008), distinguishable with any common colour blindness; reordered so that the first four also
# stand out on photographs.
PALETTE: tuple[Color, ...] = (
    (0, 158, 115),
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (213, 94, 0),
    (240, 228, 66),
    (0, 114, 178),
)

DARK: Color = (16, 18, 24)

_SCALE = 3
"""Pixels of the layer per pixel of the image along each axis."""

Points = list[tuple[float, float]]
"""Pillow's coordinates on the layer."""


class Canvas:
    """Transparent layer over an image, in the image's continuous pixels; ``merged`` composes both.

    Strokes are drawn only then, so the layer is no larger than what they cover.
    """

    def __init__(self, image: UInt8[np.ndarray, "h w 3"]):
        self._image = image
        self._strokes: list[tuple[Callable[[ImageDraw.ImageDraw, Points], None], Points]] = []
        self._covered: list[tuple[float, float]] = []

    def line(
        self, pixels: Float[np.ndarray, "n 2"], color: Color, width: float, *, opacity: float = 1.0
    ) -> None:
        """Draw a polyline, ``width`` image pixels wide."""
        ink, wide = _rgba(color, opacity), max(1, round(width * _SCALE))
        self._add(_enlarged(pixels), lambda pen, at: pen.line(at, ink, wide, joint="curve"), margin=wide)

    def polygon(self, pixels: Float[np.ndarray, "n 2"], color: Color, *, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        ink = _rgba(color, opacity)
        self._add(_enlarged(pixels), lambda pen, at: pen.polygon(at, ink))

    def disc(self, center: Float[np.ndarray, " 2"], radius: float, color: Color) -> None:
        """Fill a disc."""
        ink = _rgba(color, 1.0)
        corners = _enlarged(np.stack([center - radius, center + radius]))
        self._add(corners, lambda pen, at: pen.ellipse(at, ink))

    def ring(self, center: Float[np.ndarray, " 2"], radius: float, color: Color, width: float) -> None:
        """Draw a ring whose middle line has the given radius."""
        ink, wide = _rgba(color, 1.0), max(1, round(width * _SCALE))
        outer = radius + width / 2
        corners = _enlarged(np.stack([center - outer, center + outer]))
        self._add(corners, lambda pen, at: pen.ellipse(at, outline=ink, width=wide))

    def text(
        self, pixel: Float[np.ndarray, " 2"], text: str, color: Color, *, size: float, anchor: str = "la"
    ) -> None:
        """Write with a dark outline, ``size`` image pixels high, at Pillow's ``anchor``."""
        font = ImageFont.load_default(size * _SCALE)
        rim = max(1, round(size * _SCALE / 9))

        def write(pen: ImageDraw.ImageDraw, at: Points) -> None:
            pen.text(at[0], text, color, font, anchor, stroke_width=rim, stroke_fill=DARK)

        reach = math.ceil(max(map(abs, font.getbbox(text, anchor=anchor, stroke_width=rim))))
        self._add(_enlarged(pixel[None]), write, margin=reach)

    def merged(self, *, opacity: float = 1.0) -> UInt8[np.ndarray, "h w 3"]:
        """Return the image under the drawing; ``opacity`` fades the drawing as a whole."""
        merged = self._image.copy()
        left, top, right, bottom = self._extent()
        if left >= right or top >= bottom:
            return merged
        large = Image.new("RGBA", ((right - left) * _SCALE, (bottom - top) * _SCALE), (0, 0, 0, 0))
        pen = ImageDraw.Draw(large)
        for stroke, points in self._strokes:
            stroke(pen, [(x - left * _SCALE, y - top * _SCALE) for x, y in points])
        small = large.reduce(_SCALE)
        small.putalpha(small.getchannel("A").point([round(value * opacity) for value in range(256)]))
        under = Image.fromarray(merged[top:bottom, left:right]).convert("RGBA")
        merged[top:bottom, left:right] = np.asarray(Image.alpha_composite(under, small).convert("RGB"))
        return merged

    def _add(
        self, points: Points, stroke: Callable[[ImageDraw.ImageDraw, Points], None], *, margin: int = 1
    ) -> None:
        """Keep a stroke that covers no more than ``margin`` around its points."""
        self._strokes.append((stroke, points))
        xs, ys = zip(*points, strict=True)
        self._covered += [(min(xs) - margin, min(ys) - margin), (max(xs) + margin, max(ys) + margin)]

    def _extent(self) -> tuple[int, int, int, int]:
        """Return the covered pixels of the image: left, top, and the ends of right and bottom."""
        height, width = self._image.shape[:2]
        if not self._covered:
            return 0, 0, 0, 0
        xs, ys = zip(*self._covered, strict=True)
        return (
            max(0, math.floor(min(xs) / _SCALE)),
            max(0, math.floor(min(ys) / _SCALE)),
            min(width, math.ceil(max(xs) / _SCALE) + 1),
            min(height, math.ceil(max(ys) / _SCALE) + 1),
        )


def _enlarged(pixels: np.ndarray) -> Points:
    """Convert continuous image pixels to Pillow's coordinates, in which pixel centres are integers."""
    return [(float(x), float(y)) for x, y in pixels * _SCALE - 0.5]


def _rgba(color: Color, opacity: float) -> tuple[int, int, int, int]:
    return (*color, round(255 * opacity))
