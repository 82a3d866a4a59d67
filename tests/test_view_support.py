"""Grasps that single views contradict score less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference_grasps as ref

from point2act.core.types import Grasp
from point2act.grasping.grippers import load_gripper
from point2act.grasping.view_support import SupportConfig, ViewReadings, prefer_supported

CENTER = np.array([0.0, 0.0, 0.06])
BOX = ref.Solid("box", (0.02, 0.03, 0.06), ref.at(0.0, 0.0, 0.06))
GRIPPER = load_gripper("panda")


def from_above(x: float, score: float, approach_width: float | None = 0.055) -> Grasp:
    """A grasp of the box's top with its fingers on both sides of it along x, ``x`` beside its middle."""
    T = np.eye(4)
    T[:3, :3] = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    T[:3, 3] = [x, 0.0, 0.115]
    return Grasp(
        T_world_gripper=T,
        width=0.04,
        approach_width=approach_width,
        score=score,
        relevancy=0.5,
        quality=0.5,
        contacts=np.array([[-0.02, 0, 0.115], [0.02, 0, 0.115]]),
        approach_clearance=0.005,
    )


def ranked(grasps: list[Grasp], views, depths, **named) -> tuple[Grasp, ...]:
    """Rank grasps by the readings of views."""
    readings = ViewReadings.near(views, depths, CENTER, **named)
    support, seen = readings.support(grasps, GRIPPER), readings.approach_seen(grasps, GRIPPER)
    return prefer_supported(grasps, support, seen, config=SupportConfig(trust=1.0, blocked_unseen=0.0))


@pytest.fixture(scope="module")
def readings():
    return ref.capture([ref.FLOOR, BOX], ref.ring(CENTER, 4))


def test_what_no_view_contradicts_keeps_its_score(readings):
    (grasp,) = ranked([from_above(0.0, 0.8)], *readings)
    assert grasp.score == 0.8


def test_a_finger_in_the_box_loses_to_one_beside_it(readings):
    good, bad = from_above(0.0, 0.3), from_above(0.03, 0.9)
    first, second = ranked([bad, good], *readings)
    assert first.score == 0.3
    assert second.score < 0.3


def test_one_of_four_views_takes_a_quarter(readings):
    views, depths = readings
    shifted = ref.Solid("box", (0.02, 0.03, 0.06), ref.at(0.035, 0.0, 0.06))
    _, others = ref.capture([ref.FLOOR, shifted], ref.ring(CENTER, 4))
    (grasp,) = ranked([from_above(0.0, 0.8)], views, [*depths[:3], others[3]])
    assert grasp.score == pytest.approx(0.6)


def test_a_few_stray_readings_do_not_count(readings):
    views, depths = readings
    pixels = np.argwhere(depths[0] > 0)
    stray = depths[0].copy()
    row, column = pixels[len(pixels) // 2]
    stray[row, column] = 0.4
    (grasp,) = ranked([from_above(0.0, 0.8)], views, [stray, *depths[1:]])
    assert grasp.score == 0.8


def test_without_a_planned_opening_the_gripper_is_fully_open(readings):
    wall = ref.Solid("box", (0.004, 0.1, 0.065), ref.at(0.056, 0.0, 0.065))
    views, depths = ref.capture([ref.FLOOR, BOX, wall], ref.ring(CENTER, 4, heights=(0.45,) * 2))
    planned, fully = (from_above(0.0, 0.8, width) for width in (0.048, None))
    (free,) = ranked([planned], views, depths)
    (blocked,) = ranked([fully], views, depths)
    assert free.score == 0.8 > blocked.score


def test_views_that_see_nothing_there_have_no_say(readings):
    views, depths = readings
    blind = [np.zeros_like(depth) for depth in depths]
    (grasp,) = ranked([from_above(0.03, 0.8)], views, blind)
    assert grasp.score == 0.8
    assert ranked([], views, depths) == ()


def test_the_count_of_every_view_is_that_of_the_view_alone(readings):
    views, depths = readings
    grasps = [from_above(x, 0.5) for x in (0.0, 0.006, 0.012, 0.02, 0.03)]
    together = ViewReadings.near(views, depths, CENTER).support(grasps, GRIPPER)
    alone = [
        ViewReadings.near([view], [depth], CENTER).support(grasps, GRIPPER)
        for view, depth in zip(views, depths, strict=True)
    ]
    np.testing.assert_allclose(together, np.mean(alone, axis=0))


def test_what_few_views_contradict_loses_to_what_none_does():
    better, worse = from_above(0.0, 0.9), from_above(0.0, 0.2)
    first, _ = prefer_supported([better, worse], np.array([0.8, 1.0]), np.ones(2))
    assert first.score == 0.2


# ── what no view looked through ──
def from_the_front(score: float) -> Grasp:
    """A grasp of the box's top by a gripper that moves along -x, towards the box."""
    T = np.eye(4)
    T[:3, :3] = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    T[:3, 3] = [0.0, 0.0, 0.09]
    return replace(from_above(0.0, score), T_world_gripper=T, approach_width=0.08)


@pytest.fixture(scope="module")
def before_a_wall():
    """What level cameras see of a box before a wall, above which they measure nothing."""
    back = ref.Solid("box", (0.01, 0.3, 0.08), ref.at(-0.2, 0.0, 0.08))
    poses = ref.ring(CENTER, 3, radius=0.5, heights=(0.0, 0.0), arc=np.pi / 2, start=-np.pi / 6)
    return ref.capture([ref.FLOOR, BOX, back], poses)


def test_an_approach_through_space_that_no_camera_sees_loses_to_one_from_the_front(before_a_wall):
    readings = ViewReadings.near(*before_a_wall, CENTER)
    grasps = [from_above(0.0, 0.9), from_the_front(0.8)]
    np.testing.assert_array_equal(readings.support(grasps, GRIPPER), 1)
    above, front = readings.approach_seen(grasps, GRIPPER)
    assert above < 0.5 < 0.9 < front
    first, second = prefer_supported(grasps, np.ones(2), np.array([above, front]))
    assert first.approach_seen == front
    assert first.score > second.score > 0.45


def test_views_from_above_have_looked_through_an_approach_from_above(readings):
    assert ViewReadings.near(*readings, CENTER).approach_seen([from_above(0.0, 0.8)], GRIPPER)[0] > 0.9


def test_what_is_seen_is_what_rays_say(before_a_wall):
    views, depths = before_a_wall
    readings = ViewReadings.near(views, depths, CENTER)
    grasp = from_above(0.0, 0.9)
    swept = readings._swept_points(grasp, GRIPPER)
    seen = [any(ray_passes(view, depth, point) for view, depth in readings.measured) for point in swept]
    assert readings.approach_seen([grasp], GRIPPER)[0] == pytest.approx(np.mean(seen))


def ray_passes(view, depth, point) -> bool:
    """Whether what a view measured along the ray through a world point is not before it."""
    x, y, z = view.T_cam_world[:3, :3] @ point + view.T_cam_world[:3, 3]
    column = int(np.floor(view.camera.fx * x / z + view.camera.cx))
    row = int(np.floor(view.camera.fy * y / z + view.camera.cy))
    if z <= 0 or not (0 <= column < view.camera.width and 0 <= row < view.camera.height):
        return False
    return depth[row, column] > 0 and z < depth[row, column] + SupportConfig().seen_spacing


def test_nothing_is_known_of_the_approach_without_measured_depth():
    readings = ViewReadings.near([], [], CENTER)
    seen = readings.approach_seen([from_above(0.0, 0.8)], GRIPPER)
    (grasp,) = prefer_supported([from_above(0.0, 0.8)], np.ones(1), seen)
    assert grasp.approach_seen is None
    assert grasp.score == 0.8
    assert readings.approach_seen([], GRIPPER).shape == (0,)
