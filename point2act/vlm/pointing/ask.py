"""Words and images to points: every view is asked, as it comes, and once more closer where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import UInt8

from point2act.core.errors import ModelError
from point2act.core.progress import Stages
from point2act.core.types import Answer, Frame, Plan, PointSet, Query, View
from point2act.data.capture import disk_to_view
from point2act.data.crops import Window, resize_image
from point2act.localization.multiview_consensus import meet
from point2act.vlm.pointing.executor import PointingExecutor, PointingTask, RequestCounts, TaskResult
from point2act.vlm.pointing.point import Pointer, point_at
from point2act.vlm.pointing.zoom import ZoomConfig, point_in_window, zoom_windows

# How often people are told how far it is, seconds.
_TELL = 0.1
# Of the questions that failed alike, so many are named.
_NAMED = 3

Image = UInt8[np.ndarray, "_h _w 3"]


@dataclass(frozen=True, eq=False)
class Questions:
    """What is to be found, and who is asked."""

    queries: tuple[Query, ...]
    pointer: Pointer
    side: int = 1280
    """The longer side of a whole image as it is shown, pixels."""
    zoom: ZoomConfig | None = None
    """How to look a second time, closer; None for one look."""
    plan: Plan | None = None
    """What the queries are for."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What came back."""

    points: PointSet
    told: tuple[TaskResult, ...]
    """Every question, in the order of asking."""
    count: RequestCounts

    @property
    def unanswered(self) -> tuple[TaskResult, ...]:
        """The questions without an answer."""
        return tuple(told for told in self.told if told.answer is None)

    def troubles(self) -> list[str]:
        """Which questions were not answered, and why: a sentence for each reason."""
        reasons: dict[str, list[str]] = {}
        for told in self.unanswered:
            reasons.setdefault(told.why, []).append(f"{told.task.frame.name} ({told.task.query.name})")
        return [f"not answered, {_listed(asked)}: {why}" for why, asked in reasons.items()]


class PointingJob:
    """Questions under way, from the first image to the last answer. Use it as a context manager.

    ``look`` asks about frames as they come, ``end`` says that there are no more, and
    ``answers`` waits. Everything is asked in the background.
    """

    def __init__(self, questions: Questions):
        """Nothing is asked yet."""
        self._questions = questions
        self._crowd = PointingExecutor(questions.pointer)
        self._conductor = ThreadPoolExecutor(1, thread_name_prefix="conduct")
        self._ended: Future[tuple[TaskResult, ...]] | None = None

    def __enter__(self) -> PointingJob:
        return self

    def __exit__(self, *exception: object) -> None:
        self._crowd.__exit__(*exception)
        self._conductor.shutdown(wait=False, cancel_futures=True)

    @property
    def count(self) -> RequestCounts:
        """How far the asking is."""
        return self._crowd.count

    def add(self, frames: Iterable[Frame]) -> None:
        """Ask every query about whole images."""
        ask = partial(_first_look, side=self._questions.side)
        self._crowd.ask(
            PointingTask(frame, query, partial(ask, query, frame))
            for frame in frames
            for query in self._questions.queries
        )

    def end(self, frames: Sequence[Frame], views: Sequence[View]) -> None:
        """Say that all frames were given; second looks begin when the first have been answered.

        ``views`` belong to the frames one by one; they tell where the first answers meet.
        """
        self._ended = self._conductor.submit(self._to_the_end, frames, views)

    def answers(self, progress: Callable[[RequestCounts], None] | None = None) -> Answers:
        """Wait for the last answer, after ``end``.

        Raises ``ModelError`` where no question at all was answered.
        """
        assert self._ended is not None, "end() comes first"
        while wait([self._ended], timeout=_TELL).not_done:
            if progress is not None:
                progress(self.count)
        told = self._ended.result()
        found = [one.answer for one in told if one.answer is not None]
        if told and not found:
            raise ModelError(f"none of {len(told)} questions was answered: {told[0].why}")
        latest = {(answer.image, answer.query): answer for answer in found}
        points = PointSet(self._questions.queries, tuple(latest.values()), self._questions.plan)
        return Answers(points, told, self.count)

    def _to_the_end(self, frames: Sequence[Frame], views: Sequence[View]) -> tuple[TaskResult, ...]:
        first = self._crowd.told()
        if self._questions.zoom is None:
            return first
        self._crowd.ask(self._second_looks(first, frames, views, self._questions.zoom))
        return first + self._crowd.told()

    def _second_looks(
        self, first: Sequence[TaskResult], frames: Sequence[Frame], views: Sequence[View], config: ZoomConfig
    ) -> Iterable[PointingTask]:
        """A closer look for every view and query that has a place to look at."""
        said = {(told.task.frame.name, told.task.query.name): told.answer for told in first}
        for query in self._questions.queries:
            answers = [said.get((frame.name, query.name)) for frame in frames]
            pixels = [
                None if answer is None else disk_to_view(frame, view, answer.points)
                for answer, frame, view in zip(answers, frames, views, strict=True)
            ]
            met = meet(views, pixels, config=config.meet)
            about = zoom_windows(frames, views, met, answers, config=config)
            for frame, window in zip(frames, about, strict=True):
                if window is not None:
                    ask = partial(_second_look, query, frame, window, config)
                    yield PointingTask(frame, query, ask)


def wait_for_answers(asking: PointingJob, stages: Stages) -> Answers:
    """All answers, and what is to be said about them."""
    with stages.stage("wait for the answers") as bar:

        def tell(count: RequestCounts) -> None:
            bar(count.done, count.total)
            bar.note(str(count))

        answers = asking.answers(tell)
        tell(answers.count)
    for told in answers.told:
        stages.beside("the model answers", told.begin, told.end)
    for line in answers.troubles():
        stages.warn(line)
    return answers


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _first_look(query: Query, frame: Frame, pointer: Pointer, image: Image, *, side: int) -> Answer:
    return point_at(pointer, query, frame.name, resize_image(image, max_side=side))


def _second_look(
    query: Query, frame: Frame, window: Window, config: ZoomConfig, pointer: Pointer, image: Image
) -> Answer:
    return point_in_window(pointer, query, frame, image, window, config=config)
