"""What stands still stands still, and what moves is followed."""

from __future__ import annotations

import numpy as np
import pytest
from constraint_states import rigid
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("mink", reason="acting needs mink: pip install point2act[act]")

from point2act.acting.execution.steady_motion import SteadyMotion
from point2act.core.geometry import transform, transform_points

SEEDS = st.integers(0, 1_000_000)


def about(middle: np.ndarray, T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A motion with 2 mm and 3 degrees of noise about the middle."""
    turn = Rotation.from_rotvec(np.deg2rad(3) * rng.standard_normal(3)).as_matrix() @ T[:3, :3]
    place = transform_points(T, middle) + 0.002 * rng.standard_normal(3)
    return transform(turn, place - turn @ middle)


@given(SEEDS)
def test_what_has_not_moved_stays_exactly_where_it_was_found(seed: int):
    rng = np.random.default_rng(seed)
    middle = rng.uniform(-0.5, 0.5, 3)
    steady = SteadyMotion(middle)
    for _ in range(5):
        np.testing.assert_array_equal(steady.update(about(middle, np.eye(4), rng)), np.eye(4))


@given(SEEDS)
def test_a_motion_is_taken_over_at_once(seed: int):
    rng = np.random.default_rng(seed)
    steady, T = SteadyMotion(rng.uniform(-0.5, 0.5, 3)), rigid(rng)
    np.testing.assert_array_equal(steady.update(T), T)


def test_a_turn_in_place_is_a_motion():
    middle = np.array([0.4, 0.1, 0.05])
    turn = Rotation.from_rotvec([0.0, 0.0, 0.5]).as_matrix()
    T = transform(turn, middle - turn @ middle)
    np.testing.assert_array_equal(SteadyMotion(middle).update(T), T)


@given(SEEDS)
def test_after_a_motion_noise_is_averaged_out(seed: int):
    rng = np.random.default_rng(seed)
    middle, T = rng.uniform(-0.5, 0.5, 3), transform(np.eye(3), (0.2, 0.0, 0.0))
    steady, seen = SteadyMotion(middle), [about(middle, T, rng) for _ in range(30)]
    for measured in seen:
        found = steady.update(measured)
    mean = np.mean([transform_points(each, middle) for each in seen], axis=0)
    np.testing.assert_allclose(transform_points(found, middle), mean, atol=1e-12)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-9)
    assert Rotation.from_matrix(found[:3, :3]).magnitude() < np.deg2rad(4)
