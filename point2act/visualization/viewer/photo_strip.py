"""Small photographs in the panel, each with a border in the colour of its verdict, and their numbers."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from point2act.visualization.drawing import Color
from point2act.visualization.drawing.canvas import Canvas
from point2act.visualization.viewer.markdown import Verdict

COLUMNS, ROWS = 3, 4
"""Photographs in a row of the panel, and rows that are shown at a time."""
# Side of a cell, its border, the gap and the height of digits, pixels: twice what a panel shows (240 pixels).
_SIDE, _BORDER, _GAP, _DIGITS = 158, 11, 4, 34.0
# Okabe and Ito's colours, distinguishable with any common colour blindness.
_COLORS: dict[Verdict | None, tuple[Color, str]] = {
    "supports": ((0, 158, 115), "green: agrees"),
    "rejected": ((213, 94, 0), "orange: disagrees"),
    "compatible": ((86, 180, 233), "blue: not visible"),
    "overruled": ((204, 121, 167), "pink: does not count"),
    "no consensus": ((204, 121, 167), "pink: no agreement"),
    None: ((130, 130, 130), "grey: not asked"),
}


def color_of(verdict: Verdict | None) -> Color:
    """Return the colour of a verdict; None is for images without an answer."""
    return _COLORS[verdict][0]


def legend(verdicts: Sequence[Verdict | None]) -> str:
    """Say how many images have each colour."""
    count = Counter(_COLORS[verdict][1] for verdict in verdicts)
    names = dict.fromkeys(name for _, name in _COLORS.values())
    return " · ".join(f"{name} **{count[name]}**" for name in names if count[name])


def shrunk(image: UInt8[np.ndarray, "_h _w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image at the size at which ``strip`` draws it."""
    small = Image.fromarray(image)
    small.thumbnail((_SIDE - 2 * _BORDER, _SIDE - 2 * _BORDER))
    return np.asarray(small)


def strip(
    images: Sequence[UInt8[np.ndarray, "_h _w 3"]], verdicts: Sequence[Verdict | None], first: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw images in rows of ``COLUMNS``, each with the border of its verdict and a number.

    Args:
        images: At least one image, from ``shrunk``.
        verdicts: Verdict of each image.
        first: Number of the first image.
    """
    cells = [
        _cell(image, color_of(verdict), str(first + number))
        for number, (image, verdict) in enumerate(zip(images, verdicts, strict=True))
    ]
    height = max(cell.shape[0] for cell in cells)
    rows = -(-len(cells) // COLUMNS)
    sheet = np.full((rows * (height + _GAP), COLUMNS * (_SIDE + _GAP), 3), 36, np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // COLUMNS * (height + _GAP), number % COLUMNS * (_SIDE + _GAP)
        sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return sheet


def as_markdown(picture: UInt8[np.ndarray, "h w 3"], alternative: str) -> str:
    """Return a picture as Markdown that carries it."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "JPEG", quality=80)
    return f"![{alternative}](data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()})"


def _cell(image: UInt8[np.ndarray, "h w 3"], color: Color, number: str) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = image.shape[:2]
    cell = np.empty((height + 2 * _BORDER, width + 2 * _BORDER, 3), np.uint8)
    cell[:] = color
    cell[_BORDER : _BORDER + height, _BORDER : _BORDER + width] = image
    canvas = Canvas(cell)
    canvas.text(np.array([_BORDER + 5.0, _BORDER + 3.0]), number, (255, 255, 255), size=_DIGITS)
    return canvas.merged()
