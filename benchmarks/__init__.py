"""Benchmarks: ``python -m benchmarks`` runs every short suite, ``python -m benchmarks raster fit`` two.

``suites.py`` lists the suites. README.md says what each of them measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One measured number."""

    name: str
    """Name of the suite, a dot, and the name of the metric in the suite."""
    value: float
    unit: str
    better: Literal["lower", "higher"] = "lower"


@dataclass(frozen=True)
class Plan:
    """Amount of work for each measurement."""

    seconds: float = 3.0
    """Seconds spent on each measurement of a fast operation."""
    rounds: int = 5
    """Number of repetitions of each slow operation; the fastest counts."""
    every: int = 1
    """Stride over the sizes at which growth is measured."""
    plot: Path | None = None
    """PNG file of the plot of growth; None for no plot."""


QUICK = Plan(seconds=0.5, rounds=2, every=2)


class CannotMeasureError(Exception):
    """A requirement of a suite is missing on this machine; the message is one sentence that names it."""
