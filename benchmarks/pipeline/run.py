"""How long ``point2act run`` takes as a fresh command, and how much longer the first time on a machine."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks.common.whole_run import first, later


def measure(plan: Plan) -> Iterator[Metric]:
    """Seconds from the start of the command to its end, report and all."""
    cold = min(later(number).seconds for number in range(plan.rounds // 2))
    yield Metric("run.cold_s", cold, "s")
    yield Metric("run.first_extra_s", first().seconds - cold, "s")
