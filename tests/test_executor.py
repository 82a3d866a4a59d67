"""Plans carried out by a simulated arm, with features that are known instead of localized."""

from dataclasses import replace

import numpy as np
import pytest
from button_plan import button_scene
from scipy.spatial.transform import Rotation

from point2act.core.constraints import (
    Above,
    Axis,
    AxisToAxis,
    GripperWidth,
    Height,
    LinePath,
    Point,
    PointToPoint,
)
from point2act.core.geometry import transform
from point2act.core.types import OrientedBox, Plan, Query, Step, Target
from point2act.grasping.grippers import load_gripper

pytest.importorskip("mink")
pytest.importorskip("ruckig")

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.execution.executor import Executor
from point2act.acting.execution.perception import BesideControl, Unchanging
from point2act.acting.execution.preparation import PreparedTask, moved
from point2act.acting.execution.robot import RobotState
from point2act.acting.execution.scene_memory import TaskScene
from point2act.acting.execution.scenery import Scenery
from point2act.acting.execution.simulated_robot import SimulatedRobot
from point2act.acting.execution.simulated_task import simulated_answers
from point2act.acting.execution.stages import GraspChoice, GraspRequest, stages_of
from point2act.grasping.reachability.arm import Arm, load_arm
from point2act.simulation.pointing import CLEAN
from point2act.simulation.task import Task, TaskMonitor, load_task

_BUTTON = Query("button", "the red button", "place")
_TARGET = Target(_BUTTON, "red button", None, "")
_DOWN = AxisToAxis(Axis("gripper", "approach"), angle=float(np.pi))
_CLOSED = GripperWidth(0.0, when="path")


@pytest.fixture(scope="module")
def arm() -> Arm:
    return load_arm("panda", load_gripper("panda"))


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("press_button", 0)


def _executor(robot: SimulatedRobot, arm: Arm, scene: TaskScene) -> Executor:
    beside = BesideControl(Unchanging(tuple(scene.things.values())), period=0.2, latency=0.1, real_time=False)
    return Executor(robot, arm, scene, beside, rng=np.random.default_rng(0))


def test_a_button_is_pressed_by_constraints(arm: Arm, task: Task) -> None:
    gripper, top = Point("gripper", "center"), Point("button", "top")
    plan = Plan(
        "Press the red button.",
        (
            Step("hold", (_TARGET,), (Above(gripper, top, min_height=0.05, radius=0.005), _DOWN, _CLOSED)),
            Step(
                "press",
                (_TARGET,),
                (LinePath(gripper, top, -0.008), PointToPoint(gripper, top, -0.008), _CLOSED),
            ),
        ),
    )
    robot = SimulatedRobot(task.scene, arm)
    monitor = TaskMonitor(task, robot.model)
    robot.before_step.append(lambda one: monitor.update(one.data))
    outcome = _executor(robot, arm, button_scene(task)).run(plan)
    success = monitor.success(robot.data)
    robot.close()
    assert outcome.done, outcome.reason
    assert success
    assert outcome.violations == 0
    assert len(outcome.step_seconds) == pytest.approx(outcome.seconds / robot.period, abs=3)
    assert [event.detail for event in outcome.events if event.kind == "done"][-1] == "press"


def test_a_goal_out_of_reach_ends_in_a_sentence_and_the_robot_is_still(arm: Arm, task: Task) -> None:
    far = PointToPoint(Point("gripper", "center"), Point("button", "top"), 3.0)
    robot = SimulatedRobot(task.scene, arm)
    outcome = _executor(robot, arm, button_scene(task)).run(Plan("Fly.", (Step("fly", (_TARGET,), (far,)),)))
    before = robot.state().joints
    robot.rest(0.2)
    after = robot.state().joints
    robot.close()
    assert not outcome.done
    assert "'fly' failed" in outcome.reason
    assert any("no posture of the arm satisfies PointToPoint" in event.detail for event in outcome.events)
    np.testing.assert_allclose(before, after, atol=2e-3)


def test_conditions_before_and_after_a_step_are_checked(arm: Arm, task: Task) -> None:
    gripper, top = Point("gripper", "center"), Point("button", "top")
    hold = Above(gripper, top, min_height=0.1, radius=0.01)
    high = Height(gripper, top, min_height=0.05, when="postcondition")
    low = Height(gripper, top, max_height=0.02, when="precondition")
    robot = SimulatedRobot(task.scene, arm)
    plan = Plan("Go.", (Step("hold", (_TARGET,), (hold, _DOWN, high)), Step("press", (_TARGET,), (low,))))
    outcome = _executor(robot, arm, button_scene(task)).run(plan)
    robot.close()
    details = {(event.kind, event.detail) for event in outcome.events}
    assert ("done", "check after: hold") in details
    assert ("violated", "check before: press: Height does not hold") in details
    assert "'check before: press' failed" in outcome.reason


def _asked_about_it(robot: SimulatedRobot, arm: Arm, task: Task, found: TaskScene) -> Executor:
    """Beside where the button is; a model that is always right is asked again."""
    beside = BesideControl(Unchanging(("red button",)), period=0.2, latency=0.1, real_time=False)
    right = button_scene(task)
    surface = right.features["button"].points["top"][None]
    return Executor(
        robot,
        arm,
        found,
        beside,
        reask=simulated_answers(robot, task.scene, CLEAN, np.random.default_rng(0)),
        locate=lambda name, places: PreparedTask(Plan("", ()), right, {name: surface}),
        rng=np.random.default_rng(0),
    )


def test_where_the_arm_meets_something_it_rests_at_once(arm: Arm, task: Task) -> None:
    """And the run goes on: smoothing to rest would press on until the safety filter stops it for good."""
    gripper, top = Point("gripper", "center"), Point("button", "top")
    robot = SimulatedRobot(task.scene, arm)
    forces: list[float] = []
    robot.before_step.append(lambda one: forces.append(one.state().force))
    right = button_scene(task)
    below = -0.012 - right.features["button"].points["top"][2]
    lower = moved(right.features["button"], transform(np.eye(3), (-0.05, 0.12, below)))
    scene = replace(right, features={"button": lower}, table=np.array([0.0, 0.0, 1.0, 0.1]))
    deep = Step("deep", (_TARGET,), (PointToPoint(gripper, top), _DOWN, _CLOSED))
    outcome = _executor(robot, arm, scene).run(Plan("Touch the button.", (deep,)))
    robot.close()
    # The table is 12 mm higher than the goal; with a smooth rest it was pressed with 110 N.
    assert 20 < max(forces) < 95
    assert not any(event.kind == "stopped" for event in outcome.events), outcome.reason
    assert any("touched something" in event.detail for event in outcome.events)
    assert "'deep' failed" in outcome.reason


@pytest.mark.full
def test_what_was_localized_wrongly_is_located_anew_and_done(arm: Arm, task: Task) -> None:
    gripper, top = Point("gripper", "center"), Point("button", "top")
    hold = Step("hold", (_TARGET,), (Above(gripper, top, min_height=0.05, radius=0.005), _DOWN, _CLOSED))
    press = (LinePath(gripper, top, -0.008), PointToPoint(gripper, top, -0.008), _CLOSED)
    right = button_scene(task)
    wrong = moved(right.features["button"], transform(np.eye(3), (-0.05, 0.12, 0.0)))
    robot = SimulatedRobot(task.scene, arm)
    monitor = TaskMonitor(task, robot.model)
    robot.before_step.append(lambda one: monitor.update(one.data))
    executor = _asked_about_it(robot, arm, task, replace(right, features={"button": wrong}))
    outcome = executor.run(Plan("Press the red button.", (hold, Step("press", (_TARGET,), press))))
    success = monitor.success(robot.data)
    robot.close()
    assert outcome.done, outcome.reason
    assert success
    assert [event.detail for event in outcome.events if event.kind == "asked"] == ["button"] * 2
    assert len([event for event in outcome.events if event.kind == "found"]) == 1
    done = [event.detail for event in outcome.events if event.kind == "done"]
    assert done.count("hold") == 2
    assert done.count("press") == 1


def test_a_condition_that_does_not_hold_is_asked_about(arm: Arm, task: Task) -> None:
    """What is confirmed once more stays where it is."""
    gripper, top = Point("gripper", "center"), Point("button", "top")
    hold = Above(gripper, top, min_height=0.1, radius=0.01)
    low = Height(gripper, top, max_height=0.02, when="postcondition")
    robot = SimulatedRobot(task.scene, arm)
    executor = _asked_about_it(robot, arm, task, button_scene(task))
    outcome = executor.run(Plan("Go.", (Step("hold", (_TARGET,), (hold, _DOWN, low)),)))
    robot.close()
    assert not outcome.done
    asked = [event.detail for event in outcome.events if event.kind == "asked"]
    assert len(asked) == 3
    assert not [event for event in outcome.events if event.kind == "found"]


def test_a_keep_out_box_that_the_gripper_is_in_counts(arm: Arm, task: Task) -> None:
    robot = SimulatedRobot(task.scene, arm)
    place = arm.T_base_gripper(arm.home, arm.gripper.max_width)[:3, 3]
    beside = BesideControl(Unchanging(("red button",)), period=0.2, latency=0.1, real_time=False)
    around = OrientedBox(place, np.eye(3), np.full(3, 0.05))
    executor = Executor(
        robot, arm, button_scene(task), beside, keep_out=(around,), rng=np.random.default_rng(0)
    )
    outcome = executor.run(Plan("Close.", (Step("close", (_TARGET,), (_CLOSED,)),)))
    robot.close()
    assert outcome.violations > 30


def test_a_grasp_without_candidates_ends_in_a_sentence(arm: Arm, task: Task) -> None:
    target = Target(Query("button", "the red button"), "red button", None, "")
    robot = SimulatedRobot(task.scene, arm)
    outcome = _executor(robot, arm, button_scene(task)).run(Plan("Take it.", (Step("take", (target,)),)))
    robot.close()
    assert outcome.reason == "there is no grasp of the button"


_CUP = Query("cup", "the cup", "grasp")
_TAKE = Step("take", (Target(_CUP, "cup", None, ""),))


def _cup_scene() -> TaskScene:
    """A small cup, with a grasp from the side, tilted by 30 degrees, and one from above."""
    center, up = np.array([0.5, 0.0, 0.05]), np.array([0.0, 0.0, 1.0])
    box = OrientedBox(center, np.eye(3), np.array([0.02, 0.02, 0.05]))
    points = {"center": center, "top": center + 0.05 * up, "bottom": center - 0.05 * up}
    down = np.diag([1.0, -1.0, -1.0])
    turns = [Rotation.from_euler("y", -angle, degrees=True).as_matrix() @ down for angle in (30, 0)]
    grasps = tuple(GraspChoice("cup", transform(turn, center + 0.02 * up), 0.04, 0.07) for turn in turns)
    features = {"cup": RegionFeatures(points, {"up": up}, box)}
    return TaskScene(features, {"cup": "cup"}, {"cup": grasps}, Scenery(), np.array([0.0, 0.0, 1.0, 0.0]))


def test_a_grasp_allows_what_holds_on_the_way_too(arm: Arm, task: Task) -> None:
    """With an upright cup the gripper only points down if the cup was grasped from above."""
    on_the_way = AxisToAxis(Axis("gripper", "approach"), angle=float(np.pi), when="path", tolerance=0.1)
    upright = AxisToAxis(Axis("cup", "up"), tolerance=0.05)
    raise_it = Height(Point("cup", "bottom"), Point("cup", "bottom"), min_height=0.1)
    robot, scene = SimulatedRobot(task.scene, arm), _cup_scene()
    executor = _executor(robot, arm, scene)
    tilted, above = scene.grasps["cup"]
    for paths, expected in (((), tilted), ((on_the_way,), above)):
        plan = Plan("Raise the cup.", (_TAKE, Step("raise", (), (raise_it, upright, *paths))))
        request, *later = stages_of(plan, arm.gripper.max_width)
        assert isinstance(request, GraspRequest)
        reached = executor._choose(request, later)
        assert reached is not None
        assert reached.choice is expected
    robot.close()


def test_what_is_impossible_with_a_grasp_is_tried_with_another_one(arm: Arm, task: Task) -> None:
    """And what failed for another reason is done again."""
    upright = AxisToAxis(Axis("cup", "up"), when="path", tolerance=0.05)
    far = PointToPoint(Point("cup", "bottom"), Point("cup", "bottom"), 3.0)
    robot, scene = SimulatedRobot(task.scene, arm), _cup_scene()
    executor = _executor(robot, arm, scene)
    blocks = stages_of(Plan("Move it far.", (_TAKE, Step("move", (), (far, upright)))), arm.gripper.max_width)
    executor._memory.hold("cup", executor._start)
    executor._grasped = scene.grasps["cup"][0]
    assert executor._back(blocks, 1, 1) == 1
    assert not executor._runner.run(blocks[1])
    assert executor._back(blocks, 1, 1) == 0
    assert executor._failed == {scene.grasps["cup"][0]}
    robot.close()


def test_what_fails_again_with_a_grasp_is_tried_with_another_one(arm: Arm, task: Task) -> None:
    """The first time it is raised, and done again."""
    robot, scene = SimulatedRobot(task.scene, arm), _cup_scene()
    executor = _executor(robot, arm, scene)
    upright = AxisToAxis(Axis("cup", "up"), when="path", tolerance=0.5)
    there = PointToPoint(Point("cup", "bottom"), Point("cup", "bottom"), 0.1)
    blocks = stages_of(Plan("Move it.", (_TAKE, Step("move", (), (there, upright)))), arm.gripper.max_width)
    executor._memory.hold("cup", executor._start)
    executor._grasped = scene.grasps["cup"][0]
    before = float(executor._loop.T_base_gripper[2, 3])
    assert executor._back(blocks, 1, 1) == 1
    assert float(executor._loop.T_base_gripper[2, 3]) > before + 0.05
    assert executor._back(blocks, 1, 2) == 0
    assert executor._failed == {scene.grasps["cup"][0]}
    robot.close()


def test_joints_that_are_not_numbers_are_never_commanded(arm: Arm, task: Task) -> None:
    robot, sent = SimulatedRobot(task.scene, arm), []
    state, command = robot.state, robot.command

    def unknown() -> RobotState:
        late = robot.data.time > 0.1
        return replace(state(), joints=np.full(7, np.nan)) if late else state()

    def recorded(joints: np.ndarray, width: float) -> None:
        sent.append(joints)
        command(joints, width)

    robot.state, robot.command = unknown, recorded
    plan = Plan("Close.", (Step("close", (_TARGET,), (_CLOSED,)),))
    outcome = _executor(robot, arm, button_scene(task)).run(plan)
    robot.close()
    assert outcome.reason == "the robot measures joint positions that are not numbers"
    assert sent
    assert np.isfinite(sent).all()
