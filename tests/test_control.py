"""Control by constraints: compiled tasks agree with the records, goals are found, limits hold."""

import numpy as np
import pytest
from constraint_states import THINGS, random_state

from point2act.acting.constraints.scene_state import SceneState
from point2act.core.constraints import (
    GRIPPER,
    Axis,
    AxisToAxis,
    Constraint,
    KeepUpright,
    LinePath,
    Point,
    PointToPoint,
)
from point2act.core.geometry import invert, transform
from point2act.core.types import OrientedBox
from point2act.grasping.grippers import load_gripper

pytest.importorskip("mink")
pytest.importorskip("ruckig")

import mink

from point2act.acting.constraints.constraint_values import residual
from point2act.acting.control.arm_model import ArmModel
from point2act.acting.control.constraint_task import ConstraintTask
from point2act.acting.control.controller import Controller
from point2act.acting.control.gripper_constraints import GripperAt, GripperOnApproach, backed_off
from point2act.acting.control.smoothing import SmoothConfig, SmoothMotion
from point2act.grasping.reachability.arm import load_arm

PERIOD = 0.01
DOWN = np.diag([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def model() -> ArmModel:
    arm = load_arm("panda", load_gripper("panda"))
    return ArmModel.of(arm, np.array([0.0, 0.0, 1.0, 0.0]))


@pytest.fixture
def controller(model: ArmModel) -> Controller:
    return Controller(model, 0.5 * model.arm.velocity)


def _nothing(T_base_gripper: np.ndarray) -> SceneState:
    return SceneState(T_base_gripper, 0.08, {}, {})


def _down_at(x: float, y: float, z: float) -> np.ndarray:
    return transform(DOWN, (x, y, z))


# ── tasks ──────────────────────────────────────────────────────────────────────────────────────
CONSTRAINTS: tuple[Constraint, ...] = (
    PointToPoint(Point("cup", "bottom"), Point("pot", "rim"), 0.03),
    PointToPoint(Point(GRIPPER, "center"), Point("pot", "top"), along=Axis("pot", "long")),
    AxisToAxis(Axis("cup", "up"), Axis("pot", "short"), 1.0),
    AxisToAxis(Axis(GRIPPER, "approach")),
    KeepUpright(Axis("cup", "up"), max_angle=0.01),
    LinePath(Point("cup", "rim"), Point("pot", "center")),
    GripperAt(_down_at(0.5, 0.1, 0.2)),
    GripperOnApproach(_down_at(0.5, 0.1, 0.2)),
)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("held", [(), ("cup",), THINGS], ids=len)
def test_the_jacobian_of_a_task_is_that_of_its_record_by_the_joints(model, constraint, held) -> None:
    rng = np.random.default_rng(len(held))
    first = random_state(rng)
    at_first = invert(first.T_world_gripper)

    def state_at(T: np.ndarray) -> SceneState:
        motion = {
            name: T @ at_first @ moved if name in held else moved for name, moved in first.motion.items()
        }
        return SceneState(T, 0.05, first.features, motion, frozenset(held), first.starts, first.axes)

    task = ConstraintTask(constraint, model, state_at, weight=1.0, gain=1.0)
    here = mink.Configuration(model.model)
    joints = model.arm.home + rng.uniform(-0.3, 0.3, 7)
    here.update(joints)
    jacobian, step = task.compute_jacobian(here), 1e-6
    T = model.T_base_gripper(here.data, 0.0)
    np.testing.assert_allclose(task.compute_error(here), residual(constraint, state_at(T)).error)
    for joint in range(7):
        errors = []
        for sign in (1.0, -1.0):
            here.update(joints + sign * step * np.eye(7)[joint])
            errors.append(task.compute_error(here))
        slope = (errors[0] - errors[1]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, joint], slope, atol=1e-5)


# ── goals ──────────────────────────────────────────────────────────────────────────────────────
def test_goals_over_a_table_are_found(model, controller) -> None:
    rng, found = np.random.default_rng(0), 0
    for _ in range(20):
        T = _down_at(rng.uniform(0.35, 0.65), rng.uniform(-0.3, 0.3), rng.uniform(0.05, 0.3))
        goal = controller.find_goal(model.arm.home, [GripperAt(T)], _nothing, rng)
        found += goal.found
        if goal.found:
            assert residual(GripperAt(T), _nothing(controller.T_base_gripper(goal.joints))).value < 0.01
            low, high = model.arm.limits.T
            assert ((goal.joints > low) & (goal.joints < high)).all()
    assert found >= 19


@pytest.mark.parametrize("place", [(0.5, 0.0, -0.05), (1.5, 0.0, 0.3)], ids=["in the table", "too far"])
def test_a_goal_that_cannot_be_is_not_found(model, controller, place) -> None:
    goal = controller.find_goal(
        model.arm.home, [GripperAt(_down_at(*place))], _nothing, np.random.default_rng(0)
    )
    assert not goal.found


def test_a_goal_in_an_obstacle_is_not_found(model, controller) -> None:
    goal = [GripperAt(_down_at(0.5, 0.0, 0.2))]
    assert controller.find_goal(model.arm.home, goal, _nothing, np.random.default_rng(0)).found
    controller.keep_away([OrientedBox(np.array([0.5, 0.0, 0.2]), np.eye(3), np.full(3, 0.05))])
    assert not controller.find_goal(model.arm.home, goal, _nothing, np.random.default_rng(0)).found


# ── motion ─────────────────────────────────────────────────────────────────────────────────────
def _drive(controller, start, goal, paths, steps=400, speed=1.0) -> np.ndarray:
    """Integrate the velocities of control; return the joints of every step."""
    trail = [start]
    for _ in range(steps):
        velocity = controller.velocity(trail[-1], goal, paths, _nothing, PERIOD, speed)
        trail.append(trail[-1] + PERIOD * velocity)
    return np.array(trail)


def test_an_approach_stays_on_its_line_within_the_limits_of_velocity(model, controller) -> None:
    rng = np.random.default_rng(0)
    T = _down_at(0.5, 0.1, 0.1)
    start = controller.find_goal(model.arm.home, [GripperAt(backed_off(T, 0.1))], _nothing, rng).joints
    goal = controller.find_goal(start, [GripperAt(T, tolerance=0.001)], _nothing, rng).joints
    trail = _drive(controller, start, goal, [GripperOnApproach(T)])
    off = [residual(GripperOnApproach(T), _nothing(controller.T_base_gripper(q))).value for q in trail]
    assert max(off) < 0.003
    assert (np.abs(np.diff(trail, axis=0)) <= 0.5 * PERIOD * model.arm.velocity + 1e-6).all()
    np.testing.assert_allclose(controller.T_base_gripper(trail[-1])[:3, 3], T[:3, 3], atol=0.003)


def test_an_obstacle_in_the_way_is_not_entered(model, controller) -> None:
    rng = np.random.default_rng(0)
    start = controller.find_goal(model.arm.home, [GripperAt(_down_at(0.5, -0.25, 0.15))], _nothing, rng)
    goal = controller.find_goal(start.joints, [GripperAt(_down_at(0.5, 0.25, 0.15))], _nothing, rng)
    box = OrientedBox(np.array([0.5, 0.0, 0.15]), np.eye(3), np.array([0.05, 0.03, 0.15]))
    controller.keep_away([box])
    here = mink.Configuration(model.model)
    model.place_obstacles(here.data, [box])
    for joints in _drive(controller, start.joints, goal.joints, [])[::20]:
        here.update(joints)
        assert model.clearance(here.data) > 0.0


def test_an_arm_in_an_obstacle_gets_out(model, controller) -> None:
    start = controller.find_goal(
        model.arm.home, [GripperAt(_down_at(0.5, 0.0, 0.2))], _nothing, np.random.default_rng(0)
    )
    controller.keep_away([OrientedBox(np.array([0.5, 0.0, 0.15]), np.eye(3), np.full(3, 0.06))])
    trail = _drive(controller, start.joints, model.arm.home, [])
    assert np.abs(trail[-1] - model.arm.home).max() < 0.05


def test_points_on_the_arm_are_known_and_others_are_not(model) -> None:
    here = mink.Configuration(model.model)
    here.update(model.arm.home)
    gripper = model.T_base_gripper(here.data, 0.0)
    palm, beside = gripper @ [0.0, 0.0, -0.08, 1.0], gripper @ [0.25, 0.0, 0.0, 1.0]
    np.testing.assert_array_equal(model.covers(here.data, np.array([palm[:3], beside[:3]])), [True, False])


# ── smoothing ──────────────────────────────────────────────────────────────────────────────────
def test_motion_has_limited_velocity_acceleration_and_jerk() -> None:
    rng, config, most = np.random.default_rng(0), SmoothConfig(), np.array([1.0, 2.0])
    motion = SmoothMotion(np.zeros(2), most, PERIOD, config)
    places = []
    for number in range(300):
        if number % 40 == 0:
            wanted = rng.uniform(-1.0, 1.0, 2) * most
        places.append(motion.follow(wanted if number < 250 else np.zeros(2)))
    velocity, acceleration = (np.diff(places, order, axis=0) / PERIOD**order for order in (1, 2))
    jerk = np.diff(places, 3, axis=0) / PERIOD**3
    assert (np.abs(velocity) <= most * 1.01).all()
    assert np.abs(acceleration).max() <= config.acceleration * 1.01
    assert np.abs(jerk).max() <= config.jerk * 1.01
    np.testing.assert_allclose(velocity[-1], 0.0, atol=1e-6)
