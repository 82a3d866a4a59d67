"""``point2act run CAPTURE --output DIR``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.commands.summary import print_summary
from point2act.pipeline import RunConfig, run


@dataclass(frozen=True)
class Arguments:
    """Turn a captured scene and recorded points into grasps, in one process.

    Writes grasps.json, scene.ply (for any splat viewer), relevancy.ply, report.html, timings.json and
    run.json, with which point2act grasp asks the scene something new. Grasps are in the capture's own
    frame, in metres.
    """

    capture: tyro.conf.Positional[Path]
    """Folder with transforms.json, images and, best, depth."""
    output: Path
    """Folder to write to; made if it is not there."""
    points: Path | None = None
    """The pointing model's answers; by default points.json in the capture."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act run")
    result = run(
        arguments.capture, arguments.output, points=arguments.points, config=arguments.config, show=True
    )
    print_summary(result.results)
    print(f"report: {arguments.output / 'report.html'}")
