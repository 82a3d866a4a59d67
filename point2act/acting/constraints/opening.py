"""The round opening of a thing such as a mug, from the points of its surface.

Points at an edge that faces up are found as in ReSem3D (Su et al. 2025), which takes the highest ones and the
middle of the most symmetric pair of them. Here a circle is fitted to all of them by random samples (Fischler
and Bolles 1981) and least squares (Kåsa 1976), which a handle and a part that no camera saw do not shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from point2act.core.geometry import frame_from_normal

# Lengths are metres. A point is at the edge if no neighbour within this horizontal distance is higher by more
# than the rise: Gaussians are 5 mm apart, and depth has an error of 2 mm.
_NEIGHBOURHOOD = 0.008
_RISE = 0.003
# Distance of points from the circle that they lie on: two standard deviations of depth; less for small
# circles.
_ON_CIRCLE = 0.004
_ON_CIRCLE_SHARE = 0.3
# A ring is observed from one of its points to the next if they are at most this far apart: two Gaussians.
# Small rings need a point every 30 degrees all the same.
_GAP, _WIDEST_GAP = 0.010, np.pi / 6
_MIN_OBSERVED = 0.6
# Least cosine of the normal with up, 60 degrees: of what faces sideways the lower half is not seen.
_MIN_UPWARD = 0.5
# Least depth of an opening, as a share of its radius. Chosen: mugs, bowls and pans are deeper, plates not.
_MIN_DEPTH = 0.25
# Density of points in the opening, as a share of that on the ring: a closed lid has 1, an opening stray ones.
_MAX_FILLED = 0.1
# It is counted within this share of the radius, where the noise of a wall does not reach, and only if a lid
# would have at least this number of points there. Both chosen: with 6 instead of 4, of 140 sampled shapes
# without an opening 3 instead of 7 have a rim, and of 20 tubes of 12 mm radius 2 instead of 1 have none.
_INNER = 0.6
_MIN_OF_LID = 6.0
# Radii of openings: those of bottles, and of large pots.
_RADII = (0.006, 0.25)
# Samples of three points; the second and third are at most this much higher or lower than the first, as in
# ReSem3D the points of an edge from its peak. Of 60 tubes of 12 mm radius 55 have a rim with 1200 samples and
# 51 with 300; of 100 blocks, which have none, 14 and 11 seem to have one.
_SAMPLES = 1200
_BAND = 0.02
# Rounds of least squares on all points on the circle of a sample, which noise moves. Chosen.
_REFINEMENTS = 2
_MIN_ON_CIRCLE = 8


@dataclass(frozen=True, eq=False)
class Opening:
    """The circle of a rim, metres."""

    center: Float[np.ndarray, " 3"]
    normal: Float[np.ndarray, " 3"]
    """Out of the opening, unit length."""
    radius: float


def find_opening(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], up: Float[np.ndarray, " 3"]
) -> Opening | None:
    """Find the round opening of a thing, None without one.

    It faces up, is observed in at least 60 % of directions, is free of points down to a quarter of its
    radius, and the thing does not rise over it. Plates, lids and rectangular boxes have none.

    Args:
        points: Surface of the thing, world, metres; its underside may be missing.
        weights: Weight of each point, at least 0.
        up: Upward unit vector, world.
    """
    edge = _at_upper_edge(points, up) & (weights > 0)
    if edge.sum() < 3:
        return None
    at_edge, of_edge = points[edge], weights[edge]
    rng = np.random.default_rng(0)
    best, most = None, 0.0
    for first in rng.choice(len(at_edge), _SAMPLES, p=of_edge / of_edge.sum()).tolist():
        circle = _through(_sample(first, at_edge, of_edge, up, rng), up)
        for _ in range(_REFINEMENTS):
            circle = None if circle is None else _refined(circle, at_edge, of_edge, up)
        support = 0.0 if circle is None else float(of_edge[_on(circle, at_edge)].sum())
        if circle is not None and support > most and _is_open(circle, points, weights, up):
            best, most = circle, support
    return best


def _at_upper_edge(points: Float[np.ndarray, "n 3"], up: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, " n"]:
    """Return which points are about the highest ones of their horizontal neighbourhood."""
    heights = points @ up
    flat = points @ frame_from_normal(up[None])[0][:, :2]
    pairs = KDTree(flat).query_pairs(_NEIGHBOURHOOD, output_type="ndarray")
    highest = heights.copy()
    np.maximum.at(highest, pairs[:, 0], heights[pairs[:, 1]])
    np.maximum.at(highest, pairs[:, 1], heights[pairs[:, 0]])
    return heights > highest - _RISE


def _sample(
    first: int,
    points: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    up: Float[np.ndarray, " 3"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "3 3"]:
    """Return a point and two random ones of about its height."""
    level = np.where(np.abs((points - points[first]) @ up) < _BAND, weights, 0.0)
    return points[[first, *rng.choice(len(points), 2, p=level / level.sum())]]


def _through(corners: Float[np.ndarray, "3 3"], up: Float[np.ndarray, " 3"]) -> Opening | None:
    """Return the circle through three points; None on a line, or if it is too steep, small or large."""
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    area = float(np.linalg.norm(normal))
    if abs(normal @ up) < _MIN_UPWARD * area or area < _RADII[0] ** 2:
        return None
    circle = _fitted(corners, np.ones(3), up)
    return circle if _RADII[0] < circle.radius < _RADII[1] else None


def _refined(
    circle: Opening,
    edge: Float[np.ndarray, "e 3"],
    weights: Float[np.ndarray, " e"],
    up: Float[np.ndarray, " 3"],
) -> Opening | None:
    """Return the circle of all points on a circle, as LO-RANSAC does (Chum et al. 2003); None for too few."""
    on = _on(circle, edge)
    return _fitted(edge[on], weights[on], up) if on.sum() >= _MIN_ON_CIRCLE else None


def _fitted(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], up: Float[np.ndarray, " 3"]
) -> Opening:
    """Return the circle of weighted points: in their plane, linear least squares in ``|p|² = 2 c.p + k``."""
    middle = weights @ points / weights.sum()
    root = np.sqrt(weights)[:, None]
    axes = np.linalg.svd(root * (points - middle), full_matrices=True)[2]
    normal = axes[2] * np.sign(axes[2] @ up or 1.0)
    flat = (points - middle) @ axes[:2].T
    terms = np.column_stack([2 * flat, np.ones(len(flat))])
    solved = np.linalg.lstsq(root * terms, root[:, 0] * (flat**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(solved[2] + solved[:2] @ solved[:2]))
    return Opening(middle + solved[:2] @ axes[:2], normal, radius)


def _cylinder(
    circle: Opening, points: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the height of points over a circle's plane and their distance from its axis."""
    offsets = points - circle.center
    heights = offsets @ circle.normal
    return heights, np.linalg.norm(offsets - heights[:, None] * circle.normal, axis=1)


def _width(circle: Opening) -> float:
    return min(_ON_CIRCLE, _ON_CIRCLE_SHARE * circle.radius)


def _on(circle: Opening, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    heights, radii = _cylinder(circle, points)
    return np.hypot(heights, radii - circle.radius) < _width(circle)


def _observed(circle: Opening, points: Float[np.ndarray, "n 3"]) -> float:
    """Return the share of a circle that has points close to each other on it."""
    if not len(points):
        return 0.0
    x, y = ((points - circle.center) @ frame_from_normal(circle.normal[None])[0][:, :2]).T
    angles = np.sort(np.arctan2(y, x))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    return float(np.minimum(gaps, min(_GAP / circle.radius, _WIDEST_GAP)).sum() / (2 * np.pi))


def _is_open(
    circle: Opening,
    points: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    up: Float[np.ndarray, " 3"],
) -> bool:
    """Return whether a circle is a rim: observed all around, with nothing in it or over it."""
    if circle.normal @ up < _MIN_UPWARD:
        return False
    if _observed(circle, points[_on(circle, points)]) < _MIN_OBSERVED:
        return False
    heights, radii = _cylinder(circle, points)
    width = _width(circle)
    ring = (np.abs(radii - circle.radius) < width) & (np.abs(heights) < width)
    inside = (radii < _INNER * circle.radius) & (heights > -_MIN_DEPTH * circle.radius)
    over = (radii < circle.radius + width) & (heights > 2 * width)
    # A lid with the density of the ring, 4 r w in area but for pi, has this many points for one of the ring.
    of_lid = _INNER**2 * circle.radius / (4 * width)
    on_ring = weights[ring].sum()
    return bool(
        of_lid * ring.sum() >= _MIN_OF_LID
        and weights[inside].sum() < _MAX_FILLED * of_lid * on_ring
        and weights[over].sum() < _MAX_FILLED * on_ring
    )
