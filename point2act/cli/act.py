"""``point2act act TASK``: carry out a task in closed loop, in the simulator or on a robot of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from point2act.cli.options import parse
from point2act.core.errors import RobotError
from point2act.core.progress import Stages
from point2act.vlm.clients.factory import ClientConfig, OpenModel, open_model

if TYPE_CHECKING:
    from point2act.acting.execution.asking import Ask
    from point2act.acting.execution.executor import Outcome
    from point2act.acting.execution.preparation import PreparedTask
    from point2act.grasping.reachability.arm import Arm
    from point2act.simulation.task import Task
else:
    Ask = Outcome = PreparedTask = Arm = Task = Any


@dataclass(frozen=True)
class Arguments:
    """Carry out a task in closed loop: look, grasp, move by constraints, and answer disturbances.

      point2act act mug_on_coaster --disturbance target_moved --report act.html

    A simulated camera captures the scene, a simulated pointing model answers, wrongly a quarter of the time,
    and the plan's constraints are solved a hundred times a second while a camera follows the things.
    Writes the time line as JSON. Needs pip install "point2act[act]".

    A robot of your own carries out the plan in the points.json of a capture:

      point2act act capture/ --robot ros2_robot:make_robot

    With --model, it is asked again in the images of the robot's camera: what a query means, when the plan
    starts and where a stage fails, and where a thing is that is lost. In the simulator it also makes the
    plan, of the task's sentence or of one of your own, and points in the capture:

      point2act act press_button --instruction "Push the green button." --model qwen3_vl_8b
    """

    task: tyro.conf.Positional[str] = "mug_on_coaster"
    """Name of a shipped task (configs/tasks), or path of a .toml file. With a robot of your own: capture
    folder with T_base_world, and with a plan with constraints in its points.json."""
    instruction: str | None = None
    """What to do in the scene of the task, for --model to plan; by default the task's own sentence. Whether
    it was done is judged by the task's conditions."""
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
    page: int | None = None
    """Port of a page that shows the run while it lasts, such as 8080: what the camera measures, and what
    happens."""
    report: Path | None = None
    """Page to write, .html: the time line with stages, steps back and what was lost; in the simulator with
    the film."""
    film: Path | None = None
    """Film of the simulated camera's images to write, .webp."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and carry out the task."""
    arguments = parse(Arguments, argv, "act")
    if arguments.robot == "sim":
        _simulate(arguments)
    else:
        _act_on_robot(arguments)


def _simulate(arguments: Arguments) -> None:
    """Carry out a task in the simulator."""
    # Late, as in the other commands: --help is quick.
    from point2act.acting.execution.live_page import live_page
    from point2act.acting.execution.run_json import write_run
    from point2act.acting.execution.run_report import write_report
    from point2act.acting.execution.simulated_task import FILM_RATE, run_simulated
    from point2act.core.files import write_bytes
    from point2act.core.threads import configure_threads
    from point2act.grasping.grippers import load_gripper
    from point2act.grasping.reachability.arm import load_arm
    from point2act.simulation.task import load_task
    from point2act.visualization.drawing import encode_film

    opened = _simulated_with(arguments)
    configure_threads()
    arm = load_arm(arguments.arm, load_gripper(arguments.gripper))
    stages = Stages(show=True)
    with stages.stage("settle the scene"):
        task = load_task(arguments.task, arguments.seed)
    instruction = arguments.instruction or task.instruction
    print(instruction)
    prepared = _prepared(arguments, task, instruction, opened, arm, stages)
    with stages.stage("carry out the plan"), live_page(instruction, arguments.page) as observer:
        run = run_simulated(
            task,
            arm,
            prepared,
            closed_loop=not arguments.open_loop,
            disturbance=None if arguments.disturbance == "none" else arguments.disturbance,
            reask=None if opened is None else _asking(opened),
            observer=observer,
            filmed=not (arguments.film is None and arguments.report is None),
            seed=arguments.seed,
        )
    _print_outcome(run.outcome, done=run.succeeded)
    written = write_run(arguments.output, replace(task, instruction=instruction), run)
    print(f"time line: {arguments.output}")
    if arguments.report is not None:
        write_report(arguments.report, written, film=run.film, rate=FILM_RATE)
        print(f"report: {arguments.report}")
    if arguments.film is not None:
        write_bytes(arguments.film, encode_film(run.film, FILM_RATE))
        print(f"film: {arguments.film}")


def _simulated_with(arguments: Arguments) -> OpenModel | None:
    """Return the model that plans and points in the simulator; None for the simulated one.

    Raises:
        RobotError: Options do not go together.
    """
    if arguments.model.model is None:
        if arguments.instruction is not None:
            raise RobotError("--instruction is planned by a model: name it with --model")
        return None
    if arguments.disturbance == "wrong_first_answer":
        raise RobotError("--disturbance wrong_first_answer is for simulated answers: leave out --model")
    return open_model(arguments.model)


def _prepared(
    arguments: Arguments,
    task: Task,
    instruction: str,
    opened: OpenModel | None,
    arm: Arm,
    stages: Stages,
) -> PreparedTask:
    """Return what a plan names, located by a model or by simulated answers."""
    from point2act.acting.execution.planned_by_model import prepare_by_model
    from point2act.acting.execution.simulated_task import prepare_mistaken, prepare_simulated

    if opened is not None:
        return prepare_by_model(
            task.scene, instruction, opened, arm.gripper, stages=stages, seed=arguments.seed
        )
    with stages.stage("find what the plan names"):
        prepare = prepare_mistaken if arguments.disturbance == "wrong_first_answer" else prepare_simulated
        return prepare(task, arm, seed=arguments.seed)


def _asking(opened: OpenModel) -> Ask:
    """Return what asks a model again while a plan runs."""
    from point2act.acting.execution.asking import answers_of
    from point2act.vlm.pointing.point import ModelPointer

    pointer = ModelPointer(opened.model, opened.client, opened.cache)
    return answers_of(pointer, opened.model.image_side)


def _act_on_robot(arguments: Arguments) -> None:
    """Carry out the plan of a capture on a robot of one's own."""
    simulated = {
        "disturbance": arguments.disturbance != "none",
        "film": arguments.film,
        "instruction": arguments.instruction,
    }
    for option, given in simulated.items():
        if given:
            raise RobotError(f"--{option} is for the simulator: leave it out with --robot {arguments.robot}")
    from point2act.acting.execution.live_page import live_page
    from point2act.acting.execution.own_robot import (
        carry_out,
        find_factory,
        opened,
        prepare_captured,
        read_task,
    )
    from point2act.acting.execution.run_json import write_outcome
    from point2act.acting.execution.run_report import write_report
    from point2act.core.threads import configure_threads
    from point2act.grasping.grippers import load_gripper
    from point2act.grasping.reachability.arm import load_arm

    configure_threads()
    reask = None
    if arguments.model.model is not None and not arguments.open_loop:
        reask = _asking(open_model(arguments.model))
    arm = load_arm(arguments.arm, load_gripper(arguments.gripper))
    task, factory = read_task(Path(arguments.task)), find_factory(arguments.robot)
    print(task.plan.instruction)
    stages = Stages(show=True)
    with opened(arguments.robot, factory) as robot:
        with stages.stage("find what the plan names"):
            prepared = prepare_captured(task, arm.gripper)
        page = live_page(task.plan.instruction, arguments.page)
        with stages.stage("carry out the plan"), page as observer:
            outcome = carry_out(
                robot,
                arm,
                prepared,
                closed_loop=not arguments.open_loop,
                reask=reask,
                observer=observer,
                seed=arguments.seed,
            )
    _print_outcome(outcome, done=outcome.done)
    name = task.folder.resolve().name
    written = write_outcome(arguments.output, name, task.plan.instruction, outcome)
    print(f"time line: {arguments.output}")
    if arguments.report is not None:
        write_report(arguments.report, written)
        print(f"report: {arguments.report}")


def _print_outcome(outcome: Outcome, *, done: bool) -> None:
    """Print what happened when, and whether it is done."""
    table = Table("second", "", "what")
    for event in outcome.events:
        table.add_row(f"{event.time:.2f}", event.kind, event.detail)
    Console().print(table)
    print(f"{'done' if done else 'not done'}: {outcome.reason}")
