"""Start-up time of the command line and of ``import point2act``."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks.common.timing import python

HEAVY = ("torch", "open3d", "numba", "nerfstudio")


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds of fresh commands, and the number of heavy libraries that the import loads."""
    yield Metric("startup.help_s", _best(plan, "-m", "point2act.cli", "--help"), "s")
    yield Metric("startup.run_help_s", _best(plan, "-m", "point2act.cli", "run", "--help"), "s")
    yield Metric("startup.import_s", _best(plan, "-c", "import point2act"), "s")
    count = f"import sys, point2act; print(sum(name in sys.modules for name in {HEAVY}))"
    yield Metric("startup.heavy_modules", int(python("-c", count).output), "modules")


def _best(plan: Plan, *arguments: str) -> float:
    return min(python(*arguments).seconds for _ in range(1 + plan.rounds))
