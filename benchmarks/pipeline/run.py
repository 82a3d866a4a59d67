"""Time of ``point2act run`` as a fresh command, and what an empty cache of compiled kernels adds."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks.common.whole_run import first, later


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds from the start of the command to grasps.json, and to its end, report included."""
    runs = [later(number) for number in range(plan.rounds // 2)]
    whole = min(run.command.seconds for run in runs)
    yield Metric("run.cold_s", min(run.grasps for run in runs), "s")
    yield Metric("run.whole_s", whole, "s")
    yield Metric("run.first_extra_s", first().command.seconds - whole, "s")
