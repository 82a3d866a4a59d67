"""Laws of the safety filter: what leaves it is within all limits, whatever comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from point2act.acting.control.safety import Envelope, SafetyConfig, SafetyFilter
from point2act.core.types import OrientedBox

LIMITS = np.array([[-1.0, 1.0], [0.0, 3.0], [-2.5, -0.5]])
VELOCITY = np.array([1.0, 2.0, 0.5])
PERIOD = 0.01
CONFIG = SafetyConfig()
MIDDLE = LIMITS.mean(axis=1)
STEP = PERIOD * VELOCITY
AWAY = np.array([0.5, 0.0, 0.5])
"""A place outside of all boxes."""
TURN = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
BOX = OrientedBox(np.array([0.3, 0.2, 0.1]), TURN, np.array([0.1, 0.05, 0.1]))

anything = st.floats(width=64)  # with infinities, and with what is not a number
three = hnp.arrays(float, 3, elements=anything)
inside = hnp.arrays(float, 3, elements=st.floats(0.0, 1.0)).map(
    lambda share: np.clip(LIMITS[:, 0] + share * np.ptp(LIMITS, axis=1), *LIMITS.T)
)


def safety(*boxes: OrientedBox) -> SafetyFilter:
    return SafetyFilter(Envelope(LIMITS, VELOCITY, boxes), PERIOD, CONFIG)


def check(
    one: SafetyFilter,
    joints: np.ndarray,
    gripper: np.ndarray = AWAY,
    *,
    before: np.ndarray = MIDDLE,
    force: float = 0.0,
    age: float = 0.0,
) -> np.ndarray:
    return one.check(before, joints, lambda _: gripper, force=force, age=age)


@given(inside, st.lists(st.tuples(three, three, anything, anything), min_size=1, max_size=8))
def test_whatever_comes_in_what_leaves_is_within_limits(before: np.ndarray, inputs: list):
    one = safety(BOX)
    for joints, gripper, force, age in inputs:
        sent = check(one, joints, gripper, before=before, force=force, age=age)
        assert ((sent >= LIMITS[:, 0]) & (sent <= LIMITS[:, 1])).all()
        assert (np.abs(sent - before) <= STEP + 1e-12).all()
        before = sent


@given(inside, st.lists(three, min_size=1, max_size=8))
def test_interventions_are_the_commands_that_were_changed(before: np.ndarray, wanted: list[np.ndarray]):
    one, changed = safety(), 0
    for joints in wanted:
        sent = check(one, joints, before=before)
        changed += not np.allclose(sent, joints, rtol=0.0, atol=1e-9)
        assert one.interventions == changed
        before = sent


@given(inside, hnp.arrays(float, 3, elements=st.floats(-1.0, 1.0)))
def test_a_command_within_limits_is_passed_on(before: np.ndarray, share: np.ndarray):
    one = safety(BOX)
    joints = np.clip(before + share * STEP, *LIMITS.T)
    np.testing.assert_allclose(check(one, joints, before=before), joints, atol=1e-12)
    assert one.interventions == 0


def test_a_command_that_is_too_fast_goes_on_as_fast_as_allowed():
    one, fast, allowed = safety(), np.array([1.0, -1.0, 0.001]), np.array([0.01, -0.02, 0.001])
    np.testing.assert_allclose(check(one, MIDDLE + fast), MIDDLE + allowed)
    assert one.interventions == 1


@given(three, three, anything)
def test_too_much_force_stops_for_good(joints: np.ndarray, gripper: np.ndarray, age: float):
    one = safety()
    np.testing.assert_array_equal(check(one, MIDDLE + STEP, force=CONFIG.max_force + 1.0), MIDDLE)
    assert one.stopped == "the gripper was pressed with 101 N"
    np.testing.assert_array_equal(check(one, joints, gripper, age=age), MIDDLE)
    np.testing.assert_array_equal(check(one, MIDDLE + STEP), MIDDLE)
    assert one.stopped == "the gripper was pressed with 101 N"


def test_the_largest_force_is_allowed():
    one = safety()
    check(one, MIDDLE, force=CONFIG.max_force)
    assert one.stopped is None


def test_it_waits_while_the_image_is_old_and_goes_on_with_a_new_one():
    one, wanted = safety(), MIDDLE + STEP / 2
    np.testing.assert_array_equal(check(one, wanted, age=CONFIG.max_age + 0.01), MIDDLE)
    assert (one.stopped, one.interventions) == (None, 1)
    np.testing.assert_allclose(check(one, wanted, age=CONFIG.max_age), wanted)
    assert one.interventions == 1


@given(hnp.arrays(float, 3, elements=st.floats(-1.5, 1.5)))
def test_the_gripper_does_not_enter_a_box(share: np.ndarray):
    one, wanted = safety(BOX), MIDDLE + STEP / 2
    sent = check(one, wanted, BOX.center + BOX.axes.T @ (share * BOX.half_extents))
    held = np.abs(share).max() <= 1 - 1e-9
    if held or np.abs(share).max() >= 1 + 1e-9:
        np.testing.assert_allclose(sent, MIDDLE if held else wanted, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["joints", "gripper", "age"])
def test_what_is_not_finite_holds_the_arm(what: str, bad: float):
    """Nothing is known then: neither whether a box is entered nor how old the image is."""
    one, wanted = safety(BOX), MIDDLE + STEP / 2
    inputs = {"joints": wanted, "gripper": AWAY, "age": 0.0}
    inputs[what] = bad if what == "age" else np.array([bad, 0.0, 0.5])
    np.testing.assert_array_equal(check(one, **inputs), MIDDLE)
    assert one.interventions == 1


def test_a_force_that_is_not_a_number_holds_the_arm_until_it_is_one():
    one, wanted = safety(), MIDDLE + STEP / 2
    np.testing.assert_array_equal(check(one, wanted, force=np.nan), MIDDLE)
    np.testing.assert_allclose(check(one, wanted), wanted)


def test_a_command_that_is_cut_to_a_place_in_a_box_is_not_sent():
    """A wanted place beyond the box is not in it, but one step on the way there is."""
    box = OrientedBox(np.array([0.02, 0.0, 0.0]), np.eye(3), np.array([0.015, 1.0, 1.0]))
    one = SafetyFilter(Envelope(np.array([[-1.0, 1.0]]), np.array([1.0]), (box,)), PERIOD, CONFIG)

    def place_at(joints: np.ndarray) -> np.ndarray:
        return np.array([joints[0], 0.0, 0.0])

    sent = one.check(np.zeros(1), np.array([0.5]), place_at, force=0.0, age=0.0)
    np.testing.assert_array_equal(sent, [0.0])
    sent = one.check(np.zeros(1), np.array([-0.5]), place_at, force=0.0, age=0.0)
    np.testing.assert_allclose(sent, [-0.01])


def test_from_beyond_a_limit_the_arm_comes_back_no_faster_than_its_velocity():
    before = np.array([1.5, 1.0, -1.0])
    np.testing.assert_allclose(check(safety(), before, before=before)[0], 1.5 - STEP[0])
