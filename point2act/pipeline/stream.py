"""A capture that is still being made, watched and loaded beside the work on what is there already."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from point2act.core.progress import Stages
from point2act.core.types import Capture, Frame, View
from point2act.data.capture import load_view, watch_capture


@dataclass(frozen=True)
class FollowConfig:
    """How a growing capture is watched."""

    quiet: float = 5.0
    """Seconds without a new image after which a capture counts as done, where nobody says that it is."""
    start: float = 300.0
    """Seconds to wait for the first image."""


@dataclass(frozen=True, eq=False)
class _Arrival:
    capture: Capture
    views: tuple[View, ...]
    """The new ones."""
    when: float
    """When they were seen, by ``time.perf_counter``."""


class CaptureFollower:
    """Watches a capture from a thread of its own. Use it as a context manager."""

    def __init__(
        self,
        folder: Path | str,
        *,
        max_side: int,
        allow_outside: bool = False,
        config: FollowConfig = FollowConfig(),
    ):
        """Views are loaded with at most ``max_side`` pixels a side, as ``watch_capture`` allows."""
        self.capture: Capture | None = None
        """All that came so far."""
        self.views: list[View] = []
        self._folder, self._max_side, self._config = folder, max_side, config
        self._allow_outside = allow_outside
        self._queue: queue.SimpleQueue[_Arrival | BaseException | None] = queue.SimpleQueue()
        self._left = threading.Event()

    def __enter__(self) -> CaptureFollower:
        return self

    def __exit__(self, *exception: object) -> None:
        self._left.set()

    def start(self, seen: Callable[[Sequence[Frame]], None]) -> None:
        """Begin to watch; ``seen`` is told of new frames at once, from the watching thread."""
        # A daemon: where the program gives up, nobody waits for an image that never comes.
        threading.Thread(target=self._watch, args=(seen,), name="follow", daemon=True).start()

    def arrivals(self, stages: Stages) -> Iterator[tuple[Capture, Sequence[View]]]:
        """The capture so far and the views that came, again and again until the capture is done.

        Raises what went wrong while watching, such as ``CaptureError``.
        """
        while True:
            with stages.stage("wait for images") as bar:
                bar.note(f"{len(self.views)} so far")
                came = [self._queue.get()]
            while not self._queue.empty():
                came.append(self._queue.get())
            new: list[View] = []
            for arrival in came:
                if isinstance(arrival, BaseException):
                    raise arrival
                if arrival is not None:
                    self.capture = arrival.capture
                    new += arrival.views
                    for _ in arrival.views:
                        stages.beside("images arrive", arrival.when, arrival.when)
            self.views += new
            if self.capture is not None and new:
                yield self.capture, new
            if came[-1] is None:
                return

    def _watch(self, seen: Callable[[Sequence[Frame]], None]) -> None:
        try:
            config = self._config
            for arrived in watch_capture(
                self._folder, allow_outside=self._allow_outside, quiet=config.quiet, start=config.start
            ):
                if self._left.is_set():
                    return
                when = time.perf_counter()
                seen(arrived.new_frames)
                loaded = [
                    load_view(arrived.capture, frame, max_side=self._max_side) for frame in arrived.new_frames
                ]
                self._queue.put(_Arrival(arrived.capture, tuple(loaded), when))
            self._queue.put(None)
        except BaseException as err:
            self._queue.put(err)
