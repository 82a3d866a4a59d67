"""Masks of a few views: where a place ends, by agreement in 3D."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import synthetic
from synthetic import orbit
from test_segmentation import BOXES, seen_from, segmentation, tabletop

from point2act.core.geometry import back_project, pixel_centers, project, to_tangents
from point2act.core.masks import CandidateMasks
from point2act.localization.likelihood import part_posterior
from point2act.localization.mask_evidence import (
    Extents,
    MaskEvidenceConfig,
    agreeing_point,
    choose_views,
    find_extents,
    masks_on_points,
)
from point2act.localization.region import rank_places
from point2act.localization.segmentation import Segmentation

VIEWS = seen_from(orbit(16))
CAP = 0.075
"""Height above which the red box is its cap, metres; nothing else distinguishes the cap from the rest."""


@pytest.fixture(scope="module")
def scene() -> Segmentation:
    return segmentation(tabletop()[0], VIEWS)


@pytest.fixture(scope="module")
def seen() -> list[tuple[np.ndarray, np.ndarray]]:
    """For every view, which pixels show the red box, and which its cap."""
    masks = []
    for view in VIEWS:
        picture = synthetic.render(view.T_world_cam, synthetic.rays(view.camera), BOXES)
        pixels = pixel_centers(*picture.depth.shape).reshape(-1, 2)
        depth = picture.depth.reshape(-1).astype(float)
        height = back_project(view.camera, view.T_world_cam, pixels, depth)[:, 2]
        box = picture.ids == 0
        masks.append((box, box & (height.reshape(box.shape) > CAP)))
    return masks


def on_box(points: np.ndarray) -> np.ndarray:
    low, high = (np.array(BOXES[0].center) + sign * np.array(BOXES[0].half_extents) for sign in (-1, 1))
    return ((points > low - 1e-6) & (points < high + 1e-6)).all(axis=1) & (points[:, 2] > 0.01)


def on_cap(points: np.ndarray) -> np.ndarray:
    return on_box(points) & (points[:, 2] > CAP)


def answers_on(mask_of, rng: np.random.Generator) -> list[np.ndarray]:
    """A point in a mask of every view, as tangents; together they are spread over its height."""
    found = []
    for number, (view, turn) in enumerate(zip(VIEWS, rng.permutation(len(VIEWS)), strict=True)):
        rows, columns = np.nonzero(mask_of(number))
        pick = int((turn + rng.random()) / len(VIEWS) * len(rows))
        found.append(to_tangents(view.camera, np.array([[columns[pick] + 0.5, rows[pick] + 0.5]])))
    return found


def extents_of(scene, answers, candidates, **changes) -> Extents | None:
    """The extents of the likeliest place, from masks by view."""
    parts, visibility = scene.parts, scene.visibility
    posterior = part_posterior(parts, visibility, answers)
    pixels = [
        answer * [view.camera.fx, view.camera.fy] + [view.camera.cx, view.camera.cy]
        for answer, view in zip(answers, VIEWS, strict=True)
    ]
    place = rank_places(parts, visibility, posterior, VIEWS, pixels)[0]
    masks = [
        masks_on_points(parts.points, visibility, number, VIEWS[number], found)
        for number, found in candidates.items()
    ]
    config = MaskEvidenceConfig(**changes)
    return find_extents(place.parts, parts, visibility, VIEWS, answers, masks, config=config)


def overlap(extents: Extents, truth: np.ndarray) -> float:
    found = extents.membership > 0.5
    # Points that no view can see do not count.
    return (found & truth).sum() / (found | truth).sum()


def candidates(seen, numbers=(0, 4, 8, 12), *, order=(0, 1)) -> dict[int, CandidateMasks]:
    """The box and its cap in every view, as SAM 2 gives the whole and the part."""
    return {
        number: CandidateMasks(np.stack([seen[number][which] for which in order]), np.full(len(order), 0.9))
        for number in numbers
    }


# ── the whole or the part ──────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("seed", range(4))
def test_answers_over_the_whole_and_answers_over_the_part_distinguish_them(scene, seen, seed):
    rng = np.random.default_rng(seed)
    shown = scene.visibility.area[::4].max(axis=0) > 0
    whole = extents_of(scene, answers_on(lambda number: seen[number][0], rng), candidates(seen))
    part = extents_of(scene, answers_on(lambda number: seen[number][1], rng), candidates(seen))
    assert whole is not None
    assert part is not None
    points = scene.parts.points
    assert overlap(part, on_cap(points) & shown) > 0.85
    assert overlap(whole, on_box(points) & shown) > 0.75
    assert overlap(part, on_box(points)) < 0.75


def test_a_part_that_the_scene_s_own_parts_do_not_have_is_found_by_masks(scene, seen):
    truth = on_cap(scene.parts.points)
    own = max(
        (truth[scene.parts.members(part)].sum() / (truth.sum() + (~truth[scene.parts.members(part)]).sum()))
        for part in range(len(scene.parts))
    )
    extents = extents_of(
        scene, answers_on(lambda n: seen[n][1], np.random.default_rng(1)), candidates(seen, order=(1,))
    )
    assert extents is not None
    assert overlap(extents, truth) > own
    assert overlap(extents, truth) > 0.9


def test_the_order_of_candidates_and_of_views_means_nothing(scene, seen):
    answers = answers_on(lambda number: seen[number][1], np.random.default_rng(2))
    one = extents_of(scene, answers, candidates(seen))
    other = extents_of(scene, answers, candidates(seen, (12, 8, 4, 0), order=(1, 0)))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.membership, other.membership, atol=1e-9)


def test_each_view_may_mean_another_of_its_candidates(scene, seen):
    """Two views have the cap first, the others the box: the scores say nothing, the agreement does."""
    mixed = candidates(seen, (0, 8)) | candidates(seen, (4, 12), order=(1, 0))
    answers = answers_on(lambda number: seen[number][1], np.random.default_rng(3))
    extents = extents_of(scene, answers, mixed)
    assert extents is not None
    assert overlap(extents, on_cap(scene.parts.points)) > 0.85


# ── wrong masks ────────────────────────────────────────────────────────────────────────────────
def test_a_view_with_a_mask_of_something_else_is_outvoted(scene, seen):
    found = candidates(seen, order=(1,))
    elsewhere = np.zeros_like(seen[0][0])
    elsewhere[:40, :40] = True
    found[4] = CandidateMasks(elsewhere[None], np.array([0.99]))
    extents = extents_of(scene, answers_on(lambda n: seen[n][1], np.random.default_rng(4)), found)
    assert extents is not None
    assert overlap(extents, on_cap(scene.parts.points)) > 0.75


@pytest.mark.parametrize("empty", [True, False])
def test_without_masks_there_are_no_extents(scene, seen, empty):
    nothing = np.zeros((1 if empty else 0, *seen[0][0].shape), dtype=bool)
    found = {number: CandidateMasks(nothing, np.full(len(nothing), 0.5)) for number in (0, 3)}
    assert extents_of(scene, answers_on(lambda n: seen[n][0], np.random.default_rng(0)), found) is None


def test_a_mask_of_everything_is_no_extent(scene, seen):
    everything = np.ones((1, *seen[0][0].shape), dtype=bool)
    found = {number: CandidateMasks(everything, np.ones(1)) for number in (0, 3)}
    assert extents_of(scene, answers_on(lambda n: seen[n][0], np.random.default_rng(0)), found) is None


def test_probabilities_of_extents_add_up(scene, seen):
    extents = extents_of(scene, answers_on(lambda n: seen[n][0], np.random.default_rng(0)), candidates(seen))
    assert extents is not None
    assert extents.posterior.sum() == pytest.approx(1)
    assert (extents.membership >= 0).all()
    assert (extents.membership <= 1).all()
    # Slow twin.
    slow = np.zeros(len(scene.parts.points))
    for extent, probability in enumerate(extents.posterior):
        for point in extents.parts.members(extent):
            slow[point] += probability
    np.testing.assert_allclose(extents.membership, slow, atol=1e-12)


# ── views ──────────────────────────────────────────────────────────────────────────────────────
def test_views_are_different_and_see_the_place(scene):
    body = np.flatnonzero(on_box(scene.parts.points))
    none = [None] * len(VIEWS)
    chosen = choose_views(body, scene.parts, scene.visibility, VIEWS, none)
    assert len(chosen) == len(set(chosen)) == 5
    assert choose_views(body, scene.parts, scene.visibility, VIEWS, none) == chosen
    # No view sees enough of a part that is as small as a point.
    config = MaskEvidenceConfig(min_area=1e-2)
    assert choose_views(body[:1], scene.parts, scene.visibility, VIEWS, none, config=config) == []


def test_a_view_whose_answer_agrees_is_preferred(scene, seen):
    body = np.flatnonzero(on_box(scene.parts.points))
    answers = answers_on(lambda number: seen[number][0], np.random.default_rng(0))
    config = MaskEvidenceConfig(views=1)
    (best,) = choose_views(body, scene.parts, scene.visibility, VIEWS, answers, config=config)
    away: list = list(answers)
    away[best] = answers[best] + 0.3
    assert agreeing_point(scene.visibility, best, body, answers[best]) == 0
    assert agreeing_point(scene.visibility, best, body, away[best]) is None
    (other,) = choose_views(body, scene.parts, scene.visibility, VIEWS, away, config=config)
    assert other != best
    silent: list = list(answers)
    silent[best] = np.zeros((0, 2))
    assert choose_views(body, scene.parts, scene.visibility, VIEWS, silent, config=config) == [other]


# ── masks on points ────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("scale", [1, 2])
def test_votes_are_those_of_the_pixels_that_points_fall_on(scene, seen, scale):
    """Slow twin; masks of larger images give the same."""
    view, mask = VIEWS[1], seen[1][0]
    large = np.kron(mask, np.ones((scale, scale), dtype=bool))
    found = masks_on_points(
        scene.parts.points, scene.visibility, 1, view, CandidateMasks(large[None], np.ones(1))
    )
    pixels, _ = project(view.camera, view.T_world_cam, scene.parts.points)
    for point in range(0, len(pixels), 7):
        column, row = np.floor(pixels[point]).astype(int)
        if scene.visibility.area[1, point] > 0 and 0 <= row < 120 and 0 <= column < 160:
            assert found.votes[0, point] == mask[row, column]
        else:
            assert not found.votes[0, point]
            assert found.seen[point] == 0
    assert found.seen.max() == pytest.approx(1)


def test_hidden_points_are_in_no_mask(scene, seen):
    view = VIEWS[0]
    full = CandidateMasks(np.ones((1, 120, 160), dtype=bool), np.ones(1))
    nothing = dataclasses.replace(scene.visibility, area=np.zeros_like(scene.visibility.area))
    found = masks_on_points(scene.parts.points, nothing, 0, view, full)
    assert not found.votes.any()
    assert not found.seen.any()
