"""Technical drawing of a gripper's boxes, to scale, to check a gripper file by eye."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from point2act.grasping.grippers import Boxes, Gripper

_PAPER, _INK, _OUTLINE = "#262a32", "#eceef2", "#969eac"
_BODY, _LINK, _FINGER, _PAD = "#545b68", "#3c5c7a", "#4280b6", "#e69f00"
# Names and colours of the axes, as in assets/gripper_frame.svg on a dark page.
_AXES = (("x", "#ef7b72"), ("y", "#5cc98d"), ("z", "#74aef0"))
_MARGIN = 0.13
"""Free border, as a fraction of a panel's side."""
_ARROW = 0.09
"""Length of a drawn axis, as a fraction of a panel's side."""
_SCALE_BAR = 0.05
"""Length of the scale bar, metres."""


def gripper_sheet(gripper: Gripper, *, size: int = 460) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a gripper open and closed from the front, and open from the side, with its frame and its pads.

    Fingers are blue, links dark blue, the palm is grey, the faces of the pads are yellow; a dashed line is
    the mounting face, if it is known.

    Args:
        gripper: Gripper to draw.
        size: Side of each of the three panels, pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * size / 100, size / 100), dpi=100, facecolor=_PAPER)
    boxes = gripper.boxes_at(0.0) + gripper.boxes_at(gripper.max_width)
    low, high = boxes.low.min(axis=0), boxes.high.max(axis=0)
    middle, side = (low[2] + high[2]) / 2, max(high[2] - low[2], *(high - low)[:2]) / (1 - 2 * _MARGIN)
    for panel, (view, opening) in enumerate(
        (("front", gripper.max_width), ("front", 0.0), ("side", gripper.max_width))
    ):
        axes = figure.add_axes((panel / 3, 0.0, 1 / 3, 1.0))
        axes.set_axis_off()
        # z points down; from the side, x points to the left.
        across = side / 2 if view == "front" else -side / 2
        axes.set(xlim=(-across, across), ylim=(middle + side / 2, middle - side / 2))
        _draw_gripper(axes, gripper, 1 if view == "front" else 0, opening)
        _annotate(axes, gripper, 1 if view == "front" else 0, opening)
        state = "closed" if opening == 0 else f"open {1e3 * opening:.0f} mm"
        axes.text(0.03, 0.97, f"{gripper.name}, {view}, {state}", va="top", **_text(axes))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_gripper(axes: Any, gripper: Gripper, axis: int, opening: float) -> None:
    """Draw boxes and pads; ``axis`` is the gripper's axis that runs across the panel."""
    body, links = gripper.body_at(opening), 2 * len(gripper.link)
    groups = ((body[links:], _BODY), (body[:links], _LINK), (gripper.fingers_at(opening), _FINGER))
    for order, (boxes, color) in enumerate(groups):
        _draw_boxes(axes, boxes, axis, facecolor=color, zorder=order)
        # Outlines above all faces, so that no box hides where another one ends.
        _draw_boxes(axes, boxes, axis, fill=False, edgecolor=_OUTLINE, linewidth=0.7, zorder=len(groups))
    width, length = gripper.pad_size
    if axis == 1:
        for y in (-opening / 2, opening / 2):
            axes.plot([y, y], [-length / 2, length / 2], color=_PAD, linewidth=2.2, zorder=5)
    else:
        pad = Boxes.of(((0.0, 0.0, 0.0), (width / 2, 0.0, length / 2)))
        _draw_boxes(axes, pad, axis, fill=False, edgecolor=_PAD, linewidth=2.2, zorder=5)


def _draw_boxes(axes: Any, boxes: Boxes, axis: int, **style: Any) -> None:
    from matplotlib.patches import Rectangle

    for low, high in zip(boxes.low, boxes.high, strict=True):
        axes.add_patch(Rectangle(low[[axis, 2]], *(high - low)[[axis, 2]], **style))


def _annotate(axes: Any, gripper: Gripper, axis: int, opening: float) -> None:
    """Draw the frame, whose third axis is a ring, the mounting face with its distance, and the scale bar."""
    mount, (top, bottom) = gripper.mount_at(opening), sorted(axes.get_ylim())
    if mount is not None:
        axes.axhline(-mount, color=_INK, linewidth=1.1, linestyle=(0, (7, 7)))
        height = 0.015 + (bottom + mount) / (bottom - top)
        axes.text(0.97, height, f"{1e3 * mount:.1f} mm", ha="right", **_text(axes))
    long, style = _ARROW * (bottom - top), _text(axes)
    for (name, color), tip in ((_AXES[axis], (long, 0.0)), (_AXES[2], (0.0, long))):
        arrow = {"color": color, "arrowstyle": "-|>", "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", tip, (0.0, 0.0), arrowprops=arrow, zorder=6)
        at_tip = style | {"color": color, "transform": axes.transData, "ha": "center", "va": "center"}
        axes.text(*1.4 * np.array(tip), name, **at_tip)
    ring = {"marker": "o", "markersize": 8, "fillstyle": "none", "markeredgewidth": 1.8, "zorder": 6}
    axes.plot(0.0, 0.0, color=_AXES[1 - axis][1], **ring)
    bar = np.array([0.97 - _SCALE_BAR / (bottom - top), 0.97])
    axes.plot(bar, [0.04, 0.04], color=_INK, linewidth=2.2, solid_capstyle="butt", transform=axes.transAxes)
    axes.text(0.97, 0.055, f"{1e3 * _SCALE_BAR:.0f} mm", ha="right", **style)


def _text(axes: Any) -> dict[str, Any]:
    """Return the style of text placed in fractions of a panel, 1/28 of its side high."""
    size = axes.figure.get_size_inches()[1] * 72 / 28
    return {"color": _INK, "fontsize": size, "transform": axes.transAxes, "zorder": 7}
