"""Energies of a hand's grasps: gradients, mirror images, and what each of them punishes."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import numpy as np
import pytest
import torch
from analytic_volumes import box, cylinder, region_at, sphere, volume_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from point2act.core.types import OrientedBox
from point2act.grasping.antipodal.boundary import BoundaryConfig, solid_points, surface_points
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.hands.energies import (
    Energies,
    EnergyConfig,
    Grasps,
    HandModel,
    energies,
    model_of,
    shares,
    wrench_left,
)
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.kinematics import kinematics_of, rotation_of
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.optimization import OptimizationConfig, optimize, redraw_contacts
from point2act.grasping.hands.scene_field import FieldConfig, Grid, SceneField, _cells_to_border, scene_field
from point2act.grasping.hands.starts import StartConfig, draw_starts, slot_choices

NAMES = [one.name for one in fields(Energies)]
CONFIG = EnergyConfig()


def field_of(volume: LocalVolume, avoid: tuple[OrientedBox, ...] = ()) -> SceneField:
    surface = surface_points(volume, np.zeros(3), config=BoundaryConfig())
    solid = solid_points(volume, surface, config=BoundaryConfig())
    near = region_at((0.0, 0.0, 0.02), (0.02, 0.02, 0.02)).box

    def probability(points: np.ndarray) -> np.ndarray:
        apart = np.maximum(np.abs(points - near.center) - near.half_extents, 0)
        return np.exp(-0.5 * (np.linalg.norm(apart, axis=1) / 0.02) ** 2)

    return scene_field(volume, surface, solid, probability, avoid, config=FieldConfig(outer_voxel=0.008))


@cache
def can() -> SceneField:
    return field_of(
        volume_of(cylinder(0.03, 0.06, (0, 0, -0.02)), box((0.02, 0.02, 0.05), (0.075, 0, -0.03)))
    )


@cache
def model(name: str = "allegro") -> HandModel:
    return model_of(kinematics_of(load_hand(name), dtype=torch.float64), spacing=0.02)


def drawn(hand: Hand, count: int, seed: int) -> Grasps:
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, 200)
    normals = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    points = 0.03 * normals + [0, 0, 0.01]
    up = np.array([0.0, 0.0, 1.0])
    return draw_starts(hand, points, normals, np.ones(200), up, count, config=StartConfig(), rng=rng)


# ── gradients ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    grasps, field = drawn(model().kinematics.hand, 6, 0), can()
    # Into the object and beyond the limits, so that no term is zero.
    grasps.position += torch.as_tensor(np.random.default_rng(1).normal(0, 0.01, (6, 3)))
    grasps.joints[:, 3] += 2.0
    # The index finger through the middle finger.
    grasps.joints[:3, :12] = 0.0
    grasps.joints[:3, [1, 5]], grasps.joints[:3, 0] = 1.3, -0.8
    grasps.forces += torch.as_tensor(np.random.default_rng(2).normal(0, 1, grasps.forces.shape))

    def value() -> torch.Tensor:
        return getattr(energies(grasps, model(), field, config=CONFIG)[0], name).sum()

    for variable in grasps.variables:
        variable.requires_grad_(True)
    value().backward()
    assert value() > 0
    checked = 0.0
    step, rng = 1e-7, np.random.default_rng(3)
    for variable in grasps.variables:
        if variable.grad is None:
            continue
        for _ in range(3):
            way = torch.as_tensor(rng.standard_normal(variable.shape))
            with torch.no_grad():
                variable += step * way
                above = value().item()
                variable -= 2 * step * way
                below = value().item()
                variable += step * way
            slope = (above - below) / (2 * step)
            expected = float((variable.grad * way).sum())
            assert slope == pytest.approx(expected, rel=2e-3, abs=2e-4)
            checked += abs(expected)
    assert checked > 1e-6


def test_depths_are_those_of_every_point_of_the_surface():
    grasps, field = drawn(model().kinematics.hand, 24, 5), can()
    grasps.position += torch.as_tensor(np.random.default_rng(1).normal(0, 0.02, (24, 3)))
    rotations, origins = model().kinematics.link_poses(
        grasps.position, rotation_of(grasps.columns), grasps.joints
    )
    points, mask = model().surface.at(rotations, origins), model().surface.mask.flatten()
    found = energies(grasps, model(), field, config=CONFIG)[0]
    inside = torch.relu(-field.body.distance_at(points)) * mask
    around = torch.relu(CONFIG.margin - field.surroundings.distance_at(points)) * mask
    assert inside.any()
    torch.testing.assert_close(found.penetration, inside.sum(dim=1))
    torch.testing.assert_close(found.surroundings, around.sum(dim=1))


# ── what the terms mean ────────────────────────────────────────────────────────────────────────
def test_opposite_contacts_are_in_balance_and_contacts_on_one_side_are_not():
    from point2act.grasping.hands.energies import Touch

    normals = torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0]], [[1.0, 0, 0], [1.0, 0, 0]]], dtype=torch.float64)
    points = 0.03 * normals
    at = Touch(points, -normals, torch.zeros((2, 2)), normals, torch.ones((2, 2)))
    left = wrench_left(at, torch.full((2, 2), 0.5, dtype=torch.float64), 0.05)
    torch.testing.assert_close(left[0], torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(left[1].norm(), torch.tensor(1.0, dtype=torch.float64))


def test_a_couple_of_forces_leaves_a_torque():
    from point2act.grasping.hands.energies import Touch

    normals = torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0]]], dtype=torch.float64)
    points = torch.tensor([[[0.0, 0.025, 0], [0.0, -0.025, 0]]], dtype=torch.float64)
    at = Touch(points, -normals, torch.zeros((1, 2)), normals, torch.ones((1, 2)))
    left = wrench_left(at, torch.full((1, 2), 0.5, dtype=torch.float64), 0.05)
    torch.testing.assert_close(left[0, :3], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(left[0, 5].abs(), torch.tensor(0.5, dtype=torch.float64))


def test_shares_sum_to_one_and_leave_out_what_is_not_used():
    grasps = drawn(model().kinematics.hand, 20, 4)
    grasps.forces += torch.as_tensor(np.random.default_rng(0).normal(0, 5, grasps.forces.shape))
    share = shares(grasps, CONFIG)
    torch.testing.assert_close(share.sum(dim=1), torch.ones(20, dtype=torch.float64))
    assert (share[grasps.active == 0] == 0).all()
    assert share[grasps.active > 0].min() >= CONFIG.min_share - 1e-12


def test_the_lever_is_the_horizontal_way_from_the_centre_of_mass():
    """Away from the centre it grows as fast as the contacts move, and not with their height."""
    grasps = drawn(model().kinematics.hand, 6, 3)
    here = energies(grasps, model(), can(), config=CONFIG)
    share = shares(grasps, CONFIG)
    away = ((share[..., None] * here[1].points).sum(dim=1) - can().center)[:, :2]
    torch.testing.assert_close(here[0].lever, away.norm(dim=1), rtol=1e-4, atol=1e-6)
    outward = torch.cat([away / away.norm(dim=1, keepdim=True), torch.full((6, 1), 0.7).double()], dim=1)
    grasps.position = grasps.position + 0.02 * outward
    there = energies(grasps, model(), can(), config=CONFIG)[0]
    torch.testing.assert_close(there.lever, here[0].lever + 0.02, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("lift", "least"), [(0.0, 0.0), (-0.16, 0.02)])
def test_surroundings_grow_below_the_table(lift, least):
    hand = model().kinematics.hand
    grasps = drawn(hand, 1, 0)
    flat = torch.tensor([[1.0, 0, 0, 0, -1.0, 0]], dtype=torch.float64)  # palm down
    grasps.columns, grasps.joints = flat, torch.as_tensor(hand.joints.rest)[None]
    grasps.position = torch.tensor([[-0.1, -0.1, 0.1 + lift]], dtype=torch.float64)
    value = energies(grasps, model(), can(), config=CONFIG)[0].surroundings
    assert value.item() > least if least else value.item() == 0


def test_regions_to_avoid_are_surroundings():
    avoid = OrientedBox(np.array([0.0, 0.0, 0.05]), np.eye(3), np.array([0.02, 0.02, 0.02]))
    free, blocked = field_of(volume_of(sphere(0.02))), field_of(volume_of(sphere(0.02)), (avoid,))
    point = torch.tensor([[[0.0, 0.0, 0.05]]], dtype=torch.float64)
    assert free.surroundings.distance_at(point).item() > 0.1
    assert blocked.surroundings.distance_at(point).item() < 0.005


# ── signed distances ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "solid", [sphere(0.03), box((0.03, 0.02, 0.04)), cylinder(0.025, 0.05)], ids=["sphere", "box", "cylinder"]
)
def test_distances_are_those_of_the_solid(solid):
    field = field_of(volume_of(solid))
    points = np.random.default_rng(0).uniform(-0.06, 0.06, (2000, 3))
    found = field.body.distance_at(torch.as_tensor(points)[None])[0].numpy()
    exact = solid(points)
    shallow = exact > -0.004
    assert np.abs(found - exact)[shallow].max() < 0.0035
    assert np.abs(found - exact)[np.abs(exact) < 0.002].max() < 0.001
    assert (found[exact < -0.004] < -0.002).all()


def test_normals_of_a_sphere_point_outwards():
    field = field_of(volume_of(sphere(0.03)))
    normals = np.random.default_rng(0).standard_normal((500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    found = field.object.at(torch.as_tensor(0.03 * normals)[None])[0, :, 1:4].numpy()
    cosine = (found * normals).sum(axis=1) / np.linalg.norm(found, axis=1)
    assert np.median(cosine) > 0.99
    assert cosine.min() > 0.93


def test_unknown_space_is_solid():
    volume = volume_of(sphere(0.03))
    unknown = np.zeros(volume.tsdf.shape, dtype=bool)
    unknown[:, :, 60:] = True
    hidden = LocalVolume(
        **{
            **vars(volume),
            "observed": volume.observed & ~unknown,
            "tsdf": np.where(unknown, 0.004, volume.tsdf),
        }
    )
    field = field_of(hidden)
    point = torch.tensor([[[0.06, 0.06, 0.06]]], dtype=torch.float64)
    solid = torch.minimum(field.body.distance_at(point), field.surroundings.distance_at(point))
    assert solid.item() < -0.01
    assert field_of(volume).surroundings.distance_at(point).item() > 0.05


def test_the_least_value_around_a_point_bounds_the_interpolated_one():
    points = torch.as_tensor(np.random.default_rng(0).uniform(-0.3, 0.3, (1, 4000, 3)))
    field = can()
    for grid in (field.object, field.body, field.surroundings):
        assert (grid.least_around(points) <= grid.distance_at(points)).all()


@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.01, 0.2, 0.9, 1.0]))
@settings(max_examples=30, deadline=None)
def test_cells_to_a_border_are_those_of_the_plain_transform(seed, share):
    rng = np.random.default_rng(seed)
    occupied = rng.random((10, 10, 10)) < share
    if seed % 2:  # all in a corner or in the middle
        inside = np.zeros_like(occupied)
        inside[tuple(slice(*np.sort(rng.integers(0, side + 1, 2))) for side in occupied.shape)] = True
        occupied &= inside
    assume(occupied.any() and not occupied.all())
    outside, inside = distance_transform_edt(~occupied), distance_transform_edt(occupied)
    expected = np.where(occupied, 0.5 - inside, outside - 0.5)
    np.testing.assert_allclose(_cells_to_border(occupied), expected)


def test_distance_grows_beyond_the_grid():
    field = can()
    near, far = (torch.tensor([[[x, 0.0, 0.08]]], dtype=torch.float64) for x in (0.09, 0.19))
    gap = field.body.distance_at(far) - field.body.distance_at(near)
    assert gap.item() == pytest.approx(0.1, abs=1e-3)


# ── mirror images ──────────────────────────────────────────────────────────────────────────────
FLIP = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)


def mirrored_field(field: SceneField) -> SceneField:
    signs = torch.tensor([1.0, 1.0, -1.0, 1.0, 1.0], dtype=torch.float64)[:, None, None, None]
    object_, body, surroundings = (
        Grid(grid.values.flip(3), grid.half_size) for grid in (field.object, field.body, field.surroundings)
    )
    return SceneField(
        Grid(object_.values * signs, object_.half_size), body, surroundings, field.center * FLIP
    )


def mirrored(grasps: Grasps) -> Grasps:
    """At y = 0: with M = diag(1, -1, 1) the axes of M R M are M x and -M y."""
    copy = grasps.to(grasps.position)
    copy.position = copy.position * FLIP
    copy.columns = torch.cat([copy.columns[:, :3] * FLIP, -copy.columns[:, 3:] * FLIP], dim=1)
    return copy


@pytest.mark.parametrize("name", ["allegro", "leap"])
def test_mirrored_hands_have_the_same_energies(name):
    hand = load_hand(name)
    other = model_of(kinematics_of(hand.mirrored(), dtype=torch.float64), spacing=0.02)
    grasps = drawn(hand, 12, 1)
    here = energies(grasps, model(name), can(), config=CONFIG)[0]
    there = energies(mirrored(grasps), other, mirrored_field(can()), config=CONFIG)[0]
    for energy in NAMES:
        torch.testing.assert_close(getattr(here, energy), getattr(there, energy), rtol=1e-6, atol=1e-9)


def test_mirrored_hand_gives_mirrored_grasps():
    hand = load_hand("allegro")
    other = model_of(kinematics_of(hand.mirrored(), dtype=torch.float64), spacing=0.02)
    slots = [torch.as_tensor(slot) for slot in slot_choices(hand)]
    starts = drawn(hand, 8, 2)
    config = OptimizationConfig(iterations=25, temperature=0.0, halving=((10, 0.5),))
    found = []
    for grasps, one, field in ((starts, model(), can()), (mirrored(starts), other, mirrored_field(can()))):
        run = optimize(
            grasps.to(starts.position),
            slots,
            one,
            field,
            weights=CONFIG,
            config=config,
            generator=torch.Generator().manual_seed(0),
        )
        found.append(run)
    # Rounding grows over the steps, as Adam divides by small gradients.
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0][0].joints, found[1][0].joints, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mirrored(found[0][0]).position, found[1][0].position, rtol=1e-3, atol=1e-4)


# ── the optimisation ───────────────────────────────────────────────────────────────────────────
def test_optimisation_lowers_the_energy_and_repeats():
    hand = model().kinematics.hand
    slots = [torch.as_tensor(slot) for slot in slot_choices(hand)]
    starts = drawn(hand, 16, 3)
    before = energies(starts, model(), can(), config=CONFIG)[0].total(CONFIG)
    config = OptimizationConfig(iterations=40, halving=((20, 0.5),))
    runs = [
        optimize(
            starts.to(starts.position),
            slots,
            model(),
            can(),
            weights=CONFIG,
            config=config,
            generator=torch.Generator().manual_seed(5),
        )
        for _ in range(2)
    ]
    assert len(runs[0][0]) == 8
    assert runs[0][1].median() < 0.7 * before.median()
    torch.testing.assert_close(runs[0][0].position, runs[1][0].position, rtol=0, atol=0)


def test_contacts_are_redrawn_within_their_slots():
    hand = model().kinematics.hand
    slots = [torch.as_tensor(slot) for slot in slot_choices(hand)]
    grasps = drawn(hand, 30, 4)
    for temperature in (0.0, 5.0):
        redraw_contacts(grasps, slots, model(), can(), CONFIG, temperature, torch.Generator().manual_seed(0))
        for column, slot in enumerate(slots):
            assert set(grasps.contacts[:, column].tolist()) <= set(slot.tolist())
    assert len(set(grasps.contacts[:, 0].tolist())) > 1


def test_every_start_touches_with_the_thumb_and_another_finger():
    hand = model().kinematics.hand
    grasps = drawn(hand, 100, 5)
    fingers = torch.as_tensor(hand.fingers[hand.contacts.link])[grasps.contacts]
    touching = grasps.active > 0
    assert ((fingers == 3) & touching).any(dim=1).all()
    assert ((fingers >= 0) & (fingers < 3) & touching).any(dim=1).all()
