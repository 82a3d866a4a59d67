"""``point2act act TASK``: carry out a task in closed loop, in the simulator or on a robot of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from point2act.cli.options import parse
from point2act.core.errors import RobotError
from point2act.core.progress import Stages
from point2act.vlm.clients.factory import ClientConfig, open_model

if TYPE_CHECKING:
    from point2act.acting.execution.executor import Outcome
else:
    Outcome = Any


@dataclass(frozen=True)
class Arguments:
    """Carry out a task in closed loop: look, grasp, move by constraints, and answer disturbances.

      point2act act mug_on_coaster --disturbance target_moved --film act.webp

    A simulated camera captures the scene, a simulated pointing model answers, wrongly a quarter of the time,
    and the plan's constraints are solved a hundred times a second while a camera follows the things.
    Writes the time line as JSON. Needs pip install "point2act[act]".

    A robot of your own carries out the plan in the points.json of a capture:

      point2act act capture/ --robot ros2_robot:make_robot

    With --model, it is asked again in the images of the robot's camera: what a query means, when the plan
    starts and where a stage fails, and where a thing is that is lost.
    """

    task: tyro.conf.Positional[str] = "mug_on_coaster"
    """Name of a shipped task (configs/tasks), or path of a .toml file. With a robot of your own: capture
    folder with T_base_world, and with a plan with constraints in its points.json."""
    robot: str = "sim"
    """sim for the simulator, or MODULE:FACTORY: a function without arguments, installed or in the current
    folder, that returns a robot."""
    seed: int = 0
    """Seed of the scene, of the answers, of noise, of the disturbance and of start postures."""
    arm: str = "panda"
    """Name of a shipped arm, or path of an arm's .toml file."""
    gripper: str = "panda"
    """Name of a shipped gripper, or path of a gripper's .toml file."""
    disturbance: Literal[
        "none", "target_moved", "goal_moved", "pulled", "pushed", "covered", "wrong_first_answer"
    ] = "none"
    """What happens meanwhile in the simulator. none; target_moved: the thing is moved before the grasp;
    goal_moved: the goal while it is carried; pulled: the thing from the gripper; pushed: the arm; covered:
    the camera for a second; wrong_first_answer: the first answers to one query mean another object."""
    open_loop: bool = False
    """Do not follow the things, and ask nothing again: the baseline, which takes everything to stay where it
    was."""
    model: Annotated[ClientConfig, tyro.conf.arg(name="")] = field(default_factory=ClientConfig)
    output: Path = Path("act.json")
    """File to write: whether the task is done, and what happened when."""
    film: Path | None = None
    """Film of the simulated camera's images to write, .webp."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and carry out the task."""
    arguments = parse(Arguments, argv, "act")
    if arguments.robot == "sim":
        if arguments.model.model is not None:
            raise RobotError("--model is for a robot of your own: the simulator simulates the answers")
        _simulate(arguments)
    else:
        _act_on_robot(arguments)


def _simulate(arguments: Arguments) -> None:
    """Carry out a task in the simulator."""
    # Late, as in the other commands: --help is quick.
    from point2act.acting.execution.run_json import write_run
    from point2act.acting.execution.simulated_task import (
        FILM_RATE,
        prepare_mistaken,
        prepare_simulated,
        run_simulated,
    )
    from point2act.core.files import write_bytes
    from point2act.core.threads import configure_threads
    from point2act.grasping.grippers import load_gripper
    from point2act.grasping.reachability.arm import load_arm
    from point2act.simulation.task import load_task
    from point2act.visualization.drawing import encode_film

    configure_threads()
    arm = load_arm(arguments.arm, load_gripper(arguments.gripper))
    stages = Stages(show=True)
    with stages.stage("settle the scene"):
        task = load_task(arguments.task, arguments.seed)
    print(task.instruction)
    with stages.stage("find what the plan names"):
        mistaken = arguments.disturbance == "wrong_first_answer"
        prepared = (prepare_mistaken if mistaken else prepare_simulated)(task, arm, seed=arguments.seed)
    with stages.stage("carry out the plan"):
        run = run_simulated(
            task,
            arm,
            prepared,
            closed_loop=not arguments.open_loop,
            disturbance=None if arguments.disturbance == "none" else arguments.disturbance,
            filmed=arguments.film is not None,
            seed=arguments.seed,
        )
    _print_outcome(run.outcome, done=run.succeeded)
    write_run(arguments.output, task, run)
    print(f"time line: {arguments.output}")
    if arguments.film is not None:
        write_bytes(arguments.film, encode_film(run.film, FILM_RATE))
        print(f"film: {arguments.film}")


def _act_on_robot(arguments: Arguments) -> None:
    """Carry out the plan of a capture on a robot of one's own."""
    for option, given in (("disturbance", arguments.disturbance != "none"), ("film", arguments.film)):
        if given:
            raise RobotError(f"--{option} is for the simulator: leave it out with --robot {arguments.robot}")
    from point2act.acting.execution.asking import answers_of
    from point2act.acting.execution.own_robot import (
        carry_out,
        find_factory,
        opened,
        prepare_captured,
        read_task,
    )
    from point2act.acting.execution.run_json import write_outcome
    from point2act.core.threads import configure_threads
    from point2act.grasping.grippers import load_gripper
    from point2act.grasping.reachability.arm import load_arm
    from point2act.vlm.pointing.point import ModelPointer

    configure_threads()
    reask = None
    if arguments.model.model is not None and not arguments.open_loop:
        opened_model = open_model(arguments.model)
        pointer = ModelPointer(opened_model.model, opened_model.client, opened_model.cache)
        reask = answers_of(pointer, opened_model.model.image_side)
    arm = load_arm(arguments.arm, load_gripper(arguments.gripper))
    task, factory = read_task(Path(arguments.task)), find_factory(arguments.robot)
    print(task.plan.instruction)
    stages = Stages(show=True)
    with opened(arguments.robot, factory) as robot:
        with stages.stage("find what the plan names"):
            prepared = prepare_captured(task, arm.gripper)
        with stages.stage("carry out the plan"):
            outcome = carry_out(
                robot,
                arm,
                prepared,
                closed_loop=not arguments.open_loop,
                reask=reask,
                seed=arguments.seed,
            )
    _print_outcome(outcome, done=outcome.done)
    write_outcome(arguments.output, task.folder.resolve().name, task.plan.instruction, outcome)
    print(f"time line: {arguments.output}")


def _print_outcome(outcome: Outcome, *, done: bool) -> None:
    """Print what happened when, and whether it is done."""
    table = Table("second", "", "what")
    for event in outcome.events:
        table.add_row(f"{event.time:.2f}", event.kind, event.detail)
    Console().print(table)
    print(f"{'done' if done else 'not done'}: {outcome.reason}")
