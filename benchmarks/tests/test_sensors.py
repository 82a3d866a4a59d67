"""The suite of sensors: what is taken out of erroneous poses, and its table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.sensors.suite import summary
from benchmarks.sensors.tables import CONDITIONS, Outcome, common_motion
from point2act.core.types import View
from point2act.physics.pictures import pinhole
from point2act.simulation.camera import wrist_poses

CAMERA = pinhole((4, 6), 5.0)


def views_at(poses: np.ndarray) -> list[View]:
    image = np.zeros((4, 6, 3), np.uint8)
    return [View(f"images/{i}.png", CAMERA, T, image, None, None) for i, T in enumerate(poses)]


def motion(length: float, degrees: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [degrees, -degrees, degrees / 2], degrees=True).as_matrix()
    T[:3, 3] = [length, -length, length / 2]
    return T


def test_what_all_views_share_is_taken_out():
    truth = np.array(wrist_poses(0.4, CONDITIONS[0].wrist, np.random.default_rng(0)))
    shared = motion(0.02, 4.0)
    named = {f"images/{i}.png": T for i, T in enumerate(truth)}
    recorded = views_at(np.linalg.inv(shared) @ truth)
    np.testing.assert_allclose(common_motion(recorded, named), shared, atol=1e-9)


def test_what_differs_between_views_stays():
    truth = np.array(wrist_poses(0.4, CONDITIONS[0].wrist, np.random.default_rng(0)))
    named = {f"images/{i}.png": T for i, T in enumerate(truth)}
    moved = truth.copy()
    moved[::2, :3, 3] += [0.01, 0, 0]
    moved[1::2, :3, 3] -= [0.01, 0, 0]
    np.testing.assert_allclose(common_motion(views_at(moved), named), np.eye(4), atol=1e-9)


def test_the_table_counts_every_figure_by_condition_and_method():
    one = Outcome("stereo", 1, "desk/mug", "ours", True, True, "success", True, False, True, True)
    other = replace(one, seed=2, lifted=False, lifted_open=False, lifted_as_recorded=False)
    rows = summary([one, other, replace(one, method="plain")]).splitlines()
    assert rows[2].startswith("| stereo, ours | 2 | 100 / 100 | 50 (")
    assert rows[2].endswith("| 0 | 50 | 50 |")
    assert rows[3].startswith("| stereo, plain | 1 | 100 / 100 | 100 (")
