"""How well scores rank grasps: the area under the ROC curve, and how often the best one of a region holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

# Resamples of the regions for intervals, and their seed. Chosen.
_RESAMPLES, _SEED = 2000, 0


@dataclass(frozen=True, eq=False)
class Ranked:
    """The grasps of one region with two scores each."""

    evaluator: Float[np.ndarray, " g"]
    planner: Float[np.ndarray, " g"]
    label: Bool[np.ndarray, " g"]


@dataclass(frozen=True)
class Ranking:
    """How well the evaluator ranks grasps, beside the score of the planner."""

    regions: int
    grasps: int
    area: float | None
    """Area under the ROC curve over all grasps; None if all labels are equal."""
    planner_area: float | None
    top_one: float
    """Mean label of the grasp with the highest score of each region: with ties, of all these."""
    planner_top_one: float
    random: float
    """Mean label of a grasp drawn at random."""
    best_possible: float
    """Part of the regions that have a grasp with the label."""
    gain: tuple[float, float]
    """Interval of 95 % of ``top_one`` - ``planner_top_one``, from resampled regions."""


def rank(regions: Sequence[Ranked]) -> Ranking | None:
    """Return how well two scores rank the grasps of regions; None without regions."""
    regions = [region for region in regions if len(region.label)]
    if not regions:
        return None
    labels = np.concatenate([region.label for region in regions])
    learned = np.array([_top(region.evaluator, region.label) for region in regions])
    analytic = np.array([_top(region.planner, region.label) for region in regions])
    return Ranking(
        regions=len(regions),
        grasps=len(labels),
        area=roc_area(np.concatenate([region.evaluator for region in regions]), labels),
        planner_area=roc_area(np.concatenate([region.planner for region in regions]), labels),
        top_one=float(learned.mean()),
        planner_top_one=float(analytic.mean()),
        random=float(np.mean([region.label.mean() for region in regions])),
        best_possible=float(np.mean([region.label.any() for region in regions])),
        gain=_interval(learned - analytic),
    )


def roc_area(scores: Float[np.ndarray, " g"], labels: Bool[np.ndarray, " g"]) -> float | None:
    """Return the probability that a true one scores higher than a false one; None without both."""
    true = int(labels.sum())
    if true in (0, len(labels)):
        return None
    above = rankdata(scores)[labels].sum() - true * (true + 1) / 2
    return float(above / (true * (len(labels) - true)))


def _top(scores: Float[np.ndarray, " g"], labels: Bool[np.ndarray, " g"]) -> float:
    return float(labels[scores == scores.max()].mean())


def _interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the interval of 95 % of a mean (percentile bootstrap)."""
    drawn = np.random.default_rng(_SEED).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
