"""Relevancy on the surface to where to act: action point, oriented box, support, confidence. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from point2act.geometry import inside, project
from point2act.types import NoAnswer, OrientedBox, Region, Support, View


@dataclass(frozen=True)
class RegionConfig:
    """What counts as one place, and when views agree on it."""

    reach: float = 0.06
    """Size of a place as an angle seen from the cameras, radians: 3 cm at half a metre, the radius
    used in our study of fusion. An angle, because a pointing model errs by pixels, not by metres."""
    top: float = 0.8
    """The action point is the centroid of what exceeds this share of the peak ..."""
    body: float = 0.5
    """... and the box encloses what exceeds this one."""
    agree: float = 0.1
    """An answer within this angle of the action point agrees with it, radians: 2.5 standard
    deviations of the heatmap."""
    candidates: int = 4
    """How many rival places are looked at."""
    min_confidence: float = 0.25
    """Below this nothing deserves trust: ``no_agreement``."""
    min_agree: int = 2
    """So many views must agree, where so many spoke."""
    occlusion_margin: float = 0.03
    """A point is hidden when it lies this share of its depth behind the surface: the thickness of
    a small part."""


def find_region(
    points: Float[np.ndarray, "n 3"],
    relevancy: Float[np.ndarray, " n"],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    *,
    config: RegionConfig = RegionConfig(),
) -> tuple[Region | NoAnswer, tuple[Region, ...]]:
    """The best-supported place for one query and its rivals, best first.

    ``points`` are surface points in world coordinates with their relevancy in [0, 1]; ``depths`` the
    z-depth of the surface in every view (0 = none); ``answers`` the pixels named in every view (none
    of them for "not visible", None where nobody was asked).
    """
    spoken = sum(answer is not None and len(answer) > 0 for answer in answers)
    if spoken == 0:
        asked = sum(answer is not None for answer in answers)
        said = f"all {asked} answers say it is not visible" if asked else "no view has an answer for it"
        return NoAnswer("no_points", f"{said}: ask again, in other words or from other sides"), ()
    if len(points) == 0 or relevancy.max(initial=0.0) <= 0:
        return NoAnswer("no_geometry", "no surface was reconstructed under the points that were named"), ()
    places = _places(points, relevancy, views, config)
    regions = [_region(place, views, depths, answers, config) for place in places]
    # Stable: of two places with the same support the one with the higher relevancy stays first.
    regions.sort(key=lambda region: -region.confidence)
    best, rivals = regions[0], tuple(region for region in regions[1:] if region.support.agree > 0)
    if best.support.agree < min(config.min_agree, spoken) or best.confidence < config.min_confidence:
        return NoAnswer(
            "no_agreement",
            f"the views do not agree: the best place has {best.support.agree} views for it and "
            f"{best.support.disagree} against",
        ), tuple(regions)
    return best, rivals


@dataclass(frozen=True, eq=False)
class _Place:
    action_point: Float[np.ndarray, "3"]
    box: OrientedBox


def _places(
    points: Float[np.ndarray, "n 3"],
    relevancy: Float[np.ndarray, " n"],
    views: Sequence[View],
    config: RegionConfig,
) -> list[_Place]:
    """Peaks of the smoothed relevancy, at least two reaches apart."""
    reach = config.reach * _distance(points[relevancy.argmax()], views)
    # Only what can belong to a place is looked at; the rest of the scene has almost no relevancy.
    kept = relevancy > 0.1 * relevancy.max()
    points, relevancy = points[kept], relevancy[kept]
    tree = cKDTree(points)
    near = tree.query_ball_point(points, reach / 4)
    smooth = np.array([relevancy[index].mean() for index in near])
    places: list[_Place] = []
    free = np.ones(len(points), dtype=bool)
    for _ in range(config.candidates):
        peak = np.where(free, smooth, -1.0).argmax()
        if not free[peak]:
            break
        top = _connected(points, smooth, peak, reach, config.top)
        action_point = np.average(points[top], axis=0, weights=smooth[top])
        places.append(_Place(action_point, _box(points[_connected(points, smooth, peak, 2 * reach, config.body)])))
        free &= np.linalg.norm(points - points[peak], axis=1) > 2 * reach
    return places


def _connected(
    points: Float[np.ndarray, "n 3"], values: Float[np.ndarray, " n"], peak: np.intp, reach: float, share: float
) -> np.ndarray:
    """Indices connected to the peak among the points within reach that exceed a share of it."""
    near = np.linalg.norm(points - points[peak], axis=1) <= reach
    index = np.flatnonzero(near & (values >= share * values[peak]))
    graph = cKDTree(points[index]).sparse_distance_matrix(cKDTree(points[index]), reach / 4)
    _, labels = connected_components(graph, directed=False)
    return index[labels == labels[np.flatnonzero(index == peak)[0]]]


def _box(points: Float[np.ndarray, "n 3"]) -> OrientedBox:
    """The principal axes of the points and the extents of nearly all of them."""
    center = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - center, full_matrices=False) if len(points) > 2 else (0, 0, np.eye(3))
    axes = axes * np.sign(np.linalg.det(axes))
    local = (points - center) @ axes.T
    low, high = np.quantile(local, [0.02, 0.98], axis=0)
    return OrientedBox(
        center=center + axes.T @ ((low + high) / 2),
        axes=axes,
        half_extents=np.maximum((high - low) / 2, 1e-4),
    )


def _region(
    place: _Place,
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    config: RegionConfig,
) -> Region:
    """Count which views back a place."""
    agree, disagree, unseen = 0, 0, 0
    rejected = []
    for view, depth, answer in zip(views, depths, answers, strict=True):
        verdict = None if answer is None else _backs(place.action_point, view, depth, answer, config)
        agree += verdict is True
        disagree += verdict is False
        unseen += verdict is None
        if verdict is False:
            rejected.append(view.name)
    return Region(
        action_point=place.action_point,
        # One imaginary view against: a single answer is never certain.
        confidence=agree / (agree + disagree + 1),
        support=Support(agree, disagree, unseen, tuple(rejected)),
        box=place.box,
    )


def _backs(
    point: Float[np.ndarray, "3"],
    view: View,
    depth: Float[np.ndarray, "h w"],
    answer: Float[np.ndarray, "m 2"],
    config: RegionConfig,
) -> bool | None:
    """Whether a view's answer backs a place; None when it rightly says that it cannot see it."""
    pixels, z = project(view.camera, view.T_world_cam, point[None])
    if len(answer) == 0:
        return None if not _visible(view, depth, pixels, z, config)[0] else False
    if z[0] <= 0:
        return False
    near = config.agree * 0.5 * (view.camera.fx + view.camera.fy)
    return bool(np.linalg.norm(answer - pixels, axis=1).min() < near)


def _visible(
    view: View,
    depth: Float[np.ndarray, "h w"],
    pixels: Float[np.ndarray, "n 2"],
    z: Float[np.ndarray, " n"],
    config: RegionConfig,
) -> Bool[np.ndarray, " n"]:
    """Which points lie in the image and not behind its surface."""
    within = inside(view.camera, pixels) & (z > 0)
    column, row = np.where(within[:, None], pixels, 0.0).astype(int).T
    surface = depth[row, column]
    return within & ((surface <= 0) | (z < surface * (1 + config.occlusion_margin)))


def _distance(point: Float[np.ndarray, "3"], views: Sequence[View]) -> float:
    """Median distance of the cameras from a point."""
    return float(np.median([np.linalg.norm(view.T_world_cam[:3, 3] - point) for view in views]))
