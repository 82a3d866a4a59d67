"""The judge of grasps by measured points, on points with known verdicts, and the metrics made of it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import synthetic

from benchmarks.real.frames import Judged, click_place
from benchmarks.real.recordings import JudgedQuery, middle_views, never_falls
from benchmarks.real.soundness import Soundness, SoundnessConfig, approach_width, judge, readings
from benchmarks.real.suite import frame_metrics, recording_metrics
from point2act.core.geometry import project, transform_points
from point2act.core.types import Answer, Capture, Frame, Grasp, Lens, PointSet
from point2act.grasping.grippers import load_gripper

CONFIG = SoundnessConfig()
PANDA = load_gripper("panda")
T = np.array([[0.0, 1.0, 0.0, 0.1], [1.0, 0.0, 0.0, -0.2], [0.0, 0.0, -1.0, 0.3], [0.0, 0.0, 0.0, 1.0]])
GRASP = Grasp(T, 0.02, 1.0, 1.0, 1.0, np.zeros((2, 3)), 0.01, approach_width=0.04)


def world(points: list[tuple[float, float, float]]) -> np.ndarray:
    return transform_points(T, np.array(points, dtype=float))


BAR = [(0.0, y, 0.0) for y in np.linspace(-0.009, 0.009, 12)]
"""Twelve points between the pads."""


def test_a_bar_between_the_pads_is_soundly_held():
    verdict = judge(GRASP, PANDA, world(BAR), opening=0.04, clicked=T[:3, 3])
    assert (verdict.inside, verdict.between, verdict.away) == (0, 12, 0.0)
    assert verdict.sound()


def test_too_few_points_between_the_pads_or_a_far_click_are_not_sound():
    assert not judge(GRASP, PANDA, world(BAR[:9]), opening=0.04).sound()
    far = T[:3, 3] + [0.0, 0.11, 0.0]
    verdict = judge(GRASP, PANDA, world(BAR), opening=0.04, clicked=far)
    assert verdict.away == pytest.approx(0.11)
    assert verdict.free()
    assert not verdict.sound()


def test_every_box_meets_points_on_the_last_centimetres_of_the_approach():
    boxes = PANDA.boxes_at(0.04)
    for low, high in zip(boxes.low, boxes.high, strict=True):
        middle = (low + high) / 2
        steps = [middle - np.array([0.0, 0.0, back]) for back in (0.0, 0.02, 0.04, 0.06)]
        verdict = judge(GRASP, PANDA, np.concatenate([world(BAR), world(steps)]), opening=0.04)
        assert verdict.inside == 4
        assert not verdict.free()


def test_a_few_points_and_a_thin_margin_are_forgiven():
    boxes = PANDA.boxes_at(0.04)
    middle = (boxes.low + boxes.high)[-1] / 2
    three = [middle - np.array([0.0, 0.0, step]) for step in (0.0, 0.005, 0.01)]
    assert judge(GRASP, PANDA, world(three), opening=0.04).inside == 3
    assert judge(GRASP, PANDA, world(three), opening=0.04).free()
    # Many points in one voxel are one.
    assert judge(GRASP, PANDA, np.repeat(world(three[:1]), 50, axis=0), opening=0.04).inside == 1
    # 2 mm inside the inner face of a finger.
    tip = [(0.0, 0.02 + 0.002, -step) for step in np.linspace(0.0, 0.02, 8)]
    assert judge(GRASP, PANDA, world(tip), opening=0.04).inside == 0
    deeper = [(0.0, 0.02 + 0.005, -step) for step in np.linspace(0.0, 0.02, 8)]
    assert not judge(GRASP, PANDA, world(deeper), opening=0.04).free()


def test_the_opening_is_that_of_the_grasp():
    assert approach_width(GRASP, PANDA) == 0.04
    beside = world([(0.0, 0.03, -step) for step in np.linspace(0.0, 0.02, 8)])
    assert not judge(GRASP, PANDA, beside, opening=approach_width(GRASP, PANDA)).free()
    assert judge(GRASP, PANDA, beside, opening=PANDA.max_width).free()


def test_the_count_of_voxels_agrees_with_its_slow_twin():
    points = np.random.default_rng(0).uniform(-0.12, 0.12, (4000, 3))
    found = judge(GRASP, PANDA, transform_points(T, points), opening=0.04)
    cells = set()
    for point in points:
        for center, half in PANDA.boxes_at(0.04):
            low, high = center - half + CONFIG.shrink, center + half - CONFIG.shrink
            low = low - [0.0, 0.0, CONFIG.approach]
            if (low < point).all() and (point < high).all():
                cells.add(tuple(np.floor(point / CONFIG.voxel).astype(int)))
    assert found.inside == pytest.approx(len(cells), abs=2)  # Points on the border of two voxels.
    assert found.inside > 100


def test_readings_lie_where_the_view_saw_them():
    view = synthetic.views(1)[0]
    assert view.depth is not None
    cloud = readings(view)
    assert len(cloud) == (view.depth > 0).sum()
    pixels, depth = project(view.camera, view.T_world_cam, cloud)
    np.testing.assert_allclose(depth, view.depth[view.depth > 0], rtol=1e-6)
    place = click_place(view, pixels[100] + 0.2)
    np.testing.assert_allclose(place, cloud[100])


# ── views and metrics ──────────────────────────────────────────────────────────────────────────
def test_more_views_contain_fewer_and_all_are_answered():
    view = synthetic.views(1)[0]
    frames = tuple(
        Frame(f"{n}.png", Path(f"{n}.png"), None, None, view.camera, Lens(), np.eye(4)) for n in range(9)
    )
    capture = Capture(Path(), frames, 1e-3, None, None, True)
    answers = [Answer(f"{n}.png", "q", np.zeros((int(n != 4), 2))) for n in range(9)]
    chosen = [middle_views(capture, PointSet((), tuple(answers)), count) for count in (1, 3, 8, 20)]
    assert "4.png" not in chosen[-1]
    assert len(chosen[-1]) == 8
    assert [len(names) for names in chosen] == [1, 3, 8, 8]
    assert all(set(few) <= set(more) for few, more in itertools.pairwise(chosen))


@pytest.mark.parametrize(
    ("sound", "never"),
    [([], True), ([False, True, True], True), ([True, False, True], False), ([False, False], True)],
)
def test_a_sequence_that_falls_once_falls(sound, never):
    assert never_falls(sound) is never


FREE, HIT = Soundness(0, 50, 0.01), Soundness(9, 50, 0.01)


def test_shares_count_things_without_grasps_as_not_sound():
    judged = [
        Judged("a", "one", GRASP, FREE, FREE, ""),
        Judged("a", "two", GRASP, FREE, HIT, ""),
        Judged("a", "three", GRASP, HIT, FREE, ""),
        Judged("a", "four", None, None, None, "all_collide"),
    ]
    values = {metric.name: metric.value for metric in frame_metrics(judged)}
    assert values == {
        "real.things": 4,
        "real.things_with_grasps": 3,
        "real.sound_share": 50.0,
        "real.sound_open_share": 25.0,
    }
    assert "no grasp: all_collide" in judged[3].line()
    assert "NOT SOUND" in judged[2].line()


def test_a_recording_is_judged_against_every_view_and_by_its_steps():
    steps = [
        JudgedQuery("shelf", "book", 1, GRASP, (FREE,), (FREE, HIT, FREE), ""),
        JudgedQuery("shelf", "book", 3, GRASP, (FREE, HIT, FREE), (FREE, HIT, FREE), ""),
        JudgedQuery("shelf", "cup", 1, None, (), (), "none"),
        JudgedQuery("shelf", "cup", 3, GRASP, (FREE, Soundness(0, 0, 0.0), FREE), (FREE,), ""),
    ]
    assert [step.sound for step in steps] == [True, False, False, True]
    values = {metric.name: metric.value for metric in recording_metrics(steps)}
    assert values["real.shelf.queries"] == 2
    assert values["real.shelf.with_grasps"] == 2
    assert values["real.shelf.sound"] == 1
    assert values["real.monotone"] == 0.5
    assert values["real.monotone_in_all_views"] == 1.0, "what only other views contradict was never sound"
