"""Force closure against a slow linear program, known answers, and forces that balance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from point2act.core.geometry import transform_points
from point2act.grasping.hands.closure import (
    ClosureConfig,
    closure_margin,
    contact_wrenches,
    holding_forces,
    moving_joints,
    payload,
    squeeze_positions,
)
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand

CONFIG = ClosureConfig()
ORIGIN = np.zeros(3)


def closes(points: np.ndarray, normals: np.ndarray, config: ClosureConfig = CONFIG) -> bool:
    """Whether positive multiples of all wrenches sum to zero and the wrenches span all directions."""
    wrenches = contact_wrenches(points, normals, ORIGIN, config=config).reshape(-1, 6)
    if np.linalg.matrix_rank(wrenches, tol=1e-9) < 6:
        return False
    count = len(wrenches)
    # Maximise t with W' l = 0, sum l = 1, l >= t.
    equal = np.concatenate([np.concatenate([wrenches.T, np.ones((1, count))]), np.zeros((7, 1))], axis=1)
    least = np.concatenate([-np.eye(count), np.ones((count, 1))], axis=1)
    found = linprog(
        np.r_[np.zeros(count), -1.0],
        A_ub=least,
        b_ub=np.zeros(count),
        A_eq=equal,
        b_eq=np.r_[np.zeros(6), 1.0],
        bounds=[(None, None)] * (count + 1),
    )
    return bool(found.status == 0 and -found.fun > 1e-9)


def resisted(points: np.ndarray, normals: np.ndarray, direction: np.ndarray) -> float:
    """The largest multiple of a wrench that normal forces with the sum 1 resist, by a linear program."""
    wrenches = contact_wrenches(points, normals, ORIGIN, config=CONFIG).reshape(-1, 6)
    count = len(wrenches)
    equal = np.concatenate([wrenches.T, direction[:, None]], axis=1)
    found = linprog(
        np.r_[np.zeros(count), -1.0],
        A_ub=np.r_[np.ones(count), 0.0][None],
        b_ub=[1.0],
        A_eq=equal,
        b_eq=np.zeros(6),
        bounds=[(0, None)] * (count + 1),
    )
    return float(-found.fun)


def random_contacts(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return 0.04 * normals + 0.01 * rng.standard_normal((count, 3)), normals


@given(st.integers(0, 2**31 - 1), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_margin_is_positive_exactly_where_the_linear_program_finds_closure(seed, count):
    points, normals = random_contacts(seed, count)
    margin = closure_margin(points, normals, ORIGIN)
    assume(margin == 0 or margin > 1e-6)
    assert (margin > 0) == closes(points, normals)


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=15, deadline=None)
def test_margin_is_the_wrench_that_is_resisted_in_the_worst_direction(seed):
    points, normals = random_contacts(seed, 4)
    margin = closure_margin(points, normals, ORIGIN)
    assume(margin > 1e-3)
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((20, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert min(resisted(points, normals, one) for one in directions) >= margin - 1e-7


def test_sphere_held_by_opposite_contacts_closes_and_by_one_side_does_not():
    normals = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    assert closure_margin(0.03 * normals, normals, ORIGIN) > 0
    one_side = np.array([[1.0, 0.1, 0], [1.0, -0.1, 0], [1.0, 0, 0.1]])
    one_side /= np.linalg.norm(one_side, axis=1, keepdims=True)
    assert closure_margin(0.03 * one_side, one_side, ORIGIN) == 0


@pytest.mark.parametrize(("slant", "holds"), [(0.3, True), (0.6, False)])
def test_a_wedge_is_held_within_the_friction_cone(slant, holds):
    normals = np.array([[np.cos(slant), 0, np.sin(slant)], [-np.cos(slant), 0, np.sin(slant)]])
    points = np.array([[0.03, 0, 0], [-0.03, 0, 0]])
    # Eight edges touch the plane of the wedge.
    assert (closure_margin(points, normals, ORIGIN, config=ClosureConfig(edges=8)) > 0) == holds


def test_more_contacts_hold_a_box_better():
    normals = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    points = 0.03 * normals
    assert closure_margin(points, normals, ORIGIN) > closure_margin(points[:2], normals[:2], ORIGIN)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_contacts_do_not_close(count):
    points, normals = random_contacts(0, count)
    assert closure_margin(points, normals, ORIGIN) == 0


def test_coinciding_contacts_do_not_close():
    normals = np.repeat([[0.0, 0, 1.0]], 3, axis=0)
    assert closure_margin(np.zeros((3, 3)), normals, ORIGIN) == 0


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None)
def test_holding_forces_balance_and_lie_in_the_cones(seed):
    points, normals = random_contacts(seed, 4)
    assume(closure_margin(points, normals, ORIGIN) > 0.02)
    forces = holding_forces(points, normals, ORIGIN)
    pressing = -(forces * normals).sum(axis=1)
    assert pressing.sum() == pytest.approx(1.0, abs=1e-6)
    assert np.linalg.norm(forces.sum(axis=0)) < 0.05
    sideways = np.linalg.norm(forces + pressing[:, None] * normals, axis=1)
    assert (sideways <= CONFIG.friction * pressing + 1e-9).all()


def test_squeeze_presses_against_the_object():
    hand = load_hand("allegro")
    positions = hand.joints.pregrasp
    places, normals = hand.contact_places(positions)
    last = np.array([np.flatnonzero(hand.contacts.link == link)[0] for link in (4, 16)])
    forces = 5.0 * normals[last]
    squeezed = squeeze_positions(hand, positions, last, forces)
    moved = hand.contact_places(squeezed)[0][last] - places[last]
    assert ((moved * normals[last]).sum(axis=1) > 0.002).all()
    assert (np.abs(squeezed - positions) * hand.stiffness <= hand.max_torque + 1e-9).all()
    ring = hand.fingers[hand.joints.link] == 2
    np.testing.assert_array_equal(squeezed[ring], positions[ring])


def test_squeeze_torques_do_the_work_of_the_forces():
    hand = load_hand("leap")
    positions = hand.joints.pregrasp
    contact = np.flatnonzero(hand.fingers[hand.contacts.link] == 1)[-1:]
    force = np.array([[0.1, -0.2, 0.3]])
    torque = hand.stiffness * (squeeze_positions(hand, positions, contact, force) - positions)
    for joint in range(16):
        step = np.zeros(16)
        step[joint] = 1e-6
        ahead, behind = (hand.contact_places(positions + s * step)[0][contact] for s in (1, -1))
        work = float(((ahead - behind) / 2e-6 * force).sum())
        assert torque[joint] == pytest.approx(work, abs=1e-6)


# ── payload ────────────────────────────────────────────────────────────────────────────────────
def pinch(hand: Hand) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contacts of two fingers and of the thumb around something three-sided."""
    touching = np.array([np.flatnonzero(hand.fingers[hand.contacts.link] == one)[-1] for one in (0, 2, 3)])
    points = np.array([[0.02, 0.015, 0.10], [0.02, -0.015, 0.10], [-0.02, 0.0, 0.10]])
    normals = np.array([[0.6, 0.8, 0.0], [0.6, -0.8, 0.0], [-1.0, 0.0, 0.0]])
    return touching, points, normals


def holds(hand: Hand, weight: np.ndarray, center: np.ndarray) -> bool:
    """Whether forces in the friction pyramids balance a weight; torques by finite differences."""
    touching, points, normals = pinch(hand)
    wrenches = contact_wrenches(points, normals, center, config=CONFIG)
    rows = []
    for joint in range(len(hand.joints)):
        step = np.zeros(len(hand.joints))
        step[joint] = 1e-6
        poses = [hand.link_poses(hand.joints.pregrasp + sign * step) for sign in (1, -1, 0)]
        links = hand.contacts.link[touching]
        local = [
            np.linalg.inv(poses[2][link]) @ np.append(p, 1) for link, p in zip(links, points, strict=True)
        ]
        ahead, behind = (
            np.array([(pose[link] @ p)[:3] for link, p in zip(links, local, strict=True)])
            for pose in poses[:2]
        )
        rows.append(np.einsum("ni,nei->ne", (ahead - behind) / 2e-6, wrenches[..., :3]).ravel())
    found = linprog(
        np.zeros(wrenches.shape[0] * wrenches.shape[1]),
        A_ub=np.concatenate([rows, np.negative(rows)]),
        b_ub=np.full(2 * len(rows), hand.max_torque),
        A_eq=wrenches.reshape(-1, 6).T,
        b_eq=-np.append(weight, np.zeros(3)),
    )
    return found.status == 0


@pytest.mark.parametrize("name", ["allegro", "leap"])
@pytest.mark.parametrize("off", [0.0, 0.01])
def test_the_payload_is_the_largest_weight_that_is_held_in_every_direction(name: str, off: float):
    hand = load_hand(name)
    touching, points, normals = pinch(hand)
    center = np.array([0.0, off, 0.10])
    found = payload(hand, np.eye(4), hand.joints.pregrasp, touching, points, normals, center)
    assert 0.1 < found < 100
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    assert all(holds(hand, 0.99 * found * way, center) for way in directions)
    assert not all(holds(hand, 1.01 * found * way, center) for way in directions)
    weak = replace(hand, max_torque=hand.max_torque / 2)
    half = payload(weak, np.eye(4), hand.joints.pregrasp, touching, points, normals, center)
    assert half == pytest.approx(found / 2, rel=1e-6)


def test_the_payload_does_not_change_when_all_is_turned_a_quarter():
    hand = load_hand("allegro")
    touching, points, normals = pinch(hand)
    center, positions = np.array([0.0, 0.0, 0.10]), hand.joints.pregrasp
    T = np.array([[0.0, -1.0, 0.0, 0.2], [1.0, 0.0, 0.0, -0.1], [0.0, 0.0, 1.0, 0.3], [0.0, 0.0, 0.0, 1.0]])
    here = payload(hand, np.eye(4), positions, touching, points, normals, center)
    turned, there = normals @ T[:3, :3].T, transform_points(T, np.vstack([points, center]))
    moved = payload(hand, T, positions, touching, there[:-1], turned, there[-1])
    assert moved == pytest.approx(here, rel=1e-6)


def test_contacts_on_one_side_hold_nothing():
    hand = load_hand("allegro")
    touching, points, normals = pinch(hand)
    above = np.broadcast_to([0.0, 0.0, 1.0], normals.shape)
    assert payload(hand, np.eye(4), hand.joints.pregrasp, touching, points, above, points.mean(axis=0)) == 0


def test_joints_of_a_finger_move_its_tip_and_no_other():
    hand = load_hand("allegro")
    moved = moving_joints(hand)
    assert not moved[0].any()
    assert moved[4].sum() == 4
    assert not (moved[4] & moved[16]).any()
