"""Tasks of a suite in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from point2act.core.threads import configure_threads

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def results(run: Callable[[_Task], _Result], tasks: Sequence[_Task], jobs: int) -> Iterator[_Result]:
    """Yield the result of each task as it completes; with one job in this process and in order.

    Args:
        run: A function of a module, which every process imports.
        tasks: What it is called with.
        jobs: Number of processes.
    """
    if jobs == 1:
        yield from map(run, tasks)
        return
    # Spawned, as a fork of a process with numba's threads deadlocks; each process uses one core.
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=configure_threads) as pool:
        yield from pool.imap_unordered(run, tasks)
