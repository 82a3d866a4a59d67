"""Labels that a question refers to: outlined regions with numbers, and a grid with lettered cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter

from point2act.visualization.drawing.canvas import DARK, PALETTE, Color, Sheet

# The height of letters: never less than can be read, and this share of the image's longer side. Chosen.
_LEAST_SIZE, _SIZE = 15.0, 1 / 48
# A tag is a disc of this radius, in letters' heights.
_TAG = 0.78
# On its region a tag has so many radii to the border: half of the region stays free.
_ROOM = 1.4
# Where a tag may stand that has no room there: ways around it, and distances in tags' radii.
_WAYS = np.arange(16) * np.pi / 8
_AWAY = (2.0, 3.0, 4.5, 6.5)
# Outlines are smoothed by so many pixels of the mask: its steps say nothing.
_SMOOTH = 0.8
_WHITE: Color = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Mark:
    """A region with its label. All in pixels of the image that it is drawn on."""

    label: str
    place: Float[np.ndarray, " 2"]
    """Where the region is widest: on it, whatever its shape."""
    room: float
    """How far the region's border is from there."""
    outlines: tuple[Float[np.ndarray, "_ 2"], ...]
    """Closed lines about it, a piece and a hole each."""


@dataclass(frozen=True)
class Cells:
    """A grid of equal cells over a rectangle: columns A, B, … from the left, rows 1, 2, … from the top."""

    left: float
    top: float
    width: float
    height: float
    columns: int
    rows: int

    @classmethod
    def over(cls, low: Float[np.ndarray, " 2"], high: Float[np.ndarray, " 2"], *, along: int) -> Cells:
        """A grid over the rectangle between two corners, of ``along`` nearly square cells on its longer side.

        Raises ValueError where the rectangle has no area, or there are not 1 to 26 cells.
        """
        width, height = (float(extent) for extent in high - low)
        if not (width > 0 and height > 0 and 1 <= along <= len(ascii_uppercase)):
            raise ValueError(f"no grid with {along} cells along {width} x {height} pixels")
        columns, rows = (max(1, round(along * extent / max(width, height))) for extent in (width, height))
        return cls(float(low[0]), float(low[1]), width, height, columns, rows)

    @property
    def labels(self) -> tuple[str, ...]:
        """The cells' names, row by row: A1, B1, …"""
        letters = ascii_uppercase[: self.columns]
        return tuple(f"{letter}{row + 1}" for row in range(self.rows) for letter in letters)

    @property
    def middles(self) -> Float[np.ndarray, "n 2"]:
        """Their middles, in the order of ``labels``, in pixels of the image that is drawn on."""
        x = self.left + (np.arange(self.columns) + 0.5) * self.width / self.columns
        y = self.top + (np.arange(self.rows) + 0.5) * self.height / self.rows
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def outline(mask: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "_ 2"], ...]:
    """Closed lines about a mask, smoothed, in its continuous pixels; none where it is a stray pixel or less.

    By marching squares (contourpy, which matplotlib brings).
    """
    from contourpy import contour_generator

    # A margin, so that lines about what touches the border are closed.
    soft = gaussian_filter(np.pad(mask, 2).astype(float), _SMOOTH)
    lines = contour_generator(z=soft).lines(0.45)
    return tuple(np.asarray(line, dtype=np.float64) - 1.5 for line in lines if len(line) > 4)


def draw_marks(image: UInt8[np.ndarray, "h w 3"], marks: Sequence[Mark]) -> UInt8[np.ndarray, "h w 3"]:
    """Outline regions and put their labels on them, or where one has no room for it, beside and tied to it.

    Tags stay inside the image and apart from one another
    as long as there is room for that.
    """
    sheet, size = Sheet(image), _letters(image)
    colors = [PALETTE[index % len(PALETTE)] for index in range(len(marks))]
    for shade, extra in ((DARK, 0.16), (None, 0.0)):
        for mark, color in zip(marks, colors, strict=True):
            for line in mark.outlines:
                sheet.line(line, shade or color, size * (0.1 + extra))
    tags = tag_places(image, marks)
    for mark, tag, color in zip(marks, tags, colors, strict=True):
        if not np.array_equal(tag, mark.place):
            tie = np.stack([tag, mark.place])
            sheet.line(tie, DARK, size * 0.26)
            sheet.line(tie, color, size * 0.1)
            sheet.disc(mark.place, size * 0.14, color)
        sheet.disc(tag, size * _TAG, color)
        sheet.disc(tag, size * (_TAG - 0.1), DARK)
        sheet.text(tag, mark.label, _WHITE, size=size, anchor="mm")
    return sheet.merged()


def tag_places(image: UInt8[np.ndarray, "h w 3"], marks: Sequence[Mark]) -> list[Float[np.ndarray, " 2"]]:
    """Where each mark's tag stands: at its place, where a tag leaves half of the region free, else beside.

    Beside is as near as it covers no outline and no other tag, or where it is farthest from all of them.
    """
    radius = _letters(image) * _TAG
    ways = np.stack([np.cos(_WAYS), np.sin(_WAYS)], axis=1) * radius
    lines = np.concatenate([line for mark in marks for line in (*mark.outlines, mark.place[None])])
    tags: dict[int, Float[np.ndarray, " 2"]] = {
        index: _within(image, mark.place[None], radius)[0]
        for index, mark in enumerate(marks)
        if mark.room > _ROOM * radius
    }
    for index in set(range(len(marks))) - set(tags):
        tries = _within(image, np.concatenate([marks[index].place + far * ways for far in _AWAY]), radius)
        free = np.linalg.norm(tries[:, None] - lines, axis=2).min(axis=1)
        for tag in tags.values():
            free = np.minimum(free, np.linalg.norm(tries - tag, axis=1) - radius)
        tags[index] = tries[int((free > radius).argmax() if (free > radius).any() else free.argmax())]
    return [tags[index] for index in range(len(marks))]


def draw_cells(image: UInt8[np.ndarray, "h w 3"], cells: Cells) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a grid with every cell's name in its upper left corner; thin, for what it lies on to be seen."""
    sheet = Sheet(image)
    wide, high = cells.width / cells.columns, cells.height / cells.rows
    size = float(np.clip(0.3 * min(wide, high), 10.0, _letters(image)))
    right, bottom = cells.left + cells.width, cells.top + cells.height
    xs, ys = cells.left + np.arange(cells.columns + 1) * wide, cells.top + np.arange(cells.rows + 1) * high
    lines = [np.array([[x, cells.top], [x, bottom]]) for x in xs]
    lines += [np.array([[cells.left, y], [right, y]]) for y in ys]
    for shade, width in ((DARK, 3.0), (_WHITE, 1.2)):
        for line in lines:
            sheet.line(line, shade, width)
    corners = cells.middles - np.array([wide, high]) / 2 + 0.25 * size
    for label, corner in zip(cells.labels, corners, strict=True):
        sheet.text(corner, label, PALETTE[5], size=size)
    return sheet.merged()


def _letters(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """How high letters are on an image, pixels."""
    return max(_LEAST_SIZE, _SIZE * max(image.shape))


def _within(
    image: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], margin: float
) -> Float[np.ndarray, "n 2"]:
    """Pixels moved so far inside an image."""
    size = np.array([image.shape[1], image.shape[0]])
    low = np.minimum(margin, size / 2)
    return np.clip(pixels, low, size - low)
