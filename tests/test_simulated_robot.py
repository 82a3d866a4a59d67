"""The simulated robot and what disturbs it."""

from collections.abc import Iterator

import numpy as np
import pytest

from point2act.grasping.grippers import load_gripper

pytest.importorskip("mink")

from point2act.acting.execution.robot import Robot
from point2act.acting.execution.simulated_robot import SimulatedRobot
from point2act.acting.execution.simulated_task import simulated_answers
from point2act.core.geometry import (
    at_pixels,
    back_project,
    distance_to_box,
    invert,
    pixel_centers,
    transform_points,
)
from point2act.grasping.reachability.arm import Arm, load_arm
from point2act.simulation import part_box
from point2act.simulation.disturbances import Disturber, PhysicalDisturbance, Roles
from point2act.simulation.pointing import CLEAN
from point2act.simulation.task import Task, load_task


@pytest.fixture(scope="module")
def arm() -> Arm:
    return load_arm("panda", load_gripper("panda"))


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("mug_on_coaster", 0)


@pytest.fixture
def robot(task: Task, arm: Arm) -> Iterator[SimulatedRobot]:
    made = SimulatedRobot(task.scene, arm)
    yield made
    made.close()


def test_it_is_a_robot_at_home(robot: SimulatedRobot, arm: Arm) -> None:
    assert isinstance(robot, Robot)
    state = robot.state()
    np.testing.assert_allclose(state.joints, arm.home, atol=1e-3)
    assert state.width == pytest.approx(arm.gripper.max_width, abs=1e-3)


def test_commands_are_followed_and_take_one_period(robot: SimulatedRobot, arm: Arm) -> None:
    start, target = robot.state().time, arm.home + 0.05
    for share in np.linspace(0.0, 1.0, 50):
        robot.command(arm.home + share * (target - arm.home), 0.02)
    for _ in range(50):
        robot.command(target, 0.02)
    state = robot.state()
    assert state.time - start == pytest.approx(100 * robot.period)
    np.testing.assert_allclose(state.joints, target, atol=5e-3)
    assert state.width == pytest.approx(0.02, abs=2e-3)


def test_the_camera_shows_the_table_in_the_base_frame(robot: SimulatedRobot) -> None:
    view = robot.view()
    assert view.depth is not None
    points = back_project(
        view.camera, view.T_world_cam, pixel_centers(*view.depth.shape).reshape(-1, 2), view.depth.reshape(-1)
    )
    near = points[np.linalg.norm(points[:, :2] - [0.5, 0.0], axis=1) < 0.3]
    assert np.median(near[:, 2]) == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize("query", ["mug", "coaster"])
def test_a_model_that_never_errs_points_at_what_is_meant_now(
    robot: SimulatedRobot, task: Task, query: str
) -> None:
    ask = simulated_answers(robot, task.scene, CLEAN, np.random.default_rng(0))
    meant = next(one for one in task.scene.queries if one.name == query)
    view, box = robot.view(), part_box(task.scene, query)
    for _ in range(5):
        pixel = ask(meant, view)
        assert pixel is not None
        assert view.depth is not None
        depth = at_pixels(view.depth, pixel[None]).astype(float)
        place = back_project(view.camera, view.T_world_cam, pixel[None], depth)
        at = transform_points(invert(task.scene.T_base_world), place)
        assert distance_to_box(at, box)[0] < 0.01
    robot.covered = True
    assert ask(meant, robot.view()) is None


def test_a_covered_camera_has_no_depth(robot: SimulatedRobot) -> None:
    robot.covered = True
    depth = robot.view().depth
    assert depth is not None
    assert not (depth > 0.02).any()


def _disturb(robot: SimulatedRobot, task: Task, kind: PhysicalDisturbance, roles: Roles) -> Disturber:
    disturber = Disturber(kind, task.scene, roles, np.random.default_rng(0))
    disturber.started = float(robot.data.time)
    robot.before_step.append(disturber)
    for _ in range(150):
        robot.command(robot.state().joints, 0.08)
    return disturber


@pytest.mark.parametrize(("kind", "thing"), [("target_moved", "yellow_mug"), ("goal_moved", "green_mug")])
def test_things_are_moved_by_5_to_15_cm_and_stand_upright(
    robot: SimulatedRobot, task: Task, kind: PhysicalDisturbance, thing: str
) -> None:
    before = robot.data.body(thing).xpos.copy()
    _disturb(robot, task, kind, Roles("yellow_mug", "green_mug"))
    body = robot.data.body(thing)
    assert 0.045 < np.linalg.norm(body.xpos[:2] - before[:2]) < 0.155
    assert body.xmat.reshape(3, 3)[2, 2] > 0.99
    assert body.xpos[2] == pytest.approx(before[2], abs=3e-3)


def test_a_thing_is_pulled_from_between_the_fingers_first(robot: SimulatedRobot, task: Task) -> None:
    """Along them, so that who pulls does not push the robot, and then put down beside where it stood."""
    thing, places = robot.data.joint("yellow_mug"), []
    rest = robot.data.body("yellow_mug").xpos.copy()
    palm = robot.data.body("gripper/palm")
    approach = palm.xmat.reshape(3, 3)[:, 2].copy()
    thing.qpos[:3] = palm.xpos + 0.25 * approach
    taken = thing.qpos[:3].copy()
    robot.before_step.append(lambda one: places.append(one.data.joint("yellow_mug").qpos[:3].copy()))
    _disturb(robot, task, "pulled", Roles("yellow_mug", "green_mug"))
    way = np.array(places) - taken
    out = way[: np.argmax(way @ approach > 0.05)]
    assert len(out) > 5
    np.testing.assert_allclose(out - np.outer(out @ approach, approach), 0.0, atol=1e-3)
    away = robot.data.body("yellow_mug").xpos - rest
    assert 0.045 < np.linalg.norm(away[:2]) < 0.16
    assert abs(away[2]) < 0.06


def test_the_camera_is_covered_for_a_second(robot: SimulatedRobot, task: Task) -> None:
    disturber = Disturber("covered", task.scene, Roles("yellow_mug", None), np.random.default_rng(0))
    disturber.started = float(robot.data.time)
    robot.before_step.append(disturber)
    covered = []
    for _ in range(120):
        robot.command(robot.state().joints, 0.08)
        covered.append(robot.covered)
    assert sum(covered) == pytest.approx(100, abs=2)
    assert not covered[-1]


def test_a_pushed_arm_moves_and_comes_back(robot: SimulatedRobot, task: Task, arm: Arm) -> None:
    disturber = Disturber("pushed", task.scene, Roles("yellow_mug", None), np.random.default_rng(0))
    disturber.started = float(robot.data.time)
    robot.before_step.append(disturber)
    away = []
    for _ in range(150):
        robot.command(arm.home, 0.08)
        away.append(np.abs(robot.state().joints - arm.home).max())
    assert max(away) > 0.005
    assert away[-1] < 0.003


def test_nothing_happens_before_the_gripper_is_near(robot: SimulatedRobot, task: Task) -> None:
    disturber = Disturber("target_moved", task.scene, Roles("yellow_mug", None), np.random.default_rng(0))
    robot.before_step.append(disturber)
    robot.command(robot.state().joints, 0.08)
    assert disturber.started is None
