"""Gaps in a depth image: which are shadows of near things on far ones, and what is seen through them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.types import Camera, View
from point2act.grasping.free_space import depth_behind_shadows, seen_through_shadows

FOCAL, BASELINE = 300.0, 0.06
NEAR, FAR = 0.4, 0.8
WIDEST = int(FOCAL * BASELINE * (1 / NEAR - 1 / FAR))  # 22 pixels


def step(gap: int, near: float = NEAR, far: float = FAR) -> np.ndarray:
    """Something near on the left, a gap from column 40 on, something far on the right."""
    depth = np.full((12, 120), far)
    depth[:, :40] = near
    depth[:, 40 : 40 + gap] = 0.0
    return depth


@pytest.mark.parametrize("turn", [lambda d: d, np.fliplr, np.transpose])
def test_a_shadow_shows_the_far_surface(turn):
    depth = turn(step(10))
    behind = depth_behind_shadows(depth, FOCAL, BASELINE)
    assert np.allclose(behind[depth == 0], FAR)
    assert (behind[depth > 0] == 0).all()


def test_a_gap_is_seen_through_as_far_as_a_shadow_reaches():
    behind = depth_behind_shadows(step(60), FOCAL, BASELINE)
    assert np.allclose(behind[:, 40 : 40 + WIDEST], FAR)
    assert (behind[:, 40 + WIDEST + 1 :] == 0).all()


def test_a_dark_thing_before_a_table_stays_unknown():
    depth = np.full((30, 60), 0.6)
    depth[10:20, 20:40] = 0.0
    assert not depth_behind_shadows(depth, FOCAL, BASELINE).any()


def test_beside_a_near_thing_nothing_within_range_is_free_for_good():
    behind = depth_behind_shadows(np.where(step(0) == FAR, 0.0, step(0)), FOCAL, BASELINE)
    reach = int(FOCAL * BASELINE / NEAR)
    assert np.isinf(behind[:, 40 : 40 + reach]).all()
    assert (behind[:, 40 + reach + 1 :] == 0).all()


def test_without_any_reading_nothing_is_known():
    assert not depth_behind_shadows(np.zeros((5, 7)), FOCAL, BASELINE).any()


@given(st.integers(0, 2**32 - 1))
def test_rows_agree_with_their_slow_twin(seed):
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random((4, 25)) < 0.6, 0.0, rng.uniform(0.3, 1.0, (4, 25)))
    fast = depth_behind_shadows(depth, 40.0, BASELINE)
    slow = np.maximum(slow_rows(depth, 40.0), slow_rows(depth.T, 40.0).T)
    assert np.allclose(fast, slow)


def slow_rows(depth: np.ndarray, focal: float) -> np.ndarray:
    behind = np.zeros(depth.shape)
    for i, row in enumerate(depth):
        for j in np.flatnonzero(row == 0):
            sides = [(j - k, 1 / row[k]) for k in range(j - 1, -1, -1) if row[k] > 0][:1] or [(j + 1, 0.0)]
            sides += [(k - j, 1 / row[k]) for k in range(j + 1, len(row)) if row[k] > 0][:1] or [
                (len(row) - j, 0.0)
            ]
            (away, near), (_, far) = sorted(sides, key=lambda side: -side[1])
            if near > 0 and away <= focal * BASELINE * (near - far):
                behind[i, j] = 1 / far if far > 0 else np.inf
    return behind


def test_points_before_the_far_surface_are_seen_past():
    depth = step(10)
    camera = Camera(FOCAL, FOCAL, 60.0, 6.0, *depth.shape)
    view = View("a.png", camera, np.eye(4), np.zeros((*depth.shape, 3), np.uint8), depth)
    ray = np.array([(45.5 - 60.0) / FOCAL, 0.0, 1.0])
    points = np.stack([0.3 * ray, 0.79 * ray, 0.8 * ray, 0.9 * ray, -0.5 * ray])

    def see(one: View) -> list[bool]:
        return seen_through_shadows(points, [one], [depth], baseline=BASELINE, truncation=0.004).tolist()

    assert see(view) == [True, True, False, False, False]
    masked = dataclasses.replace(view, mask=depth > 0)
    assert not any(see(masked))


@given(st.integers(0, 10_000))
def test_a_window_is_cut_from_the_whole(seed: int):
    rng = np.random.default_rng(seed)
    depth = np.where(rng.random((30, 40)) < 0.4, 0.0, rng.uniform(0.3, 1.0, (30, 40)))
    rows, columns = (slice(*np.sort(rng.choice(size, 2, replace=False))) for size in depth.shape)
    whole = depth_behind_shadows(depth, FOCAL, BASELINE)
    np.testing.assert_array_equal(
        depth_behind_shadows(depth, FOCAL, BASELINE, (rows, columns)), whole[rows, columns]
    )
