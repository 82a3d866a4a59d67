"""How much memory ``point2act run`` takes."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import Metric, Plan
from benchmarks.common.capture import capture, workspace
from benchmarks.common.timing import python
from benchmarks.common.whole_run import environment, first

_RUN_AND_REPORT = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "point2act.cli", "run", *sys.argv[1:]])
print("\\n", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""A small process in between: one that is started by a large one is counted as if it had been as large."""


def measure(plan: Plan) -> Iterator[Metric]:
    """The largest resident set of the command, as the operating system counts it; 10^9 bytes."""
    first()  # compiles
    arguments = (str(capture()), "--output", str(workspace() / "measured"))
    finished = python("-c", _RUN_AND_REPORT, *arguments, environment=environment())
    yield Metric("memory.peak_gb", int(finished.output.split()[-1]) * 1024 / 1e9, "GB")
