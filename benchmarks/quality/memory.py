"""Peak memory of ``point2act run``."""

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
"""Run by a small process in between, as the memory of a forked child starts at that of its parent."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the largest resident set of the command as the operating system counts it, in 10^9 bytes."""
    first()  # compiles the kernels
    arguments = (str(capture()), "--output", str(workspace() / "measured"))
    finished = python("-c", _RUN_AND_REPORT, *arguments, environment=environment())
    yield Metric("memory.peak_gb", int(finished.output.split()[-1]) * 1024 / 1e9, "GB")
