"""A relevancy of every Gaussian without parts, lifted from heatmaps in closed form.

Queries are answered by the posterior over parts (``segmentation.Segmentation.relevancy``); this is the field
that needs neither segmentation nor an error model.

With fixed geometry a rendered relevancy image is linear in each Gaussian's scalar, so nothing is trained.
With blending weights w_vgp of Gaussian g at pixel p of view v, heatmaps H_v, and weights a_v of the views:

    h_vg = sum_p w_vgp H_v(p) / sum_p w_vgp         vote of the view
    s_vg = W / (W + W_half),  W = sum_p w_vgp       how well the view sees the Gaussian
    r_g = sum_v a_v s_vg h_vg / (prior + sum_v a_v s_vg)

a_v is recomputed from the agreement of view v with the relevancy of all other views (leave-one-out).
Averaging is faster and more accurate here than least squares, which fits the noise of wrong answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from point2act.core.types import Capture, PointSet, ProgressCallback, Query, RelevancyField, View, ViewAnswers
from point2act.data.capture import disk_to_view
from point2act.data.points import effective_answers
from point2act.localization.heatmaps import HeatmapConfig, heatmaps
from point2act.splatting.gaussians import Projection
from point2act.splatting.render import gather

# Quantile of blending weights at which a Gaussian counts as unoccluded.
_UNOCCLUDED = 0.8
# Fraction of the largest blending weight below which a Gaussian counts as not seen.
_MIN_WEIGHT = 1e-3
# Regularises agreement where the other views know nothing; one agreeing view gives about 1/6.
_EPSILON = 0.02


@dataclass(frozen=True)
class RelevancyConfig:
    """Weights of views against one another."""

    heatmap: HeatmapConfig = field(default_factory=HeatmapConfig)
    prior_views: float = 5.0
    """Maximum prior: number of imaginary views without a point."""
    # The best of {0, 2, 5} in a study of fusion on simulated tables.
    prior_share: float = 0.4
    """Maximum prior as a fraction of the views with an answer, so that few views suffice."""
    prior_least: float = 2.0
    """Minimum prior: one view alone proves little."""
    rounds: int = 2
    """Number of times that views are reweighted by their agreement with the others; 0 averages plainly."""
    full_agreement: float = 0.6
    """Fraction of the others' best relevancy under a view's answer at which the view counts fully."""
    least_weight: float = 0.1
    """Weight of a view that all others contradict."""
    half_seen: float = 0.25
    """Fraction of an unoccluded Gaussian's blending weight at which a Gaussian counts as half seen."""


@dataclass(frozen=True, eq=False)
class _Vote:
    """Vote of one view on all Gaussians."""

    seen: Float[Tensor, " n"]
    """How well the view sees each Gaussian, in [0, 1)."""
    heat: Float[Tensor, "q n"]
    """Mean heat under each Gaussian; zero for queries without an answer and where nothing is seen."""
    answered: Bool[Tensor, " q"]
    positive: Bool[Tensor, " q"]


def answers_in_views(points: PointSet, capture: Capture, views: Sequence[View]) -> list[ViewAnswers]:
    """Convert the effective answers of every query to pixels of the loaded views.

    Args:
        points: Queries and answers, in pixels of the images on disk.
        capture: Capture that the answers refer to.
        views: Loaded views, possibly resized and undistorted.

    Returns:
        For each query, for each view: pixels (n, 2), empty for "not visible", None without an answer.
        Several answers to one query in one image are concatenated; see ``effective_answers`` for those
        that a person's answer replaces.
    """
    frames = {frame.name: frame for frame in capture.frames}
    found: dict[tuple[str, str], list[Float[np.ndarray, "_ 2"]]] = {}
    for entry in effective_answers(points.answers):
        found.setdefault((entry.query, entry.image), []).append(entry.points)

    def pixels(query: Query, view: View) -> Float[np.ndarray, "_ 2"] | None:
        entries = found.get((query.name, view.name))
        return None if entries is None else disk_to_view(frames[view.name], view, np.concatenate(entries))

    return [[pixels(query, view) for view in views] for query in points.queries]


def lift(
    projections: Sequence[Projection],
    answers: Sequence[ViewAnswers],
    queries: Sequence[Query],
    *,
    config: RelevancyConfig = RelevancyConfig(),
    progress: ProgressCallback | None = None,
) -> RelevancyField:
    """Lift answers to a relevancy in [0, 1] of every Gaussian for every query.

    Args:
        projections: Projections of the same Gaussians into each view, at least one; any unit of length.
        answers: ``answers[q][v]`` are the pixels of query q in view v, as ``answers_in_views`` returns them.
        queries: Queries, in the order of ``answers``.
        config: Weights of views and width of heatmaps.
        progress: Called with the number of views done and the number of views.

    Returns:
        One column of relevancy per query.
    """
    votes = []
    for number, projection in enumerate(projections):
        pixels = [answer[number] for answer in answers]
        if any(each is not None for each in pixels):
            votes.append(_vote(projection, pixels, config))
        if progress is not None:
            progress(number + 1, len(projections))
    nothing = projections[0].depths.new_zeros(len(queries), len(projections[0].depths))
    values = _combine(votes, config) if votes else nothing
    return RelevancyField(tuple(queries), values.t().contiguous().double().cpu().numpy())


def _vote(projection: Projection, pixels: ViewAnswers, config: RelevancyConfig) -> _Vote:
    """Gather each query's heatmap on the Gaussians that a view sees."""
    maps = heatmaps(projection.camera, pixels, config=config.heatmap)
    sums, weight = gather(projection, torch.from_numpy(maps))
    weight, seen = how_well_seen(weight, config.half_seen)
    return _Vote(
        seen=seen,
        heat=torch.where(weight > 0, sums.t().contiguous() / weight, 0.0),
        answered=torch.tensor([p is not None for p in pixels], device=weight.device),
        positive=torch.tensor([p is not None and len(p) > 0 for p in pixels], device=weight.device),
    )


def how_well_seen(
    weight: Float[Tensor, " n"], half_seen: float
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return a view's blending weights that count, and how well it sees each Gaussian, in [0, 1).

    Args:
        weight: Sum of blending weights of every Gaussian over the pixels of the view.
        half_seen: Fraction of an unoccluded Gaussian's weight at which a Gaussian counts as half seen.
    """
    weight = torch.where(weight > _MIN_WEIGHT * weight.max(), weight, 0.0)
    covered = weight[weight > 0].cpu().numpy()
    half = half_seen * float(np.quantile(covered, _UNOCCLUDED)) if len(covered) else 1.0
    return weight, weight / (weight + half)


def _combine(votes: Sequence[_Vote], config: RelevancyConfig) -> Float[Tensor, "q n"]:
    """Average the votes with a prior, reweighting views by leave-one-out agreement."""
    answered = torch.stack([vote.answered for vote in votes])
    weights = answered.float()
    prior = (config.prior_share * weights.sum(dim=0)).clamp(config.prior_least, config.prior_views)[:, None]
    for _ in range(config.rounds):
        sums = _sums(votes, weights)
        backed = [_agreement(vote, w, *sums, prior) for vote, w in zip(votes, weights, strict=True)]
        trust = (torch.stack(backed) / config.full_agreement).clamp_max(1.0) ** 2
        weights = torch.where(answered, trust.clamp_min(config.least_weight), 0.0)
    hits, total = _sums(votes, weights)
    return hits / (prior + total)


def _sums(
    votes: Sequence[_Vote], weights: Float[Tensor, "v q"]
) -> tuple[Float[Tensor, "q n"], Float[Tensor, "q n"]]:
    """Return weighted votes and summed weights per Gaussian."""
    hits, total = torch.zeros_like(votes[0].heat), torch.zeros_like(votes[0].heat)
    for vote, weight in zip(votes, weights, strict=True):
        seen = weight[:, None] * vote.seen
        hits += seen * vote.heat
        total += seen
    return hits, total


def _agreement(
    vote: _Vote,
    weight: Float[Tensor, " q"],
    hits: Float[Tensor, "q n"],
    total: Float[Tensor, "q n"],
    prior: Float[Tensor, "q 1"],
) -> Float[Tensor, " q"]:
    """Return the agreement of a view with all other views, in [0, 1].

    A point agrees by the others' relevancy under it, relative to their maximum anywhere. "Not visible" agrees
    if the others' maximum is hidden in this view. Without any other evidence everything agrees.
    """
    seen = weight[:, None] * vote.seen
    others = (hits - seen * vote.heat) / (prior + (total - seen).clamp_min(0.0))
    best, place = others.max(dim=1)
    sharpness = vote.heat.amax(dim=1).clamp_min(1e-9)
    backed = ((vote.heat * others).amax(dim=1) / sharpness + _EPSILON) / (best + _EPSILON)
    return torch.where(vote.positive, backed, 1.0 - vote.seen[place]).clamp(0.0, 1.0)
