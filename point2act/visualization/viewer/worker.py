"""One thread for jobs of one kind: in order, and of jobs that replace each other only the newest."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

Job = Callable[[], object]
"""What it returns is forgotten."""


class Worker:
    """Runs jobs one after another in a thread of its own."""

    def __init__(self, name: str, failed: Callable[[BaseException], None]):
        """``failed`` is told what a job raises; the next one runs all the same, even if that raises too."""
        self._failed = failed
        self._jobs: dict[object, Job] = {}
        self._changed = threading.Condition()
        self._busy = self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, job: Job, *, instead_of: object = None) -> None:
        """Run a job when its turn comes; one that waits under the same key, if not None, is dropped.

        After ``end`` nothing is run any more.
        """
        with self._changed:
            if self._ended:
                return
            # A new key goes to the end; a job that takes another's place takes its turn as well.
            self._jobs[object() if instead_of is None else instead_of] = job
            self._changed.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether a job waits for the one under way."""
        return bool(self._jobs)

    def settle(self, timeout: float) -> bool:
        """Wait until there is nothing left to do; whether that came in time, seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout)

    def end(self) -> None:
        """Drop what waits, and start nothing more. Does not wait for what is under way."""
        with self._changed:
            self._ended = True
            self._jobs.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._jobs or self._ended)
                if self._ended:
                    return
                job = self._jobs.pop(next(iter(self._jobs)))
                self._busy = True
            try:
                self._attempt(job)
            except BaseException:
                # Nobody could be told. The thread goes on.
                traceback.print_exc()

    def _attempt(self, job: Job) -> None:
        try:
            job()
        except BaseException as err:
            self._failed(err)
