"""Closing pads on a surface: what they touch first and hold, and whether that survives being a little off."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference_grasps as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.grasping.antipodal.contact import (
    ContactConfig,
    ContactPatch,
    NearSurface,
    Perturbations,
    RobustnessConfig,
    close_pads,
    draw_perturbations,
    required_friction,
    robustness,
)

CONFIG = ContactConfig()
PAD = (0.018, 0.02)
HALF_TURN = np.diag([-1.0, -1.0, 1.0])
SQUARE = np.eye(3)[None]
BAR = ref.Solid("box", (0.05, 0.01, 0.03), np.eye(4))
"""10 cm along x, 2 cm thick along y, the closing axis."""


def all_seen(points, normals) -> NearSurface:
    return NearSurface(points, normals, np.ones(len(points), bool))


def near_of(solid: ref.Solid, spacing: float = 0.002) -> NearSurface:
    surface = ref.shell(solid, spacing)
    return NearSurface(surface.points, surface.normals, surface.seen)


def close(near, rotations=SQUARE, origins=np.zeros((1, 3)), width=0.02) -> tuple[ContactPatch, ContactPatch]:
    return close_pads(near, rotations, origins, PAD, width=width, opening=width + 0.012, config=CONFIG)


def wedge(angle: float) -> NearSurface:
    """Two sides that come nearer to each other along +z, each leaning by the angle."""
    grid = np.linspace(-0.02, 0.02, 27)
    x, z = (values.ravel() for values in np.meshgrid(grid, grid))
    c, s = np.cos(angle), np.sin(angle)
    points = [np.stack([x, side * (0.01 - z * np.tan(angle)), z], axis=1) for side in (-1, 1)]
    normals = [np.tile([0.0, side * c, s], (len(x), 1)) for side in (-1, 1)]
    return all_seen(np.concatenate(points), np.concatenate(normals))


# ── patches ────────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 120))
def test_patches_match_the_twin(seed, count):
    rng = np.random.default_rng(seed)
    points, normals = rng.uniform(-0.02, 0.02, (count, 3)), rng.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    rotations = Rotation.random(4, random_state=np.random.RandomState(seed)).as_matrix()
    origins, width = rng.uniform(-0.01, 0.01, (4, 3)), rng.uniform(0, 0.03)
    patches = close(all_seen(points, normals), rotations, origins, width)
    for i in range(4):
        twins = ref.closed_pads(points, normals, rotations[i], origins[i], PAD, width, width + 0.012, CONFIG)
        for patch, twin in zip(patches, twins, strict=True):
            for name, expected in twin.items():
                assert getattr(patch, name)[i] == pytest.approx(expected, abs=1e-9), name


def test_patches_report_how_much_of_them_was_seen():
    near = near_of(BAR, 0.001)
    left_only = NearSurface(near.points, near.normals, near.points[:, 1] < 0)
    first, second = close(left_only)
    assert (first.seen[0], second.seen[0]) == pytest.approx((1.0, 0.0))
    half = NearSurface(near.points, near.normals, near.points[:, 0] < 0)
    assert close(half)[0].seen[0] == pytest.approx(0.5, abs=0.1)


def test_pads_on_a_bar_hold_all_that_is_under_them():
    near = near_of(BAR, 0.001)
    for side, patch in zip((-1, 1), close(near), strict=True):
        assert patch.touched.all()
        assert patch.center[0] == pytest.approx([0, side * 0.01, 0], abs=1e-3)
        assert patch.normal[0] == pytest.approx([0, side, 0])
        assert patch.alignment[0] == pytest.approx(1)
        assert (patch.breadth[0], patch.length[0]) == pytest.approx(PAD, abs=2.1e-3)
        assert patch.count[0] * 0.001**2 == pytest.approx(PAD[0] * PAD[1], rel=0.25)


def test_a_pad_stops_at_the_foremost_surface():
    near = near_of(BAR)
    knob = all_seen(
        np.concatenate([near.points, [[0.004, 0.013, -0.005]]]), np.concatenate([near.normals, [[0, 1.0, 0]]])
    )
    first, second = close(knob)
    assert second.count[0] == 1
    assert second.center[0] == pytest.approx([0.004, 0.013, -0.005])
    assert first.center[0] == pytest.approx(close(near)[0].center[0])


@pytest.mark.parametrize(
    ("point", "normal"),
    [
        ((0.0, 0.0, 0.011), (0, 1, 0)),  # past the pads' edge
        ((0.0, 0.017, 0.0), (0, 1, 0)),  # outside the open pads
        ((0.0, -0.002, 0.0), (0, 1, 0)),  # deeper than they follow
        ((0.0, 0.012, 0.0), (1, 0, 0)),  # along the pad's face
        ((0.0, 0.012, 0.0), (0, -1, 0)),  # the far wall of something hollow
    ],
)
def test_what_a_pad_does_not_meet(point, normal):
    first, second = close(all_seen(np.array([point], float), np.array([normal], float)))
    assert not second.touched[0]
    assert (second.count[0], second.length[0], second.breadth[0]) == (0, 0, 0)
    assert not second.center.any()
    assert np.isinf(required_friction(first, second)[0])


def test_nothing_near_is_nothing_touched():
    nothing = all_seen(np.zeros((0, 3)), np.zeros((0, 3)))
    assert not any(patch.touched.any() for patch in close(nothing))
    assert np.isinf(required_friction(*close(nothing))).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_half_a_turn_swaps_the_pads(seed):
    rng = np.random.default_rng(seed)
    near = near_of(dataclasses.replace(BAR, size=(0.006, 0.01, 0.007)))
    rotation = Rotation.from_rotvec(rng.normal(0, 0.1, 3)).as_matrix()[None]
    origin = rng.normal(0, 0.003, (1, 3))
    here, there = close(near, rotation, origin), close(near, rotation @ HALF_TURN, origin)
    for patch, other in ((here[0], there[1]), (here[1], there[0])):
        assert other.center == pytest.approx(patch.center @ HALF_TURN, abs=1e-12)
        assert other.normal == pytest.approx(patch.normal @ HALF_TURN, abs=1e-12)
        for name in ("touched", "count", "length", "breadth"):
            assert getattr(other, name) == pytest.approx(getattr(patch, name))
    assert required_friction(*here) == pytest.approx(required_friction(*there))


@pytest.mark.parametrize("seed", [1, 2])
def test_patches_do_not_depend_on_the_frame(seed):
    near, turn = near_of(BAR), Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    rotation, origin = Rotation.from_rotvec([0.05, 0.1, -0.03]).as_matrix()[None], np.array([[1e-3, 0, 2e-3]])
    turned = all_seen(near.points @ turn.T, near.normals @ turn.T)
    for patch, other in zip(
        close(near, rotation, origin), close(turned, turn @ rotation, origin @ turn.T), strict=True
    ):
        assert other.center == pytest.approx(patch.center, abs=1e-9)
        assert other.normal == pytest.approx(patch.normal, abs=1e-9)


# ── friction ───────────────────────────────────────────────────────────────────────────────────
def test_parallel_faces_need_no_friction():
    assert required_friction(*close(near_of(BAR)))[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("degrees", [3, 10, 25])
def test_a_wedge_needs_the_tangent_of_its_angle(degrees):
    angle = np.radians(degrees)
    first, second = close(wedge(angle))
    assert first.alignment[0] == pytest.approx(np.cos(angle))
    assert required_friction(first, second)[0] == pytest.approx(np.tan(angle), rel=1e-3)


def test_a_turned_gripper_needs_friction_and_a_square_one_the_least():
    near = near_of(BAR)
    turns = Rotation.from_rotvec(np.outer([0, 0.1, 0.2, 0.3], [0, 0, 1])).as_matrix()
    needed = required_friction(*close(near, turns, np.zeros((4, 3))))
    assert (np.diff(needed) > 0).all()


# ── robustness ─────────────────────────────────────────────────────────────────────────────────
def share_held(near: NearSurface, origin=(0.0, 0.0, 0.0), friction=0.5, seed=0, **errors) -> float:
    config = RobustnessConfig(draws=200, **errors)
    draws = draw_perturbations(friction, config, np.random.default_rng(seed))
    return robustness(
        near,
        np.eye(3),
        np.array(origin),
        PAD,
        draws,
        width=0.02,
        opening=0.032,
        contact=CONFIG,
        config=config,
    )


def test_the_middle_of_a_wide_flat_bar_forgives():
    # One draw in 400 moves the gripper by the 6 mm that its fingers are open.
    assert share_held(near_of(BAR)) >= 0.99


def test_towards_the_end_of_a_bar_less_is_forgiven():
    near = near_of(BAR)
    # The bar ends at x = 50 mm: the pads, 18 mm wide, hold 14, 5, 1 and -3 mm of it.
    shares = [share_held(near, (x, 0, 0)) for x in (0.045, 0.054, 0.058, 0.062)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.95
    assert 0 < shares[2] < 0.9
    assert shares[3] < 0.5 * shares[1]


@pytest.mark.parametrize("origin", [(0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.1)])
def test_pads_that_miss_hold_nothing(origin):
    assert share_held(near_of(BAR), origin) == 0.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_more_friction_never_holds_less(seed):
    near = wedge(np.radians(15))
    shares = [share_held(near, friction=friction, seed=seed) for friction in (0.05, 0.2, 0.3, 0.5, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] > 0.9


def test_larger_errors_hold_less():
    near = wedge(np.radians(15))
    shares = [share_held(near, friction=0.4, angle_sigma=turn) for turn in (0.0, 0.1, 0.3)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < shares[0]


def test_a_few_specks_are_no_hold():
    near = all_seen(np.array([[0, -0.01, 0], [0, 0.01, 0.0]]), np.array([[0, -1.0, 0], [0, 1.0, 0]]))
    assert share_held(near) == 0.0
    assert share_held(near, min_points=1) > 0.9


def test_the_same_draws_give_the_same_share():
    near = wedge(np.radians(20))
    assert share_held(near, friction=0.4) == share_held(near, friction=0.4)
    a, b = (draw_perturbations(0.5, RobustnessConfig(), np.random.default_rng(7)) for _ in range(2))
    for name in ("rotations", "shifts", "friction"):
        assert np.array_equal(getattr(a, name), getattr(b, name))


def test_errors_are_as_large_as_they_say():
    config = RobustnessConfig(draws=20_000)
    draws: Perturbations = draw_perturbations(0.5, config, np.random.default_rng(0))
    deep = np.hypot(config.position_sigma, config.depth_sigma)
    assert draws.shifts.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-4)
    assert draws.shifts.std(axis=0) == pytest.approx(
        [config.position_sigma, config.position_sigma, deep], rel=0.03
    )
    turns = Rotation.from_matrix(draws.rotations).as_rotvec()
    assert turns.std(axis=0) == pytest.approx(np.full(3, config.angle_sigma), rel=0.03)
    assert draws.friction.mean() == pytest.approx(0.5, abs=0.005)
    assert draws.friction.std() == pytest.approx(config.friction_sigma, rel=0.03)
    assert draw_perturbations(0.0, config, np.random.default_rng(0)).friction.min() > 0


def test_without_errors_every_gripper_is_the_planned_one():
    config = RobustnessConfig(
        draws=5, position_sigma=0.0, angle_sigma=0.0, friction_sigma=0.0, depth_sigma=0.0
    )
    draws = draw_perturbations(0.5, config, np.random.default_rng(0))
    assert np.allclose(draws.rotations, np.eye(3))
    assert not draws.shifts.any()
    assert (draws.friction == 0.5).all()
