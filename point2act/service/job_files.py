"""What is kept of jobs on disk, so that they survive the end of the service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from point2act.core.errors import FleetError
from point2act.core.files import read_json, write_json
from point2act.service.jobs import ServiceJob, read_job


class JobFiles:
    """A folder for each job: what it is, how it ended, and the points that a client sent.

    Args:
        folder: Folder of all jobs.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def points(self, name: str) -> Path:
        """Return the path of the points of a job."""
        return self._folder / name / "points.json"

    def add(self, job: ServiceJob) -> None:
        """Write a new job."""
        write_json(self._job(job.name), asdict(job))

    def update(self, job: ServiceJob) -> None:
        """Write how a job ended, unless it was forgotten meanwhile."""
        if self._job(job.name).exists():
            self.add(job)

    def drop(self, name: str) -> None:
        """Forget a job after the next start."""
        self._job(name).unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove the files of a job."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def read(self) -> Iterator[ServiceJob]:
        """Yield the jobs of a service that was stopped, oldest first; remove what is incomplete."""
        for path in sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime):
            try:
                yield read_job(read_json(self._job(path.name), FleetError))
            except (FleetError, KeyError, TypeError):
                self.remove(path.name)  # Cancelled, or killed while it was written.

    def _job(self, name: str) -> Path:
        return self._folder / name / "request.json"
