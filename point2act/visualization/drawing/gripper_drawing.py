"""A gripper drawn to scale from its boxes, as a technical drawing: to check a gripper file by eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing.canvas import Color, Sheet

_PAPER: Color = (38, 42, 50)
_INK: Color = (236, 238, 242)
_SOFT: Color = (150, 158, 172)
_BODY: Color = (84, 91, 104)
_LINK: Color = (60, 92, 122)
_FINGER: Color = (66, 128, 182)
_PAD: Color = (230, 159, 0)
# In the colours of assets/gripper_frame.svg on a dark page.
_AXES: tuple[tuple[str, Color], ...] = (("x", (239, 123, 114)), ("y", (92, 201, 141)), ("z", (116, 174, 240)))
_MARGIN = 0.13
"""Of a picture's side, left free around the hand."""
_ARROW = 0.09
"""Length of a drawn axis, of the picture's side."""
_BAR = 0.05
"""Length of the scale bar, metres."""


@dataclass(frozen=True)
class _View:
    """From where a hand is looked at, without perspective; +z points down."""

    name: str
    axis: int
    """The gripper's axis that runs across the picture; its other one runs into the page."""
    sign: float
    """1 where it runs to the right."""


_FRONT = _View("front", axis=1, sign=1.0)
_SIDE = _View("side", axis=0, sign=-1.0)


def hand_sheet(gripper: Gripper, *, size: int = 460) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a gripper open and closed from the front, and open from the side, with its frame and its pads.

    Three pictures beside one another, each ``size`` pixels wide and high and all to one scale. What goes
    with the pads is blue, links are dark blue, the palm is grey; the pads' faces are yellow, and a dashed
    line shows the mounting face where it is known.
    """
    views = ((_FRONT, gripper.max_width), (_FRONT, 0.0), (_SIDE, gripper.max_width))
    return np.concatenate([_picture(gripper, view, opening, size) for view, opening in views], axis=1)


class _Page:
    """A sheet on which metres of the gripper frame are drawn, the same for all openings of a gripper."""

    def __init__(self, gripper: Gripper, view: _View, size: int):
        self.size = size
        self.sheet = Sheet(np.full((size, size, 3), _PAPER, dtype=np.uint8))
        self._view = view
        boxes = gripper.boxes_at(0.0) + gripper.boxes_at(gripper.max_width)
        low, high = boxes.low.min(axis=0), boxes.high.max(axis=0)
        self._middle = (low[2] + high[2]) / 2
        self.scale = (1 - 2 * _MARGIN) * size / max(high[2] - low[2], *(high - low)[:2])

    def at(self, across: float, z: float) -> Float[np.ndarray, " 2"]:
        """Pixel of a point."""
        across, down = self._view.sign * across * self.scale, (z - self._middle) * self.scale
        return np.array([across, down]) + self.size / 2

    def outline(
        self, center: Float[np.ndarray, "3"], half: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "5 2"]:
        """A box's edges seen from here, as a closed line."""
        axis = self._view.axis
        corners = ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))
        return np.stack([self.at(center[axis] + a * half[axis], center[2] + b * half[2]) for a, b in corners])

    def write(self, pixel: Float[np.ndarray, " 2"], words: str, color: Color, *, anchor: str = "la") -> None:
        """Write a line beside a pixel."""
        self.sheet.text(pixel, words, color, size=self.size / 28, anchor=anchor)


def _picture(gripper: Gripper, view: _View, opening: float, size: int) -> UInt8[np.ndarray, "h w 3"]:
    page = _Page(gripper, view, size)
    body, links = gripper.body_at(opening), 2 * len(gripper.link)
    groups = ((body[links:], _BODY), (body[:links], _LINK), (gripper.fingers_at(opening), _FINGER))
    outlines = [(page.outline(*box), color) for boxes, color in groups for box in boxes]
    for outline, color in outlines:
        page.sheet.polygon(outline[:4], color)
    # After all faces, so that no box hides where another one ends.
    for outline, _ in outlines:
        page.sheet.line(outline, _SOFT, size / 460)
    _draw_pads(page, gripper, view, opening)
    mount = gripper.mount_at(opening)
    if mount is not None:
        _draw_mount(page, mount)
    _draw_frame(page, view)
    state = "closed" if opening == 0 else f"open {1e3 * opening:.0f} mm"
    page.write(np.full(2, 0.03 * size), f"{gripper.name}, {view.name}, {state}", _INK)
    _draw_bar(page)
    return page.sheet.merged()


def _draw_pads(page: _Page, gripper: Gripper, view: _View, opening: float) -> None:
    width, length = gripper.pad_size
    thick = page.size / 150
    if view is _FRONT:
        for y in (-opening / 2, opening / 2):
            page.sheet.line(np.stack([page.at(y, -length / 2), page.at(y, length / 2)]), _PAD, thick)
    else:
        pad = page.outline(np.zeros(3), np.array([width / 2, 0.0, length / 2]))
        page.sheet.line(pad, _PAD, thick)


def _draw_mount(page: _Page, mount: float) -> None:
    """The mounting face as a dashed line through the whole picture, and how far behind the pads it is."""
    row, dash = page.at(0.0, -mount)[1], page.size / 60
    for start in np.arange(0.0, page.size, 2 * dash):
        page.sheet.line(np.array([[start, row], [start + dash, row]]), _INK, page.size / 300)
    page.write(
        np.array([0.97 * page.size, row - 0.015 * page.size]), f"{1e3 * mount:.1f} mm", _INK, anchor="rb"
    )


def _draw_frame(page: _Page, view: _View) -> None:
    """The axes at the origin; the one that runs into the page is a ring."""
    origin, long, thick = page.at(0.0, 0.0), _ARROW * page.size, page.size / 150
    across = np.array([view.sign, 0.0])
    for axis, way in ((view.axis, across), (2, np.array([0.0, 1.0]))):
        name, color = _AXES[axis]
        tip, side = origin + long * way, np.array([-way[1], way[0]])
        page.sheet.line(np.stack([origin, tip]), color, thick)
        head = np.stack([tip + 3.5 * thick * way, tip + 1.8 * thick * side, tip - 1.8 * thick * side])
        page.sheet.polygon(head, color)
        page.write(tip + 7 * thick * way, name, color, anchor="mm")
    page.sheet.ring(origin, 1.8 * thick, _AXES[1 - view.axis][1], 0.8 * thick)


def _draw_bar(page: _Page) -> None:
    end = np.array([0.97, 0.96]) * page.size
    start = end - [_BAR * page.scale, 0.0]
    page.sheet.line(np.stack([start, end]), _INK, page.size / 150)
    page.write(end - [0.0, 0.015 * page.size], f"{1e3 * _BAR:.0f} mm", _INK, anchor="rb")
