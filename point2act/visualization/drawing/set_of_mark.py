"""Set-of-mark prompting (Yang et al. 2023): numbered outlines of regions, and a grid with lettered cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter

from point2act.visualization.drawing.canvas import DARK, PALETTE, Canvas, Color

# Height of letters: at least readable, and relative to the image's longer side. Chosen.
_MIN_LETTER, _LETTER = 15.0, 1 / 48
# Radius of a tag's disc, in heights of letters.
_TAG = 0.78
# Clearance of a tag on its region, in radii of the tag: half of the region stays free.
_MIN_CLEARANCE = 1.4
# Candidate places of a tag beside its region: directions, and distances in radii of the tag.
_DIRECTIONS = np.arange(16) * np.pi / 8
_DISTANCES = (2.0, 3.0, 4.5, 6.5)
# Standard deviation that smooths the steps of an outline, pixels of the mask.
_SMOOTH = 0.8
_WHITE: Color = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Mark:
    """A labelled region, in pixels of the image on which it is drawn."""

    label: str
    place: Float[np.ndarray, " 2"]
    """Pixel of the region that is farthest from its border."""
    clearance: float
    """Distance from there to the border."""
    outlines: tuple[Float[np.ndarray, "_ 2"], ...]
    """Closed outlines, one for each connected component and hole."""


@dataclass(frozen=True)
class Cells:
    """A grid of equal cells: columns A, B, … from the left, rows 1, 2, … from the top."""

    left: float
    top: float
    width: float
    height: float
    columns: int
    rows: int

    @classmethod
    def over(cls, low: Float[np.ndarray, " 2"], high: Float[np.ndarray, " 2"], *, along: int) -> Cells:
        """Return a grid over the rectangle between two corners, with ``along`` cells on its longer side.

        Raises:
            ValueError: The rectangle has no area, or ``along`` is not 1 to 26.
        """
        width, height = (float(extent) for extent in high - low)
        if not (width > 0 and height > 0 and 1 <= along <= len(ascii_uppercase)):
            raise ValueError(f"no grid with {along} cells along {width} x {height} pixels")
        columns, rows = (max(1, round(along * extent / max(width, height))) for extent in (width, height))
        return cls(float(low[0]), float(low[1]), width, height, columns, rows)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the cells, row by row: A1, B1, …"""
        letters = ascii_uppercase[: self.columns]
        return tuple(f"{letter}{row + 1}" for row in range(self.rows) for letter in letters)

    @property
    def centers(self) -> Float[np.ndarray, "n 2"]:
        """Centres of the cells in the order of ``labels``, pixels."""
        x = self.left + (np.arange(self.columns) + 0.5) * self.width / self.columns
        y = self.top + (np.arange(self.rows) + 0.5) * self.height / self.rows
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def outline(mask: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "_ 2"], ...]:
    """Return smoothed closed outlines of a mask, in its continuous pixels, by marching squares.

    Components of a single pixel have no outline.
    """
    from contourpy import contour_generator

    # Padded, so that outlines of regions that touch the border are closed.
    soft = gaussian_filter(np.pad(mask, 2).astype(float), _SMOOTH)
    lines = contour_generator(z=soft).lines(0.45)
    return tuple(np.asarray(line, dtype=np.float64) - 1.5 for line in lines if len(line) > 4)


def draw_marks(image: UInt8[np.ndarray, "h w 3"], marks: Sequence[Mark]) -> UInt8[np.ndarray, "h w 3"]:
    """Outline regions and draw their labels on them, or beside them with a connecting line if they are small.

    Tags stay inside the image and do not overlap, as far as possible.
    """
    canvas, size = Canvas(image), _letters(image)
    colors = [PALETTE[index % len(PALETTE)] for index in range(len(marks))]
    for shade, extra in ((DARK, 0.16), (None, 0.0)):
        for mark, color in zip(marks, colors, strict=True):
            for line in mark.outlines:
                canvas.line(line, shade or color, size * (0.1 + extra))
    tags = tag_places(image, marks)
    for mark, tag, color in zip(marks, tags, colors, strict=True):
        if not np.array_equal(tag, mark.place):
            tie = np.stack([tag, mark.place])
            canvas.line(tie, DARK, size * 0.26)
            canvas.line(tie, color, size * 0.1)
            canvas.disc(mark.place, size * 0.14, color)
        canvas.disc(tag, size * _TAG, color)
        canvas.disc(tag, size * (_TAG - 0.1), DARK)
        canvas.text(tag, mark.label, _WHITE, size=size, anchor="mm")
    return canvas.merged()


def tag_places(image: UInt8[np.ndarray, "h w 3"], marks: Sequence[Mark]) -> list[Float[np.ndarray, " 2"]]:
    """Return the centre of each mark's tag: on its region if half of that stays free, else beside it.

    Beside is the nearest candidate that covers no outline and no tag, else the one farthest from them.
    """
    radius = _letters(image) * _TAG
    ways = np.stack([np.cos(_DIRECTIONS), np.sin(_DIRECTIONS)], axis=1) * radius
    lines = np.concatenate([line for mark in marks for line in (*mark.outlines, mark.place[None])])
    tags: dict[int, Float[np.ndarray, " 2"]] = {
        index: _within(image, mark.place[None], radius)[0]
        for index, mark in enumerate(marks)
        if mark.clearance > _MIN_CLEARANCE * radius
    }
    for index in set(range(len(marks))) - set(tags):
        tries = _within(
            image, np.concatenate([marks[index].place + far * ways for far in _DISTANCES]), radius
        )
        free = np.linalg.norm(tries[:, None] - lines, axis=2).min(axis=1)
        for tag in tags.values():
            free = np.minimum(free, np.linalg.norm(tries - tag, axis=1) - radius)
        tags[index] = tries[int((free > radius).argmax() if (free > radius).any() else free.argmax())]
    return [tags[index] for index in range(len(marks))]


def draw_cells(image: UInt8[np.ndarray, "h w 3"], cells: Cells) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a thin grid with the name of every cell in its upper left corner."""
    canvas = Canvas(image)
    wide, high = cells.width / cells.columns, cells.height / cells.rows
    size = float(np.clip(0.3 * min(wide, high), 10.0, _letters(image)))
    right, bottom = cells.left + cells.width, cells.top + cells.height
    xs, ys = cells.left + np.arange(cells.columns + 1) * wide, cells.top + np.arange(cells.rows + 1) * high
    lines = [np.array([[x, cells.top], [x, bottom]]) for x in xs]
    lines += [np.array([[cells.left, y], [right, y]]) for y in ys]
    for shade, width in ((DARK, 3.0), (_WHITE, 1.2)):
        for line in lines:
            canvas.line(line, shade, width)
    corners = cells.centers - np.array([wide, high]) / 2 + 0.25 * size
    for label, corner in zip(cells.labels, corners, strict=True):
        canvas.text(corner, label, PALETTE[5], size=size)
    return canvas.merged()


def _letters(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """Return the height of letters on an image, pixels."""
    return max(_MIN_LETTER, _LETTER * max(image.shape))


def _within(
    image: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], margin: float
) -> Float[np.ndarray, "n 2"]:
    """Move pixels at least ``margin`` inside an image."""
    size = np.array([image.shape[1], image.shape[0]])
    low = np.minimum(margin, size / 2)
    return np.clip(pixels, low, size - low)
