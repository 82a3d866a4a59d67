"""Ranked regions from the posterior over parts, with the views that support each. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import fit_box, to_tangents
from point2act.core.types import DepthImages, NoAnswer, Region, View, ViewAnswers
from point2act.localization.likelihood import LikelihoodConfig, PartPosterior
from point2act.localization.part_tree import Parts
from point2act.localization.ray_consensus import RayConsensusConfig, Rays, ray_consensus_point
from point2act.localization.support import SupportConfig, count_support
from point2act.localization.visibility import Visibility

# Mean shift converges in a few steps.
_STEPS = 12


@dataclass(frozen=True)
class RegionConfig:
    """How parts become regions, and when views agree. Angles are seen from the cameras, radians."""

    regions: int = 5
    """Maximum number of regions."""
    negligible: float = 1e-9
    """Probability relative to the best part below which a part is ignored."""
    same: float = 0.03
    """Angle between action points below which parts form one region: 1.5 cm at 0.5 m."""
    scatter: float = 0.047
    """Standard deviation of the weight of an answer within a region: 14 px at f = 300."""
    trust_answers: float = 0.5
    """Exponent on the product of the answers' weights; 1 treats them as independent."""
    stray: float = 0.03
    """Weight of an answer far from a point, relative to one at the point."""
    settle: float = 0.015
    """Width of the mean-shift kernel that places the action point on the surface: 1 cm at 0.5 m."""
    reach: float = 0.015
    """Angle from an action point within which a part's surface counts as acted on: 7.5 mm at 0.5 m."""
    body: float = 0.5
    """Fraction of the maximum certainty above which points belong to the region's box."""
    sink: float = 0.002
    """Depth of the action point under the visible surface: 1 mm at 0.5 m, the noise of a good surface."""
    ray_consensus: RayConsensusConfig = field(default_factory=RayConsensusConfig)
    support: SupportConfig = field(default_factory=SupportConfig)
    refuse: float = 0.3
    """Probability of absence above which the result is ``no_agreement``."""
    # Asking again costs less than grasping the wrong object.
    min_agree: int = 2
    """Minimum number of agreeing views, or all views with a point if fewer."""


@dataclass(frozen=True)
class ClickConfig:
    """Error model of a person's clicks, and how they become a region.

    A person rarely errs, clicks within a few pixels, and often only once: one click suffices, and the object
    is present.
    """

    evidence: LikelihoodConfig = field(
        default_factory=lambda: LikelihoodConfig(
            jitter=((0.005, 9.0), (0.012, 1.0)),
            middle=0.5,
            wrong=((0.02, 1.0),),
            agreeing=((0.0, 1.0),),
            visibility_errors=((0.02, 0.02, 1.0),),
            absent=0.0,
            on_part=0.95,
        )
    )
    """Error model of a person."""
    # Deviations are 2 px, one in ten 5 px, at f = 450; 2 % of clicks and of "not visible" are wrong.
    region: RegionConfig = field(
        default_factory=lambda: RegionConfig(
            scatter=0.01, trust_answers=1.0, stray=0.003, settle=0.006, min_agree=1
        )
    )
    """How clicks become a region: they need not agree, and the action point follows the click."""
    # After clicks on the bare table the action point is 10 mm off instead of 17 (medians of 80).


SINGLE_ANSWER = ClickConfig(
    evidence=replace(
        ClickConfig().evidence,
        jitter=((0.005, 5.0), (0.0167, 4.0), (0.03, 1.0)),
        wrong=((0.1, 1.0),),
        on_part=0.85,
    )
)
"""Error model of one answer alone, of a person, a detector or a model.

How often its author errs cannot be learned from it, and no other answer contradicts it: what it lies on is
what it means.
"""
# Of 80 single answers on simulated tables 97 % are right without errors (94 with ``LikelihoodConfig``), and
# 49 % with a quarter of them wrong and the others pixels off (51); with ``ClickConfig`` 97 and 41 %.


def find_region(
    parts: Parts,
    visibility: Visibility,
    evidence: PartPosterior,
    views: Sequence[View],
    depths: DepthImages,
    answers: ViewAnswers,
    *,
    sigma: float,
    config: RegionConfig = RegionConfig(),
) -> tuple[Region | NoAnswer, tuple[Region, ...]]:
    """Return the most probable region of one query, or why there is none, and the alternatives in order.

    Confidences of regions and the probability of absence add up to at most 1.

    Args:
        visibility: What every view sees of the parts.
        depths: z-depth of the surface in every view, 0 for none.
        answers: Pixels answered in every view; empty for "not visible", None if not asked.
        sigma: Standard deviation of an answer as an angle, radians.
    """
    places = rank_places(parts, visibility, evidence, views, answers, config=config)
    return choose_region(
        places, evidence, views, depths, answers, distance=parts.distance, sigma=sigma, config=config
    )


def choose_region(
    places: Sequence[Place],
    evidence: PartPosterior,
    views: Sequence[View],
    depths: DepthImages,
    answers: ViewAnswers,
    *,
    distance: float,
    sigma: float,
    config: RegionConfig = RegionConfig(),
) -> tuple[Region | NoAnswer, tuple[Region, ...]]:
    """Return what ``find_region`` returns, from places that are ranked already.

    Args:
        places: Places, most probable first.
        evidence: Posterior that the places come from.
        distance: Distance of the cameras, in the unit of the points.
    """
    spoken = sum(answer is not None and len(answer) > 0 for answer in answers)
    if spoken == 0:
        asked = sum(answer is not None for answer in answers)
        why = f"all {asked} answers are 'not visible'" if asked else "no view has an answer for it"
        return NoAnswer("no_points", f"{why}: ask again, in other words or from other sides"), ()
    if not places:
        return NoAnswer("no_geometry", "no surface was reconstructed at the points"), ()
    rays = Rays.of(views, answers)
    moved = []
    for place in places:
        met = ray_consensus_point(
            place.middle, rays, distance=distance, sigma=sigma, config=config.ray_consensus
        )
        moved.append(place.moved(met - place.middle))
    regions = _regions(moved, views, depths, answers, config)
    best, rivals = regions[0], tuple(region for region in regions[1:] if region.support.agree > 0)
    if evidence.absent > config.refuse:
        why = f"it may not be in the scene ({evidence.absent:.0%}): {_counts(best)}"
        return NoAnswer("no_agreement", why), tuple(regions)
    if best.support.agree < min(config.min_agree, spoken):
        return NoAnswer("no_agreement", f"the views do not agree: {_counts(best)}"), tuple(regions)
    return best, rivals


def _counts(region: Region) -> str:
    return f"the best place has {region.support.agree} views for it and {region.support.disagree} against"


@dataclass(frozen=True, eq=False)
class Place:
    """One place that a query may mean: parts that overlap."""

    middle: Float[np.ndarray, " 3"]
    """Weighted mean of the surface; off the surface where it is bent or has a hole."""
    action_point: Float[np.ndarray, " 3"]
    body: Float[np.ndarray, "b 3"]
    """Surface points."""
    probability: float
    """Probability that the query means it, the whole that contains it, or a piece of it."""
    confidence: float
    """Probability that the query means something that the action point lies on."""
    parts: Int[np.ndarray, " c"]
    """The overlapping parts, most probable first."""
    members: Int[np.ndarray, " b"]
    """Indices of the points of ``body``."""

    def moved(self, offset: Float[np.ndarray, " 3"]) -> Place:
        """Return the place shifted by an offset."""
        middle, point, body = self.middle + offset, self.action_point + offset, self.body + offset
        return replace(self, middle=middle, action_point=point, body=body)

    def joined(self, other: Place) -> Place:
        """Return the place with the probabilities of another one that has nearly the same action point."""
        return replace(
            self,
            probability=self.probability + other.probability,
            confidence=self.confidence + other.confidence,
        )


def rank_places(
    parts: Parts,
    visibility: Visibility,
    evidence: PartPosterior,
    views: Sequence[View],
    answers: ViewAnswers,
    *,
    config: RegionConfig = RegionConfig(),
) -> list[Place]:
    """Merge parts that mean the same place; most probable first, none without answers or parts.

    Parts of one tree overlap only if one contains the other. The most probable part represents all that
    contain it or that it contains; then places with nearly the same action point are merged.

    Args:
        visibility: What every view sees of the parts.
        answers: Pixels answered in every view; empty for "not visible", None if not asked.
    """
    places: list[Place] = []
    if not evidence.parts.any():
        return places
    left = np.flatnonzero(evidence.parts > config.negligible * evidence.parts.max())
    left = left[np.argsort(-evidence.parts[left], kind="stable")]
    while len(left) and len(places) < config.regions:
        lead = left[0]
        overlap = (parts.first[left] < parts.end[lead]) & (parts.first[lead] < parts.end[left])
        place = merge_parts(parts, visibility, evidence, left[overlap], views, answers, config=config)
        left = left[~overlap]
        away = [np.linalg.norm(place.action_point - other.action_point) for other in places]
        if away and min(away) < config.same * parts.distance:
            same = int(np.argmin(away))
            places[same] = places[same].joined(place)
        else:
            places.append(place)
    return sorted(places, key=lambda place: -place.probability)


def merge_parts(
    parts: Parts,
    visibility: Visibility,
    evidence: PartPosterior,
    chosen: Int[np.ndarray, " c"],
    views: Sequence[View],
    answers: ViewAnswers,
    *,
    config: RegionConfig = RegionConfig(),
) -> Place:
    """Merge several parts into one place."""
    certainty = np.zeros(len(parts.points))
    for part in chosen.tolist():
        members = parts.members(part)
        certainty[members] += evidence.parts[part] / len(members)
    index = np.flatnonzero(certainty)
    points, certainty = parts.points[index], certainty[index]
    weight = certainty * _attraction(visibility.tangents[:, index], views, answers, config)
    middle = weight @ points / weight.sum()
    point = _settle(points, weight, middle, config.settle * parts.distance)
    reached = [
        part
        for part in chosen.tolist()
        if _distance(point, parts.points[parts.members(part)]) < config.reach * parts.distance
    ]
    confidence = float(evidence.parts[reached].sum())
    # Into the face that the point lies on: views that see it square-on count most.
    squared = ((points - point) ** 2).sum(axis=1)
    near = squared <= max((config.settle * parts.distance) ** 2, squared.min())
    inwards = _inwards(point, visibility.area[:, index[near]].sum(axis=1), views)
    point = point + config.sink * parts.distance * inwards
    body = certainty >= config.body * certainty.max()
    probability = float(evidence.parts[chosen].sum())
    return Place(middle, point, points[body], probability, confidence, chosen, index[body])


def _distance(point: Float[np.ndarray, " 3"], points: Float[np.ndarray, "n 3"]) -> float:
    """Return the distance from a point to the nearest one of at least one."""
    return float(np.sqrt(((points - point) ** 2).sum(axis=1).min()))


def _attraction(
    tangents: Float[np.ndarray, "v n 2"], views: Sequence[View], answers: ViewAnswers, config: RegionConfig
) -> Float[np.ndarray, " n"]:
    """Return the weight that the answers give to each point of a place, at most 1."""
    total = np.zeros(tangents.shape[1])
    for where, view, answer in zip(tangents, views, answers, strict=True):
        if answer is not None and len(answer):
            offsets = where[:, None] - to_tangents(view.camera, answer)[None]
            squared = (offsets**2).sum(axis=2).min(axis=1) / config.scatter**2
            total += np.log(np.exp(-0.5 * squared) + config.stray)
    return np.exp(config.trust_answers * (total - total.max()))


def _settle(
    points: Float[np.ndarray, "n 3"],
    weight: Float[np.ndarray, " n"],
    place: Float[np.ndarray, "3"],
    width: float,
) -> Float[np.ndarray, "3"]:
    """Move to the nearest mode of weighted points by mean shift with a Gaussian kernel."""
    for _ in range(_STEPS):
        squared = ((points - place) ** 2).sum(axis=1) / width**2
        # Relative to the nearest point: the middle of a loop may be far from all of them.
        pull = weight * np.exp(-0.5 * (squared - squared.min()))
        place = pull @ points / pull.sum()
    return place


def _inwards(
    point: Float[np.ndarray, "3"], seen: Float[np.ndarray, " v"], views: Sequence[View]
) -> Float[np.ndarray, "3"]:
    """Return the mean viewing direction into a surface, unit length; zero if views surround it."""
    rays = np.array([point - view.T_world_cam[:3, 3] for view in views])
    mean = seen @ (rays / np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12))
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _regions(
    places: Sequence[Place],
    views: Sequence[View],
    depths: DepthImages,
    answers: ViewAnswers,
    config: RegionConfig,
) -> list[Region]:
    """Count the views that agree with each place, best first; a view agrees with one place only."""
    regions, spent = [], np.zeros(len(views), dtype=bool)
    for place in places:
        support, backed = count_support(
            place.action_point, place.body, views, depths, answers, spent, config=config.support
        )
        spent |= backed
        regions.append(Region(place.action_point, place.confidence, support, fit_box(place.body)))
    return regions
