"""``point2act grasp --load-config OUT/run.json --points NEW.json --output grasps.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.cli.load_run import Opened, open_scene
from point2act.cli.query_args import Wanted, chooser_of
from point2act.cli.summary import print_summary
from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.core.types import PointSet
from point2act.data.points import read_points, write_points
from point2act.grasping.grasps_json import write_grasps
from point2act.grasping.grippers import load_gripper
from point2act.pipeline.mark_selection import MarkSelectionConfig, ask_with_marks
from point2act.pipeline.outputs import RunSummary, publish_report
from point2act.pipeline.query import AnswerConfig
from point2act.vlm.pointing.questions import ask


@dataclass(frozen=True)
class Arguments:
    """Ask a finished run something new, or plan its grasps again, without training again.

    What to find comes from recorded points, or from a model: --query "the lid" --model qwen3_vl_8b.
    Writes the grasps and then, beside them, report.html, and points.json where a model was asked. Grasps are
    in the capture's own frame, in metres.
    """

    load_config: Path
    """The run: run.json in the folder that point2act run wrote to, or a config.yml that ns-train point2act
    wrote. The ending decides."""
    output: Path = Path("grasps.json")
    """File to write."""
    points: Path | None = None
    """Other answers than the points.json of the run or, where it has none, of the capture: a new question."""
    wanted: Annotated[Wanted, tyro.conf.arg(name="")] = field(default_factory=Wanted)
    choose: bool = False
    """Have the model also choose: the likeliest places get numbers in some of the images, and then the one
    it names a grid. For models that choose better than they point; about a dozen more questions a query."""
    choosing: MarkSelectionConfig = field(default_factory=MarkSelectionConfig)
    """How choices are put to the model."""
    report: bool = True
    """Draw report.html as well."""
    max_side: int | None = None
    """Images are reduced until their longer side is at most this many pixels; by default as many as the
    run had, and 480 for a config.yml."""
    device: str | None = None
    """cpu or cuda; by default what is there."""
    config: Annotated[AnswerConfig, tyro.conf.arg(name="")] = field(default_factory=AnswerConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act grasp")
    stages = Stages(show=True)
    # Asked for again later; here, so that a wrong name is told before anything is read.
    load_gripper(arguments.config.gripper)
    with stages.stage("read the run") as tick:
        run = open_scene(arguments.load_config)
        capture = run.capture
        if arguments.wanted.anything and arguments.points is not None:
            raise PointsError("--points are answers already: leave --query, --place, --avoid and --task away")
        known = None if arguments.wanted.anything else _known(run, arguments.points)
        session = run.session(max_side=arguments.max_side, device=arguments.device, progress=tick)
    questions = arguments.wanted.questions(lambda: capture) if known is None else None
    chooser = chooser_of(questions) if arguments.choose else None
    points = ask(run.used, questions, stages=stages).points if questions is not None else known
    assert points is not None
    answered, points = ask_with_marks(
        session, points, chooser, config=arguments.config, choosing=arguments.choosing, stages=stages
    )
    if questions is not None:
        write_points(arguments.output.with_name("points.json"), points)
    # Before the report, which takes longer than the answer: a robot may be waiting.
    write_grasps(
        arguments.output,
        answered.results,
        capture=capture,
        gripper=answered.gripper,
        plan=answered.plan,
    )
    print_summary(answered.results)
    print(f"grasps: {arguments.output}", flush=True)
    if arguments.report:
        facts = {
            "Run": str(arguments.load_config),
            "Gaussians": str(len(run.scene)),
            "Device": str(session.device),
        }
        timings = {f"training: {name}": seconds for name, seconds in run.timings.items()} | stages.seconds
        report = arguments.output.with_name("report.html")
        publish_report(report, RunSummary(session, answered, timings, facts))
        print(f"report: {report}")


def _known(run: Opened, path: Path | None) -> PointSet:
    path = path or run.points
    if path is None:
        raise PointsError(
            f"{run.capture.folder} has no points.json: name a file with --points, or ask a model with --query"
        )
    return read_points(path, run.capture)
