"""``point2act run CAPTURE --output DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from point2act.cli.main import import_quickly
from point2act.cli.option_groups import (
    AdaptiveOptions,
    CaptureInput,
    EndEffectorOptions,
    MaskOptions,
    QueryOptions,
    SpeedOptions,
    mark_selector_of,
)
from point2act.cli.options import parse_advanced, parse_user_level
from point2act.cli.summary import print_summary
from point2act.core.errors import CaptureError, PointsError
from point2act.core.types import Capture
from point2act.data.capture import read_capture, watch_capture
from point2act.grasping.depth_noise import Sensor

if TYPE_CHECKING:
    from point2act.cli.advanced import RunOptions
    from point2act.vlm.pointing.ask import Questions
    from point2act.vlm.pointing.mark_selector import ModelMarkSelector
else:
    ModelMarkSelector = Questions = RunOptions = Any


@dataclass(frozen=True)
class RunInput(CaptureInput):
    """The capture, and the answers that exist already."""

    points: Path | None = None
    """Recorded answers; by default points.json in the capture."""
    follow: bool = False
    """The capture is still being recorded: process images as they arrive."""
    max_views: int = 150
    """Maximum number of images to use, spread over the viewpoints."""
    sensor: Sensor = "auto"
    """Kind of depth camera: its published noise is the prior of what the images show."""


@dataclass(frozen=True)
class RunModel(AdaptiveOptions):
    """The model, and how it is asked."""

    choose: bool = False
    """Set-of-mark prompting: the model also selects among numbered candidate regions."""
    masking: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)

    def mark_selector(self, questions: Questions | None) -> ModelMarkSelector | None:
        """Return the model as one that selects marks, if it is to.

        Raises:
            ModelError: It is to select marks, but no model is asked.
        """
        adaptive = questions is not None and self.ask == "adaptive"
        return mark_selector_of(questions) if self.choose or adaptive else None


@dataclass(frozen=True)
class RunOutput:
    """Files to write."""

    output: Path
    """Folder to write to; created if it does not exist."""
    resume: bool = False
    """Continue the interrupted run in the output folder."""


@dataclass(frozen=True)
class RunSpeed(SpeedOptions):
    """Size of the problem, and where it is solved."""

    refine_poses: bool = True
    """Refine the camera poses of a metric capture."""
    seed: int = 0
    """Seed of the random numbers: the same seed gives the same grasps."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Reconstruct a capture, locate the queries in it and plan grasps.

    Points come from points.json in the capture, or from a model:

      point2act run capture/ --output out/ --query "the mug's handle" --model qwen3_vl_8b

    Writes grasps.json, report.html, scene.ply and more. Grasps are in metres, in the capture's world frame.
    """

    input: Annotated[RunInput, tyro.conf.arg(name="")]
    queries: Annotated[QueryOptions, tyro.conf.arg(name="")] = field(default_factory=QueryOptions)
    model: Annotated[RunModel, tyro.conf.arg(name="")] = field(default_factory=RunModel)
    gripper_and_arm: Annotated[EndEffectorOptions, tyro.conf.arg(name="")] = field(
        default_factory=EndEffectorOptions
    )
    output: Annotated[RunOutput, tyro.conf.arg(name="")]
    speed: Annotated[RunSpeed, tyro.conf.arg(name="")] = field(default_factory=RunSpeed)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and run the pipeline."""
    arguments, rest = parse_user_level(Arguments, argv, "run", advanced=_advanced)
    given, output = arguments.input, arguments.output
    if given.points is not None and (arguments.queries.given or given.follow):
        raise PointsError("--points has the answers: do not combine it with --query, --task or --follow")
    if output.resume and given.follow:
        raise CaptureError("--follow always resumes: do not combine it with --resume")
    options = parse_advanced(_options(arguments), rest, "run")
    questions = None
    if arguments.queries.given:
        questions = arguments.queries.questions(lambda: _first_images(given, options), arguments.model)
    mark_selector = arguments.model.mark_selector(questions)
    adaptive = arguments.model.adaptive() if questions is not None else None
    segmenter = arguments.model.masking.open()
    from point2act.pipeline.run import follow, run

    if given.follow:
        result = follow(
            given.capture,
            output.output,
            questions=questions,
            mark_selector=mark_selector,
            segmenter=segmenter,
            adaptive=adaptive,
            config=options.pipeline,
            following=options.following,
            grow=options.grow,
            show=True,
        )
    else:
        result = run(
            given.capture,
            output.output,
            points=given.points,
            questions=questions,
            mark_selector=mark_selector,
            segmenter=segmenter,
            adaptive=adaptive,
            config=options.pipeline,
            resume=output.resume,
            show=True,
        )
    print_summary(result.results)
    print(f"report: {output.output / 'report.html'}")


def _advanced() -> type[RunOptions]:
    return import_quickly("point2act.cli.advanced").RunOptions


def _options(arguments: Arguments) -> RunOptions:
    """Return the configuration of a run with the user-level options in it."""
    options = _advanced()()
    given, robot, speed = arguments.input, arguments.gripper_and_arm, arguments.speed
    config = options.pipeline
    config = replace(
        config,
        max_side=speed.max_side or config.max_side,
        max_views=given.max_views,
        allow_outside=given.allow_outside,
        device=speed.device,
        build=replace(config.build, refine_poses=speed.refine_poses),
        answer=replace(
            config.answer,
            gripper=robot.gripper,
            hand=robot.hand,
            hands=replace(config.answer.hands, head=robot.head, executions=robot.executions),
            arm=robot.arm,
            metric=robot.metric,
            sensor=given.sensor,
            seed=speed.seed,
        ),
    )
    return replace(options, pipeline=config)


def _first_images(given: RunInput, options: RunOptions) -> Capture:
    """Return the capture, or its first images if it is still being recorded."""
    if not given.follow:
        return read_capture(given.capture, allow_outside=given.allow_outside)
    watched = watch_capture(
        given.capture,
        allow_outside=given.allow_outside,
        quiet=options.following.quiet,
        startup_timeout=options.following.start,
    )
    arrived = next(watched, None)
    if arrived is None:
        raise CaptureError(f"{given.capture} has no images: no task can be planned")
    return arrived.capture
