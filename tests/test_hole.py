"""Holes of handles and rings, seen from one side, and things without any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.acting.constraints.hole import find_hole
from point2act.acting.constraints.opening import Opening
from point2act.core.geometry import transform, transform_points

NOISE, SPACING = 0.001, 0.005
AXIS = np.array([0.0, 1.0, 0.0])
"""Through the handle of ``mug``."""
UP = np.array([0.0, 0.0, 1.0])
FROM = np.array([0.6, -0.7, 0.4])
"""Where it is seen from."""


def spread(rng, high: float, across: float) -> tuple[np.ndarray, np.ndarray]:
    """A grid about as dense as Gaussians are, with some disorder: lengths along two sides of a surface."""
    x, y = (np.arange(0, side, SPACING) + SPACING / 2 for side in (high, across))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return tuple((grid + 0.25 * SPACING * rng.standard_normal(grid.shape)).T)


def tube(rng, radius: float, thickness: float, low: float, high: float) -> np.ndarray:
    """Part of a torus about the y axis, from one angle to another; with its normals."""
    along, about = spread(rng, (high - low) * radius, 2 * np.pi * thickness)
    along, about = low + along / radius, about / thickness
    outward = np.stack([np.cos(along), np.zeros(len(along)), np.sin(along)], axis=1)
    normals = np.cos(about)[:, None] * outward + np.sin(about)[:, None] * AXIS
    return np.stack([radius * outward + thickness * normals, normals])


def wall(rng, radius: float, height: float) -> np.ndarray:
    """The wall of a mug that stands beside its handle, whose middle is at the origin; with its normals."""
    angle, z = spread(rng, 2 * np.pi * radius, height)
    angle, z = angle / radius, z - height / 2
    normals = np.stack([np.cos(angle), np.sin(angle), np.zeros(len(angle))], axis=1)
    return np.stack([[-radius, 0, 0] + radius * normals + z[:, None] * [0, 0, 1], normals])


def shown(surface: np.ndarray, rng) -> np.ndarray:
    """The points that face a camera, with noise."""
    points, normals = surface
    points = points[normals @ FROM > 0]
    return points + NOISE * rng.standard_normal(points.shape)


def principal(points: np.ndarray) -> np.ndarray:
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2]


@pytest.mark.parametrize("seed", range(4))
def test_the_hole_of_a_handle_is_found_where_one_side_of_it_is_seen(seed: int):
    """Closed by the wall of its mug; the shortest principal axis alone is often off by more."""
    rng = np.random.default_rng(seed)
    handle = shown(tube(rng, 0.024, 0.005, -np.pi / 2, np.pi / 2), rng)
    mug = shown(wall(rng, 0.04, 0.09), rng)
    turn = Rotation.random(random_state=seed).as_matrix()
    T = transform(turn, rng.uniform(-0.5, 0.5, 3))
    handle, mug = transform_points(T, handle), transform_points(T, mug)
    hole = find_hole(handle, np.vstack([handle, mug]), principal(handle), turn @ UP)
    assert hole is not None
    assert np.rad2deg(np.arccos(abs(hole.axis @ turn @ AXIS))) < 15
    assert abs(hole.axis @ turn @ UP) < 1e-9, "the mug stands"
    center = transform_points(np.linalg.inv(T), hole.center)
    assert abs(center[0] - 0.0095) < 0.003
    assert abs(center[2]) < 0.003
    assert hole.radius == pytest.approx(0.0095, abs=0.003)


@pytest.mark.parametrize("seed", range(6))
def test_the_axis_of_a_handle_is_across_the_way_out_of_its_vessel(seed: int):
    """To a degree where the vessel's middle is known, however little of the handle is seen."""
    rng = np.random.default_rng(seed)
    handle = shown(tube(rng, 0.024, 0.005, -np.pi / 2, np.pi / 2), rng)
    mug = shown(wall(rng, 0.04, 0.09), rng)
    vessel = Opening(np.array([-0.04, 0.0, 0.045]), UP, 0.04)
    everything = np.vstack([handle, mug])
    hole = find_hole(handle, everything, principal(handle), UP, vessel)
    assert hole is not None
    assert np.rad2deg(np.arccos(abs(hole.axis @ AXIS))) < 4
    # Over the middle, as the handle of a basket is, it may be anything.
    above = Opening(np.array([0.0095, 0.0, -0.045]), UP, 0.04)
    plain = find_hole(handle, everything, principal(handle), UP)
    assert plain is not None
    over = find_hole(handle, everything, principal(handle), UP, above)
    assert over is not None
    np.testing.assert_allclose(over.axis, plain.axis, atol=1e-12)


@given(st.integers(0, 1000), st.floats(0.02, 0.05))
def test_a_ring_has_its_hole_in_the_middle(seed: int, radius: float):
    rng = np.random.default_rng(seed)
    ring = shown(tube(rng, radius, 0.004, 0, 2 * np.pi), rng)
    hole = find_hole(ring, ring, principal(ring), UP)
    assert hole is not None
    assert np.linalg.norm(hole.center - (hole.center @ AXIS) * AXIS) < 0.004
    assert hole.radius == pytest.approx(radius - 0.004, abs=0.003)


@pytest.mark.parametrize(("lean", "expected"), [(0, 0), (15, 0), (45, 45), (75, 90), (90, 90)])
def test_a_ring_that_leans_has_a_level_or_upright_axis_only_where_it_nearly_is(lean: float, expected: float):
    """Its own axis is level; the vertical is turned instead."""
    rng = np.random.default_rng(1)
    ring = shown(tube(rng, 0.03, 0.004, 0, 2 * np.pi), rng)
    up = np.cos(np.deg2rad(lean)) * UP + np.sin(np.deg2rad(lean)) * AXIS
    hole = find_hole(ring, ring, principal(ring), up)
    assert hole is not None
    off = 12 if expected == 45 else 1e-3
    assert np.rad2deg(np.arcsin(min(abs(hole.axis @ up), 1))) == pytest.approx(expected, abs=off)


@pytest.mark.parametrize("seed", range(5))
def test_a_plate_and_a_ball_have_no_hole(seed: int):
    rng = np.random.default_rng(seed)
    x, y = spread(rng, 0.16, 0.16)
    plate = np.stack([x, y, NOISE * rng.standard_normal(len(x))], axis=1)
    assert find_hole(plate, plate, principal(plate), UP) is None
    # Evenly spread: along a spiral whose turns are apart by the golden angle.
    number = np.arange(800) + 0.5
    z, turn = 1 - number / 400, np.pi * (1 + np.sqrt(5)) * number
    ball = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)
    ball = 0.04 * ball + NOISE * rng.standard_normal(ball.shape)
    assert find_hole(ball[z > 0], ball, principal(ball[z > 0]), UP) is None


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.zeros((5, 3)), np.outer(np.arange(9.0), [1, 0, 0])])
def test_points_without_area_have_no_hole(points: np.ndarray):
    assert find_hole(points, points, np.eye(3), UP) is None
