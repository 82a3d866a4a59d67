"""Heatmaps to a relevancy for every Gaussian, in closed form.

With the geometry fixed a rendered relevancy image is linear in each Gaussian's scalar, so nothing
needs training. Every view votes on the Gaussians it really sees: what a Gaussian gathers from the
view's heatmap through its blending weights, divided by those weights. The votes are averaged over
views with a prior that one view alone cannot overrule, and views that the others contradict count
for less. Averaging is both faster and more accurate here than least squares, which fits the noise
of wrong answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from point2act.core.types import Capture, PointSet, ProgressCallback, Query, RelevancyField, View
from point2act.data.capture import disk_to_view
from point2act.data.points import effective_answers
from point2act.localization.heatmaps import HeatmapConfig, heatmaps
from point2act.splatting.gaussians import Projection
from point2act.splatting.render import gather

# Of the Gaussians that get any light at all at least a fifth are in plain sight.
_PLAIN_SIGHT = 0.8
# A Gaussian with less than this share of the most any gets is not seen at all.
_GLIMPSE = 1e-3
# A relevancy far below what a single agreeing view gives (about 1/6 with the prior of 5 views).
_KNOWN = 0.02

ViewAnswers = Sequence[Float[np.ndarray, "_ 2"] | None]
"""One query's answer in every view: pixels of the view, none of them for "not visible", or None
where nobody was asked."""


@dataclass(frozen=True)
class RelevancyConfig:
    """How views are weighed against each other."""

    heatmap: HeatmapConfig = field(default_factory=HeatmapConfig)
    prior_views: float = 5.0
    """So many imaginary views say "no": the best count of {0, 2, 5} in our study of fusion."""
    prior_share: float = 0.4
    """The prior is at most this share of the views that answered, so that few views suffice ..."""
    prior_least: float = 2.0
    """... but at least this: one view alone proves little. The study's best count for five views."""
    rounds: int = 2
    """How often views are reweighed by their agreement with all others; 0 is plain averaging."""
    full_agreement: float = 0.6
    """A view counts fully when the others give its answer this share of their best relevancy ..."""
    least_weight: float = 0.1
    """... and this much remains of one that all others contradict."""
    half_seen: float = 0.25
    """A Gaussian counts as half seen with this share of the pixels that one in plain sight covers."""


@dataclass(frozen=True, eq=False)
class _Vote:
    """What one view says about the Gaussians."""

    seen: Float[Tensor, " n"]
    """How well it sees each, from 0, not at all, to nearly 1."""
    heat: Float[Tensor, "q n"]
    """Zero for queries without an answer, and where nothing is seen."""
    answered: Bool[Tensor, " q"]
    positive: Bool[Tensor, " q"]


def locate(points: PointSet, capture: Capture, views: Sequence[View]) -> list[ViewAnswers]:
    """Every query's answers as pixels of the loaded views, those that count.

    Answers that are set aside because a person has spoken are not among them
    (``effective_answers``). Several to one query in one image are joined; None where there
    are none.
    """
    frames = {frame.name: frame for frame in capture.frames}
    said: dict[tuple[str, str], list[Float[np.ndarray, "_ 2"]]] = {}
    for entry in effective_answers(points.answers):
        said.setdefault((entry.query, entry.image), []).append(entry.points)

    def pixels(query: Query, view: View) -> Float[np.ndarray, "_ 2"] | None:
        entries = said.get((query.name, view.name))
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
    """Give every Gaussian a relevancy in [0, 1] for every query.

    ``projections`` are what the views, at least one, see of the same Gaussians; the unit of length does not
    matter. ``answers[q][v]`` is what was said of query q in view v.
    """
    votes = []
    for number, projection in enumerate(projections):
        said = [answer[number] for answer in answers]
        if any(pixels is not None for pixels in said):
            votes.append(_vote(projection, said, config))
        if progress is not None:
            progress(number + 1, len(projections))
    nothing = projections[0].depths.new_zeros(len(queries), len(projections[0].depths))
    values, evidence = _combine(votes, config) if votes else (nothing, nothing)
    return RelevancyField(tuple(queries), _columns(values), _columns(evidence))


def _columns(rows: Float[Tensor, "q n"]) -> Float[np.ndarray, "n q"]:
    return rows.t().contiguous().double().cpu().numpy()


def _vote(
    projection: Projection, said: Sequence[Float[np.ndarray, "_ 2"] | None], config: RelevancyConfig
) -> _Vote:
    """Gather each query's heatmap on the Gaussians that this view sees."""
    maps = heatmaps(projection.camera, said, config=config.heatmap)
    sums, weight = gather(projection, torch.from_numpy(maps))
    weight = torch.where(weight > _GLIMPSE * weight.max(), weight, 0.0)
    covered = weight[weight > 0].cpu().numpy()
    half = config.half_seen * float(np.quantile(covered, _PLAIN_SIGHT)) if len(covered) else 1.0
    return _Vote(
        seen=weight / (weight + half),
        heat=torch.where(weight > 0, sums.t().contiguous() / weight, 0.0),
        answered=torch.tensor([p is not None for p in said], device=weight.device),
        positive=torch.tensor([p is not None and len(p) > 0 for p in said], device=weight.device),
    )


def _combine(
    votes: Sequence[_Vote], config: RelevancyConfig
) -> tuple[Float[Tensor, "q n"], Float[Tensor, "q n"]]:
    """Average the votes with a prior; reweigh views by leaving each out in turn."""
    answered = torch.stack([vote.answered for vote in votes])
    weights = answered.float()
    prior = (config.prior_share * weights.sum(dim=0)).clamp(config.prior_least, config.prior_views)[:, None]
    for _ in range(config.rounds):
        sums = _sums(votes, weights)
        backed = [_agreement(vote, w, *sums, prior) for vote, w in zip(votes, weights, strict=True)]
        trust = (torch.stack(backed) / config.full_agreement).clamp_max(1.0) ** 2
        weights = torch.where(answered, trust.clamp_min(config.least_weight), 0.0)
    hits, total = _sums(votes, weights)
    return hits / (prior + total), total


def _sums(
    votes: Sequence[_Vote], weights: Float[Tensor, "v q"]
) -> tuple[Float[Tensor, "q n"], Float[Tensor, "q n"]]:
    """Weighted hits and weighted views per Gaussian."""
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
    """How far the other views back this one, in [0, 1].

    A point is backed by the others' relevancy under it, relative to their best anywhere. "Not
    visible" is backed when the others' best place is out of this view's sight. Where the others know
    nothing, nothing contradicts.
    """
    seen = weight[:, None] * vote.seen
    others = (hits - seen * vote.heat) / (prior + (total - seen).clamp_min(0.0))
    best, place = others.max(dim=1)
    sharpness = vote.heat.amax(dim=1).clamp_min(1e-9)
    backed = ((vote.heat * others).amax(dim=1) / sharpness + _KNOWN) / (best + _KNOWN)
    return torch.where(vote.positive, backed, 1.0 - vote.seen[place]).clamp(0.0, 1.0)
