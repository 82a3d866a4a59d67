"""Answers to further questions about a query, as evidence beside one point per image. numpy only.

A point in an enlarged crop is a point of a view that sees only the crop's window, and more exactly. A choice
among marked regions is categorical: with o_k(j) the probability that mark j is the right reply if part k is
meant (how much of the part it covers), e the probability of a wrong choice and b that of a wrong choice for
the rival r,

    p(j | k, r) = (1-e) o_k(j) + e [(1-b) / (J+1) + b o_r(j)],    j = 1 … J, or none of them.

e is shared by all choices of a query and unknown: a model that confuses two things in one image will do so in
the next. Several answers to one query in one view err together, so that each of n counts as
1 / (1 + rho (n-1)) of one (the design effect of cluster sampling, Kish 1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from point2act.core.types import ViewAnswers
from point2act.localization.part_tree import Parts
from point2act.localization.visibility import MIN_AREA, Visibility, restrict, stack

# Probabilities of the right reply stay this far from 0 and 1: segmentation and outlines are inexact.
_INEXACT = 0.03


@dataclass(frozen=True)
class FurtherConfig:
    """Errors of further answers. All chosen: no recordings of such answers exist yet."""

    crop_jitter: float = 0.6
    """Standard deviation of a point in a crop, relative to one in the whole image."""
    max_gain: float = 4.0
    """Maximum factor by which a crop enlarges the solid angle that decides whether a part is visible."""
    same_view: float = 0.3
    """Correlation of the errors of answers to one query in one view."""
    wrong: tuple[tuple[float, float], ...] = ((0.05, 1.0), (0.2, 2.0), (0.4, 1.5), (0.6, 1.0))
    """Probability that a choice is wrong: pairs of a value and its weight."""
    rival: float = 0.75
    """Probability that a wrong choice is the rival."""
    pointed: tuple[tuple[float, float], ...] = ((0.3, 1.0), (0.7, 1.0))
    """Probability that a mark is chosen if the object is not in the scene."""


@dataclass(frozen=True, eq=False)
class CropAnswer:
    """A point in an enlarged crop of a view."""

    view: int
    points: Float[np.ndarray, "n 2"]
    """Tangents; empty for "not visible"."""
    low: Float[np.ndarray, " 2"]
    """Upper left corner of the window, tangents; likewise ``high``, the lower right one."""
    high: Float[np.ndarray, " 2"]


@dataclass(frozen=True, eq=False)
class MarkVote:
    """A choice among regions that were marked in a view."""

    view: int
    marks: tuple[Float[np.ndarray, "_ 2"], ...]
    """Tangents, evenly spaced over each mark."""
    chosen: int | None
    """Index of the mark; None for none of them."""
    _compared: list[tuple[Visibility, Float[np.ndarray, "k j"]]] = field(
        default_factory=list, init=False, repr=False
    )

    def right_reply(self, parts: Parts, visibility: Visibility) -> Float[np.ndarray, "k j"]:
        """Return ``right_reply`` of the marks, kept for the next posterior of the same scene."""
        if not self._compared or self._compared[0][0] is not visibility:
            self._compared[:] = [(visibility, right_reply(parts, visibility, self.view, self.marks))]
        return self._compared[0][1]


@dataclass(frozen=True, eq=False)
class FurtherAnswers:
    """All further answers to one query."""

    crops: tuple[CropAnswer, ...] = ()
    votes: tuple[MarkVote, ...] = ()


@dataclass(frozen=True, eq=False)
class Observations:
    """All answers with a point or "not visible", one row each."""

    visibility: Visibility
    """What each row sees: its view, or the window of a crop."""
    answers: ViewAnswers
    jitter: Float[np.ndarray, " o"]
    """Standard deviation of points relative to those in whole images."""
    weight: Float[np.ndarray, " o"]
    """How much each answer counts; 1 for the only one of its view."""
    vote_weight: Float[np.ndarray, " c"]


def observe(
    parts: Parts,
    visibility: Visibility,
    answers: ViewAnswers,
    further: FurtherAnswers,
    *,
    config: FurtherConfig = FurtherConfig(),
) -> Observations:
    """Put the answers about whole views and about crops in rows.

    Args:
        parts: Parts of the scene.
        visibility: What every view sees.
        answers: Tangents of the points in every view; empty for "not visible", None if not asked.
        further: Answers about crops, and choices.
        config: Their errors.
    """
    crops, whole = further.crops, float(np.sqrt(visibility.image_area.mean())) if len(answers) else 1.0
    rows = [visibility]
    for crop in crops:
        side = float(np.sqrt(np.prod(crop.high - crop.low)))
        gain = min((whole / max(side, 1e-9)) ** 2, config.max_gain)
        rows.append(restrict(parts, visibility, crop.view, crop.low, crop.high, gain=gain))
    view = np.array([*range(len(answers)), *(crop.view for crop in crops)], dtype=int)
    answered: list[Float[np.ndarray, "_ 2"] | None] = [*answers, *(crop.points for crop in crops)]
    voted = np.array([vote.view for vote in further.votes], dtype=int)
    asked = np.array([answer is not None for answer in answered], dtype=bool)
    count = np.bincount(view[asked], minlength=len(answers)) + np.bincount(voted, minlength=len(answers))
    counts = 1 / (1 + config.same_view * np.maximum(count - 1, 0))
    jitter = np.concatenate([np.ones(len(answers)), np.full(len(crops), config.crop_jitter)])
    seen = stack(rows) if crops else visibility
    return Observations(seen, answered, jitter, counts[view], counts[voted])


@dataclass(frozen=True, eq=False)
class VoteTerms:
    """Log-likelihood of all choices."""

    alone: Float[np.ndarray, " c"]
    """Given each of some parts, without a rival."""
    rival: Float[np.ndarray, "c r"]
    """Given each of some parts, and each of some rivals."""
    absent: float
    """If the object is not in the scene, without a rival."""
    absent_rival: Float[np.ndarray, " r"]


@dataclass(frozen=True, eq=False)
class RightReplies:
    """Probability that each choice is the right reply to its question, and of a blind choice."""

    meant: Float[np.ndarray, "i k"]
    """If each part is meant."""
    blind: Float[np.ndarray, " i"]
    """If all replies are equally likely."""
    weight: Float[np.ndarray, " i"]
    marked: Float[np.ndarray, " i"]
    """1 where a mark was chosen, 0 for "none of them"."""

    @staticmethod
    def of(
        parts: Parts,
        visibility: Visibility,
        votes: Sequence[MarkVote],
        weight: Float[np.ndarray, " i"],
    ) -> RightReplies:
        """Compare what was chosen with every part."""
        meant = np.zeros((len(votes), len(parts)))
        for row, vote in enumerate(votes):
            shares = vote.right_reply(parts, visibility)
            meant[row] = shares[:, -1 if vote.chosen is None else vote.chosen]
        blind = np.array([1 / (len(vote.marks) + 1) for vote in votes])
        marked = np.array([float(vote.chosen is not None) for vote in votes])
        return RightReplies(meant, blind, weight, marked)

    def terms(
        self, few: Int[np.ndarray, " c"], rivals: Int[np.ndarray, " r"], config: FurtherConfig
    ) -> VoteTerms:
        """Return the log-likelihood of all choices for some parts and rivals."""
        blind, weight = self.blind[:, None], self.weight
        chosen, rival = self.meant[:, few], self.meant[:, rivals]
        pull = (1 - config.rival) * blind + config.rival * rival
        by_rival, absent, absent_rival = [], [], []
        for wrong, share in _shares(config.wrong):
            both = (1 - wrong) * chosen[:, :, None] + wrong * pull[:, None]
            by_rival.append(np.einsum("i,icr->cr", weight, np.log(both)) + np.log(share))
        for pointed, share in _shares(config.pointed):
            mark = np.where(self.marked > 0, pointed, 1 - pointed)[:, None]
            evenly = np.where(self.marked[:, None] > 0, blind / (1 - blind), 1.0)
            pulled = np.where(
                self.marked[:, None] > 0, (1 - config.rival) * evenly + config.rival * rival, 1.0
            )
            absent.append(weight @ np.log(mark * evenly)[:, 0] + np.log(share))
            absent_rival.append(weight @ np.log(mark * pulled) + np.log(share))
        return VoteTerms(
            self.alone(config)[few],
            np.logaddexp.reduce(by_rival, axis=0),
            float(np.logaddexp.reduce(absent)),
            np.logaddexp.reduce(absent_rival, axis=0),
        )

    def alone(self, config: FurtherConfig) -> Float[np.ndarray, " k"]:
        """Return the log-likelihood of all choices for every part, without a rival."""
        found = [
            self.weight @ np.log((1 - wrong) * self.meant + wrong * self.blind[:, None]) + np.log(share)
            for wrong, share in _shares(config.wrong)
        ]
        return np.logaddexp.reduce(found, axis=0)


def right_reply(
    parts: Parts, visibility: Visibility, view: int, marks: Sequence[Float[np.ndarray, "_ 2"]]
) -> Float[np.ndarray, "k j"]:
    """Return for every part how likely each mark, and last "none of them", is the right reply if it is meant.

    A mark is right as far as it covers the part, or lies on it; among several, the one that is most like it
    (intersection over union of the visible surfaces).

    Args:
        parts: Parts of the scene.
        visibility: What every view sees.
        view: Index of the marked view.
        marks: Tangents, evenly spaced over each mark.
    """
    area, where = visibility.area[view], visibility.tangents[view]
    inside = np.zeros((len(area), len(marks)))
    for number, mark in enumerate(marks):
        reach = _reach(mark)
        low, high = mark.min(axis=0) - reach, mark.max(axis=0) + reach
        near = np.flatnonzero((area > 0) & ((where >= low) & (where <= high)).all(axis=1))
        away, _ = KDTree(mark).query(where[near], distance_upper_bound=reach)
        inside[near, number] = area[near] * np.isfinite(away)
    shared = parts.sums(inside)
    own, whole = visibility.part_area[view][:, None], inside.sum(axis=0)
    covered = shared / np.maximum(own, MIN_AREA)
    alike = shared / np.maximum(own + whole - shared, MIN_AREA)
    found = np.maximum(covered, 0.6 * shared / np.maximum(whole, MIN_AREA)).max(axis=1, keepdims=True)
    found = np.where(own > MIN_AREA, np.clip(found, _INEXACT, 1 - _INEXACT), _INEXACT)
    share = (alike + 1e-3) ** 2
    share /= share.sum(axis=1, keepdims=True)
    return np.concatenate([found * share, 1 - found], axis=1)


def _reach(mark: Float[np.ndarray, "n 2"]) -> float:
    """Return the distance from samples of a mark within which a point lies on it: 0.75 of their spacing."""
    if len(mark) < 2:
        return 0.01
    apart, _ = KDTree(mark).query(mark, k=2)
    return 0.75 * float(np.median(apart[:, 1]))


def _shares(mixture: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    total = sum(weight for _, weight in mixture)
    return [(value, weight / total) for value, weight in mixture]
