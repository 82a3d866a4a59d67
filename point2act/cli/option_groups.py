"""Groups of options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from point2act.cli.options import Texts
from point2act.core.errors import ModelError, PointsError
from point2act.core.types import Capture, Head, Role
from point2act.data.points import read_points
from point2act.vlm.clients.factory import open_model
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.mark_selector import ModelMarkSelector
from point2act.vlm.pointing.point import ModelPointer
from point2act.vlm.pointing.questions import AskConfig, name_queries, open_questions, open_task, questions_for
from point2act.vlm.pointing.task_planner import scene_images
from point2act.vlm.segmenters.factory import SegmenterConfig, open_segmenter
from point2act.vlm.segmenters.segmenter import Segmenter

if TYPE_CHECKING:
    from point2act.pipeline.question_rounds import AdaptiveConfig
else:
    # It imports torch.
    AdaptiveConfig = Any


@dataclass(frozen=True)
class CaptureInput:
    """The capture to read."""

    capture: tyro.conf.Positional[Path]
    """Folder with transforms.json, images and preferably depth."""
    allow_outside: bool = False
    """Read files outside the capture's folder, also through symbolic links."""


@dataclass(frozen=True)
class QueryOptions:
    """What to find, in words."""

    query: Texts = ()
    """What to grasp: "the handle of the mug". Repeatable."""
    place: Texts = ()
    """Where to place an object. Repeatable."""
    avoid: Texts = ()
    """What the gripper must not come near. Repeatable."""
    task: str | None = None
    """Instruction, such as "make coffee": the model first plans what to find."""

    @property
    def given(self) -> bool:
        """Return whether there is anything to ask a model."""
        return bool(self.query or self.place or self.avoid or self.task is not None)

    def questions(self, capture: Callable[[], Capture], config: AskConfig) -> Questions:
        """Return the questions to ask a model.

        Args:
            capture: Returns the capture, whose first images help to plan a task; called only for a task.
            config: The model and how to ask it.

        Raises:
            Point2ActError: If the queries are ambiguous or the model cannot be asked.
        """
        if self.task is None:
            each: tuple[tuple[Role, Texts], ...] = (
                ("grasp", self.query),
                ("place", self.place),
                ("avoid", self.avoid),
            )
            queries = name_queries([(text, role) for role, texts in each for text in texts])
            return open_questions(queries, config=config)
        if self.query or self.place or self.avoid:
            raise PointsError("do not combine --task with --query, --place or --avoid: it finds the queries")
        return open_task(self.task, scene_images(capture()), config=config)


@dataclass(frozen=True)
class AdaptiveOptions(AskConfig):
    """The model, and how it is asked."""

    ask: Literal["adaptive", "all"] = "adaptive"
    """Ask the most informative question until a query is sure, or ask all images."""
    budget: int = 24
    """Maximum number of questions about a query."""
    confidence: float = 0.95
    """Confidence at which a query is sure."""

    def adaptive(self) -> AdaptiveConfig | None:
        """Return how to ask adaptively; None if all images are asked about.

        Raises:
            PointsError: The budget or the confidence is out of range.
        """
        if self.ask == "all":
            return None
        if self.budget < 1 or not 0 < self.confidence <= 1:
            raise PointsError(
                f"--budget {self.budget} --confidence {self.confidence:g}: give a budget of 1 or more, and a "
                "confidence over 0 and at most 1"
            )
        from point2act.pipeline.question_rounds import AdaptiveConfig

        return AdaptiveConfig(budget=self.budget, confidence=self.confidence)


@dataclass(frozen=True)
class EndEffectorOptions:
    """The robot."""

    gripper: str = "panda"
    """Shipped gripper or its .toml file."""
    arm: str | None = None
    """Shipped arm or its .toml file: only what it reaches."""
    metric: bool = False
    """Poses are in metres although there is no depth."""
    hand: str | None = None
    """Hand instead of the gripper: allegro, leap or a file."""
    head: Head = "auto"
    """Source of a hand's grasps: optimised, or proposed."""
    executions: int = 8
    """Grasps of a hand to try in physics."""


@dataclass(frozen=True)
class SpeedOptions:
    """Size of the problem, and where it is solved."""

    max_side: int | None = None
    """Longer side of the images, pixels; by default that of the saved run, else 480."""
    device: str | None = None
    """Device, cpu or cuda; by default cuda where it is available."""


@dataclass(frozen=True)
class MaskOptions:
    """Where things end."""

    masks: bool = False
    """Segment what is pointed at in a few views, with SAM 2."""
    segmenter: Annotated[SegmenterConfig, tyro.conf.arg(name="masks")] = field(
        default_factory=SegmenterConfig
    )

    def open(self) -> Segmenter | None:
        """Return the segmenter, if one is wanted: by --masks, or by naming a folder with --masks.path.

        Raises:
            ModelError: The folder holds no SAM 2, or a library is missing.
        """
        wanted = self.masks or self.segmenter.path is not None
        return open_segmenter(self.segmenter) if wanted else None


def questions_from(points: Path, config: AskConfig) -> Questions:
    """Return the queries of a points.json and its plan as questions to a model."""
    known = read_points(points)
    return questions_for(open_model(config.client), known.queries, config=config, plan=known.plan)


def mark_selector_of(questions: Questions | None) -> ModelMarkSelector:
    """Return the model that is asked, as one that selects marks.

    Raises:
        ModelError: If no model is asked.
    """
    if questions is None or not isinstance(questions.pointer, ModelPointer):
        raise ModelError("--choose needs a model: give a --query and the --model to ask")
    return ModelMarkSelector.of(questions.pointer)
