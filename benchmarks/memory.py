"""How much memory ``point2act run`` takes."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks._whole_run import first, later


def measure(plan: Plan) -> Iterator[Metric]:
    """The largest resident set of the command, as the operating system counts it; 10^9 bytes."""
    yield Metric("memory.peak_gb", later(0).peak_gb, "GB")
    yield Metric("memory.first_peak_gb", first().peak_gb, "GB")
