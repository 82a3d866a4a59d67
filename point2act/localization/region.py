"""Evidence for the parts of a scene to where to act: ranked regions, and who backs them. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import fit_box, to_tangents
from point2act.core.types import NoAnswer, Region, View
from point2act.localization.likelihood import Evidence, Looks
from point2act.localization.part_tree import Parts
from point2act.localization.ray_consensus import DoubtConfig, Rays, meeting_point
from point2act.localization.support import SupportConfig, count_support

# Mean shift settles in a few steps.
_STEPS = 12


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
    body: float = 0.5
    """The box encloses the points that belong to a place with this share of the greatest certainty."""
    sink: float = 0.002
    """So deep under the seen surface one acts, away from who sees it: 1 mm at half a metre, the noise of a
    good surface, and less than half the thickness of a spoon."""
    doubt: DoubtConfig = field(default_factory=DoubtConfig)
    support: SupportConfig = field(default_factory=SupportConfig)
    refuse: float = 0.3
    """Above this probability that it is not there at all the answer is ``no_agreement``: to ask again costs
    less than to grasp the wrong thing."""
    min_agree: int = 2
    """So many views must agree, where so many spoke."""


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
    rays = Rays.of(views, answers)
    places = []
    for place in _places(parts, looks, evidence, views, answers, config):
        met = meeting_point(place.middle, rays, distance=parts.distance, sigma=sigma, config=config.doubt)
        places.append(place.moved(met - place.middle))
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

    def moved(self, way: Float[np.ndarray, " 3"]) -> _Place:
        """The same place elsewhere."""
        return _Place(self.middle + way, self.action_point + way, self.body + way, self.chance)


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
    point = point + config.sink * parts.distance * _inwards(point, looks.area[:, index].sum(axis=1), views)
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
            ways = where[:, None] - to_tangents(view.camera, answer)[None]
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
    for _ in range(_STEPS):
        squared = ((points - place) ** 2).sum(axis=1) / width**2
        # Relative to the nearest, for the middle of a loop may be far from all of it.
        pull = weight * np.exp(-0.5 * (squared - squared.min()))
        place = pull @ points / pull.sum()
    return place


def _inwards(
    point: Float[np.ndarray, "3"], seen: Float[np.ndarray, " v"], views: Sequence[View]
) -> Float[np.ndarray, "3"]:
    """The unit way into a surface, from the views that see it; nothing where they look from all around."""
    ways = np.array([point - view.T_world_cam[:3, 3] for view in views])
    mean = seen @ (ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12))
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


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
        support, backed = count_support(
            place.action_point, place.body, views, depths, answers, spent, config=config.support
        )
        spent |= backed
        regions.append(Region(place.action_point, place.chance, support, fit_box(place.body)))
    return regions
