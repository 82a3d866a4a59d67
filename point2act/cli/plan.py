"""``point2act plan "I want to drink coffee" --model qwen3_vl_8b``: what has to be found, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from point2act.cli.query_args import scene_images
from point2act.core.logs import printable
from point2act.core.types import Plan, PointSet
from point2act.data.capture import read_capture
from point2act.data.points import write_points
from point2act.vlm.clients.factory import AskerConfig, open_model
from point2act.vlm.pointing.task_planner import plan


@dataclass(frozen=True)
class Arguments:
    """Have a model take an instruction apart into steps, with what to grasp, where to place, what to avoid.

    The same model may plan and point. Models that only point (Molmo, RoboPoint) plan badly.
    """

    instruction: tyro.conf.Positional[str]
    """What is wanted, such as "I want to drink coffee without burning my hand"."""
    capture: Path | None = None
    """Folder with transforms.json and images: the model is shown a few of them, and plans with what is
    there."""
    output: Path | None = None
    """File to write: a points.json with the plan and its queries, not answered yet. point2act ask
    answers them."""
    allow_outside: bool = False
    """Read files that the capture names outside its folder, also by way of symbolic links."""
    asker: Annotated[AskerConfig, tyro.conf.arg(name="")] = field(default_factory=AskerConfig)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act plan")
    opened = open_model(arguments.asker)
    images = (
        ()
        if arguments.capture is None
        else scene_images(read_capture(arguments.capture, allow_outside=arguments.allow_outside))
    )
    made = plan(
        opened.asker,
        arguments.instruction,
        model_name=opened.model.model,
        images=images,
        cache=opened.cache,
    )
    Console().print(_table(made))
    if arguments.output is not None:
        write_points(arguments.output, PointSet(made.queries, (), made))
        print(f"written: {arguments.output}")


def _table(made: Plan) -> Table:
    """A line for each target; an action is told once."""
    table = Table("step", "action", "role", "what", "because")
    for number, step in enumerate(made.steps, start=1):
        told = [(target.query.role, target.query.text, target.reason) for target in step.targets]
        for index, words in enumerate(told or [("–", "–", "")]):
            action = step.action if index == 0 else ""
            table.add_row(
                str(number) if index == 0 else "", *(Text(printable(word)) for word in (action, *words))
            )
        table.add_section()
    return table
