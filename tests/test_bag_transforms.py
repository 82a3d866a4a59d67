"""The tree of tf and the choice of images: laws, and transforms as they should not be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.errors import CaptureError
from point2act.data.importers.bag.frames import choose_frames, pair_times, speeds
from point2act.data.importers.bag.transforms import TransformTree

SECOND = 10**9
START = 1_700_000_000 * SECOND


def stamped(parent: str, child: str, time: int, matrix: np.ndarray, scale: float = 1.0) -> SimpleNamespace:
    """A geometry_msgs/TransformStamped; ``scale`` is the length of its quaternion."""
    shift = SimpleNamespace(**dict(zip("xyz", matrix[:3, 3].tolist(), strict=True)))
    quaternion = scale * Rotation.from_matrix(matrix[:3, :3]).as_quat()
    turn = SimpleNamespace(**dict(zip("xyzw", quaternion.tolist(), strict=True)))
    header = SimpleNamespace(
        stamp=SimpleNamespace(sec=time // SECOND, nanosec=time % SECOND), frame_id=parent
    )
    transform = SimpleNamespace(translation=shift, rotation=turn)
    return SimpleNamespace(header=header, child_frame_id=child, transform=transform)


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    pose[:3, 3] = rng.normal(size=3)
    return pose


def at(*seconds: float) -> np.ndarray:
    return np.array([START + round(second * SECOND) for second in seconds], dtype=np.int64)


def moving(times: list[float], poses: list[np.ndarray]) -> TransformTree:
    tree = TransformTree()
    for time, pose in zip(times, poses, strict=True):
        tree.add(stamped("base", "camera", START + round(time * SECOND), pose), static=False)
    return tree


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_a_chain_is_the_product_in_every_direction(seed: int, length: int):
    rng = np.random.default_rng(seed)
    poses, tree = [random_pose(rng) for _ in range(length)], TransformTree()
    for number, pose in enumerate(poses):
        tree.add(stamped(f"/f{number}", f"f{number + 1}", START, pose), static=True)
    i, j = rng.integers(0, length + 1, 2)
    whole = [np.eye(4)]
    for pose in poses:
        whole.append(whole[-1] @ pose)
    found = tree.poses(f"f{i}", f"f{j}", at(0, 5))
    assert found.known.all()
    np.testing.assert_allclose(found.matrices[1], np.linalg.inv(whole[i]) @ whole[j], atol=1e-9)


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_between_two_transforms_the_path_is_straight_and_turns_evenly(seed: int, share: float):
    rng = np.random.default_rng(seed)
    one, other = random_pose(rng), random_pose(rng)
    found = moving([0.0, 0.1], [one, other]).poses("base", "camera", at(0.1 * share)).matrices[0]
    np.testing.assert_allclose(found[:3, 3], one[:3, 3] + share * (other[:3, 3] - one[:3, 3]), atol=1e-6)
    whole = (Rotation.from_matrix(one[:3, :3]).inv() * Rotation.from_matrix(other[:3, :3])).magnitude()
    part = (Rotation.from_matrix(one[:3, :3]).inv() * Rotation.from_matrix(found[:3, :3])).magnitude()
    assert part == pytest.approx(share * whole, abs=1e-6)


def test_nothing_is_known_outside_and_in_gaps():
    tree = moving([0.0, 0.1, 0.9, 1.0, 1.0], [np.eye(4)] * 5)
    known = tree.poses("base", "camera", at(-0.01, 0.0, 0.05, 0.1, 0.5, 0.9, 1.0, 1.01)).known
    assert known.tolist() == [False, True, True, True, False, True, True, False]
    gap = tree.longest_gap("base", "camera")
    assert gap is not None
    assert (gap.frame, round(gap.seconds, 3), gap.time) == ("camera", 0.8, START + SECOND // 10)


def test_messages_out_of_order_are_sorted_and_the_clock_of_a_sender_is_watched():
    shifted = [np.eye(4) for _ in range(3)]
    shifted[1][0, 3] = 1.0
    tree = moving([0.0, 0.2, 0.1], [shifted[0], shifted[1], shifted[2]])
    assert tree.jump is None
    assert tree.poses("base", "camera", at(0.15)).matrices[0, 0, 3] == pytest.approx(0.5)
    assert moving([10.0, 2.0], [np.eye(4)] * 2).jump == ("camera", 8.0)


@pytest.mark.parametrize("scale", [0.0, 2.0, np.nan, np.inf])
def test_what_is_no_rotation_is_ignored_and_counted(scale: float):
    tree = moving([0.0], [np.eye(4)])
    with np.errstate(invalid="ignore"):
        tree.add(stamped("base", "camera", START + 1, np.eye(4), scale), static=False)
    assert tree.invalid == 1
    assert len(tree.poses("base", "camera", at(0)).matrices) == 1


def test_loops_are_refused():
    tree = TransformTree()
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        tree.add(stamped(parent, child, START, np.eye(4)), static=True)
    with pytest.raises(CaptureError, match="a loop through"):
        tree.poses("a", "c", at(0))


def test_an_empty_tree_has_no_frame():
    with pytest.raises(CaptureError, match="tf is empty"):
        TransformTree().poses("a", "b", at(0))


# ── pairs, speeds, choice ──────────────────────────────────────────────────────────────────────
@given(st.lists(st.integers(0, 1000), min_size=1), st.lists(st.integers(0, 1000), min_size=1))
def test_pairs_are_the_nearest(colors: list[int], depths: list[int]):
    milliseconds = [np.array(sorted(set(times))) * 10**6 + START for times in (colors, depths)]
    found = pair_times(milliseconds[0], milliseconds[1], 0.02)
    away = np.abs(milliseconds[0][:, None] - milliseconds[1]) / SECOND
    np.testing.assert_array_equal(found >= 0, away.min(axis=1) <= 0.02 + 1e-12)
    for row, index in zip(away, found, strict=True):
        assert index < 0 or row[index] == row.min()


def test_no_depth_pairs_with_nothing():
    assert pair_times(at(0, 1), at(), 0.02).tolist() == [-1, -1]


def test_the_speed_is_that_of_the_camera():
    times = np.arange(0, 2, 0.01)
    poses = []
    for time in times:
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("z", 0.4 * time).as_matrix()
        pose[0, 3] = 0.3 * time
        poses.append(pose)
    tree = moving(times.tolist(), poses)
    found = speeds(lambda wanted: tree.poses("base", "camera", wanted), at(0.0, 1.0, 1.99))
    np.testing.assert_allclose(found, 0.3 + 0.5 * 0.4, rtol=1e-6)


def test_few_images_are_all_used():
    poses = np.tile(np.eye(4), (3, 1, 1))
    assert choose_frames(poses, np.ones(3), None) == [0, 1, 2]
    assert choose_frames(poses, np.full(3, np.inf), 3) == [0, 1, 2]


def test_images_in_motion_are_left_out_only_where_many_rest():
    poses = np.tile(np.eye(4), (400, 1, 1))
    poses[:, 0, 3] = np.arange(400) / 400
    resting = np.where(np.arange(400) % 10 == 5, 0.0, 0.5)
    assert {index % 10 for index in choose_frames(poses, resting, 30)} == {5}
    rarely = np.where(np.arange(400) < 10, 0.0, 0.5)
    assert len(choose_frames(poses, rarely, 30)) == 30


def test_one_viewpoint_is_used_once():
    poses = np.tile(np.eye(4), (400, 1, 1))
    poses[:, 0, 3] = np.arange(400) // 10 / 40
    chosen = choose_frames(poses, np.zeros(400), 60)
    assert [index // 10 for index in chosen] == list(range(40))
