"""Coverage-guided fuzzing of the parsers: transforms, points, replies, configs and PLY clouds.

For a longer search of one parser: ``python -m benchmarks.quality.fuzz_target transforms 600 FOLDER``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks import CannotMeasureError, Metric, Plan
from benchmarks.common.timing import REPOSITORY

PARSERS = ("transforms", "points", "replies", "configs", "clouds")
# Factor on the plan's seconds, so that three of them are a minute for each parser.
_STRETCH = 20
# Seconds in addition to the search itself: imports, and the last input.
_GRACE = 120


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield inputs tried, branches reached, exceptions, hangs and crashes for each parser."""
    if find_spec("atheris") is None:
        raise CannotMeasureError("it needs atheris (pip install atheris, on Linux with Python 3.11 to 3.13)")
    for parser in PARSERS:
        with tempfile.TemporaryDirectory() as folder:
            text = _search(parser, max(1, round(_STRETCH * plan.seconds)), Path(folder))
            yield from _figures(parser, text, Path(folder))


def _search(parser: str, seconds: int, folder: Path) -> str:
    """Return what libFuzzer prints; a search that ends early has written the input to the folder."""
    command = [sys.executable, "-m", "benchmarks.quality.fuzz_target", parser, str(seconds), str(folder)]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, timeout=seconds + _GRACE, check=False
    )
    text = done.stderr.decode(errors="replace")
    if "stat::number_of_executed_units" not in text:
        raise RuntimeError(f"{' '.join(command)} did not search:\n{text[-2000:]}")
    return text


def _figures(parser: str, text: str, folder: Path) -> Iterator[Metric]:
    tried = int(re.findall(r"number_of_executed_units:\s*(\d+)", text)[-1])
    rate = float(re.findall(r"average_exec_per_sec:\s*(\d+)", text)[-1])
    edges = int(re.findall(r"cov: (\d+)", text)[-1])
    raised = len(list(folder.glob("raised-*.txt")))
    crashed = len(list(folder.glob("crash-*"))) + len(list(folder.glob("oom-*")))
    hung = len(list(folder.glob("timeout-*")))
    for file in sorted(folder.glob("raised-*.txt")):
        print(file.read_text(encoding="utf-8"), file=sys.stderr)
    yield Metric(f"fuzz.{parser}_inputs", tried, "inputs", "higher")
    yield Metric(f"fuzz.{parser}_rate", rate, "1/s", "higher")
    yield Metric(f"fuzz.{parser}_edges", edges, "edges", "higher")
    yield Metric(f"fuzz.{parser}_crashes", raised + crashed, "crashes")
    yield Metric(f"fuzz.{parser}_hangs", hung, "hangs")
