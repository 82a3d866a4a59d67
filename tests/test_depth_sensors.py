"""Simulated depth cameras: their laws, measured on planes and edges."""

from __future__ import annotations

import numpy as np
import pytest

from point2act.physics.pictures import pinhole
from point2act.simulation.camera import PoseErrorConfig, recorded_poses
from point2act.simulation.depth_sensors import SENSORS, DepthSensor, in_shadow, read_depth

CAMERA = pinhole((240, 320), 500.0)
GREY = np.full((240, 320, 3), 120, np.uint8)
NO_PART = np.full((240, 320), -1)


def readings(sensor: DepthSensor, depth: np.ndarray, color: np.ndarray = GREY, seed: int = 0) -> np.ndarray:
    return read_depth(depth, color, NO_PART, CAMERA, sensor, np.random.default_rng(seed))


def plane(depth: float) -> np.ndarray:
    return np.full((240, 320), depth)


def step(near: float, far: float) -> np.ndarray:
    """A near wall on the right half of the image."""
    depth = plane(far)
    depth[:, 160:] = near
    return depth


@pytest.mark.parametrize("depth", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", SENSORS)
def test_the_noise_of_a_plane_is_that_of_the_law(name, depth):
    sensor = SENSORS[name]
    errors = readings(sensor, plane(depth)) - depth
    if sensor.baseline == 0:
        expected = sensor.depth_sigma + sensor.relative_sigma * depth
    else:
        # Rounding to a step adds a twelfth of its square; what is left after many steps is their sum.
        variance = sensor.disparity_sigma**2 + sensor.disparity_step**2 / 12
        expected = depth**2 * np.sqrt(variance) / (CAMERA.fx * sensor.baseline)
    assert errors.std() == pytest.approx(expected, rel=0.35, abs=0.0004)


@pytest.mark.parametrize("slope", [-1.0, 0.5, 1.5])
@pytest.mark.parametrize("name", SENSORS)
def test_a_slanted_plane_is_where_it_is(name, slope):
    """Noise of a plane that is turned about the image's x axis, with the tangent of its angle as slope."""
    up = (np.arange(240) + 0.5 - CAMERA.cy) / CAMERA.fy
    depth = np.broadcast_to((0.8 / (1 - slope * up))[:, None], (240, 320))
    found = readings(SENSORS[name], depth)
    assert abs(np.median((found - depth)[found > 0])) < 0.0005


def test_a_kinect_measures_in_steps():
    sensor = SENSORS["structured_light"]
    found = np.unique(readings(sensor, plane(2.0)))
    disparity = CAMERA.fx * sensor.baseline / found[found > 0]
    steps = disparity / sensor.disparity_step
    # Depth is rounded to millimetres, a fifteenth of a step here.
    np.testing.assert_allclose(steps, np.round(steps), atol=0.1)
    assert len(found) < 10


@pytest.mark.parametrize(("near", "far"), [(0.5, 0.8), (1.0, 1.5)])
def test_a_shadow_is_as_wide_as_the_difference_of_the_disparities(near, far):
    reach = 500 * 0.05
    hidden = in_shadow(step(near, far), reach)
    width = hidden.sum(axis=1)
    assert (np.abs(width - reach * (1 / near - 1 / far)) <= 1).all()
    assert not hidden[:, 160:].any(), "what is near is seen"
    assert hidden[:, 159].all(), "the shadow lies beside it"
    assert not in_shadow(step(near, far)[:, ::-1], reach).any(), "on one side only"
    assert not in_shadow(step(near, far), 0.0).any()


def test_dark_and_shiny_surfaces_have_holes():
    for name, sensor in SENSORS.items():
        for level in (5, 255):
            color = GREY.copy()
            color[:, :160] = level
            lost = readings(sensor, plane(1.0), color) == 0
            assert lost[:, :150].mean() > 0.5, (name, level)
            assert lost[:, 170:].mean() < 0.1, (name, level)


def test_edges_fly_and_grow():
    depth = step(0.8, 1.0)
    for name, sensor in SENSORS.items():
        found = readings(sensor, depth)
        flying = (found > 0.83) & (found < 0.97)
        assert flying[:, 155:165].mean() > 0.0005, name
        assert not flying[:, :100].any(), name
    stereo = readings(SENSORS["stereo"], depth[:, ::-1])[:, 160:166]  # the side without a shadow
    assert ((stereo > 0.75) & (stereo < 0.85)).any(), "matching windows let the near side grow"


def test_concave_corners_are_rounded_for_time_of_flight_alone():
    x = np.abs(np.arange(320) - 160) * 0.001
    corner = np.tile(1.0 - x, (240, 1))
    assert (readings(SENSORS["tof"], corner) - corner)[:, 158:163].mean() < -0.0005
    assert abs((readings(SENSORS["stereo"], corner) - corner)[:, 158:163].mean()) < 0.001


def test_readings_are_whole_millimetres_repeatable_and_in_range():
    for sensor in SENSORS.values():
        depth = np.tile(np.linspace(0.05, 6.0, 320), (240, 1))
        first, second = readings(sensor, depth), readings(sensor, depth)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first * 1000, np.round(first * 1000), atol=1e-3)
        assert first.max() <= sensor.farthest + 1e-6
        assert first[first > 0].min() >= sensor.nearest - 1e-3
        assert not np.array_equal(first, readings(sensor, depth, seed=1))


# ── poses ──────────────────────────────────────────────────────────────────────────────────────
def test_recorded_poses_have_the_errors_that_are_asked_for():
    T = np.eye(4)
    T[:3, 3] = [0.3, -0.2, 0.9]
    poses = [T] * 11
    same = recorded_poses(poses, PoseErrorConfig(), np.random.default_rng(0))
    np.testing.assert_allclose(same, poses, atol=1e-12)
    fixed = recorded_poses(poses, PoseErrorConfig(hand_eye=0.02), np.random.default_rng(0))
    assert np.allclose(fixed, fixed[0])
    assert np.linalg.norm(fixed[0][:3, 3] - T[:3, 3]) == pytest.approx(0.02)
    drifting = recorded_poses(poses, PoseErrorConfig(drift=0.03), np.random.default_rng(0))
    away = np.linalg.norm(np.array(drifting)[:, :3, 3] - T[:3, 3], axis=1)
    np.testing.assert_allclose(away, np.linspace(0, 0.03, 11), atol=1e-9)
    angle = np.arccos((np.trace(drifting[-1][:3, :3].T @ T[:3, :3]) - 1) / 2)
    assert angle == pytest.approx(0.03 / 0.5)
