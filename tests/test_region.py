import dataclasses
from typing import Any

import numpy as np
import pytest
from planar_scene import SPACING, PlanarScene, bar, disc, planar_scene, ring
from scipy.spatial.transform import Rotation

from point2act.core.geometry import to_tangents
from point2act.core.types import NoAnswer
from point2act.localization.likelihood import PartPosterior, part_posterior
from point2act.localization.part_tree import build_part_tree
from point2act.localization.ray_consensus import Rays
from point2act.localization.region import RegionConfig, _attraction, find_region
from point2act.localization.support import _angles
from point2act.localization.visibility import part_visibility

TARGET, RIVAL, THIRD = 0, 1, 2
SHAPES = (disc(0.05, 0.0), disc(-0.1, 0.05), disc(-0.02, -0.1))
NONE = np.zeros((0, 2))
SIGMA = 0.04


class World:
    """Patches on a plane, and answers: that many views mean the target, a rival, no one was asked, "no"."""

    def __init__(
        self, right: int, wrong: int = 0, silent: int = 0, negative: int = 0, shapes=SHAPES, **where
    ):
        count = right + wrong + silent + negative
        self.flat: PlanarScene = planar_scene(shapes, count, **where)
        meant = [TARGET] * right + [RIVAL] * wrong
        self.answers: list[Any] = [
            self.flat.pixel(view, self.flat.middle(part)) for view, part in enumerate(meant)
        ]
        self.answers += [None] * silent + [NONE] * negative

    @property
    def target(self) -> np.ndarray:
        return self.flat.middle(TARGET)

    @property
    def rival(self) -> np.ndarray:
        return self.flat.middle(RIVAL)

    def posterior(self):
        tangents = [
            None if pixels is None else to_tangents(view.camera, pixels)
            for pixels, view in zip(self.answers, self.flat.views, strict=True)
        ]
        return part_posterior(self.flat.parts, self.flat.visibility, tangents)

    def find(self, config: RegionConfig = RegionConfig()):
        flat = self.flat
        return find_region(
            flat.parts,
            flat.visibility,
            self.posterior(),
            flat.views,
            flat.depths,
            self.answers,
            sigma=SIGMA,
            config=config,
        )

    def found(self):
        region, rivals = self.find()
        assert not isinstance(region, NoAnswer), region.detail
        return region, rivals


def off(point: np.ndarray, place: np.ndarray) -> float:
    return float(np.linalg.norm(point - place))


def to_patch(world: World, point: np.ndarray) -> float:
    """How far a point is from the target's surface."""
    parts = world.flat.parts
    return float(np.linalg.norm(parts.points[parts.members(TARGET)] - point, axis=1).min())


# ── where ──────────────────────────────────────────────────────────────────────────────────────
def test_agreeing_views_find_the_place():
    world = World(right=10)
    region, rivals = world.found()
    assert off(region.action_point, world.target) < 0.003
    assert (region.support.agree, region.support.disagree, region.support.unseen) == (10, 0, 0)
    assert region.support.rejected_images == ()
    assert region.confidence > 0.9
    assert rivals == ()


def test_a_distractor_is_a_rival_not_an_average():
    world = World(right=8, wrong=5, silent=3)
    region, rivals = world.found()
    assert off(region.action_point, world.target) < 0.005
    assert off(rivals[0].action_point, world.rival) < 0.005
    assert region.confidence > rivals[0].confidence


def test_views_that_mean_something_else_are_named():
    region, rivals = World(right=8, wrong=5, silent=3).found()
    assert (region.support.agree, region.support.disagree, region.support.unseen) == (8, 5, 3)
    assert region.support.rejected_images == tuple(f"{i}.png" for i in range(8, 13))
    assert rivals[0].support.agree == 5


def test_a_view_with_two_points_backs_one_place():
    world = World(right=6, wrong=3)
    both = [world.flat.pixel(0, world.flat.middle(part)) for part in (RIVAL, TARGET)]
    world.answers[0] = np.concatenate(both)
    region, rivals = world.found()
    assert region.support.agree == 6
    assert sum(rival.support.agree for rival in rivals) == 3


@pytest.mark.parametrize(
    ("right", "wrong", "negative"), [(8, 0, 0), (5, 3, 0), (3, 3, 3), (1, 1, 0), (2, 0, 6)]
)
def test_chances_are_shares(right: int, wrong: int, negative: int):
    world = World(right=right, wrong=wrong, negative=negative)
    region, rest = world.find()
    regions = (*([] if isinstance(region, NoAnswer) else [region]), *rest)
    chances = [one.confidence for one in regions]
    assert chances == sorted(chances, reverse=True)
    assert min(chances) > 0
    assert sum(chances) + world.posterior().absent <= 1 + 1e-9


def test_views_that_say_no_fully_visible_disagree():
    region, _ = World(right=6, negative=4).found()
    assert (region.support.agree, region.support.disagree) == (6, 4)


def test_views_that_say_no_because_something_is_in_front_do_not():
    world = World(right=6, negative=4)
    near = [depth if view < 6 else np.full_like(depth, 0.1) for view, depth in enumerate(world.flat.depths)]
    world.flat = dataclasses.replace(world.flat.hide(TARGET, range(6, 10)), depths=near)
    region, _ = world.found()
    assert (region.support.agree, region.support.disagree, region.support.unseen) == (6, 0, 4)


def test_the_box_is_a_frame_about_the_patch():
    world = World(right=10)
    region, _ = world.found()
    box = region.box
    np.testing.assert_allclose(box.axes @ box.axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(box.axes) == pytest.approx(1)
    assert off(box.center, world.target) < 0.006
    assert 0.006 < box.half_extents[0] < 0.03
    assert box.half_extents[2] < 0.002


def test_a_bar_has_a_long_box():
    region, _ = World(right=10, shapes=(bar(0.05, 0.0, 0.08, 0.02), disc(-0.1, 0.05))).found()
    assert abs(region.box.axes[0, 0]) == pytest.approx(1, abs=0.01)
    assert region.box.half_extents[0] > 2 * region.box.half_extents[1]


# ── on the surface ─────────────────────────────────────────────────────────────────────────────
def test_one_acts_on_a_ring_not_in_its_hole():
    world = World(right=10, shapes=(ring(0.05, 0.0, 0.035, 0.015), disc(-0.1, 0.05)))
    assert to_patch(world, world.target) > 0.02
    region, _ = world.found()
    assert to_patch(world, region.action_point) < 0.02 * world.flat.parts.distance


def test_one_acts_on_the_side_of_a_ring_that_is_meant():
    world = World(right=10, shapes=(ring(0.05, 0.0, 0.035, 0.015), disc(-0.1, 0.05)))
    side = world.target + np.array([0.0, 0.035, 0.0])
    world.answers = [world.flat.pixel(view, side) for view in range(10)]
    region, _ = world.found()
    assert off(region.action_point, side) < 0.015


def test_one_acts_inside_a_thin_bar():
    world = World(right=10, shapes=(bar(0.05, 0.0, 0.12, 0.015), disc(-0.1, 0.05)))
    rng = np.random.default_rng(0)
    world.answers = [answer + rng.normal(0, 6, answer.shape) for answer in world.answers]
    region, _ = world.found()
    assert to_patch(world, region.action_point) < SPACING
    assert off(region.action_point, world.target) < 0.02


def test_a_misplaced_surface_is_overruled_by_the_rays():
    """Depth that is not registered to colour: the surface says one thing, every image another."""
    world, target = World(right=12), World(right=12).target
    moved = world.flat.parts.points + np.array([0.02, 0.0, 0.0])
    world.flat = dataclasses.replace(world.flat, parts=dataclasses.replace(world.flat.parts, points=moved))
    region, _ = world.found()
    assert off(region.action_point, target) < 0.012
    assert off(region.box.center, target) < 0.012


def test_jitter_is_averaged_not_followed():
    world = World(right=24)
    rng = np.random.default_rng(0)
    world.answers = [answer + rng.normal(0, 6, answer.shape) for answer in world.answers]
    region, _ = world.found()
    assert off(region.action_point, world.target) < 0.006


def test_parts_that_are_found_serve_as_well_as_given_ones():
    world = World(right=8, wrong=4)
    flat, target = world.flat, world.target
    colors = np.where(flat.parts.things[:, None], [0.8, 0.1, 0.1], [0.6, 0.6, 0.6])
    # A coarser plane is enough, and quicker.
    kept = flat.parts.things | (np.arange(len(colors)) % 8 == 0)
    parts = build_part_tree(flat.parts.points[kept], colors[kept], ~flat.parts.things[kept], distance=0.5)
    world.flat = dataclasses.replace(flat, parts=parts, covered=flat.covered[:, kept])
    region, rivals = world.found()
    assert off(region.action_point, target) < 0.005
    assert region.support.agree == 8
    assert rivals[0].support.agree == 4


# ── no answer ──────────────────────────────────────────────────────────────────────────────────
def test_no_one_spoke():
    answer, rivals = World(right=0, silent=5).find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_points"
    assert rivals == ()


def test_everybody_says_not_visible():
    answer, _ = World(right=0, negative=5).find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_points"
    assert "5" in answer.detail


def test_no_surface_at_all():
    world = World(right=5)
    parts = build_part_tree(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, bool), distance=0.5)
    world.flat = dataclasses.replace(world.flat, parts=parts, covered=np.zeros((5, 0)))
    answer, rivals = world.find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_geometry"
    assert rivals == ()


def test_one_against_one_is_no_agreement():
    answer, rest = World(right=1, wrong=1, silent=6).find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_agreement"
    assert rest[0].confidence < 0.7


def test_a_few_points_among_many_denials_are_refused():
    answer, rest = World(right=1, wrong=1, negative=10).find()
    assert isinstance(answer, NoAnswer)
    assert answer.reason == "no_agreement"
    assert all(region.confidence < 0.5 for region in rest)


def test_scattered_answers_are_mostly_refused_and_never_certain():
    refused, confidences = 0, []
    for seed in range(12):
        world = World(right=12)
        rng = np.random.default_rng(seed)
        world.answers = [rng.uniform(0, [320, 240], (1, 2)) for _ in range(12)]
        answer, rivals = world.find()
        refused += isinstance(answer, NoAnswer)
        confidences.append((rivals[0] if isinstance(answer, NoAnswer) else answer).confidence)
    assert refused >= 6
    assert np.mean(confidences) < 0.5
    assert max(confidences) < 0.9


def test_one_answer_is_an_answer_but_not_a_certain_one():
    region, _ = World(right=1, silent=4).found()
    sure, _ = World(right=5).found()
    assert region.support.agree == 1
    assert 0 < region.confidence < 0.9
    assert region.confidence < sure.confidence


# ── laws ───────────────────────────────────────────────────────────────────────────────────────
def test_moving_the_world_moves_the_place():
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix()
    T[:3, 3] = [1.0, -2.0, 0.5]
    here, beside = World(right=8, wrong=5).found()
    there, moved = World(right=8, wrong=5, T=T).found()
    np.testing.assert_allclose(T[:3, :3] @ here.action_point + T[:3, 3], there.action_point, atol=1e-6)
    np.testing.assert_allclose(here.box.half_extents, there.box.half_extents, atol=5e-4)
    assert there.confidence == pytest.approx(here.confidence, abs=1e-6)
    assert dataclasses.astuple(here.support) == dataclasses.astuple(there.support)
    assert len(beside) == len(moved)


def test_scale_does_not_matter():
    small, _ = World(right=8, wrong=3).found()
    big, _ = World(right=8, wrong=3, scale=7.0).found()
    np.testing.assert_allclose(big.action_point, 7 * small.action_point, atol=1e-6)
    np.testing.assert_allclose(big.box.half_extents, 7 * small.box.half_extents, atol=1e-3)
    assert big.confidence == pytest.approx(small.confidence, abs=1e-6)
    assert dataclasses.astuple(big.support) == dataclasses.astuple(small.support)


def test_the_order_of_views_does_not_matter():
    world = World(right=6, wrong=3, silent=1, negative=2)
    region, _ = world.found()
    order = np.random.default_rng(0).permutation(12)
    flat = world.flat
    world.flat = dataclasses.replace(
        flat,
        views=[flat.views[i] for i in order],
        covered=flat.covered[order],
        depths=[flat.depths[i] for i in order],
    )
    world.answers = [world.answers[i] for i in order]
    turned, _ = world.found()
    np.testing.assert_allclose(turned.action_point, region.action_point, atol=1e-9)
    assert set(turned.support.rejected_images) == set(region.support.rejected_images)


def test_no_more_regions_than_wanted():
    world = World(right=4, wrong=3)
    world.answers[0] = world.flat.pixel(0, world.flat.middle(THIRD))
    region, rivals = world.find(dataclasses.replace(RegionConfig(), regions=1))
    assert not isinstance(region, NoAnswer)
    assert rivals == ()


# ── rays ───────────────────────────────────────────────────────────────────────────────────────
def test_angles_of_all_views_match_those_of_one():
    world = World(right=5, wrong=2, silent=1, negative=2)
    views = world.flat.views
    world.answers[2] = np.concatenate([world.answers[2] + 40, world.answers[2]])
    through = views[1].T_world_cam.copy()
    through[:3, 3] -= 2 * through[:3, 2]  # visibility the same way from the other side of the table
    views[0] = dataclasses.replace(views[0], T_world_cam=through)
    behind = views[3].T_world_cam.copy()
    behind[:3, 3] += 2 * behind[:3, 2]
    views[3] = dataclasses.replace(views[3], T_world_cam=behind)
    point = np.array([0.03, -0.02, 0.01])
    residual, _ = Rays.of(views, world.answers).angles(point)
    spoken = [(v, a) for v, a in zip(views, world.answers, strict=True) if a is not None and len(a)]
    expected = [_angles(point[None], view, answer) for view, answer in spoken]
    assert np.isinf(expected[3]).all()
    np.testing.assert_allclose(residual, expected, atol=1e-12)


def test_the_jacobian_against_finite_differences():
    world = World(right=3)
    rays, point, step = Rays.of(world.flat.views, world.answers), np.array([0.03, -0.02, 0.01]), 1e-6
    where = lambda p: -rays.angles(p)[0]  # noqa: E731
    numeric = [(where(point + step * e) - where(point - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(rays.angles(point)[1], np.moveaxis(np.array(numeric), 0, 2), atol=1e-6)


def test_answers_attract_the_points_they_are_near():
    world = World(right=4, silent=2)
    visibility, config = world.flat.visibility, RegionConfig()
    pull = _attraction(visibility.tangents, world.flat.views, world.answers, config)
    assert pull.max() == 1
    assert off(world.flat.parts.points[pull.argmax()], world.target) < 2 * SPACING
    far = np.linalg.norm(world.flat.parts.points - world.target, axis=1) > 0.15
    assert 0 < pull[far].max() < 0.1
    assert (_attraction(visibility.tangents, world.flat.views, [None] * 6, config) == 1).all()


def test_a_camera_that_has_the_place_behind_it_does_no_harm():
    world = World(right=6, wrong=1)
    views = world.flat.views
    turned = views[6].T_world_cam @ np.diag([1.0, -1.0, -1.0, 1.0])
    views[6] = dataclasses.replace(views[6], T_world_cam=turned)
    region, _ = world.found()
    assert off(region.action_point, world.target) < 0.003
    assert (region.support.agree, region.support.disagree) == (6, 1)


# ── confidence ─────────────────────────────────────────────────────────────────────────────────
def test_confidence_is_of_the_parts_that_the_action_point_lies_on():
    """A whole and a piece of it that answers do not name: if the piece is meant, the point is wrong."""
    world = World(8)
    flat = world.flat
    parts = flat.parts
    both = (min(parts.first[[TARGET, RIVAL]]), max(parts.end[[TARGET, RIVAL]]))
    wider = dataclasses.replace(
        parts,
        first=np.append(parts.first, both[0]),
        end=np.append(parts.end, both[1]),
        prior=np.append(parts.prior, 0.0),
    )
    visibility = part_visibility(wider, flat.views, flat.covered)

    def confidence(**shares: float) -> float:
        values = np.zeros(len(wider))
        values[[TARGET, RIVAL, -1]] = [shares.get(name, 0.0) for name in ("target", "rival", "whole")]
        region, _ = find_region(
            wider,
            visibility,
            PartPosterior(values, 0.0),
            flat.views,
            flat.depths,
            world.answers,
            sigma=SIGMA,
        )
        assert not isinstance(region, NoAnswer)
        assert off(region.action_point, world.target) < 0.02
        return region.confidence

    assert confidence(target=0.6, whole=0.4) == pytest.approx(1.0)
    assert confidence(whole=0.9, rival=0.1) == pytest.approx(0.9)
    assert confidence(target=0.5, whole=0.2, rival=0.3) == pytest.approx(0.7)
