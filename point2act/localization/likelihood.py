"""What the answers of all views say for and against every part of a scene. numpy only.

A generative model of a pointing model that errs: it misses what is in sight, names something where the
thing is hidden, points beside it, at anything else, or again and again at the same wrong thing. How often it
does which is not known; all mixtures that are plausible are weighed by how well they explain the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import project, to_tangents
from point2act.core.types import View
from point2act.localization.part_tree import Parts

# Densities this far above the background say no more: products of them stay finite.
_SURE = 1e6
# An area in which nothing is seen, square radians; far below a pixel.
_NOTHING = 1e-12

Mixture = tuple[tuple[float, float], ...]
"""Values and their weights."""


@dataclass(frozen=True)
class EvidenceConfig:
    """How pointing models err. Tuned on the tables of ``python -m benchmarks localisation``, seeds 0-4.

    What is a mixture lists pairs of a value and its weight.
    """

    jitter: Mixture = ((0.0167, 1.0), (0.03, 1.0))
    """Standard deviation of a point about the place meant, as an angle, radians: 5 and 9 px at f = 300."""
    middle: float = 0.6
    """Points keep to the middle of a part: they scatter over it by this share of its own variance."""
    wrong: Mixture = ((0.05, 2.0), (0.2, 8.0), (0.4, 1.5), (0.6, 0.7))
    """Share of the points that mean something else though the thing is in sight ..."""
    agreeing: Mixture = ((0.0, 16.0), (0.4, 1.0), (0.75, 1.0))
    """... and share of those that mean one and the same wrong thing."""
    missed: float = 0.12
    """Share of "not visible" where the thing is in sight."""
    hallucinated: Mixture = ((0.1, 1.0), (0.35, 2.0), (0.6, 1.0))
    """Share of points where the thing is out of sight."""
    pointed: Mixture = ((0.3, 1.0), (0.45, 1.0), (0.6, 1.0), (0.95, 0.05))
    """Share of points where there is no such thing in the scene."""
    absent: float = 0.5
    """How likely there is no such thing, before anybody has spoken, where very many views were asked (0
    rules it out) ..."""
    absent_views: float = 20.0
    """... and half as likely where so many were: whoever shows a few pictures shows the thing."""
    anywhere: float = 0.15
    """Share of the wrong points that fall anywhere in the image; the others fall on things."""
    visible_area: float = 2.2e-4
    """A part is as likely in sight as not when it covers this much, square radians: 20 px at f = 300."""
    candidates: int = 50
    """So many parts, the best after a first look, are weighed in full, each against so many rivals."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What every view sees of a surface's points and parts. Angles are tangents: x/z and y/z."""

    image_area: Float[np.ndarray, " v"]
    """Of the whole image, square radians."""
    area: Float[np.ndarray, "v n"]
    """How much of the image every point covers, square radians."""
    tangents: Float[np.ndarray, "v n 2"]
    """Where it is; zero behind the camera."""
    part_area: Float[np.ndarray, "v k"]
    part_tangents: Float[np.ndarray, "v k 2"]
    """The middle of what is seen of a part."""
    part_covariance: Float[np.ndarray, "v k 3"]
    """How it scatters about there: xx, xy, yy."""


def look_at_parts(parts: Parts, views: Sequence[View], covered: Float[np.ndarray, "v n"]) -> Looks:
    """Where every view sees a surface's points and parts; ``covered`` are pixels per point."""
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
    return Looks(sizes * pixel, area, tangents, part_area, middle, covariance)


def _moments(
    parts: Parts, weight: Float[np.ndarray, " n"], where: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k 2"], Float[np.ndarray, "k 3"]]:
    """Total, mean and covariance of weighted places in the image, for every part."""
    x, y = where.T
    sums = parts.sums(weight[:, None] * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    total = sums[:, 0]
    mean = sums[:, 1:] / np.maximum(total, _NOTHING)[:, None]
    products = np.stack([mean[:, 0] ** 2, mean[:, 0] * mean[:, 1], mean[:, 1] ** 2], axis=1)
    return total, mean[:, :2], mean[:, 2:] - products


@dataclass(frozen=True, eq=False)
class Evidence:
    """How likely every part is what was asked for, now that the views have spoken."""

    parts: Float[np.ndarray, " k"]
    """Sums to 1 with ``absent``; 0 for parts that the first look ruled out."""
    absent: float
    """How likely there is no such thing in the scene."""


def weigh(
    parts: Parts,
    looks: Looks,
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    *,
    config: EvidenceConfig = EvidenceConfig(),
) -> Evidence:
    """The posterior over the parts, and over there being none, given the answers of all views.

    ``answers`` are tangents in every view: none of them for "not visible", None where nobody was asked.
    """
    if len(parts) == 0:
        return Evidence(np.zeros(0), 1.0)
    spoke = np.array([answer is not None and len(answer) > 0 for answer in answers], dtype=bool)
    silent = np.array([answer is not None and len(answer) == 0 for answer in answers], dtype=bool)
    points = [answer for answer in answers if answer is not None and len(answer)]
    visible = _visible(looks.part_area, config)
    ratios, wrong = _densities(parts, looks, np.flatnonzero(spoke), points, config)
    said = _Said(visible[spoke], visible[silent], ratios, wrong)
    few = np.argsort(-(_first_look(said, config) + np.log(parts.prior)), kind="stable")[: config.candidates]
    rivals = np.argsort(-_as_rival(said), kind="stable")[: config.candidates]
    present, none = _second_look(said.only(few), said.only(rivals), config)
    asked = spoke.sum() + silent.sum()
    absent = config.absent * asked / max(asked + config.absent_views, 1)
    present = present + np.log(parts.prior[few]) + np.log1p(-absent)
    everything = np.append(present, none + np.log(absent) if absent > 0 else -np.inf)
    everything = np.exp(everything - everything.max())
    everything /= everything.sum()
    posterior = np.zeros(len(parts))
    posterior[few] = everything[:-1]
    return Evidence(posterior, float(everything[-1]))


@dataclass(frozen=True, eq=False)
class _Said:
    """The answers as seen from every part."""

    visible: Float[np.ndarray, "p k"]
    """How likely it is in sight, in the views that pointed ..."""
    unpointed: Float[np.ndarray, "s k"]
    """... and in those that said "not visible"."""
    ratios: Float[np.ndarray, "j p k"]
    """For every jitter: density of the answer if it means the part, over its density if it is wrong ..."""
    wrong: Float[np.ndarray, " j"]
    """... and the logarithm of the latter, over all answers."""

    def only(self, chosen: Int[np.ndarray, " c"]) -> _Said:
        visible, unpointed = self.visible[:, chosen], self.unpointed[:, chosen]
        return replace(self, visible=visible, unpointed=unpointed, ratios=self.ratios[:, :, chosen])


def _visible(area: Float[np.ndarray, "v k"], config: EvidenceConfig) -> Float[np.ndarray, "v k"]:
    """How likely a part that covers so much of an image is found in it at all."""
    share = area / (area + config.visible_area)
    return np.where(area < config.visible_area / 2, 0.02, np.clip(1.15 * share, 0, 0.98))


def _densities(
    parts: Parts,
    looks: Looks,
    views: Int[np.ndarray, " p"],
    points: Sequence[Float[np.ndarray, "_ 2"]],
    config: EvidenceConfig,
) -> tuple[Float[np.ndarray, "j p k"], Float[np.ndarray, " j"]]:
    """For every jitter, as ``_Said`` keeps them: the ratios, and the logarithm of what they are over."""
    ratios = np.zeros((len(config.jitter), len(views), len(parts)))
    background = np.zeros(len(config.jitter))
    for row, (view, named) in enumerate(zip(views.tolist(), points, strict=True)):
        for j, (jitter, _) in enumerate(config.jitter):
            # Of several points in one answer, any may be the one.
            meant = np.mean([_if_meant(looks, view, x, jitter, config.middle) for x in named], axis=0)
            wrong = np.mean([_if_wrong(parts, looks, view, x, jitter, config.anywhere) for x in named])
            ratios[j, row] = np.minimum(meant / wrong, _SURE)
            background[j] += np.log(wrong)
    return ratios, background


def _if_meant(
    looks: Looks, view: int, x: Float[np.ndarray, "2"], jitter: float, middle: float
) -> Float[np.ndarray, " k"]:
    """Density of a point if it means each part: normal about the middle of what is seen of it."""
    xx, xy, yy = middle * looks.part_covariance[view].T
    xx, yy = np.maximum(xx, 0) + jitter**2, np.maximum(yy, 0) + jitter**2
    xy = np.clip(xy, -0.99 * np.sqrt(xx * yy), 0.99 * np.sqrt(xx * yy))
    determinant = xx * yy - xy**2
    dx, dy = (x - looks.part_tangents[view]).T
    squared = (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / determinant
    seen = looks.part_area[view] > _NOTHING
    return np.where(seen, np.exp(-0.5 * squared) / (2 * np.pi * np.sqrt(determinant)), 0.0)


def _if_wrong(
    parts: Parts, looks: Looks, view: int, x: Float[np.ndarray, "2"], jitter: float, anywhere: float
) -> float:
    """Density of a point that means something else: any thing in sight, rarely any pixel at all."""
    area = looks.area[view, parts.things]
    squared = ((looks.tangents[view, parts.things] - x) ** 2).sum(axis=1) / jitter**2
    on_things = area @ np.exp(-0.5 * squared) / (2 * np.pi * jitter**2) / max(area.sum(), _NOTHING)
    return (1 - anywhere) * on_things + anywhere / looks.image_area[view]


def _first_look(said: _Said, config: EvidenceConfig) -> Float[np.ndarray, " k"]:
    """Log-likelihood of every part under a few ways to err, none of them with a rival."""
    found = []
    each_jitter = zip(said.ratios, said.wrong, strict=True)
    for (ratios, background), wrong, hallucinated in product(each_jitter, (0.1, 0.35, 0.6), (0.2, 0.5)):
        pointed = said.visible * (1 - config.missed) * ((1 - wrong) * ratios + wrong)
        pointed += (1 - said.visible) * hallucinated
        silence = _silence(said.unpointed, hallucinated, config)
        found.append(np.log(pointed).sum(axis=0) + silence + background)
    return np.logaddexp.reduce(found, axis=0)


def _silence(
    visible: Float[np.ndarray, "s k"], hallucinated: float, config: EvidenceConfig
) -> Float[np.ndarray, " k"]:
    """Log-likelihood of what was said not to be visible."""
    return np.log(visible * config.missed + (1 - visible) * (1 - hallucinated)).sum(axis=0)


def _as_rival(said: _Said) -> Float[np.ndarray, " k"]:
    """How well each part explains points if many of them mean it, whatever it is."""
    return np.log(0.4 * said.ratios * said.visible + 0.6).sum(axis=1).max(axis=0)


def _second_look(
    meant: _Said, rivals: _Said, config: EvidenceConfig
) -> tuple[Float[np.ndarray, " c"], float]:
    """Log-likelihood of every candidate, and of there being none, over all ways to err and all rivals."""
    present, none = [], []
    seen = meant.visible[:, :, None]
    silence = {h: _silence(meant.unpointed, h, config) for h, _ in config.hallucinated}
    for j, (_, weight) in enumerate(_shares(config.jitter)):
        ratio, background = meant.ratios[j][:, :, None], float(meant.wrong[j])
        for agreeing, share in _shares(config.agreeing):
            # Wrong points mean the rival where it is in sight, else anything.
            pull = agreeing * rivals.visible
            wrong_point = (1 - pull + pull * rivals.ratios[j])[:, None]
            wrong_point = wrong_point if agreeing > 0 else wrong_point[:, :, :1]
            for (wrong, p), (h, q) in product(_shares(config.wrong), _shares(config.hallucinated)):
                pointed = ((1 - config.missed) * (1 - wrong)) * seen * ratio
                pointed = pointed + ((1 - config.missed) * wrong * seen + h * (1 - seen)) * wrong_point
                known = background + np.log(weight * share * p * q)
                present.append(_log_mean(pointed) + silence[h] + known)
            for h, q in _shares(config.pointed):
                absent = _log_mean(h * wrong_point) + len(meant.unpointed) * np.log1p(-h)
                none.append(absent[0] + background + np.log(weight * share * q))
    return np.logaddexp.reduce(present, axis=0), float(np.logaddexp.reduce(none))


def _log_mean(likelihood: Float[np.ndarray, "p c r"]) -> Float[np.ndarray, " c"]:
    """The logarithm of the mean over rivals of the product over views."""
    logs = np.log(likelihood).sum(axis=0) if len(likelihood) > 40 else np.log(likelihood.prod(axis=0))
    return np.logaddexp.reduce(logs, axis=1) - np.log(logs.shape[1])


def _shares(mixture: Mixture) -> list[tuple[float, float]]:
    total = sum(weight for _, weight in mixture)
    return [(value, weight / total) for value, weight in mixture]
