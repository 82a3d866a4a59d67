"""A capture that is still being made: its images are loaded in a thread of their own as they arrive."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from point2act.core.progress import Stages
from point2act.core.types import Capture, Frame, View
from point2act.data.capture import watch_capture
from point2act.data.view_loader import ViewLoader


@dataclass(frozen=True)
class FollowConfig:
    """Time limits for a capture that is still being made."""

    quiet: float = 5.0
    """Seconds without a new image after which a capture counts as complete if it does not say so itself."""
    start: float = 300.0
    """Maximum number of seconds to wait for the first image."""


@dataclass(frozen=True, eq=False)
class _Batch:
    capture: Capture
    views: tuple[View, ...]
    """The new views."""
    time: float
    """When they were found, by ``time.perf_counter``."""


class CaptureFollower:
    """A thread that watches a capture and loads its new images. Use it as a context manager.

    Args:
        folder: The capture's folder.
        loader: How images are loaded.
        config: Time limits.
    """

    def __init__(self, folder: Path | str, loader: ViewLoader, *, config: FollowConfig = FollowConfig()):
        self.capture: Capture | None = None
        """The capture with all frames so far."""
        self.views: list[View] = []
        self._folder, self._loader, self._config = folder, loader, config
        self._queue: queue.SimpleQueue[_Batch | BaseException | None] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def __enter__(self) -> CaptureFollower:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()

    def start(self, on_frames: Callable[[Sequence[Frame]], None]) -> None:
        """Start to watch; ``on_frames`` is called with new frames at once, from the watching thread."""
        # A daemon: a program that fails does not wait for an image that never comes.
        threading.Thread(target=self._watch, args=(on_frames,), name="follow", daemon=True).start()

    def arrivals(self, stages: Stages) -> Iterator[tuple[Capture, Sequence[View]]]:
        """Yield the capture so far and its new views until the capture is complete.

        Raises:
            Point2ActError: The capture cannot be read; it is raised here, in the caller's thread.
        """
        while True:
            with stages.stage("wait for images") as bar:
                bar.note(f"{len(self.views)} so far")
                batches = [self._queue.get()]
            while not self._queue.empty():
                batches.append(self._queue.get())
            new: list[View] = []
            for batch in batches:
                if isinstance(batch, BaseException):
                    raise batch
                if batch is not None:
                    self.capture = batch.capture
                    new += batch.views
                    for _ in batch.views:
                        stages.record("images arrive", batch.time, batch.time)
            self.views += new
            if self.capture is not None and new:
                yield self.capture, new
            if batches[-1] is None:
                return

    def _watch(self, on_frames: Callable[[Sequence[Frame]], None]) -> None:
        try:
            loader, config = self._loader, self._config
            for arrived in watch_capture(
                self._folder,
                allow_outside=loader.allow_outside,
                quiet=config.quiet,
                startup_timeout=config.start,
            ):
                if self._stopped.is_set():
                    return
                found = time.perf_counter()
                on_frames(arrived.new_frames)
                views = [loader.load_frame(arrived.capture, frame) for frame in arrived.new_frames]
                self._queue.put(_Batch(arrived.capture, tuple(views), found))
            self._queue.put(None)
        except BaseException as err:
            self._queue.put(err)
