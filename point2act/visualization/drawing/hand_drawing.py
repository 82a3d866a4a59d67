"""Technical drawing of a hand's primitives, to scale, to check a hand file by eye."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial import ConvexHull

from point2act.core.types import OrientedBox
from point2act.grasping.hands.hand import Hand

_PAPER, _INK, _OUTLINE, _PALM = "#262a32", "#eceef2", "#969eac", "#545b68"
_FINGERS = ("#4280b6", "#3f9e78", "#8a6fc0", "#c2603f", "#a08a3c")
_CONTACT = "#e69f00"
# Names and colours of the axes, as in the drawings of grippers.
_AXES = (("x", "#ef7b72"), ("y", "#5cc98d"), ("z", "#74aef0"))
_MARGIN = 0.12
"""Free border, as a fraction of a panel's side."""
_ARROW = 0.09
"""Length of a drawn axis, as a fraction of a panel's side."""
_SCALE_BAR = 0.05
"""Length of the scale bar, metres."""
_CORNERS = np.array(list(product((-1.0, 1.0), repeat=3)))


def hand_sheet(hand: Hand, *, size: int = 460) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a hand at rest from the side, and in its pre-grasp pose from the side and from the front.

    The palm is grey, every finger has a colour, contact points are yellow; capsules and spheres are drawn as
    the boxes around them.

    Args:
        hand: Hand to draw.
        size: Side of each of the three panels, pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * size / 100, size / 100), dpi=100, facecolor=_PAPER)
    poses = {"rest": hand.joints.rest, "pre-grasp": hand.joints.pregrasp}
    corners = np.concatenate([_corners(box) for q in poses.values() for box in hand.boxes_at(q)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle, side = (low + high) / 2, float((high - low).max()) / (1 - 2 * _MARGIN)
    for panel, (view, axis, pose) in enumerate(
        (("side", 0, "rest"), ("side", 0, "pre-grasp"), ("front", 1, "pre-grasp"))
    ):
        axes = figure.add_axes((panel / 3, 0.0, 1 / 3, 1.0))
        axes.set_axis_off()
        # z, the direction of approach, points down.
        axes.set(
            xlim=(middle[axis] - side / 2, middle[axis] + side / 2),
            ylim=(middle[2] + side / 2, middle[2] - side / 2),
        )
        _draw_pose(axes, hand, poses[pose], axis)
        _annotate(axes, axis, side)
        axes.text(0.03, 0.97, f"{hand.name}, {view}, {pose}", va="top", **_text(axes))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_pose(axes: Any, hand: Hand, positions: Float[np.ndarray, " j"], axis: int) -> None:
    """Draw all boxes and contact points; ``axis`` is the palm's axis that runs across the panel."""
    from matplotlib.patches import Polygon

    boxes = hand.boxes_at(positions)
    fingers = hand.fingers[hand.primitives.link]
    # What is nearer to the eye is drawn last: at +y from the side, at +x from the front.
    depth = [box.center[1 - axis] for box in boxes]
    for index in np.argsort(depth if axis == 1 else np.negative(depth), kind="stable").tolist():
        flat = _corners(boxes[index])[:, [axis, 2]]
        color = _PALM if fingers[index] < 0 else _FINGERS[fingers[index] % len(_FINGERS)]
        outline = flat[ConvexHull(flat).vertices]
        axes.add_patch(Polygon(outline, facecolor=color, edgecolor=_OUTLINE, linewidth=0.7))
    places, _ = hand.contact_places(positions)
    axes.plot(places[:, axis], places[:, 2], linestyle="", marker="o", markersize=2.5, color=_CONTACT)


def _corners(box: OrientedBox) -> Float[np.ndarray, "8 3"]:
    return box.center + (_CORNERS * box.half_extents) @ box.axes


def _annotate(axes: Any, axis: int, side: float) -> None:
    """Draw the palm frame and the scale bar."""
    long, style = _ARROW * side, _text(axes)
    for (name, color), tip in ((_AXES[axis], (long, 0.0)), (_AXES[2], (0.0, long))):
        arrow = {"color": color, "arrowstyle": "-|>", "linewidth": 2.2, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", tip, (0.0, 0.0), arrowprops=arrow, zorder=6)
        at_tip = style | {"color": color, "transform": axes.transData, "ha": "center", "va": "center"}
        axes.text(*1.4 * np.array(tip), name, **at_tip)
    bar = np.array([0.97 - _SCALE_BAR / side, 0.97])
    axes.plot(bar, [0.04, 0.04], color=_INK, linewidth=2.2, solid_capstyle="butt", transform=axes.transAxes)
    axes.text(0.97, 0.055, f"{1e3 * _SCALE_BAR:.0f} mm", ha="right", **style)


def _text(axes: Any) -> dict[str, Any]:
    """Return the style of text placed in fractions of a panel, 1/28 of its side high."""
    size = axes.figure.get_size_inches()[1] * 72 / 28
    return {"color": _INK, "fontsize": size, "transform": axes.transAxes, "zorder": 7}
