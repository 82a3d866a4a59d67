"""Timing of calls in this process and of commands in their own process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
Work = Callable[[], object]


def once(work: Work) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(work: Work, seconds: float) -> float:
    """Return the time of the fastest call, after a first one; at least three calls, for the given seconds.

    The minimum, because load by other processes only ever adds time.
    """
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(once(work))
    return min(times)


def best_of_each(works: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the time of the fastest call of each of several functions that take turns.

    Each is called once first, to compile and allocate. A turn lasts a tenth of a second or one call,
    whichever is longer; the first call of a turn finds caches filled by the others.
    """
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            turn: list[float] = []
            while sum(turn) < 0.1:
                turn.append(once(work))
            times[name] += turn
    return {name: min(values) for name, values in times.items()}


@dataclass(frozen=True)
class Finished:
    """A command that succeeded."""

    seconds: float
    output: str


def python(*arguments: str, environment: Mapping[str, str] | None = None) -> Finished:
    """Run this Python with arguments in the repository and wait for it."""
    start = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if finished.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed:\n{finished.stdout[-2000:]}")
    return Finished(seconds, finished.stdout)
