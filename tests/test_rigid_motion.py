"""Rigid motions between corresponding points: laws, a slow twin, and wrong correspondences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.acting.tracking.rigid_motion import fit_rigid, fit_rigid_robust
from point2act.core.geometry import transform, transform_points


def motion(rng: np.random.Generator, length: float = 0.3) -> np.ndarray:
    return transform(Rotation.random(random_state=rng).as_matrix(), length * rng.standard_normal(3))


@given(st.integers(0, 10_000), st.integers(4, 60))
def test_an_exact_motion_is_found_whatever_the_weights(seed: int, count: int):
    rng = np.random.default_rng(seed)
    T, points = motion(rng), 0.1 * rng.standard_normal((count, 3))
    found = fit_rigid(points, transform_points(T, points), rng.uniform(0.1, 1.0, count))
    np.testing.assert_allclose(found, T, atol=1e-9)


@given(st.integers(0, 10_000))
def test_it_agrees_with_scipys_rotation_and_the_weighted_means(seed: int):
    rng = np.random.default_rng(seed)
    source, target = rng.standard_normal((2, 20, 3))
    weights = rng.uniform(0.1, 1.0, 20)
    found = fit_rigid(source, target, weights)
    a, b = weights @ source / weights.sum(), weights @ target / weights.sum()
    twin, _ = Rotation.align_vectors(target - b, source - a, weights=weights)
    np.testing.assert_allclose(found[:3, :3], twin.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(found[:3, 3], b - twin.as_matrix() @ a, atol=1e-6)


@given(st.integers(0, 10_000))
def test_a_moved_world_moves_the_result(seed: int):
    rng = np.random.default_rng(seed)
    source, target = rng.standard_normal((2, 15, 3))
    G, H, weights = motion(rng), motion(rng), rng.uniform(0.1, 1.0, 15)
    moved = fit_rigid(transform_points(G, source), transform_points(H, target), weights)
    np.testing.assert_allclose(moved, H @ fit_rigid(source, target, weights) @ np.linalg.inv(G), atol=1e-8)


def test_points_without_weight_do_not_count():
    rng = np.random.default_rng(3)
    T, points = motion(rng), rng.standard_normal((30, 3))
    target = transform_points(T, points)
    target[20:] += rng.standard_normal((10, 3))
    np.testing.assert_allclose(fit_rigid(points, target, (np.arange(30) < 20).astype(float)), T, atol=1e-9)


@pytest.mark.parametrize("wrong", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_wrong_correspondences_hardly_change_a_robust_fit(wrong: float, seed: int):
    """A motion between two frames: 4 cm and 15 degrees; some points are carried along by what is behind."""
    rng = np.random.default_rng(seed)
    points = [0.0, 0.0, 0.5] + 0.04 * rng.uniform(-1, 1, (200, 3))
    about = transform(np.eye(3), points.mean(axis=0))
    axis = rng.standard_normal(3) / np.sqrt(3)
    turn = transform(Rotation.from_rotvec(0.26 * axis).as_matrix(), (0.0, 0.0, 0.0))
    T = transform(np.eye(3), (0.03, -0.02, 0.02)) @ about @ turn @ np.linalg.inv(about)
    target = transform_points(T, points) + 0.001 * rng.standard_normal(points.shape)
    stray = rng.random(200) < wrong
    target[stray] = points[stray] + 0.05 * rng.standard_normal((stray.sum(), 3))
    found = fit_rigid_robust(points, target, np.ones(200), noise=0.005)
    off = transform_points(found, points) - transform_points(T, points)
    assert np.abs(off).max() < 0.0025


def test_points_that_all_coincide_are_moved():
    points = np.tile([0.1, 0.2, 0.5], (12, 1))
    moved = points + np.array([0.01, 0.0, 0.0])
    found = fit_rigid_robust(points, moved, np.ones(12), noise=0.005)
    np.testing.assert_allclose(transform_points(found, points), moved, atol=1e-9)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)
