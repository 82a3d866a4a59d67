"""Measures of localization: action point inside the part's box, distance, refusal and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu

from point2act.core.geometry import distance_to_box
from point2act.core.types import NoAnswer, OrientedBox, Region

Outcome = tuple[Region | NoAnswer, tuple[Region, ...]]
"""Best region or refusal, and the alternatives, best first, as ``find_region`` returns them."""

MARGIN = 0.01
"""Margin around the box of the more generous measure, metres."""


class Verdict(NamedTuple):
    """Evaluation of one outcome."""

    refused: bool
    confidence: float
    """Confidence of the best hypothesis, also where it was refused; 0 where there is none."""
    right: bool
    """Whether the best hypothesis, refused or not, lies inside the part's box."""
    inside: bool
    """Whether the best hypothesis lies inside the box and was not refused."""
    inside_1cm: bool
    error: float
    """Distance from the action point to the box, metres, 0 inside; infinite when refused."""
    center_error: float
    """Distance from the action point to the box's centre, metres; infinite when refused."""
    top2: bool
    """Whether one of the two best hypotheses, refused or not, lies inside."""


@dataclass(frozen=True)
class Record:
    """One query of one scene, answered once."""

    level: str
    method: str
    scene: str
    query: str
    draw: int
    verdict: Verdict


def judge(outcome: Outcome, box: OrientedBox | None) -> Verdict:
    """Compare an outcome with the true box of the part, or with None if the object is not in the scene."""
    answer, rivals = outcome
    refused = isinstance(answer, NoAnswer)
    hypotheses = rivals if isinstance(answer, NoAnswer) else (answer, *rivals)
    confidence = hypotheses[0].confidence if hypotheses else 0.0
    if box is None:
        return Verdict(refused, confidence, False, False, False, np.inf, np.inf, False)
    errors = [distance(place.action_point, box) for place in hypotheses]
    error = np.inf if refused else errors[0]
    off = np.inf if refused else float(np.linalg.norm(hypotheses[0].action_point - box.center))
    return Verdict(
        refused=refused,
        confidence=confidence,
        right=bool(errors) and errors[0] == 0,
        inside=error == 0,
        inside_1cm=error <= MARGIN,
        error=error,
        center_error=off,
        top2=0 in errors[:2],
    )


def distance(point: Float[np.ndarray, " 3"], box: OrientedBox) -> float:
    """Return the distance of a point to a box, metres; exactly 0 inside."""
    return float(distance_to_box(point[None], box)[0])


class Bin(NamedTuple):
    """One bin of a reliability diagram."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean confidence; NaN for an empty bin."""
    right: float
    """Fraction of right hypotheses; NaN for an empty bin."""


def reliability(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], *, bins: int = 10
) -> list[Bin]:
    """Return the fraction of right hypotheses by confidence, in bins of equal width."""
    number = np.clip((confidence * bins).astype(int), 0, bins - 1)
    bars = []
    for index in range(bins):
        here = number == index
        means = (confidence[here].mean(), right[here].mean()) if here.any() else (np.nan, np.nan)
        bars.append(Bin(index / bins, (index + 1) / bins, int(here.sum()), float(means[0]), float(means[1])))
    return bars


def calibration_error(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Return the expected calibration error over ten bins (Naeini et al. 2015); 0 for no answers."""
    bars = [bar for bar in reliability(confidence, right) if bar.count]
    off = sum(bar.count * abs(bar.confidence - bar.right) for bar in bars)
    return off / max(len(confidence), 1)


def roc_area(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Return the area under the ROC curve of confidence for right against wrong; NaN if all are alike.

    The probability that a right answer has more confidence than a wrong one (Hanley and McNeil 1982).
    """
    if right.all() or not right.any():
        return np.nan
    more = mannwhitneyu(confidence[right], confidence[~right]).statistic
    return float(more / (right.sum() * (~right).sum()))


def confidences(records: Sequence[Record]) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the confidence of every record, and whether its best hypothesis is right."""
    verdicts = [record.verdict for record in records]
    confidence = np.array([verdict.confidence for verdict in verdicts], dtype=float)
    return confidence, np.array([verdict.right for verdict in verdicts], dtype=bool)


class Mean(NamedTuple):
    """A fraction with its standard error."""

    value: float
    error: float
    """Standard error, clustered by scene; NaN for fewer than two scenes."""


@dataclass(frozen=True)
class Summary:
    """Results of one method at one level, as fractions."""

    queries: int
    inside: Mean
    """Fraction of all queries and draws; a refusal is not inside."""
    inside_scenes: float
    """Mean of the fractions of the scenes."""
    inside_1cm: Mean
    top2: Mean
    refused: Mean
    right: Mean
    """Fraction whose best hypothesis, refused or not, is inside."""
    error: float
    """Median distance to the box over answers that were not refused, metres."""
    center_error: float
    """Median distance to the box's centre, metres."""
    ece: float
    """Calibration error of the best hypotheses of all queries, refused ones included."""
    ece_answered: float
    """Calibration error without refused queries."""
    roc_area: float
    """Area under the ROC curve of confidence for right against wrong, over all queries."""


def summarise(records: Sequence[Record]) -> Summary:
    """Return the results of records of one method and level."""
    scenes = np.array([record.scene for record in records])

    def column(name: str) -> np.ndarray:
        return np.array([getattr(record.verdict, name) for record in records])

    (confidence, right), answered = confidences(records), ~column("refused")
    names = np.unique(scenes)
    return Summary(
        queries=len(records),
        inside=clustered_mean(column("inside"), scenes),
        inside_scenes=float(np.mean([column("inside")[scenes == name].mean() for name in names])),
        inside_1cm=clustered_mean(column("inside_1cm"), scenes),
        top2=clustered_mean(column("top2"), scenes),
        refused=clustered_mean(column("refused"), scenes),
        right=clustered_mean(column("right"), scenes),
        error=_median(column("error")[answered]),
        center_error=_median(column("center_error")[answered]),
        ece=calibration_error(confidence, right),
        ece_answered=calibration_error(confidence[answered], right[answered]),
        roc_area=roc_area(confidence, right),
    )


def clustered_mean(values: np.ndarray, clusters: np.ndarray) -> Mean:
    """Return the mean, and its standard error with values correlated within clusters."""
    off = values - values.mean()
    names = np.unique(clusters)
    sums = np.array([off[clusters == name].sum() for name in names])
    spread = (sums**2).sum() * len(names) / max(len(names) - 1, 1)
    error = np.sqrt(spread) / len(values) if len(names) > 1 else np.nan
    return Mean(float(values.mean()), float(error))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("inf")
