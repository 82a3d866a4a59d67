"""From texts and the name of a model to questions, and from questions to the answers for a capture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import UInt8

from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.core.types import Capture, Plan, Query, Role
from point2act.data.capture import load_views, read_capture
from point2act.data.task_plan import free_name
from point2act.vlm.clients.factory import ClientConfig, OpenModel, open_model
from point2act.vlm.pointing.ask import Answers, PointingJob, Questions, wait_for_answers
from point2act.vlm.pointing.point import FunctionPointer, ModelPointer, Pointer, PointFunction
from point2act.vlm.pointing.task_planner import plan
from point2act.vlm.pointing.zoom import ZoomConfig

_ARTICLE = re.compile(r"\A(?:the|an|a)\s+", re.IGNORECASE)
# Words that ask for every thing that the others fit.
_ALL = re.compile(r"\A(?:all(?:\s+of)?(?:\s+the)?|every|each)\s+", re.IGNORECASE)
# Triangulating the first answers needs poses and depth, but no detail of the images.
_MAX_SIDE = 480
# Longer side of the images that a function is shown, pixels: more than any image has, so none is reduced.
_FULL_SIZE = 1 << 20


@dataclass(frozen=True)
class AskConfig:
    """Model to ask, and how."""

    client: Annotated[ClientConfig, tyro.conf.arg(name="")] = field(default_factory=ClientConfig)
    look_twice: bool = False
    """Ask again about an enlarged crop where the first answers agree: helps with small parts."""
    zooming: ZoomConfig = field(default_factory=ZoomConfig)
    """Crops of the second pass."""


def name_queries(wanted: Sequence[tuple[str, Role]], *, taken: Iterable[str] = ()) -> tuple[Query, ...]:
    """Return queries for texts and roles, with unique names derived from the texts.

    A text that starts with "all", "every" or "each" asks for all instances.

    Args:
        wanted: Text and role of each query.
        taken: Names that must not be used.

    Raises:
        PointsError: A text is empty.
    """
    queries: list[Query] = []
    names = set(taken)
    for text, role in wanted:
        if not text.strip():
            raise PointsError("a query is empty: say in words what is to be found")
        every = _ALL.match(text.strip()) is not None
        words = (_ALL if every else _ARTICLE).sub("", text.strip(), count=1)
        name = free_name(words, names)
        names.add(name)
        queries.append(Query(name, text.strip(), role, "all" if every else "one"))
    return tuple(queries)


def open_questions(queries: Sequence[Query | str], *, config: AskConfig) -> Questions:
    """Return questions for a model; nothing is asked or loaded yet.

    Args:
        queries: Queries, or texts of queries with the role "grasp".
        config: Model to ask, and how.

    Raises:
        ModelError: The model cannot be asked.
    """
    given = [query for query in queries if isinstance(query, Query)]
    named = name_queries([(query, "grasp") for query in queries if isinstance(query, str)])
    return questions_for(open_model(config.client), (*given, *named), config=config)


def pointer_questions(queries: Sequence[Query | str], pointer: Pointer | PointFunction) -> Questions:
    """Return questions for a pointer or a plain function, which is shown whole images at full size.

    Args:
        queries: Queries, or texts of queries with the role "grasp".
        pointer: A ``Pointer``, or a function, see ``FunctionPointer``.

    Raises:
        PointsError: A text is empty.
    """
    given = [query for query in queries if isinstance(query, Query)]
    named = name_queries(
        [(query, "grasp") for query in queries if isinstance(query, str)],
        taken=[query.name for query in given],
    )
    asked = pointer if isinstance(pointer, Pointer) else FunctionPointer(pointer)
    return Questions((*given, *named), asked, _FULL_SIZE)


def given_questions(
    queries: Sequence[Query | str] | None,
    pointer: Pointer | PointFunction | None,
    questions: Questions | None,
) -> Questions | None:
    """Return what is asked: queries with a pointer, or questions; None if nothing is.

    Raises:
        PointsError: Queries come without a pointer, or beside questions.
    """
    if queries is None and pointer is None:
        return questions
    if queries is None or pointer is None or questions is not None:
        raise PointsError("give queries and a pointer together, or questions alone")
    return pointer_questions(queries, pointer)


def open_task(task: str, images: Sequence[UInt8[np.ndarray, "_h _w 3"]], *, config: AskConfig) -> Questions:
    """Have a model plan which queries an instruction needs, and return questions for the same model.

    Args:
        task: Instruction in plain language, such as "bring me the mug".
        images: A few RGB images of the scene.
        config: Model to ask, and how.

    Raises:
        ModelError: The model cannot be asked.
        ReplyError: The model's reply is not a plan.
    """
    opened = open_model(config.client)
    made = plan(opened.client, task, model_name=opened.model.model, images=images, cache=opened.cache)
    return questions_for(opened, made.queries, config=config, plan=made)


def questions_for(
    opened: OpenModel, queries: Sequence[Query], *, config: AskConfig, plan: Plan | None = None
) -> Questions:
    """Return questions for a model that is already open."""
    return Questions(
        queries=tuple(queries),
        pointer=ModelPointer(opened.model, opened.client, opened.cache),
        side=opened.model.image_side,
        zoom=config.zooming if config.look_twice else None,
        plan=plan,
    )


def ask(capture: Capture | Path | str, questions: Questions, *, stages: Stages | None = None) -> Answers:
    """Ask about every image of a capture.

    Args:
        capture: A capture, or the folder of one.
        questions: Queries, and the pointer that answers them.
        stages: Where progress and warnings are reported; by default they are not shown.

    Returns:
        The answers. Requests that failed are among ``unanswered``.

    Raises:
        CaptureError: The capture cannot be read.
        ModelError: Every request failed.
    """
    stages = stages or Stages(show=False)
    source = capture if isinstance(capture, Capture) else read_capture(capture)
    with PointingJob(questions) as job:
        job.add(source.frames)
        views = load_views(source, max_side=_MAX_SIDE) if questions.zoom is not None else ()
        job.finish(source.frames, views)
        return wait_for_answers(job, stages)
