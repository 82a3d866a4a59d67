"""Large captures: 500 views of 1280x720, through ``point2act check`` and ``point2act run``.

Reports wall time, CPU time, the largest resident set, and the number of views used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.common.timing import python
from benchmarks.common.whole_run import environment, first
from benchmarks.large.capture import large_capture

VIEWS, QUICK_VIEWS = 500, 40
_RUN_AND_REPORT = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run([sys.executable, "-m", "point2act.cli", *sys.argv[1:]])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
figures = time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9
print("\\n" + json.dumps([done.returncode, *figures]))
"""
"""Run by a small process in between, as the memory of a forked child starts at that of its parent."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the metrics of ``point2act check`` and ``point2act run``."""
    views = QUICK_VIEWS if plan.every > 1 else VIEWS
    capture, output = large_capture(views), workspace() / "large"
    first()  # compiles the kernels
    yield Metric("large.views", views, "", "higher")
    # A check ends with 1 where it has warnings: some of the images are blurred.
    yield from _figures("check", _reported("check", str(capture)), accepted=(0, 1))
    yield from _figures("run", _reported("run", str(capture), "--output", str(output)), accepted=(0,))
    yield Metric("large.run_views", _views_used(output), "", "higher")


def _reported(*arguments: str) -> str:
    return python("-c", _RUN_AND_REPORT, *arguments, environment=environment()).output


def _figures(name: str, output: str, *, accepted: tuple[int, ...]) -> Iterator[Metric]:
    code, seconds, cores, gigabytes = json.loads(output.splitlines()[-1])
    if code not in accepted:
        raise RuntimeError(f"point2act {name} ended with {code}:\n{output[-2000:]}")
    yield Metric(f"large.{name}_seconds", seconds, "s")
    yield Metric(f"large.{name}_cpu_seconds", cores, "s")
    yield Metric(f"large.{name}_peak_gb", gigabytes, "GB")


def _views_used(output: Path) -> int:
    """Return the number of views used, from the report."""
    text = re.sub(r"<[^>]+>", " ", (output / "report.html").read_text(encoding="utf-8"))
    found = re.search(r"Views\s+(\d+)", text)
    if found is None:
        raise RuntimeError("report.html does not say how many views were used")
    return int(found.group(1))
