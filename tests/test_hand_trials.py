"""A free-flying hand in physics: what it lifts, and how trials fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analytic_volumes import FLOOR, cylinder, region_at, volume_of
from quick_hands import QUICK

from point2act.core.errors import SimulationError
from point2act.core.types import Grasp, Query
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.plan import plan_hand_grasps

pytest.importorskip("mujoco")
from point2act.physics.hand_model import add_hand
from point2act.physics.hand_trial import HandTrialConfig, try_hand_grasp
from point2act.physics.layout import Jitter, Part, QueryTarget, SceneLayout, SceneObject, Shape, Table
from point2act.physics.scene import Scene, settled
from point2act.physics.soft_label import soft_label
from point2act.simulation.record import grasp_from_json

QUIET = HandTrialConfig(pictures=False, gravity_seconds=0.2)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return load_hand("allegro")


@pytest.fixture(scope="module")
def scene() -> Scene:
    can = Shape("cylinder", np.array([0.03, 0.03, 0.06]), np.array([0.0, 0.0, 0.06]), np.eye(3))
    part = Part("body", (0.8, 0.2, 0.2), "speckled", 0.2, 1.0, (can,))
    thing = SceneObject("can", 0.15, 0.8, (0.0, 0.0), 0.0, (part,))
    target = QueryTarget(Query("can", "the can"), "can", "body")
    return settled(SceneLayout("one can", "", Table(), Jitter(), (thing,), (target,)), 0)


@pytest.fixture(scope="module")
def grasp(hand: Hand) -> Grasp:
    """A grasp of the same can, planned on its exact surface."""
    volume = volume_of(cylinder(0.03, 0.06, (0, 0, FLOOR + 0.06)))
    raised = np.eye(4)
    raised[2, 3] = Table().height - FLOOR
    region = region_at((0.0, 0.0, Table().height + 0.11), (0.04, 0.04, 0.03))
    table = np.array([0.0, 0.0, 1.0, -Table().height])
    found, failure = plan_hand_grasps(
        replace(volume, T_world_volume=raised, table=table), region, hand, config=replace(QUICK, max_grasps=3)
    )
    assert failure is None
    return found[0]


def moved(grasp: Grasp, *shift: float) -> Grasp:
    T = grasp.T_world_gripper.copy()
    T[:3, 3] += shift
    return replace(grasp, T_world_gripper=T)


def test_a_planned_grasp_lifts_and_holds_the_can(scene, grasp, hand):
    trial = try_hand_grasp(scene, "can", grasp, hand, QUIET)
    assert trial.lifted
    assert trial.by_part
    assert trial.parts[0] == ("can", "body")
    assert trial.success == (trial.shaken and trial.held_directions == 6)


def test_the_same_trial_ends_the_same(scene, grasp, hand):
    one, other = (try_hand_grasp(scene, "can", grasp, hand, QUIET) for _ in range(2))
    assert vars(one) == vars(other)


def test_beside_the_can_nothing_is_lifted(scene, grasp, hand):
    trial = try_hand_grasp(scene, "can", moved(grasp, 0.0, 0.0, 0.3), hand, QUIET)
    assert (trial.outcome, trial.lifted, trial.by_part) == ("missed", False, False)


def test_a_hand_driven_into_the_table_collides(scene, grasp, hand):
    trial = try_hand_grasp(scene, "can", moved(grasp, 0.0, 0.0, -0.1), hand, QUIET)
    assert trial.outcome == "collision"
    assert not trial.lifted


def test_a_light_squeeze_of_a_slippery_can_slips(scene, grasp, hand):
    assert grasp.joints is not None
    loose = replace(grasp, joints=replace(grasp.joints, squeeze=grasp.joints.grasp))
    heavy = replace(scene.layout.things[0], mass=3.0, friction=0.05)
    slippery = settled(replace(scene.layout, things=(heavy,)), 0)
    trial = try_hand_grasp(slippery, "can", loose, hand, QUIET)
    assert not trial.lifted
    assert trial.outcome in ("slip", "missed")


def test_pictures_show_every_moment(scene, grasp, hand):
    trial = try_hand_grasp(scene, "can", grasp, hand)
    assert trial.moments == ("before", "at the grasp", "squeezed", "lifted", "shaken")
    assert len({picture.tobytes() for picture in trial.pictures}) == 5


def test_noisy_copies_give_shares(scene, grasp, hand):
    label = soft_label(scene, "can", grasp, hand, copies=2, rng=np.random.default_rng(0), config=QUIET)
    assert 0 <= label.shaken <= label.lifted <= label.free <= 1
    far = moved(grasp, 0.0, 0.0, 0.3)
    none = soft_label(scene, "can", far, hand, copies=1, rng=np.random.default_rng(0), config=QUIET)
    assert (none.free, none.lifted, none.shaken) == (1, 0, 0)


def test_unknown_queries_and_grippers_grasps_are_refused(scene, grasp, hand):
    with pytest.raises(SimulationError, match="has no query 'cup'"):
        try_hand_grasp(scene, "cup", grasp, hand)
    with pytest.raises(SimulationError, match="--hand"):
        try_hand_grasp(scene, "can", replace(grasp, joints=None), hand)


@pytest.mark.parametrize("name", ["allegro", "leap"])
def test_the_model_has_the_limits_and_torques_of_the_file(scene, name):
    hand = load_hand(name)
    model = add_hand(scene, hand).model
    for index, joint in enumerate(hand.joints.names):
        low, high = model.joint(f"gripper/{joint}").range
        assert (low, high) == pytest.approx((hand.joints.low[index], hand.joints.high[index]), abs=1e-6)
        assert model.actuator(f"gripper/{joint}").forcerange[1] == pytest.approx(hand.max_torque)


def test_joints_are_read_from_grasps_json(grasp):
    assert grasp.joints is not None
    entry = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(grasp).items()
        if name != "joints"
    }
    joints = {
        name: value.tolist() if isinstance(value, np.ndarray) else list(value)
        for name, value in vars(grasp.joints).items()
    }
    read = grasp_from_json(json.loads(json.dumps({**entry, "joints": joints})))
    assert read.joints is not None
    assert read.joints.names == grasp.joints.names
    np.testing.assert_array_equal(read.joints.squeeze, grasp.joints.squeeze)
    assert grasp_from_json(entry).joints is None


def test_this_folder_has_no_capture(tmp_path: Path, hand):
    from point2act.simulation.record import try_hand_grasps_file

    with pytest.raises(SimulationError):
        try_hand_grasps_file(tmp_path, tmp_path / "grasps.json", hand)
