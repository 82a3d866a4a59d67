import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic import look_at

from point2act.geometry import invert, project
from point2act.region import _angles, _Rays, _smoothed, find_region
from point2act.types import Camera, NoAnswer, View

CAMERA = Camera(fx=300.0, fy=300.0, cx=160.0, cy=120.0, height=240, width=320)


class World:
    """A plane with two bumps of relevancy, seen by a ring of cameras that all see everything."""

    def __init__(self, right: int, wrong: int, silent: int = 0, negative: int = 0, T=np.eye(4)):
        rng = np.random.default_rng(0)
        self.target, self.rival = np.array([0.05, 0.0, 0.0]), np.array([-0.1, 0.05, 0.0])
        flat = np.concatenate([rng.uniform(-0.2, 0.2, (6000, 2)), np.zeros((6000, 1))], axis=1)
        count = right + wrong + silent + negative
        angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
        eyes = np.stack([0.3 * np.cos(angles), 0.3 * np.sin(angles), np.full(count, 0.4)], axis=1)
        poses = [T @ look_at(eye, np.zeros(3)) for eye in eyes]
        blank = np.zeros((240, 320, 3), np.uint8)
        self.views = [View(f"{i}.png", CAMERA, pose, blank) for i, pose in enumerate(poses)]
        move = lambda p: p @ T[:3, :3].T + T[:3, 3]  # noqa: E731
        self.target, self.rival, self.points = move(self.target), move(self.rival), move(flat)
        bump = lambda c: np.exp(-0.5 * (np.linalg.norm(self.points - c, axis=1) / 0.02) ** 2)  # noqa: E731
        spoken = max(right + wrong + negative, 1)
        self.relevancy = (right * bump(self.target) + wrong * bump(self.rival)) / (spoken + 2)
        places = [self.target] * right + [self.rival] * wrong
        self.answers = [
            project(CAMERA, view.T_world_cam, place[None])[0]
            for view, place in zip(self.views, places, strict=False)
        ]
        self.answers += [None] * silent + [np.zeros((0, 2))] * negative
        self.depths = [self.plane_depth(view, T) for view in self.views]

    def plane_depth(self, view: View, T: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[0:240, 0:320] + 0.5
        rays = np.stack([(x - 160) / 300, (y - 120) / 300, np.ones_like(x)], axis=-1)
        local = invert(T) @ view.T_world_cam
        return -local[2, 3] / (rays @ local[2, :3])

    def find(self):
        return find_region(self.points, self.relevancy, self.views, self.depths, self.answers, sigma=0.04)


def test_agreeing_views_find_the_place():
    region, rivals = World(right=10, wrong=0).find()
    world = World(right=10, wrong=0)
    assert np.linalg.norm(region.action_point - world.target) < 0.003
    assert (region.support.agree, region.support.disagree, region.support.unseen) == (10, 0, 0)
    assert region.confidence > 0.9
    assert rivals == ()


def test_a_distractor_is_a_rival_not_an_average():
    world = World(right=8, wrong=5, silent=3)
    region, rivals = world.find()
    assert np.linalg.norm(region.action_point - world.target) < 0.005
    assert np.linalg.norm(rivals[0].action_point - world.rival) < 0.005
    assert region.support.agree == 8
    assert region.support.disagree == 5
    assert region.support.unseen == 3
    assert region.support.rejected_images == tuple(f"{i}.png" for i in range(8, 13))
    assert region.confidence > rivals[0].confidence
    assert region.confidence + rivals[0].confidence <= 1


def test_views_that_say_no_in_plain_sight_disagree():
    region, _ = World(right=6, wrong=0, negative=4).find()
    assert (region.support.agree, region.support.disagree) == (6, 4)


def test_the_box_is_a_frame_about_the_bump():
    world = World(right=10, wrong=0)
    region, _ = world.find()
    box = region.box
    np.testing.assert_allclose(box.axes @ box.axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(box.axes) == pytest.approx(1)
    assert np.linalg.norm(box.center - world.target) < 0.006
    assert 0.015 < box.half_extents[0] < 0.03
    assert box.half_extents[2] < 0.002


def test_nobody_spoke():
    answer, rivals = World(right=0, wrong=0, silent=5).find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_points"
    assert rivals == ()


def test_everybody_says_not_visible():
    answer, _ = World(right=0, wrong=0, negative=5).find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_points"
    assert "5" in answer.detail


def test_no_surface_under_the_points():
    world = World(right=5, wrong=0)
    answer, _ = find_region(
        np.zeros((0, 3)), np.zeros(0), world.views, world.depths, world.answers, sigma=0.04
    )
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_geometry"


def test_scattered_answers_are_refused():
    world = World(right=12, wrong=0)
    rng = np.random.default_rng(1)
    world.answers = [rng.uniform(0, [320, 240], (1, 2)) for _ in world.views]
    answer, _ = world.find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_agreement"


def test_one_answer_is_an_answer_but_not_a_certain_one():
    region, _ = World(right=1, wrong=0, silent=4).find()
    assert region.confidence == pytest.approx(0.5)


def test_moving_the_world_moves_the_place():
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix()
    T[:3, 3] = [1.0, -2.0, 0.5]
    here, _ = World(right=8, wrong=5).find()
    there, _ = World(right=8, wrong=5, T=T).find()
    np.testing.assert_allclose(T[:3, :3] @ here.action_point + T[:3, 3], there.action_point, atol=1e-9)
    assert here.support.agree == there.support.agree


def test_scale_does_not_matter():
    small, big = World(right=8, wrong=3), World(right=8, wrong=3)
    big.points, big.depths = big.points * 7, [d * 7 for d in big.depths]
    away = np.ones((4, 4))
    away[:3, 3] = 7
    big.views = [View(v.name, v.camera, v.T_world_cam * away, v.rgb) for v in big.views]
    np.testing.assert_allclose(big.find()[0].action_point, 7 * small.find()[0].action_point, atol=1e-9)


def test_a_misplaced_surface_is_overruled_by_the_rays():
    """Depth that is not registered to colour: the surface says one thing, every image another."""
    world = World(right=12, wrong=0)
    there, _ = world.find()
    shifted = world.points + np.array([0.03, 0.0, 0.0])
    here, _ = find_region(shifted, world.relevancy, world.views, world.depths, world.answers, sigma=0.04)
    assert np.linalg.norm(there.action_point - world.target) < 0.003
    assert np.linalg.norm(here.action_point - world.target) < 0.005


def test_jitter_is_averaged_not_followed():
    world = World(right=24, wrong=0)
    rng = np.random.default_rng(0)
    world.answers = [answer + rng.normal(0, 6, answer.shape) for answer in world.answers]
    region, _ = world.find()
    assert np.linalg.norm(region.action_point - world.target) < 0.005


def test_angles_of_all_views_match_those_of_one():
    world = World(right=5, wrong=2, silent=1, negative=2)
    world.answers[2] = np.concatenate([world.answers[2] + 40, world.answers[2]])
    through = world.views[1].T_world_cam.copy()
    through[:3, 3] -= 2 * through[:3, 2]  # looks the same way from the other side of the table
    world.views[0] = dataclasses.replace(world.views[0], T_world_cam=through)
    behind = world.views[3].T_world_cam.copy()
    behind[:3, 3] += 2 * behind[:3, 2]
    world.views[3] = dataclasses.replace(world.views[3], T_world_cam=behind)
    point = np.array([0.03, -0.02, 0.01])
    residual, _ = _Rays.of(world.views, world.answers).angles(point)
    spoken = [(v, a) for v, a in zip(world.views, world.answers, strict=True) if a is not None and len(a)]
    expected = [_angles(point[None], view, answer) for view, answer in spoken]
    assert np.isinf(expected[3]).all()
    np.testing.assert_allclose(residual, expected, atol=1e-12)


def test_the_jacobian_against_finite_differences():
    world = World(right=3, wrong=0)
    rays, point, step = _Rays.of(world.views, world.answers), np.array([0.03, -0.02, 0.01]), 1e-6
    where = lambda p: -rays.angles(p)[0]  # noqa: E731
    numeric = [(where(point + step * e) - where(point - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(rays.angles(point)[1], np.moveaxis(numeric, 0, 2), atol=1e-6)


def test_smoothing_is_the_mean_over_neighbours():
    rng = np.random.default_rng(0)
    points, values = rng.uniform(0, 1, (200, 3)), rng.uniform(0, 1, 200)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    expected = [values[row <= 0.2].mean() for row in apart]
    np.testing.assert_allclose(_smoothed(points, values, 0.2), expected)
