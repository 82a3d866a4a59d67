"""Tasks in several processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from point2act.core.threads import configure_threads, use_one_thread

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
    # Spawned, as a fork of a process with numba's threads deadlocks.
    context = multiprocessing.get_context("spawn")
    with _one_thread_each():
        pool = context.Pool(jobs, initializer=configure_threads)
    with pool:
        yield from pool.imap_unordered(run, tasks)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Start processes with one thread each; libraries read these variables when they are imported."""
    before = dict(os.environ)
    use_one_thread()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
