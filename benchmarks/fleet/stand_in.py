"""A service whose jobs take milliseconds: ``python -m benchmarks.fleet.stand_in FOLDER``, for load tests."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from point2act.fleet.identity import Task
from point2act.fleet.store import GRASPS, Outcome, Store
from point2act.service.limits import ServiceLimits
from point2act.service.service import Service
from point2act.service.serving import serve

LIMITS = ServiceLimits(max_upload=2**20, max_captures=60, max_queue=20, max_jobs=200, job_seconds=20.0)
"""Small ones, so that each of them is reached. Chosen."""
# Fractions of the attempts whose process ends, and of the jobs that fail. Chosen.
_DYING, _FAILING = 0.05, 0.05


class StandIn:
    """An executor that writes an empty result, and sometimes dies or fails."""

    workers = 4

    def __init__(self, store: Store):
        self._store, self._random, self._closed = store, random.Random(0), threading.Event()

    def attempt(self, tasks: Sequence[Task]) -> str | None:
        """Write a result, see ``Executor``."""
        (task,) = tasks
        self._closed.wait(0.002)
        if self._random.random() < _DYING:
            return "the process that worked on it ended by SIGKILL"
        error = "it cannot be done" if self._random.random() < _FAILING else None
        folder = self._store.job(task)
        folder.mkdir(parents=True, exist_ok=True)
        content = {"capture": str(task.capture), "seed": task.options.seed, "results": []}
        (folder / GRASPS).write_text(json.dumps(content), encoding="utf-8")
        self._store.record(task, Outcome("failed" if error else "done", 0.002, error))
        return None

    def kill(self, task: str) -> None:
        """Do nothing: jobs end by themselves."""

    def close(self) -> None:
        """End the waiting."""
        self._closed.set()


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    serve(Service(folder, StandIn(Store(folder)), limits=LIMITS), folder, host="127.0.0.1", port=0)
