"""How a gripper moves to a grasp: what is shown is what was checked, and it touches nothing on its way."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import reference_grasps as ref
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.geometry import transform_points
from point2act.core.types import Grasp, HandJoints, JointPath
from point2act.grasping.antipodal.contact_pairs import PairConfig
from point2act.grasping.antipodal.plan import GraspConfig, plan_grasps
from point2act.grasping.antipodal.pose_sampling import PoseSamplingConfig
from point2act.grasping.end_effector import drawn_posture
from point2act.grasping.grippers import load_gripper
from point2act.grasping.hands.load import load_hand
from point2act.grasping.motion import Moment, drawn_share, motion
from point2act.grasping.tsdf import fuse_local

GRIPPERS = {name: load_gripper(name) for name in ("panda", "robotiq_2f85", "robotiq_2f140", "wsg50")}
UP = np.array([0.0, 0.0, 1.0])
DEFAULT = GraspConfig()


def ways(config: GraspConfig) -> dict[str, float]:
    """What was checked when a grasp was planned so."""
    return {
        "clearance": config.pairs.clearance,
        "approach": config.poses.approach,
        "lift": config.poses.lift,
    }


def grasp_at(T: np.ndarray, width: float) -> Grasp:
    return Grasp(T, width, 0.5, 0.5, 0.5, np.zeros((2, 3)), 0.01)


def turned(seed: int) -> np.ndarray:
    T = np.eye(4)
    rng = np.random.default_rng(seed)
    T[:3, :3] = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    T[:3, 3] = rng.normal(0, 0.5, 3)
    return T


def opening_of(moment: Moment) -> float:
    """The posture of a gripper, which has nothing else."""
    (opening,) = moment.posture.tolist()
    return opening


def parts(moments: tuple[Moment, ...], steps: int) -> tuple[tuple[Moment, ...], ...]:
    """The way in, the closing and the way up; the last moment of one is the first of the next."""
    assert len(moments) == 3 * steps - 2
    ends = (0, steps - 1, 2 * steps - 2, 3 * steps - 3)
    return tuple(moments[a : b + 1] for a, b in pairwise(ends))


def test_an_arm_is_where_its_path_has_it():
    path = JointPath(
        ("a", "b"), np.arange(10.0).reshape(5, 2), np.arange(8.0, 14.0).reshape(3, 2), 0.1, 0.1, 0.05
    )
    grasp = dataclasses.replace(grasp_at(np.eye(4), 0.02), joint_path=path)
    moments = motion(grasp, GRIPPERS["panda"], up=UP, **ways(DEFAULT), steps=5)
    comes, closes, rises = parts(moments, 5)
    np.testing.assert_array_equal([moment.arm for moment in comes], path.approach)
    for moment in closes[:-1]:
        np.testing.assert_array_equal(moment.arm, path.grasp)
    np.testing.assert_array_equal(rises[-1].arm, path.lift[-1])
    plain = motion(grasp_at(np.eye(4), 0.02), GRIPPERS["panda"], up=UP, **ways(DEFAULT))
    assert all(moment.arm is None for moment in plain)


@given(
    name=st.sampled_from(sorted(GRIPPERS)),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    steps=st.integers(2, 20),
    lengths=st.tuples(st.floats(0.0, 0.3), st.floats(0.0, 0.3)),
    clearance=st.floats(0.0, 0.02),
)
def test_it_starts_closes_and_ends_as_was_checked(name, share, seed, steps, lengths, clearance):
    config = GraspConfig(
        pairs=PairConfig(clearance=clearance), poses=PoseSamplingConfig(approach=lengths[0], lift=lengths[1])
    )
    gripper, T = GRIPPERS[name], turned(seed)
    width = share * gripper.max_width
    up = turned(seed + 1)[:3, 0]
    moments = motion(grasp_at(T, width), gripper, up=up, steps=steps, **ways(config))
    comes, closes, rises = parts(moments, steps)
    opened = min(gripper.max_width, width + 2 * clearance)
    start, end = T[:3, 3] - lengths[0] * T[:3, 2], T[:3, 3] + lengths[1] * up
    np.testing.assert_allclose(comes[0].T_world_gripper[:3, 3], start, atol=1e-12)
    np.testing.assert_allclose(rises[-1].T_world_gripper[:3, 3], end, atol=1e-12)
    for moment in closes:
        np.testing.assert_array_equal(moment.T_world_gripper, T)
    assert {opening_of(moment) for moment in comes} == {opened}
    assert {opening_of(moment) for moment in rises} == {width}
    for moment in moments:
        np.testing.assert_array_equal(moment.T_world_gripper[:3, :3], T[:3, :3])
        np.testing.assert_array_equal(moment.T_world_gripper[3], [0, 0, 0, 1])


def test_it_comes_open_as_was_checked():
    for checked, opening in ((0.05, 0.05), (0.2, GRIPPERS["panda"].max_width)):
        grasp = dataclasses.replace(grasp_at(np.eye(4), 0.03), approach_width=checked)
        moments = motion(grasp, GRIPPERS["panda"], up=UP, steps=4, **ways(DEFAULT))
        assert [opening_of(moment) for moment in moments[:4]] == [opening] * 4


@given(share=st.floats(0, 1), steps=st.integers(2, 20))
def test_the_fingers_only_ever_close(share, steps):
    gripper = GRIPPERS["panda"]
    moments = motion(
        grasp_at(np.eye(4), share * gripper.max_width), gripper, up=UP, steps=steps, **ways(DEFAULT)
    )
    openings = [opening_of(moment) for moment in moments]
    assert all(later <= earlier for earlier, later in pairwise(openings))
    assert 0 <= openings[-1] <= openings[0] <= gripper.max_width


def test_every_way_is_straight_and_even():
    """Along the approach and along up, in equal strides."""
    T = turned(3)
    comes, _, rises = parts(motion(grasp_at(T, 0.04), GRIPPERS["panda"], up=UP, steps=9, **ways(DEFAULT)), 9)
    for way, stride in ((comes, DEFAULT.poses.approach * T[:3, 2]), (rises, DEFAULT.poses.lift * UP)):
        places = np.array([moment.T_world_gripper[:3, 3] for moment in way])
        np.testing.assert_allclose(np.diff(places, axis=0), np.tile(stride / 8, (8, 1)), atol=1e-12)


def test_a_width_below_nothing_closes_entirely():
    """Contacts found by averaging may lie a hair inside each other."""
    moments = motion(grasp_at(np.eye(4), -1e-4), GRIPPERS["panda"], up=UP, **ways(DEFAULT))
    assert opening_of(moments[-1]) == 0.0


def test_neither_grasp_nor_moments_are_tied_together():
    T = turned(5)
    before = T.copy()
    for moment in motion(grasp_at(T, 0.03), GRIPPERS["panda"], up=UP, **ways(DEFAULT))[:3]:
        moment.T_world_gripper[:] = 0
    np.testing.assert_array_equal(T, before)


# ── hands ──────────────────────────────────────────────────────────────────────────────────────
HANDS = {name: load_hand(name) for name in ("allegro", "leap")}


def hand_grasp(name: str, seed: int) -> Grasp:
    """A grasp anywhere whose fingers are anywhere within their limits."""
    joints, rng = HANDS[name].joints, np.random.default_rng(seed)
    pregrasp, touching, squeeze = rng.uniform(joints.low, joints.high, (3, len(joints)))
    found = HandJoints(joints.names, pregrasp, touching, squeeze, np.zeros((0, 3)), ())
    return dataclasses.replace(grasp_at(turned(seed), 0.04), joints=found)


@given(name=st.sampled_from(sorted(HANDS)), seed=st.integers(0, 99), steps=st.integers(2, 12))
def test_a_hand_comes_open_closes_evenly_and_lifts_closed(name, seed, steps):
    grasp, T = hand_grasp(name, seed), turned(seed)
    assert grasp.joints is not None
    opened, closed = grasp.joints.pregrasp, grasp.joints.grasp
    moments = motion(grasp, HANDS[name], up=UP, steps=steps, **ways(DEFAULT))
    comes, closes, rises = parts(moments, steps)
    for moment in comes:
        np.testing.assert_array_equal(moment.posture, opened)
    for number, moment in enumerate(closes):
        share = number / (steps - 1)
        np.testing.assert_allclose(moment.posture, (1 - share) * opened + share * closed, atol=1e-12)
        np.testing.assert_array_equal(moment.T_world_gripper, T)
    np.testing.assert_array_equal(closes[-1].posture, closed)
    for moment in rises:
        np.testing.assert_array_equal(moment.posture, closed)
    start, end = T[:3, 3] - DEFAULT.poses.approach * T[:3, 2], T[:3, 3] + DEFAULT.poses.lift * UP
    np.testing.assert_allclose(comes[0].T_world_gripper[:3, 3], start, atol=1e-12)
    np.testing.assert_allclose(rises[-1].T_world_gripper[:3, 3], end, atol=1e-12)
    assert [moment.holding for moment in moments] == [False] * (2 * steps - 1) + [True] * (steps - 1)


@pytest.mark.parametrize("end_effector", [GRIPPERS["panda"], HANDS["leap"]], ids=lambda one: one.name)
def test_what_is_drawn_of_a_grasp_is_a_moment_of_its_motion(end_effector):
    grasp = dataclasses.replace(hand_grasp("leap", 1), approach_width=0.06)
    moments = motion(grasp, end_effector, up=UP, **ways(DEFAULT))
    shown = moments[round(drawn_share(end_effector) * (len(moments) - 1))]
    np.testing.assert_array_equal(shown.T_world_gripper, grasp.T_world_gripper)
    np.testing.assert_array_equal(shown.posture, drawn_posture(grasp, end_effector))


def test_a_grasp_without_joints_leaves_the_hand_as_it_is():
    """A planner of one's own may give none."""
    hand = HANDS["allegro"]
    for moment in motion(grasp_at(np.eye(4), 0.02), hand, up=UP, **ways(DEFAULT)):
        np.testing.assert_array_equal(moment.posture, hand.joints.pregrasp)


# ── on a table ─────────────────────────────────────────────────────────────────────────────────
BOX = ref.Solid("box", (0.02, 0.03, 0.04), ref.at(0.1, 0.05, 0.04, yaw=0.3))
ABOVE = (0.1, 0.05, 0.075)


@pytest.mark.parametrize("name", ["panda", "robotiq_2f85"])
def test_a_planned_motion_touches_nothing_but_what_it_holds(name):
    gripper, config = GRIPPERS[name], dataclasses.replace(DEFAULT, pairs=PairConfig(max_pairs=30))
    volume = fuse_local(*ref.capture([ref.FLOOR, BOX], ref.ring(ABOVE, 10)), np.array(ABOVE))
    rng = np.random.default_rng(0)
    grasps, why = plan_grasps(volume, ref.region_at(ABOVE), gripper, config=config, rng=rng)
    assert why is None
    for grasp in grasps[:2]:
        moments = motion(grasp, gripper, up=volume.up, steps=6, **ways(config))
        for number, moment in enumerate(moments):
            boxes = gripper.boxes_at(opening_of(moment))
            filled = np.concatenate([ref.filled(*box) for box in boxes])
            world = transform_points(moment.T_world_gripper, filled)
            assert ref.FLOOR.distance(world).min() > 0
            if number < 6:
                assert BOX.distance(world).min() > 0
            elif number < 11:
                # Pads that meet a face askew: a gripper would turn the box, or stop at their edge.
                assert BOX.distance(world).min() > -5e-3
