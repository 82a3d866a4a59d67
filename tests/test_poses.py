"""Poses made to fit the pictures: laws, slow twins, and captures that must be left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from point2act.calibration.poses import PoseRefinementConfig, Refined, refine_poses
from point2act.calibration.poses.bundle import BundleConfig, bundle_adjust, residuals
from point2act.calibration.poses.photometric import PhotometricConfig, refine_photometric
from point2act.calibration.poses.pose_prior import (
    CAUCHY,
    Prior,
    apply_steps,
    cauchy_cost,
    cauchy_weights,
    pose_differences,
    robust_std,
    stack_poses,
)
from point2act.calibration.poses.tracks import (
    Features,
    TrackConfig,
    Tracks,
    find_tracks,
    link_tracks,
    near_pairs,
)
from point2act.core.geometry import back_project, nearest_rotation, pixel_centers, project
from point2act.core.types import View

SHIFT, TURN = 0.005, 0.0122


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def true_views() -> tuple[View, ...]:
    """RGB-D views of the tabletop, 10 degrees apart."""
    return textured(synthetic.views(36, height=180, width=240)[:8])


def textured(views: Sequence[View]) -> tuple[View, ...]:
    """Views with a random texture in space and a little noise."""
    noise, dice = rng(3).uniform(size=(48, 48, 48)), rng(4)
    found = []
    for view in views:
        assert view.depth is not None
        pixels = pixel_centers(180, 240).reshape(-1, 2)
        points = back_project(view.camera, view.T_world_cam, pixels, view.depth.ravel().astype(float))
        value = [map_coordinates(noise, points.T / size, order=1, mode="wrap") for size in (0.008, 0.02)]
        shade = np.clip(np.sum(value, axis=0).reshape(180, 240) * 127 + dice.normal(0, 2, (180, 240)), 0, 255)
        rgb = np.repeat(shade.astype(np.uint8)[..., None], 3, axis=2)
        rgb[view.depth == 0] = 0
        depth = view.depth + np.where(view.depth > 0, dice.normal(0, 0.001, (180, 240)), 0).astype(np.float32)
        found.append(replace(view, rgb=rgb, depth=depth))
    return tuple(found)


def spoilt(views: tuple[View, ...], seed: int = 1, *, size: float = 1.0) -> tuple[View, ...]:
    """Each view moved on its own: 5 mm and 0.7 degrees in random directions."""
    ways = rng(seed).standard_normal((len(views), 2, 3))
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    steps = (ways * np.array([TURN, SHIFT])[:, None] * size).reshape(-1, 6)
    return placed(views, apply_steps(stack_poses(views), steps))


def placed(views: tuple[View, ...], T_world_cam: np.ndarray) -> tuple[View, ...]:
    return tuple(replace(view, T_world_cam=T) for view, T in zip(views, T_world_cam, strict=True))


def colours_only(views: tuple[View, ...]) -> tuple[View, ...]:
    return tuple(replace(view, depth=None) for view in views)


def scene_error(views: tuple[View, ...], truth: tuple[View, ...]) -> float:
    """Metres between the table under the views and under the truth, after one rigid motion; median."""
    pixels = pixel_centers(180, 240)[::20, ::20].reshape(-1, 2)
    here, there = [], []
    for view, true in zip(views, truth, strict=True):
        assert true.depth is not None
        depth = true.depth[::20, ::20].ravel().astype(float)
        seen = depth > 0
        here.append(back_project(view.camera, view.T_world_cam, pixels[seen], depth[seen]))
        there.append(back_project(true.camera, true.T_world_cam, pixels[seen], depth[seen]))
    a, b = (np.concatenate(points) for points in (here, there))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float(np.median(np.linalg.norm(a @ nearest_rotation(b.T @ a).T - b, axis=1)))


# ── motion ─────────────────────────────────────────────────────────────────────────────────────
@given(seed=st.integers(0, 1000), size=st.floats(0.0, 1.0))
def test_a_step_and_the_difference_it_makes(seed, size):
    T = np.array(synthetic.orbit(3))
    steps = size * rng(seed).uniform(-1, 1, (3, 6))
    there = apply_steps(T, steps)
    np.testing.assert_allclose(pose_differences(T, there), steps, atol=1e-9)
    np.testing.assert_allclose(
        there[:, :3, :3] @ there[:, :3, :3].swapaxes(1, 2), [np.eye(3)] * 3, atol=1e-12
    )
    np.testing.assert_allclose(Prior(T, 0.5, 0.25).offsets(there)[:, :3], steps[:, :3] / 0.25, atol=1e-9)


def test_weights_are_those_of_the_cost():
    r = np.linspace(-20, 20, 41)
    step = 1e-5
    slope = [
        (cauchy_cost(np.array([(x + step) ** 2])) - cauchy_cost(np.array([(x - step) ** 2]))) / (2 * step)
        for x in r
    ]
    np.testing.assert_allclose(slope, 2 * cauchy_weights(r**2) * r, atol=1e-5)
    assert cauchy_weights(np.array([CAUCHY**2]))[0] == 0.5


def test_spread_ignores_outliers():
    r = rng().normal(0, 3.0, 10_000)
    r[:1000] = 1e6
    assert robust_std(r) == pytest.approx(3.3, abs=0.3)
    assert robust_std(np.zeros(0)) == 0.0


# ── tracks ─────────────────────────────────────────────────────────────────────────────────────
def test_tracks_are_where_one_point_projects(true_views):
    config = TrackConfig()
    tracks = find_tracks(true_views, near_pairs(true_views, config), config=config)
    assert tracks.count > 100
    assert (np.bincount(tracks.point) >= config.min_views).all()
    K = np.array([view.camera.K for view in true_views])
    assert np.median(residuals(stack_poses(true_views), K, tracks)) < 0.5


def test_no_feature_lies_under_the_mask(true_views):
    config = TrackConfig()
    left = np.arange(240) < 120
    masked = tuple(replace(view, mask=np.broadcast_to(left, (180, 240)).copy()) for view in true_views)
    tracks = find_tracks(masked, near_pairs(masked, config), config=config)
    assert tracks.count > 20
    assert tracks.pixels[:, 0].max() <= 121


def joined_slowly(sizes, pairs, matches, min_views):
    """Sets of (view, feature), by merging one match at a time."""
    groups = {(view, k): frozenset([(view, k)]) for view, size in enumerate(sizes) for k in range(size)}
    for (i, j), found in zip(pairs, matches, strict=True):
        for a, b in found:
            union = groups[i, int(a)] | groups[j, int(b)]
            groups.update(dict.fromkeys(union, union))
    whole = set(groups.values())
    return {g for g in whole if len(g) >= min_views and len({view for view, _ in g}) == len(g)}


@given(seed=st.integers(0, 10_000))
def test_joining_matches_its_slow_twin(seed):
    dice = rng(seed)
    sizes = dice.integers(0, 5, 4)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4) if sizes[i] and sizes[j]]
    matches = [np.stack([dice.integers(0, sizes[k], 2) for k in pair], axis=1) for pair in pairs]
    features = [
        Features(
            np.column_stack([np.full(n, i), np.arange(n)]).astype(float),
            np.zeros((n, 128), np.float32),
            np.zeros(n),
        )
        for i, n in enumerate(sizes)
    ]
    tracks = link_tracks(features, pairs, matches, 3)
    found = {
        frozenset((int(view), int(k)) for view, k in tracks.pixels[tracks.point == number])
        for number in range(tracks.count)
    }
    assert found == joined_slowly(sizes, pairs, matches, 3)
    np.testing.assert_array_equal(tracks.view, tracks.pixels[:, 0])


# ── bundle adjustment ──────────────────────────────────────────────────────────────────────────
def perfect_tracks(T_world_cam: np.ndarray, count: int = 60) -> tuple[np.ndarray, Tracks]:
    """Points on and over the table, seen by all cameras; K of each camera."""
    camera = synthetic.pinhole(180, 240)
    points = rng(5).uniform([-0.1, -0.1, 0.0], [0.1, 0.1, 0.1], (count, 3))
    seen = [project(camera, T, points) for T in T_world_cam]
    view, point = (grid.ravel() for grid in np.mgrid[: len(T_world_cam), :count])
    pixels, depth = (np.concatenate(part) for part in zip(*seen, strict=True))
    return np.array([camera.K] * len(T_world_cam)), Tracks(view, point, pixels, depth, count)


@pytest.mark.parametrize("with_depth", [True, False])
def test_perfect_tracks_take_the_poses_back(with_depth):
    T = np.array(synthetic.orbit(12))[:5]
    K, tracks = perfect_tracks(T)
    tracks = tracks if with_depth else tracks.without_depth()
    T_given = apply_steps(T, rng(6).normal(0, 1, (5, 6)) * np.repeat([TURN, SHIFT], 3) / 2)
    exact = BundleConfig(pixel_std=0.01, depth_std=0.0001, max_iterations=100)
    found = bundle_adjust(K, tracks, Prior(T_given, SHIFT, TURN), exact)
    assert np.median(residuals(T_given, K, tracks)) > 0.5
    assert residuals(found, K, tracks).max() < 0.01
    assert residuals(T, K, tracks).max() < 1e-3
    # Only one motion of all the cameras is left, and the prior keeps that small.
    relative = [np.linalg.inv(poses[0]) @ poses for poses in (T, found)]
    if with_depth:
        np.testing.assert_allclose(relative[1], relative[0], atol=1e-3)


def test_bundle_adjustment_against_scipy():
    """With residuals far below the scale, where the loss is a parabola."""
    T = np.array(synthetic.orbit(12))[:3]
    K, tracks = perfect_tracks(T, count=12)
    tracks = replace(tracks, pixels=tracks.pixels + rng(7).normal(0, 0.5, tracks.pixels.shape))
    T_given = apply_steps(T, rng(8).normal(0, 0.002, (3, 6)))
    config = BundleConfig(pixel_std=20.0, depth_std=0.2, max_iterations=100)
    fast = bundle_adjust(K, tracks, Prior(T_given, SHIFT, TURN), config)

    def off(x: np.ndarray) -> np.ndarray:
        poses, points = apply_steps(T_given, x[:18].reshape(3, 6)), x[18:].reshape(12, 3)
        parts = [x[:18].reshape(3, 2, 3)[:, 0] / TURN, x[:18].reshape(3, 2, 3)[:, 1] / SHIFT]
        for k, pose in enumerate(poses):
            pixels, depth = project(synthetic.pinhole(180, 240), pose, points)
            rows = tracks.view == k
            parts += [(pixels - tracks.pixels[rows]) / 20.0, (depth - tracks.depth[rows]) / 0.2]
        return np.concatenate([part.ravel() for part in parts])

    start = np.concatenate([np.zeros(18), rng(9).normal(0, 0.05, 36)])
    slow = apply_steps(T_given, least_squares(off, start, xtol=1e-12, ftol=1e-12).x[:18].reshape(3, 6))
    difference = np.abs(pose_differences(slow, fast)).max()
    assert difference < 0.02 * np.abs(pose_differences(T_given, slow)).max()


def test_a_view_without_tracks_stays():
    T = np.array(synthetic.orbit(12))[:5]
    K, tracks = perfect_tracks(T)
    rows = tracks.view != 2
    tracks = Tracks(
        tracks.view[rows], tracks.point[rows], tracks.pixels[rows], tracks.depth[rows], tracks.count
    )
    T_given = apply_steps(T, rng(6).normal(0, 0.003, (5, 6)))
    found = bundle_adjust(K, tracks, Prior(T_given, SHIFT, TURN), BundleConfig())
    np.testing.assert_allclose(found[2], T_given[2], atol=1e-9)


# ── dense ──────────────────────────────────────────────────────────────────────────────────────
def test_the_polish_takes_the_poses_back(true_views):
    views = spoilt(true_views)
    pairs = near_pairs(views, TrackConfig())
    found = refine_photometric(
        views, stack_poses(views), pairs, Prior(stack_poses(views), SHIFT, TURN), PhotometricConfig()
    )
    assert scene_error(views, true_views) > 0.003
    assert scene_error(placed(views, found), true_views) < 0.0003


def test_the_polish_leaves_true_poses(true_views):
    pairs = near_pairs(true_views, TrackConfig())
    T = stack_poses(true_views)
    found = refine_photometric(true_views, T, pairs, Prior(T, SHIFT, TURN), PhotometricConfig())
    turns, shifts = np.linalg.norm(pose_differences(T, found).reshape(-1, 2, 3), axis=2).T
    assert shifts.max() < 0.001
    assert np.degrees(turns.max()) < 0.15


def test_the_polish_without_overlap_stays(true_views):
    blind = tuple(replace(view, depth=np.zeros((180, 240), np.float32)) for view in true_views)
    T = stack_poses(blind)
    pairs = near_pairs(blind, TrackConfig())
    np.testing.assert_array_equal(
        refine_photometric(blind, T, pairs, Prior(T, SHIFT, TURN), PhotometricConfig()), T
    )


# ── all of it ──────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def ticks() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def corrected(true_views, ticks) -> Refined:
    return refine_poses(spoilt(true_views), progress=lambda done, total: ticks.append((done, total)))


@pytest.mark.parametrize(("with_depth", "left"), [(True, 0.03), (False, 0.6)])
def test_spoilt_poses_are_refined(true_views, corrected, with_depth, left):
    views = spoilt(true_views) if with_depth else colours_only(spoilt(true_views))
    refined = corrected if with_depth else refine_poses(views)
    assert refined.changed
    assert refined.tracks > 50
    assert refined.pixels_after < 0.3 * refined.pixels_before
    assert scene_error(refined.views, true_views) < left * scene_error(views, true_views)
    assert "moved by" in refined.detail
    assert 0.002 < np.median(refined.shifts) < 0.01
    for before, after in zip(views, refined.views, strict=True):
        assert after.rgb is before.rgb
        assert after.name == before.name
    # The frame is still the robot's: all together moved by no more than their mistakes do on average.
    mean = pose_differences(stack_poses(true_views), stack_poses(refined.views)).mean(axis=0)
    assert np.linalg.norm(mean[3:]) < 0.004


MOUNTING = np.eye(4)
MOUNTING[:3, :3] = Rotation.from_rotvec([0.02, -0.03, 0.01]).as_matrix()
MOUNTING[:3, 3] = [0.012, -0.01, 0.012]
"""More than is expected of the pose of one view."""


def test_a_camera_mounted_two_centimetres_off_is_refined():
    true_views = textured(from_all_sides(24))
    views = placed(true_views, stack_poses(true_views) @ MOUNTING)
    refined = refine_poses(views)
    assert refined.hand_eye is not None
    assert refined.hand_eye.determined
    np.testing.assert_allclose(refined.hand_eye.T_true_recorded, MOUNTING, atol=0.002)
    assert scene_error(refined.views, true_views) < 0.05 * scene_error(views, true_views)


def test_turns_about_one_axis_do_not_determine_the_mounting():
    """A turntable: a camera beside its place, turned about the table's axis, sees the same."""
    true_views = textured(synthetic.views(12, height=180, width=240))
    refined = refine_poses(placed(true_views, stack_poses(true_views) @ MOUNTING))
    assert refined.hand_eye is not None
    assert not refined.hand_eye.determined
    away = np.abs(refined.hand_eye.shift - MOUNTING[:3, 3])
    assert (away < 3 * refined.hand_eye.shift_std).all()
    assert "views turned about more axes would determine" in refined.detail


def from_all_sides(count: int) -> list[View]:
    """RGB-D views of the tabletop from different heights and distances."""
    camera, found = synthetic.pinhole(180, 240), []
    for index in range(count):
        angle, height = 4 * np.pi / 3 * index / count, 0.35 + 0.15 * np.sin(0.6 * index)
        eye = np.array([0.4 * np.cos(angle), 0.4 * np.sin(angle), height])
        pose = synthetic.look_at(eye, np.array([0.0, 0.03 * np.cos(3 * index), 0.03]))
        picture = synthetic.render(pose, synthetic.rays(camera))
        found.append(View(f"images/{index:04d}.png", camera, pose, picture.rgb, picture.depth))
    return found


@pytest.mark.parametrize("with_depth", [True, False])
def test_true_poses_are_left_alone(true_views, with_depth):
    views = true_views if with_depth else colours_only(true_views)
    refined = refine_poses(views)
    assert not refined.changed
    assert refined.views == views
    assert refined.pixels_after == refined.pixels_before < 0.5
    assert (refined.shifts == 0).all()


def test_a_turned_world_turns_the_answer(true_views, corrected):
    T_other_world = np.eye(4)
    T_other_world[:3, :3] = Rotation.from_rotvec([0.4, -1.0, 2.0]).as_matrix()
    T_other_world[:3, 3] = [1.0, -2.0, 0.5]
    views = spoilt(true_views)
    there = stack_poses(refine_poses(placed(views, T_other_world @ stack_poses(views))).views)
    steps = pose_differences(T_other_world @ stack_poses(corrected.views), there)
    assert np.abs(steps).max() < 1e-4


def test_depth_that_is_not_the_colours_does_no_harm(true_views):
    """Depth images shifted by 20 pixels: another camera's, not registered."""
    views = spoilt(true_views)
    depths = [np.roll(np.asarray(view.depth), 20, axis=1) * 1.05 for view in views]
    shifted = tuple(replace(view, depth=depth) for view, depth in zip(views, depths, strict=True))
    refined = refine_poses(shifted)
    assert scene_error(refined.views, true_views) <= scene_error(views, true_views)


@pytest.mark.parametrize("count", [0, 1, 2, 8])
def test_nothing_to_see_is_no_mistake(true_views, count):
    grey = tuple(replace(view, rgb=np.full((180, 240, 3), 128, np.uint8)) for view in true_views[:count])
    refined = refine_poses(grey)
    assert not refined.changed
    assert refined.views == grey
    assert "only 0 features" in refined.detail
    assert np.isnan(refined.pixels_before)


def test_poses_of_other_pictures_are_left_alone(true_views):
    """What asks for motions that no robot makes is some other mistake."""
    far = spoilt(true_views, size=8.0)
    refined = refine_poses(far, config=PoseRefinementConfig(tracks=TrackConfig(search_radius=0.5)))
    turns, shifts = np.linalg.norm(
        pose_differences(stack_poses(far), stack_poses(refined.views)).reshape(-1, 2, 3), axis=2
    ).T
    assert np.median(shifts) <= 3 * SHIFT
    assert np.median(turns) <= 3 * TURN
    assert refined.pixels_after <= refined.pixels_before


def test_readings_that_are_no_numbers(true_views):
    """NaN and infinity are no readings, as zero."""
    holes = []
    for view in spoilt(true_views):
        assert view.depth is not None
        depth = view.depth.copy()
        depth[40:60, 40:60] = np.nan
        depth[100:110, 100:110] = np.inf
        holes.append(replace(view, depth=depth))
    refined = refine_poses(holes)
    assert refined.changed
    assert scene_error(refined.views, true_views) < 0.0005


def test_progress_ends_at_the_total(corrected, ticks):
    done, totals = zip(*ticks, strict=True)
    assert len(set(totals)) == 1
    assert list(done) == sorted(done)
    assert done[-1] == totals[0]


# ── COLMAP ─────────────────────────────────────────────────────────────────────────────────────
def test_who_ends_a_program_with_colmap_in_it_reads_no_stack_of_addresses():
    code = "import os, signal, point2act.data.colmap; os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGTERM
    assert done.stderr == ""
