"""Comparison of metrics with a committed baseline: ratios, counts and accuracy, but no times."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Metric

BASELINE = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True)
class Gated:
    """One metric of the baseline."""

    name: str
    value: float
    tolerance: float
    """Allowed change for the worse, in the unit of the metric."""
    reason: str
    """Why the tolerance has this size."""


def read_baseline(path: Path = BASELINE) -> list[Gated]:
    """Read the gated metrics of a baseline file."""
    return [Gated(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def verdicts(
    figures: Sequence[Metric], baseline: Sequence[Gated], measured: Sequence[str]
) -> tuple[int, list[str]]:
    """Return the number of gated metrics of the measured suites, and a message for each that fails.

    A gated metric that its suite no longer reports fails as well, so that a rename cannot hide it.
    """
    found = {metric.name: metric for metric in figures}
    gated = [entry for entry in baseline if entry.name.split(".")[0] in measured]
    failures = [failure for entry in gated if (failure := _failure(entry, found.get(entry.name)))]
    return len(gated), failures


def _failure(entry: Gated, metric: Metric | None) -> str | None:
    if metric is None:
        return f"{entry.name} was not measured"
    worse = entry.value - metric.value if metric.better == "higher" else metric.value - entry.value
    if worse <= entry.tolerance:  # false for NaN
        return None
    return (
        f"{entry.name} is {metric.value:.4g} {metric.unit}, worse than {entry.value:.4g} by more "
        f"than {entry.tolerance:.4g}"
    )
