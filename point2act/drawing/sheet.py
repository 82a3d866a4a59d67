"""A transparent sheet laid over an image: shapes are drawn large on it and reduced, so edges are smooth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

# Okabe & Ito (2008), the order changed so that the first four also stand out on photographs:
# told apart with any common colour blindness.
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
"""The sheet has so many pixels per image pixel along each axis."""


class Sheet:
    """Draws in an image's continuous pixels; :meth:`merged` lays the drawing over the image."""

    def __init__(self, image: UInt8[np.ndarray, "h w 3"]):
        height, width = image.shape[:2]
        self._image = image
        self._large = Image.new("RGBA", (width * _SCALE, height * _SCALE), (0, 0, 0, 0))
        self._pen = ImageDraw.Draw(self._large)

    def line(
        self, pixels: Float[np.ndarray, "n 2"], color: Color, width: float, *, opacity: float = 1.0
    ) -> None:
        """Draw a polyline, ``width`` image pixels wide."""
        wide = max(1, round(width * _SCALE))
        self._pen.line(_enlarged(pixels), fill=_rgba(color, opacity), width=wide, joint="curve")

    def polygon(self, pixels: Float[np.ndarray, "n 2"], color: Color, *, opacity: float = 1.0) -> None:
        """Fill a polygon."""
        self._pen.polygon(_enlarged(pixels), fill=_rgba(color, opacity))

    def disc(self, center: Float[np.ndarray, " 2"], radius: float, color: Color) -> None:
        """Fill a disc."""
        self._pen.ellipse(_enlarged(np.stack([center - radius, center + radius])), fill=_rgba(color, 1.0))

    def ring(self, center: Float[np.ndarray, " 2"], radius: float, color: Color, width: float) -> None:
        """Draw a ring whose middle line has the given radius."""
        outer = radius + width / 2
        corners = _enlarged(np.stack([center - outer, center + outer]))
        self._pen.ellipse(corners, outline=_rgba(color, 1.0), width=max(1, round(width * _SCALE)))

    def text(
        self,
        pixel: Float[np.ndarray, " 2"],
        words: str,
        color: Color,
        *,
        size: float,
        anchor: str = "la",
    ) -> None:
        """Write with a dark rim, ``size`` image pixels high, at pillow's ``anchor``."""
        font = ImageFont.load_default(size * _SCALE)
        (at,) = _enlarged(pixel[None])
        rim = max(1, round(size * _SCALE / 9))
        self._pen.text(at, words, fill=color, font=font, anchor=anchor, stroke_width=rim, stroke_fill=DARK)

    def paste(self, picture: UInt8[np.ndarray, "_ _ 3"], corner: tuple[int, int]) -> None:
        """Lay an opaque picture down with its top-left corner at whole image pixels."""
        height, width = picture.shape[:2]
        large = Image.fromarray(picture).resize((width * _SCALE, height * _SCALE), Image.Resampling.BILINEAR)
        self._large.paste(large, (corner[0] * _SCALE, corner[1] * _SCALE))

    def merged(self, *, opacity: float = 1.0) -> UInt8[np.ndarray, "h w 3"]:
        """The image under the drawing; ``opacity`` fades the drawing as a whole."""
        small = self._large.reduce(_SCALE)
        small.putalpha(small.getchannel("A").point([round(value * opacity) for value in range(256)]))
        under = Image.fromarray(self._image).convert("RGBA")
        return np.array(Image.alpha_composite(under, small).convert("RGB"))


def _enlarged(pixels: np.ndarray) -> list[tuple[float, float]]:
    """Continuous image pixels to pillow's coordinates on the sheet, whose pixel centres are integers."""
    return [(float(x), float(y)) for x, y in pixels * _SCALE - 0.5]


def _rgba(color: Color, opacity: float) -> tuple[int, int, int, int]:
    return (*color, round(255 * opacity))
