"""Planar grasps as rectangles in an image, and the rule by which one counts as another.

A rectangle is its corners in order: the edge from the first to the second lies along the opening of the
gripper, that from the second to the third along a jaw.

Source: Jiang, Moseson and Saxena, "Efficient grasping from RGBD images: learning using a new rectangle
representation", ICRA 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

MIN_IOU = 0.25
"""Intersection over union above which rectangles match."""
MAX_ANGLE = math.radians(30.0)
"""Angle between openings up to which rectangles match, radians."""

Rectangle = Float[np.ndarray, "4 2"]


def rectangles_match(first: Rectangle, second: Rectangle) -> bool:
    """Return whether two grasps count as the same: IoU > 0.25, and openings within 30 degrees.

    Args:
        first: Corners of a rectangle, pixels.
        second: Corners of another.

    Returns:
        False if one is no convex quadrilateral. Areas are exact; evaluations that count pixels differ where
        the IoU is close to 0.25.
    """
    return angle_between(first, second) <= MAX_ANGLE and rectangle_iou(first, second) > MIN_IOU


def angle_between(first: Rectangle, second: Rectangle) -> float:
    """Return the angle between the openings of two rectangles, in [0, pi/2]; pi/2 for one of no length."""
    (ax, ay), (bx, by) = first[1] - first[0], second[1] - second[0]
    cross, dot = ax * by - ay * bx, ax * bx + ay * by
    return float(np.arctan2(abs(cross), abs(dot))) if cross or dot else np.pi / 2


def rectangle_iou(first: Rectangle, second: Rectangle) -> float:
    """Return the intersection over the union of two rectangles; 0 if one is no convex quadrilateral."""
    if not (is_convex(first) and is_convex(second)):
        return 0.0
    common = _area(_clipped(first, second))
    return common / (_area(first) + _area(second) - common)


def is_convex(corners: Rectangle) -> bool:
    """Return whether corners in order enclose an area and every one turns the same way."""
    edges = np.roll(corners, -1, axis=0) - corners
    turns = _cross(edges, np.roll(edges, -1, axis=0))
    return bool(np.all(turns > 0) or np.all(turns < 0))


def from_center(x: float, y: float, angle: float, opening: float, jaw: float) -> Rectangle:
    """Return the corners of a rectangle by its middle, as the Jacquard data set gives it.

    Args:
        x: Middle, pixels to the right.
        y: Middle, pixels down.
        angle: Direction of the opening from +x towards +y, radians.
        opening: Length along the opening, pixels.
        jaw: Length along a jaw, pixels.
    """
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    corners = [[-opening, -jaw], [opening, -jaw], [opening, jaw], [-opening, jaw]]
    return np.array([x, y]) + np.array(corners) / 2 @ np.stack([along, across])


def _cross(a: Float[np.ndarray, "... 2"], b: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _area(corners: Float[np.ndarray, "n 2"]) -> float:
    return float(abs(_cross(corners, np.roll(corners, -1, axis=0)).sum()) / 2)


def _clipped(subject: Float[np.ndarray, "n 2"], clip: Rectangle) -> Float[np.ndarray, "m 2"]:
    """Return the part of a convex polygon inside another (Sutherland and Hodgman 1974)."""
    middle = clip.mean(axis=0)
    # Near the origin, so that areas of small rectangles far from it keep their digits.
    subject, clip = subject - middle, clip - middle
    inwards = np.sign(_cross(clip, np.roll(clip, -1, axis=0)).sum())
    for start, end in zip(clip, np.roll(clip, -1, axis=0), strict=True):
        sides = inwards * _cross(end - start, subject - start)
        subject = np.array(list(_kept(subject, sides))).reshape(-1, 2)
    return subject


def _kept(
    polygon: Float[np.ndarray, "n 2"], sides: Float[np.ndarray, " n"]
) -> Iterator[Float[np.ndarray, " 2"]]:
    """Yield the corners of the part of a polygon where ``sides`` is not negative."""
    nexts = zip(np.roll(polygon, -1, axis=0), np.roll(sides, -1), strict=True)
    for corner, side, (after, side_after) in zip(polygon, sides, nexts, strict=True):
        if side >= 0:
            yield corner
        if side * side_after < 0:
            yield corner + side / (side - side_after) * (after - corner)
