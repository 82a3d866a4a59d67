"""The store of a batch: a folder for each job by the hash of its contents, complete or not there at all."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from point2act.core.errors import FleetError
from point2act.core.files import read_bytes, read_json, write_bytes, write_json, writing
from point2act.fleet.identity import Task

RECORD = "job.json"
"""Written last: a job without it has to be done."""
GRASPS = "grasps.json"
FIELD = "relevancy.ply"
"""Relevancy of each Gaussian to each query, where the job keeps it."""
RESULTS = "results.jsonl"
"""The list of results, in the store's folder."""

# Seconds that the workers of a batch that was killed have to end, and between two attempts. They end as soon
# as the current call into a library returns.
_PATIENCE, _POLL = 60.0, 0.05


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    status: Literal["done", "failed"]
    seconds: float
    """Duration of the work, with that on the scene if this job was the first on it."""
    error: str | None = None
    """Why it failed, one sentence; None if it did not."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds for each stage."""
    scene_seconds: float = 0.0
    """The part of ``seconds`` that made the scene; 0 if another job had."""


@dataclass(frozen=True)
class Store:
    """Results of jobs in a folder.

    Every file is written atomically, and ``job.json`` after the others of its job. One batch at a time writes
    to a store, with any number of workers.
    """

    folder: Path

    @property
    def answers(self) -> Path:
        """Folder for the answers of models."""
        return self.folder / "answers"

    def job(self, task: Task) -> Path:
        """Return the folder of a job."""
        return self.folder / "jobs" / task.key[:2] / task.name

    def find(self, task: Task) -> Outcome | None:
        """Return how a job ended; None if it has to be done."""
        return _read(self.job(task))

    def record(self, task: Task, outcome: Outcome) -> None:
        """Write how a job ended and what it came from, after its other files."""
        document = {"version": 1, **asdict(outcome), "source": self._source(task)}
        write_json(self.job(task) / RECORD, document)

    def copy_equal(self, task: Task) -> bool:
        """Copy the grasps of an equal job, whose capture has the same contents in another place, if any."""
        own = self.job(task)
        for path in sorted(own.parent.glob(f"{task.key}-*")):
            found = None if path == own else _read(path)
            if found is not None and found.status == "done":
                document = read_json(path / GRASPS, FleetError)
                write_json(own / GRASPS, {**document, "capture": task.capture.as_posix()})
                if task.options.fields:
                    write_bytes(own / FIELD, read_bytes(path / FIELD, FleetError))
                self.record(task, Outcome("done", 0.0))
                return True
        return False

    def _source(self, task: Task) -> dict[str, Any]:
        """Return where the answers are, relative to the store if in it, and how images were chosen."""
        points, folder = task.points.resolve(), self.folder.resolve()
        inside = points.relative_to(folder) if points.is_relative_to(folder) else points
        options = {name: getattr(task.options, name) for name in ("max_side", "max_views", "allow_outside")}
        return {"points": inside.as_posix(), **options}

    def forget(self, task: Task) -> None:
        """Remove the record of a job, so that it is done again."""
        with writing(self.job(task)):
            (self.job(task) / RECORD).unlink(missing_ok=True)

    def records(self) -> Iterator[Outcome]:
        """Yield how every job in the store ended."""
        for path in sorted(self.folder.glob(f"jobs/*/*/{RECORD}")):
            found = _read(path.parent)
            if found is not None:
                yield found

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other batches away, after the workers of one that was killed have ended.

        Raises:
            FleetError: Another batch works on the store.
        """
        with _locked(self.folder / ".batch.lock", fcntl.LOCK_EX, 0.0, self.folder):
            with _locked(self.folder / ".workers.lock", fcntl.LOCK_EX, _PATIENCE, self.folder):
                pass
            yield

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the next batch wait for this worker, should its own batch be killed."""
        with _locked(self.folder / ".workers.lock", fcntl.LOCK_SH, _PATIENCE, self.folder):
            yield


@contextmanager
def _locked(path: Path, kind: int, patience: float, store: Path) -> Iterator[None]:
    """Hold a lock on a file, which the system releases when the process ends."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        end = time.monotonic() + patience
        while not _try_lock(file, kind):
            if time.monotonic() >= end:
                raise FleetError(f"another batch works on {store}: wait for its end, or name another store")
            time.sleep(_POLL)
        yield
    finally:
        os.close(file)


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _read(folder: Path) -> Outcome | None:
    """Return the record in a job's folder; None if there is none, or it is damaged."""
    try:
        document: dict[str, Any] = read_json(folder / RECORD, FleetError)
        outcome = Outcome(**{one.name: document[one.name] for one in fields(Outcome)})
    except (FleetError, KeyError, TypeError):
        return None
    complete = outcome.status == "failed" or (folder / GRASPS).is_file()
    return outcome if complete else None
