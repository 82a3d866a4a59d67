"""A thread with a queue of jobs, in which a newer job can replace a waiting one."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

Job = Callable[[], object]
"""A function whose result is ignored."""


class Worker:
    """Runs jobs one after another in its own thread."""

    def __init__(self, name: str, failed: Callable[[BaseException], None]):
        """Start the thread; ``failed`` is called with what a job raises, and the next job still runs."""
        self._failed = failed
        self._jobs: dict[object, Job] = {}
        self._changed = threading.Condition()
        self._busy = self._ended = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def do(self, job: Job, *, instead_of: object = None) -> None:
        """Queue a job, unless the worker has ended.

        Args:
            job: Function to run.
            instead_of: Key under which the job replaces a waiting one, in that one's turn.
        """
        with self._changed:
            if self._ended:
                return
            self._jobs[object() if instead_of is None else instead_of] = job
            self._changed.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether a job waits behind the running one."""
        return bool(self._jobs)

    def settle(self, timeout: float) -> bool:
        """Wait until no job is left, and return whether that happened within ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._busy, timeout)

    def end(self) -> None:
        """Drop waiting jobs and accept no more; does not wait for the running job."""
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
                try:
                    job()
                except BaseException as err:
                    self._failed(err)
            except BaseException:
                # The failure could not be reported. The thread goes on.
                traceback.print_exc()
