"""``point2act run CAPTURE --output DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.cli.query_args import Wanted, chooser_of
from point2act.cli.summary import print_summary
from point2act.core.errors import CaptureError, PointsError
from point2act.core.types import Capture
from point2act.data.capture import read_capture, watch_capture
from point2act.pipeline.run import follow, run
from point2act.pipeline.steps import RunConfig
from point2act.pipeline.stream import FollowConfig
from point2act.splatting.incremental import IncrementalConfig
from point2act.vlm.pointing.ask import Questions


@dataclass(frozen=True)
class Arguments:
    """Turn a captured scene into grasps, in one process.

    Where to act is taken from recorded points (points.json), or asked of a model while the scene is made:

      point2act run capture/ --output out/ --query "the handle of the mug" --model qwen3_vl_8b

    Writes grasps.json, scene.ply (for any splat viewer), relevancy.ply, report.html, timings.json,
    run.json, with which point2act grasp asks the scene something new, and, where a model was asked,
    points.json. Grasps are in the capture's own frame, in metres.
    """

    capture: tyro.conf.Positional[Path]
    """Folder with transforms.json, images and, best, depth."""
    output: Path
    """Folder to write to; made if it is not there."""
    points: Path | None = None
    """Recorded answers; by default points.json in the capture."""
    resume: bool = False
    """Go on with what a run that was cut off left in the output folder; replies are remembered anyway."""
    follow: bool = False
    """The capture is still being made: ask about images as they come and be done soon after the last."""
    wanted: Annotated[Wanted, tyro.conf.arg(name="")] = field(default_factory=Wanted)
    choose: bool = False
    """Have the model also choose: the likeliest places get numbers in some of the images, and then the one
    it names a grid. For models that choose better than they point; about a dozen more questions a query."""
    following: FollowConfig = field(default_factory=FollowConfig)
    """How a growing capture is watched."""
    grow: IncrementalConfig = field(default_factory=IncrementalConfig)
    """How its scene grows."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act run")
    if arguments.points is not None and (arguments.wanted.anything or arguments.follow):
        raise PointsError("--points are answers already: leave --query, --task and --follow away")
    if arguments.resume and arguments.follow:
        raise CaptureError("--follow takes up by itself what is there: leave --resume away")
    questions = _questions(arguments)
    chooser = chooser_of(questions) if arguments.choose else None
    if arguments.follow:
        result = follow(
            arguments.capture,
            arguments.output,
            questions=questions,
            chooser=chooser,
            config=arguments.config,
            following=arguments.following,
            grow=arguments.grow,
            show=True,
        )
    else:
        result = run(
            arguments.capture,
            arguments.output,
            points=arguments.points,
            questions=questions,
            chooser=chooser,
            config=arguments.config,
            resume=arguments.resume,
            show=True,
        )
    print_summary(result.results)
    print(f"report: {arguments.output / 'report.html'}")


def _questions(arguments: Arguments) -> Questions | None:
    """What a model is asked; None where nobody is."""
    if not arguments.wanted.anything:
        return None
    return arguments.wanted.questions(lambda: _first_images(arguments))


def _first_images(arguments: Arguments) -> Capture:
    """The capture, or what there is of it as soon as there is anything."""
    if not arguments.follow:
        return read_capture(arguments.capture, allow_outside=arguments.config.allow_outside)
    config = arguments.following
    watched = watch_capture(
        arguments.capture,
        allow_outside=arguments.config.allow_outside,
        quiet=config.quiet,
        start=config.start,
    )
    arrived = next(watched, None)
    if arrived is None:
        raise CaptureError(f"{arguments.capture} has no images: nothing can be planned")
    return arrived.capture
