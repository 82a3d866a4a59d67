"""An executor of processes on this machine. They are spawned: a fork of numba's threads deadlocks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait

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
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._busy: dict[str, _Worker] = {}
        self._lock, self._first = threading.Lock(), threading.Lock()
        self._compiled = self._closed = False

    def attempt(self, tasks: Sequence[Task]) -> str | None:
        """Solve tasks of the same scene, see ``Executor``."""
        worker = self._next(tasks[0].scene)
        if worker is None:
            return "the batch has ended"
        names = {task.name for task in tasks}
        with self._lock:
            self._busy.update(dict.fromkeys(names, worker))
        try:
            return worker.solve(tasks)
        finally:
            with self._lock:
                self._busy = {name: busy for name, busy in self._busy.items() if name not in names}
                if worker.process.is_alive():
                    self._idle.append(worker)

    def kill(self, task: str) -> None:
        """End the process that works on the task of this name, if there is one."""
        with self._lock:
            worker = self._busy.get(task)
            if worker is not None:
                worker.process.kill()

    def close(self) -> None:
        """End every process at once: what it has not recorded is done by the next batch."""
        with self._lock:  # No process is half started.
            self._closed = True
        for worker in self._all:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()

    def _next(self, scene: str) -> _Worker | None:
        """Return a process: one that has the scene, one that waits, or a new one; None after the end."""
        with self._lock:
            if self._closed:
                return None
            if self._idle:
                # The first that has the scene, else the one that waits longest.
                number = next((n for n, worker in enumerate(self._idle) if worker.scene == scene), 0)
                return self._idle.pop(number)
        # The first process compiles the kernels, if they are not yet; the others read them.
        with self._first:
            if not self._compiled:
                worker = self._started()
                self._compiled = True
                return worker
        return self._started()

    def _started(self) -> _Worker | None:
        with self._lock:
            if self._closed:
                return None
            worker = _Worker(self._store)
            self._all = [other for other in self._all if other.process.is_alive()] + [worker]
        worker.wait_until_ready()
        return worker


class _Worker:
    """A process and the connection to it."""

    scene = ""
    """The scene that it has made last."""

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
            self.scene = tasks[0].scene
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
