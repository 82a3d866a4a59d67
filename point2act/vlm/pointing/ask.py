"""Asking a pointer about every view: one pass over whole images, and optionally a second, zoomed pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

from point2act.core.errors import ModelError
from point2act.core.progress import Stages
from point2act.core.types import Frame, Plan, PointSet, Query, View
from point2act.data.capture import disk_to_view
from point2act.data.crops import crop_image, resize_image
from point2act.localization.multiview_consensus import find_consensus
from point2act.vlm.pointing.executor import PointingExecutor, PointingTask, RequestCounts, TaskResult
from point2act.vlm.pointing.point import Pointer
from point2act.vlm.pointing.zoom import ZoomConfig, zoom_windows

_PROGRESS_INTERVAL = 0.1
"""Seconds between two reports of progress."""
_NAMED = 3
"""Number of unanswered requests that a warning names."""


@dataclass(frozen=True, eq=False)
class Questions:
    """Queries, and the pointer that answers them.

    Args:
        queries: Targets to find.
        pointer: What points: a ``ModelPointer``, or a ``FunctionPointer`` around a plain function.
        side: Longer side of the whole images that the pointer is shown, pixels; smaller images are shown as
            they are.
        zoom: Settings of the second, zoomed pass; None for a single pass.
        plan: Task plan that the queries belong to.
    """

    queries: tuple[Query, ...]
    pointer: Pointer
    side: int = 1280
    zoom: ZoomConfig | None = None
    plan: Plan | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """Result of a ``PointingJob``."""

    points: PointSet
    results: tuple[TaskResult, ...]
    """Outcome of every request, in the order of asking."""
    count: RequestCounts

    @property
    def unanswered(self) -> tuple[TaskResult, ...]:
        """Requests without an answer."""
        return tuple(result for result in self.results if result.answer is None)

    def warnings(self) -> list[str]:
        """Return a sentence for each reason why requests were not answered."""
        reasons: dict[str, list[str]] = {}
        for result in self.unanswered:
            name = f"{result.task.frame.name} ({result.task.query.name})"
            reasons.setdefault(result.error, []).append(name)
        return [f"not answered, {_listed(names)}: {reason}" for reason, names in reasons.items()]


class PointingJob:
    """Requests in progress, from the first image to the last answer; a context manager.

    Call ``add`` with frames as they arrive, ``finish`` after the last one, and ``answers`` to wait for the
    result. All requests run in the background.
    """

    def __init__(self, questions: Questions):
        """Start the threads; nothing is asked yet."""
        self._questions = questions
        self._executor = PointingExecutor(questions.pointer)
        self._coordinator = ThreadPoolExecutor(1, thread_name_prefix="coordinate")
        self._finished: Future[tuple[TaskResult, ...]] | None = None

    def __enter__(self) -> PointingJob:
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor.__exit__(*exception)
        self._coordinator.shutdown(wait=False, cancel_futures=True)

    @property
    def count(self) -> RequestCounts:
        """Progress so far."""
        return self._executor.count

    def add(self, frames: Iterable[Frame]) -> None:
        """Ask every query about whole images."""
        crop = partial(resize_image, max_side=self._questions.side)
        self._executor.submit(
            PointingTask(frame, query, crop) for frame in frames for query in self._questions.queries
        )

    def finish(self, frames: Sequence[Frame], views: Sequence[View]) -> None:
        """Declare that all frames were added; a zoomed pass starts when the first one is answered.

        Args:
            frames: All frames.
            views: Loaded view of each frame, in which the first answers are triangulated. It may be empty if
                there is no zoomed pass.
        """
        self._finished = self._coordinator.submit(self._run_passes, frames, views)

    def answers(self, progress: Callable[[RequestCounts], None] | None = None) -> Answers:
        """Wait for the last answer, after ``finish``.

        Raises:
            ModelError: Every request failed.
        """
        assert self._finished is not None, "call finish() first"
        while wait([self._finished], timeout=_PROGRESS_INTERVAL).not_done:
            if progress is not None:
                progress(self.count)
        results = self._finished.result()
        found = [result.answer for result in results if result.answer is not None]
        if results and not found:
            raise ModelError(f"none of {len(results)} questions was answered: {results[0].error}")
        latest = {(answer.image, answer.query): answer for answer in found}
        points = PointSet(self._questions.queries, tuple(latest.values()), self._questions.plan)
        return Answers(points, results, self.count)

    def _run_passes(self, frames: Sequence[Frame], views: Sequence[View]) -> tuple[TaskResult, ...]:
        first = self._executor.results()
        if self._questions.zoom is None:
            return first
        self._executor.submit(self._zoomed_tasks(first, frames, views, self._questions.zoom))
        return first + self._executor.results()

    def _zoomed_tasks(
        self, first: Sequence[TaskResult], frames: Sequence[Frame], views: Sequence[View], config: ZoomConfig
    ) -> Iterable[PointingTask]:
        """Yield a task for every view and query that has a window to zoom into."""
        answer_of = {(result.task.frame.name, result.task.query.name): result.answer for result in first}
        for query in self._questions.queries:
            answers = [answer_of.get((frame.name, query.name)) for frame in frames]
            pixels = [
                None if answer is None else disk_to_view(frame, view, answer.points)
                for answer, frame, view in zip(answers, frames, views, strict=True)
            ]
            consensus = find_consensus(views, pixels, config=config.meet)
            windows = zoom_windows(frames, views, consensus, answers, config=config)
            for frame, window in zip(frames, windows, strict=True):
                if window is not None:
                    yield PointingTask(frame, query, partial(crop_image, window=window, side=config.side))


def wait_for_answers(job: PointingJob, stages: Stages) -> Answers:
    """Wait for all answers, show the progress, and warn about unanswered requests."""
    with stages.stage("wait for the answers") as bar:

        def show(count: RequestCounts) -> None:
            bar(count.done, count.total)
            bar.note(str(count))

        answers = job.answers(show)
        show(answers.count)
    for result in answers.results:
        stages.record("the model answers", result.start, result.end)
    for warning in answers.warnings():
        stages.warn(warning)
    return answers


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
