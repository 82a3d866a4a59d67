"""The hole that a thing such as a handle or a ring encloses, from the points of its surface.

Seen along its axis a hole is free of points. The widest free circle is sought over directions near the
shortest principal axis of the region, which alone is off by up to 55 degrees where cameras see one side; then
over those near the axis that was found. A handle stands out from its vessel: an axis that may be across the
direction from the vessel's middle is. Most things stand or lie on something: one that may be level or upright
is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, KDTree, QhullError

from point2act.acting.constraints.opening import Opening
from point2act.core.geometry import frame_from_normal, share_of_directions

# Lengths are metres. Spacing of the places at which the middle is sought. Chosen: less than points are off.
_STEP = 0.0015
# Directions of the axis: at most so far from where it is expected, and so far apart, radians. Chosen.
_TURN, _TURN_STEP = np.deg2rad(45), np.deg2rad(7.5)
# Largest number of searches, each around the axis that the one before has found. Chosen.
_SEARCHES = 3
# Circles that are smaller by at most this are as good as the widest, and are averaged. Chosen.
_AS_WIDE = 0.0007
# Share of the widest radius from which on the hole along a level or upright axis is the same one: a ring that
# leans by 26 degrees is seen as narrow as that. Of 14 mugs in simulated captures two axes were off by 28 and
# 39 degrees before, and all are within 13 now.
_SAME = 0.9
# Likewise along the axis across the direction from the middle of a vessel. Of 12 mugs in simulated captures
# that axis is off by 5 degrees at most, the one that was found before by up to 28, of which the circle was
# wider by a fifth.
_SAME_ON_VESSEL = 0.75
# Smallest radius: Gaussians are 5 mm apart, and a gap between three of them is no hole. Chosen.
_MIN_RADIUS = 0.007
# What is not of the region limits a hole within so far of the region's ends along the axis. Chosen.
_BEYOND = 0.003
# The edge of a hole: points within this of its circle; they are seen in at least this share of directions.
# A handle is open where it is attached. Chosen.
_EDGE, _DIRECTIONS, _MIN_ENCLOSED = 0.008, 12, 0.5


@dataclass(frozen=True, eq=False)
class Hole:
    """The widest circle in a hole, metres."""

    center: Float[np.ndarray, " 3"]
    axis: Float[np.ndarray, " 3"]
    """Unit vector through the hole; its sign is that of the axis that it was sought near."""
    radius: float


def find_hole(
    points: Float[np.ndarray, "n 3"],
    around: Float[np.ndarray, "m 3"],
    axes: Float[np.ndarray, "3 3"],
    up: Float[np.ndarray, " 3"],
    vessel: Opening | None = None,
) -> Hole | None:
    """Find the hole through a region, None without one.

    Args:
        points: Surface of the region, world, metres.
        around: Surface of everything, world: a mug's wall closes the hole of its handle.
        axes: Principal axes of the region as rows, the shortest one last.
        up: Upward unit vector, world.
        vessel: Opening of the thing that the region is on; None without one.
    """
    hole: Hole | None = None
    for _ in range(_SEARCHES):
        found = _widest_along(points, around, _directions(axes))
        hole = found or hole
        # Around the wrong axis those that are as wide lie on one side, and their mean is too near to it.
        if found is None or found.axis @ axes[2] > np.cos(_TURN_STEP):
            break
        axes = np.vstack([frame_from_normal(found.axis[None])[0][:, :2].T, found.axis])
    if hole is None or hole.radius < _MIN_RADIUS or _enclosed(hole, points) < _MIN_ENCLOSED:
        return None
    natural = [(axes, _SAME) for axes in _level_or_upright(hole.axis, up)]
    beside = None if vessel is None else _across_the_way_out(hole, vessel, up)
    if beside is not None:
        natural.insert(0, ([beside], _SAME_ON_VESSEL))
    for directions, share in natural:
        straight = _widest_along(points, around, directions)
        if straight is not None and straight.radius >= share * hole.radius:
            return straight
    return hole


def _widest_along(
    points: Float[np.ndarray, "n 3"],
    around: Float[np.ndarray, "m 3"],
    axes: Iterable[Float[np.ndarray, " 3"]],
) -> Hole | None:
    """Return the circle along the mean of those axes whose circles are as wide as any."""
    found = [hole for axis in axes if (hole := _widest(points, around, axis)) is not None]
    if not found:
        return None
    widest = max(hole.radius for hole in found)
    axis = np.mean([hole.axis for hole in found if hole.radius > widest - _AS_WIDE], axis=0)
    return _widest(points, around, axis / np.linalg.norm(axis))


def _directions(axes: Float[np.ndarray, "3 3"]) -> Iterator[Float[np.ndarray, " 3"]]:
    """Yield unit vectors near the last axis."""
    turns = np.arange(-round(_TURN / _TURN_STEP), round(_TURN / _TURN_STEP) + 1) * _TURN_STEP
    for first in turns:
        for second in turns:
            angle = float(np.hypot(first, second))
            if angle <= _TURN:
                aside = first * axes[0] + second * axes[1]
                yield np.cos(angle) * axes[2] + np.sinc(angle / np.pi) * aside


def _level_or_upright(
    axis: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"]
) -> Iterator[list[Float[np.ndarray, " 3"]]]:
    """Yield the vertical if an axis is nearer to it; else the level axis below it, then those beside that."""
    steep = float(axis @ up)
    if abs(steep) > np.sin(np.pi / 4):
        yield [np.sign(steep) * up]
        return
    level = axis - steep * up
    level /= np.linalg.norm(level)
    yield [level]
    turns = np.arange(-_TURN, _TURN + 0.5 * _TURN_STEP, _TURN_STEP)
    yield [np.cos(turn) * level + np.sin(turn) * np.cross(up, level) for turn in turns]


def _across_the_way_out(
    hole: Hole, vessel: Opening, up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"] | None:
    """Return the level axis across the direction from a vessel's middle to a hole beside it.

    None where the hole is not beside it, or its axis is another one, as of a handle over a basket.
    """
    out = hole.center - vessel.center
    out -= (out @ up) * up
    length = float(np.linalg.norm(out))
    if length <= vessel.radius:
        return None
    axis = np.cross(up, out / length)
    along = float(axis @ hole.axis)
    return np.sign(along) * axis if abs(along) >= np.cos(_TURN) else None


def _widest(
    points: Float[np.ndarray, "n 3"], around: Float[np.ndarray, "m 3"], axis: Float[np.ndarray, " 3"]
) -> Hole | None:
    """Return the widest circle without points, seen along an axis, within the outline of the region."""
    across = frame_from_normal(axis[None])[0][:, :2]
    flat, along = points @ across, points @ axis
    low, high = flat.min(axis=0), flat.max(axis=0)
    try:
        outline = ConvexHull(flat)
    except (QhullError, ValueError):
        return None
    beside, depth = around @ across, around @ axis
    reach = (high - low).max() / 2
    near = (depth > along.min() - _BEYOND) & (depth < along.max() + _BEYOND)
    near &= ((beside > low - reach) & (beside < high + reach)).all(axis=1)
    solid = np.vstack([flat, beside[near]])
    places = np.stack(
        np.meshgrid(*(np.arange(*ends, _STEP) for ends in zip(low, high, strict=True)), indexing="ij"),
        axis=-1,
    ).reshape(-1, 2)
    places = places[_depth_within(outline, places) > 0]
    if not len(places):
        return None
    free = np.minimum(KDTree(solid).query(places)[0], _depth_within(ConvexHull(solid), places))
    wide = free > free.max() - _STEP
    middle = places[wide].mean(axis=0)
    return Hole(across @ middle + (along.min() + along.max()) / 2 * axis, axis, float(free.max()))


def _depth_within(outline: ConvexHull, places: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Return the distance of places to the nearest side of a convex outline, negative outside."""
    return -(places @ outline.equations[:, :2].T + outline.equations[:, 2]).max(axis=1)


def _enclosed(hole: Hole, points: Float[np.ndarray, "n 3"]) -> float:
    """Return the share of directions in which there are points at the edge of a hole."""
    flat = (points - hole.center) @ frame_from_normal(hole.axis[None])[0][:, :2]
    at_edge = np.linalg.norm(flat, axis=1) < hole.radius + _EDGE
    return share_of_directions(flat[at_edge], _DIRECTIONS)
