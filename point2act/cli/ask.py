"""``point2act ask CAPTURE --query "the handle of the mug" --model qwen3_vl_8b``: points.json from a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from point2act.cli.query_args import Wanted
from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.data.capture import read_capture
from point2act.data.capture.view_selection import select_views
from point2act.data.points import write_points
from point2act.vlm.pointing.questions import ask


@dataclass(frozen=True)
class Arguments:
    """Have a multimodal model point at things in every image of a capture.

    Writes points.json, which point2act run and ns-train turn into grasps. What was answered before is
    remembered and not asked again; an image that gets no answer does not hold up the others.

    A model on a server (vLLM, SGLang, Ollama, …):

      point2act ask capture/ --query "the handle of the mug" --model qwen3_vl_8b --server http://localhost:8000/v1

    Without --server it is loaded here by transformers; models that only a service has name it themselves.
    """

    capture: tyro.conf.Positional[Path]
    """Folder with transforms.json and images."""
    output: Path | None = None
    """File to write; by default points.json in the capture, where there is none yet."""
    points: Path | None = None
    """Ask the queries of this points.json, such as point2act plan writes, instead of --query."""
    max_views: int = 150
    """Of a capture with more images, as many are asked about, spread evenly over viewpoints: those that
    point2act run uses."""
    allow_outside: bool = False
    """Read files that the capture names outside its folder, also by way of symbolic links."""
    wanted: Annotated[Wanted, tyro.conf.arg(name="")] = field(default_factory=Wanted)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act ask")
    wanted, stages = arguments.wanted, Stages(show=True)
    capture = read_capture(arguments.capture, allow_outside=arguments.allow_outside)
    output = arguments.output or capture.folder / "points.json"
    if arguments.output is None and output.exists() and output != arguments.points:
        raise PointsError(f"{output} is there already: say where to write with --output")
    if wanted.anything == (arguments.points is not None):
        raise PointsError(
            'say what to find, with --query "the handle of the mug", or else with --points FILE'
        )
    if arguments.points is not None:
        questions = wanted.questions_of(arguments.points)
    else:
        questions = wanted.questions(lambda: capture)
    asked = replace(capture, frames=select_views(capture.frames, arguments.max_views))
    answers = ask(asked, questions, stages=stages)
    write_points(output, answers.points)
    print(f"answers: {answers.count}")
    images = len(capture.frames)
    if len(asked.frames) < images:
        print(f"images: {len(asked.frames)} of {images}, spread over viewpoints (--max-views {images}: all)")
    print(f"points: {output}")
