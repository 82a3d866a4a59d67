"""How long something takes, on a machine that others use as well."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(
    work: Callable[[], object],
    enough: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
    attempts: int = 3,
) -> float:
    """What the quickest of a few attempts took; there is no further one after one under ``enough``.

    Others on the machine only ever add to it.
    """
    quickest = float("inf")
    for _ in range(attempts):
        start = clock()
        work()
        quickest = min(quickest, clock() - start)
        if quickest < enough:
            break
    return quickest
