"""What the command line and ``import point2act`` cost before any work is done."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks.common.timing import python

HEAVY = ("torch", "open3d", "numba", "nerfstudio")


def measure(plan: Plan) -> Iterator[Metric]:
    """Seconds of fresh commands, and the heavy libraries that an import brings along."""
    yield Metric("startup.help_s", _best(plan, "-m", "point2act.cli", "--help"), "s")
    yield Metric("startup.run_help_s", _best(plan, "-m", "point2act.cli", "run", "--help"), "s")
    yield Metric("startup.import_s", _best(plan, "-c", "import point2act"), "s")
    count = f"import sys, point2act; print(sum(name in sys.modules for name in {HEAVY}))"
    yield Metric("startup.heavy_modules", int(python("-c", count).output), "modules")


def _best(plan: Plan, *arguments: str) -> float:
    return min(python(*arguments).seconds for _ in range(1 + plan.rounds))
