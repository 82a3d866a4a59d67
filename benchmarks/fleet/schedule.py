"""A simulation of the scheduler: what more workers would give, from measured durations."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def makespan(durations: Sequence[float], workers: int) -> float:
    """Return the time from the first start to the last end of groups of tasks, each on the first free worker.

    It assumes that groups take as long as they were measured, whatever runs beside them, and nothing for
    handing them over: an upper bound of the speed.

    Args:
        durations: Seconds of each group, in the order in which they are handed over.
        workers: Number of workers.
    """
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)
