"""Fewer views of a large capture: spread evenly, sharp ones first, the same from the same."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.errors import CaptureError
from point2act.core.types import Capture, Frame, Lens
from point2act.data.capture.view_selection import (
    ViewDistance,
    farthest_point_sampling,
    keep_frames,
    most_redundant,
    select_views,
)


def frames_of(poses, folder: Path, sizes=None) -> list[Frame]:
    """Frames whose image files have the given sizes in bytes."""
    camera, found = synthetic.pinhole(), []
    for number, pose in enumerate(poses):
        path = folder / f"{number:04}.png"
        path.write_bytes(bytes(1000 if sizes is None else int(sizes[number])))
        found.append(Frame(f"images/{path.name}", path, None, None, camera, Lens(), pose))
    return found


def names(frames) -> list[str]:
    return [frame.name for frame in frames]


def turned(angles) -> list[np.ndarray]:
    """Cameras on a circle that look at its middle."""
    eyes = np.stack([0.5 * np.cos(angles), 0.5 * np.sin(angles), np.full(len(angles), 0.3)], axis=1)
    return [synthetic.look_at(eye, np.zeros(3)) for eye in eyes]


def plain_spread(eyes, axes, at_most) -> list[int]:
    """Farthest-point sampling in plain loops."""
    away = np.sort(np.linalg.norm(eyes - np.median(eyes, axis=0), axis=1))
    size = np.median(away) or 1.0

    def apart(i, j):
        angle = 2 * np.arcsin(min(1.0, float(np.linalg.norm(axes[i] - axes[j])) / 2))
        return float(np.linalg.norm((eyes[i] - eyes[j]) / size)) + angle

    chosen = [0]
    while len(chosen) < at_most:
        rest = [i for i in range(len(eyes)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: (min(apart(i, j) for j in chosen), -i)))
    return chosen


def test_farthest_first_against_plain_loops():
    rng = np.random.default_rng(0)
    eyes, axes = rng.normal(size=(2, 40, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    everything = [np.ones(40, dtype=bool)]
    assert farthest_point_sampling(ViewDistance(eyes, axes), 12, everything) == plain_spread(eyes, axes, 12)


def test_the_most_redundant_of_two_neighbours_is_the_one_nearer_to_a_third(tmp_path):
    angles = np.array([0.0, 1.0, 1.1, 3.0, 4.5])
    assert most_redundant(frames_of(turned(angles), tmp_path)) == 1
    assert most_redundant(frames_of(turned(angles[::-1]), tmp_path)) == 3
    # Where nothing distinguishes them, the earlier one stays.
    assert most_redundant(frames_of(turned(np.array([0.0, 2.0, 2.0, 4.0])), tmp_path)) == 2
    assert most_redundant(frames_of(turned(np.array([0.5, 0.5])), tmp_path)) == 1


@given(angles=st.lists(st.floats(0, 6), min_size=2, max_size=12))
def test_the_most_redundant_view_is_one_of_the_nearest_two(tmp_path_factory, angles):
    frames = frames_of(turned(np.array(angles)), tmp_path_factory.mktemp("f"))
    lost = most_redundant(frames)
    away = ViewDistance.of(frames).from_one(lost)
    away[lost] = np.inf
    smallest = min(np.delete(ViewDistance.of(frames).from_one(i), i).min() for i in range(len(frames)))
    assert np.isclose(away.min(), smallest, atol=1e-9)


def test_few_frames_stay_as_they_are(tmp_path):
    frames = frames_of(synthetic.orbit(6), tmp_path)
    assert select_views(frames, 6) == select_views(frames, 100) == tuple(frames)


def test_the_order_stays(tmp_path):
    frames = frames_of(turned(np.random.default_rng(0).uniform(0, 6, 50)), tmp_path)
    kept = names(select_views(frames, 20))
    assert len(kept) == 20
    assert kept == sorted(kept)


def test_neither_gaps_nor_clusters_are_left(tmp_path):
    """Nine tenths of the cameras stand in a tenth of the circle: they get few of the views."""
    angles = np.sort(np.concatenate([np.linspace(0, 0.6, 180), np.linspace(0.7, 6.2, 40)]))
    frames = frames_of(turned(angles), tmp_path)
    kept = [int(Path(name).stem) for name in names(select_views(frames, 24))]
    gaps = np.diff(angles[kept])
    assert gaps.max() < 0.5
    assert sum(angles[kept] < 0.6) < 8
    every_ninth = np.diff(angles[::9])
    assert every_ninth.max() > 2 * gaps.max()


def test_cameras_that_only_turn_are_spread_too(tmp_path):
    angles = np.linspace(0, np.pi, 60)
    poses = [synthetic.look_at(np.zeros(3), np.array([np.cos(a), np.sin(a), 0.2])) for a in angles]
    kept = [int(Path(name).stem) for name in names(select_views(frames_of(poses, tmp_path), 8))]
    assert np.diff(angles[kept]).max() < 2 * np.pi / 7  # Gonzalez: never twice the least that there can be


def test_where_all_stand_in_one_place(tmp_path):
    frames = frames_of([np.eye(4)] * 9, tmp_path, sizes=np.arange(9, 0, -1))
    assert len(set(names(select_views(frames, 4)))) == 4


@given(st.permutations(range(12)), st.integers(1, 11), st.integers(0, 10**6))
def test_the_same_viewpoints_whatever_the_world(order, at_most, seed):
    """Turned, moved and scaled worlds, and so metres or millimetres, change nothing."""
    rng = np.random.default_rng(seed)
    poses = np.array(turned(rng.uniform(0, 6, 12)))[list(order)]
    T = synthetic.look_at(rng.normal(size=3), rng.normal(size=3))
    scaled = poses.copy()
    scaled[:, :3, 3] *= 1000.0
    moved = T @ poses
    groups = [np.ones(12, dtype=bool)]
    first = farthest_point_sampling(ViewDistance(poses[:, :3, 3], poses[:, :3, 2]), at_most, groups)
    for other in (scaled, moved):
        assert (
            farthest_point_sampling(ViewDistance(other[:, :3, 3], other[:, :3, 2]), at_most, groups) == first
        )


def test_wanted_views_stay(tmp_path):
    frames = frames_of(turned(np.linspace(0, 6, 60)), tmp_path, sizes=np.arange(60) + 1)
    wanted = {frames[i].name for i in (3, 4, 5, 6, 30)}
    kept = names(select_views(frames, 12, priority=[wanted]))
    assert wanted <= set(kept)
    assert len(kept) == 12


def test_higher_priority_comes_first_if_not_all_fit(tmp_path):
    frames = frames_of(turned(np.linspace(0, 6, 60)), tmp_path)
    person, model = {frames[7].name, frames[8].name}, {frame.name for frame in frames[10:50]}
    kept = set(names(select_views(frames, 6, priority=[person, model])))
    assert person <= kept
    assert kept - person <= model


def test_a_wanted_view_is_not_taken_for_a_sharper_one(tmp_path):
    sizes = np.full(60, 500)
    sizes[::2] = 900
    frames = frames_of(turned(np.linspace(0, 6, 60)), tmp_path, sizes=sizes)
    wanted = {frames[i].name for i in range(1, 60, 12)}
    assert wanted <= set(names(select_views(frames, 10, priority=[wanted])))


def test_sharp_views_before_blurred_ones(tmp_path):
    """Every second picture is blurred: of near ones the sharp one is taken, and the spread stays even."""
    sizes = np.full(240, 1000)
    sizes[::2] = 970
    frames = frames_of(turned(np.linspace(0, 6, 240)), tmp_path, sizes=sizes)
    kept = np.array([int(Path(name).stem) for name in names(select_views(frames, 20))])
    assert (kept % 2 == 1).all()
    assert len(set(kept)) == 20
    assert np.diff(kept).max() < 24


def test_a_far_view_is_no_substitute_however_sharp(tmp_path):
    sizes = np.full(40, 1000)
    sizes[0] = 9000
    kept = names(select_views(frames_of(turned(np.linspace(0, 6, 40)), tmp_path, sizes=sizes), 10))
    assert len(set(kept)) == 10


def test_names_of_the_files_in_their_folder_do_not_matter(tmp_path):
    """Only the order in transforms.json does."""
    poses = turned(np.linspace(0, 6, 40))
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir(), other.mkdir()
    frames = frames_of(poses, one)
    shuffled = [None] * 40
    for number in reversed(range(40)):
        path = other / f"{39 - number:04}.png"
        path.write_bytes(bytes(1000))
        shuffled[number] = dataclasses.replace(frames[number], image_path=path)
    assert names(select_views(frames, 9)) == names(select_views(shuffled, 9))


def test_what_cannot_be(tmp_path):
    frames = frames_of(synthetic.orbit(5), tmp_path)
    with pytest.raises(CaptureError, match="--max-views is 0"):
        select_views(frames, 0)
    frames[2].image_path.unlink()
    with pytest.raises(CaptureError, match=r"0002\.png is gone"):
        select_views(frames, 3)


def test_only_some_frames(tmp_path):
    frames = tuple(frames_of(synthetic.orbit(5), tmp_path))
    capture = Capture(tmp_path, frames, 1e-3, None, None, True)
    assert keep_frames(capture, None) is capture
    assert keep_frames(capture, [frames[3].name, frames[1].name, "another"]).frames == (frames[1], frames[3])
