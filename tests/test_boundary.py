"""Normals of the surface: the field's slope, and smoothing that leaves edges sharp."""

from __future__ import annotations

import numpy as np
import pytest
import reference_grasps as ref
from scipy.spatial.transform import Rotation

from point2act.grasping.antipodal.boundary import NormalConfig, field_gradients, smooth_normals

CONFIG = NormalConfig()


def degrees_off(normals: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((normals * truth).sum(axis=1), -1, 1)))


def shaken(normals: np.ndarray, degrees: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return Rotation.from_rotvec(np.radians(degrees) * rng.standard_normal(normals.shape)).apply(normals)


def plane(n: int = 25) -> tuple[np.ndarray, np.ndarray]:
    points = ref.filled(np.zeros(3), np.array([0.002 * n / 2, 0.002 * n / 2, 0]), 0.002)
    points = np.unique(points.round(9), axis=0)
    return points, np.tile([0.0, 0.0, 1.0], (len(points), 1))


# ── slopes ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("seed", range(3))
def test_the_slope_of_a_plane_is_exact(seed):
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    volume = ref.exact_volume([ref.Solid("floor", (), T)], np.zeros(3), r=41)
    spread = np.random.default_rng(seed).uniform(-0.02, 0.02, (100, 2))
    normals = field_gradients(volume, spread @ T[:3, :2].T)
    assert normals == pytest.approx(np.tile(T[:3, 2], (100, 1)), abs=1e-3)


@pytest.mark.parametrize("radius", [0.012, 0.03])
def test_the_slope_of_a_ball_points_away_from_its_middle(radius):
    ball = ref.Solid("sphere", (radius,), np.eye(4))
    volume = ref.exact_volume([ball], np.zeros(3), r=51)
    out = np.random.default_rng(0).standard_normal((500, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    normals = field_gradients(volume, radius * out)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(500))
    assert degrees_off(normals, out).max() < 5
    assert degrees_off(normals, out).mean() < 2


def test_where_the_field_is_flat_there_is_no_slope():
    volume = ref.exact_volume([ref.FLOOR], np.array([0, 0, 0.1]), r=21)
    assert not field_gradients(volume, np.zeros((1, 3))).any()
    assert field_gradients(volume, np.zeros((0, 3))).shape == (0, 3)


# ── smoothing ──────────────────────────────────────────────────────────────────────────────────
def test_noise_on_a_plane_is_smoothed():
    points, truth = plane()
    noisy = shaken(truth, 8)
    better = smooth_normals(points, noisy, config=CONFIG)
    assert np.linalg.norm(better, axis=1) == pytest.approx(np.ones(len(points)))
    assert degrees_off(better, truth).mean() < 0.5 * degrees_off(noisy, truth).mean()
    again = smooth_normals(points, noisy, config=NormalConfig(iterations=CONFIG.iterations + 3))
    assert degrees_off(again, truth).mean() < degrees_off(better, truth).mean()


def test_true_normals_of_a_plane_stay():
    points, truth = plane()
    assert smooth_normals(points, truth, config=CONFIG) == pytest.approx(truth)


def test_an_edge_is_not_blended():
    surface = ref.shell(ref.Solid("box", (0.01, 0.015, 0.012), np.eye(4)))
    noisy = shaken(surface.normals, 4)
    smooth = smooth_normals(surface.points, noisy, config=CONFIG)
    assert degrees_off(smooth, surface.normals).max() < 8
    assert degrees_off(smooth, surface.normals).mean() < 0.6 * degrees_off(noisy, surface.normals).mean()
    # Without noise nothing of one face comes over to the next.
    clean = smooth_normals(surface.points, surface.normals, config=CONFIG)
    assert degrees_off(clean, surface.normals).max() < 0.1


def test_wide_angles_blend_an_edge():
    surface = ref.shell(ref.Solid("box", (0.01, 0.015, 0.012), np.eye(4)))
    blended = smooth_normals(surface.points, surface.normals, config=NormalConfig(angle_scale=10.0))
    assert degrees_off(blended, surface.normals).max() > 15


def test_a_bend_survives_between_points_of_one_surface():
    # Evenly spread by golden angles, 2 mm apart on a radius of 3 cm.
    z = 1 - 2 * (np.arange(2800) + 0.5) / 2800
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(2800)
    ball = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)
    assert degrees_off(smooth_normals(0.03 * ball, ball, config=CONFIG), ball).max() < 2


@pytest.mark.parametrize("seed", [1, 2])
def test_smoothing_turns_with_the_world(seed):
    surface = ref.shell(ref.Solid("box", (0.01, 0.015, 0.012), np.eye(4)))
    noisy = shaken(surface.normals, 10, seed)
    turn = Rotation.random(random_state=np.random.RandomState(seed))
    here = smooth_normals(surface.points, noisy, config=CONFIG)
    there = smooth_normals(turn.apply(surface.points) + np.arange(3), turn.apply(noisy), config=CONFIG)
    assert there == pytest.approx(turn.apply(here), abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_and_far_points_keep_their_normals(count):
    points, normals = np.eye(3)[:count], np.eye(3)[:count]
    assert np.array_equal(smooth_normals(points, normals, config=CONFIG), normals)


def test_smoothing_leaves_its_input_alone():
    points, truth = plane(5)
    noisy = shaken(truth, 8)
    before = noisy.copy()
    smooth_normals(points, noisy, config=CONFIG)
    assert np.array_equal(noisy, before)
