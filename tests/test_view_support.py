"""Grasps that single views contradict score less."""

from __future__ import annotations

import numpy as np
import pytest
import reference_grasps as ref

from point2act.core.types import Grasp
from point2act.grasping.grippers import load_gripper
from point2act.grasping.view_support import SupportConfig, prefer_supported

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


@pytest.fixture(scope="module")
def readings():
    return ref.capture([ref.FLOOR, BOX], ref.ring(CENTER, 4))


def test_what_no_view_contradicts_keeps_its_score(readings):
    (grasp,) = prefer_supported([from_above(0.0, 0.8)], *readings, CENTER, GRIPPER)
    assert grasp.score == 0.8


def test_a_finger_in_the_box_loses_to_one_beside_it(readings):
    good, bad = from_above(0.0, 0.3), from_above(0.03, 0.9)
    first, second = prefer_supported([bad, good], *readings, CENTER, GRIPPER)
    assert first.score == 0.3
    assert second.score < 0.3


def test_one_of_four_views_takes_a_quarter(readings):
    views, depths = readings
    shifted = ref.Solid("box", (0.02, 0.03, 0.06), ref.at(0.035, 0.0, 0.06))
    _, others = ref.capture([ref.FLOOR, shifted], ref.ring(CENTER, 4))
    (grasp,) = prefer_supported([from_above(0.0, 0.8)], views, [*depths[:3], others[3]], CENTER, GRIPPER)
    assert grasp.score == pytest.approx(0.6)


def test_a_few_stray_readings_do_not_count(readings):
    views, depths = readings
    pixels = np.argwhere(depths[0] > 0)
    stray = depths[0].copy()
    row, column = pixels[len(pixels) // 2]
    stray[row, column] = 0.4
    (grasp,) = prefer_supported([from_above(0.0, 0.8)], views, [stray, *depths[1:]], CENTER, GRIPPER)
    assert grasp.score == 0.8


def test_without_a_planned_opening_the_gripper_is_fully_open(readings):
    wall = ref.Solid("box", (0.004, 0.1, 0.065), ref.at(0.056, 0.0, 0.065))
    views, depths = ref.capture([ref.FLOOR, BOX, wall], ref.ring(CENTER, 4, heights=(0.45,) * 2))
    planned, fully = (from_above(0.0, 0.8, width) for width in (0.048, None))
    (free,) = prefer_supported([planned], views, depths, CENTER, GRIPPER)
    (blocked,) = prefer_supported([fully], views, depths, CENTER, GRIPPER)
    assert free.score == 0.8 > blocked.score


def test_views_that_see_nothing_there_have_no_say(readings):
    views, depths = readings
    blind = [np.zeros_like(depth) for depth in depths]
    (grasp,) = prefer_supported([from_above(0.03, 0.8)], views, blind, CENTER, GRIPPER)
    assert grasp.score == 0.8
    assert prefer_supported([], views, depths, CENTER, GRIPPER, config=SupportConfig()) == ()
