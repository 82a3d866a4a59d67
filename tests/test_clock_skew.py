"""Clock skew between images and a trajectory: a textured plane, and a camera that starts and stops."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic import look_at

from point2act.calibration.checks.clock_skew import (
    ClockSkewConfig,
    PosesAt,
    TimedImage,
    estimate_clock_skew,
    informative_pairs,
)
from point2act.core.geometry import invert, pixel_centers, transform
from point2act.core.types import Camera

CAMERA = Camera(fx=180.0, fy=180.0, cx=96.0, cy=72.0, height=144, width=192)
TIMES = np.arange(0.5, 4.0, 1 / 30)
HAND_EYE = transform(Rotation.from_rotvec([0.01, -0.02, 0.01]).as_matrix(), np.array([0.008, -0.005, 0.006]))
PIXELS_A_METRE = 800


def poses(times: np.ndarray) -> np.ndarray:
    """Return poses above the plane, with three starts and stops in four and a half seconds."""
    phase = np.clip(np.asarray(times) / 1.5, 0, 3)
    done, part = np.floor(phase), phase % 1
    angle = 0.5 * (done + part**3 * (10 - 15 * part + 6 * part**2))
    eyes = np.stack([0.25 * np.cos(angle), 0.25 * np.sin(angle), 0.4 + 0.1 * np.sin(2 * angle)], axis=1)
    return np.stack([look_at(eye, np.zeros(3)) for eye in eyes])


@cache
def texture() -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (PIXELS_A_METRE, PIXELS_A_METRE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def film(T_world_cam: np.ndarray, time: float, *, depth: bool = True) -> TimedImage:
    """Return what a camera sees of a random pattern on the plane z = 0."""
    T_cam_world = invert(T_world_cam)
    plane_from_texture = np.array([[1, 0, -400], [0, 1, -400], [0, 0, PIXELS_A_METRE]]) / PIXELS_A_METRE
    homography = CAMERA.K @ T_cam_world[:3, [0, 1, 3]] @ plane_from_texture
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV's pixel centres are at whole numbers
    gray = cv2.warpPerspective(texture(), half @ homography, (CAMERA.width, CAMERA.height))
    at = pixel_centers(CAMERA.height, CAMERA.width)
    rays = np.concatenate([(at - [CAMERA.cx, CAMERA.cy]) / CAMERA.fx, np.ones((*at.shape[:2], 1))], axis=-1)
    z = -T_world_cam[2, 3] / (rays @ T_world_cam[:3, :3].T)[..., 2]
    return TimedImage(time, gray, z if depth else None)


def filmed(recorded: PosesAt, *, depth: bool = True) -> list[tuple[TimedImage, TimedImage]]:
    config = ClockSkewConfig(max_pairs=12)
    truth = poses(TIMES)
    return [
        (film(truth[a], TIMES[a], depth=depth), film(truth[b], TIMES[b], depth=depth))
        for a, b in informative_pairs(TIMES, recorded, config=config)
    ]


def late(skew: float, error: np.ndarray | None = None) -> PosesAt:
    """Return a trajectory whose clock is ahead by a skew, of a camera that is mounted with an error."""
    X = np.eye(4) if error is None else error
    return lambda times: poses(np.asarray(times) - skew) @ X


@pytest.mark.parametrize("skew", [0.0, 0.02, -0.05, 0.08])
@pytest.mark.parametrize("error", [None, HAND_EYE])
def test_the_skew_is_found_also_with_a_wrong_hand_eye_calibration(skew, error):
    recorded = late(skew, error)
    found = estimate_clock_skew(filmed(recorded), CAMERA, recorded)
    assert found is not None
    assert found.seconds == pytest.approx(skew, abs=0.003)
    assert found.std < 0.003
    assert found.pairs == 12
    assert str(found).endswith(")")


def test_the_skew_is_found_without_depth():
    recorded = late(0.04)
    found = estimate_clock_skew(filmed(recorded, depth=False), CAMERA, recorded)
    assert found is not None
    assert found.seconds == pytest.approx(0.04, abs=0.004)


def test_a_camera_at_rest_gives_no_skew():
    still = poses(np.zeros(1))[0]

    def rest(times):
        return np.repeat(still[None], len(np.asarray(times)), axis=0)

    pairs = [(film(still, t), film(still, t + 0.1)) for t in TIMES[:20]]
    assert estimate_clock_skew(pairs, CAMERA, rest) is None


def test_a_steady_turn_gives_no_skew():
    def turning(times):
        angle = 0.3 * np.asarray(times)
        return np.stack([look_at([0.25 * np.cos(a), 0.25 * np.sin(a), 0.4], np.zeros(3)) for a in angle])

    truth = [(turning([t])[0], turning([t + 0.1])[0], t) for t in TIMES[:40:2]]
    pairs = [(film(a, t), film(b, t + 0.1)) for a, b, t in truth]
    found = estimate_clock_skew(pairs, CAMERA, lambda times: turning(np.asarray(times) - 0.05))
    assert found is None or found.std > 0.001


def test_images_without_features_and_few_pairs_give_no_skew():
    recorded = late(0.02)
    pairs = filmed(recorded)
    assert estimate_clock_skew(pairs[:7], CAMERA, recorded) is None
    plain = [tuple(replace(image, gray=np.full_like(image.gray, 90)) for image in pair) for pair in pairs]
    assert estimate_clock_skew(plain, CAMERA, recorded) is None
    assert estimate_clock_skew([], CAMERA, recorded) is None


def test_a_skew_beyond_the_search_is_not_believed():
    recorded = late(0.5)
    assert estimate_clock_skew(filmed(recorded), CAMERA, recorded) is None


def test_pairs_are_chosen_where_the_speed_changes():
    config = ClockSkewConfig(max_pairs=6)
    chosen = informative_pairs(TIMES, poses, config=config)
    assert len(chosen) == 6
    gap = TIMES[chosen[:, 1]] - TIMES[chosen[:, 0]]
    assert ((gap > 0.099) & (gap < 0.2)).all()
    phase = (TIMES[chosen[:, 0]] + 0.05) / 1.5 % 1
    # The acceleration of a minimum-jerk motion is largest at 0.21 and at 0.79 of it.
    assert (np.minimum(np.abs(phase - 0.21), np.abs(phase - 0.79)) < 0.15).all()


@pytest.mark.parametrize("times", [np.zeros(0), np.array([1.0]), np.array([0.0, 5.0])])
def test_images_too_far_apart_make_no_pairs(times):
    assert informative_pairs(times, poses).shape == (0, 2)
