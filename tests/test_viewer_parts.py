"""The viewer's parts that need no browser: laws of its meshes, colours, cameras, words and threads."""

from __future__ import annotations

import html
import re
import threading
from dataclasses import replace
from typing import get_args

import browser  # noqa: F401  # viser, without its warnings
import numpy as np
import pytest
import synthetic
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.geometry import project, transform_points
from point2act.core.types import (
    Answer,
    Camera,
    GaussianScene,
    Grasp,
    JointPath,
    OrientedBox,
    PlacePose,
    Query,
    QueryResult,
    Reason,
    Region,
    Role,
    Support,
    View,
)
from point2act.data.points import PERSON
from point2act.grasping.end_effector import fingers_at, palm_at
from point2act.grasping.grippers import load_gripper
from point2act.splatting.gaussians import colors, freeze
from point2act.visualization.headlines import HEADLINES
from point2act.visualization.initial_camera import InitialCamera, find_initial_camera
from point2act.visualization.shapes import (
    Mesh,
    arrow,
    box_edges,
    cuboid,
    fork,
    merged,
    pin,
    polyline,
    solid,
    wireframe,
)
from point2act.visualization.splats import paint, sketch, splats_of
from point2act.visualization.viewer import markdown
from point2act.visualization.viewer.photos import (
    FOV,
    OVERLAYS,
    annotated,
    camera_facing,
    pixel_under,
    place_photo,
    thumbnail,
)
from point2act.visualization.viewer.worker import Worker

seeds = st.integers(0, 10_000)


def rotation(seed: int) -> np.ndarray:
    quaternion = np.random.default_rng(seed).normal(size=4)
    return Rotation.from_quat(quaternion).as_matrix()


# ── shapes ─────────────────────────────────────────────────────────────────────────────────────
def volume(mesh: Mesh) -> float:
    """By the divergence theorem; positive where triangles are counter-clockwise seen from outside."""
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def is_closed(mesh: Mesh) -> bool:
    """Every edge belongs to two triangles, which go along it in opposite directions."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    ways = {(int(a), int(b)) for a, b in edges}
    return len(ways) == len(edges) and all((b, a) in ways for a, b in ways)


@given(seed=seeds, mirrored=st.booleans())
def test_a_cuboid_is_closed_and_turned_outwards_also_with_left_handed_axes(seed, mirrored):
    rng = np.random.default_rng(seed)
    half, center = rng.uniform(0.01, 2.0, 3), rng.normal(0, 5, 3)
    axes = rotation(seed) * ([[-1.0]] if mirrored else [[1.0]])
    mesh = cuboid(OrientedBox(center, axes, half))
    assert is_closed(mesh)
    assert volume(mesh) == pytest.approx(8 * half.prod())
    np.testing.assert_allclose(np.abs((mesh.vertices - center) @ axes.T), np.tile(half, (8, 1)))


@pytest.mark.parametrize("name", ["panda", "robotiq_2f85", "robotiq_2f140", "wsg50"])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_what_is_drawn_is_the_grippers_boxes_at_its_opening(name, share):
    gripper = load_gripper(name)
    opening = share * gripper.max_width
    boxes = gripper.boxes_at(opening)
    posture = np.array([opening])
    mesh = solid((*fingers_at(gripper, posture), *palm_at(gripper, posture)))
    assert is_closed(mesh)
    assert volume(mesh) == pytest.approx(sum(8 * np.prod(half) for _, half in boxes))
    for number, (center, half) in enumerate(boxes):
        corners = mesh.vertices[8 * number : 8 * number + 8]
        np.testing.assert_allclose(corners.min(axis=0), center - half, atol=1e-12)
        np.testing.assert_allclose(corners.max(axis=0), center + half, atol=1e-12)


def test_a_cage_has_the_edges_of_every_box():
    boxes = load_gripper("panda").body_at(0.0)
    mesh = wireframe(palm_at(load_gripper("panda"), np.zeros(1)), 0.001)
    assert is_closed(mesh)
    each = 8 * 12
    for number, (center, half) in enumerate(boxes):
        bars = mesh.vertices[each * number : each * (number + 1)]
        size = half + 0.0005
        np.testing.assert_allclose(bars.min(axis=0), center - size, atol=1e-12)
        np.testing.assert_allclose(bars.max(axis=0), center + size, atol=1e-12)


@given(seed=seeds)
def test_edges_lie_on_their_box(seed):
    rng = np.random.default_rng(seed)
    box = OrientedBox(rng.normal(0, 1, 3), rotation(seed), rng.uniform(0.05, 0.3, 3))
    thick = 0.01
    mesh = box_edges(box, thick)
    assert is_closed(mesh)
    assert volume(mesh) == pytest.approx(thick**2 * 4 * (2 * box.half_extents + thick).sum())
    over = np.abs((mesh.vertices - box.center) @ box.axes.T) - box.half_extents
    # Every corner of a bar is half a thickness from two faces, and past a third by as much.
    np.testing.assert_allclose(np.abs(over), thick / 2, atol=1e-12)


@given(seed=seeds)
def test_a_pin_stands_on_its_point(seed):
    rng = np.random.default_rng(seed)
    point, up = rng.normal(0, 1, 3), rotation(seed)[0]
    mesh = pin(point, up, length=0.3)
    along = (mesh.vertices - point) @ up
    assert (along.min(), along.max()) == pytest.approx((0.0, 0.3), abs=1e-12)
    np.testing.assert_allclose(mesh.vertices[np.isclose(along, 0)].mean(axis=0), point, atol=1e-12)
    assert is_closed(mesh)
    assert volume(mesh) > 0


@pytest.mark.parametrize("up", [*np.eye(3), *-np.eye(3)])
def test_a_pin_may_stand_along_an_axis(up):
    assert volume(pin(np.zeros(3), up, length=1.0)) > 0


@given(seed=seeds)
def test_an_arrow_ends_at_its_end(seed):
    rng = np.random.default_rng(seed)
    start, way = rng.normal(0, 1, 3), rng.uniform(0.01, 1.0) * rotation(seed)[0]
    mesh = arrow(start, start + way, thickness=0.01)
    assert is_closed(mesh)
    assert volume(mesh) > 0
    along = (mesh.vertices - start) @ way / (way @ way)
    assert (along.min(), along.max()) == pytest.approx((0.0, 1.0), abs=1e-9)
    np.testing.assert_allclose(mesh.vertices[np.argmax(along)], start + way, atol=1e-9)


def test_a_fork_is_as_wide_as_the_gripper_is_open():
    mesh = fork(0.05, length=0.02, thickness=0.002)
    assert is_closed(mesh)
    tips = mesh.vertices[np.isclose(mesh.vertices[:, 2], 0)]
    assert np.abs(tips[:, 1]).min() == pytest.approx(0.025)
    assert mesh.vertices[:, 2].min() == pytest.approx(-0.04)


@given(st.integers(0, 999))
def test_a_polyline_has_a_bar_from_point_to_point(seed: int):
    points = np.random.default_rng(seed).normal(0, 1, (4, 3))
    mesh = polyline(np.insert(points, 2, points[1], axis=0), thickness=0.02)
    assert is_closed(mesh)
    assert len(mesh.vertices) == 3 * 8
    for start, end, bar in zip(points, points[1:], mesh.vertices.reshape(3, 8, 3), strict=False):
        np.testing.assert_allclose(bar.mean(axis=0), (start + end) / 2, atol=1e-9)
        along = (bar - start) @ (end - start) / np.linalg.norm(end - start)
        assert along.min() == pytest.approx(-0.01)
        assert along.max() == pytest.approx(np.linalg.norm(end - start) + 0.01)


def test_no_meshes_are_an_empty_mesh():
    assert merged([]).vertices.shape == merged([]).faces.shape == (0, 3)


# ── splats ─────────────────────────────────────────────────────────────────────────────────────
def scene_of(means: np.ndarray, *, opacities: np.ndarray | None = None, degree: int = 0) -> GaussianScene:
    rng, count = np.random.default_rng(0), len(means)
    quats = rng.normal(size=(count, 4))
    return GaussianScene(
        means,
        quats / np.linalg.norm(quats, axis=1, keepdims=True),
        rng.uniform(0.001, 0.02, (count, 3)),
        np.full(count, 0.9) if opacities is None else opacities,
        rng.normal(0, 1.5, (count, (degree + 1) ** 2, 3)),
    )


def test_covariances_are_rotations_times_squared_scales():
    scene = scene_of(np.random.default_rng(1).normal(size=(20, 3)))
    splats = splats_of(scene)
    for k in range(20):
        R = Rotation.from_quat(np.roll(scene.quats[k], -1)).as_matrix()
        S = np.diag(scene.scales[k])
        np.testing.assert_allclose(splats.covariances[k], R @ S @ S.T @ R.T, atol=1e-15)
        np.testing.assert_array_equal(splats.centers[k], scene.means[k])


@pytest.mark.parametrize("degree", [0, 2])
def test_colours_are_the_renderers_own_without_directions(degree):
    scene = scene_of(np.random.default_rng(1).normal(size=(50, 3)), degree=degree)
    drawn = colors(freeze(scene).parameters, torch.eye(4), degree=0).clamp_max(1.0)
    np.testing.assert_allclose(splats_of(scene).colors, drawn.numpy(), atol=1e-6)


def test_the_faint_are_left_out_and_who_is_kept_is_known():
    opacities = np.array([0.9, 1e-4, 0.5, 0.0019, 0.002, 1e-6])
    scene = scene_of(np.random.default_rng(1).normal(size=(6, 3)), opacities=opacities)
    splats = splats_of(scene)
    assert splats.kept.tolist() == [0, 2, 4]
    assert len(splats) == 3
    np.testing.assert_array_equal(splats.centers, scene.means[splats.kept])
    np.testing.assert_array_equal(splats.opacities[:, 0], opacities[splats.kept])


def strewn(seed: int, total: int) -> GaussianScene:
    """A flat sheet with some Gaussians far from it."""
    rng = np.random.default_rng(seed)
    means = rng.uniform([-1, -1, 0], [1, 1, 0.01], (total, 3)) * np.where(
        rng.random((total, 1)) < 0.02, 50, 1
    )
    return scene_of(means, opacities=rng.uniform(0.1, 1.0, total))


@given(seed=seeds, total=st.integers(2, 400), count=st.integers(1, 50))
def test_a_sketch_is_small_and_has_the_scenes_middle_and_colour(seed, total, count):
    splats = splats_of(strewn(seed, total))
    few = sketch(splats, count)
    assert len(few) <= max(1, count)
    covers = splats.opacities[:, 0] * np.trace(splats.covariances, axis1=1, axis2=2)
    alone = [np.flatnonzero(splats.kept == one)[0] for one in few.kept]
    assert len(set(alone)) == len(few)
    if len(few) == 1 < total:
        np.testing.assert_allclose(few.centers[0], np.average(splats.centers, axis=0, weights=covers))
        np.testing.assert_allclose(few.colors[0], np.average(splats.colors, axis=0, weights=covers))
    assert np.linalg.eigvalsh(few.covariances).min() > 0
    assert ((few.opacities > 0) & (few.opacities <= 1)).all()
    low, high = splats.centers.min(axis=0), splats.centers.max(axis=0)
    assert ((few.centers >= low - 1e-9) & (few.centers <= high + 1e-9)).all()


def test_a_sketch_of_few_is_all_of_them():
    splats = splats_of(strewn(0, 30))
    assert sketch(splats, 30) is splats


def test_a_sketch_uses_what_it_may():
    splats = splats_of(strewn(1, 20_000))
    assert 400 <= len(sketch(splats, 1000)) <= 1000


def test_gaussians_in_one_place_are_one_in_a_sketch():
    splats = splats_of(scene_of(np.ones((9, 3))))
    few = sketch(splats, 3)
    np.testing.assert_allclose(few.centers, np.ones((1, 3)))
    covers = splats.opacities[:, 0] * np.trace(splats.covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(few.covariances[0], np.average(splats.covariances, axis=0, weights=covers))


def test_a_sketch_of_an_even_sheet_has_no_gaps():
    """Its Gaussians, drawn as densities, are as even between cells as in them."""
    side = np.linspace(-1, 1, 101)
    sheet = np.stack([*np.meshgrid(side, side), np.zeros((101, 101))], axis=-1).reshape(-1, 3)
    few = sketch(splats_of(scene_of(sheet)), 500)
    spots = np.stack([*np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.5, 0.5, 41))], -1).reshape(
        -1, 2
    )
    apart = spots[:, None, :] - few.centers[:, :2]
    inverse = np.linalg.inv(few.covariances[:, :2, :2])
    density = np.exp(-0.5 * np.einsum("smi,mij,smj->sm", apart, inverse, apart)).sum(axis=1)
    # Cells' own Gaussians are of several sizes. Gaussians as large as what they stand for would give 0.2.
    assert density.min() > 0.5 * density.max()


def test_an_empty_scene_is_drawn_and_painted():
    splats = splats_of(scene_of(np.zeros((0, 3))))
    assert len(splats) == 0
    assert paint(splats.colors, np.zeros(0), blend=1.0, threshold=0.5).shape == (0, 3)


shares = st.floats(0, 1)


@given(seed=seeds, blend=shares, threshold=shares, peak=st.floats(1e-6, 1.0))
def test_painted_colours_are_colours_on_the_way_from_the_scenes_own(seed, blend, threshold, peak):
    rng = np.random.default_rng(seed)
    own, relevancy = rng.choice([0.0, 0.3, 1.0], (30, 3)), peak * rng.uniform(0, 1, 30)
    painted = paint(own, relevancy, blend=blend, threshold=threshold)
    assert painted.min() >= -1e-12
    assert painted.max() <= 1 + 1e-12
    full = paint(own, relevancy, blend=1.0, threshold=threshold)
    np.testing.assert_allclose(painted, (1 - blend) * own + blend * full, atol=1e-12)


def tinted(own: np.ndarray, relevancy: np.ndarray, threshold: float) -> np.ndarray:
    return (np.abs(paint(own, relevancy, blend=1.0, threshold=threshold) - own) > 1e-9).any(axis=1)


@given(seed=seeds, threshold=shares)
def test_below_the_threshold_nothing_is_tinted_and_above_it_all(seed, threshold):
    rng = np.random.default_rng(seed)
    own, relevancy = rng.uniform(0, 1, (30, 3)), rng.uniform(0.05, 1, 30)
    np.testing.assert_array_equal(tinted(own, relevancy, threshold), relevancy >= threshold)


def test_at_the_highest_threshold_only_certainty_is_tinted():
    own, relevancy = np.full((5, 3), 0.5), np.array([0.1, 1.0, 0.3, 0.99, 0.0])
    assert tinted(own, relevancy, 1.0).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(("relevancy", "blend"), [(0.0, 1.0), (0.5, 0.0)])
def test_without_relevancy_or_blend_the_colours_stay(relevancy, blend):
    own = np.random.default_rng(0).uniform(0, 1, (9, 3))
    np.testing.assert_array_equal(paint(own, np.full(9, relevancy), blend=blend, threshold=0.0), own)


# ── outlook ────────────────────────────────────────────────────────────────────────────────────
def tabletop(*, tilt: float = 0.0) -> np.ndarray:
    """Points on a table through the origin, and on a heap of things that stand on it."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(-0.25, 0.25, (1500, 2)), rng.normal(0, 0.001, 1500)])
    things = rng.uniform([-0.08, -0.08, 0.0], [0.08, 0.08, 0.1], (800, 3))
    return np.concatenate([table, things]) @ Rotation.from_euler("x", tilt, degrees=True).as_matrix().T


def cameras(count: int = 7, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, count)
    eyes = np.column_stack([0.4 * np.cos(angles), 0.4 * np.sin(angles), rng.uniform(0.2, 0.5, count)])
    return [synthetic.look_at(eye, np.array([0.0, 0.0, 0.03])) for eye in eyes]


def initial_camera_of(points: np.ndarray, poses: list[np.ndarray]) -> InitialCamera:
    found = find_initial_camera(scene_of(points), poses)
    for value in (found.center, found.up, found.eye, found.T_world_ground):
        assert np.isfinite(value).all()
    assert np.linalg.norm(found.up) == pytest.approx(1)
    assert found.distance > 0
    assert np.linalg.norm(found.eye - found.center) > 0.5 * found.distance
    R = found.T_world_ground[:3, :3]
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1)
    np.testing.assert_allclose(R[:, 2], found.up)
    # The ground lies under the centre, straight along up.
    off = found.center - found.T_world_ground[:3, 3]
    np.testing.assert_allclose(np.cross(off, found.up), 0, atol=1e-6 * found.distance)
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("poses", "one_side"), [(cameras(), True), (synthetic.orbit(8), False)], ids=["strewn", "at one height"]
)
def test_an_outlook_moves_turns_and_grows_with_its_scene(seed, poses, one_side):
    """Of cameras at one height none is of medium height: the side to look from is anybody's."""
    rng = np.random.default_rng(seed)
    R, t, size = rotation(seed), rng.normal(0, 3, 3), float(rng.uniform(0.05, 20))
    before = initial_camera_of(tabletop(), poses)
    moved = []
    for T in poses:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = R @ T[:3, :3], size * R @ T[:3, 3] + t
        moved.append(pose)
    after = initial_camera_of(size * tabletop() @ R.T + t, moved)
    # Not to the last digit: the middle of the Gaussians is a median by coordinates.
    tolerance = 0.01 * after.distance
    np.testing.assert_allclose(after.center, size * R @ before.center + t, atol=tolerance)
    if one_side:
        np.testing.assert_allclose(after.eye, size * R @ before.eye + t, atol=tolerance)
    heights = [(found.eye - found.center) @ found.up for found in (before, after)]
    assert heights[1] == pytest.approx(size * heights[0], abs=2 * tolerance)
    np.testing.assert_allclose(after.up, R @ before.up, atol=1e-3)
    foot = size * R @ before.T_world_ground[:3, 3] + t
    np.testing.assert_allclose(after.T_world_ground[:3, 3], foot, atol=tolerance)
    assert after.distance == pytest.approx(size * before.distance, rel=0.01)


@pytest.mark.parametrize("tilt", [-25.0, 0.0, 15.0, 35.0])
def test_up_is_the_tables_normal_and_the_ground_lies_on_it(tilt):
    found = initial_camera_of(tabletop(tilt=tilt), cameras())
    normal = Rotation.from_euler("x", tilt, degrees=True).as_matrix()[:, 2]
    assert found.up @ normal > np.cos(np.radians(1))
    assert abs(found.T_world_ground[:3, 3] @ normal) < 0.003


def test_the_camera_is_placed_on_a_cameras_side_at_the_things():
    poses = cameras()
    found = initial_camera_of(tabletop(), poses)
    assert np.linalg.norm(found.center - [0, 0, 0.03]) < 0.03
    assert found.distance == pytest.approx(np.hypot(0.4, 0.32), abs=0.1)
    sides = [T[:2, 3] / np.linalg.norm(T[:2, 3]) for T in poses]
    aside = (found.eye - found.center)[:2]
    assert max(side @ aside for side in sides) > 0.95 * np.linalg.norm(aside)
    assert found.eye[2] > found.center[2]


def test_a_wall_is_no_ground():
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.normal(0, 0.001, 2000), rng.uniform(-0.3, 0.3, (2000, 2))])
    poses = [synthetic.look_at(np.array([-1.0, y, 0.1 * y]), np.zeros(3)) for y in (-0.4, 0.0, 0.3)]
    found = initial_camera_of(wall, poses)
    assert found.up[2] > 0.99
    assert -0.31 < found.T_world_ground[2, 3] < -0.25


def test_cameras_that_look_straight_down_and_are_turned_every_way_are_above():
    poses = []
    for number in range(8):
        T = np.eye(4)
        T[:3, :3] = Rotation.from_euler("zx", [45 * number, 180], degrees=True).as_matrix()
        T[:3, 3] = [0.05 * np.cos(number), 0.05 * np.sin(number), 0.5]
        poses.append(T)
    assert initial_camera_of(tabletop(), poses).up[2] > 0.999
    assert initial_camera_of(np.zeros((0, 3)), poses).up[2] > 0.9


def moved(T: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    """A camera somewhere else, its axes as they were."""
    T = T.copy()
    T[:3, 3] += [x, y, z]
    return T


ONE = synthetic.look_at(np.array([0.3, 0.2, 0.4]), np.zeros(3))
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])
PLACES = {
    "things": tabletop(),
    "nothing": np.zeros((0, 3)),
    "one point": np.full((50, 3), 0.3),
    "a line": np.outer(np.linspace(-0.2, 0.2, 50), [0.6, 0.0, 0.8]),
    "two points": np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]),
    "a single point": np.zeros((1, 3)),
}
WATCHED = {
    "by many": cameras(),
    "by none": [],
    "by one": [ONE],
    "from straight above": [moved(DOWN, 0.0, 0.0, 0.5)],
    "from one place": [ONE, ONE @ np.diag([-1.0, 1.0, -1.0, 1.0]), ONE @ DOWN],
    "from the origin": [np.eye(4)],
    "side by side": [ONE, moved(ONE, 0.1, 0.0, 0.0)],
}


@pytest.mark.parametrize("watched", WATCHED)
@pytest.mark.parametrize("place", PLACES)
def test_there_is_an_outlook_on_anything(place, watched):
    found = initial_camera_of(PLACES[place], WATCHED[watched])
    # Lengths go by it: neither nothing, nor far too small for what is there.
    away = np.linalg.norm(PLACES[place] - found.center, axis=1)
    assert found.distance > max(1e-3, 0.02 * np.median(away) if len(away) else 0.0)
    if len(WATCHED[watched]) == 0:
        assert found.up.tolist() == [0, 0, 1]


@pytest.mark.parametrize("place", ["one point", "a line", "nothing"])
def test_where_there_is_no_plane_up_is_the_cameras(place):
    up = -np.mean([T[:3, 1] for T in cameras()], axis=0)
    assert initial_camera_of(PLACES[place], cameras()).up @ up / np.linalg.norm(up) == pytest.approx(1)


def test_haze_is_not_looked_at():
    points = np.concatenate([tabletop(), np.full((9000, 3), 40.0)])
    opacities = np.concatenate([np.full(2300, 0.9), np.full(9000, 0.05)])
    with_haze = find_initial_camera(scene_of(points, opacities=opacities), cameras())
    np.testing.assert_array_equal(with_haze.center, initial_camera_of(tabletop(), cameras()).center)


# ── photographs ────────────────────────────────────────────────────────────────────────────────
cams = st.builds(
    lambda f, ratio, cx, cy, height, width: Camera(
        f * width, ratio * f * width, cx * width, cy * height, height, width
    ),
    st.floats(0.4, 3.0),
    st.floats(0.8, 1.25),
    st.floats(0.1, 0.9),
    st.floats(0.1, 0.9),
    st.integers(40, 2000),
    st.integers(40, 2000),
)


def pose_of(seed: int) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = rotation(seed), np.random.default_rng(seed).normal(0, 2, 3)
    return T


def on_photo(camera: Camera, T: np.ndarray, distance: float, pixel: np.ndarray) -> np.ndarray:
    """Where a pixel hangs in the world."""
    hanging = place_photo(camera, T, distance)
    share = pixel / [camera.width, camera.height] - 0.5
    flat = np.array([share[0] * hanging.width, share[1] * hanging.height, 0.0])
    return transform_points(hanging.T_world_photo, flat[None])[0]


places = st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)).map(np.array)


@given(camera=cams, seed=seeds, distance=st.floats(0.05, 5.0), share=places)
def test_a_photograph_hangs_just_before_what_its_camera_saw(camera, seed, distance, share):
    T, pixel = pose_of(seed), share * [camera.width, camera.height]
    at, depth = project(camera, T, on_photo(camera, T, distance, pixel)[None])
    np.testing.assert_allclose(at[0], pixel, atol=1e-6 * camera.width)
    assert depth[0] == pytest.approx(distance)


@given(camera=cams, seed=seeds, distance=st.floats(0.05, 5.0), share=places)
def test_a_click_means_the_pixel_that_it_hits_from_any_side(camera, seed, distance, share):
    T, pixel = pose_of(seed), share * [camera.width, camera.height]
    target = on_photo(camera, T, distance, pixel)
    away = np.random.default_rng(seed).normal(0, 1, 3)
    for eye in (T[:3, 3], target + distance * (away + 2 * np.sign(away @ T[:3, 2]) * T[:3, 2])):
        # viser's rays are unit vectors, but nothing hangs on it.
        for length in (1.0, 1 / np.linalg.norm(target - eye)):
            found = pixel_under(camera, T, distance, eye, length * (target - eye))
            assert found is not None
            np.testing.assert_allclose(found, pixel, atol=1e-6 * camera.width)
        assert pixel_under(camera, T, distance, eye, eye - target) is None


@given(camera=cams, seed=seeds, share=st.floats(0.0, 1.0), over=st.floats(0.001, 5.0))
def test_a_click_beside_the_photograph_means_nothing(camera, seed, share, over):
    T, size = pose_of(seed), np.array([camera.width, camera.height])
    for beside in ((share, -over), (share, 1 + over), (-over, share), (1 + over, share)):
        target = on_photo(camera, T, 0.5, np.array(beside) * size)
        assert pixel_under(camera, T, 0.5, T[:3, 3], target - T[:3, 3]) is None
    assert pixel_under(camera, T, 0.5, T[:3, 3], T[:3, 0]) is None


@given(camera=cams, seed=seeds, aspect=st.floats(0.2, 5.0))
def test_all_of_a_photograph_is_seen_in_a_window_of_any_shape(camera, seed, aspect):
    T = pose_of(seed)
    hanging = place_photo(camera, T, 0.4)
    seen = camera_facing(hanging, aspect)
    assert seen.fov == FOV
    forward = (seen.look_at - seen.position) / np.linalg.norm(seen.look_at - seen.position)
    right = np.cross(forward, seen.up)
    axes = np.stack([right / np.linalg.norm(right), seen.up, forward])
    corners = [np.array([x, y]) for x in (0, camera.width) for y in (0, camera.height)]
    x, y, z = axes @ (np.array([on_photo(camera, T, 0.4, at) for at in corners]) - seen.position).T
    high = z * np.tan(FOV / 2)
    assert (z > 0).all()
    assert np.abs(y / high).max() < 1
    assert np.abs(x / high).max() < aspect
    # It fills the window up to the margin, one way or the other, and stands upright.
    assert np.ptp(z) < 1e-9
    fills = max(np.ptp(y) / (2 * high[0]), np.ptp(x) / (2 * aspect * high[0]))
    assert fills > 0.65
    assert y[0] > y[1]
    assert x[2] > x[0]
    if aspect > 1:
        # A panel of a quarter of the width hides nothing.
        assert (x / (aspect * high)).max() < 0.5


def test_what_is_drawn_on_a_photograph_is_what_was_chosen():
    view = View("0.png", synthetic.pinhole(), np.eye(4), np.full((48, 64, 3), 90, np.uint8))
    heat, pixels = np.zeros((48, 64)), np.array([[20.0, 30.0]])
    heat[10, 50] = 1.0
    drawn = {overlay: annotated(view, pixels, heat, (255, 0, 0), overlay) for overlay in OVERLAYS}
    assert (drawn["nothing"] == 90).all()
    assert (drawn["points"][10, 50] == 90).all()
    assert (drawn["points and heatmap"][10, 50] != 90).any()
    assert (drawn["points"][25:36, 15:26] != 90).any()
    for overlay in OVERLAYS:
        np.testing.assert_array_equal(annotated(view, None, None, (255, 0, 0), overlay), view.rgb)
    assert (view.rgb == 90).all()


@given(height=st.integers(1, 400), width=st.integers(1, 400), side=st.integers(1, 200))
def test_a_thumbnail_is_small_and_made_of_the_images_pixels(height, width, side):
    image = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)
    small = thumbnail(image, side)
    assert 1 <= max(small.shape[:2]) <= side
    np.testing.assert_array_equal(small[0, 0], image[0, 0])
    if max(height, width) <= side:
        np.testing.assert_array_equal(small, image)


# ── words ──────────────────────────────────────────────────────────────────────────────────────
MARKS = (
    "{",
    "}",
    "<",
    ">",
    "`",
    "|",
    "*",
    "_",
    "\\",
    "$",
    " ",
    "\n",
    "\r\n",
    "\u2028",
    "\u202e",
    "~~~",
    "# ",
)
PIECES = (
    "- ",
    "1. ",
    "[a](b)",
    "{1+1}",
    "<b>",
    "</script>",
    "```js\n",
    "&lt;",
    "&#123;",
    "https://a.example",
)
WORDS = ("import x", "export const y = 1", "the mug", "ü", "\u202e")
hostile = st.lists(st.sampled_from((*MARKS, *PIECES, *WORDS)), max_size=8).map("".join)
SOMEWHERE = Region(
    np.array([0.1, -0.2, 0.3]),
    0.9,
    Support(3, 1, 2, ("out.png",)),
    OrientedBox(np.zeros(3), np.eye(3), np.ones(3)),
)


@given(text=hostile | st.text(max_size=30))
def test_plain_text_is_shown_as_it_is(text):
    shown = markdown.plain(text)
    assert html.unescape(shown) == " ".join(text.split())
    assert not re.search(r"[{}<>`|*_\[\]\\\n\r\u2028]", shown)
    assert not re.match(r"import|export|[#\->+]|\d+[.)]", shown)


def texts_with(text: str) -> list[str]:
    """Everything that is put on the page about something that outsiders call ``text``."""
    query = Query(text, text)
    answers = (
        Answer(text, text, np.zeros((1, 2)), model=text, raw=text),
        Answer(text, text, np.zeros((0, 2)), visible=False, model=PERSON),
    )
    nowhere = QueryResult(query, None, (), (), "no_points", text)
    place = PlacePose(np.eye(4), 0.1, 0.001)
    found = QueryResult(query, SOMEWHERE, (), (SOMEWHERE,), "all_collide", text, place)
    path = JointPath((text,), np.zeros((3, 1)), np.zeros((2, 1)), 0.1, 0.1, 0.1)
    contacts = np.zeros((2, 3))
    grasp = Grasp(np.eye(4), 0.04, 0.5, 0.5, 0.5, contacts, 0.01, None, (True, False), {text: 0.5}, 0.1, path)
    taken = QueryResult(query, SOMEWHERE, (grasp,))
    return [
        markdown.about_result(nowhere),
        markdown.about_result(found),
        markdown.about_photo(text, answers, True, found),
        markdown.about_photo(text, (), False, None),
        markdown.about_photo(text, answers[:1], False, found),
        markdown.about_grasp(grasp, 1, 1),
        markdown.about_grasps(nowhere, 0, planned=True),
        markdown.about_grasps(found, 0, planned=True),
        markdown.about_grasps(taken, 0, planned=True),
    ]


@given(text=hostile)
def test_nothing_from_outside_is_more_than_text(text):
    """The text has the same number of marks of Markdown and MDX as for a harmless name."""
    text = "x" + text
    for given_text, harmless in zip(texts_with(text), texts_with("x"), strict=True):
        assert not re.search("[{}<]", given_text)
        for mark in "`|*_\n#[]$~\\":
            # References to characters are written with an ampersand and a hash.
            plain = re.sub(r"&#\d+;", "", given_text)
            assert plain.count(mark) == harmless.count(mark)


@given(text=hostile)
def test_no_line_is_a_program(text):
    """MDX runs a line that starts so."""
    for shown in texts_with(text):
        assert not re.search(r"^(import|export)\b", shown, re.MULTILINE)


names = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "x (a)"]), st.sampled_from(["x", "x (a)", "x (a) (b)", "y"])
    ),
    max_size=5,
    unique_by=lambda pair: pair[0],
)


@given(pairs=names)
def test_no_two_queries_are_called_the_same(pairs):
    shown = markdown.labels(pairs)
    assert list(shown) == [name for name, _ in pairs]
    assert len(set(shown.values())) == len(pairs)
    texts = [text for _, text in pairs]
    for name, text in pairs:
        assert shown[name].startswith(text)
        if texts.count(text) == 1:
            assert shown[name] == text


def test_there_are_words_for_everything():
    assert set(HEADLINES) == set(get_args(Reason))
    for role in get_args(Role):
        query = Query("q", "the mug", role)
        assert "the mug" in markdown.about_result(QueryResult(query, SOMEWHERE))
        assert markdown.about_grasps(QueryResult(query, SOMEWHERE), 0, planned=True)
    assert markdown.about_grasps(QueryResult(Query("q", "mug"), SOMEWHERE), 0, planned=False) == "Planning …"
    lines = [markdown.about_scene(1_234_567, 8, metric) for metric in (None, True, False)]
    assert len(set(lines)) == 3
    assert all("1\u202f234\u202f567" in line for line in lines)


def verdict_on(*answers: Answer, counted: bool = True, region: Region | None = SOMEWHERE) -> str | None:
    image = answers[0].image if answers else "in.png"
    return markdown.verdict(image, answers, counted, QueryResult(Query("mug", "the mug"), region))


def test_the_verdict_on_an_answer():
    here, nowhere = np.array([[3.0, 4.0]]), np.zeros((0, 2))
    points, outvoted = Answer("in.png", "mug", here), Answer("out.png", "mug", here)
    hidden = Answer("in.png", "mug", nowhere, visible=False)
    assert verdict_on(points) == "supports"
    assert verdict_on(outvoted) == "rejected"
    assert verdict_on(hidden) == "compatible"
    assert verdict_on(points, counted=False) == "overruled"
    assert verdict_on(points, region=None) == "no consensus"
    assert verdict_on() is None
    assert markdown.verdict("in.png", (points,), True, None) is None


def test_what_a_model_pointed_at_backs_nothing_where_a_person_sees_nothing():
    points = Answer("in.png", "mug", np.array([[3.0, 4.0]]), model="makers/m")
    hidden = Answer("in.png", "mug", np.zeros((0, 2)), visible=False, model=PERSON)
    assert verdict_on(points, hidden) == "compatible"


def test_the_opening_of_a_grasp_is_named_where_it_was_checked():
    grasp = Grasp(np.eye(4), 0.04, 0.567, 0.5, 0.5, np.zeros((2, 3)), 0.01)
    assert "width 40 mm\n" in markdown.about_grasp(grasp, 1, 1)
    checked = replace(grasp, approach_width=0.052)
    assert "width 40 mm · open to 52 mm on the approach\n" in markdown.about_grasp(checked, 1, 1)
    for free, words in ((True, ", also free fully open"), (False, ", not free fully open")):
        assert f"approach{words}\n" in markdown.about_grasp(replace(checked, free_fully_open=free), 1, 1)


def test_the_share_of_the_approach_that_was_seen_is_named_where_it_is_known():
    grasp = Grasp(np.eye(4), 0.04, 0.567, 0.5, 0.5, np.zeros((2, 3)), 0.01)
    assert "looked through" not in markdown.about_grasp(grasp, 1, 1)
    assert "A camera looked through 75 %" in markdown.about_grasp(replace(grasp, approach_seen=0.75), 1, 1)


def test_lists_of_grasps_and_photographs_count_from_one_and_may_be_empty():
    grasp = Grasp(np.eye(4), 0.04, 0.567, 0.5, 0.5, np.zeros((2, 3)), 0.01)
    assert markdown.in_menu((grasp, grasp)) == ("1: score 0.57", "2: score 0.57")
    assert markdown.in_menu(()) == ()
    assert "Grasp 2 of 2" in markdown.about_grasps(
        QueryResult(Query("q", "q"), SOMEWHERE, (grasp, grasp)), 1, planned=True
    )


# ── the worker ─────────────────────────────────────────────────────────────────────────────────
SOON = 10.0


class Bench:
    """A worker whose first job waits until it is let go, and what was done meanwhile."""

    def __init__(self, failed=None):
        self.done, self.errors, self.gate = [], [], threading.Event()
        self.worker = Worker("test", failed or self.errors.append)
        started = threading.Event()
        self.worker.do(lambda: (started.set(), self.gate.wait(SOON)))
        assert started.wait(SOON)

    def note(self, what, **options) -> None:
        self.worker.do(lambda: self.done.append(what), **options)

    def finish(self) -> list:
        self.gate.set()
        assert self.worker.settle(SOON)
        return self.done


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.gate.set()
    made.worker.end()


def test_jobs_are_done_one_after_another_in_their_order(bench):
    for number in range(20):
        bench.note(number)
    assert bench.done == []
    assert bench.worker.waiting
    assert bench.finish() == list(range(20))
    assert not bench.worker.waiting


def test_of_jobs_that_replace_each_other_the_newest_takes_the_firsts_turn(bench):
    bench.note("old", instead_of="paint")
    bench.note("between")
    bench.note("other", instead_of="move")
    bench.note("new", instead_of="paint")
    assert bench.finish() == ["new", "between", "other"]
    bench.note("again", instead_of="paint")
    assert bench.finish()[-1] == "again"


def test_what_is_under_way_is_not_replaced():
    bench = Bench()
    started, go = threading.Event(), threading.Event()
    bench.worker.do(lambda: (started.set(), go.wait(SOON), bench.done.append("first")), instead_of="paint")
    bench.gate.set()
    assert started.wait(SOON)
    bench.note("second", instead_of="paint")
    go.set()
    assert bench.finish() == ["first", "second"]
    bench.worker.end()


def test_a_job_may_bring_others(bench):
    bench.worker.do(lambda: bench.note("child"))
    bench.note("sibling")
    assert bench.finish() == ["sibling", "child"]


@pytest.mark.parametrize("error", [ValueError("a"), SystemExit(1), KeyboardInterrupt()])
def test_a_job_that_fails_is_reported_and_does_not_stop_the_next(bench, error):
    def fail() -> None:
        raise error

    bench.worker.do(fail)
    bench.note("next")
    assert bench.finish() == ["next"]
    assert bench.errors == [error]


def test_a_failing_report_does_not_stop_the_next(capsys):
    def report(err: BaseException) -> None:
        raise RuntimeError("no report") from err

    bench = Bench(report)
    bench.worker.do(lambda: 1 / 0)
    bench.note("next")
    assert bench.finish() == ["next"]
    assert "no report" in capsys.readouterr().err
    bench.worker.end()


def test_settling_waits_no_longer_than_it_may(bench):
    assert not bench.worker.settle(0.01)
    bench.note("waits")
    assert not bench.worker.settle(0.01)
    assert bench.finish() == ["waits"]
    assert bench.worker.settle(0.0)


def test_after_the_end_no_job_is_started(bench):
    bench.note("waits")
    bench.worker.end()
    bench.note("late")
    assert not bench.worker.waiting
    assert bench.finish() == []
    bench.note("very late")
    assert bench.worker.settle(0.0)
