"""Where to set something down, on analytic surfaces: normal, origin, flat disc; or why there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference_grasps as ref
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.geometry import project, transform_points
from point2act.core.types import NoAnswer, PlacePose
from point2act.grasping.placement import (
    ObservedPoints,
    PlacementConfig,
    assumed_metre,
    find_placement,
    fit_placement,
    observed_points,
)

CONFIG = PlacementConfig()
BLOCK = ref.Solid("box", (0.03, 0.06, 0.04), ref.at(0.1, 0.05, 0.04, yaw=0.4))
BALL = ref.Solid("sphere", (0.04,), ref.at(0.1, 0.05, 0.04))
BOARD = ref.Solid("box", (0.2, 0.2, 0.02), ref.at(0.0, 0.0, 0.3))
NEIGHBOUR = ref.Solid("box", (0.03, 0.03, 0.04), ref.at(0.16, 0.05, 0.04))


def sheet(half: float = 0.1, spacing: float = 0.002, projection=(0.3, 0.2, 0.9)) -> ObservedPoints:
    """A level square about the origin, seen by one camera far away."""
    steps = np.arange(-half, half + spacing / 2, spacing)
    x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
    points = np.stack([x, y, np.zeros_like(x)], axis=1)
    return ObservedPoints(
        points, np.tile(np.array(projection) / np.linalg.norm(projection), (len(points), 1))
    )


def place(solids, point, *, noise: float = 0.0, T_new_world=np.eye(4), metric: bool = True) -> PlacePose:
    views, depths = ref.capture(solids, ref.ring(point, 10), T_new_world, noise=noise)
    target = transform_points(T_new_world, np.array([point], float))[0]
    found = find_placement(views, depths, target, metric=metric, rng=np.random.default_rng(0))
    assert isinstance(found, PlacePose)
    return found


def fit(seen: ObservedPoints, point=(0.0, 0.0, 0.0), **options) -> PlacePose:
    found = fit_placement(seen, np.array(point, float), rng=np.random.default_rng(0), **options)
    assert isinstance(found, PlacePose)
    return found


def moved(seed: int) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    T[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return T


# ── what a place promises ──────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("noise", [0.0, 0.0015])
@pytest.mark.parametrize(
    ("solids", "point", "radius"),
    [
        ([ref.FLOOR], (0.1, 0.05, 0.0), CONFIG.max_radius),
        ([ref.FLOOR, BLOCK], (0.1, 0.05, 0.08), 0.03),
        ([ref.FLOOR, BLOCK], (0.1, 0.05, 0.06), 0.03),  # an action point inside the block
        ([ref.FLOOR, BOARD], (0.15, 0.0, 0.32), 0.05),  # its edge is 5 cm away
        ([ref.FLOOR, NEIGHBOUR], (0.1, 0.05, 0.0), 0.03),  # a block starts 3 cm away
    ],
)
def test_level_tops(solids, point, radius, noise):
    found = place(solids, point, noise=noise)
    assert found.normal == pytest.approx([0, 0, 1], abs=0.01)
    origin = found.T_world_place[:3, 3]
    assert np.abs(ref.scene_distance(solids, origin[None])[0]) < 0.001
    assert origin[:2] == pytest.approx(point[:2], abs=0.001)
    assert found.flat_radius == pytest.approx(radius, abs=0.006)
    assert found.roughness < 0.6 * noise + 0.0004
    rotation = found.T_world_place[:3, :3]
    assert rotation.T @ rotation == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert np.array_equal(found.T_world_place[3], [0, 0, 0, 1])


def test_x_lies_along_the_longest_extent():
    long = BLOCK.T_world_body[:3, 1]
    assert abs(place([ref.FLOOR, BLOCK], (0.1, 0.05, 0.08)).T_world_place[:3, 0] @ long) > 0.99
    assert abs(place([ref.FLOOR, BOARD], (0.15, 0.0, 0.32)).T_world_place[1, 0]) > 0.99


def test_on_a_round_patch_x_points_to_a_camera():
    seen = sheet(projection=(0.3, 0.2, 0.9))
    disc = seen.only((seen.points**2).sum(axis=1) < 0.08**2)
    assert fit(disc).T_world_place[:3, 0] == pytest.approx(np.array([3, 2, 0]) / np.sqrt(13), abs=1e-6)
    above = fit(sheet(projection=(0.0, 0.0, 1.0)))  # from straight above there is no such direction
    assert above.T_world_place[:3, :3].T @ above.T_world_place[:3, :3] == pytest.approx(np.eye(3))


def test_on_a_ball_the_place_is_tangent_small_and_on_the_surface():
    found = place([ref.FLOOR, BALL], (0.1, 0.05, 0.08))
    assert found.normal @ [0, 0, 1] > np.cos(np.radians(4))
    assert abs(BALL.distance(found.T_world_place[None, :3, 3])[0]) < 0.001
    # It falls off by the tolerance at this distance.
    assert found.flat_radius == pytest.approx(np.sqrt(2 * 0.04 * CONFIG.flatness), abs=0.004)
    assert place([ref.FLOOR, BALL], (0.1, 0.05, 0.0795)).flat_radius > 0


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_side_faces_those_who_see_it(side):
    wall = ref.Solid("box", (0.01, 0.3, 0.3), ref.at(0.0, 0.0, 0.3))
    point = np.array([side * 0.01, 0.0, 0.3])
    pose = ref.look_at(point + np.array([side * 0.5, 0.1, 0.05]), point, np.array([0, 0, 1.0]))
    views, depths = ref.capture([wall], [pose])
    found = find_placement(views, depths, point, metric=True, rng=np.random.default_rng(0))
    assert isinstance(found, PlacePose)
    assert found.normal == pytest.approx([side, 0, 0], abs=1e-3)


def test_outliers_do_not_tilt_it():
    seen, rng = sheet(), np.random.default_rng(1)
    stray = rng.choice(len(seen), len(seen) // 4, replace=False)
    seen.points[stray, 2] += rng.uniform(-0.1, 0.1, len(stray))
    found = fit(seen)
    assert found.normal == pytest.approx([0, 0, 1], abs=0.005)
    assert np.abs(found.T_world_place[:3, 3]).max() < 0.001


def test_over_a_hole_it_moves_to_the_nearest_surface():
    seen = sheet()
    ring = seen.only(((seen.points - [0.005, 0, 0]) ** 2).sum(axis=1) > 0.03**2)
    found = fit(ring)
    origin = found.T_world_place[:3, 3]
    assert np.linalg.norm(origin) == pytest.approx(0.025, abs=0.001)
    assert origin[0] < -0.02
    assert found.flat_radius < 0.003  # it stands on the edge of the hole


@pytest.mark.parametrize(("width", "closed"), [(0.010, True), (0.030, False)])
def test_small_holes_are_missing_readings_large_ones_end_it(width, closed):
    seen = sheet()
    at = np.array([0.05, 0.0, 0.0])
    found = fit(seen.only(((seen.points - at) ** 2).sum(axis=1) > (width / 2) ** 2))
    assert found.flat_radius == pytest.approx(0.1 if closed else 0.035, abs=0.004)


def test_what_stands_on_it_ends_it_and_noise_does_not():
    seen = sheet()
    stands = np.linalg.norm(seen.points[:, :2] - [0.06, 0], axis=1) < 0.01
    seen.points[stands, 2] = 0.03
    assert fit(seen).flat_radius == pytest.approx(0.05, abs=0.004)
    noisy = sheet()
    noisy.points[::40, 2] = 0.01
    assert fit(noisy).flat_radius > 0.09


# ── symmetry ───────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_a_moved_world_moves_the_place(seed):
    T, rng = moved(seed), np.random.default_rng(seed)
    seen = sheet(half=0.06, spacing=0.003)
    seen = seen.only(seen.points[:, 0] < 0.03)
    seen.points[:] += 0.0008 * rng.standard_normal(seen.points.shape)
    there = ObservedPoints(transform_points(T, seen.points), seen.to_camera @ T[:3, :3].T)
    here, away = fit(seen), fit(there, T[:3, 3])
    assert away.T_world_place == pytest.approx(T @ here.T_world_place, abs=1e-4)
    assert away.flat_radius == pytest.approx(here.flat_radius, abs=0.004)  # the grid of cells turns
    assert away.roughness == pytest.approx(here.roughness, rel=0.05)


def test_a_moved_capture_moves_the_place():
    here = place([ref.FLOOR, BLOCK], (0.1, 0.05, 0.08))
    away = place([ref.FLOOR, BLOCK], (0.1, 0.05, 0.08), T_new_world=moved(3))
    assert away.T_world_place == pytest.approx(moved(3) @ here.T_world_place, abs=1e-3)


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_without_metres_everything_scales(scale):
    views, depths = ref.capture([ref.FLOOR, BLOCK], ref.ring((0.1, 0.05, 0.08), 10))
    point = np.array([0.1, 0.05, 0.08])

    def at_scale(factor: float) -> PlacePose:
        scaled = []
        for view in views:
            T = view.T_world_cam.copy()
            T[:3, 3] *= factor
            scaled.append(replace(view, T_world_cam=T))
        found = find_placement(
            scaled,
            [factor * depth for depth in depths],
            factor * point,
            metric=False,
            rng=np.random.default_rng(0),
        )
        assert isinstance(found, PlacePose)
        return found

    one, other = at_scale(1.0), at_scale(scale)
    assert other.T_world_place[:3, :3] == pytest.approx(one.T_world_place[:3, :3], abs=1e-6)
    assert other.T_world_place[:3, 3] == pytest.approx(scale * one.T_world_place[:3, 3], rel=1e-6)
    assert other.flat_radius == pytest.approx(scale * one.flat_radius, rel=1e-6)
    assert other.roughness == pytest.approx(scale * one.roughness, rel=1e-6)


def test_a_presumed_metre_is_twice_the_usual_half():
    views, _ = ref.capture([ref.FLOOR], ref.ring((0, 0, 0), 4, radius=2.0, heights=(0.0, 0.0)))
    assert assumed_metre(views, np.zeros(3), CONFIG) == pytest.approx(4.0)
    assert assumed_metre([], np.zeros(3), CONFIG) == 1.0


def test_the_same_seed_gives_the_same_place():
    first, second = (place([ref.FLOOR, BLOCK], (0.1, 0.05, 0.08), noise=0.001) for _ in range(2))
    assert np.array_equal(first.T_world_place, second.T_world_place)
    assert first.flat_radius == second.flat_radius


# ── what was seen ──────────────────────────────────────────────────────────────────────────────
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.7))
def test_seen_points_match_every_pixel_looked_at(seed, reach):
    rng = np.random.default_rng(seed)
    center = rng.uniform(-0.3, 0.3, 3)
    eye = center + rng.normal(size=3) * 0.6
    pose = ref.look_at(eye, rng.uniform(-0.4, 0.4, 3), np.array([0.3, 0.1, 1.0]))
    depth = np.where(rng.random((240, 320)) < 0.9, rng.uniform(0.05, 1.5, (240, 320)), np.nan)
    (view,), _ = ref.capture([ref.FLOOR], [pose])
    view = replace(view, mask=rng.random((240, 320)) < 0.9)
    seen = observed_points([view], [depth], center, radius=reach)
    row, column = np.nonzero(np.isfinite(depth) & view.mask)
    camera, z = view.camera, depth[row, column]
    local = np.stack([(column + 0.5 - camera.cx) / camera.fx, (row + 0.5 - camera.cy) / camera.fy], axis=1)
    world = transform_points(pose, np.concatenate([local, np.ones((len(z), 1))], axis=1) * z[:, None])
    expected = world[np.linalg.norm(world - center, axis=1) < reach]
    assert len(seen) == len(expected)
    assert seen.points == pytest.approx(expected, abs=1e-9)
    pixels, depths = project(camera, pose, seen.points)
    assert depths.min(initial=1.0) > 0
    assert np.linalg.norm(seen.to_camera, axis=1) == pytest.approx(np.ones(len(seen)))
    assert ((eye - seen.points) * seen.to_camera).sum(axis=1).min(initial=1.0) > 0
    assert len(pixels) == len(seen)


# ── nothing to stand on ────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "points",
    [np.zeros((0, 3)), np.zeros((2, 3)), np.zeros((50, 3)), np.linspace(0, 0.05, 40)[:, None] * [1.0, 2, 3]],
    ids=["none", "two", "one place", "a line"],
)
def test_points_that_make_no_plane_say_so(points):
    seen = ObservedPoints(points, np.tile([0.0, 0.0, 1.0], (len(points), 1)))
    found = fit_placement(seen, np.zeros(3), rng=np.random.default_rng(0))
    assert isinstance(found, NoAnswer)
    assert found.reason == "no_geometry"
    assert str(len(points)) in found.detail


def test_three_points_make_a_place_of_no_size():
    seen = ObservedPoints(
        np.array([[0.01, 0, 0], [0, 0.01, 0], [-0.01, -0.01, 0.0]]), np.tile([0.0, 0, 1], (3, 1))
    )
    found = fit(seen)
    assert found.normal == pytest.approx([0, 0, 1])
    assert found.flat_radius < 0.01


def test_no_views_no_place():
    found = find_placement([], [], np.zeros(3), metric=False, rng=np.random.default_rng(0))
    assert isinstance(found, NoAnswer)
