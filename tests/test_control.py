"""Control of an arm: constraints as tasks, goals that are found, motions that keep limits and distances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from constraint_states import HOLDING, random_state
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="arms need mujoco: pip install point2act[arm]")
pytest.importorskip("mink", reason="control needs mink: pip install point2act[act]")

import mink

from point2act.acting.constraints.constraint_values import residual
from point2act.acting.constraints.scene_state import SceneState
from point2act.acting.control.arm_model import MAX_OBSTACLES, ArmModel
from point2act.acting.control.constraint_task import ConstraintTask, StateAt
from point2act.acting.control.controller import ControlConfig, Controller, missing
from point2act.acting.control.gripper_constraints import (
    GripperAbove,
    GripperAt,
    GripperOnApproach,
    backed_off,
)
from point2act.acting.control.smoothing import SmoothMotion
from point2act.core.constraints import Constraint
from point2act.core.geometry import invert, transform
from point2act.core.mujoco_import import mujoco
from point2act.core.types import Camera, OrientedBox, View
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import load_arm

SEEDS = st.integers(0, 1_000_000)
ARM = load_arm("panda", load_gripper("panda"))
TABLE = np.array([0.0, 0.0, 1.0, 0.0])
MODEL = ArmModel.of(ARM, TABLE)
CONFIG = ControlConfig()
PERIOD = 0.01
DOWN = np.diag([1.0, -1.0, -1.0])


def controller(*boxes: OrientedBox) -> Controller:
    one = Controller(ArmModel.of(ARM, TABLE), 0.5 * ARM.velocity, CONFIG)
    one.keep_away(boxes)
    return one


def alone(T_base_gripper: np.ndarray) -> SceneState:
    """The gripper with nothing else."""
    return SceneState(T_base_gripper, 0.08, {}, {})


def at(x: float, y: float, z: float, turn: float = 0.0) -> np.ndarray:
    """A gripper that points down."""
    return transform(DOWN @ Rotation.from_euler("z", turn).as_matrix(), (x, y, z))


def a_box(center: tuple[float, float, float], half: tuple[float, float, float]) -> OrientedBox:
    return OrientedBox(np.array(center), np.eye(3), np.array(half))


def random_joints(rng: np.random.Generator) -> np.ndarray:
    low, high = ARM.limits.T
    return rng.uniform(low + 0.1, high - 0.1)


def data_at(model: ArmModel, joints: np.ndarray, boxes: tuple[OrientedBox, ...] = ()):
    """MuJoCo's state at joint positions, with obstacles."""
    data = mujoco.MjData(model.model)
    model.place_obstacles(data, boxes)
    data.qpos[:] = joints
    mujoco.mj_kinematics(model.model, data)
    mujoco.mj_comPos(model.model, data)
    return data


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────
def carried(state: SceneState, T_base_gripper: np.ndarray) -> StateAt:
    """A state whose held things move with the gripper from a pose on."""

    def state_at(T: np.ndarray) -> SceneState:
        by = T @ invert(T_base_gripper)
        motion = {name: by @ T if name in state.held else T for name, T in state.motion.items()}
        return replace(state, T_world_gripper=T, motion=motion)

    return state_at


def on_gripper(rng: np.random.Generator, state: SceneState) -> GripperAt:
    kind = [GripperAt, GripperOnApproach][rng.integers(2)]
    T = transform(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-0.5, 0.5, 3))
    return kind(T, [None, "pot", "cup"][rng.integers(3)])


KINDS: dict[str, Callable[[np.random.Generator, SceneState], Constraint]] = {
    **{name: lambda rng, state, make=make: make(rng, state)[0] for name, make in HOLDING.items()},
    "gripper": on_gripper,
    "height": lambda rng, state: GripperAbove(float(rng.uniform(-0.3, 0.9))),
}


@pytest.mark.parametrize("kind", KINDS)
@given(seed=SEEDS)
def test_a_task_has_the_residual_and_its_derivative_by_the_joints(kind: str, seed: int):
    """In random states, with things that are held and things that are not."""
    rng = np.random.default_rng(seed)
    state, joints = random_state(rng), random_joints(rng)
    constraint = KINDS[kind](rng, state)
    if kind == "gripper" and constraint.query in state.held:
        state = replace(state, held=frozenset())  # a grasp of what is in the gripper is never sought
    state_at = carried(state, ARM.T_base_gripper(joints, 0.0))
    task = ConstraintTask(constraint, MODEL, state_at, weight=1.0, gain=1.0)
    configuration = mink.Configuration(MODEL.model)

    def error(q: np.ndarray) -> np.ndarray:
        configuration.update(q)
        return task.compute_error(configuration)

    step = 1e-6
    slopes = [(error(joints + way) - error(joints - way)) / (2 * step) for way in step * np.eye(len(joints))]
    np.testing.assert_allclose(
        error(joints), residual(constraint, state_at(ARM.T_base_gripper(joints, 0.0))).error
    )
    np.testing.assert_allclose(
        task.compute_jacobian(configuration), np.stack(slopes, axis=-1), atol=1e-5, rtol=1e-4
    )


def test_a_task_is_as_heavy_as_its_constraint():
    rng = np.random.default_rng(0)
    constraint = replace(on_gripper(rng, random_state(rng)), weight=2.0)
    task = ConstraintTask(constraint, MODEL, alone, weight=30.0, gain=0.2)
    np.testing.assert_array_equal(task.cost, [60.0])
    assert task.gain == 0.2


# ── the model ───────────────────────────────────────────────────────────────────────────────────
@given(SEEDS)
def test_the_gripper_is_where_the_arm_has_it(seed: int):
    joints = random_joints(np.random.default_rng(seed))
    for opening in (0.0, 0.05):
        found = MODEL.T_base_gripper(data_at(MODEL, joints), opening)
        np.testing.assert_allclose(found, ARM.T_base_gripper(joints, opening), atol=1e-9)
    np.testing.assert_allclose(
        controller().T_base_gripper(joints), ARM.T_base_gripper(joints, 0.0), atol=1e-9
    )


def distance_to_arm(data, point: np.ndarray) -> float:
    """Distance of a point, a cube of 2 micrometres, to links and gripper, as MuJoCo measures it."""
    MODEL.place_obstacles(data, [OrientedBox(point, np.eye(3), np.full(3, 1e-6))])
    mujoco.mj_kinematics(MODEL.model, data)
    obstacle = MODEL.model.geom("obstacle 0").id
    return min(mujoco.mj_geomDistance(MODEL.model, data, geom, obstacle, 1.0, None) for geom in MODEL.moving)


@pytest.mark.parametrize("seed", range(3))
def test_points_on_the_arm_are_covered_and_points_ten_centimetres_away_are_not(seed: int):
    rng = np.random.default_rng(seed)
    data = data_at(MODEL, random_joints(rng))
    links = data.geom_xpos[MODEL.moving]
    points = np.concatenate([links, rng.choice(links, 150) + rng.normal(0.0, 0.1, (150, 3))])
    distances = np.array([distance_to_arm(data, point) for point in points])
    covered = MODEL.covers(data, points)
    assert (distances < 0.005).sum() > 10
    assert (distances > 0.1).sum() > 10
    assert covered[distances < 0.005].all()
    assert not covered[distances > 0.1].any()


def test_the_clearance_is_that_of_the_nearest_box():
    gripper = ARM.T_base_gripper(ARM.home, 0.0)[:3, 3]
    near, far = (a_box(tuple(gripper - [0.0, 0.0, down]), (0.05, 0.05, 0.01)) for down in (0.02, 0.3))
    assert MODEL.clearance(data_at(MODEL, ARM.home, (far,))) == pytest.approx(0.02)
    assert MODEL.clearance(data_at(MODEL, ARM.home, (far, near))) < 0.011


@given(SEEDS)
def test_obstacles_are_where_the_largest_boxes_are(seed: int):
    """Also where their axes are left-handed."""
    rng = np.random.default_rng(seed)
    boxes = tuple(
        OrientedBox(
            rng.uniform(-1.0, 1.0, 3),
            np.diag([1.0, 1.0, rng.choice([-1.0, 1.0])]) @ Rotation.random(random_state=rng).as_matrix(),
            rng.uniform(0.01, 0.1, 3),
        )
        for _ in range(rng.integers(0, MAX_OBSTACLES + 4))
    )
    data = data_at(MODEL, ARM.home, boxes)
    largest = sorted(boxes, key=lambda box: -np.prod(box.half_extents))[:MAX_OBSTACLES]
    for number in range(MAX_OBSTACLES):
        geom = MODEL.model.geom(f"obstacle {number}")
        if number >= len(largest):
            assert data.geom_xpos[geom.id][2] < -5.0
            continue
        axes = data.geom_xmat[geom.id].reshape(3, 3)
        np.testing.assert_allclose(data.geom_xpos[geom.id], largest[number].center)
        np.testing.assert_allclose(geom.size, largest[number].half_extents)
        np.testing.assert_allclose(np.abs(largest[number].axes @ axes), np.eye(3), atol=1e-9)


def test_a_view_has_no_depth_on_the_arm():
    """A camera in front sees the gripper: its pixel loses its depth, and none elsewhere."""
    gripper = ARM.T_base_gripper(ARM.home, 0.0)
    before = gripper[:3, 3] - 0.08 * gripper[:3, 2] + np.array([0.8, 0.0, 0.0])
    T = transform(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), before)
    camera = Camera(60.0, 60.0, 32.0, 24.0, 48, 64)
    for distance, seen in ((0.8, True), (0.4, False)):
        depth = np.full((48, 64), distance, np.float32)
        view = View("", camera, T, np.zeros((48, 64, 3), np.uint8), depth)
        without = controller().without_arm(view, ARM.home).depth
        assert without is not None
        assert (without[24, 32] == 0) == seen
        assert without[2, 2] == depth[2, 2]
        assert view.depth is not None
        assert view.depth.all()


# ── goals ───────────────────────────────────────────────────────────────────────────────────────
PLACES = [(x, y, z) for x in (0.35, 0.5, 0.6) for y in (-0.25, 0.0, 0.25) for z in (0.02, 0.2)]


@pytest.mark.parametrize("place", PLACES)
def test_goals_over_the_table_are_found(place: tuple[float, float, float]):
    goal = GripperAt(at(*place, turn=place[1]), tolerance=0.005)
    found = controller().find_goal(ARM.home, [goal], alone, np.random.default_rng(0))
    assert found.found
    reached = ARM.T_base_gripper(found.joints, 0.0)
    np.testing.assert_allclose(reached[:3, 3], place, atol=0.005)
    assert residual(goal, alone(reached)).value <= 0.6 * goal.tolerance
    low, high = ARM.limits.T
    assert ((found.joints >= low) & (found.joints <= high)).all()
    assert MODEL.clearance(data_at(MODEL, found.joints)) > 0


def test_a_goal_beside_a_box_is_clear_of_it():
    box = a_box((0.5, 0.13, 0.15), (0.05, 0.05, 0.15))
    goal = GripperAt(at(0.5, 0.0, 0.1, turn=np.pi / 2), tolerance=0.005)
    found = controller(box).find_goal(ARM.home, [goal], alone, np.random.default_rng(0))
    assert found.found
    assert MODEL.clearance(data_at(MODEL, found.joints, (box,))) > 0.002


def test_a_goal_within_a_box_is_not_found():
    box = a_box((0.5, 0.0, 0.1), (0.06, 0.06, 0.1))
    goal = GripperAt(at(0.5, 0.0, 0.1), tolerance=0.005)
    found = controller(box).find_goal(ARM.home, [goal], alone, np.random.default_rng(0))
    assert not found.found
    assert found.worst is goal or not found.clear


def test_a_goal_out_of_reach_is_not_found():
    goal = GripperAt(at(1.5, 0.0, 0.2), tolerance=0.005)
    found = controller().find_goal(ARM.home, [goal], alone, np.random.default_rng(0))
    assert not found.found
    assert found.excess > 1
    assert found.worst is goal


def test_without_goals_the_arm_stays():
    found = controller().find_goal(ARM.home, [], alone, np.random.default_rng(0))
    assert found.found
    np.testing.assert_array_equal(found.joints, ARM.home)


def test_what_is_missing_is_the_largest_share_of_a_tolerance():
    T = at(0.5, 0.0, 0.2)
    goals = [GripperAt(at(0.5, 0.03, 0.2), tolerance=0.01), GripperAt(at(0.5, 0.0, 0.22), tolerance=0.002)]
    assert missing(goals, alone, T) == pytest.approx(10.0)
    assert missing([], alone, T) == 0.0


# ── motion ──────────────────────────────────────────────────────────────────────────────────────
def joints_at(T: np.ndarray) -> np.ndarray:
    found = controller().find_goal(ARM.home, [GripperAt(T, tolerance=0.001)], alone, np.random.default_rng(0))
    assert found.found
    return found.joints


def moved(
    one: Controller, start: np.ndarray, goal: np.ndarray, paths: tuple[Constraint, ...] = (), steps: int = 300
) -> np.ndarray:
    """Joint positions on the way, as if the arm followed every velocity."""
    joints = [start]
    for _ in range(steps):
        velocity = one.velocity(joints[-1], goal, paths, alone, PERIOD, 1.0)
        joints.append(joints[-1] + PERIOD * velocity)
        if np.abs(joints[-1] - goal).max() < 0.005:
            break
    return np.array(joints)


def test_a_motion_reaches_its_goal_within_the_limits_of_velocity():
    start, goal = joints_at(at(0.4, -0.2, 0.2)), joints_at(at(0.55, 0.2, 0.1))
    way = moved(controller(), start, goal)
    np.testing.assert_allclose(way[-1], goal, atol=0.005)
    assert (np.abs(np.diff(way, axis=0)) <= 0.5 * ARM.velocity * PERIOD + 1e-9).all()


SHARED = controller()


@given(SEEDS)
def test_no_velocity_is_above_its_limit(seed: int):
    """Whatever is asked for, also from postures near a singularity or in contact."""
    rng = np.random.default_rng(seed)
    goal = random_joints(rng)
    path = GripperOnApproach(at(*rng.uniform([0.3, -0.3, 0.1], [0.6, 0.3, 0.5])))
    velocity = SHARED.velocity(random_joints(rng), goal, [path], alone, PERIOD, 1.0)
    assert (np.abs(velocity) <= 0.5 * ARM.velocity + 1e-6).all()


def test_an_approach_stays_on_its_line():
    """10 cm down to a grasp."""
    T = at(0.5, 0.1, 0.05, turn=0.4)
    start = joints_at(backed_off(T, 0.1))
    on = GripperOnApproach(T, tolerance=0.003)
    goal = controller().find_goal(start, [GripperAt(T, tolerance=0.001)], alone, np.random.default_rng(0))
    way = moved(controller(), start, goal.joints, (on,))
    poses = [ARM.T_base_gripper(joints, 0.0) for joints in way]
    assert max(residual(on, alone(pose)).value for pose in poses) <= on.tolerance
    np.testing.assert_allclose(poses[-1][:3, 3], T[:3, 3], atol=0.004)
    assert poses[0][2, 3] - poses[-1][2, 3] == pytest.approx(0.1, abs=0.005)


def test_an_approach_is_found_again_from_beside_it():
    T = at(0.5, 0.1, 0.1)
    start, goal = joints_at(at(0.5, 0.12, 0.2)), joints_at(T)
    way = moved(controller(), start, goal, (GripperOnApproach(T),))
    last = ARM.T_base_gripper(way[-1], 0.0)
    assert residual(GripperAt(T, tolerance=0.003), alone(last)).value <= 0.003


def test_a_box_in_the_way_is_not_entered():
    box = a_box((0.5, 0.0, 0.15), (0.08, 0.02, 0.15))
    start, goal = joints_at(at(0.5, -0.2, 0.15)), joints_at(at(0.5, 0.2, 0.15))
    free, kept = (moved(one, start, goal) for one in (controller(), controller(box)))
    nearest = [min(MODEL.clearance(data_at(MODEL, q, (box,))) for q in way[::4]) for way in (free, kept)]
    assert nearest[0] < -0.01
    assert nearest[1] > 0.0


def test_the_table_is_not_entered():
    start = joints_at(at(0.5, 0.0, 0.1))
    goal = start + np.linalg.pinv(MODEL.jacobian(data_at(MODEL, start), at(0.5, 0.0, 0.1)[:3, 3])) @ [
        0.0, 0.0, -0.25, 0.0, 0.0, 0.0,
    ]  # fmt: skip
    assert MODEL.clearance(data_at(MODEL, goal)) < -0.01
    way = moved(controller(), start, goal)
    assert min(MODEL.clearance(data_at(MODEL, joints)) for joints in way[::4]) > 0.0


@pytest.mark.parametrize("height", [0.2, 0.35, 0.5])
def test_an_arm_brakes_in_time_before_the_table(height: float):
    """With the acceleration that its joints have, from full speed straight down."""
    start, middle = joints_at(at(0.5, 0.0, height)), at(0.5, 0.0, height)[:3, 3]
    down = np.linalg.pinv(MODEL.jacobian(data_at(MODEL, start), middle)) @ np.array([0, 0, -1.0, 0, 0, 0])
    one, smooth = controller(), SmoothMotion(start, 0.5 * ARM.velocity, PERIOD)
    clearances, fastest = [], 0.0
    for _ in range(200):
        before = smooth.joints
        after = smooth.follow(one.velocity(before, before + down, [], alone, PERIOD, 1.0))
        fastest = max(fastest, float((np.abs(after - before) / PERIOD / ARM.velocity).max()))
        clearances.append(MODEL.clearance(data_at(MODEL, after)))
    assert fastest > 0.3
    assert min(clearances) > 0.0


@pytest.mark.parametrize("joint", [0, 2, 3, 4, 5, 6])
def test_an_arm_at_a_joint_limit_comes_away_from_it(joint: int):
    """Nearer to it than control brings it, as after a motion by hand."""
    start = ARM.home.copy()
    start[joint] = ARM.limits[joint, 1] - 0.001
    way = moved(SHARED, start, ARM.home, steps=400)
    np.testing.assert_allclose(way[-1], ARM.home, atol=0.005)
    assert (np.abs(np.diff(way, axis=0)) <= 0.5 * ARM.velocity * PERIOD + 1e-9).all()


def test_a_slower_speed_is_kept():
    start, goal = joints_at(at(0.4, -0.2, 0.2)), joints_at(at(0.55, 0.2, 0.2))
    velocity = controller().velocity(start, goal, [], alone, PERIOD, 0.2)
    assert np.abs(velocity / ARM.velocity).max() == pytest.approx(0.1, rel=0.05)


def test_an_arm_in_a_box_comes_out_of_it():
    start = joints_at(at(0.5, 0.0, 0.2))
    box = a_box((0.5, 0.0, 0.15), (0.06, 0.06, 0.06))
    assert np.abs(moved(controller(box), start, ARM.home)[-1] - ARM.home).max() < 0.05
