"""The filter of commands: whatever comes in, what leaves it is within all limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.acting.control.safety import Envelope, SafetyConfig, SafetyFilter
from point2act.core.types import OrientedBox

PERIOD = 0.01
LIMITS = np.array([[-1.0, 1.0], [0.0, 2.0], [-3.0, -0.5]])
VELOCITY = np.array([1.0, 2.0, 0.5])
BEFORE = np.array([0.999, 1.0, -0.501])
FAR = np.array([1.0, 0.0, 1.0])
BOX = OrientedBox(np.array([0.5, 0.0, 0.5]), np.eye(3), np.array([0.1, 0.1, 0.1]))

anything = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=3, max_size=3)


def _filter() -> SafetyFilter:
    return SafetyFilter(Envelope(LIMITS, VELOCITY, (BOX,)), PERIOD)


@given(anything, st.floats(0.0, 200.0), st.floats(0.0, 5.0))
def test_what_leaves_is_within_positions_and_velocities(wanted, force, age) -> None:
    filter_ = _filter()
    sent = BEFORE
    for _ in range(3):
        after = filter_.check(sent, np.array(wanted), FAR, force=force, age=age)
        assert (np.abs(after - sent) <= PERIOD * VELOCITY + 1e-12).all()
        assert ((after >= LIMITS[:, 0]) & (after <= LIMITS[:, 1])).all()
        sent = after


def test_a_command_within_limits_passes_unchanged() -> None:
    filter_ = _filter()
    wanted = BEFORE - 0.004
    np.testing.assert_array_equal(filter_.check(BEFORE, wanted, FAR, force=0.0, age=0.0), wanted)
    assert filter_.interventions == 0


@pytest.mark.parametrize(
    ("gripper", "age"), [(BOX.center, 0.0), (FAR, SafetyConfig().max_age + 0.01)], ids=["box", "stale"]
)
def test_in_a_box_and_with_a_stale_image_the_arm_waits(gripper, age) -> None:
    filter_ = _filter()
    np.testing.assert_array_equal(filter_.check(BEFORE, BEFORE - 0.004, gripper, force=0.0, age=age), BEFORE)
    assert filter_.interventions == 1
    assert filter_.stopped is None


def test_too_much_force_stops_for_good() -> None:
    filter_ = _filter()
    filter_.check(BEFORE, BEFORE, FAR, force=SafetyConfig().max_force + 1, age=0.0)
    assert filter_.stopped == "the gripper was pressed with 101 N"
    np.testing.assert_array_equal(filter_.check(BEFORE, BEFORE - 0.004, FAR, force=0.0, age=0.0), BEFORE)
