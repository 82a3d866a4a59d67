"""Many questions at once: so many at a time, none lost, and one that fails does not sink the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from point2act.core.errors import ModelError, Point2ActError
from point2act.core.types import Answer, Frame, Query
from point2act.data.capture import read_image
from point2act.data.crops import Crop
from point2act.vlm.pointing.point import Pointer, PointerReply

_log = logging.getLogger(__name__)

# When so many questions failed and none was answered, nobody is there: the others are not asked. Chosen.
_FAILURE_THRESHOLD = 8


@dataclass(frozen=True)
class RequestCounts:
    """How far the asking is."""

    total: int = 0
    asked: int = 0
    cached: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Answered or failed."""
        return self.asked + self.cached + self.failed

    def __str__(self) -> str:
        return f"{self.asked} asked, {self.cached} remembered, {self.failed} failed"


@dataclass(frozen=True, eq=False)
class PointingTask:
    """One question about one frame."""

    frame: Frame
    query: Query
    answer: Callable[[Pointer, UInt8[np.ndarray, "_h _w 3"]], Answer]
    """From who points and the image on disk to the answer."""


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What became of a task."""

    task: PointingTask
    answer: Answer | None
    why: str
    """Why there is no answer."""
    begin: float
    """By ``time.perf_counter``, as is the end."""
    end: float


class PointingExecutor:
    """Asks a pointer in the background, from as many threads as it allows."""

    def __init__(self, pointer: Pointer):
        """Nothing is asked yet."""
        self._pointer = _Counted(pointer)
        self._pool = ThreadPoolExecutor(pointer.concurrency, thread_name_prefix="ask")
        self._pending: list[Future[TaskResult]] = []

    def __enter__(self) -> PointingExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        """Drop the questions that nobody has begun with."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def count(self) -> RequestCounts:
        """How far the asking is."""
        return self._pointer.count

    def ask(self, tasks: Iterable[PointingTask]) -> None:
        """Put questions into the queue; those about one frame share its picture."""
        pictures: dict[str, _Picture] = {}
        for task in tasks:
            picture = pictures.setdefault(task.frame.name, _Picture(task.frame))
            self._pointer.add(total=1)
            self._pending.append(self._pool.submit(self._work, task, picture))

    def told(self) -> tuple[TaskResult, ...]:
        """Wait for the questions asked since the last time: what became of each, in their order."""
        pending, self._pending = self._pending, []
        return tuple(future.result() for future in pending)

    def _work(self, task: PointingTask, picture: _Picture) -> TaskResult:
        begin = time.perf_counter()
        try:
            fatal_error = self._pointer.fatal_error
            if fatal_error is not None:
                raise ModelError(f"not asked, as nobody answers: {fatal_error}")
            answer, why = task.answer(self._pointer, picture.pixels()), ""
        except Point2ActError as err:
            answer, why = None, str(err)
            self._pointer.fail(why)
            about = {"image": task.frame.name, "query": task.query.name}
            _log.debug("%s (%s) is not answered: %s", task.frame.name, task.query.name, why, extra=about)
        return TaskResult(task, answer, why, begin, time.perf_counter())


class _Picture:
    """A frame's pixels, read when the first question about it is asked."""

    def __init__(self, frame: Frame):
        self._frame = frame
        self._pixels: UInt8[np.ndarray, "_h _w 3"] | None = None
        self._lock = threading.Lock()

    def pixels(self) -> UInt8[np.ndarray, "_h _w 3"]:
        with self._lock:
            if self._pixels is None:
                self._pixels = read_image(self._frame)
            return self._pixels


class _Counted:
    """A pointer that counts, from many threads."""

    def __init__(self, pointer: Pointer):
        self._pointer = pointer
        self._lock = threading.Lock()
        self._first = ""
        self.count = RequestCounts()

    @property
    def name(self) -> str:
        return self._pointer.name

    @property
    def concurrency(self) -> int:
        return self._pointer.concurrency

    @property
    def fatal_error(self) -> str | None:
        """The first error where nobody answers, else None."""
        count = self.count
        return self._first if count.failed >= _FAILURE_THRESHOLD and count.failed == count.done else None

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        said = self._pointer.point(query, image, crop)
        self.add(cached=1) if said.cached else self.add(asked=1)
        return said

    def fail(self, why: str) -> None:
        self._first = self._first or why
        self.add(failed=1)

    def add(self, *, total: int = 0, asked: int = 0, cached: int = 0, failed: int = 0) -> None:
        with self._lock:
            now = self.count
            self.count = replace(
                now,
                total=now.total + total,
                asked=now.asked + asked,
                cached=now.cached + cached,
                failed=now.failed + failed,
            )
