"""A robot of one's own: opened by the name of its factory, it carries out the plan of a capture."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from point2act.acting.execution.asking import Ask
from point2act.acting.execution.executor import Outcome
from point2act.acting.execution.perception import TrackedThings, Unchanging
from point2act.acting.execution.preparation import PreparedTask, acting_config, prepare
from point2act.acting.execution.prepared_run import RunConfig, run_prepared
from point2act.acting.execution.robot import Robot
from point2act.acting.execution.timeline import NoObserver, Observer
from point2act.core.errors import PlanError, Point2ActError, PointsError, RobotError
from point2act.core.types import Plan, PointSet, View
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.grasping.grippers import Gripper
from point2act.grasping.reachability.arm import Arm
from point2act.pipeline.run import place

_METHODS = ("state", "command", "view", "stop")
_ATTRIBUTES = ("period", "real_time")
_HOW = 'use point2act plan "…" --constraints --output plan.json, then point2act ask --points plan.json'


@dataclass(frozen=True, eq=False)
class CapturedTask:
    """A capture with answers and a plan."""

    folder: Path
    points: PointSet
    plan: Plan


# ── the robot ──────────────────────────────────────────────────────────────────────────────────
def find_factory(name: str) -> Callable[[], object]:
    """Import the function that makes a robot; modules of the current folder come first.

    Args:
        name: ``MODULE:FACTORY``, such as ``ros2_robot:make_robot``.

    Raises:
        RobotError: There is no such function, or its module cannot be imported.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise RobotError(
            f"'{name}' names no robot: write sim, or MODULE:FACTORY such as ros2_robot:make_robot"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        # It stays there: a factory may import what lies beside its module.
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        if err.name is not None and f"{module_name}.".startswith(f"{err.name}."):
            raise RobotError(
                f"there is no module '{err.name}': install it, or run in its folder, and write no .py"
            ) from err
        raise RobotError(f"module '{module_name}' needs '{err.name}', which is not installed") from err
    except Exception as err:
        raise RobotError(f"module '{module_name}' cannot be imported: {_described(err)}") from err
    factory = getattr(module, attribute, None)
    if factory is None:
        raise RobotError(f"module '{module_name}' ({module.__file__}) has no '{attribute}': correct the name")
    if not callable(factory):
        raise RobotError(
            f"'{name}' is of type {type(factory).__name__}: name a function that returns a robot"
        )
    return factory


@contextmanager
def opened(name: str, factory: Callable[[], object]) -> Iterator[Robot]:
    """Make a robot, and close it in the end if it has ``close()``.

    Args:
        name: What errors call the factory.
        factory: Returns a ``Robot``.

    Raises:
        RobotError: The factory fails, or what it returns lacks something of ``Robot``.
    """
    try:
        robot = factory()
    except Point2ActError:
        raise
    except Exception as err:
        raise RobotError(f"{name}() failed: {_described(err)}") from err
    close = getattr(robot, "close", None)
    try:
        yield _checked(name, robot)
    finally:
        if callable(close):
            close()


def _described(err: Exception) -> str:
    """Return an error on one line."""
    return " ".join(f"{type(err).__name__}: {err}".split())


def _checked(name: str, robot: object) -> Robot:
    """Return what a factory made, if it has all that a robot has."""
    missing = [f"{one}()" for one in _METHODS if not callable(getattr(robot, one, None))]
    missing += [one for one in _ATTRIBUTES if not hasattr(robot, one)]
    if missing or not isinstance(robot, Robot):
        raise RobotError(
            f"{name}() returned a robot of type {type(robot).__name__} without {', '.join(missing)}: "
            "a robot has all of point2act.acting.execution.robot.Robot"
        )
    if not robot.period > 0:
        raise RobotError(f"{name}() returned a robot with the period {robot.period}: write seconds above 0")
    return robot


# ── its task ───────────────────────────────────────────────────────────────────────────────────
def read_task(folder: Path) -> CapturedTask:
    """Read the answers and the plan of a capture.

    Args:
        folder: Folder with ``points.json``, in it a plan, and ``transforms.json``, in it ``T_base_world``.

    Raises:
        Point2ActError: A file or a part of it is missing or invalid.
    """
    if not folder.is_dir():
        raise PlanError(
            f"{folder} is not a folder: with --robot MODULE:FACTORY, name a capture folder with points.json"
        )
    capture, path = read_capture(folder), folder / "points.json"
    if capture.T_base_world is None:
        raise PlanError(f"{folder / 'transforms.json'} does not give the arm's pose: write 'T_base_world'")
    if not path.is_file():
        raise PointsError(f"{path} does not exist: {_HOW}")
    points = read_points(path, capture)
    if points.plan is None:
        raise PlanError(f"{path} has no plan: {_HOW}")
    if not any(step.constraints for step in points.plan.steps):
        raise PlanError(f"{path}: no step of the plan has constraints: {_HOW}")
    return CapturedTask(folder, points, points.plan)


def prepare_captured(task: CapturedTask, gripper: Gripper) -> PreparedTask:
    """Place Gaussians on the depth of a capture, locate what its plan names, and plan the grasps.

    Args:
        task: The capture with answers and a plan.
        gripper: The gripper to plan for.

    Raises:
        Point2ActError: Something is not found, has no grasp, or the capture is not valid.
    """
    return prepare(place(task.folder), task.points, task.plan, gripper, acting_config(gripper.name))


def carry_out(
    robot: Robot,
    arm: Arm,
    prepared: PreparedTask,
    config: RunConfig = RunConfig(),
    *,
    closed_loop: bool = True,
    reask: Ask | None = None,
    observer: Observer = NoObserver(),
    seed: int = 0,
) -> Outcome:
    """Carry out a plan; the robot holds still at the end.

    Args:
        robot: The robot, at rest.
        arm: Its arm with the gripper.
        prepared: What ``prepare_captured`` returned.
        config: All options.
        closed_loop: Whether things are followed; otherwise they are taken to stay where they were.
        reask: Asks a pointing model again while the plan runs, such as ``answers_of``; None to ask nothing.
        observer: Follows the run while it lasts.
        seed: Seed of start postures.

    Raises:
        RobotError: The robot measures other joints than the arm has, or its camera has no depth.
        PlanError: The camera shows nothing of what the plan names.
    """
    measured, known = len(robot.state().joints), len(arm.joints)
    if measured != known:
        raise RobotError(
            f"the robot measures {measured} joints, and the arm has {known}: correct the driver, or the arm"
        )
    watched = _followed(prepared, robot.view()) if closed_loop else Unchanging(prepared.names)
    return run_prepared(robot, arm, prepared, watched, config, np.random.default_rng(seed), reask, observer)


def _followed(prepared: PreparedTask, view: View) -> TrackedThings:
    """Start to follow the things that the camera shows."""
    if view.depth is None:
        raise RobotError("view() of the robot has no depth: it must be an image with depth in metres")
    things = prepared.things(view)
    if not things:
        raise PlanError(
            f"the robot's camera shows nothing of {', '.join(prepared.names)}: "
            "correct its pose in the base frame, or turn it to the scene"
        )
    return TrackedThings(view, things)
