"""Laws of the constraints' residuals: zero where they hold, true derivatives, the same in any world frame."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from constraint_states import (
    HOLDING,
    THINGS,
    Pair,
    moved,
    random_state,
    rigid,
    tilted,
    turned,
    twisted,
    world_moved,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.acting.constraints.constraint_values import residual, satisfied
from point2act.core.constraints import (
    GRIPPER,
    KINDS,
    UP,
    WORLD,
    Above,
    Axis,
    AxisName,
    AxisToAxis,
    Constraint,
    GripperAxis,
    GripperWidth,
    Height,
    KeepAway,
    KeepUpright,
    LinePath,
    Point,
    PointName,
    PointToPoint,
    WorldAxis,
)
from point2act.core.geometry import transform

SEEDS = st.integers(0, 1_000_000)
STEP = 1e-6
"""Metres and radians: errors of central differences are about its square, and 1e-16 / STEP."""
POINTS = [Point(GRIPPER, "center")] + [Point(of, name) for of in THINGS for name in get_args(PointName)]
AXES = [
    Axis(of, name)
    for of, names in ((GRIPPER, GripperAxis), (WORLD, WorldAxis), *((of, AxisName) for of in THINGS))
    for name in get_args(names)
]
every_kind = pytest.mark.parametrize("kind", KINDS)


def differences(function, state):
    """Central differences by every component of a twist."""
    steps = STEP * np.eye(6)
    ends = [(function(twisted(state, step)), function(twisted(state, -step))) for step in steps]
    return np.stack([(after - before) / (2 * STEP) for after, before in ends], axis=-1)


def test_every_kind_is_generated():
    assert HOLDING.keys() == KINDS.keys()
    rng = np.random.default_rng(0)
    assert all(isinstance(HOLDING[kind](rng, random_state(rng))[0], cls) for kind, cls in KINDS.items())


@every_kind
@given(seed=SEEDS)
def test_it_is_zero_where_it_holds(kind: str, seed: int):
    rng = np.random.default_rng(seed)
    constraint, state = HOLDING[kind](rng, random_state(rng))
    found = residual(constraint, state)
    np.testing.assert_allclose(found.error, 0.0, atol=1e-7)
    assert found.jacobian.shape == (len(found.error), 6)
    assert satisfied(constraint, state)


@every_kind
@given(seed=SEEDS)
def test_its_derivative_is_that_of_finite_differences(kind: str, seed: int):
    """In a random state, which is on a kink, or at an angle of 0 or pi, with probability 0."""
    rng = np.random.default_rng(seed)
    constraint, _ = HOLDING[kind](rng, random_state(rng))
    state = random_state(rng)
    slopes = differences(lambda near: residual(constraint, near).error, state)
    # Near an angle of 0 or pi second derivatives, and the errors of differences, grow like 1 / sin.
    np.testing.assert_allclose(residual(constraint, state).jacobian, slopes, atol=2e-6, rtol=2e-5)


@every_kind
@given(seed=SEEDS)
def test_equalities_have_a_derivative_where_they_hold(kind: str, seed: int):
    if kind in ("height", "above", "keep_away", "keep_upright"):
        return  # hinges: a solution may be on the kink
    rng = np.random.default_rng(seed)
    constraint, state = HOLDING[kind](rng, random_state(rng))
    slopes = differences(lambda near: residual(constraint, near).error, state)
    np.testing.assert_allclose(residual(constraint, state).jacobian, slopes, atol=1e-5, rtol=2e-5)


@every_kind
@given(seed=SEEDS)
def test_the_world_frame_does_not_matter(kind: str, seed: int):
    rng = np.random.default_rng(seed)
    constraint, on_it = HOLDING[kind](rng, random_state(rng))
    for state in (on_it, random_state(rng)):
        there = residual(constraint, world_moved(state, rigid(rng)))
        assert there.value == pytest.approx(residual(constraint, state).value, abs=1e-7)


@given(SEEDS, st.sampled_from(POINTS))
def test_the_derivative_of_a_point(seed: int, point: Point):
    state = random_state(np.random.default_rng(seed))
    slopes = differences(lambda near: near.point(point).value, state)
    np.testing.assert_allclose(state.point(point).jacobian, slopes, atol=1e-8)


@given(SEEDS, st.sampled_from(AXES))
def test_the_derivative_of_an_axis(seed: int, axis: Axis):
    state = random_state(np.random.default_rng(seed))
    assert np.linalg.norm(state.axis(axis).value) == pytest.approx(1.0)
    slopes = differences(lambda near: near.axis(axis).value, state)
    np.testing.assert_allclose(state.axis(axis).jacobian, slopes, atol=1e-8)


@given(SEEDS, st.sampled_from(THINGS))
def test_a_box_moves_with_its_thing(seed: int, thing: str):
    rng = np.random.default_rng(seed)
    state, T = random_state(rng), rigid(rng)
    before, after = state.box(thing), moved(state, thing, T).box(thing)
    np.testing.assert_allclose(after.center, T[:3, :3] @ before.center + T[:3, 3], atol=1e-12)
    np.testing.assert_allclose(after.axes, before.axes @ T[:3, :3].T, atol=1e-12)


@pytest.mark.parametrize("kind", ["point_to_point", "axis_to_axis", "keep_away"])
@given(seed=SEEDS)
def test_what_moves_together_keeps_its_value(kind: str, seed: int):
    """The derivative of half the squared value is ``e J``."""
    rng = np.random.default_rng(seed)
    state = replace(random_state(rng), held=frozenset(THINGS))
    found = residual(HOLDING[kind](rng, state)[0], state)
    np.testing.assert_allclose(found.error @ found.jacobian, 0.0, atol=1e-9)


@given(SEEDS, st.sampled_from([0.0, np.pi]))
def test_a_turn_to_be_made_has_a_value_in_radians_and_a_slope_even_where_it_is_half_a_turn(seed, angle):
    rng = np.random.default_rng(seed)
    pair, state = Pair.of(rng), random_state(rng)
    assume(pair.axis.name != "hole_axis")
    state = turned(state, pair.axis, state.up * (-1 if angle == 0 else 1))
    state = replace(state, held=frozenset({pair.axis.of}))
    found = residual(AxisToAxis(pair.axis, UP, angle), state)
    assert found.value == pytest.approx(np.pi, abs=1e-6)
    assert np.linalg.norm(found.jacobian.T @ found.error) == pytest.approx(np.pi, rel=1e-5)


@given(SEEDS, st.floats(0.1, 3.0))
def test_a_tilt_to_be_made_has_a_slope_where_the_axes_are_parallel(seed: int, angle: float):
    state = random_state(np.random.default_rng(seed))
    state = replace(turned(state, Axis("cup", "up"), state.up), held=frozenset({"cup"}))
    found = residual(AxisToAxis(Axis("cup", "up"), UP, angle), state)
    assert found.error == pytest.approx([-angle], abs=1e-6)
    assert np.linalg.norm(found.jacobian) == pytest.approx(1.0)


@given(SEEDS, st.floats(0.01, 3.1))
def test_angles_are_those_that_were_made(seed: int, angle: float):
    rng = np.random.default_rng(seed)
    state = random_state(rng)
    axis = Axis("pot", "long")
    state = turned(state, axis, tilted(state.up, angle, rng))
    assert residual(AxisToAxis(axis), state).value == pytest.approx(angle, abs=1e-6)
    assert residual(AxisToAxis(axis, UP, np.pi), state).value == pytest.approx(np.pi - angle, abs=1e-6)
    assert residual(KeepUpright(axis, max_angle=0.0), state).value == pytest.approx(angle, abs=1e-6)


@given(SEEDS, st.floats(0.0, np.pi), st.floats(0.0, np.pi))
def test_the_axis_of_a_hole_is_satisfied_in_either_sense(seed: int, angle: float, wanted: float):
    rng = np.random.default_rng(seed)
    axis, state = Axis("pot", "hole_axis"), random_state(rng)
    value = min(abs(angle - wanted), abs(np.pi - angle - wanted))
    for way in (1, -1):
        there = turned(state, axis, way * tilted(state.up, angle, rng))
        # Nearly parallel axes are compared as if they were.
        assert residual(AxisToAxis(axis, UP, wanted), there).value == pytest.approx(value, abs=2e-3)


def simple_state(place: tuple[float, float, float]):
    """The gripper's centre at a place, the cup's centre and box at the origin, the world's axes usual."""
    state = random_state(np.random.default_rng(0))
    cup = state.features["cup"]
    box = replace(cup.box, center=np.zeros(3), axes=np.eye(3), half_extents=np.array([0.1, 0.2, 0.3]))
    cup = replace(cup, points={**cup.points, "center": np.zeros(3)}, box=box)
    return replace(
        state,
        T_world_gripper=transform(np.eye(3), place),
        features={"cup": cup},
        motion={"cup": np.eye(4)},
        held=frozenset(),
        starts={Point(GRIPPER, "center"): np.array([1.0, 0.0, 0.0])},
        axes=np.eye(3),
    )


GRIP, CUP = Point(GRIPPER, "center"), Point("cup", "center")


@pytest.mark.parametrize(
    ("constraint", "place", "error"),
    [
        (PointToPoint(GRIP, CUP, 0.1), (0.1, 0.2, 0.4), [0.1, 0.2, 0.3]),
        (Height(GRIP, CUP, min_height=0.5), (3.0, 2.0, 0.4), [-0.1]),
        (Height(GRIP, CUP, max_height=0.1), (3.0, 2.0, 0.4), [0.3]),
        (Above(GRIP, CUP, 0.1, 0.2), (0.3, 0.4, 0.0), [-0.1, 0.3]),
        (KeepAway(GRIP, "cup", 0.05), (0.0, 0.0, 0.32), [0.03]),
        (KeepAway(GRIP, "cup", 0.05), (0.13, 0.24, 0.0), [0.0]),
        (KeepAway(GRIP, "cup", 0.05), (0.08, 0.0, 0.0), [0.07]),
        (KeepAway(GRIP, "cup", 0.05), (0.0, 0.0, 0.0), [0.15]),
        (PointToPoint(GRIP, GRIP, 0.1), (1.0, 0.2, 0.4), [0.0, 0.2, 0.3]),
        (Height(GRIP, GRIP, min_height=0.5), (3.0, 2.0, 0.4), [-0.1]),
        (LinePath(GRIP, GRIP, 0.3), (1.2, 0.0, 0.1), [0.2, 0.0, 0.0]),
        (LinePath(GRIP, CUP), (0.3, 0.1, 0.0), [0.0, 0.1, 0.0]),
        (LinePath(GRIP, CUP), (-0.3, 0.1, 0.0), [0.0, 0.1, 0.0]),
        (GripperWidth(1.0), (0.0, 0.0, 0.0), [-0.01]),
    ],
)
def test_errors_that_one_can_work_out(constraint, place, error):
    state = replace(simple_state(place), width=0.07)
    np.testing.assert_allclose(residual(constraint, state).error, error, atol=1e-12)


@given(SEEDS)
def test_a_motion_from_its_own_start_has_the_derivative_of_the_point(seed: int):
    state = random_state(np.random.default_rng(seed))
    found = residual(PointToPoint(GRIP, GRIP, 0.1), state)
    np.testing.assert_array_equal(found.jacobian, state.point(GRIP).jacobian)


def test_a_line_without_length_is_a_place_to_stay():
    state = replace(simple_state((0.1, 0.2, 0.0)), starts={GRIP: np.zeros(3)})
    np.testing.assert_allclose(residual(LinePath(GRIP, CUP), state).error, [0.1, 0.2, 0.0])


def test_a_gripper_leaves_a_box_by_the_nearest_face():
    """Steepest descent brings the gripper out and stops at the distance."""
    state, constraint = simple_state((0.08, 0.0, 0.0)), KeepAway(GRIP, "cup", 0.05)
    found = residual(constraint, state)
    step = -found.jacobian.T @ found.error
    assert satisfied(constraint, twisted(state, step))
    np.testing.assert_allclose(step, [0.07, 0, 0, 0, 0, 0], atol=1e-12)


def test_the_start_of_a_point_without_one_is_where_it_is():
    state = replace(random_state(np.random.default_rng(4)), starts={})
    np.testing.assert_allclose(state.start(CUP), state.point(CUP).value)


def test_rotations_of_a_twist_are_about_the_origin_of_the_gripper():
    state = random_state(np.random.default_rng(5))
    turn = np.array([0, 0, 0, 0.1, -0.2, 0.3])
    after = twisted(state, turn)
    np.testing.assert_allclose(after.T_world_gripper[:3, 3], state.T_world_gripper[:3, 3], atol=1e-12)
    expected = Rotation.from_rotvec(turn[3:]).as_matrix() @ state.T_world_gripper[:3, :3]
    np.testing.assert_allclose(after.T_world_gripper[:3, :3], expected, atol=1e-12)


def test_an_unknown_record_has_no_residual():
    with pytest.raises(TypeError, match="has no residual"):
        residual(Constraint(), random_state(np.random.default_rng(6)))
