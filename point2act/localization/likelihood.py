"""Posterior over parts of a scene, given the answers of all views. numpy only.

The likelihood is a generative model of a pointing model that errs. With V_vk the probability that part k is
visible in view v, m missed, w wrong, a agreeing, h hallucinated, and x_v the point of view v:

    p(x_v | k, rival r) = V_vk (1-m) [(1-w) N(x_v; mu_vk, S_vk + jitter^2) + w q_vr(x_v)]
                          + (1 - V_vk) h q_vr(x_v)
    q_vr(x_v) = (1 - a V_vr) q(x_v) + a V_vr N(x_v; mu_vr, S_vr + jitter^2)       a wrong point
    p("not visible" | k) = V_vk m + (1 - V_vk) (1 - h)
    p(k | answers) ~ prior_k * mean over rivals r and mixtures of w, a, (m, h) and jitter of
                     prod_v p(answer_v | k, r)

How often the model errs is unknown: all mixtures are weighted by how well they explain the answers. Half of
the prior of rivals is on those that contain the part: models often point at the rest of the right object.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from point2act.core.types import ViewAnswers
from point2act.localization.further_answers import (
    FurtherAnswers,
    FurtherConfig,
    Observations,
    RightReplies,
    VoteTerms,
    observe,
)
from point2act.localization.part_tree import Parts
from point2act.localization.visibility import MIN_AREA, Visibility

# Maximum ratio of densities, so that products stay finite.
_MAX_RATIO = 1e6

Mixture = tuple[tuple[float, float], ...]
"""Pairs of a value and its weight."""


@dataclass(frozen=True)
class LikelihoodConfig:
    """Error model of pointing models; mixtures are pairs of a value and its weight."""

    # Tuned on the tables of ``python -m benchmarks localisation``, seeds 0-4.

    jitter: Mixture = ((0.0167, 1.0), (0.03, 1.0))
    """Standard deviation of a point about the intended place, radians: 5 and 9 px at f = 300."""
    middle: float = 0.6
    """Variance of points on a part, as a fraction of the part's own variance."""
    wrong: Mixture = ((0.05, 2.0), (0.2, 8.0), (0.4, 1.5), (0.6, 0.7))
    """Probability that a point is wrong although the part is visible."""
    agreeing: Mixture = ((0.0, 16.0), (0.4, 1.0), (0.75, 1.0))
    """Probability that a wrong point is on the one rival that many answers agree on."""
    # The last four pairs were chosen on families of errors that say "not visible" too often or never: with
    # the first three alone 76 and 18 % of their answers were refused. Twice these weights refuse less, and
    # accept 4 % more of what is not in the scene.
    visibility_errors: tuple[tuple[float, float, float], ...] = (
        (0.12, 0.1, 1.0),
        (0.12, 0.35, 2.0),
        (0.12, 0.6, 1.0),
        (0.02, 0.95, 0.3),
        (0.3, 0.1, 0.5),
        (0.3, 0.4, 0.25),
        (0.5, 0.1, 0.25),
    )
    """Probability of "not visible" although the part is visible, that of a point although it is hidden, and
    the weight of the pair."""
    own_object: float = 0.5
    """Prior probability that the rival contains the part: that wrong points are on the same object."""
    pointed: Mixture = ((0.2, 1.0), (0.4, 1.0), (0.6, 1.0), (0.95, 0.05))
    """Probability of a point if the object is not in the scene."""
    absent: float = 0.7
    """Prior probability that the object is not in the scene, in the limit of many views; 0 rules it out."""
    absent_views: float = 20.0
    """With n answers the prior of absence is its limit times (n + 1) / (n + 1 + this)."""
    on_part: float = 0.0
    """Probability that a point that is meant lies on what is visible of the part, and not just near it."""
    anywhere: float = 0.15
    """Fraction of wrong points anywhere in the image; the others are on objects."""
    visible_area: float = 2.2e-4
    """Solid angle at which a part is visible with probability 0.5, square radians: 20 px at f = 300."""
    candidates: int = 50
    """Number of parts, and of rivals of each, that are evaluated in full after a first pass."""
    further: FurtherConfig = field(default_factory=FurtherConfig)
    """Errors of points in crops and of choices among marked regions."""


@dataclass(frozen=True, eq=False)
class PartPosterior:
    """Posterior probability of every part, and of absence."""

    parts: Float[np.ndarray, " k"]
    """Probability of every part; sums to 1 with ``absent``; 0 for parts that the first pass excluded."""
    absent: float
    """Probability that the object is not in the scene."""


def part_posterior(
    parts: Parts,
    visibility: Visibility,
    answers: ViewAnswers,
    *,
    further: FurtherAnswers = FurtherAnswers(),
    config: LikelihoodConfig = LikelihoodConfig(),
) -> PartPosterior:
    """Return the posterior over parts and absence, given the answers of all views.

    Args:
        visibility: What every view sees of the parts.
        answers: Tangents of the points in every view; empty for "not visible", None if not asked.
        further: Points in crops, and choices among marked regions.
    """
    if len(parts) == 0:
        return PartPosterior(np.zeros(0), 1.0)
    observed = observe(parts, visibility, answers, further, config=config.further)
    terms = _answer_terms(parts, observed, config)
    votes = RightReplies.of(parts, visibility, further.votes, observed.vote_weight)
    first = _first_pass(terms, config) + votes.alone(config.further) + np.log(parts.prior)
    # pyrefly: ignore[unsupported-operation]
    few = np.argsort(-first, kind="stable")[: config.candidates]
    rivals = np.argsort(-_as_rival(terms), kind="stable")[: config.candidates]
    prior = _rival_prior(parts, few, rivals, config.own_object)
    voted = votes.terms(few, rivals, config.further)
    present, none = _second_pass(terms.only(few), terms.only(rivals), prior, voted, config)
    asked = len(terms.pointed_weight) + len(terms.silent_weight) + len(further.votes)
    absent = config.absent * (asked + 1) / (asked + 1 + config.absent_views)
    present = present + np.log(parts.prior[few]) + np.log1p(-absent)
    everything = np.append(present, none + np.log(absent) if absent > 0 else -np.inf)
    everything = np.exp(everything - everything.max())
    everything /= everything.sum()
    posterior = np.zeros(len(parts))
    posterior[few] = everything[:-1]
    return PartPosterior(posterior, float(everything[-1]))


@dataclass(frozen=True, eq=False)
class _AnswerTerms:
    """Likelihood terms of all answers for every part."""

    visible: Float[np.ndarray, "p k"]
    """Probability that the part is visible, in views with a point."""
    unpointed: Float[np.ndarray, "s k"]
    """Probability that the part is visible, in views that answered "not visible"."""
    pointed_weight: Float[np.ndarray, " p"]
    """How much each point counts; likewise ``silent_weight``, each "not visible"."""
    silent_weight: Float[np.ndarray, " s"]
    ratios: Float[np.ndarray, "j p k"]
    """For every jitter: density of the answer given the part, over its density if it is wrong."""
    wrong: Float[np.ndarray, " j"]
    """For every jitter: log density of all answers if they are wrong."""

    def only(self, chosen: Int[np.ndarray, " c"]) -> _AnswerTerms:
        visible, unpointed = self.visible[:, chosen], self.unpointed[:, chosen]
        return replace(self, visible=visible, unpointed=unpointed, ratios=self.ratios[:, :, chosen])


def _answer_terms(parts: Parts, observed: Observations, config: LikelihoodConfig) -> _AnswerTerms:
    answers = observed.answers
    pointed = np.array([answer is not None and len(answer) > 0 for answer in answers], dtype=bool)
    silent = np.array([answer is not None and len(answer) == 0 for answer in answers], dtype=bool)
    visible = visible_probability(observed.visibility.part_area, config)
    ratios, wrong = _densities(parts, observed, np.flatnonzero(pointed), config)
    weight = observed.weight
    return _AnswerTerms(visible[pointed], visible[silent], weight[pointed], weight[silent], ratios, wrong)


def visible_probability(area: Float[np.ndarray, "v k"], config: LikelihoodConfig) -> Float[np.ndarray, "v k"]:
    """Return the probability that a part with a given solid angle is visible."""
    share = area / (area + config.visible_area)
    return np.where(area < config.visible_area / 2, 0.02, np.clip(1.15 * share, 0, 0.98))


def _densities(
    parts: Parts, observed: Observations, rows: Int[np.ndarray, " p"], config: LikelihoodConfig
) -> tuple[Float[np.ndarray, "j p k"], Float[np.ndarray, " j"]]:
    """Return for every jitter the density ratios, and the log density of the background."""
    ratios = np.zeros((len(config.jitter), len(rows), len(parts)))
    background = np.zeros(len(config.jitter))
    visibility = observed.visibility
    named_if_wrong = wrong_shares(parts, visibility)
    for number, row in enumerate(rows.tolist()):
        named, shares = observed.answers[row], named_if_wrong[row]
        assert named is not None
        for j, (angle, _) in enumerate(config.jitter):
            jitter = angle * observed.jitter[row]
            # Any of several points in one answer may refer to the part.
            meant = np.mean(
                [
                    _if_meant(visibility, row, x, jitter, config.middle)
                    * _on_part(parts, visibility, row, x, jitter, config.on_part)
                    for x in named
                ],
                axis=0,
            )
            wrong = np.mean([_if_wrong(visibility, row, x, jitter, shares, config.anywhere) for x in named])
            ratios[j, number] = np.minimum(meant / wrong, _MAX_RATIO)
            background[j] += observed.weight[row] * np.log(wrong)
    return ratios, background


def _if_meant(
    visibility: Visibility, view: int, x: Float[np.ndarray, "2"], jitter: float, middle: float
) -> Float[np.ndarray, " k"]:
    """Return the density of a point given each part: normal about its visible mean."""
    xx, xy, yy = middle * visibility.part_covariance[view].T
    xx, yy = np.maximum(xx, 0) + jitter**2, np.maximum(yy, 0) + jitter**2
    xy = np.clip(xy, -0.99 * np.sqrt(xx * yy), 0.99 * np.sqrt(xx * yy))
    determinant = xx * yy - xy**2
    dx, dy = (x - visibility.part_tangents[view]).T
    squared = (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / determinant
    seen = visibility.part_area[view] > MIN_AREA
    return np.where(seen, np.exp(-0.5 * squared) / (2 * np.pi * np.sqrt(determinant)), 0.0)


def _on_part(
    parts: Parts, visibility: Visibility, view: int, x: Float[np.ndarray, "2"], jitter: float, on_part: float
) -> Float[np.ndarray, " k"] | float:
    """Return how well the surface under a point fits each part: 1 if all of it belongs to the part.

    The share of a part is that of its points, weighted by area and by a normal distribution about the point.
    """
    if on_part == 0:
        return 1.0
    squared = ((visibility.tangents[view] - x) ** 2).sum(axis=1) / jitter**2
    # Relative to the nearest surface: a point may lie in a hole.
    visible = visibility.area[view] > 0
    nearest = squared[visible].min(initial=np.inf)
    under = np.where(visible, visibility.area[view] * np.exp(-0.5 * np.maximum(squared - nearest, 0)), 0.0)
    share = parts.sums(under) / max(float(under.sum()), MIN_AREA**2)
    return 1 - on_part + on_part * np.clip(share, 0, 1)


def wrong_shares(parts: Parts, visibility: Visibility) -> Float[np.ndarray, "v n"]:
    """Return for every view the probability that a wrong point on an object is on each surface point.

    Each object is named equally often, and all that is visible of it alike. Were all visible surface named
    alike, most points on a large object would count as wrong ones for any small object beside it.

    Args:
        visibility: What every view sees of the parts.
    """
    on = np.flatnonzero(parts.things & (parts.objects >= 0))
    objects = parts.objects[on]
    shares = np.zeros(visibility.area.shape)
    for row, area in zip(shares, visibility.area[:, on], strict=True):
        total = np.bincount(objects, area)
        row[on] = area / np.maximum(total, MIN_AREA)[objects]
        row /= max(row.sum(), 1e-12)
    return shares


def _if_wrong(
    visibility: Visibility,
    view: int,
    x: Float[np.ndarray, "2"],
    jitter: float,
    shares: Float[np.ndarray, " n"],
    anywhere: float,
) -> float:
    """Return the density of a wrong point: on any visible object, rarely anywhere."""
    on = np.flatnonzero(shares)
    squared = ((visibility.tangents[view, on] - x) ** 2).sum(axis=1) / jitter**2
    on_things = shares[on] @ np.exp(-0.5 * squared) / (2 * np.pi * jitter**2)
    return (1 - anywhere) * on_things + anywhere / visibility.image_area[view]


def _first_pass(terms: _AnswerTerms, config: LikelihoodConfig) -> Float[np.ndarray, " k"]:
    """Return the log-likelihood of every part under a few error rates, without rivals."""
    found = []
    each_jitter = zip(terms.ratios, terms.wrong, strict=True)
    for (ratios, background), wrong, (missed, hallucinated, _) in product(
        each_jitter, (0.1, 0.35, 0.6), config.visibility_errors
    ):
        pointed = terms.visible * (1 - missed) * ((1 - wrong) * ratios + wrong)
        pointed += (1 - terms.visible) * hallucinated
        unseen = _not_visible_likelihood(terms, missed, hallucinated)
        found.append(terms.pointed_weight @ np.log(pointed) + unseen + background)
    return np.logaddexp.reduce(found, axis=0)


def _not_visible_likelihood(
    terms: _AnswerTerms, missed: float, hallucinated: float
) -> Float[np.ndarray, " k"]:
    """Return the log-likelihood of all "not visible" answers."""
    visible = terms.unpointed
    return terms.silent_weight @ np.log(visible * missed + (1 - visible) * (1 - hallucinated))


def _as_rival(terms: _AnswerTerms) -> Float[np.ndarray, " k"]:
    """Return how well each part explains the points as the rival that many of them refer to."""
    votes = np.log(0.4 * terms.ratios * terms.visible + 0.6)
    return (terms.pointed_weight[:, None] * votes).sum(axis=1).max(axis=0)


def _rival_prior(
    parts: Parts, meant: Int[np.ndarray, " c"], rivals: Int[np.ndarray, " r"], own_object: float
) -> Float[np.ndarray, "c r"]:
    """Return the log prior of every rival of every part: those that contain it share ``own_object``."""
    contains = (parts.first[rivals] <= parts.first[meant, None]) & (
        parts.end[meant, None] <= parts.end[rivals]
    )
    contains &= rivals != meant[:, None]
    both = contains.any(axis=1, keepdims=True) & ~contains.all(axis=1, keepdims=True)
    share = np.where(contains, own_object, 1 - own_object)
    count = np.where(contains, contains.sum(axis=1, keepdims=True), (~contains).sum(axis=1, keepdims=True))
    # pyrefly: ignore[no-matching-overload]
    return np.log(np.where(both, share / count, 1 / len(rivals)))


def _second_pass(
    meant: _AnswerTerms,
    rivals: _AnswerTerms,
    rival_prior: Float[np.ndarray, "c r"],
    votes: VoteTerms,
    config: LikelihoodConfig,
) -> tuple[Float[np.ndarray, " c"], float]:
    """Return the log-likelihood of every candidate, and of absence, over all error rates and rivals."""
    present, none = [], []
    seen, counts = meant.visible[:, :, None], meant.pointed_weight
    pairs = config.visibility_errors
    total = sum(weight for _, _, weight in pairs)
    unseen = [_not_visible_likelihood(meant, m, h) for m, h, _ in pairs]
    silent_count = meant.silent_weight.sum()
    uniform = votes.absent_rival[None] - np.log(rival_prior.shape[1])
    for j, (_, weight) in enumerate(_shares(config.jitter)):
        ratio, background = meant.ratios[j][:, :, None], float(meant.wrong[j])
        for agreeing, share in _shares(config.agreeing):
            # Wrong points refer to the rival where it is visible, else to anything.
            pull = agreeing * rivals.visible
            wrong_point = (1 - pull + pull * rivals.ratios[j])[:, None]
            wrong_point = wrong_point if agreeing > 0 else wrong_point[:, :, :1]
            prior = rival_prior + votes.rival if agreeing > 0 else votes.alone[:, None]
            absent_prior = uniform if agreeing > 0 else np.full((1, 1), votes.absent)
            for (wrong, p), (silent, (m, h, q)) in product(
                _shares(config.wrong), zip(unseen, pairs, strict=True)
            ):
                pointed = ((1 - m) * (1 - wrong)) * seen * ratio
                pointed = pointed + ((1 - m) * wrong * seen + h * (1 - seen)) * wrong_point
                known = background + np.log(weight * share * p * q / total)
                present.append(_log_mean(pointed, counts, prior) + silent + known)
            for h, q in _shares(config.pointed):
                absent = _log_mean(h * wrong_point, counts, absent_prior) + silent_count * np.log1p(-h)
                none.append(absent[0] + background + np.log(weight * share * q))
    return np.logaddexp.reduce(present, axis=0), float(np.logaddexp.reduce(none))


def _log_mean(
    likelihood: Float[np.ndarray, "p c r"], weight: Float[np.ndarray, " p"], prior: Float[np.ndarray, "c r"]
) -> Float[np.ndarray, " c"]:
    """Return the log of the expectation over rivals of the product over views, each with its weight."""
    shared = np.flatnonzero(weight < 1)
    if len(shared):
        likelihood[shared] **= weight[shared, None, None]
    logs = np.log(likelihood).sum(axis=0) if len(likelihood) > 40 else np.log(likelihood.prod(axis=0))
    return np.logaddexp.reduce(logs + prior, axis=1)


def _shares(mixture: Mixture) -> list[tuple[float, float]]:
    total = sum(weight for _, weight in mixture)
    return [(value, weight / total) for value, weight in mixture]
