"""Gripper files: the shipped ones are right, wrong ones are refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from point2act import config_files
from point2act.errors import GripperError
from point2act.grasps.collision import body_boxes, finger_boxes, hand_boxes
from point2act.grasps.gripper import load_gripper

GOOD = """
name = "test"
max_width = 0.08
pad_size = [0.02, 0.02]
max_force = 40
source = "made up"
[[finger]]
center = [0.0, 0.005, -0.01]
half_extents = [0.01, 0.005, 0.02]
[[body]]
center = [0.0, 0.0, -0.06]
half_extents = [0.03, 0.1, 0.03]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hand.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", config_files.available("grippers"))
def test_shipped_grippers_load_and_say_where_their_numbers_come_from(name):
    gripper = load_gripper(name)
    assert gripper.name == name
    assert len(gripper.source) > 20


@pytest.mark.parametrize("name", config_files.available("grippers"))
def test_pad_is_part_of_the_finger(name):
    gripper = load_gripper(name)
    width, length = gripper.pad_size
    # A box whose inner face is the pad's plane covers the pad.
    assert any(
        abs(box.center[1] - box.half_extents[1]) < 1e-4
        and box.half_extents[0] >= width / 2 - 1e-4
        and abs(box.center[2]) + length / 2 <= box.half_extents[2] + 1e-3
        for box in gripper.finger
    )


@pytest.mark.parametrize("name", config_files.available("grippers"))
def test_fingers_never_overlap_each_other(name):
    gripper = load_gripper(name)
    boxes = finger_boxes(gripper, 0.0)
    inner = boxes.center[:, 1] - boxes.half[:, 1]
    outer = boxes.center[:, 1] + boxes.half[:, 1]
    assert (inner[boxes.center[:, 1] > 0] >= -1e-9).all()
    assert (outer[boxes.center[:, 1] < 0] <= 1e-9).all()


def test_panda_has_the_datasheet_s_measures():
    gripper = load_gripper("panda")
    assert gripper.max_width == pytest.approx(0.080)
    assert gripper.max_force == pytest.approx(70)
    body = body_boxes(gripper)
    size = (body.center + body.half).max(0) - (body.center - body.half).min(0)
    # Hand 204 x 63 mm; the mounting face lies 103.4 mm behind the tool centre point.
    assert size[:2] == pytest.approx([0.063, 0.204], abs=0.005)
    assert (body.center + body.half)[:, 2].max() == pytest.approx(0.066 - 0.1034, abs=0.001)


def test_robotiq_has_the_manual_s_measures():
    gripper = load_gripper("robotiq_2f85")
    assert gripper.max_width == pytest.approx(0.085)
    assert gripper.pad_size == pytest.approx((0.022, 0.0375))
    hand = hand_boxes(gripper, gripper.max_width)
    size = (hand.center + hand.half).max(0) - (hand.center - hand.half).min(0)
    # Open, the gripper with its coupling is 150 mm wide and about 165 mm long.
    assert size == pytest.approx([0.075, 0.150, 0.165], abs=0.01)


def test_opening_moves_the_fingers_by_half_each():
    gripper = load_gripper("panda")
    closed, opened = finger_boxes(gripper, 0.0), finger_boxes(gripper, 0.05)
    shift = opened.center - closed.center
    assert np.allclose(shift, np.sign(closed.center[:, 1:2]) * [0, 0.025, 0])
    assert np.allclose(opened.half, closed.half)


def test_sweeping_lengthens_backwards_only():
    gripper = load_gripper("panda")
    still, swept = hand_boxes(gripper, 0.05), hand_boxes(gripper, 0.05, approach=0.1)
    assert np.allclose(swept.center + swept.half, still.center + still.half)
    assert np.allclose(swept.center - swept.half, still.center - still.half - [0, 0, 0.1])


def test_a_path_works_like_a_name(tmp_path):
    gripper = load_gripper(write(tmp_path, GOOD))
    assert gripper.name == "test"
    assert gripper.max_force == 40.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('name = "test"', ""), "'name'"),
        (("max_width = 0.08", "max_width = -1"), "'max_width'"),
        (("max_width = 0.08", "max_width = true"), "'max_width'"),
        (("max_width = 0.08", "max_width = inf"), "'max_width'"),
        (("pad_size = [0.02, 0.02]", "pad_size = [0.02]"), "'pad_size'"),
        (("pad_size = [0.02, 0.02]", "pad_size = [0.02, 0]"), "'pad_size'"),
        (("max_force = 40", 'max_force = "40"'), "'max_force'"),
        (("max_force = 40", "max_force = 40\nmax_witdh = 3"), "max_witdh"),
        (("half_extents = [0.01, 0.005, 0.02]", "half_extents = [0.01, 0, 0.02]"), "half_extents"),
        (("half_extents = [0.01, 0.005, 0.02]", "size = 3"), "center and half_extents"),
        (("[[body]]", "[[palm]]"), "palm"),
        (("center = [0.0, 0.005, -0.01]", "center = [0.0, 0.02, -0.01]"), "y = 15.0 mm"),
        (("center = [0.0, 0.0, -0.06]", "center = [0.0, 0.0, 0.06]"), "past the fingertips"),
        (("[[body]]", "[body"), "cannot be read as TOML"),
    ],
)
def test_wrong_files_are_refused_by_name_and_key(tmp_path, change, says):
    assert change[0] in GOOD
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(GripperError) as error:
        load_gripper(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(GripperError, match="panda"):
        load_gripper("three_fingers")
