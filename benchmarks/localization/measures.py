"""What is counted of fused answers: inside the part's box or not, how far off, and how rightly sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import distance_to_box
from point2act.core.types import NoAnswer, OrientedBox, Region

Outcome = tuple[Region | NoAnswer, tuple[Region, ...]]
"""The best place or a refusal, and the rivals, best first, as ``find_region`` returns them."""

MARGIN = 0.01
"""Metres that the more generous measure allows around the box."""


class Verdict(NamedTuple):
    """What one outcome was worth."""

    refused: bool
    confidence: float
    """Of the best hypothesis, also where it was refused; 0 where there is none."""
    right: bool
    """Whether the best hypothesis, refused or not, lies inside the part's box."""
    inside: bool
    """The same, and it was not refused."""
    inside_1cm: bool
    error: float
    """Metres from the action point to the box, 0 inside; infinite when refused."""
    center_error: float
    """Metres from the action point to the box's centre; infinite when refused."""
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
    """Hold an outcome against the true box of the part; None when what was asked for is not there."""
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
    """Metres from a point to a box; exactly 0 inside."""
    return float(distance_to_box(point[None], box)[0])


class Bin(NamedTuple):
    """One bar of a reliability diagram."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean; nan when nothing fell here."""
    right: float
    """The share that was right; nan when nothing fell here."""


def reliability(
    confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], *, bins: int = 10
) -> list[Bin]:
    """How often what was answered with such confidence was right, in bins of equal width."""
    number = np.clip((confidence * bins).astype(int), 0, bins - 1)
    bars = []
    for index in range(bins):
        here = number == index
        means = (confidence[here].mean(), right[here].mean()) if here.any() else (np.nan, np.nan)
        bars.append(Bin(index / bins, (index + 1) / bins, int(here.sum()), float(means[0]), float(means[1])))
    return bars


def calibration_error(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Expected calibration error over ten bins (Naeini et al. 2015); 0 for no answers at all."""
    bars = [bar for bar in reliability(confidence, right) if bar.count]
    off = sum(bar.count * abs(bar.confidence - bar.right) for bar in bars)
    return off / max(len(confidence), 1)


def claims(records: Sequence[Record]) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """How sure every record was, and whether rightly."""
    verdicts = [record.verdict for record in records]
    confidence = np.array([verdict.confidence for verdict in verdicts], dtype=float)
    return confidence, np.array([verdict.right for verdict in verdicts], dtype=bool)


class Mean(NamedTuple):
    """A share and how far chance may have moved it."""

    value: float
    error: float
    """Standard error, scenes being what chance draws; nan for fewer than two scenes."""


@dataclass(frozen=True)
class Summary:
    """One method at one level. Shares are of 1."""

    queries: int
    inside: Mean
    """Of all queries and draws; a refusal is not inside."""
    inside_scenes: float
    """The mean of the scenes' shares."""
    inside_1cm: Mean
    top2: Mean
    refused: Mean
    error: float
    """Median over what was not refused, metres to the box."""
    center_error: float
    """The same, to the box's centre."""
    ece: float
    """Of the best hypotheses of all queries: one that is refused must have a low confidence."""
    ece_answered: float
    """Of what was not refused alone."""


def summarise(records: Sequence[Record]) -> Summary:
    """The figures of records that belong together."""
    scenes = np.array([record.scene for record in records])

    def column(name: str) -> np.ndarray:
        return np.array([getattr(record.verdict, name) for record in records])

    (confidence, right), answered = claims(records), ~column("refused")
    names = np.unique(scenes)
    return Summary(
        queries=len(records),
        inside=clustered_mean(column("inside"), scenes),
        inside_scenes=float(np.mean([column("inside")[scenes == name].mean() for name in names])),
        inside_1cm=clustered_mean(column("inside_1cm"), scenes),
        top2=clustered_mean(column("top2"), scenes),
        refused=clustered_mean(column("refused"), scenes),
        error=_median(column("error")[answered]),
        center_error=_median(column("center_error")[answered]),
        ece=calibration_error(confidence, right),
        ece_answered=calibration_error(confidence[answered], right[answered]),
    )


def clustered_mean(values: np.ndarray, clusters: np.ndarray) -> Mean:
    """The mean, and its standard error when values of one cluster go together."""
    off = values - values.mean()
    names = np.unique(clusters)
    sums = np.array([off[clusters == name].sum() for name in names])
    spread = (sums**2).sum() * len(names) / max(len(names) - 1, 1)
    error = np.sqrt(spread) / len(values) if len(names) > 1 else np.nan
    return Mean(float(values.mean()), float(error))


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("inf")
