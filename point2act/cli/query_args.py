"""What is to be found, as the command line says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import UInt8

from point2act.core.errors import ModelError, PointsError
from point2act.core.types import Capture, Role
from point2act.data.capture import load_view
from point2act.data.points import read_points
from point2act.vlm.clients.factory import open_model
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.mark_selector import ModelChooser
from point2act.vlm.pointing.point import ModelPointer
from point2act.vlm.pointing.questions import AskConfig, name_queries, open_questions, open_task, questions_for

Texts = Annotated[tuple[str, ...], tyro.conf.UseAppendAction]

# Views of the scene that a planning model is shown, and their longer side in pixels. Chosen: a table from
# all sides, large enough to tell a mug from a cup, at about a thousand tokens for all of them.
_VIEWS = 4
_SIDE = 640


@dataclass(frozen=True)
class Wanted:
    """What a model is asked to find."""

    query: Texts = ()
    """What to grasp, in words: "the handle of the mug". May be given several times."""
    place: Texts = ()
    """Where to set something down, in words."""
    avoid: Texts = ()
    """What the hand keeps away from, in words."""
    task: str | None = None
    """An instruction, such as "I want to drink coffee without burning my hand": the model first works out
    what has to be found for it, step by step."""
    ask: Annotated[AskConfig, tyro.conf.arg(name="")] = field(default_factory=AskConfig)
    """Who is asked, and how."""

    @property
    def anything(self) -> bool:
        """Whether a model is to be asked."""
        return bool(self.query or self.place or self.avoid or self.task is not None)

    def questions(self, capture: Callable[[], Capture]) -> Questions:
        """What is asked; a few images of the ``capture``, called for only then, help with an instruction.

        Raises a ``Point2ActError`` where that is not clear or nobody can be asked.
        """
        if self.task is None:
            each: tuple[tuple[Role, Texts], ...] = (
                ("grasp", self.query),
                ("place", self.place),
                ("avoid", self.avoid),
            )
            queries = name_queries([(text, role) for role, texts in each for text in texts])
            return open_questions(queries, config=self.ask)
        if self.query or self.place or self.avoid:
            raise PointsError("--task works out what to find: leave --query, --place and --avoid away")
        return open_task(self.task, scene_images(capture()), config=self.ask)

    def questions_of(self, points: Path) -> Questions:
        """The queries of a points.json, answered or not, and its plan: asked as they are."""
        known = read_points(points)
        return questions_for(open_model(self.ask.asker), known.queries, config=self.ask, plan=known.plan)


def chooser_of(questions: Questions | None) -> ModelChooser:
    """The model that is asked, as one that chooses.

    Raises ``ModelError`` where none is asked.
    """
    if questions is None or not isinstance(questions.pointer, ModelPointer):
        raise ModelError(
            "--choose needs a model: say what to find with --query, and whom to ask with --model"
        )
    return ModelChooser.of(questions.pointer)


def scene_images(capture: Capture) -> list[UInt8[np.ndarray, "_h _w 3"]]:
    """A few views evenly over a capture."""
    count = len(capture.frames)
    # The middles of equal shares: the first and the last view of a round trip are the same.
    picked = ((np.arange(min(_VIEWS, count)) + 0.5) * count / min(_VIEWS, count)).astype(int)
    return [load_view(capture, capture.frames[number], max_side=_SIDE).rgb for number in picked]
