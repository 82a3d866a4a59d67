"""Crops and choices as evidence: laws, and the ordinary posterior where there are none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from planar_scene import PlanarScene, disc, planar_scene

from point2act.core.geometry import to_tangents
from point2act.localization.further_answers import (
    CropAnswer,
    FurtherAnswers,
    FurtherConfig,
    MarkVote,
    RightReplies,
    observe,
    right_reply,
)
from point2act.localization.likelihood import LikelihoodConfig, PartPosterior, part_posterior

FIRST, SECOND, THIRD = 0, 1, 2
SHAPES = (disc(0.05, 0.0), disc(-0.1, 0.05), disc(-0.02, -0.1))
WORLD = planar_scene(SHAPES, 12)


def point(part: int, view: int, world: PlanarScene = WORLD) -> np.ndarray:
    return to_tangents(world.views[view].camera, world.pixel(view, world.middle(part)))


def mark(part: int, view: int, world: PlanarScene = WORLD) -> np.ndarray:
    """The tangents of all points of a part."""
    return world.visibility.tangents[view, world.parts.members(part)]


def vote(view: int, chosen: int | None, *parts: int) -> MarkVote:
    return MarkVote(view, tuple(mark(part, view) for part in parts), chosen)


def crop(view: int, part: int | None, about: int, half: float = 0.08) -> CropAnswer:
    """An answer in a crop about one part that names another one, or "not visible"."""
    middle = point(about, view)[0]
    points = np.zeros((0, 2)) if part is None else point(part, view)
    return CropAnswer(view, points, middle - half, middle + half)


def tie() -> list:
    """Three views say the first part, three the second one."""
    answered = [point(FIRST if view < 3 else SECOND, view) for view in range(6)]
    return answered + [None] * (len(WORLD.views) - 6)


def posterior(answers: list, *votes: MarkVote, crops: tuple[CropAnswer, ...] = ()) -> PartPosterior:
    further = FurtherAnswers(crops, votes)
    return part_posterior(WORLD.parts, WORLD.visibility, answers, further=further)


def chance(found: PartPosterior, part: int) -> float:
    """Of a patch or its inner half."""
    return float(found.parts[part] + found.parts[len(SHAPES) + part])


def test_without_further_answers_nothing_changes():
    seen = observe(WORLD.parts, WORLD.visibility, tie(), FurtherAnswers())
    np.testing.assert_array_equal(seen.visibility.part_area, WORLD.visibility.part_area)
    assert (seen.weight == 1).all()
    assert (seen.jitter == 1).all()


def test_choices_break_a_tie():
    before = posterior(tie())
    assert chance(before, FIRST) == pytest.approx(chance(before, SECOND), abs=0.2)
    after = posterior(tie(), *(vote(view, 0, FIRST, SECOND) for view in range(6, 9)))
    assert chance(after, FIRST) > 0.9
    other = posterior(tie(), *(vote(view, 1, FIRST, SECOND) for view in range(6, 9)))
    assert chance(other, SECOND) > 0.9


def test_the_order_of_marks_is_no_evidence():
    one = posterior(tie(), vote(6, 0, FIRST, SECOND), vote(7, 1, FIRST, SECOND))
    other = posterior(tie(), vote(7, 0, SECOND, FIRST), vote(6, 1, SECOND, FIRST))
    np.testing.assert_allclose(one.parts, other.parts, atol=1e-12)


def test_none_of_them_speaks_for_what_was_not_marked():
    before = posterior(tie())
    after = posterior(tie(), *(vote(view, None, FIRST, SECOND) for view in range(6, 9)))
    for part in (FIRST, SECOND):
        assert after.parts[part] < before.parts[part]
    assert chance(after, THIRD) + after.absent > chance(before, THIRD) + before.absent


def test_choices_that_differ_prove_little():
    mixed = posterior(tie(), vote(6, 0, FIRST, SECOND), vote(7, 1, FIRST, SECOND))
    assert chance(mixed, FIRST) == pytest.approx(chance(mixed, SECOND), abs=0.25)


def test_a_second_choice_in_the_same_view_counts_less_than_one_in_another():
    def gain(view: int) -> float:
        found = posterior(tie(), vote(6, 0, FIRST, SECOND), vote(view, 0, FIRST, SECOND))
        return chance(found, FIRST)

    assert gain(6) < gain(7)


def test_a_mark_is_right_for_its_part_and_for_pieces_of_it():
    shares = right_reply(WORLD.parts, WORLD.visibility, 0, [mark(FIRST, 0), mark(SECOND, 0)])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[FIRST, 0] > 0.9
    assert shares[SECOND, 1] > 0.9
    inner = len(SHAPES) + FIRST
    assert shares[inner, 0] > 0.9
    assert shares[THIRD, -1] > 0.9


def test_a_hidden_part_is_none_of_the_marks():
    hidden = WORLD.hide(FIRST, [0])
    shares = right_reply(hidden.parts, hidden.visibility, 0, [mark(SECOND, 0)])
    assert shares[FIRST, -1] > 0.9


def test_likelihood_of_choices_against_a_slow_twin():
    votes = [vote(6, 0, FIRST, SECOND), vote(7, None, FIRST, SECOND), vote(8, 1, FIRST, THIRD)]
    weight = np.array([1.0, 1.0, 0.5])
    config = FurtherConfig()
    few, rivals = np.array([FIRST, SECOND, THIRD]), np.array([SECOND, FIRST])
    found = RightReplies.of(WORLD.parts, WORLD.visibility, votes, weight).terms(few, rivals, config)
    total = sum(share for _, share in config.wrong)
    right = [right_reply(WORLD.parts, WORLD.visibility, v.view, v.marks) for v in votes]
    for row, part in enumerate(few.tolist()):
        for column, rival in enumerate(rivals.tolist()):
            mean = 0.0
            for wrong, share in config.wrong:
                product = share / total
                for one, shares, w in zip(votes, right, weight, strict=True):
                    reply = shares.shape[1] - 1 if one.chosen is None else one.chosen
                    blind = 1 / shares.shape[1]
                    pulled = (1 - config.rival) * blind + config.rival * shares[rival, reply]
                    product *= ((1 - wrong) * shares[part, reply] + wrong * pulled) ** w
                mean += product
            assert found.rival[row, column] == pytest.approx(math.log(mean))


def test_a_crop_decides_between_neighbours_more_exactly():
    near = planar_scene((disc(0.0, 0.0), disc(0.035, 0.0)), 8)

    def posterior_of(crops: tuple[CropAnswer, ...], whole: list) -> float:
        further = FurtherAnswers(crops)
        found = part_posterior(near.parts, near.visibility, whole, further=further)
        return float(found.parts[0] + found.parts[2])

    answered = [to_tangents(v.camera, near.pixel(n, near.middle(0))) for n, v in enumerate(near.views)]
    whole = [answered[0], answered[1], *[None] * 6]
    again = [answered[0], answered[1], answered[2], answered[3], *[None] * 4]
    window = [
        CropAnswer(view, answered[view], answered[view][0] - 0.1, answered[view][0] + 0.1) for view in (2, 3)
    ]
    assert posterior_of(tuple(window), whole) > posterior_of((), again) - 0.02
    assert posterior_of(tuple(window), whole) > posterior_of((), whole)


def test_not_visible_in_a_crop_speaks_against_what_it_shows_alone():
    answers = tie()
    silent = tuple(crop(view, None, FIRST) for view in (6, 7, 8))
    after = posterior(answers, crops=silent)
    before = posterior(answers)
    assert chance(after, FIRST) < chance(before, FIRST)
    assert chance(after, SECOND) > chance(before, SECOND)


def test_a_crop_adds_little_to_the_same_views_answer():
    answers = tie()
    same = posterior(answers, crops=(crop(0, FIRST, FIRST), crop(1, FIRST, FIRST)))
    fresh = posterior(answers, crops=(crop(6, FIRST, FIRST), crop(7, FIRST, FIRST)))
    assert chance(same, FIRST) < chance(fresh, FIRST)


def test_degenerate_marks_and_scenes_are_survived():
    lone = MarkVote(0, (point(FIRST, 0),), 0)
    assert np.isfinite(posterior([None] * 12, lone).parts).all()
    away = MarkVote(0, (np.array([[9.0, 9.0]]),), 0)
    assert np.isfinite(posterior(tie(), away).parts).all()
    nowhere = CropAnswer(0, np.zeros((0, 2)), np.array([8.0, 8.0]), np.array([9.0, 9.0]))
    found = posterior(tie(), crops=(nowhere,))
    np.testing.assert_allclose(found.parts.sum() + found.absent, 1)


def test_without_rates_of_absence_choices_alone_still_give_a_posterior():
    found = part_posterior(
        WORLD.parts,
        WORLD.visibility,
        [None] * 12,
        further=FurtherAnswers(votes=tuple(vote(view, 0, FIRST, SECOND) for view in range(4))),
        config=dataclasses.replace(LikelihoodConfig(), absent=0.0),
    )
    assert chance(found, FIRST) > chance(found, SECOND)
    assert found.absent == 0
