"""From words and a model's name to questions that can be asked."""

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
from point2act.vlm.pointing.point import ModelPointer
from point2act.vlm.pointing.task_planner import plan
from point2act.vlm.pointing.zoom import ZoomConfig

_ARTICLE = re.compile(r"\A(?:the|an|a)\s+", re.IGNORECASE)
# To see where answers meet, images need no detail.
_MAX_SIDE = 480


@dataclass(frozen=True)
class AskConfig:
    """Who is asked, and how."""

    client: Annotated[ClientConfig, tyro.conf.arg(name="")] = field(default_factory=ClientConfig)
    zoom: bool = False
    """Ask again about an enlarged part of every image, around the place where the first answers meet: small
    parts are where models fail. Twice the questions."""
    zooming: ZoomConfig = field(default_factory=ZoomConfig)
    """How the second look looks."""


def name_queries(wanted: Sequence[tuple[str, Role]], *, taken: Iterable[str] = ()) -> tuple[Query, ...]:
    """Queries from words and roles, each with a name of its own made from its words, none of those ``taken``.

    Raises ``PointsError`` for words that are empty.
    """
    queries: list[Query] = []
    names = set(taken)
    for text, role in wanted:
        if not text.strip():
            raise PointsError("a query is empty: say in words what is to be found")
        name = free_name(_ARTICLE.sub("", text.strip(), count=1), names)
        names.add(name)
        queries.append(Query(name, text.strip(), role))
    return tuple(queries)


def open_questions(queries: Sequence[Query | str], *, config: AskConfig) -> Questions:
    """Questions for a model; plain text is to be grasped. Nothing is asked or loaded yet.

    Raises ``ModelError`` where the model cannot be asked.
    """
    given = [query for query in queries if isinstance(query, Query)]
    named = name_queries([(query, "grasp") for query in queries if isinstance(query, str)])
    return questions_for(open_model(config.client), (*given, *named), config=config)


def open_task(task: str, images: Sequence[UInt8[np.ndarray, "_h _w 3"]], *, config: AskConfig) -> Questions:
    """Have a model work out what an instruction needs, given some images of the scene; then the questions.

    Raises ``ModelError`` where the model cannot be asked, and
    ``ReplyError`` where it makes no plan.
    """
    opened = open_model(config.client)
    made = plan(opened.client, task, model_name=opened.model.model, images=images, cache=opened.cache)
    return questions_for(opened, made.queries, config=config, plan=made)


def questions_for(
    opened: OpenModel, queries: Sequence[Query], *, config: AskConfig, plan: Plan | None = None
) -> Questions:
    """Questions for a model that is open."""
    return Questions(
        queries=tuple(queries),
        pointer=ModelPointer(opened.model, opened.client, opened.cache),
        side=opened.model.image_side,
        zoom=config.zooming if config.zoom else None,
        plan=plan,
    )


def ask(capture: Capture | Path | str, questions: Questions, *, stages: Stages | None = None) -> Answers:
    """Ask about every image of a capture.

    Raises ``CaptureError`` for a capture that cannot be read, and
    ``ModelError`` where no question at all is answered; one that is not is listed
    among the unanswered.
    """
    stages = stages or Stages(show=False)
    source = capture if isinstance(capture, Capture) else read_capture(capture)
    with PointingJob(questions) as asking:
        asking.add(source.frames)
        # Only where the answers meet needs to be known, and only for a second look.
        views = load_views(source, max_side=_MAX_SIDE) if questions.zoom is not None else ()
        asking.end(source.frames, views)
        return wait_for_answers(asking, stages)
