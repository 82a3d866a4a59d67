"""A hand-eye error is found where the camera turns; a common motion or a drift is not taken for one."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from point2act.calibration.poses.hand_eye import estimate_hand_eye
from point2act.calibration.poses.pose_prior import Prior
from point2act.core.geometry import transform_points

SCENE = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.05], [0.0, -0.1, 0.1]])
"""Points that a robot would grasp, metres."""


def motion(turn, shift) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    T[:3, 3] = shift
    return T


def arc(count: int = 24, turning: bool = True) -> np.ndarray:
    """Cameras on an arc about the scene that face it, or that only move."""
    poses = []
    for angle in np.linspace(0, 5, count):
        tilt = Rotation.from_euler("zx", [angle, -130 + 10 * np.sin(3 * angle)], degrees=False)
        turn = tilt if turning else Rotation.from_euler("x", np.pi)
        position = 0.5 * np.array([np.cos(angle), np.sin(angle), 1.0])
        poses.append(motion(turn.as_rotvec(), position))
    return np.array(poses)


def recorded(true: np.ndarray, mounting: np.ndarray, noise: float = 0.0, drift: float = 0.0) -> Prior:
    """What a robot records with a wrong mounting, noise and a drift along x."""
    rng = np.random.default_rng(0)
    poses = np.array([T @ mounting for T in true])
    poses[:, :3, 3] += noise * rng.standard_normal((len(true), 3))
    poses[:, 0, 3] += drift * np.linspace(0, 1, len(true))
    return Prior(poses, 0.005, 0.0122)


def off(T: np.ndarray) -> float:
    """How far a motion takes the points of the scene, metres."""
    return float(np.linalg.norm(transform_points(T, SCENE) - SCENE, axis=1).max())


MOUNTING = motion([0.01, -0.005, 0.008], [0.004, -0.003, 0.009])
COMMON = motion([0.004, -0.006, 0.003], [-0.003, 0.005, 0.006])


@pytest.mark.parametrize(("noise", "drift"), [(0.0, 0.0), (0.0005, 0.0), (0.0005, 0.003)])
def test_the_mounting_and_the_common_motion_are_found(noise, drift):
    true = arc()
    found = estimate_hand_eye(recorded(true, MOUNTING, noise, drift), np.linalg.inv(COMMON) @ true)
    assert found is not None
    np.testing.assert_allclose(found.shift, MOUNTING[:3, 3], atol=1e-3)
    np.testing.assert_allclose(Rotation.from_rotvec(found.turn).as_matrix(), MOUNTING[:3, :3], atol=2e-3)
    # A drift is the same as a common motion where it is half over.
    away = found.T_robot_world @ np.linalg.inv(COMMON)
    away[0, 3] -= drift / 2
    assert off(away) < 1e-3
    assert off(COMMON) > 8e-3


def test_its_length_is_in_millimetres():
    found = estimate_hand_eye(recorded(arc(), MOUNTING), arc())
    assert str(found).startswith("10.3 mm (x 4.0 ± 0.0, y -3.0 ± 0.0, z 9.0 ± 0.0) and 0.7")


@pytest.mark.parametrize("drift", [0.0, 0.005, 0.03])
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_drift_and_noise_are_no_mounting(noise, drift):
    assert estimate_hand_eye(recorded(arc(), np.eye(4), noise, drift), COMMON @ arc()) is None


def test_one_wrong_pose_changes_little():
    true, prior = arc(), recorded(arc(), MOUNTING, 0.0005)
    prior.T_world_cam[5, :3, 3] += 0.05
    found = estimate_hand_eye(prior, true)
    assert found is not None
    np.testing.assert_allclose(found.shift, MOUNTING[:3, 3], atol=1e-3)


def test_without_turns_only_the_rotation_is_found():
    true, shifted = arc(turning=False), motion([0, 0, 0], MOUNTING[:3, 3])
    assert estimate_hand_eye(recorded(true, shifted), true) is None
    found = estimate_hand_eye(recorded(true, MOUNTING), true)
    assert found is not None
    np.testing.assert_allclose(found.shift, 0, atol=1e-3)


@pytest.mark.parametrize("count", [1, 7])
def test_few_views_are_too_few(count):
    assert estimate_hand_eye(recorded(arc(count), MOUNTING), arc(count)) is None
