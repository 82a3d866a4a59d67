"""Measurements: ``python -m benchmarks`` runs every suite, ``python -m benchmarks raster fit`` two.

A suite is a module of this package whose name does not begin with an underscore. It has a
``measure(plan)`` that yields figures as it gets them. README.md says what each of them measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One measured number."""

    name: str
    """The suite's, a dot, and the figure's own."""
    value: float
    unit: str
    better: Literal["lower", "higher"] = "lower"


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    seconds: float = 3.0
    """Spent on each thing that is quick to do."""
    rounds: int = 5
    """How often each thing that is slow to do is done; the best of them counts."""
    every: int = 1
    """Growth is measured at every so many-th size."""
    plot: Path | None = None
    """Where growth is drawn, if anywhere."""


QUICK = Plan(seconds=0.5, rounds=2, every=2)


class CannotMeasureError(Exception):
    """A suite's need is not met on this machine; the message is one sentence that says which."""
