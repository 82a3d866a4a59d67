"""``point2act grasp --load-config RUN/config.yml --output grasps.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.answer import AnswerConfig, answer
from point2act.capture import load_views, read_capture
from point2act.commands.summary import print_summary
from point2act.errors import PointsError
from point2act.grasps.gripper import load_gripper
from point2act.pipeline import choose_device, find_points
from point2act.publish import Story, publish_report
from point2act.results import write_grasps
from point2act.stages import Stages


@dataclass(frozen=True)
class Arguments:
    """Export grasps from a trained run, or ask it something new, without training again.

    Writes the grasps and, beside them, report.html. Grasps are in the capture's own frame, in metres.
    """

    load_config: Path
    """config.yml of a run made by ns-train point2act."""
    output: Path = Path("grasps.json")
    """File to write."""
    points: Path | None = None
    """Other answers than the points.json of the capture: a new question."""
    max_side: int = 480
    """Images are reduced until their longer side is at most this many pixels."""
    device: str | None = None
    """cpu or cuda; by default what is there."""
    config: Annotated[AnswerConfig, tyro.conf.arg(name="")] = field(default_factory=AnswerConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act grasp")
    stages = Stages(show=True)
    device = choose_device(arguments.device)
    gripper = load_gripper(arguments.config.gripper)
    with stages.stage("read the run") as tick:
        # Late: nerfstudio takes seconds to import, and a wrong argument should be told at once.
        from point2act.plugin.run import load_run

        trained = load_run(arguments.load_config)
        capture = read_capture(trained.capture)
        points = find_points(capture, arguments.points)
        if points is None:
            raise PointsError(f"{capture.folder} has no points.json: name a file with --points")
        views = load_views(capture, max_side=arguments.max_side, progress=tick)
    answered = answer(
        capture, views, trained.scene, points, gripper, config=arguments.config, device=device, stages=stages
    )
    facts = {"Run": str(arguments.load_config), "Gaussians": str(len(trained.scene)), "Device": str(device)}
    metric = capture.metric or arguments.config.metric
    timings = {f"training: {name}": seconds for name, seconds in trained.timings.items()} | stages.seconds
    story = Story(capture, views, trained.scene, answered, gripper, metric, timings, facts)
    report = arguments.output.with_name("report.html")
    publish_report(report, story)
    write_grasps(arguments.output, answered.results, capture=capture, gripper=gripper)
    print_summary(answered.results)
    print(f"grasps: {arguments.output}\nreport: {report}")
