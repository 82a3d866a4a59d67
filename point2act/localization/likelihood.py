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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import project, to_tangents
from point2act.core.types import View, ViewAnswers
from point2act.localization.part_tree import Parts

# Maximum ratio of densities, so that products stay finite.
_MAX_RATIO = 1e6
# Solid angle that counts as nothing, square radians; far below a pixel.
_MIN_AREA = 1e-12

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
    absent: float = 0.5
    """Prior probability that the object is not in the scene, in the limit of many views; 0 rules it out."""
    absent_views: float = 20.0
    """Number of views at which the prior of absence is half its limit."""
    on_part: float = 0.0
    """Probability that a point that is meant lies on what is visible of the part, and not just near it."""
    anywhere: float = 0.15
    """Fraction of wrong points anywhere in the image; the others are on objects."""
    visible_area: float = 2.2e-4
    """Solid angle at which a part is visible with probability 0.5, square radians: 20 px at f = 300."""
    candidates: int = 50
    """Number of parts, and of rivals of each, that are evaluated in full after a first pass."""


@dataclass(frozen=True, eq=False)
class Visibility:
    """Visibility of points and parts in every view. Angles are tangents: x/z and y/z."""

    image_area: Float[np.ndarray, " v"]
    """Solid angle of the image, square radians."""
    area: Float[np.ndarray, "v n"]
    """Solid angle that every point covers, square radians."""
    tangents: Float[np.ndarray, "v n 2"]
    """Position of every point; zero behind the camera."""
    part_area: Float[np.ndarray, "v k"]
    part_tangents: Float[np.ndarray, "v k 2"]
    """Mean position of the visible part."""
    part_covariance: Float[np.ndarray, "v k 3"]
    """Covariance of the visible part: xx, xy, yy."""


def part_visibility(parts: Parts, views: Sequence[View], covered: Float[np.ndarray, "v n"]) -> Visibility:
    """Compute what every view sees of a surface's points and parts.

    Args:
        covered: Number of pixels that each point covers in each view.
    """
    pixel = np.array([1 / (view.camera.fx * view.camera.fy) for view in views])
    sizes = np.array([view.camera.width * view.camera.height for view in views])
    pixels, depth = zip(
        *(project(view.camera, view.T_world_cam, parts.points) for view in views), strict=True
    )
    ahead = np.stack(depth) > 0
    tangents = np.stack([to_tangents(view.camera, at) for at, view in zip(pixels, views, strict=True)])
    tangents = np.where(ahead[:, :, None], tangents, 0.0)
    area = np.where(ahead, covered * pixel[:, None], 0.0)
    moments = [_moments(parts, weight, where) for weight, where in zip(area, tangents, strict=True)]
    part_area, middle, covariance = (np.stack(column) for column in zip(*moments, strict=True))
    return Visibility(sizes * pixel, area, tangents, part_area, middle, covariance)


def _moments(
    parts: Parts, weight: Float[np.ndarray, " n"], where: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k 2"], Float[np.ndarray, "k 3"]]:
    """Return total weight, mean and covariance of image positions for every part."""
    x, y = where.T
    sums = parts.sums(weight[:, None] * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    total = sums[:, 0]
    mean = sums[:, 1:] / np.maximum(total, _MIN_AREA)[:, None]
    products = np.stack([mean[:, 0] ** 2, mean[:, 0] * mean[:, 1], mean[:, 1] ** 2], axis=1)
    return total, mean[:, :2], mean[:, 2:] - products


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
    config: LikelihoodConfig = LikelihoodConfig(),
) -> PartPosterior:
    """Return the posterior over parts and absence, given the answers of all views.

    Args:
        visibility: What every view sees of the parts.
        answers: Tangents of the points in every view; empty for "not visible", None if not asked.
    """
    if len(parts) == 0:
        return PartPosterior(np.zeros(0), 1.0)
    pointed = np.array([answer is not None and len(answer) > 0 for answer in answers], dtype=bool)
    not_visible = np.array([answer is not None and len(answer) == 0 for answer in answers], dtype=bool)
    points = [answer for answer in answers if answer is not None and len(answer)]
    visible = _visible(visibility.part_area, config)
    ratios, wrong = _densities(parts, visibility, np.flatnonzero(pointed), points, config)
    terms = _AnswerTerms(visible[pointed], visible[not_visible], ratios, wrong)
    # pyrefly: ignore[unsupported-operation]
    few = np.argsort(-(_first_pass(terms, config) + np.log(parts.prior)), kind="stable")[: config.candidates]
    rivals = np.argsort(-_as_rival(terms), kind="stable")[: config.candidates]
    present, none = _second_pass(
        terms.only(few), terms.only(rivals), _rival_prior(parts, few, rivals, config.own_object), config
    )
    asked = pointed.sum() + not_visible.sum()
    absent = config.absent * asked / max(asked + config.absent_views, 1)
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
    ratios: Float[np.ndarray, "j p k"]
    """For every jitter: density of the answer given the part, over its density if it is wrong."""
    wrong: Float[np.ndarray, " j"]
    """For every jitter: log density of all answers if they are wrong."""

    def only(self, chosen: Int[np.ndarray, " c"]) -> _AnswerTerms:
        visible, unpointed = self.visible[:, chosen], self.unpointed[:, chosen]
        return replace(self, visible=visible, unpointed=unpointed, ratios=self.ratios[:, :, chosen])


def _visible(area: Float[np.ndarray, "v k"], config: LikelihoodConfig) -> Float[np.ndarray, "v k"]:
    """Return the probability that a part with a given solid angle is visible."""
    share = area / (area + config.visible_area)
    return np.where(area < config.visible_area / 2, 0.02, np.clip(1.15 * share, 0, 0.98))


def _densities(
    parts: Parts,
    visibility: Visibility,
    views: Int[np.ndarray, " p"],
    points: Sequence[Float[np.ndarray, "_ 2"]],
    config: LikelihoodConfig,
) -> tuple[Float[np.ndarray, "j p k"], Float[np.ndarray, " j"]]:
    """Return for every jitter the density ratios, and the log density of the background."""
    ratios = np.zeros((len(config.jitter), len(views), len(parts)))
    background = np.zeros(len(config.jitter))
    for row, (view, named) in enumerate(zip(views.tolist(), points, strict=True)):
        for j, (jitter, _) in enumerate(config.jitter):
            # Any of several points in one answer may refer to the part.
            meant = np.mean(
                [
                    _if_meant(visibility, view, x, jitter, config.middle)
                    * _on_part(parts, visibility, view, x, jitter, config.on_part)
                    for x in named
                ],
                axis=0,
            )
            wrong = np.mean([_if_wrong(parts, visibility, view, x, jitter, config.anywhere) for x in named])
            ratios[j, row] = np.minimum(meant / wrong, _MAX_RATIO)
            background[j] += np.log(wrong)
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
    seen = visibility.part_area[view] > _MIN_AREA
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
    share = parts.sums(under) / max(float(under.sum()), _MIN_AREA**2)
    return 1 - on_part + on_part * np.clip(share, 0, 1)


def _if_wrong(
    parts: Parts, visibility: Visibility, view: int, x: Float[np.ndarray, "2"], jitter: float, anywhere: float
) -> float:
    """Return the density of a wrong point: on any visible object, rarely anywhere."""
    area = visibility.area[view, parts.things]
    squared = ((visibility.tangents[view, parts.things] - x) ** 2).sum(axis=1) / jitter**2
    on_things = area @ np.exp(-0.5 * squared) / (2 * np.pi * jitter**2) / max(area.sum(), _MIN_AREA)
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
        unseen = _not_visible_likelihood(terms.unpointed, missed, hallucinated)
        found.append(np.log(pointed).sum(axis=0) + unseen + background)
    return np.logaddexp.reduce(found, axis=0)


def _not_visible_likelihood(
    visible: Float[np.ndarray, "s k"], missed: float, hallucinated: float
) -> Float[np.ndarray, " k"]:
    """Return the log-likelihood of all "not visible" answers."""
    return np.log(visible * missed + (1 - visible) * (1 - hallucinated)).sum(axis=0)


def _as_rival(terms: _AnswerTerms) -> Float[np.ndarray, " k"]:
    """Return how well each part explains the points as the rival that many of them refer to."""
    return np.log(0.4 * terms.ratios * terms.visible + 0.6).sum(axis=1).max(axis=0)


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
    meant: _AnswerTerms, rivals: _AnswerTerms, rival_prior: Float[np.ndarray, "c r"], config: LikelihoodConfig
) -> tuple[Float[np.ndarray, " c"], float]:
    """Return the log-likelihood of every candidate, and of absence, over all error rates and rivals."""
    present, none = [], []
    seen = meant.visible[:, :, None]
    pairs = config.visibility_errors
    total = sum(weight for _, _, weight in pairs)
    unseen = [_not_visible_likelihood(meant.unpointed, m, h) for m, h, _ in pairs]
    uniform = np.full((1, rival_prior.shape[1]), -np.log(rival_prior.shape[1]))
    for j, (_, weight) in enumerate(_shares(config.jitter)):
        ratio, background = meant.ratios[j][:, :, None], float(meant.wrong[j])
        for agreeing, share in _shares(config.agreeing):
            # Wrong points refer to the rival where it is visible, else to anything.
            pull = agreeing * rivals.visible
            wrong_point = (1 - pull + pull * rivals.ratios[j])[:, None]
            wrong_point = wrong_point if agreeing > 0 else wrong_point[:, :, :1]
            prior = rival_prior if agreeing > 0 else np.zeros((1, 1))
            for (wrong, p), (silent, (m, h, q)) in product(
                _shares(config.wrong), zip(unseen, pairs, strict=True)
            ):
                pointed = ((1 - m) * (1 - wrong)) * seen * ratio
                pointed = pointed + ((1 - m) * wrong * seen + h * (1 - seen)) * wrong_point
                known = background + np.log(weight * share * p * q / total)
                present.append(_log_mean(pointed, prior) + silent + known)
            for h, q in _shares(config.pointed):
                absent = _log_mean(h * wrong_point, uniform if agreeing > 0 else prior)
                absent = absent + len(meant.unpointed) * np.log1p(-h)
                none.append(absent[0] + background + np.log(weight * share * q))
    return np.logaddexp.reduce(present, axis=0), float(np.logaddexp.reduce(none))


def _log_mean(
    likelihood: Float[np.ndarray, "p c r"], prior: Float[np.ndarray, "c r"]
) -> Float[np.ndarray, " c"]:
    """Return the log of the expectation over rivals of the product over views."""
    logs = np.log(likelihood).sum(axis=0) if len(likelihood) > 40 else np.log(likelihood.prod(axis=0))
    return np.logaddexp.reduce(logs + prior, axis=1)


def _shares(mixture: Mixture) -> list[tuple[float, float]]:
    total = sum(weight for _, weight in mixture)
    return [(value, weight / total) for value, weight in mixture]
