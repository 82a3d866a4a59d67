"""The service without its network: jobs in a bounded queue, and the threads that have them done."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from point2act.core.errors import FleetError, Point2ActError
from point2act.core.files import read_json, write_json
from point2act.core.progress import Stages
from point2act.core.types import Query
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.fleet.asking import Asker
from point2act.fleet.estimate import estimate
from point2act.fleet.executors import KillableExecutor
from point2act.fleet.identity import Identification, Task
from point2act.fleet.manifest import Job, JobOptions
from point2act.fleet.store import GRASPS, Store
from point2act.service.captures import Captures
from point2act.service.job_files import JobFiles
from point2act.service.jobs import BusyError, MissingError, ServiceJob
from point2act.service.limits import ServiceLimits
from point2act.service.requests import EstimateReply, JobReply, JobRequest, public
from point2act.vlm.pointing.questions import name_queries

_ATTEMPTS = 2
"""Times that a job is tried whose process ends."""


class Service:
    """Captures and jobs of all clients, in a folder.

    Args:
        folder: Where captures, answers and results are kept, absolute.
        executor: What does the jobs.
        asker: The model that is asked queries; None for recorded points alone.
        limits: What clients may ask for.
    """

    def __init__(
        self,
        folder: Path,
        executor: KillableExecutor,
        *,
        asker: Asker | None = None,
        limits: ServiceLimits = ServiceLimits(),
    ):
        self.limits = limits
        self.captures = Captures(folder, limits)
        self._folder = folder
        self._store, self._files = Store(folder), JobFiles(folder / "requests")
        self._executor, self._asker = executor, asker
        self._jobs: dict[str, ServiceJob] = {}
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._pool = ThreadPoolExecutor(executor.workers, thread_name_prefix="jobs")

    def resume(self) -> None:
        """Queue the jobs of a service that was stopped; those that were done are found in the store."""
        for job in self._files.read():
            self._jobs[job.name] = job
            if not job.ended:
                self._pool.submit(self._run, job)

    def close(self) -> None:
        """End the work; what is not done is done after the next start."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._executor.close()
        self._pool.shutdown(wait=True)

    # ── jobs ───────────────────────────────────────────────────────────────────────────────────
    def add_job(self, capture: str, request: JobRequest, options: JobOptions) -> JobReply:
        """Queue a job.

        Raises:
            BusyError: The queue is full.
            PointsError: The points do not belong to the capture.
            FleetError: There are queries, and no model that is asked.
        """
        folder, name = self.captures.folder(capture), secrets.token_hex(8)
        queries = self._queries(request)
        job = ServiceJob(name, capture, queries, options)
        with self._lock:
            waiting = sum(known.status == "queued" for known in self._jobs.values())
            if waiting >= self.limits.max_queue:
                raise BusyError(f"{waiting} jobs wait already: try again when some have ended")
            self._jobs[name] = job
        try:
            if request.points is not None:
                write_json(self._files.points(name), request.points)
                read_points(self._files.points(name), read_capture(folder))
            self._files.add(job)
        except Exception:
            self._forget(name)
            raise
        self._pool.submit(self._run, job)
        return job.reply()

    def estimate(self, capture: str, request: JobRequest, options: JobOptions) -> EstimateReply:
        """Return what a job would take; nothing is asked or queued.

        Raises:
            Point2ActError: As ``add_job``, but for a full queue.
        """
        folder, queries = self.captures.folder(capture), self._queries(request)
        points = self.captures.new_path()
        try:
            if request.points is not None:
                write_json(points, request.points)
                read_points(points, read_capture(folder))
            job = Job(0, folder, None if queries else points, queries, options)
            asker, stages = self._asker if queries else None, Stages(show=False)
            expected = estimate([job], self._store, asker=asker, workers=1, stages=stages)
        finally:
            points.unlink(missing_ok=True)
        return EstimateReply(
            known=expected.known == 1,
            questions=expected.questions,
            seconds=expected.seconds,
            tokens=expected.tokens,
            money=expected.money,
        )

    def job(self, name: str) -> ServiceJob:
        """Return a job.

        Raises:
            MissingError: There is none of this name.
        """
        found = self._jobs.get(name)
        if found is None:
            raise MissingError("there is no job of this name")
        return found

    def cancel(self, name: str) -> JobReply:
        """Cancel a job that has not ended; the process that works on it ends."""
        job = self.job(name)
        with self._lock:
            if not job.ended:
                job.status = "cancelled"
                self._files.drop(name)
        if job.status == "cancelled":
            self._executor.kill(Path(job.result).name)
        return job.reply()

    def grasps(self, name: str) -> dict[str, Any]:
        """Return the grasps.json of a job, with the capture's name in place of its path.

        Raises:
            MissingError: The job is not done.
        """
        job = self.job(name)
        if job.status != "done":
            raise MissingError(f"the job is {job.status}: it has no grasps")
        return read_json(self._folder / job.result / GRASPS, FleetError) | {"capture": job.capture}

    def points(self, name: str) -> dict[str, Any]:
        """Return the points.json of a job: the client's own, or a model's answers.

        Raises:
            MissingError: The model has not answered yet.
        """
        job = self.job(name)
        if not job.answers or not (self._folder / job.answers).is_file():
            raise MissingError(f"the job is {job.status}: it has no points")
        return read_json(self._folder / job.answers, FleetError)

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state."""
        states = [job.status for job in tuple(self._jobs.values())]
        return {name: states.count(name) for name in ("queued", "running", "done", "failed", "cancelled")}

    # ── the work ───────────────────────────────────────────────────────────────────────────────
    def _run(self, job: ServiceJob) -> None:
        with self._lock:
            if job.status == "cancelled":
                return
            job.status = "running"
        start = time.monotonic()
        try:
            error = self._done(job)
        except (Point2ActError, OSError, ValueError) as err:
            error = str(err)
        with self._lock:
            if job.status != "cancelled":
                job.seconds = time.monotonic() - start
                job.error = None if error is None else public(error, self._folder)
                job.status = "done" if error is None else "failed"
                self._files.update(job)
        self._forget_oldest()

    def _done(self, job: ServiceJob) -> str | None:
        """Have a job done; return why it failed, or None."""
        captures, known = Identification(), self._as_job(job)
        asker = self._asker if job.queries else None
        task = captures.task(known, None if asker is None else asker.identity, self._store.answers)
        if asker is not None:
            # One capture at a time, so that the limits of requests hold.
            with self._asking:
                asker.ask(captures.capture(known), job.queries, job.options.max_views, task.points)
        job.result = self._store.job(task).relative_to(self._folder).as_posix()
        job.answers = task.points.relative_to(self._folder).as_posix()
        late = threading.Event()
        timer = threading.Timer(self.limits.job_seconds, self._stop, (task, late))
        timer.start()
        try:
            return self._solved(job, task, late)
        finally:
            timer.cancel()

    def _solved(self, job: ServiceJob, task: Task, late: threading.Event) -> str | None:
        reason = None
        for _ in range(_ATTEMPTS):
            outcome = self._store.find(task)
            if outcome is not None:
                return outcome.error
            if job.status == "cancelled":
                return "cancelled"
            reason = self._executor.attempt([task])
            if late.is_set():
                return f"it took over {self.limits.job_seconds:g} s: send fewer images or queries"
        outcome = self._store.find(task)
        return reason if outcome is None else outcome.error

    def _stop(self, task: Task, late: threading.Event) -> None:
        late.set()
        self._executor.kill(task.name)

    def _as_job(self, job: ServiceJob) -> Job:
        points = None if job.queries else self._files.points(job.name)
        return Job(0, self.captures.folder(job.capture), points, job.queries, job.options)

    def _queries(self, request: JobRequest) -> tuple[Query, ...]:
        if request.queries is not None and self._asker is None:
            raise FleetError("this service asks no model: send 'points', or start it with --model")
        return name_queries([(query.text, query.role) for query in request.queries or ()])

    def _forget(self, name: str) -> None:
        self._jobs.pop(name, None)
        self._files.remove(name)

    def _forget_oldest(self) -> None:
        with self._lock:
            ended = [name for name, job in self._jobs.items() if job.ended]
        for name in ended[: max(0, len(ended) - self.limits.max_jobs)]:
            self._forget(name)
