"""Grasps on readings of real cameras, and the suite that checks them against these readings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import CannotMeasureError
from benchmarks.real import suite as real
from benchmarks.real.check import (
    CheckConfig,
    check,
    measured_cloud,
    open_gripper,
    signed_distance,
    steady_pixels,
)
from benchmarks.real.clouds import view_of_cloud
from benchmarks.real.scenes import (
    PixelQuery,
    RealScene,
    frame_scene,
    spray_can,
    table_mug,
    upright_camera,
)
from point2act.core.geometry import project, transform_points
from point2act.core.types import Grasp, OrientedBox, Region, Support
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points
from point2act.grasping.antipodal.plan import plan_grasps
from point2act.grasping.grippers import load_gripper
from point2act.grasping.tsdf import fuse_local

CONFIG = CheckConfig()
EYE = np.array([0.35, 0.0, 0.3])


# ── the check ──────────────────────────────────────────────────────────────────────────────────
def grasp_at(T: np.ndarray, width: float) -> Grasp:
    contacts = transform_points(T, np.array([[0, -width / 2, 0], [0, width / 2, 0]]))
    return Grasp(T, width, 1.0, 1.0, 1.0, contacts, 0.01)


def rod(radius: float, length: float = 0.02) -> np.ndarray:
    """Return points on an upright rod that ends at the origin's height."""
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi, 60), np.linspace(-length, 0.005, 20))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1).reshape(-1, 3)


DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


def test_a_rod_between_the_fingers_is_held_and_met_by_nothing():
    verdict = check(grasp_at(DOWN, 0.02), load_gripper("panda"), rod(0.01))
    assert verdict.free()
    assert verdict.clearance == pytest.approx(CONFIG.clearance, abs=2e-4)
    assert verdict.holds()
    assert max(verdict.contacts) < 2e-3


def test_a_grasp_is_checked_with_its_own_opening():
    grasp = dataclasses.replace(grasp_at(DOWN, 0.02), approach_width=0.05)
    verdict = check(grasp, load_gripper("panda"), rod(0.01))
    assert verdict.clearance == pytest.approx(0.015, abs=2e-4)
    narrow = check(dataclasses.replace(grasp, approach_width=0.014), load_gripper("panda"), rod(0.01))
    assert not narrow.free()


def test_thin_air_is_not_held():
    T = DOWN.copy()
    T[2, 3] = 0.05
    verdict = check(grasp_at(T, 0.02), load_gripper("panda"), rod(0.01))
    assert verdict.free()
    assert not verdict.holds()
    assert min(verdict.contacts) > 0.03


@pytest.mark.parametrize("gripper", ["panda", "robotiq_2f85"])
def test_readings_in_the_way_are_met_on_every_part_of_it(gripper):
    end_effector = load_gripper(gripper)
    grasp = grasp_at(DOWN, 0.02)
    opening = grasp.width + 2 * CONFIG.clearance
    for low, high in open_gripper(end_effector, opening, CONFIG.approach):
        inside = transform_points(DOWN, np.random.default_rng(0).uniform(low + 0.002, high - 0.002, (5, 3)))
        for point in inside:
            assert not check(grasp, end_effector, point[None]).free()
    # Just in front of the fingertips there is no gripper yet.
    front = max(high[2] for _, high in open_gripper(end_effector, opening, 0.0))
    ahead = transform_points(DOWN, np.array([[0.0, opening / 2 + 0.005, front + 0.003]]))
    assert check(grasp, end_effector, ahead).clearance == pytest.approx(0.003)


def test_signed_distance_agrees_with_its_slow_twin():
    rng = np.random.default_rng(1)
    low, high = np.array([-0.2, -0.1, 0.0]), np.array([0.1, 0.3, 0.5])
    points = rng.uniform(-0.6, 0.9, (300, 3))
    fast = signed_distance(points, low, high)
    for point, value in zip(points, fast, strict=True):
        nearest = np.clip(point, low, high)
        within = (nearest == point).all()
        walls = min((point - low).min(), (high - point).min())
        assert value == pytest.approx(-walls if within else np.linalg.norm(point - nearest))


def test_pixels_in_the_air_are_no_readings():
    depth = np.full((20, 30), 0.5)
    depth[:, 15:] = 0.8
    depth[10, 15] = 0.65  # a flying pixel
    depth[5, 5] = 0.0
    steady = steady_pixels(depth, CONFIG)
    assert not steady[10, 15]
    assert not steady[5, 5]
    assert steady[2:8, 13:17].all()  # an edge stays


# ── clouds seen by virtual cameras ─────────────────────────────────────────────────────────────
def ball(radius: float = 0.05, count: int = 20_000) -> np.ndarray:
    """Return points spread evenly over a sphere: a spiral of equal areas."""
    height = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    beside = np.sqrt(1 - height**2)
    return radius * np.stack([beside * np.cos(angle), beside * np.sin(angle), height], axis=1)


def test_a_cloud_is_seen_where_it_is():
    view = view_of_cloud("ball.png", ball(), upright_camera(EYE), 700.0)
    assert view.depth is not None
    cloud = measured_cloud([view])
    away = np.linalg.norm(cloud, axis=1)
    assert len(cloud) > 3000
    assert np.abs(away - 0.05).max() < 3e-3
    assert np.median(np.abs(away - 0.05)) < 3e-4
    # The near half only, and nothing beside the ball.
    assert (cloud @ EYE / np.linalg.norm(EYE)).min() > 0
    assert view.depth[0, 0] == 0
    assert view.rgb[0, 0].max() == 0


def test_a_scene_becomes_a_capture_with_answers_in_every_view(tmp_path):
    cloud = ball()
    eyes = (EYE, np.array([0.25, 0.25, 0.3]), -EYE)
    views = tuple(
        view_of_cloud(f"images/{i}.png", cloud, upright_camera(e), 700.0) for i, e in enumerate(eyes)
    )
    scene = RealScene("ball", views, (PixelQuery("top", "the ball", (80.0, 60.0)),))
    scene.write(tmp_path)
    capture = read_capture(tmp_path)
    assert capture.metric
    read = load_views(capture)[0].depth
    assert read is not None
    assert np.abs(read - scene.depths[0]).max() <= 0.5e-3 + 1e-6
    answers = read_points(tmp_path / "points.json", capture).answers
    assert [answer.image for answer in answers] == [view.name for view in views]
    for view, answer in zip(views, answers, strict=True):
        if answer.visible:
            pixel, _ = project(view.camera, view.T_world_cam, scene.place(scene.asks[0])[None])
            assert np.linalg.norm(pixel - answer.points, axis=1).max() < 1.0


# ── the suite ──────────────────────────────────────────────────────────────────────────────────
def test_without_data_the_suite_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setenv(real.DATA, str(tmp_path))
    with pytest.raises(CannotMeasureError, match="mug_frames"):
        real.data_folder()


# ── real readings, the planner alone ─────────────────────────────────────────────────────────────
def grasps_at(scene: RealScene, name: str) -> tuple[Grasp, ...]:
    """Plan at the reading that a person pointed at."""
    ask = next(ask for ask in scene.asks if ask.name == name)
    place = scene.place(ask)
    region = Region(place, 1.0, Support(1, 0, 0), OrientedBox(place, np.eye(3), np.full(3, 0.015)))
    volume = fuse_local(scene.views, scene.depths, place)
    grasps, why = plan_grasps(volume, region, load_gripper("panda"), rng=np.random.default_rng(0))
    assert grasps or (why is not None and why.detail)
    return grasps


@pytest.mark.parametrize(
    ("name", "ask", "widths"),
    [
        ("blue_mug", "handle", (0.004, 0.068)),
        ("red_mug", "handle", (0.004, 0.068)),
        ("green_bowl", "side", (0.002, 0.068)),
        ("table_mug", "handle", (0.004, 0.068)),
        ("spray_can_1", "can", (0.045, 0.062)),
        ("spray_can_6", "can", (0.045, 0.062)),
    ],
)
def test_grasps_of_real_things_touch_no_reading_and_close_on_some(shared_data, name, ask, widths):
    scene = real_scene(shared_data, name)
    grasps = grasps_at(scene, ask)
    cloud = measured_cloud(scene.views)
    verdicts = [check(grasp, load_gripper("panda"), cloud) for grasp in grasps]
    assert len(grasps) >= 3
    assert all(verdict.free() for verdict in verdicts)
    assert verdicts[0].holds()
    assert np.mean([verdict.holds() for verdict in verdicts]) >= 0.8
    assert all(widths[0] <= grasp.width <= widths[1] for grasp in grasps[:3])


def test_what_is_wider_than_the_gripper_gets_a_reason_or_another_place(shared_data):
    scene = real_scene(shared_data, "mustard")
    cloud = measured_cloud(scene.views)
    for grasp in grasps_at(scene, "bottle"):
        assert check(grasp, load_gripper("panda"), cloud).free()


def test_a_turned_world_has_the_same_verdicts(shared_data):
    scene = real_scene(shared_data, "blue_mug")
    T_new_world = upright_camera(EYE)
    turned = dataclasses.replace(
        scene,
        views=tuple(dataclasses.replace(v, T_world_cam=T_new_world @ v.T_world_cam) for v in scene.views),
    )
    before, after = grasps_at(scene, "handle"), grasps_at(turned, "handle")
    assert len(before) == len(after)
    best = check(before[0], load_gripper("panda"), measured_cloud(scene.views))
    same = check(after[0], load_gripper("panda"), measured_cloud(turned.views))
    assert same.clearance == pytest.approx(best.clearance, abs=1e-3)


def real_scene(data, name: str) -> RealScene:
    if name.startswith("spray_can"):
        return spray_can(data, int(name.rsplit("_", 1)[1]))
    return table_mug(data) if name == "table_mug" else frame_scene(data, name)
