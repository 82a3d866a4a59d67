"""A thread pool that asks a pointer about many crops at once; one failure does not stop the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import UInt8

from point2act.core.errors import ModelError, Point2ActError
from point2act.core.types import Answer, Frame, Query
from point2act.data.capture import read_image
from point2act.data.crops import Crop
from point2act.vlm.pointing.point import Pointer, point_at

_log = logging.getLogger(__name__)

Image = UInt8[np.ndarray, "_h _w 3"]

_FAILURE_THRESHOLD = 8
"""After this many failures and no answer, the remaining requests are not sent. Chosen."""


@dataclass(frozen=True)
class RequestCounts:
    """Progress of a set of requests."""

    total: int = 0
    asked: int = 0
    cached: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Number of requests that were answered or failed."""
        return self.asked + self.cached + self.failed

    def __str__(self) -> str:
        return f"{self.asked} asked, {self.cached} cached, {self.failed} failed"


@dataclass(frozen=True, eq=False)
class PointingTask:
    """One query about one crop of one frame."""

    frame: Frame
    query: Query
    crop: Callable[[Image], Crop]
    """Function from the image on disk to the crop that is shown."""


@dataclass(frozen=True, eq=False)
class TaskResult:
    """Outcome of one task."""

    task: PointingTask
    answer: Answer | None
    error: str
    """Why there is no answer; empty if there is one."""
    start: float
    """Time of ``time.perf_counter``, seconds; likewise ``end``."""
    end: float


class PointingExecutor:
    """Asks a pointer in the background, with as many threads as the pointer allows."""

    def __init__(self, pointer: Pointer):
        """Start the thread pool; nothing is asked yet."""
        self._pointer = pointer
        self._pool = ThreadPoolExecutor(pointer.concurrency, thread_name_prefix="ask")
        self._pending: list[Future[TaskResult]] = []
        self._lock = threading.Lock()
        self._first_error = ""
        self.count = RequestCounts()

    def __enter__(self) -> PointingExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        """Cancel the tasks that have not started."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, tasks: Iterable[PointingTask]) -> None:
        """Queue tasks; each frame's image is read once, when its first task starts."""
        images: dict[str, Callable[[], Image]] = {}
        for task in tasks:
            image = images.setdefault(task.frame.name, _lazy_image(task.frame))
            self._add(total=1)
            self._pending.append(self._pool.submit(self._execute, task, image))

    def results(self) -> tuple[TaskResult, ...]:
        """Wait for the tasks submitted since the last call, and return their results in the same order."""
        pending, self._pending = self._pending, []
        return tuple(future.result() for future in pending)

    def _execute(self, task: PointingTask, image: Callable[[], Image]) -> TaskResult:
        start, answer, error = time.perf_counter(), None, ""
        try:
            self._check_that_any_succeeds()
            crop = task.crop(image())
            answer, cached = point_at(self._pointer, task.query, task.frame.name, crop)
            self._add(cached=1) if cached else self._add(asked=1)
        except Point2ActError as err:
            error = str(err)
            self._first_error = self._first_error or error
            self._add(failed=1)
            about = {"image": task.frame.name, "query": task.query.name}
            _log.debug("%s (%s) is not answered: %s", task.frame.name, task.query.name, error, extra=about)
        return TaskResult(task, answer, error, start, time.perf_counter())

    def _check_that_any_succeeds(self) -> None:
        """Raise ``ModelError`` if all of the first requests failed, as with a server that is down."""
        if self.count.failed >= _FAILURE_THRESHOLD and self.count.failed == self.count.done:
            raise ModelError(f"not asked, because all earlier requests failed: {self._first_error}")

    def _add(self, **increments: int) -> None:
        with self._lock:
            now = self.count
            self.count = replace(now, **{key: getattr(now, key) + n for key, n in increments.items()})


def _lazy_image(frame: Frame) -> Callable[[], Image]:
    """Return a function, safe to call from several threads, that reads a frame's image once."""
    lock, read = threading.Lock(), cache(lambda: read_image(frame))

    def image() -> Image:
        with lock:
            return read()

    return image
