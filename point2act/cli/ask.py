"""``point2act ask CAPTURE --query "the handle of the mug" --model qwen3_vl_8b``: points.json from a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from point2act.cli.option_groups import CaptureInput, QueryOptions, questions_from
from point2act.cli.options import parse
from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.data.capture import read_capture
from point2act.data.capture.view_selection import select_views
from point2act.data.points import write_points
from point2act.vlm.pointing.questions import AskConfig, ask


@dataclass(frozen=True)
class AskInput(CaptureInput):
    """The images to ask about."""

    points: Path | None = None
    """Ask the queries of this points.json, such as point2act plan writes, instead of --query."""
    max_views: int = 150
    """Maximum number of images to ask about, spread over the viewpoints as in point2act run."""


@dataclass(frozen=True)
class AskOutput:
    """The file to write."""

    output: Path | None = None
    """File to write; by default points.json in the capture, if there is none yet."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Ask a vision-language model to point at objects in every image of a capture.

    Writes points.json, which point2act run and ns-train turn into grasps. Replies are cached and an image
    without an answer does not stop the others. A model on a server (vLLM, SGLang, Ollama, …):

      point2act ask capture/ --query "the mug's handle" --model qwen3_vl_8b \\
          --server http://localhost:8000/v1

    Without --server, transformers loads the model on this machine, unless it is a model of a web service.
    """

    input: Annotated[AskInput, tyro.conf.arg(name="")]
    queries: Annotated[QueryOptions, tyro.conf.arg(name="")] = field(default_factory=QueryOptions)
    model: Annotated[AskConfig, tyro.conf.arg(name="")] = field(default_factory=AskConfig)
    output: Annotated[AskOutput, tyro.conf.arg(name="")] = field(default_factory=AskOutput)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and ask the model."""
    arguments = parse(Arguments, argv, "ask")
    given, queries, stages = arguments.input, arguments.queries, Stages(show=True)
    capture = read_capture(given.capture, allow_outside=given.allow_outside)
    output = arguments.output.output or capture.folder / "points.json"
    if arguments.output.output is None and output.exists() and output != given.points:
        raise PointsError(f"{output} already exists: name another file with --output")
    if queries.given == (given.points is not None):
        raise PointsError('give either --query, as in --query "the handle of the mug", or --points FILE')
    if given.points is not None:
        questions = questions_from(given.points, arguments.model)
    else:
        questions = queries.questions(lambda: capture, arguments.model)
    selected = replace(capture, frames=select_views(capture.frames, given.max_views))
    answers = ask(selected, questions, stages=stages)
    write_points(output, answers.points)
    print(f"answers: {answers.count}")
    images = len(capture.frames)
    if len(selected.frames) < images:
        print(
            f"images: {len(selected.frames)} of {images}, spread over viewpoints (--max-views {images}: all)"
        )
    print(f"points: {output}")
