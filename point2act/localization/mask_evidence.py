"""Where a place ends, from candidate masks of a few views. numpy only.

A mask says where the thing under a point ends, and nothing about whether the point is right. So masks decide
between the extents of one place and leave the place's own probability as it is. With E an extent, a set of
surface points, x the answers, and M_v the candidate masks of view v:

    P(E | x, M) ~ prior_E * p(x | E) * prod_v (floor + (1 - floor) max_m s_vm o_vm(E)^2)

p(x | E) is the likelihood of ``likelihood`` with E as a part; o_vm is the overlap (intersection over union)
of mask m and E among the points that view v sees, and s_vm the segmenter's own score of the mask, relative to
the view's best one. Each view may mean another of its candidates: "the whole", "a part" and "a part of that"
are distinguished in 3D. Extents are the place's own parts, and for each mask the points that most views agree
on, when every other view takes the candidate that overlaps most with what the views before took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from point2act.core.geometry import at_pixels, inside, project
from point2act.core.masks import CandidateMasks
from point2act.core.pieces import connected_pieces
from point2act.core.types import View, ViewAnswers
from point2act.localization.likelihood import LikelihoodConfig, part_posterior
from point2act.localization.mask_views import MaskViewsConfig
from point2act.localization.part_tree import Parts
from point2act.localization.visibility import Visibility, part_visibility

# Rounds in which views choose among their candidates; the choice is stable after two or three.
_ROUNDS = 3
# Most masks of a whole table; further extents differ by a few points.
_MOST_EXTENTS = 60


@dataclass(frozen=True)
class MaskEvidenceConfig:
    """Which views are segmented, and how masks weigh. Angles are seen from the cameras, radians."""

    views: MaskViewsConfig = field(default_factory=MaskViewsConfig)
    # Chosen. On eight tables with seed 0 (mean overlap 0.859), floors of 0.01 and 0.2, own parts of 0.05 and
    # 0.5, minimum overlaps of 0.2 and 0.6, gaps of 0.02 and 0.05 change it by at most 0.017, and so do
    # squares and fourth powers of scores, and fourth powers of overlaps.
    min_overlap: float = 0.4
    """Minimum overlap of a mask with what other views mean; below it the view is left out."""
    floor: float = 0.05
    """Likelihood of masks that do not overlap with an extent."""
    own_parts: float = 0.2
    """Prior probability that the place ends where one of the scene's own parts does."""
    gap: float = 0.03
    """Maximum gap within an extent: what lies farther off is seen past the thing's outline."""
    max_scatter: float = 0.14
    """Maximum root mean square radius of an extent."""
    reach: float = 3.0
    """Distance from a place's middle within which its extent may lie, as a multiple of ``max_scatter``."""
    attached: float = 0.02
    """Points that no segmented view sees belong to the extent if the nearest point within this angle does."""


@dataclass(frozen=True, eq=False)
class PointMasks:
    """Candidate masks of one view on the points of a surface."""

    seen: Float[np.ndarray, " n"]
    """How well the view sees each point, relative to the view that sees it best."""
    votes: Bool[np.ndarray, "m n"]
    """Which points lie in each mask; false where the view does not see them."""
    scores: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Extents:
    """Extents that a place may have, as parts of the same surface."""

    parts: Parts
    posterior: Float[np.ndarray, " k"]
    """Probability of each extent, given the place; sums to 1."""

    @property
    def membership(self) -> Float[np.ndarray, " n"]:
        """Probability that each point belongs to what is meant, given the place."""
        values = np.zeros(len(self.parts.points))
        for extent, probability in enumerate(self.posterior):
            values[self.parts.members(extent)] += probability
        return np.clip(values, 0.0, 1.0)


# ── masks on points ────────────────────────────────────────────────────────────────────────────
def masks_on_points(
    points: Float[np.ndarray, "n 3"],
    visibility: Visibility,
    number: int,
    view: View,
    found: CandidateMasks,
) -> PointMasks:
    """Return which of the points that a view sees lie in each of its masks.

    Args:
        points: Points of the surface, world.
        number: Index of the view.
        view: The view.
        found: Masks of the view's image, at any size.
    """
    pixels, z = project(view.camera, view.T_world_cam, points)
    best = visibility.area.max(axis=0)
    shown = (z > 0) & inside(view.camera, pixels) & (visibility.area[number] > 0)
    seen = np.where(shown, visibility.area[number] / np.maximum(best, 1e-18), 0.0)
    height, width = found.masks.shape[1:]
    scale = np.array([width / view.camera.width, height / view.camera.height])
    index = np.flatnonzero(shown)
    votes = np.zeros((len(found.masks), len(points)), dtype=bool)
    for mask, vote in zip(found.masks, votes, strict=True):
        vote[index] = at_pixels(mask, pixels[index] * scale)
    return PointMasks(seen, votes, found.scores)


# ── extents ────────────────────────────────────────────────────────────────────────────────────
def find_extents(
    own: Int[np.ndarray, " c"],
    parts: Parts,
    visibility: Visibility,
    views: Sequence[View],
    answers: ViewAnswers,
    masks: Sequence[PointMasks],
    *,
    evidence: LikelihoodConfig = LikelihoodConfig(),
    config: MaskEvidenceConfig = MaskEvidenceConfig(),
) -> Extents | None:
    """Return the extents that a place may have; None if no mask agrees with the place.

    Args:
        own: The place's own parts, indices.
        visibility: What every view sees of the parts.
        answers: Tangents of the points in every view; empty for "not visible", None if not asked.
        masks: Candidate masks of the segmented views.
        evidence: Error model of the answers.
    """
    near = _near(own, parts, masks, config.reach * config.max_scatter * parts.distance)
    local = [replace(each, seen=each.seen[near], votes=each.votes[:, near]) for each in masks]
    fused = _fused(local, parts.points[near], parts.distance, config)
    if not fused:
        return None
    known = np.isin(near, np.concatenate([parts.members(part) for part in own.tolist()]))
    own_sets = [np.isin(near, parts.members(part)) for part in own.tolist()]
    sets = [*own_sets, *fused]
    if not known.any():
        return None
    weight = np.array([_agreement(each, local, config) for each in sets])
    prior = np.concatenate(
        [
            config.own_parts * parts.prior[own] / max(parts.prior[own].sum(), 1e-12),
            np.full(len(fused), (1 - config.own_parts) / len(fused)),
        ]
    )
    candidates = _as_parts(
        parts, [near[each] for each in sets], np.maximum(prior * np.exp(weight - weight.max()), 1e-12)
    )
    pixel = np.array([view.camera.fx * view.camera.fy for view in views])
    seen = part_visibility(candidates, views, visibility.area * pixel[:, None])
    posterior = part_posterior(candidates, seen, answers, config=replace(evidence, absent=0.0)).parts
    return Extents(candidates, posterior / posterior.sum())


def _near(
    own: Int[np.ndarray, " c"], parts: Parts, masks: Sequence[PointMasks], reach: float
) -> Int[np.ndarray, " l"]:
    """Return the points in any of the place's parts, and those in any mask within reach of the likeliest."""
    near = np.any([each.votes.any(axis=0) for each in masks], axis=0)
    middle = parts.points[parts.members(int(own[0]))].mean(axis=0)
    near &= np.linalg.norm(parts.points - middle, axis=1) < reach
    for part in own.tolist():
        near[parts.members(part)] = True
    return np.flatnonzero(near)


def _fused(
    masks: Sequence[PointMasks],
    points: Float[np.ndarray, "l 3"],
    distance: float,
    config: MaskEvidenceConfig,
) -> list[Bool[np.ndarray, " l"]]:
    """Return for every mask the points that most views agree on, without repeats."""
    seen_by_any = np.sum([each.seen for each in masks], axis=0) > 0
    found: dict[bytes, Bool[np.ndarray, " l"]] = {}
    for first, each in enumerate(masks):
        for seed in each.votes:
            if not seed.any():
                continue
            extent = _consensus(first, seed, masks, config)
            extent = _attach(extent, seen_by_any, points, config.attached * distance)
            extent = _connected(extent, points, config.gap * distance)
            if extent.any() and _scatter(points[extent]) < config.max_scatter * distance:
                found.setdefault(extent.tobytes(), extent)
    return list(found.values())[:_MOST_EXTENTS]


def _consensus(
    first: int, seed: Bool[np.ndarray, " l"], masks: Sequence[PointMasks], config: MaskEvidenceConfig
) -> Bool[np.ndarray, " l"]:
    """Return the points that most views agree on, starting from one mask of one view."""
    total = masks[first].seen.copy()
    hits = total * seed
    for _ in range(_ROUNDS):
        share = hits / np.maximum(total, 1e-12)
        new_total, new_hits = masks[first].seen.copy(), masks[first].seen * seed
        for number, each in enumerate(masks):
            if number == first or len(each.votes) == 0:
                continue
            weight = np.minimum(each.seen, total)
            overlaps = [_overlap(share, vote, weight) for vote in each.votes]
            best = int(np.argmax(overlaps))
            if overlaps[best] >= config.min_overlap:
                new_total += each.seen
                new_hits += each.seen * each.votes[best]
        total, hits = new_total, new_hits
    return hits > 0.5 * total


def _overlap(
    share: Float[np.ndarray, " l"] | Bool[np.ndarray, " l"],
    vote: Bool[np.ndarray, " l"],
    weight: Float[np.ndarray, " l"],
) -> float:
    """Return the weighted intersection over union of fuzzy sets."""
    both, either = weight @ np.minimum(share, vote), weight @ np.maximum(share, vote)
    return float(both / either) if either > 0 else 0.0


def _attach(
    extent: Bool[np.ndarray, " l"],
    seen: Bool[np.ndarray, " l"],
    points: Float[np.ndarray, "l 3"],
    reach: float,
) -> Bool[np.ndarray, " l"]:
    """Let points that no segmented view sees follow the nearest one that is seen."""
    hidden = np.flatnonzero(~seen)
    if len(hidden) == 0 or not seen.any():
        return extent
    away, nearest = KDTree(points[seen]).query(points[hidden], distance_upper_bound=reach)
    near = np.isfinite(away)
    extent = extent.copy()
    extent[hidden[near]] = extent[np.flatnonzero(seen)[nearest[near]]]
    return extent


def _connected(
    extent: Bool[np.ndarray, " l"], points: Float[np.ndarray, "l 3"], gap: float
) -> Bool[np.ndarray, " l"]:
    """Return the largest piece of an extent."""
    index = np.flatnonzero(extent)
    piece = connected_pieces(points[index], gap)
    kept = np.zeros_like(extent)
    kept[index[piece == np.bincount(piece, minlength=1).argmax()]] = True
    return kept


def _scatter(points: Float[np.ndarray, "p 3"]) -> float:
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


def _agreement(
    extent: Bool[np.ndarray, " l"], masks: Sequence[PointMasks], config: MaskEvidenceConfig
) -> float:
    """Return the log-likelihood of all masks given an extent."""
    total = 0.0
    for each in masks:
        if len(each.votes) == 0 or not (each.seen @ extent):
            continue
        overlaps = np.array([_overlap(extent, vote, each.seen) for vote in each.votes])
        relative = each.scores / max(each.scores.max(), 1e-12)
        total += np.log(config.floor + (1 - config.floor) * (relative * overlaps**2).max())
    return float(total)


def _as_parts(parts: Parts, sets: Sequence[Int[np.ndarray, " _"]], prior: Float[np.ndarray, " k"]) -> Parts:
    """Return sets of points as parts of the same surface."""
    end = np.cumsum([len(each) for each in sets])
    first = end - [len(each) for each in sets]
    return replace(parts, order=np.concatenate(sets), first=first, end=end, prior=prior / prior.sum())
