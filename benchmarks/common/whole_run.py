"""``point2act run`` on the shared capture, as a command of its own, where nothing is compiled yet.

The compiled kernels go to a folder of this process, so the first run compiles them all and later ones none,
whatever the user's own cache holds.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from benchmarks.common.capture import capture, workspace
from benchmarks.common.timing import Finished, python


def environment() -> dict[str, str]:
    """Where these runs keep their compiled kernels."""
    return {"NUMBA_CACHE_DIR": str(workspace() / "kernels")}


@cache
def first() -> Finished:
    """The run that finds no compiled kernels."""
    return _run(workspace() / "first")


@cache
def later(number: int) -> Finished:
    """A run after the first; each number is a run of its own."""
    first()
    return _run(output() if number == 0 else workspace() / f"later-{number}")


def output() -> Path:
    """Where ``later(0)`` writes."""
    return workspace() / "later-0"


def _run(folder: Path) -> Finished:
    return python(
        "-m", "point2act.cli", "run", str(capture()), "--output", str(folder), environment=environment()
    )
