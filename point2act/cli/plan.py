"""``point2act plan "I want to drink coffee" --model qwen3_vl_8b``: steps and queries of an instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from point2act.cli.options import parse
from point2act.core.logs import printable
from point2act.core.types import Plan, PointSet
from point2act.data.capture import read_capture
from point2act.data.constraint_words import in_words
from point2act.data.points import write_points
from point2act.vlm.clients.factory import ClientConfig, open_model
from point2act.vlm.pointing.constraint_planner import plan_constraints
from point2act.vlm.pointing.task_planner import plan, scene_images


@dataclass(frozen=True)
class PlanInput:
    """The instruction and the scene."""

    instruction: tyro.conf.Positional[str]
    """Instruction, such as "I want to drink coffee without burning my fingers"."""
    capture: Path | None = None
    """Folder with transforms.json and images: the model sees a few of them."""
    constraints: bool = False
    """Also ask what must hold in each step: constraints on points and axes of the things."""
    allow_outside: bool = False
    """Read files outside the capture's folder, also through symbolic links."""


@dataclass(frozen=True)
class PlanOutput:
    """The file to write."""

    output: Path | None = None
    """points.json to write, with the plan and its queries but no answers yet: input of point2act ask."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Ask a model to split an instruction into steps: what to grasp, where to place it, what to avoid.

    The same model may plan and point. Models trained to point only (Molmo, RoboPoint) plan badly.
    """

    input: Annotated[PlanInput, tyro.conf.arg(name="")]
    model: Annotated[ClientConfig, tyro.conf.arg(name="")] = field(default_factory=ClientConfig)
    output: Annotated[PlanOutput, tyro.conf.arg(name="")] = field(default_factory=PlanOutput)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and ask the model for a plan."""
    arguments = parse(Arguments, argv, "plan")
    given, output = arguments.input, arguments.output.output
    opened = open_model(arguments.model)
    images = (
        ()
        if given.capture is None
        else scene_images(read_capture(given.capture, allow_outside=given.allow_outside))
    )
    made = plan(
        opened.client, given.instruction, model_name=opened.model.model, images=images, cache=opened.cache
    )
    if given.constraints:
        made = plan_constraints(opened.client, made, images=images, cache=opened.cache)
    Console().print(_table(made))
    if output is not None:
        write_points(output, PointSet(made.queries, (), made))
        print(f"points: {output}")


def _table(made: Plan) -> Table:
    """Return a row for each target and constraint; the action of a step stands in the first one."""
    table = Table("step", "action", "role", "what", "because")
    for number, step in enumerate(made.steps, start=1):
        rows = [(target.query.role, target.query.text, target.reason) for target in step.targets]
        rows += [(constraint.when, in_words(constraint), "") for constraint in step.constraints]
        for index, words in enumerate(rows or [("–", "–", "")]):
            action = step.action if index == 0 else ""
            table.add_row(
                str(number) if index == 0 else "", *(Text(printable(word)) for word in (action, *words))
            )
        table.add_section()
    return table
