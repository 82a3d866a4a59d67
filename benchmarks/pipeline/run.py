"""Time of ``point2act run`` as a fresh command, and what an empty cache of compiled kernels adds."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks.common.whole_run import first, later


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds from the start of the command to its end, report included."""
    cold = min(later(number).seconds for number in range(plan.rounds // 2))
    yield Metric("run.cold_s", cold, "s")
    yield Metric("run.first_extra_s", first().seconds - cold, "s")
