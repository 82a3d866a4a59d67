"""Views that are collected, the scene that is made of them, and answers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import numpy as np

import point2act
from point2act.core.progress import Bar, Stages
from point2act.core.types import Query, QueryResult, View
from point2act.data.crops import Crop
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.run import place
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import Pointer, PointerReply

OnStage = Callable[[str], None]
"""Called with the name of a stage as it starts, and before each question; an exception ends the work."""

QuestionFactory = Callable[[str], Questions]
"""Makes questions for the text of a query."""


class Scene:
    """A capture in a temporary folder, whose world frame is that of the robot's base, and its session."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="point2act_")
        self._writer = point2act.CaptureWriter(self._folder.name, T_base_world=np.eye(4))
        self._session: point2act.Session | None = None

    def add(self, view: View) -> None:
        """Add a view; its pose is that of the camera in the base frame."""
        self._writer.add(view)

    def build(self) -> None:
        """Place Gaussians on the depth of the views; the scene is complete then."""
        self._writer.finish()
        self._session = place(self._folder.name)

    def ask(
        self, text: str, questions: QuestionFactory, *, config: AnswerConfig, on_stage: OnStage
    ) -> Sequence[QueryResult]:
        """Find what a text means in a scene that is built, and how to grasp it.

        Args:
            text: What is to be grasped; "all the screws" gives one result for each.
            questions: What points at it in the views.
            config: Gripper, and how to plan.
            on_stage: Called as stages and questions start.

        Raises:
            Point2ActError: Nothing can be asked, or planned with this gripper.
        """
        assert self._session is not None
        asked = questions(text)
        asked = replace(asked, pointer=_WatchedPointer(asked.pointer, on_stage))
        answers = point2act.ask(self._session.capture, asked)
        return self._session.ask(answers.points, config=config, stages=_WatchedStages(on_stage)).results

    def close(self) -> None:
        """Delete what is on disk."""
        self._folder.cleanup()


@dataclass(frozen=True, eq=False)
class _WatchedPointer:
    """A pointer that reports each question."""

    pointer: Pointer
    on_stage: OnStage

    @property
    def name(self) -> str:
        return self.pointer.name

    @property
    def concurrency(self) -> int:
        return self.pointer.concurrency

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        self.on_stage("ask about the views")
        return self.pointer.point(query, image, crop)


class _WatchedStages(Stages):
    """Stages that are reported as they start."""

    def __init__(self, on_stage: OnStage):
        super().__init__(show=False)
        self._on_stage = on_stage

    @contextmanager
    def stage(self, name: str) -> Iterator[Bar]:
        """Time the block under a name."""
        self._on_stage(name)
        with super().stage(name) as bar:
            yield bar
