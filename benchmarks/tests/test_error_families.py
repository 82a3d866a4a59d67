"""Every family of errors errs as it says, at the rate that it says."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.common.error_families import (
    FAMILIES,
    ErrorFamily,
    QueryViews,
    draw_points,
    family_answers,
)
from point2act.core.types import View
from point2act.physics.pictures import pinhole
from point2act.simulation import WristConfig, load_scene
from point2act.simulation.camera import SimView, render, wrist_poses
from point2act.simulation.pointing import PartChoices

VIEWS, HEIGHT, WIDTH = 400, 60, 80
PART, REST, OTHER, FAR = 0, 1, 2, 3
"""A handle and its body, and two more things."""
HIDDEN = range(300, VIEWS)
"""Views in which the part is not visible."""
BY_NAME = {family.name: family for family in FAMILIES}


def world() -> QueryViews:
    ids = np.full((VIEWS, HEIGHT, WIDTH), -1)
    ids[:, 20:30, 10:20] = PART
    ids[:, 20:40, 20:40] = REST
    ids[:, 5:15, 60:75] = OTHER
    ids[:, 45:55, 60:75] = FAR
    ids[HIDDEN, 20:30, 10:20] = -1
    return QueryViews(ids, PartChoices([PART], [REST], [OTHER, FAR], [FAR]))


QUERY = world()


def exact(name: str, **changes) -> ErrorFamily:
    """A family whose points are where they are meant to be."""
    return replace(BY_NAME[name], jitter=0.0, **changes)


def parts(points) -> np.ndarray:
    """The part under every point: -1 for nothing, -2 for "not visible"."""
    found = [
        -2 if point is None else QUERY.part_ids[view, int(point[1]), int(point[0])]
        for view, point in enumerate(points)
    ]
    return np.array(found)


def drawn(family: ErrorFamily, seed: int = 0) -> np.ndarray:
    return parts(draw_points(QUERY, family, np.random.default_rng(seed)))


@pytest.mark.parametrize("family", FAMILIES, ids=list(BY_NAME))
def test_points_lie_in_the_image_and_repeat_with_the_seed(family):
    one, again = (draw_points(QUERY, family, np.random.default_rng(5)) for _ in range(2))
    assert len(one) == VIEWS
    for a, b in zip(one, again, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
            assert ((a >= 0.5) & (a <= [WIDTH - 0.5, HEIGHT - 0.5])).all()


@pytest.mark.parametrize("family", FAMILIES, ids=list(BY_NAME))
def test_rates_are_those_that_it_has(family):
    found = drawn(replace(family, jitter=0.0, offset=0.0, stretch=0.0, min_pixels=1))
    visible, hidden = found[: HIDDEN.start], found[HIDDEN.start :]
    # Four standard deviations of 300 and of 100 draws; runs of four views have half as many.
    assert np.mean(visible == -2) == pytest.approx(family.missed, abs=0.12)
    assert np.mean(hidden != -2) == pytest.approx(family.hallucinated, abs=0.2)
    pointed_at = visible[visible != -2]
    # The object's middle may lie on the part.
    wrong = np.mean(pointed_at != PART)
    assert wrong == pytest.approx(family.wrong, abs=0.12 * family.run**0.5)


def wrong_parts(name: str, seed: int = 0) -> set[int]:
    found = drawn(exact(name, wrong=0.9, missed=0.0, hallucinated=1.0, min_pixels=1), seed)
    return set(found[found != PART].tolist())


def test_where_wrong_points_are():
    assert wrong_parts("rest_of_object") == {REST}
    assert wrong_parts("twin") == {FAR}
    assert wrong_parts("talkative") == {REST, OTHER, FAR}
    assert {REST} in [wrong_parts("favourite_object", seed) - {OTHER, FAR} for seed in range(6)]


def test_the_objects_middle_is_of_all_its_parts():
    points = draw_points(QUERY, exact("object_middle", wrong=1.0, missed=0.0), np.random.default_rng(0))
    rows, columns = np.nonzero(np.isin(QUERY.part_ids[0], [PART, REST]))
    np.testing.assert_allclose(points[0], [columns.mean() + 0.5, rows.mean() + 0.5], atol=0.06)


def test_a_favourite_pixel_is_the_same_in_most_views():
    points = draw_points(QUERY, exact("favourite_pixel", wrong=1.0, missed=0.0), np.random.default_rng(0))
    _, counts = np.unique([point for point in points if point is not None], axis=0, return_counts=True)
    assert 0.7 < counts.max() / VIEWS < 0.9


def test_an_image_has_one_middle():
    points = draw_points(QUERY, exact("image_middle", wrong=1.0, missed=0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(points[0], [WIDTH / 2, HEIGHT / 2])


def test_errors_come_in_runs():
    """The mean length of runs of wrong views is that of the family, and their share stays."""
    wrong = drawn(exact("blocks", missed=0.0, min_pixels=1))[: HIDDEN.start] != PART
    changes = np.flatnonzero(np.diff(wrong.astype(int)))
    lengths = wrong.sum() / max((np.diff(wrong.astype(int)) == 1).sum() + wrong[0], 1)
    assert len(changes) > 10
    assert 2.5 < lengths < 6
    scattered = drawn(exact("blocks", run=1.0, missed=0.0, min_pixels=1))[: HIDDEN.start] != PART
    assert scattered.sum() / ((np.diff(scattered.astype(int)) == 1).sum() + scattered[0]) < 2.5


def test_an_offset_is_the_same_in_all_views():
    family = exact("offset", wrong=0.0, missed=0.0, stretch=0.0)
    still = replace(family, offset=0.0)
    moved, kept = (draw_points(QUERY, each, np.random.default_rng(1)) for each in (family, still))
    pairs = [(a, b) for a, b in zip(moved, kept, strict=True) if a is not None and b is not None]
    shifts = np.array([a - b for a, b in pairs])[: HIDDEN.start]
    assert np.linalg.norm(shifts[0]) == pytest.approx(family.offset, abs=0.2)
    np.testing.assert_allclose(shifts, shifts[:1].repeat(len(shifts), 0), atol=0.11)


def test_where_there_is_nothing_else_no_point_is_made_up():
    alone = QueryViews(np.full((5, HEIGHT, WIDTH), -1), PartChoices([PART], [], [], [PART]))
    for family in FAMILIES:
        points = draw_points(alone, replace(family, hallucinated=1.0), np.random.default_rng(0))
        if family.name != "image_middle":
            assert points == [None] * 5


def test_answers_of_a_scene():
    scene, config = load_scene("tabletop", 0), WristConfig(views=3, size=(60, 80), focal=75.0)
    rng = np.random.default_rng(0)
    poses, camera = wrist_poses(0.4, config, rng), pinhole(config.size, config.focal)
    color, depth, ids = render(scene, poses, camera)
    shots = [
        SimView(View(f"{i}.png", camera, T, rgb), part, z)
        for i, (rgb, T, part, z) in enumerate(zip(color, poses, ids, depth, strict=True))
    ]
    found = family_answers(scene, shots, BY_NAME["twin"], rng)
    assert [query.name for query in found.queries] == [query.name for query in scene.queries]
    assert len(found.answers) == 3 * len(scene.queries)
    assert {answer.model for answer in found.answers} == {"simulated/twin"}
