"""Relevancy on the surface to where to act: action point, oriented box, support, confidence. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from point2act.geometry import inside, project
from point2act.types import NoAnswer, OrientedBox, Region, Support, View

# Gauss-Newton settles in three or four steps; the Cauchy weights take a few more.
_REFINEMENTS = 12


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
    trust_surface: float = 0.15
    """How far the surface is trusted, in reaches: what the rays of the answers put further off than
    this (5 mm at half a metre) is more likely a misplaced surface, as of a depth camera that is not
    registered to the colour camera."""
    near: float = 0.1
    """An answer further than this angle from a place does not mean it, radians: 2.5 sigma ..."""
    agree: float = 0.06
    """... and one within this angle of the body agrees with it, radians: 1.5 sigma."""
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
    sigma: float,
    config: RegionConfig = RegionConfig(),
) -> tuple[Region | NoAnswer, tuple[Region, ...]]:
    """The best-supported place for one query and its rivals, best first.

    ``points`` are surface points in world coordinates with their relevancy in [0, 1]; ``depths`` the
    z-depth of the surface in every view (0 = none); ``answers`` the pixels named in every view (none
    of them for "not visible", None where nobody was asked), and ``sigma`` the standard deviation of an
    answer as an angle, radians: the heatmaps'.
    """
    spoken = sum(answer is not None and len(answer) > 0 for answer in answers)
    if spoken == 0:
        asked = sum(answer is not None for answer in answers)
        said = f"all {asked} answers say it is not visible" if asked else "no view has an answer for it"
        return NoAnswer("no_points", f"{said}: ask again, in other words or from other sides"), ()
    if len(points) == 0 or relevancy.max(initial=0.0) <= 0:
        return NoAnswer("no_geometry", "no surface was reconstructed under the points that were named"), ()
    places = _places(points, relevancy, views, config)
    places = [_refine(place, views, answers, sigma, config) for place in places]
    regions = _regions(places, views, depths, answers, config)
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
    action_point: Float[np.ndarray, " 3"]
    body: Float[np.ndarray, "b 3"]
    """Surface points of the place."""
    reach: float
    """In world units."""


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
    smooth = _smoothed(points, relevancy, reach / 4)
    places: list[_Place] = []
    free = np.ones(len(points), dtype=bool)
    for _ in range(config.candidates):
        peak = np.where(free, smooth, -1.0).argmax()
        if not free[peak]:
            break
        top = _connected(points, smooth, peak, reach, config.top)
        action_point = np.average(points[top], axis=0, weights=smooth[top])
        body = _connected(points, smooth, peak, 2 * reach, config.body)
        places.append(_Place(action_point, points[body], reach))
        free &= np.linalg.norm(points - points[peak], axis=1) > 2 * reach
    return places


def _smoothed(
    points: Float[np.ndarray, "n 3"], values: Float[np.ndarray, " n"], radius: float
) -> Float[np.ndarray, " n"]:
    """Mean of the values within a radius of each point."""
    i, j = KDTree(points).query_pairs(radius, output_type="ndarray").T
    total = values + np.bincount(i, values[j], len(points)) + np.bincount(j, values[i], len(points))
    return total / (1 + np.bincount(i, minlength=len(points)) + np.bincount(j, minlength=len(points)))


def _refine(
    place: _Place,
    views: Sequence[View],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    sigma: float,
    config: RegionConfig,
) -> _Place:
    """Weigh a place on the surface against the rays of the answers that mean it; the body moves along.

    Both have Cauchy costs, the rays by angle and the surface by distance: near the surface its place
    holds, a surface that the images contradict is overruled. Such costs have several minima; one is
    looked for from the surface, one from where the rays want to be, and the lower one is taken.
    """
    surface = place.action_point
    rays = _Rays.of(views, answers)
    tight = _Compromise(surface, config.trust_surface * place.reach, rays, sigma, config.near)
    loose = replace(tight, scale=place.reach)
    point = min((tight.settle(start) for start in (surface, loose.settle(surface))), key=tight.cost)
    return replace(place, action_point=point, body=place.body + point - surface)


@dataclass(frozen=True, eq=False)
class _Compromise:
    """Between a point on the surface and the rays of answers, those within ``near`` of it."""

    surface: Float[np.ndarray, "3"]
    scale: float
    """Of the distance from the surface, in world units."""
    rays: _Rays
    sigma: float
    near: float

    def cost(self, point: Float[np.ndarray, "3"]) -> float:
        """The sum of Cauchy costs; a ray that means another place costs what one at the limit does."""
        squared = np.minimum((self.rays.angles(point)[0] ** 2).sum(axis=1), self.near**2)
        away = np.sum((point - self.surface) ** 2)
        return float(np.log1p(away / self.scale**2) + np.log1p(squared / self.sigma**2).sum())

    def settle(self, point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """A minimum of the cost, by Gauss-Newton with Cauchy's weights."""
        for _ in range(_REFINEMENTS):
            away = self.surface - point
            prior = 1 / (self.scale**2 + away @ away)
            residual, J = self.rays.angles(point)
            squared = (residual**2).sum(axis=1)
            meant = squared <= self.near**2
            residual, J, weight = residual[meant], J[meant], 1 / (self.sigma**2 + squared[meant])
            normal = prior * np.eye(3) + np.einsum("v,vij,vik->jk", weight, J, J)
            point = point + np.linalg.solve(
                normal, prior * away + np.einsum("v,vij,vi->j", weight, J, residual)
            )
        return point


def _angles(
    points: Float[np.ndarray, "n 3"], view: View, answer: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, " 2"]:
    """The shortest way from the points' projections to an answer, as tangents of angles.

    Infinite where every point is behind the camera.
    """
    pixels, z = project(view.camera, view.T_world_cam, points)
    ways = (answer[None] - pixels[z > 0][:, None]).reshape(-1, 2) / [view.camera.fx, view.camera.fy]
    if len(ways) == 0:
        return np.full(2, np.inf)
    return ways[np.linalg.norm(ways, axis=1).argmin()]


@dataclass(frozen=True, eq=False)
class _Rays:
    """The answers of all views that named a pixel, as rays: :func:`_angles` of one point for all at once."""

    T_cam_world: Float[np.ndarray, "v 4 4"]
    tangents: Float[np.ndarray, "v m 2"]
    """x/z, y/z of every answer; infinite where a view has fewer than m."""

    @staticmethod
    def of(views: Sequence[View], answers: Sequence[Float[np.ndarray, "_ 2"] | None]) -> _Rays:
        spoken = [(v, a) for v, a in zip(views, answers, strict=True) if a is not None and len(a) > 0]
        tangents = np.full((len(spoken), max(len(answer) for _, answer in spoken), 2), np.inf)
        for row, (view, answer) in zip(tangents, spoken, strict=True):
            camera = view.camera
            row[: len(answer)] = (answer - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        return _Rays(np.array([view.T_cam_world for view, _ in spoken]), tangents)

    def angles(
        self, point: Float[np.ndarray, "3"]
    ) -> tuple[Float[np.ndarray, "v 2"], Float[np.ndarray, "v 2 3"]]:
        """The way from the point to each view's nearest answer, and how the point's x/z, y/z change with it.

        Infinite where the point is behind the camera.
        """
        rotation = self.T_cam_world[:, :3, :3]
        local = rotation @ point + self.T_cam_world[:, :3, 3]
        z = np.where(local[:, 2] > 0, local[:, 2], np.nan)[:, None]
        seen_at = local[:, :2] / z
        ways = self.tangents - seen_at[:, None]
        nearest = (ways**2).sum(axis=2).argmin(axis=1)
        residual = np.nan_to_num(ways[np.arange(len(ways)), nearest], nan=np.inf)
        J = (rotation[:, :2] - seen_at[:, :, None] * rotation[:, 2:]) / z[:, None]
        return residual, J


def _connected(
    points: Float[np.ndarray, "n 3"],
    values: Float[np.ndarray, " n"],
    peak: np.intp,
    reach: float,
    share: float,
) -> Int[np.ndarray, " k"]:
    """Indices connected to the peak among the points within reach that exceed a share of it."""
    near = np.linalg.norm(points - points[peak], axis=1) <= reach
    index = np.flatnonzero(near & (values >= share * values[peak]))
    i, j = KDTree(points[index]).query_pairs(reach / 4, output_type="ndarray").T
    graph = coo_matrix((np.ones(len(i), bool), (i, j)), shape=(len(index),) * 2)
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


def _regions(
    places: Sequence[_Place],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    config: RegionConfig,
) -> list[Region]:
    """Count which views back each place, best first; a view backs one place only, the first it can."""
    regions, spent = [], np.zeros(len(views), dtype=bool)
    for place in places:
        verdicts = [
            None if answer is None else _backs(place, view, depth, answer, config)
            for view, depth, answer in zip(views, depths, answers, strict=True)
        ]
        backed = np.array([verdict is True for verdict in verdicts]) & ~spent
        against = np.array([verdict is not None for verdict in verdicts]) & ~backed
        spent |= backed
        agree, disagree = int(backed.sum()), int(against.sum())
        names = tuple(view.name for view, no in zip(views, against, strict=True) if no)
        regions.append(
            Region(
                action_point=place.action_point,
                # One imaginary view against: a single answer is never certain.
                confidence=agree / (agree + disagree + 1),
                support=Support(agree, disagree, len(views) - agree - disagree, names),
                box=_box(place.body),
            )
        )
    return regions


def _backs(
    place: _Place,
    view: View,
    depth: Float[np.ndarray, "h w"],
    answer: Float[np.ndarray, "m 2"],
    config: RegionConfig,
) -> bool | None:
    """Whether a view's answer backs a place; None when it rightly says that it cannot see it."""
    if len(answer) == 0:
        return False if _visible(place.action_point, view, depth, config) else None
    return bool(np.linalg.norm(_angles(place.body, view, answer)) < config.agree)


def _visible(
    point: Float[np.ndarray, " 3"], view: View, depth: Float[np.ndarray, "h w"], config: RegionConfig
) -> bool:
    """Whether a point lies in the image and not behind its surface."""
    pixels, z = project(view.camera, view.T_world_cam, point[None])
    if z[0] <= 0 or not inside(view.camera, pixels)[0]:
        return False
    column, row = pixels[0].astype(int)
    surface = depth[row, column]
    return bool(surface <= 0 or z[0] < surface * (1 + config.occlusion_margin))


def _distance(point: Float[np.ndarray, " 3"], views: Sequence[View]) -> float:
    """Median distance of the cameras from a point."""
    return float(np.median([np.linalg.norm(view.T_world_cam[:3, 3] - point) for view in views]))
