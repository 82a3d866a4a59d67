"""``point2act grasp --load-config OUT/run.json --points NEW.json --output grasps.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from point2act.cli.main import import_quickly
from point2act.cli.option_groups import EndEffectorOptions, QueryOptions, SpeedOptions
from point2act.cli.options import parse_advanced, parse_user_level
from point2act.cli.run import RunModel
from point2act.cli.summary import print_summary
from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.core.types import PointSet
from point2act.data.points import read_points, write_points
from point2act.grasping.depth_noise import Sensor
from point2act.vlm.pointing.questions import ask

if TYPE_CHECKING:
    from point2act.cli.advanced import GraspOptions
    from point2act.pipeline.finished_run import FinishedRun
else:
    FinishedRun = GraspOptions = Any


@dataclass(frozen=True)
class GraspInput:
    """The run, and the answers that exist already."""

    load_config: Path
    """Run: its folder or run.json, or the config.yml of ns-train point2act."""
    points: Path | None = None
    """Recorded answers; by default points.json of the run, else of its capture."""
    sensor: Sensor = "auto"
    """Kind of depth camera: its published noise is the prior of what the images show."""


@dataclass(frozen=True)
class GraspOutput:
    """Files to write."""

    output: Path = Path("grasps.json")
    """File to write."""
    report: bool = True
    """Also write report.html, in the same folder."""


@dataclass(frozen=True)
class GraspSpeed(SpeedOptions):
    """Size of the problem, and where it is solved."""

    seed: int = 0
    """Seed of the random numbers: the same seed gives the same grasps."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Plan grasps on a saved run, for its queries or for new ones, without reconstructing it again.

    New queries come from recorded points, or from a model:

      point2act grasp --load-config out/run.json --query "the lid" --model qwen3_vl_8b

    Writes the grasps, report.html, and points.json if a model is asked. Grasps are in metres, in the
    capture's world frame.
    """

    input: Annotated[GraspInput, tyro.conf.arg(name="")]
    queries: Annotated[QueryOptions, tyro.conf.arg(name="")] = field(default_factory=QueryOptions)
    model: Annotated[RunModel, tyro.conf.arg(name="")] = field(default_factory=RunModel)
    gripper_and_arm: Annotated[EndEffectorOptions, tyro.conf.arg(name="")] = field(
        default_factory=EndEffectorOptions
    )
    output: Annotated[GraspOutput, tyro.conf.arg(name="")] = field(default_factory=GraspOutput)
    speed: Annotated[GraspSpeed, tyro.conf.arg(name="")] = field(default_factory=GraspSpeed)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and plan grasps."""
    arguments, rest = parse_user_level(Arguments, argv, "grasp", advanced=_advanced)
    options = parse_advanced(_options(arguments), rest, "grasp")
    _grasp(arguments, options)


def _grasp(arguments: Arguments, options: GraspOptions) -> None:
    from point2act.cli.load_run import open_scene
    from point2act.grasping.grasps_json import write_grasps
    from point2act.pipeline.adaptive import AdaptiveAsking
    from point2act.pipeline.mark_selection import ask_with_marks
    from point2act.pipeline.outputs import RunSummary, publish_report
    from point2act.pipeline.planning import chosen_end_effector

    given, speed, output = arguments.input, arguments.speed, arguments.output.output
    stages = Stages(show=True)
    # Report a wrong name before anything is read.
    chosen_end_effector(options.pipeline)
    segmenter = arguments.model.masking.open()
    with stages.stage("read the run") as tick:
        run = open_scene(given.load_config)
        if arguments.queries.given and given.points is not None:
            raise PointsError(
                "--points has the answers: do not combine it with --query, --place, --avoid, --task"
            )
        known = None if arguments.queries.given else _known(run, given.points)
        session = run.session(max_side=speed.max_side, device=speed.device, progress=tick)
        session = replace(session, segmenter=segmenter)
    questions = (
        arguments.queries.questions(lambda: run.capture, arguments.model) if arguments.queries.given else None
    )
    mark_selector = arguments.model.mark_selector(questions)
    adaptive = arguments.model.adaptive()
    if questions is not None and adaptive is not None:
        asking = AdaptiveAsking(questions, mark_selector, adaptive)
        points, mark_selector = asking.ask(session, answer=options.pipeline, stages=stages).points, None
    else:
        points = ask(run.used, questions, stages=stages).points if questions is not None else known
    assert points is not None
    answered, points = ask_with_marks(
        session, points, mark_selector, config=options.pipeline, choosing=options.choosing, stages=stages
    )
    if questions is not None:
        write_points(output.with_name("points.json"), points)
    # The report takes longer, and a robot may be waiting for the grasps.
    write_grasps(output, answered.results, capture=run.capture, gripper=answered.gripper, plan=answered.plan)
    print_summary(answered.results)
    print(f"grasps: {output}", flush=True)
    if not arguments.output.report:
        return
    facts = {"Run": str(given.load_config), "Gaussians": str(len(run.scene)), "Device": str(session.device)}
    timings = {f"training: {name}": seconds for name, seconds in run.timings.items()} | stages.seconds
    report = output.with_name("report.html")
    publish_report(
        report, RunSummary(session, answered, timings, facts, points=points, scene_3d=options.scene_3d)
    )
    print(f"report: {report}")


def _advanced() -> type[GraspOptions]:
    return import_quickly("point2act.cli.advanced").GraspOptions


def _options(arguments: Arguments) -> GraspOptions:
    """Return the configuration of the planner with the user-level options in it."""
    options, robot = _advanced()(), arguments.gripper_and_arm
    config = replace(
        options.pipeline,
        gripper=robot.gripper,
        hand=robot.hand,
        hands=replace(options.pipeline.hands, head=robot.head, executions=robot.executions),
        arm=robot.arm,
        metric=robot.metric,
        sensor=arguments.input.sensor,
        seed=arguments.speed.seed,
    )
    return replace(options, pipeline=config)


def _known(run: FinishedRun, path: Path | None) -> PointSet:
    path = path or run.points
    if path is None:
        raise PointsError(
            f"{run.capture.folder} has no points.json: name a file with --points, or ask a model with --query"
        )
    return read_points(path, run.capture)
