"""Heatmaps to a relevancy for every Gaussian, in closed form.

With the geometry fixed a rendered relevancy image is linear in each Gaussian's scalar, so nothing
needs training. Every view votes on the Gaussians it really sees: what a Gaussian gathers from the
view's heatmap through its blending weights, divided by those weights. The votes are averaged over
views with a prior that one view alone cannot overrule, and views that the others contradict count
for less. Averaging is both faster and more accurate here than least squares, which fits the noise
of wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int

from point2act.capture import disk_to_view
from point2act.heatmaps import HeatmapConfig, heatmap
from point2act.splat.gaussians import Activated, activated, to_parameters
from point2act.splat.render import gather
from point2act.types import Capture, GaussianScene, PointSet, Query, RelevancyField, View

# Of the Gaussians that get any light at all at least a fifth are in plain sight.
_PLAIN_SIGHT = 0.8
# A relevancy far below what a single agreeing view gives (about 1/6 with the prior of 5 views).
_KNOWN = 0.02

Progress = Callable[[int, int], None]
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
    """What one view says about the Gaussians it sees."""

    index: Int[np.ndarray, " m"]
    seen: Float[np.ndarray, " m"]
    heat: Float[np.ndarray, "m q"]
    """Zero for queries without an answer."""
    answered: np.ndarray
    positive: np.ndarray


def locate(points: PointSet, capture: Capture, views: Sequence[View]) -> list[ViewAnswers]:
    """Every query's answers as pixels of the loaded views.

    Several answers to one query in one image are joined; None where nobody was asked.
    """
    frames = {frame.name: frame for frame in capture.frames}
    said: dict[tuple[str, str], list[Float[np.ndarray, "_ 2"]]] = {}
    for entry in points.answers:
        said.setdefault((entry.query, entry.image), []).append(entry.points)

    def pixels(query: Query, view: View) -> Float[np.ndarray, "_ 2"] | None:
        entries = said.get((query.name, view.name))
        return None if entries is None else disk_to_view(frames[view.name], view, np.concatenate(entries))

    return [[pixels(query, view) for view in views] for query in points.queries]


def lift(
    scene: GaussianScene,
    views: Sequence[View],
    answers: Sequence[ViewAnswers],
    queries: Sequence[Query],
    *,
    config: RelevancyConfig = RelevancyConfig(),
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> RelevancyField:
    """Give every Gaussian a relevancy in [0, 1] for every query.

    ``answers[q][v]`` is what was said of query q in view v. Views and scene share a frame; its unit
    does not matter.
    """
    gaussians = Activated(*(t.detach() for t in activated(to_parameters(scene, device=device))))
    votes = []
    for number, view in enumerate(views):
        said = [answer[number] for answer in answers]
        if any(pixels is not None for pixels in said):
            votes.append(_vote(gaussians, view, said, config))
        if progress is not None:
            progress(number + 1, len(views))
    values, evidence = _combine(votes, len(scene), len(queries), config)
    return RelevancyField(queries=tuple(queries), values=values, evidence=evidence)


def _vote(
    gaussians: Activated, view: View, said: Sequence[Float[np.ndarray, "_ 2"] | None], config: RelevancyConfig
) -> _Vote:
    """Gather each query's heatmap on the Gaussians that this view sees."""
    nothing = np.zeros((0, 2))
    maps = np.stack(
        [heatmap(view.camera, nothing if p is None else p, config=config.heatmap) for p in said], axis=-1
    )
    device = gaussians.means.device
    T_cam_world = torch.tensor(view.T_cam_world, dtype=torch.float32, device=device)
    heat, weight = gather(*gaussians, T_cam_world, view.camera, torch.tensor(maps, device=device))
    heat, weight = heat.cpu().numpy(), weight.cpu().numpy()
    index = np.flatnonzero(weight > 1e-3 * max(weight.max(initial=0.0), 1e-12))
    heat, weight = heat[index], weight[index]
    half = config.half_seen * np.quantile(weight, _PLAIN_SIGHT) if len(weight) else 1.0
    return _Vote(
        index=index,
        seen=weight / (weight + half),
        heat=heat / weight[:, None],
        answered=np.array([p is not None for p in said]),
        positive=np.array([p is not None and len(p) > 0 for p in said]),
    )


def _combine(
    votes: Sequence[_Vote], gaussians: int, queries: int, config: RelevancyConfig
) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "n q"]]:
    """Average the votes with a prior; reweigh views by leaving each out in turn."""
    weights = np.array([vote.answered for vote in votes], dtype=float).reshape(len(votes), queries)
    prior = np.clip(config.prior_share * weights.sum(axis=0), config.prior_least, config.prior_views)
    for _ in range(config.rounds):
        hits, total = _sums(votes, weights, gaussians)
        for vote, weight in zip(votes, weights, strict=True):
            agreement = _agreement(vote, weight, hits, total, prior)
            trust = np.minimum(agreement / config.full_agreement, 1.0) ** 2
            weight[:] = np.where(vote.answered, np.maximum(trust, config.least_weight), 0.0)
    hits, total = _sums(votes, weights, gaussians)
    return hits / (prior + total), total


def _sums(
    votes: Sequence[_Vote], weights: Float[np.ndarray, "v q"], gaussians: int
) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "n q"]]:
    """Weighted hits and weighted views per Gaussian."""
    hits = np.zeros((gaussians, weights.shape[1]))
    total = np.zeros_like(hits)
    for vote, weight in zip(votes, weights, strict=True):
        seen = vote.seen[:, None] * weight
        hits[vote.index] += seen * vote.heat
        total[vote.index] += seen
    return hits, total


def _agreement(
    vote: _Vote,
    weight: Float[np.ndarray, " q"],
    hits: Float[np.ndarray, "n q"],
    total: Float[np.ndarray, "n q"],
    prior: Float[np.ndarray, " q"],
) -> Float[np.ndarray, " q"]:
    """How far the other views back this one, in [0, 1].

    A point is backed by the others' relevancy under it, relative to their best anywhere. "Not
    visible" is backed when the others' best place is out of this view's sight. Where the others know
    nothing, nothing contradicts.
    """
    others_hits, others_total = hits.copy(), total.copy()
    seen = vote.seen[:, None] * weight
    others_hits[vote.index] -= seen * vote.heat
    others_total[vote.index] -= seen
    others = others_hits / (prior + np.maximum(others_total, 0.0))
    if len(vote.index) == 0:
        return np.where(vote.positive, 0.0, 1.0)
    sharpness = np.maximum(vote.heat.max(axis=0), 1e-9)
    backed = (vote.heat / sharpness * others[vote.index]).max(axis=0)
    backed = (backed + _KNOWN) / (others.max(axis=0) + _KNOWN)
    seen_by_index = np.zeros(len(hits))
    seen_by_index[vote.index] = vote.seen
    hidden = 1.0 - seen_by_index[others.argmax(axis=0)]
    return np.clip(np.where(vote.positive, backed, hidden), 0.0, 1.0)
