"""An executor of processes on this machine. They are spawned: a fork of numba's threads deadlocks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue

from point2act.fleet.identity import Task
from point2act.fleet.store import Store
from point2act.fleet.worker import work


class ProcessExecutor:
    """Processes with one thread each; one that dies is replaced.

    Args:
        store: Where results are written.
        workers: Maximum number of processes; each is started when it is needed.
    """

    def __init__(self, store: Store, *, workers: int):
        self.workers = workers
        self._store = store
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: list[_Worker] = []
        self._first = threading.Lock()
        self._compiled = self._closed = False

    def attempt(self, tasks: Sequence[Task]) -> str | None:
        """Solve tasks of the same scene, see ``Executor``."""
        if self._closed:
            return "the batch has ended"
        worker = self._next()
        answer = worker.solve(tasks)
        if worker.process.is_alive():
            self._idle.put(worker)
        return answer

    def close(self) -> None:
        """End every process at once: what it has not recorded is done by the next batch."""
        self._closed = True
        for worker in self._all:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()

    def _next(self) -> _Worker:
        try:
            return self._idle.get_nowait()
        except Empty:
            pass
        # The first process compiles the kernels, if they are not yet; the others read them.
        with self._first:
            if not self._compiled:
                worker = self._started()
                self._compiled = True
                return worker
        return self._started()

    def _started(self) -> _Worker:
        worker = _Worker(self._store)
        self._all.append(worker)
        if self._closed:
            worker.process.kill()
        worker.wait_until_ready()
        return worker


class _Worker:
    """A process and the connection to it."""

    def __init__(self, store: Store):
        spawn = get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=work, args=(theirs, str(store.folder)), daemon=True)
        self.process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        """Wait for the end of the imports; should the process die, ``solve`` returns why."""
        self._received()

    def solve(self, tasks: Sequence[Task]) -> str | None:
        """Hand over tasks and wait for their end; return why it came early, if it did."""
        try:
            self.connection.send(list(tasks))
        except OSError:
            return self._death()
        return self._received()

    def _received(self) -> str | None:
        wait([self.connection, self.process.sentinel])
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return self._death()

    def _death(self) -> str:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"the process that worked on it ended {how}: it may have been out of memory"
