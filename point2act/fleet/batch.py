"""A batch: jobs of a manifest are identified, asked about, grouped by scene, solved and listed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from point2act.core.errors import FleetError, Point2ActError
from point2act.core.progress import Bar, Stages
from point2act.fleet.asking import Asker
from point2act.fleet.executors import Executor
from point2act.fleet.identity import Identification, Task
from point2act.fleet.manifest import Job
from point2act.fleet.results import Row, write_results
from point2act.fleet.store import GRASPS, Outcome, Store

# Times that a job is tried whose process ends: another job may have used the memory. Chosen.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Identified:
    """The jobs of a manifest as tasks."""

    jobs: Sequence[Job]
    tasks: Sequence[Task | Outcome]
    """For each job its task, or why its files cannot be read."""
    captures: Identification

    @property
    def distinct(self) -> dict[str, tuple[Job, Task]]:
        """The first job of each task, by the task's name."""
        found: dict[str, tuple[Job, Task]] = {}
        for job, task in zip(self.jobs, self.tasks, strict=True):
            if isinstance(task, Task):
                found.setdefault(task.name, (job, task))
        return found

    def groups(self, store: Store) -> list[list[tuple[Job, Task]]]:
        """Return the tasks that a store has no outcome of, those of a scene together."""
        groups: dict[str, list[tuple[Job, Task]]] = {}
        for job, task in self.distinct.values():
            if store.find(task) is None:
                groups.setdefault(task.scene, []).append((job, task))
        return list(groups.values())


def identify(jobs: Sequence[Job], store: Store, asker: Asker | None, bar: Bar) -> Identified:
    """Read the files of all jobs.

    Args:
        jobs: The jobs of a manifest.
        store: Where the answers of a model lie.
        asker: The model; None if no job has queries.
        bar: Progress.

    Raises:
        FleetError: A job has queries, and no model is named.
    """
    if asker is None and any(job.queries for job in jobs):
        raise FleetError("the manifest has 'queries': name the model to ask with --model")
    captures = Identification()
    tasks: list[Task | Outcome] = []
    for job in jobs:
        asked = asker.identity if asker is not None and job.queries else None
        try:
            tasks.append(captures.task(job, asked, store.answers))
        except (Point2ActError, OSError, ValueError) as err:
            tasks.append(Outcome("failed", 0.0, str(err)))
        bar(len(tasks), len(jobs))
    return Identified(jobs, tasks, captures)


def run_batch(
    jobs: Sequence[Job],
    store: Store,
    executor: Executor,
    *,
    asker: Asker | None = None,
    retry: bool = False,
    stages: Stages | None = None,
) -> tuple[Row, ...]:
    """Do the jobs that a store does not have yet, and write its list of results.

    Args:
        jobs: The jobs of a manifest.
        store: Where results are and will be.
        executor: What does the work; it is closed at the end.
        asker: The model that is asked the queries.
        retry: Whether to do jobs again that failed before. Those that failed for a reason outside of them,
            such as a model that does not answer, are done again in any case.
        stages: Times and shows the stages.

    Returns:
        How each job ended, in the order of the manifest.

    Raises:
        FleetError: Another batch works on the store, or a model is needed.
    """
    stages = stages or Stages(show=False)
    with store.exclusive():
        with stages.stage("read the captures") as bar:
            identified = identify(jobs, store, asker, bar)
        for _, task in identified.distinct.values():
            _look_up(store, task, retry=retry)
        with stages.stage("do the jobs") as bar:
            try:
                failures = _Work(store, executor, asker, identified, bar).done()
            finally:
                executor.close()
        with stages.stage("list the results"):
            rows = _rows(store, identified, failures)
            write_results(store, identified.jobs, rows)
    return rows


def _look_up(store: Store, task: Task, *, retry: bool) -> None:
    """Use the result of an equal job, or forget a failure that is to be tried again."""
    found = store.find(task)
    if found is None:
        store.copy_equal(task)
    elif retry and found.status == "failed":
        store.forget(task)


def _rows(store: Store, identified: Identified, failures: dict[str, Outcome]) -> tuple[Row, ...]:
    rows = []
    for job, task in zip(identified.jobs, identified.tasks, strict=True):
        outcome = task if isinstance(task, Outcome) else failures.get(task.name) or store.find(task)
        outcome = outcome or Outcome(
            "failed", 0.0, "its result is gone from the store: start the batch again"
        )
        path = None
        if isinstance(task, Task) and outcome.status == "done":
            path = (store.job(task) / GRASPS).relative_to(store.folder).as_posix()
        rows.append(Row(job.number, outcome.status, path, outcome.error, outcome.seconds, outcome.stages))
    return tuple(rows)


@dataclass
class _Work:
    """The work of a batch in progress."""

    store: Store
    executor: Executor
    asker: Asker | None
    identified: Identified
    bar: Bar
    failures: dict[str, Outcome] = field(default_factory=dict)
    """Jobs that failed for a reason outside of them, by the task's name; they are not recorded."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: int = 0

    def done(self) -> dict[str, Outcome]:
        """Do the work, and return ``failures``. Groups that ask a model follow those that do not."""
        groups = self.identified.groups(self.store)
        self._left = sum(map(len, groups))
        self._count(0)
        pool = ThreadPoolExecutor(self.executor.workers, thread_name_prefix="batch")
        try:
            ready = [group for group in groups if not any(job.queries for job, _ in group)]
            futures = [self._submit(pool, group) for group in ready]
            for group in groups:
                if any(job.queries for job, _ in group):
                    futures.append(self._submit(pool, self._asked(group)))
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return self.failures

    def _submit(self, pool: ThreadPoolExecutor, group: list[tuple[Job, Task]]) -> Future[None]:
        return pool.submit(self._settle, [task for _, task in group])

    def _asked(self, group: list[tuple[Job, Task]]) -> list[tuple[Job, Task]]:
        """Ask about a capture, and return the jobs of its group that have answers."""
        answered = []
        for job, task in group:
            try:
                if job.queries and self.asker is not None:
                    capture = self.identified.captures.capture(job)
                    self.asker.ask(capture, job.queries, job.options.max_views, task.points)
                answered.append((job, task))
            except Point2ActError as err:
                self._fail(task, str(err))
        return answered

    def _settle(self, tasks: list[Task]) -> None:
        """Have tasks done; a process that ends is replaced, and its task tried again."""
        attempts: Counter[str] = Counter()
        while tasks:
            reason = self.executor.attempt(tasks)
            left = [task for task in tasks if self.store.find(task) is None]
            self._count(len(tasks) - len(left))
            if reason is None:
                return
            if left:
                attempts[left[0].name] += 1
                if attempts[left[0].name] == _ATTEMPTS:
                    self._fail(left[0], reason)
                    left = left[1:]
            tasks = left

    def _fail(self, task: Task, reason: str) -> None:
        self.failures[task.name] = Outcome("failed", 0.0, reason)
        self._count(1)

    def _count(self, more: int) -> None:
        with self._lock:
            self._left -= more
            total = len(self.identified.distinct)
            self.bar(total - self._left, total)
