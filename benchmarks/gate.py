"""Compare figures with a baseline: ratios, counts and accuracy, not seconds, which are the machine's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Metric

BASELINE = Path(__file__).with_name("baseline.json")


@dataclass(frozen=True)
class Gated:
    """A figure of the baseline."""

    name: str
    value: float
    tolerance: float
    """How much worse it may be, in its own unit."""
    reason: str
    """Why so much."""


def read_baseline(path: Path = BASELINE) -> list[Gated]:
    """The gated figures of a baseline file."""
    return [Gated(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def verdicts(
    figures: Sequence[Metric], baseline: Sequence[Gated], measured: Sequence[str]
) -> tuple[int, list[str]]:
    """How many gated figures belong to the suites that were measured, and what is wrong with some.

    A figure that such a suite no longer gives is wrong too: it must not slip away by a new name.
    """
    found = {metric.name: metric for metric in figures}
    gated = [entry for entry in baseline if entry.name.split(".")[0] in measured]
    failures = [failure for entry in gated if (failure := _failure(entry, found.get(entry.name)))]
    return len(gated), failures


def _failure(entry: Gated, metric: Metric | None) -> str | None:
    if metric is None:
        return f"{entry.name} was not measured"
    worse = entry.value - metric.value if metric.better == "higher" else metric.value - entry.value
    if worse <= entry.tolerance:  # false for a value that is not a number
        return None
    return (
        f"{entry.name} is {metric.value:.4g} {metric.unit}, worse than {entry.value:.4g} by more "
        f"than {entry.tolerance:.4g}"
    )
