"""Keypoints and axes of a region: what constraints refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from point2act.acting.constraints.hole import Hole, find_hole
from point2act.acting.constraints.opening import Opening, find_opening
from point2act.core.geometry import frame_from_normal
from point2act.core.pieces import connected_pieces
from point2act.core.types import NoAnswer, OrientedBox
from point2act.pipeline.query import Localization

# Gaussians belong to a region from this share of the highest relevancy on. Pieces of a thing that the answers
# do not distinguish share its probability. Of 200 queries for mugs and their bodies on simulated tables, 192
# have a rim with 0.25 and 190 with 0.5; of 60 queries for a handle one has the mug's rim, with both.
_BELONGS = 0.25
# Distance of neighbouring points of one region, metres: three Gaussians. Chosen.
_CONNECTED = 0.015
# Distances around a region at which the hole of its thing is sought, metres. Measured on two mugs of whose
# handle a piece was localized: at 1 cm the hole is found 3 and 5 mm from its middle, at 3 cm the mug's own.
_AROUND = (0.01, 0.02)
# Quantiles that are taken for the ends of a region, as in ``fit_box``.
ENDS = (0.02, 0.98)
# The highest part: this share of the height, or twice the 2 mm that depth is off. Both chosen.
_TOP_SHARE, _TOP_MIN = 0.1, 0.004
# An axis points along the first reference that it is not about perpendicular to: 12 degrees. Chosen, so that
# noise does not turn a horizontal axis round.
_ALONG = 0.2


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """Named points and unit directions of a region, world frame, metres."""

    points: Mapping[str, Float[np.ndarray, " 3"]]
    """By the names of ``core.constraints.PointName``; ``rim`` and ``hole`` only where there is one."""
    axes: Mapping[str, Float[np.ndarray, " 3"]]
    """By the names of ``core.constraints.AxisName``; ``rim_normal`` and ``hole_axis`` likewise."""
    box: OrientedBox
    """Around the region."""


def features_of(localization: Localization, up: Float[np.ndarray, " 3"]) -> RegionFeatures:
    """Find the features of the region that a query means.

    Its surface is the Gaussians with at least a quarter of the highest relevancy, weighted by it. The extent
    of the likeliest place is narrower: often one piece of a mug, without the rim.

    Args:
        localization: A query that has a region.
        up: Upward unit vector, world.

    Raises:
        ValueError: if the query has no region.
    """
    region = localization.region
    if isinstance(region, NoAnswer):
        raise ValueError(f"'{localization.query.text}' has no features without a region: {region.detail}")
    return find_features(*surface_of(localization), region.action_point, up, region.box)


def with_rim(
    features: RegionFeatures, localization: Localization, up: Float[np.ndarray, " 3"]
) -> RegionFeatures:
    """Return the features of a region with the opening of all that is connected with it, if there is one.

    The region of a large bowl may be a piece of it. What lies on the ground does not connect things.

    Args:
        features: Features of the region, world.
        localization: The query that has it.
        up: Upward unit vector, world.
    """
    own, opening = _all_connected(features, localization, up)
    if opening is None:
        return features
    bottom = opening.center + ((own @ up).min() - opening.center @ up) * up
    found = {**features.points, "rim": opening.center, "bottom": bottom}
    return RegionFeatures(found, {**features.axes, "rim_normal": opening.normal}, features.box)


def with_hole(
    features: RegionFeatures, localization: Localization, up: Float[np.ndarray, " 3"]
) -> RegionFeatures:
    """Return the features of a region with those of the hole through it, if there is one.

    The region may be a piece of a handle: without a hole it is sought in what is around it, too. The opening
    of a vessel that it stands out from is sought on all that is connected with it.

    Args:
        features: Features of the region, world.
        localization: The query that has it.
        up: Upward unit vector, world.
    """
    surface, (own, _) = localization.surface[0], surface_of(localization)
    axes = np.stack([features.axes[name] for name in ("long", "middle", "short")])
    _, vessel = _all_connected(features, localization, up)
    hole = find_hole(own, surface, axes, up, vessel) or _hole_around(own, surface, up, vessel)
    if hole is None:
        return features
    found = {**features.points, "hole": hole.center}
    return RegionFeatures(found, {**features.axes, "hole_axis": _signed(hole.axis, up)}, features.box)


def _all_connected(
    features: RegionFeatures, localization: Localization, up: Float[np.ndarray, " 3"]
) -> tuple[Float[np.ndarray, "n 3"], Opening | None]:
    """Return the points of all that is connected with a region, and its opening if it has one.

    What lies on the ground does not count.
    """
    parts = localization.context.segmentation.parts
    points = parts.points[parts.things]
    if not len(points):
        return points, None
    own = points[_connected_with(points, features.points["action_point"])]
    return own, find_opening(own, np.ones(len(own)), up)


def _hole_around(
    own: Float[np.ndarray, "n 3"],
    surface: Float[np.ndarray, "m 3"],
    up: Float[np.ndarray, " 3"],
    vessel: Opening | None,
) -> Hole | None:
    """Return the hole in what is near a region, None if there is none."""
    away = KDTree(own).query(surface)[0]
    for reach in _AROUND:
        points = surface[away < reach]
        hole = find_hole(points, surface, _principal_axes(points, np.ones(len(points))), up, vessel)
        if hole is not None:
            return hole
    return None


def surface_of(localization: Localization) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Return the surface points of the region that a query means, world, and their relevancy.

    They are relevant, and connected with its action point: rivals are not.
    """
    assert not isinstance(localization.region, NoAnswer)
    points, relevancy = localization.surface
    away = np.linalg.norm(points - localization.region.action_point, axis=1)
    belongs = relevancy >= _BELONGS * relevancy[away <= max(_CONNECTED, away.min())].max()
    points, relevancy = points[belongs], relevancy[belongs]
    own = _connected_with(points, localization.region.action_point)
    return points[own], relevancy[own]


def _connected_with(
    points: Float[np.ndarray, "n 3"], place: Float[np.ndarray, " 3"]
) -> Bool[np.ndarray, " n"]:
    """Return which points are connected with the one nearest to a place."""
    piece = connected_pieces(points, _CONNECTED)
    return piece == piece[np.linalg.norm(points - place, axis=1).argmin()]


def find_features(
    points: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    action_point: Float[np.ndarray, " 3"],
    up: Float[np.ndarray, " 3"],
    box: OrientedBox,
) -> RegionFeatures:
    """Find the named points and axes of a region, as ReSem3D (Su et al. 2025) names them.

    ``center`` is the middle of the extents, ``top`` that of the highest part. ``bottom`` is at the lowest
    observed height, below the rim or else below the centre: cameras see no underside. ``side_1`` and
    ``side_2`` are the ends along the longest axis, which points to the first. ``long``, ``middle`` and
    ``short`` are principal axes; where two variances are equal, as across the axis of a body of revolution,
    they are any two directions of that plane. Their signs do not depend on the order of points: upward unless
    an axis is about horizontal, else along the world's x, or its y if the axis is across that too.

    Args:
        points: Points of the region's surface, world, metres.
        weights: Relevancy of each point; those with 0 do not count.
        action_point: Where to act on the region, world, metres.
        up: Upward unit vector, world.
        box: Box around the region.

    Raises:
        ValueError: if no point has a weight.
    """
    counted = weights > 0
    if not counted.any():
        raise ValueError("a region without a surface point of positive relevancy has no features")
    # From the lowest up, whatever their order was: the samples of ``find_opening`` are drawn by number.
    points, weights = points[counted], weights[counted]
    order = np.lexsort((weights, *points.T, points @ up))
    points, weights = points[order], weights[order]
    long, middle, short = (_signed(axis, up) for axis in _principal_axes(points, weights))
    frame = _upright_frame(points, weights, up)
    low, high = _ends(points @ frame.T, weights)
    center = (low + high) / 2 @ frame
    highest = points @ up >= high[2] - max(_TOP_SHARE * (high[2] - low[2]), _TOP_MIN)
    x, y, _ = _ends(points[highest] @ frame.T, weights[highest]).mean(axis=0)
    (behind,), (ahead,) = _ends((points - center) @ long[:, None], weights)
    found = {
        "action_point": action_point,
        "center": center,
        "top": np.array([x, y, high[2]]) @ frame,
        "side_1": center + ahead * long,
        "side_2": center + behind * long,
    }
    axes = {"up": up, "long": long, "middle": middle, "short": short}
    opening = find_opening(points, weights, up)
    if opening is not None:
        found["rim"], axes["rim_normal"] = opening.center, opening.normal
    above = found.get("rim", center)
    found["bottom"] = above + (low[2] - above @ up) * up
    return RegionFeatures(found, axes, box)


def _principal_axes(
    points: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "d d"]:
    """Return the eigenvectors of the covariance as rows, that of the largest variance first."""
    offsets = points - weights @ points / weights.sum()
    return np.linalg.eigh((weights[:, None] * offsets).T @ offsets)[1].T[::-1]


def _upright_frame(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"], up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 3"]:
    """Return the horizontal principal axes and up, as rows."""
    level = frame_from_normal(up[None])[0][:, :2].T
    return np.vstack([_principal_axes(points @ level.T, weights) @ level, up])


def _signed(axis: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Return an axis with the sign that ``find_features`` fixes."""
    along = np.stack([up, *np.eye(3)]) @ axis
    first = int(np.argmax(np.abs(along) > _ALONG))
    return axis * np.sign(along[first])


def _ends(points: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "2 d"]:
    """Return the weighted quantiles of every coordinate that are taken for the ends."""
    order = np.argsort(points, axis=0, kind="stable")
    below = np.cumsum(weights[order], axis=0) - weights[order] / 2
    columns = zip(below.T / weights.sum(), np.take_along_axis(points, order, axis=0).T, strict=True)
    return np.stack([np.interp(ENDS, share, values) for share, values in columns], axis=1)
