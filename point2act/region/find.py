"""Evidence for the parts of a scene to where to act: ranked regions, and who backs them. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from point2act.geometry import inside, project
from point2act.region.evidence import Evidence, Looks, to_tangents
from point2act.region.parts import Parts
from point2act.types import NoAnswer, OrientedBox, Region, Support, View

# Gauss-Newton settles in three or four steps; the Cauchy weights take a few more.
_REFINEMENTS = 12


@dataclass(frozen=True)
class RegionConfig:
    """What counts as one place, and when views agree on it. Angles are as seen from the cameras, radians."""

    regions: int = 5
    """At most so many are told apart."""
    negligible: float = 1e-9
    """Parts that are so much less likely than the best say nothing about a place."""
    same: float = 0.03
    """Parts make one place when one would act on them within this angle: 1.5 cm at half a metre."""
    scatter: float = 0.047
    """Within a place the answers say where to act, each reaching so far: 14 px at f = 300 ..."""
    trust_answers: float = 0.5
    """... with this much of the weight that independent answers would have ..."""
    stray: float = 0.03
    """... and none once an answer is 2.6 times as far off: it means something else."""
    settle: float = 0.015
    """The action point is the middle of the surface about it, under a Gaussian of this width: 1 cm at half
    a metre, so inside a thin part and on the wall of a hollow one."""
    beside: float = 0.0175
    """The surface is doubted when the answers meet so far beside it: one degree ..."""
    better: float = 10.0
    """... and there lie this much closer together than chance would have them, by the F statistic ..."""
    trust_surface: float = 0.02
    """... and then trusted only so far: what the rays of the answers put further off (1 cm at half a metre)
    is more likely a misplaced surface, as of a depth camera that is not registered to the colour camera."""
    body: float = 0.5
    """The box encloses the points that belong to a place with this share of the greatest certainty."""
    near: float = 0.1
    """An answer further than this from a place does not mean it: 2.5 times the heatmaps' width ..."""
    agree: float = 0.06
    """... and one within this of the body agrees with it."""
    refuse: float = 0.3
    """Above this probability that it is not there at all the answer is ``no_agreement``: to ask again costs
    less than to grasp the wrong thing."""
    min_agree: int = 2
    """So many views must agree, where so many spoke."""
    occlusion_margin: float = 0.03
    """A point is hidden when it lies this share of its depth behind the surface: the thickness of
    a small part."""


def find_region(
    parts: Parts,
    looks: Looks,
    evidence: Evidence,
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    *,
    sigma: float,
    config: RegionConfig = RegionConfig(),
) -> tuple[Region | NoAnswer, tuple[Region, ...]]:
    """The likeliest place for one query and its rivals, likeliest first.

    ``depths`` are z-depths of the surface in every view (0 = none); ``answers`` the pixels named in every
    view (none of them for "not visible", None where nobody was asked), and ``sigma`` the standard deviation
    of an answer as an angle, radians. The regions' confidences, and how likely there is no such thing, add
    up to at most 1.
    """
    spoken = sum(answer is not None and len(answer) > 0 for answer in answers)
    if spoken == 0:
        asked = sum(answer is not None for answer in answers)
        said = f"all {asked} answers say it is not visible" if asked else "no view has an answer for it"
        return NoAnswer("no_points", f"{said}: ask again, in other words or from other sides"), ()
    if not evidence.parts.any():
        return NoAnswer("no_geometry", "no surface was reconstructed under the points that were named"), ()
    rays = _Rays.of(views, answers)
    places = [
        _refine(place, rays, parts.distance, sigma, config)
        for place in _places(parts, looks, evidence, views, answers, config)
    ]
    regions = _regions(places, views, depths, answers, config)
    best, rivals = regions[0], tuple(region for region in regions[1:] if region.support.agree > 0)
    if evidence.absent > config.refuse:
        said = f"it may not be in the scene ({evidence.absent:.0%}): {_counts(best)}"
        return NoAnswer("no_agreement", said), tuple(regions)
    if best.support.agree < min(config.min_agree, spoken):
        return NoAnswer("no_agreement", f"the views do not agree: {_counts(best)}"), tuple(regions)
    return best, rivals


def _counts(region: Region) -> str:
    return f"the best place has {region.support.agree} views for it and {region.support.disagree} against"


@dataclass(frozen=True, eq=False)
class _Place:
    middle: Float[np.ndarray, " 3"]
    """Of its surface, as the answers see it: not on it where it is bent or has a hole."""
    action_point: Float[np.ndarray, " 3"]
    body: Float[np.ndarray, "b 3"]
    """Surface points of the place."""
    chance: float
    """That it is what was asked for."""


def _places(
    parts: Parts,
    looks: Looks,
    evidence: Evidence,
    views: Sequence[View],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    config: RegionConfig,
) -> list[_Place]:
    """Parts that mean the same place, taken together; likeliest first.

    Parts of one tree overlap only where one holds the other. The likeliest part stands for all that hold it
    or that it holds; then those on which one would act at nearly the same point are one place too.
    """
    places: list[_Place] = []
    left = np.flatnonzero(evidence.parts > config.negligible * evidence.parts.max())
    left = left[np.argsort(-evidence.parts[left], kind="stable")]
    while len(left) and len(places) < config.regions:
        lead = left[0]
        overlap = (parts.first[left] < parts.end[lead]) & (parts.first[lead] < parts.end[left])
        place = _place(parts, looks, evidence, left[overlap], views, answers, config)
        left = left[~overlap]
        away = [np.linalg.norm(place.action_point - other.action_point) for other in places]
        if away and min(away) < config.same * parts.distance:
            same = int(np.argmin(away))
            places[same] = replace(places[same], chance=places[same].chance + place.chance)
        else:
            places.append(place)
    return sorted(places, key=lambda place: -place.chance)


def _place(
    parts: Parts,
    looks: Looks,
    evidence: Evidence,
    chosen: Int[np.ndarray, " c"],
    views: Sequence[View],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    config: RegionConfig,
) -> _Place:
    """One place made of several parts."""
    certainty = np.zeros(len(parts.points))
    for part in chosen.tolist():
        members = parts.members(part)
        certainty[members] += evidence.parts[part] / len(members)
    index = np.flatnonzero(certainty)
    points, certainty = parts.points[index], certainty[index]
    weight = certainty * _attraction(looks.tangents[:, index], views, answers, config)
    middle = weight @ points / weight.sum()
    point = _settle(points, weight, middle, config.settle * parts.distance)
    body = points[certainty >= config.body * certainty.max()]
    return _Place(middle, point, body, float(evidence.parts[chosen].sum()))


def _attraction(
    tangents: Float[np.ndarray, "v n 2"],
    views: Sequence[View],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    config: RegionConfig,
) -> Float[np.ndarray, " n"]:
    """How much the answers speak for each point of a place, at most 1."""
    total = np.zeros(tangents.shape[1])
    for where, view, answer in zip(tangents, views, answers, strict=True):
        if answer is not None and len(answer):
            ways = where[:, None] - to_tangents(answer, view)[None]
            squared = (ways**2).sum(axis=2).min(axis=1) / config.scatter**2
            total += np.log(np.exp(-0.5 * squared) + config.stray)
    return np.exp(config.trust_answers * (total - total.max()))


def _settle(
    points: Float[np.ndarray, "n 3"],
    weight: Float[np.ndarray, " n"],
    place: Float[np.ndarray, "3"],
    width: float,
) -> Float[np.ndarray, "3"]:
    """From a place to the densest one of the weighted points near it, by mean shift under a Gaussian."""
    for _ in range(_REFINEMENTS):
        squared = ((points - place) ** 2).sum(axis=1) / width**2
        # Relative to the nearest, for the middle of a loop may be far from all of it.
        pull = weight * np.exp(-0.5 * (squared - squared.min()))
        place = pull @ points / pull.sum()
    return place


def _refine(place: _Place, rays: _Rays, distance: float, sigma: float, config: RegionConfig) -> _Place:
    """Where the answers that mean a place clearly meet beside the surface, weigh it against their rays.

    Both have Cauchy costs, the rays by angle and the surface by distance: near the surface its place
    holds, a surface that the images contradict is overruled. Such costs have several minima; one is
    looked for from the surface, one from where the rays want to be, and the lower one is taken.
    """
    surface = place.middle
    tight = _Compromise(surface, config.trust_surface * distance, rays, sigma, config.near)
    meeting = replace(tight, scale=config.near * distance).settle(surface)
    far = float(np.linalg.norm(meeting - surface)) > config.beside * distance
    if not far or _preference(rays, meeting, surface, config.near) < config.better:
        return place
    point = min((tight.settle(start) for start in (surface, meeting)), key=tight.cost)
    moved = point - surface
    return replace(place, action_point=place.action_point + moved, body=place.body + moved)


def _preference(
    rays: _Rays, meeting: Float[np.ndarray, "3"], surface: Float[np.ndarray, "3"], near: float
) -> float:
    """How much better than chance a free point fits the rays that mean a place: the F statistic."""
    fixed, free = (rays.angles(point)[0] for point in (surface, meeting))
    meant = np.linalg.norm(fixed, axis=1) < near
    unknowns, known = 3, 2 * int(meant.sum())
    if known <= unknowns:
        return 0.0
    left, gained = (free[meant] ** 2).sum(), (fixed[meant] ** 2).sum() - (free[meant] ** 2).sum()
    return float(gained / unknowns / max(left / (known - unknowns), 1e-12))


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
                confidence=place.chance,
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
