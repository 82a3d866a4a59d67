"""Laws of smooth motion: no limit is passed, whatever velocities are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("ruckig", reason="smooth motion needs ruckig: pip install point2act[act]")

from point2act.acting.control.smoothing import SmoothConfig, SmoothMotion

CONFIG = SmoothConfig()
VELOCITY = np.array([0.5, 1.1, 2.6])
START = np.array([0.3, -1.0, 2.0])
PERIOD = 0.01

velocities = hnp.arrays(float, 3, elements=st.floats(-1.0, 1.0)).map(lambda share: share * VELOCITY)
anything = hnp.arrays(float, 3, elements=st.floats(width=64))
requests = st.lists(st.tuples(velocities, st.integers(1, 40)), min_size=1, max_size=10)
"""Velocities, and for how many steps each is asked for."""


def motion() -> SmoothMotion:
    return SmoothMotion(START, VELOCITY, PERIOD, CONFIG)


def path(one: SmoothMotion, wanted: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Joint positions at all steps, after three at rest."""
    found = [one.follow(velocity) for velocity, steps in wanted for _ in range(steps)]
    return np.array([START] * 4 + found)


def derivatives(joints: np.ndarray) -> list[np.ndarray]:
    """Velocity, acceleration and jerk by finite differences: means of the true ones over some steps."""
    return [np.diff(joints, order, axis=0) / PERIOD**order for order in (1, 2, 3)]


def within_limits(joints: np.ndarray) -> bool:
    velocity, acceleration, jerk = derivatives(joints)
    return bool(
        (np.abs(velocity) <= VELOCITY + 1e-9).all()
        and (np.abs(acceleration) <= CONFIG.acceleration + 1e-7).all()
        and (np.abs(jerk) <= CONFIG.jerk * (1 + 1e-6)).all()
    )


@given(requests)
def test_all_limits_hold(wanted: list[tuple[np.ndarray, int]]):
    assert within_limits(path(motion(), wanted))


@given(requests)
def test_it_comes_to_rest(wanted: list[tuple[np.ndarray, int]]):
    """From full velocity that takes ``v / a + a / j`` seconds."""
    one, rest = motion(), np.zeros(3)
    path(one, wanted)
    seconds = VELOCITY.max() / CONFIG.acceleration + 2 * CONFIG.acceleration / CONFIG.jerk
    for _ in range(int(np.ceil(seconds / PERIOD))):
        one.follow(rest)
    resting = one.joints
    np.testing.assert_allclose(one.follow(rest), resting, atol=1e-12)


@given(velocities)
def test_a_velocity_is_reached_and_kept(velocity: np.ndarray):
    joints = path(motion(), [(velocity, 60)])
    np.testing.assert_allclose(derivatives(joints)[0][-10:], np.tile(velocity, (10, 1)), atol=1e-9)


@given(requests, hnp.arrays(float, 3, elements=st.floats(-2.0, 2.0)))
def test_a_restart_is_a_start(wanted: list[tuple[np.ndarray, int]], place: np.ndarray):
    one = motion()
    path(one, wanted)
    one.restart(place)
    np.testing.assert_array_equal(one.joints, place)
    other = SmoothMotion(place, VELOCITY, PERIOD, CONFIG)
    for velocity, _ in wanted:
        np.testing.assert_array_equal(one.follow(velocity), other.follow(velocity))


@given(
    st.lists(st.tuples(hnp.arrays(float, 3, elements=st.floats(width=64)), st.integers(1, 40)), max_size=6)
)
def test_no_request_passes_a_limit(wanted: list[tuple[np.ndarray, int]]):
    assert within_limits(path(motion(), wanted))


def test_what_is_not_a_number_means_rest():
    one, other = motion(), motion()
    for _ in range(20):
        np.testing.assert_array_equal(
            one.follow(np.array([np.nan, 1.0, -1.0])), other.follow(np.array([0.0, 1.0, -1.0]))
        )


def test_the_latest_command_is_remembered():
    one = motion()
    np.testing.assert_array_equal(one.joints, START)
    np.testing.assert_array_equal(one.follow(VELOCITY), one.joints)
