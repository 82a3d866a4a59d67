"""A robot of one's own: found by its name, checked, and given the plan of a capture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_run import write_capture

from point2act.core.constraints import Above, Point
from point2act.core.errors import PlanError, Point2ActError, PointsError, RobotError
from point2act.core.types import Plan, Query, Step, Target, View
from point2act.data.points import read_points, write_points
from point2act.grasping.grippers import load_gripper

pytest.importorskip("mink")
pytest.importorskip("ruckig")

from button_plan import assert_over_button, hold_over_button

from point2act.acting.execution.own_robot import carry_out, find_factory, opened, read_task
from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.simulated_robot import SimulatedRobot
from point2act.acting.execution.timeline import Event
from point2act.grasping.reachability.arm import Arm, load_arm
from point2act.simulation.task import Task, load_task

RED = Target(Query("red", "the red box"), "red box", None, "")
HOLD = Above(Point("gripper", "center"), Point("red", "top"), min_height=0.1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, from which nothing stays importable after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


# ── the factory ────────────────────────────────────────────────────────────────────────────────
def test_a_factory_is_imported_from_the_current_folder(here: Path) -> None:
    (here / "beside_it.py").write_text("NAME = 'ours'\n")
    (here / "robot_of_this_folder.py").write_text(
        "def make():\n    import beside_it\n    return beside_it.NAME\n"
    )
    assert find_factory("robot_of_this_folder:make")() == "ours"


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("panda", None, "'panda' names no robot: write sim, or MODULE:FACTORY"),
        ("robot_a:", None, "'robot_a:' names no robot"),
        ("robot_b:make", None, "there is no module 'robot_b': install it, or run in its folder"),
        ("robot_c:make", "import rclpy_not_here", "module 'robot_c' needs 'rclpy_not_here', which is not"),
        ("robot_d:make", "1 / 0", "module 'robot_d' cannot be imported: ZeroDivisionError: division by zero"),
        ("robot_e:make", "def create(): ...", "robot_e.py) has no 'make'"),
        ("robot_f:make", "make = 3", "'robot_f:make' is of type int: name a function that"),
    ],
)
def test_a_wrong_name_is_an_error(here: Path, name: str, content: str | None, complaint: str) -> None:
    if content is not None:
        (here / f"{name.partition(':')[0]}.py").write_text(content)
    with pytest.raises(RobotError, match=re.escape(complaint)):
        find_factory(name)


class Incomplete:
    """A robot without half of its methods, which counts how often it is closed."""

    period, closed = 0.01, 0

    def state(self) -> None: ...

    def view(self) -> None: ...

    def close(self) -> None:
        self.closed += 1


def test_what_a_robot_lacks_is_named_and_the_robot_is_closed() -> None:
    robot = Incomplete()
    lacks = re.escape("a:b() returned a robot of type Incomplete without command(), stop(), real_time")
    with pytest.raises(RobotError, match=lacks), opened("a:b", lambda: robot):
        raise AssertionError
    assert robot.closed == 1


class Complete(Incomplete):
    real_time = True

    def command(self, joints: object, width: float) -> None: ...

    def stop(self) -> None: ...


def test_a_robot_is_closed_also_after_an_error() -> None:
    robot = Complete()
    with pytest.raises(KeyError), opened("a:b", lambda: robot):
        raise KeyError
    assert robot.closed == 1


def test_a_period_is_positive() -> None:
    robot = Complete()
    robot.period = 0.0
    with pytest.raises(RobotError, match=r"the period 0\.0"), opened("a:b", lambda: robot):
        raise AssertionError


def test_a_factory_that_fails_is_an_error() -> None:
    with pytest.raises(RobotError, match=r"a:b\(\) failed: TypeError: .*argument"), opened("a:b", vars().get):
        raise AssertionError

    def refuses() -> None:
        raise RobotError("the arm is locked: open its brakes")

    with pytest.raises(RobotError, match=r"^the arm is locked"), opened("a:b", refuses):
        raise AssertionError


# ── its task ───────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture with the pose of an arm's base, and with a plan with constraints."""
    folder = write_capture(tmp_path / "table")
    path = folder / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"T_base_world": np.eye(4).tolist()}))
    _plan(folder, Plan("Hold it.", (Step("hold", (RED,), (HOLD,)),)))
    return folder


def _plan(folder: Path, plan: Plan | None) -> None:
    write_points(folder / "points.json", replace(read_points(folder / "points.json"), plan=plan))


def test_a_task_is_read_from_a_capture(capture: Path) -> None:
    task = read_task(capture)
    assert task.plan.steps[0].constraints == (HOLD,)
    assert [query.name for query in task.points.queries] == ["red", "unicorn"]


def _without_pose(folder: Path) -> None:
    path = folder / "transforms.json"
    document = json.loads(path.read_text())
    del document["T_base_world"]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "error", "complaint"),
    [
        (lambda folder: folder.rename(folder.with_name("moved")), PlanError, "table is not a folder"),
        (
            lambda folder: (folder / "transforms.json").unlink(),
            Point2ActError,
            r"transforms\.json",
        ),
        (_without_pose, PlanError, r"transforms\.json does not give the arm's pose: write 'T_base_world'"),
        (
            lambda folder: (folder / "points.json").unlink(),
            PointsError,
            r"points\.json does not exist: use point2act plan",
        ),
        (lambda folder: _plan(folder, None), PlanError, r"points\.json has no plan: use point2act plan"),
        (
            lambda folder: _plan(folder, Plan("Take it.", (Step("take", (RED,)),))),
            PlanError,
            "no step of the plan has constraints",
        ),
    ],
)
def test_what_a_capture_lacks_is_named(
    capture: Path, change: object, error: type[Point2ActError], complaint: str
) -> None:
    assert callable(change)
    change(capture)
    with pytest.raises(error, match=complaint):
        read_task(capture)


# ── a run ──────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def arm() -> Arm:
    return load_arm("panda", load_gripper("panda"))


@pytest.fixture(scope="module")
def table() -> Task:
    return load_task("press_button", 0)


@pytest.fixture
def robot(table: Task, arm: Arm) -> Iterator[SimulatedRobot]:
    made = SimulatedRobot(table.scene, arm)
    yield made
    made.close()


@pytest.fixture(scope="module")
def prepared(table: Task) -> PreparedTask:
    return hold_over_button(table)


class Observed:
    """Remembers what an observer is shown."""

    def __init__(self) -> None:
        self.views: list[View] = []
        self.events: list[Event] = []

    def view(self, view: View) -> None:
        self.views.append(view)

    def event(self, event: Event) -> None:
        self.events.append(event)


@pytest.mark.parametrize("closed_loop", [True, False])
def test_a_plan_is_carried_out(
    robot: SimulatedRobot, arm: Arm, prepared: PreparedTask, closed_loop: bool
) -> None:
    observed = Observed()
    outcome = carry_out(robot, arm, prepared, closed_loop=closed_loop, observer=observed)
    assert outcome.done, outcome.reason
    assert tuple(observed.events) == outcome.events
    assert len(observed.views) > 2
    assert_over_button(prepared, arm, robot.state().joints)


class OfAnotherSize(SimulatedRobot):
    """Measures one joint less than the arm has."""

    def state(self):
        state = super().state()
        return replace(state, joints=state.joints[:6])


class WithoutDepth(SimulatedRobot):
    def view(self):
        return replace(super().view(), depth=None)


class TurnedAway(SimulatedRobot):
    """Takes its camera to be a metre higher than it is."""

    def view(self):
        view = super().view()
        moved = view.T_world_cam.copy()
        moved[2, 3] += 1.0
        return replace(view, T_world_cam=moved)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (OfAnotherSize, "the robot measures 6 joints, and the arm has 7"),
        (WithoutDepth, r"view\(\) of the robot has no depth"),
        (TurnedAway, "the robot's camera shows nothing of red button: correct its pose"),
    ],
)
def test_a_robot_that_does_not_fit_never_moves(
    table: Task, arm: Arm, prepared: PreparedTask, kind: type[SimulatedRobot], complaint: str
) -> None:
    robot = kind(table.scene, arm)
    with pytest.raises(Point2ActError, match=complaint):
        carry_out(robot, arm, prepared)
    assert robot.data.time == 0
    robot.close()
