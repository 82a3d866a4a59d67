"""``point2act run`` on the shared capture as a separate command with its own cache of compiled kernels.

Compiled kernels go to a temporary folder, so that the first run compiles all of them and later runs none,
whatever the user's own cache holds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.common.capture import capture, workspace
from benchmarks.common.timing import Finished, python


def environment() -> dict[str, str]:
    """Return the environment variable that names the cache of compiled kernels."""
    return {"NUMBA_CACHE_DIR": str(workspace() / "kernels")}


@dataclass(frozen=True)
class WholeRun:
    """A finished run."""

    command: Finished
    grasps: float
    """Seconds from the start of the command to its grasps.json."""


@cache
def first() -> WholeRun:
    """Run once with an empty cache of compiled kernels."""
    return _run(workspace() / "first")


@cache
def later(number: int) -> WholeRun:
    """Run after the first run; each number is a run of its own."""
    first()
    return _run(output() if number == 0 else workspace() / f"later-{number}")


def output() -> Path:
    """Return the output folder of ``later(0)``."""
    return workspace() / "later-0"


def _run(folder: Path) -> WholeRun:
    start = time.time()  # as the file system counts
    command = python(
        "-m", "point2act.cli", "run", str(capture()), "--output", str(folder), environment=environment()
    )
    return WholeRun(command, (folder / "grasps.json").stat().st_mtime - start)
