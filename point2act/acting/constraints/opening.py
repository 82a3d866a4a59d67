"""The round opening of a thing such as a mug, from the points of its surface.

Points at an edge that faces up are found as in ReSem3D (Su et al. 2025), which takes the highest ones and the
middle of the most symmetric pair of them. Here a circle is fitted to all of them by random samples (Fischler
and Bolles 1981) and least squares (Kåsa 1976), which a handle and a part that no camera saw do not shift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from point2act.core.geometry import frame_from_normal, share_of_directions

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
# A circle with a wall around it in this share of directions is no rim: beads that lie in a jug have one.
# Chosen: handles and spouts rise beside a rim in few directions.
_MAX_ENCLOSED, _DIRECTIONS = 0.5, 12
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


# Circles that are worked on at once: their distances from a thousand points are 3 MB. Chosen.
_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Opening:
    """The circle of a rim, metres."""

    center: Float[np.ndarray, " 3"]
    normal: Float[np.ndarray, " 3"]
    """Out of the opening, unit length."""
    radius: float


@dataclass(frozen=True, eq=False)
class _Circles:
    center: Float[np.ndarray, "s 3"]
    normal: Float[np.ndarray, "s 3"]
    radius: Float[np.ndarray, " s"]

    def __getitem__(self, chosen: Any) -> _Circles:
        return _Circles(self.center[chosen], self.normal[chosen], self.radius[chosen])

    @property
    def width(self) -> Float[np.ndarray, " s"]:
        """Distance from each circle within which points lie on it."""
        return np.minimum(_ON_CIRCLE, _ON_CIRCLE_SHARE * self.radius)

    def cylinder(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "s n"], Float[np.ndarray, "s n"]]:
        """Return the height of points over each circle's plane and their distance from its axis."""
        offsets = points - self.center[:, None]
        heights = (offsets @ self.normal[:, :, None])[..., 0]
        squared = np.einsum("snk,snk->sn", offsets, offsets) - heights**2
        return heights, np.sqrt(np.maximum(squared, 0.0))

    def on(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "s n"]:
        """Return which points lie on each circle."""
        heights, radii = self.cylinder(points)
        return np.hypot(heights, radii - self.radius[:, None]) < self.width[:, None]


def find_opening(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], up: Float[np.ndarray, " 3"]
) -> Opening | None:
    """Find the round opening of a thing, None without one.

    It faces up, is observed in at least 60 % of directions, is free of points down to a quarter of its
    radius, and the thing rises neither over it nor around it. Plates, lids and rectangular boxes have none.

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
    firsts = rng.choice(len(at_edge), _SAMPLES, p=of_edge / of_edge.sum())
    best, most = None, 0.0
    for start in range(0, _SAMPLES, _AT_ONCE):
        corners = _sample(firsts[start : start + _AT_ONCE], at_edge, of_edge, up, rng)
        circles = _through(corners, up)
        for _ in range(_REFINEMENTS):
            circles = _refined(circles, at_edge, of_edge, up)
        circles = circles[_is_open(circles, points, weights, up)]
        support: Float[np.ndarray, " _"] = np.matmul(circles.on(at_edge), of_edge)
        for number in np.argsort(-support, kind="stable"):
            if support[number] <= most:
                break
            circle = circles[number : number + 1]
            if _observed(circle, points) >= _MIN_OBSERVED and _enclosed(circle, points) < _MAX_ENCLOSED:
                best, most = circle, float(support[number])
                break
    return None if best is None else Opening(best.center[0], best.normal[0], float(best.radius[0]))


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
    firsts: Int[np.ndarray, " s"],
    points: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    up: Float[np.ndarray, " 3"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "s 3 3"]:
    """Return points, each with two random ones of about its height."""
    heights = points @ up
    level = np.abs(heights - heights[firsts, None]) < _BAND
    cumulative = np.cumsum(np.where(level, weights, 0.0), axis=1)
    drawn = rng.uniform(size=(len(firsts), 2)) * cumulative[:, -1:]
    others = [(cumulative[:, :-1] <= one[:, None]).sum(axis=1) for one in drawn.T]
    return points[np.stack([firsts, *others], axis=1)]


def _through(corners: Float[np.ndarray, "s 3 3"], up: Float[np.ndarray, " 3"]) -> _Circles:
    """Return the circles through three points; not those on a line, or too steep, small or large."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    usable = (np.abs(normal @ up) >= _MIN_UPWARD * area) & (area >= _RADII[0] ** 2)
    circles = _fitted(corners[usable], np.ones((int(usable.sum()), 3)), up)
    return circles[(circles.radius > _RADII[0]) & (circles.radius < _RADII[1])]


def _refined(
    circles: _Circles,
    edge: Float[np.ndarray, "e 3"],
    weights: Float[np.ndarray, " e"],
    up: Float[np.ndarray, " 3"],
) -> _Circles:
    """Return the circles of all points on each, as LO-RANSAC does (Chum et al. 2003); not of too few."""
    on = circles.on(edge)
    enough = on.sum(axis=1) >= _MIN_ON_CIRCLE
    return _fitted(edge[None], np.where(on[enough], weights, 0.0), up)


def _fitted(
    points: Float[np.ndarray, "_s n 3"], weights: Float[np.ndarray, "s n"], up: Float[np.ndarray, " 3"]
) -> _Circles:
    """Return the circle of each set of weighted points.

    In their plane it is that of least squares in ``|p|² = 2 c.p + k``.
    From their mean and along their principal axes, the moments of first order and the mixed one of second
    order are 0, so that ``c = E[p |p|²] / 2 E[p²]`` for each coordinate, and ``k = E[|p|²] = r² - |c|²``.
    """
    share = (weights / weights.sum(axis=1, keepdims=True))[:, None]
    middle = share @ points
    offsets = points - middle
    variances, axes = np.linalg.eigh((share * np.swapaxes(offsets, 1, 2)) @ offsets)
    normal = axes[:, :, 0] * np.where(axes[:, :, 0] @ up < 0, -1.0, 1.0)[:, None]
    flat = offsets @ axes[:, :, 1:]
    squared = np.einsum("snk,snk->sn", flat, flat)[..., None]
    # Points on a line have no circle: it becomes too large.
    spread = np.maximum(variances[:, 1:], np.finfo(float).tiny)
    center = (share @ (flat * squared))[:, 0] / (2 * spread)
    radius = np.sqrt(variances[:, 1:].sum(axis=1) + (center**2).sum(axis=1))
    return _Circles(middle[:, 0] + (axes[:, :, 1:] @ center[..., None])[..., 0], normal, radius)


def _observed(circle: _Circles, points: Float[np.ndarray, "n 3"]) -> float:
    """Return the share of one circle that has points close to each other on it."""
    on = points[circle.on(points)[0]]
    if not len(on):
        return 0.0
    x, y = ((on - circle.center) @ frame_from_normal(circle.normal)[0][:, :2]).T
    angles = np.sort(np.arctan2(y, x))
    gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
    return float(np.minimum(gaps, min(_GAP / circle.radius[0], _WIDEST_GAP)).sum() / (2 * np.pi))


def _enclosed(circle: _Circles, points: Float[np.ndarray, "n 3"]) -> float:
    """Return the share of directions in which there are higher points beyond one circle."""
    heights, radii = (one[0] for one in circle.cylinder(points))
    width = circle.width[0]
    beyond = (heights > 2 * width) & (radii > circle.radius[0] + width)
    flat = (points[beyond] - circle.center) @ frame_from_normal(circle.normal)[0][:, :2]
    return share_of_directions(flat, _DIRECTIONS)


def _is_open(
    circles: _Circles,
    points: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    up: Float[np.ndarray, " 3"],
) -> Bool[np.ndarray, " s"]:
    """Return which circles face up and have nothing in them or over them."""
    heights, radii = circles.cylinder(points)
    radius, width = circles.radius[:, None], circles.width[:, None]
    ring = (np.abs(radii - radius) < width) & (np.abs(heights) < width)
    inside = (radii < _INNER * radius) & (heights > -_MIN_DEPTH * radius)
    over = (radii < radius + width) & (heights > 2 * width)
    # A lid with the density of the ring, 4 r w in area but for pi, has this many points for one of the ring.
    of_lid = _INNER**2 * circles.radius / (4 * circles.width)
    on_ring = ring @ weights
    return (
        (circles.normal @ up >= _MIN_UPWARD)
        & (of_lid * ring.sum(axis=1) >= _MIN_OF_LID)
        & (inside @ weights < _MAX_FILLED * of_lid * on_ring)
        & (over @ weights < _MAX_FILLED * on_ring)
    )
