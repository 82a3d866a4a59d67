"""What answers say about parts. Laws only: how often models err is tuned, and none of it is repeated here."""

import dataclasses
import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planar_scene import PlanarScene, disc, planar_scene
from scipy.stats import multivariate_normal

from point2act.core.geometry import to_tangents, transform_points
from point2act.localization.likelihood import (
    LikelihoodConfig,
    PartPosterior,
    part_posterior,
    visible_probability,
    wrong_shares,
)
from point2act.localization.part_tree import Parts
from point2act.localization.visibility import part_visibility

TARGET, RIVAL, THIRD = 0, 1, 2
SHAPES = (disc(0.05, 0.0), disc(-0.1, 0.05), disc(-0.02, -0.1))
NONE = np.zeros((0, 2))


WORLD = planar_scene(SHAPES, 12)


@pytest.fixture(scope="module")
def world() -> PlanarScene:
    return WORLD


def means(world: PlanarScene, view: int, *parts: int) -> np.ndarray:
    """An answer that names the middles of parts, as tangents."""
    pixels = np.concatenate([world.pixel(view, world.middle(part)) for part in parts])
    return to_tangents(world.views[view].camera, pixels)


def says(world: PlanarScene, *votes) -> list:
    """Answers of the first views: a part, several, NONE, or None; no one asked the others."""
    answers = [
        vote
        if vote is None or isinstance(vote, np.ndarray)
        else means(world, view, *np.atleast_1d(vote).tolist())
        for view, vote in enumerate(votes)
    ]
    return answers + [None] * (len(world.views) - len(votes))


def weighed(world: PlanarScene, answers: list, **changes) -> PartPosterior:
    return part_posterior(
        world.parts, world.visibility, answers, config=dataclasses.replace(LikelihoodConfig(), **changes)
    )


def chance(evidence: PartPosterior, patch: int, patches: int = len(SHAPES)) -> float:
    """Of a patch or its inner half."""
    return float(evidence.parts[patch] + evidence.parts[patches + patch])


# ── what the views see ─────────────────────────────────────────────────────────────────────────
def test_moments_against_a_slow_twin(world):
    hidden = world.hide(RIVAL, [1])
    visibility = hidden.visibility
    for v, view in enumerate(hidden.views[:3]):
        camera = view.camera
        for part in np.flatnonzero(visibility.part_area[v]).tolist():
            members = hidden.parts.members(part)
            local = transform_points(view.T_cam_world, hidden.parts.points[members])
            at = local[:, :2] / local[:, 2:]
            area = hidden.covered[v, members] / (camera.fx * camera.fy)
            assert visibility.part_area[v, part] == pytest.approx(area.sum())
            middle = sum((a * p for a, p in zip(area, at, strict=True)), np.zeros(2)) / area.sum()
            away = at - middle
            (xx, xy), (_, yy) = (away * area[:, None]).T @ away / area.sum()
            np.testing.assert_allclose(visibility.part_tangents[v, part], middle, atol=1e-12)
            np.testing.assert_allclose(visibility.part_covariance[v, part], [xx, xy, yy], atol=1e-10)
    assert visibility.part_area[1, RIVAL] == pytest.approx(0, abs=1e-12)
    assert (visibility.part_area[[0, 2], RIVAL] > 0).all()
    assert (visibility.part_tangents[1, RIVAL] == 0).all()


def test_area_is_that_of_the_patch(world):
    """Half a unit away, a disc of radius r covers about pi r^2 cos / z^2."""
    ratio = world.visibility.part_area[:, TARGET] / (np.pi * 0.02**2 * 0.8 / 0.5**2)
    assert ((ratio > 0.6) & (ratio < 1.6)).all()
    assert ratio.mean() == pytest.approx(1, abs=0.1)


def test_behind_the_camera_nothing_is_seen(world):
    turned = world.views[0].T_world_cam @ np.diag([1.0, -1.0, -1.0, 1.0])
    views = [dataclasses.replace(world.views[0], T_world_cam=turned), *world.views[1:]]
    visibility = part_visibility(world.parts, views, np.ones_like(world.covered))
    assert (visibility.area[0] == 0).all()
    assert (visibility.part_area[0] == 0).all()
    assert (visibility.tangents[0] == 0).all()
    answers = says(world, np.array([[0.1, 0.0]]), *[TARGET] * 5)
    evidence = part_posterior(world.parts, visibility, answers)
    assert np.isfinite(evidence.parts).all()
    assert chance(evidence, TARGET) > 0.9


def test_a_point_on_the_optical_axis_is_seen(world):
    view = dataclasses.replace(world.views[0], T_world_cam=np.eye(4))
    points = np.tile([0.0, 0.0, 0.5], (4, 1))
    one = np.array([0])
    parts = Parts(points, np.arange(4), one, one + 4, np.ones(1), np.ones(4, bool), np.zeros(4, int), 0.5)
    assert part_visibility(parts, [view], np.ones((1, 4))).part_area[0, 0] > 0


@given(st.integers(0, 10**6))
def test_tangents_are_the_slopes_of_rays(seed: int):
    view = planar_scene(SHAPES[:1], 1).views[0]
    pixels = np.random.default_rng(seed).uniform(0, 240, (3, 2))
    rays = np.linalg.solve(view.camera.K, np.concatenate([pixels, np.ones((3, 1))], axis=1).T).T
    np.testing.assert_allclose(to_tangents(view.camera, pixels), rays[:, :2], atol=1e-12)


# ── against a slow twin ────────────────────────────────────────────────────────────────────────
class SlowTwin:
    """The generative model, one view, one part and one way to err at a time."""

    def __init__(self, world: PlanarScene, answers: list, config: LikelihoodConfig):
        self.parts, self.visibility, self.answers, self.config = (
            world.parts,
            world.visibility,
            answers,
            config,
        )
        self.visible = visible_probability(self.visibility.part_area, config)
        self.ratio, self.if_wrong = cache(self._ratio), cache(self._if_wrong)

    def posterior(self) -> tuple[list[float], float]:
        config, count, views = self.config, len(self.parts), range(len(self.answers))
        present, absent = [0.0] * count, 0.0
        for (jitter, p), (agreeing, q), rival in product(
            shares(config.jitter), shares(config.agreeing), range(count)
        ):
            how = p * q * math.prod(self.if_wrong(v, jitter) for v in views if self.pointed(v))
            astray = [self.wrong_point(v, rival, jitter, agreeing) for v in views]
            total = sum(weight for _, _, weight in config.visibility_errors)
            for (wrong, r), (missed, ghosts, s) in product(shares(config.wrong), config.visibility_errors):
                for part in range(count):
                    errs = jitter, wrong, missed, ghosts
                    reported = [self.if_present(v, part, errs, astray[v]) for v in views]
                    present[part] += how * self.rival(part, rival) * r * s / total * math.prod(reported)
            for pointed, r in shares(config.pointed):
                absent += how / count * r * math.prod(self.if_absent(v, pointed, astray[v]) for v in views)
        gone = absent_before(sum(answer is not None for answer in self.answers), config)
        prior = [(1 - gone) * float(prior) for prior in self.parts.prior]
        joint = [*(x * y for x, y in zip(present, prior, strict=True)), absent * gone]
        return [x / sum(joint) for x in joint[:-1]], joint[-1] / sum(joint)

    def rival(self, part, rival) -> float:
        """How likely wrong points agree on this rival; one that contains the part is its object."""
        members = [set(self.parts.members(each).tolist()) for each in range(len(self.parts))]
        objects = [each for each in range(len(members)) if each != part and members[each] >= members[part]]
        if not objects or len(objects) == len(members):
            return 1 / len(members)
        if rival in objects:
            return self.config.own_object / len(objects)
        return (1 - self.config.own_object) / (len(members) - len(objects))

    def if_present(self, v, part, errs, astray) -> float:
        """How likely a view says what it answered; densities are relative to that of a wrong point."""
        jitter, wrong, missed, ghosts = errs
        seen = float(self.visible[v, part])
        if self.answers[v] is None:
            return 1.0
        if len(self.answers[v]) == 0:
            return seen * missed + (1 - seen) * (1 - ghosts)
        right = (1 - wrong) * self.ratio(v, part, jitter)
        return seen * (1 - missed) * (right + wrong * astray) + (1 - seen) * ghosts * astray

    def pointed(self, v) -> bool:
        return self.answers[v] is not None and len(self.answers[v]) > 0

    def if_absent(self, v, pointed, astray) -> float:
        if self.answers[v] is None:
            return 1.0
        return pointed * astray if len(self.answers[v]) else 1 - pointed

    def wrong_point(self, v, rival, jitter, agreeing) -> float:
        if self.answers[v] is None or len(self.answers[v]) == 0:
            return 1.0
        pull = agreeing * float(self.visible[v, rival])
        return 1 - pull + pull * self.ratio(v, rival, jitter)

    def _ratio(self, v, part, jitter) -> float:
        if self.visibility.part_area[v, part] == 0:
            return 0.0
        xx, xy, yy = self.config.middle * self.visibility.part_covariance[v, part]
        spread = np.array([[xx, xy], [xy, yy]]) + jitter**2 * np.eye(2)
        meant = multivariate_normal(self.visibility.part_tangents[v, part], spread).pdf(self.answers[v])
        return min(float(np.mean(meant)) / self.if_wrong(v, jitter), 1e6)

    def _if_wrong(self, v, jitter) -> float:
        shares, densities = self.wrong_shares(v), []
        for point in self.answers[v]:
            density = self.config.anywhere / float(self.visibility.image_area[v])
            for number, share in shares.items():
                dx, dy = self.visibility.tangents[v, number] - point
                kernel = math.exp(-(dx**2 + dy**2) / (2 * jitter**2)) / (2 * math.pi * jitter**2)
                density += (1 - self.config.anywhere) * share * kernel
            densities.append(density)
        return float(np.mean(densities))

    def wrong_shares(self, v) -> dict[int, float]:
        """How likely a wrong answer names each point."""
        named = {}
        for whole in set(self.parts.objects[self.parts.things].tolist()):
            areas = {
                number: float(self.visibility.area[v, number])
                for number in np.flatnonzero(self.parts.objects == whole).tolist()
            }
            total = sum(areas.values())
            if total > 0:
                named |= {n: a / total for n, a in areas.items()}
        return {number: share / sum(named.values()) for number, share in named.items()}


def absent_before(asked: int, config: LikelihoodConfig) -> float:
    return config.absent * (asked + 1) / (asked + 1 + config.absent_views)


def shares(mixture):
    total = sum(weight for _, weight in mixture)
    return [(value, weight / total) for value, weight in mixture]


def first_few(parts: Parts, count: int) -> Parts:
    prior = np.array([0.5, 0.3, 0.2])[:count]
    return dataclasses.replace(parts, first=parts.first[:count], end=parts.end[:count], prior=prior)


@pytest.mark.parametrize(
    "votes",
    [
        (TARGET, TARGET, RIVAL, NONE),
        (TARGET, (TARGET, RIVAL), None, NONE),
        (NONE, NONE, NONE, RIVAL),
        (NONE, NONE, NONE, NONE),
        (None, None, None, None),
        (np.array([[0.3, -0.2]]), RIVAL, THIRD, TARGET),
    ],
)
def test_weighing_against_a_slow_twin(votes):
    config = LikelihoodConfig()
    small = planar_scene((disc(0.05, 0.0, 0.012), disc(-0.1, 0.05, 0.012), disc(-0.02, -0.1, 0.012)), 4)
    answers = says(small, *votes)
    small = dataclasses.replace(small, parts=first_few(small.parts, 3)).hide(1, [3])
    found = part_posterior(small.parts, small.visibility, answers, config=config)
    parts, absent = SlowTwin(small, answers, config).posterior()
    np.testing.assert_allclose(found.parts, parts, atol=1e-9)
    assert found.absent == pytest.approx(absent, abs=1e-9)


def test_rivals_that_contain_a_part_against_a_slow_twin():
    """Discs and their inner halves: wrong points on the target's disc are on the object of its half."""
    small = planar_scene((disc(0.05, 0.0, 0.012), disc(-0.1, 0.05, 0.012)), 4)
    chosen, prior = [0, 1, 2], np.array([0.4, 0.3, 0.3])
    parts = dataclasses.replace(
        small.parts, first=small.parts.first[chosen], end=small.parts.end[chosen], prior=prior
    )
    assert set(parts.members(2)) < set(parts.members(0))
    answers = says(small, TARGET, RIVAL, NONE, TARGET)
    small = dataclasses.replace(small, parts=parts)
    for own_object in (0.2, 0.8):
        config = LikelihoodConfig(own_object=own_object)
        found = part_posterior(parts, small.visibility, answers, config=config)
        expected, absent = SlowTwin(small, answers, config).posterior()
        np.testing.assert_allclose(found.parts, expected, atol=1e-9)
        assert found.absent == pytest.approx(absent, abs=1e-9)


# ── laws ───────────────────────────────────────────────────────────────────────────────────────
@settings(max_examples=15)
@given(
    st.lists(st.sampled_from(["target", "rival", "both", "none", "silent", "stray"]), max_size=12), st.data()
)
def test_chances_add_up_whatever_the_answers_what(votes, data):
    world = WORLD
    stray = st.tuples(st.floats(-2, 2), st.floats(-2, 2)).map(lambda at: np.array([at]))
    meaning = {"target": TARGET, "rival": RIVAL, "both": (TARGET, RIVAL), "none": NONE, "silent": None}
    answered = [data.draw(stray) if vote == "stray" else meaning[vote] for vote in votes]
    evidence = weighed(world, says(world, *answered))
    assert evidence.parts.min() >= 0
    assert 0 <= evidence.absent <= 1
    assert evidence.parts.sum() + evidence.absent == pytest.approx(1)


def test_neither_silence_nor_the_order_of_views_matters(world):
    votes = [TARGET, TARGET, RIVAL, NONE, (TARGET, THIRD), None, None, None]
    answers = says(world, *votes)
    here = weighed(world, answers)
    spoke = [number for number, answer in enumerate(answers) if answer is not None]
    for chosen in (spoke, spoke[::-1], [*range(6, 12), *range(6)]):
        turned = dataclasses.replace(
            world, views=[world.views[i] for i in chosen], covered=world.covered[chosen]
        )
        there = weighed(turned, [answers[i] for i in chosen])
        np.testing.assert_allclose(there.parts, here.parts, atol=1e-9)
        assert there.absent == pytest.approx(here.absent, abs=1e-9)


def test_unasked_nothing_is_learnt(world):
    config = LikelihoodConfig(candidates=len(world.parts))
    evidence = part_posterior(world.parts, world.visibility, [None] * 12, config=config)
    assert evidence.absent <= config.absent
    np.testing.assert_allclose(evidence.parts, world.parts.prior * (1 - evidence.absent), rtol=1e-9)


def test_every_view_that_agrees_adds_to_a_part(world):
    found = [weighed(world, says(world, *[TARGET] * count)) for count in range(7)]
    chances = [chance(evidence, TARGET) for evidence in found]
    assert (np.diff(chances) > 0).all()
    assert (np.diff([evidence.absent for evidence in found[1:]]) < 0).all()
    assert chances[0] < 0.5 < 0.95 < chances[-1] < 1


def test_a_point_that_is_off_says_less(world):
    """The further off one of four answers is, the less likely the part that the others mean."""
    chances = []
    for pixels in (0, 10, 20, 40):
        answers = says(world, TARGET, TARGET, RIVAL, RIVAL)
        answers[1] = answers[1] + np.array([[0.0, pixels / world.views[1].camera.fy]])
        chances.append(chance(weighed(world, answers), TARGET))
    assert (np.diff(chances) < 0).all()


def test_not_visible_counts_only_where_the_thing_is_fully_visible(world):
    votes = [TARGET] * 3
    before = chance(weighed(world, says(world, *votes)), TARGET)
    visible = chance(weighed(world, says(world, *votes, NONE, NONE)), TARGET)
    hidden = world.hide(TARGET, [3, 4])
    out_of_view = weighed(hidden, says(world, *votes, NONE, NONE))
    assert visible < before
    assert chance(out_of_view, TARGET) >= before - 1e-9


def test_a_point_where_the_thing_is_hidden_hardly_speaks_against_it(world):
    votes = [TARGET] * 3
    hidden = world.hide(TARGET, [3, 4])
    visible = chance(weighed(world, says(world, *votes, RIVAL, RIVAL)), TARGET)
    out_of_view = chance(weighed(hidden, says(world, *votes, RIVAL, RIVAL)), TARGET)
    assert out_of_view > visible


def test_a_steady_distractor_loses_to_what_is_rarely_visible(world):
    """One sees the target in four views of twelve; three of them mean it, the same number as mean the
    rival."""
    hidden = world.hide(TARGET, range(4, 12))
    votes = [TARGET, TARGET, TARGET, RIVAL, RIVAL, RIVAL, RIVAL, *[NONE] * 5]
    evidence = weighed(hidden, says(world, *votes))
    assert chance(evidence, TARGET) > 2 * chance(evidence, RIVAL)
    visible = weighed(world, says(world, *votes))
    assert chance(visible, RIVAL) > chance(visible, TARGET)


def test_when_all_say_no_it_is_not_there(world):
    evidence = weighed(world, says(world, *[NONE] * 8))
    assert evidence.absent > 0.9


def test_scattered_points_mean_that_it_is_not_there():
    """Where models point at something though there is nothing, points all over the place say just that."""
    many = [disc(x, y) for x in (-0.15, -0.05, 0.05, 0.15) for y in (-0.12, 0.0, 0.12)]
    world, pointed = planar_scene(many, 12), ((0.6, 1.0), (0.95, 1.0))
    scattered = weighed(world, says(world, *range(12)), pointed=pointed)
    agreeing = weighed(world, says(world, *[TARGET] * 12), pointed=pointed)
    half = weighed(world, says(world, *range(5), *[NONE] * 7), pointed=pointed)
    assert scattered.absent > 0.3
    assert half.absent > 0.5
    assert agreeing.absent < 0.03
    assert scattered.parts.max() < 0.3


def test_several_points_in_one_answer_share_its_voice(world):
    alone = chance(weighed(world, says(world, TARGET, TARGET)), TARGET)
    twice = chance(weighed(world, says(world, (TARGET, TARGET), TARGET)), TARGET)
    shared = weighed(world, says(world, (TARGET, RIVAL), TARGET))
    swapped = weighed(world, says(world, (RIVAL, TARGET), TARGET))
    other = chance(weighed(world, says(world, RIVAL, TARGET)), TARGET)
    assert twice == pytest.approx(alone)
    assert other < chance(shared, TARGET) < alone
    np.testing.assert_allclose(shared.parts, swapped.parts, atol=1e-12)


def test_many_views_stay_finite():
    world = planar_scene(SHAPES, 200)
    steady = weighed(world, says(world, *[TARGET] * 200), candidates=6)
    assert chance(steady, TARGET) == pytest.approx(1, abs=1e-6)
    mixed = weighed(world, says(world, *[TARGET, RIVAL, NONE, THIRD] * 50), candidates=6)
    for evidence in (steady, mixed):
        assert np.isfinite(evidence.parts).all()
        assert evidence.parts.sum() + evidence.absent == pytest.approx(1)


def test_forty_views_and_more_are_weighed_alike():
    """Few views are multiplied, many added as logarithms; one that no one asked makes no difference."""
    world = planar_scene(SHAPES, 42)
    chances = [
        chance(weighed(world, says(world, *[RIVAL] * 14, *[TARGET] * n), candidates=10), TARGET)
        for n in range(22, 29)
    ]
    assert (np.diff(chances) >= -1e-12).all()


def test_less_than_is_weighed_in_full_is_the_same_when_the_rest_is_failing(world):
    answers = says(world, *[TARGET] * 6, RIVAL, RIVAL)
    few, all_of_them = (weighed(world, answers, candidates=count) for count in (8, len(world.parts)))
    assert chance(few, TARGET) == pytest.approx(chance(all_of_them, TARGET), abs=0.05)
    assert (few.parts > 0).sum() <= 8


def test_no_parts_at_all(world):
    empty = dataclasses.replace(world, parts=first_few(world.parts, 0))
    evidence = weighed(empty, says(world, TARGET, NONE))
    assert evidence.parts.shape == (0,)
    assert evidence.absent == pytest.approx(1)


def test_no_things_only_ground(world):
    bare = dataclasses.replace(world.parts, things=np.zeros_like(world.parts.things))
    evidence = weighed(dataclasses.replace(world, parts=bare), says(world, *[TARGET] * 4))
    assert np.isfinite(evidence.parts).all()
    assert chance(evidence, TARGET) > 0.5


def test_wrong_points_are_shared_out_among_objects_against_a_slow_twin():
    world = planar_scene((disc(0.05, 0.0, 0.012), disc(-0.1, 0.05, 0.036)), 3)
    found = wrong_shares(world.parts, world.visibility)
    twin = SlowTwin(world, says(world, 0, 1, 0), LikelihoodConfig())
    for v, row in enumerate(found):
        expected = np.zeros(len(row))
        for number, share in twin.wrong_shares(v).items():
            expected[number] = share
        np.testing.assert_allclose(row, expected, atol=1e-12)
    for part in range(2):
        np.testing.assert_allclose(found[:, world.parts.members(part)].sum(axis=1), 0.5)


def test_most_answers_on_a_large_object_outvote_some_on_the_only_other_one():
    """All wrong answers agree where there is one other object; those on the large one are spread over it."""
    world = planar_scene((disc(0.05, 0.0, 0.008), disc(-0.08, 0.05, 0.05)), 12)
    large, rng = world.parts.members(1), np.random.default_rng(0)
    spread = [world.visibility.tangents[v, rng.choice(large, 1)] for v in range(4, 12)]
    evidence = weighed(world, [*says(world, *[0] * 4)[:4], *spread])
    assert chance(evidence, 1, 2) > 0.5
