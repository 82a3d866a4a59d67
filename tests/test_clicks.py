"""What a person's clicks are worth: whose answers count, what one click finds, and the simulated person."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planar_scene import PlanarScene, bar, disc, planar_scene

from point2act.core.geometry import to_tangents
from point2act.core.types import Answer, NoAnswer, Region
from point2act.data.points import PERSON, effective_answers, pointed_by_person
from point2act.localization.likelihood import LikelihoodConfig, part_posterior
from point2act.localization.region import ClickConfig, RegionConfig, find_region

NOWHERE = np.zeros((0, 2))
HERE = np.array([[3.0, 4.0]])
SIGMA = 0.04


def answer_of(image: str, query: str, points: np.ndarray, model: str) -> Answer:
    return Answer(image, query, points, visible=len(points) > 0, model=model)


# ── whose answers count ────────────────────────────────────────────────────────────────────────
fields = st.tuples(
    st.sampled_from(["0.png", "1.png", "2.png"]),
    st.sampled_from(["mug", "lid"]),
    st.booleans(),
    st.sampled_from([PERSON, "makers/m", ""]),
)


def answers_of(drawn: list[tuple[str, str, bool, str]]) -> tuple[Answer, ...]:
    return tuple(
        answer_of(image, query, HERE if points else NOWHERE, model) for image, query, points, model in drawn
    )


@given(drawn=st.lists(fields, max_size=12))
def test_a_persons_word_stands_alone(drawn: list[tuple[str, str, bool, str]]):
    answers = answers_of(drawn)
    kept = effective_answers(answers)
    assert [answer for answer in answers if answer in kept] == list(kept)
    assert effective_answers(kept) == kept
    for answer in answers:
        others = [other for other in answers if other.model == PERSON and other.query == answer.query]
        overruled = any(len(other.points) or other.image == answer.image for other in others)
        assert (answer in kept) == (answer.model == PERSON or not overruled)


def test_without_a_person_everything_counts():
    answers = answers_of(
        [("0.png", "mug", True, "a"), ("0.png", "mug", False, "b"), ("1.png", "lid", True, "")]
    )
    assert effective_answers(answers) == answers
    assert pointed_by_person(answers) == set()


def test_a_click_in_one_image_overrules_models_in_all_but_for_that_query_alone():
    models = answers_of(
        [("0.png", "mug", True, "m"), ("1.png", "mug", True, "m"), ("1.png", "lid", True, "m")]
    )
    click = answer_of("0.png", "mug", HERE, PERSON)
    assert effective_answers((*models, click)) == (models[2], click)
    assert pointed_by_person((*models, click)) == {"mug"}


def test_a_persons_not_visible_replaces_the_models_answer_in_that_image_alone():
    models = answers_of([("0.png", "mug", True, "m"), ("1.png", "mug", True, "m")])
    hidden = answer_of("0.png", "mug", NOWHERE, PERSON)
    assert effective_answers((*models, hidden)) == (models[1], hidden)
    assert pointed_by_person((*models, hidden)) == set()


# ── what a click finds ─────────────────────────────────────────────────────────────────────────
TARGET, RIVAL = 0, 1
SHAPES = (disc(0.05, 0.0), disc(0.1, 0.0), disc(-0.1, 0.05))
"""Two that nearly touch, and one far off."""


def clicked(
    world: PlanarScene, clicks: dict[int, np.ndarray], config: Any
) -> tuple[Region | NoAnswer, tuple]:
    """The place for clicks on pixels of views, weighed by one config; a look at a config's two steps."""
    pixels = [clicks.get(view) for view in range(len(world.views))]
    tangents = [
        None if at is None else to_tangents(view.camera, at)
        for at, view in zip(pixels, world.views, strict=True)
    ]
    evidence = part_posterior(world.parts, world.visibility, tangents, config=config.evidence)
    return find_region(
        world.parts,
        world.visibility,
        evidence,
        world.views,
        world.depths,
        pixels,
        sigma=SIGMA,
        config=config.region,
    )


MODELS = SimpleNamespace(evidence=LikelihoodConfig(), region=RegionConfig())


@pytest.mark.parametrize("view", [0, 5, 11])
@pytest.mark.parametrize("part", [TARGET, RIVAL])
def test_one_click_is_enough_and_surer_than_one_answer_of_a_model(view: int, part: int):
    world = planar_scene(SHAPES, 12)
    clicks = {view: world.pixel(view, world.middle(part))}
    region, _ = clicked(world, clicks, ClickConfig())
    model, _ = clicked(world, clicks, MODELS)
    assert isinstance(region, Region)
    assert np.linalg.norm(region.action_point - world.middle(part)) < 0.005
    assert region.support.agree == 1
    assert region.confidence > 0.9
    assert isinstance(model, NoAnswer) or model.confidence < region.confidence


def test_clicks_on_both_ends_of_a_thing_are_no_disagreement():
    """What two views of a model would have to agree on, a person may have meant in two places of a thing."""
    world = planar_scene((bar(0.0, 0.0, 0.3, 0.02), disc(0.0, 0.1)), 6)
    ends = np.array([[-0.13, 0.0, 0.0], [0.13, 0.0, 0.0]])
    clicks = {view: world.pixel(view, end) for view, end in zip((0, 3), ends, strict=True)}
    region, _ = clicked(world, clicks, ClickConfig())
    assert isinstance(region, Region)
    x, y, _ = region.action_point
    assert abs(x) < 0.15
    assert abs(y) < 0.015


def test_a_person_is_not_informed_that_the_thing_is_not_there():
    """Also where nothing but the plane was clicked on, and a few times "not visible" was answered as well."""
    world = planar_scene(SHAPES, 24)
    clicks: dict[int, np.ndarray] = {view: NOWHERE for view in range(1, 4)}
    place = np.array([-0.05, -0.12, 0.0])
    clicks[0] = world.pixel(0, place)
    region, _ = clicked(world, clicks, ClickConfig())
    assert isinstance(region, Region)
    assert np.linalg.norm(region.action_point - place) < 0.05


def test_absence_can_be_ruled_out():
    world = planar_scene(SHAPES, 12)
    silence = [NOWHERE] * 12
    sure = part_posterior(world.parts, world.visibility, silence, config=LikelihoodConfig(absent=0.0))
    assert sure.absent == 0
    assert sure.parts.sum() == pytest.approx(1)
    assert part_posterior(world.parts, world.visibility, silence).absent > 0.5


def test_what_is_clicked_lies_under_the_click():
    """A bar is as near as the disc's middle for a click on the disc's border; its surface is not there."""
    world = planar_scene((disc(0.0, 0.0), bar(0.045, 0.0, 0.04, 0.01)), 12)
    border = world.middle(0) + np.array([0.017, 0.0, 0.0])
    clicks = [to_tangents(world.views[0].camera, world.pixel(0, border)), *([None] * 11)]
    wrong = dict.fromkeys((0.0, ClickConfig().evidence.on_part), 0.0)
    for on_part in wrong:
        config = dataclasses.replace(ClickConfig().evidence, on_part=on_part)
        found = part_posterior(world.parts, world.visibility, clicks, config=config).parts
        lies_on = np.array([_covers(world, part, border) for part in range(len(found))])
        wrong[on_part] = float(found[~lies_on].sum())
    nothing, all_but = wrong.values()
    assert all_but < 0.6 * nothing


def _covers(world: PlanarScene, part: int, place: np.ndarray) -> bool:
    """Whether a point of the part is within 4 mm of a place."""
    points = world.parts.points[world.parts.members(part)]
    return bool((np.linalg.norm(points - place, axis=1) < 0.004).any())


def test_the_action_point_is_where_the_click_is():
    world = planar_scene((bar(0.0, 0.0, 0.3, 0.02),), 6)
    for x in (-0.12, 0.0, 0.1):
        place = np.array([x, 0.0, 0.0])
        region, _ = clicked(world, {2: world.pixel(2, place)}, ClickConfig())
        assert isinstance(region, Region)
        assert np.linalg.norm(region.action_point - place) < 0.01


def test_more_clicks_are_surer():
    world = planar_scene(SHAPES, 12)
    sure = []
    for count in (1, 2, 3):
        clicks = {view: world.pixel(view, world.middle(TARGET)) for view in range(count)}
        region, _ = clicked(world, clicks, ClickConfig())
        assert isinstance(region, Region)
        sure.append(region.confidence)
    assert sure == sorted(sure)


# ── the simulated person ───────────────────────────────────────────────────────────────────────
class Tabletop:
    """What the simulated person needs of a simulated table: squares that show a part larger and larger."""

    def __init__(self, sizes: list[int]):
        ids = [np.full((60, 80), -1) for _ in sizes]
        for picture, size in zip(ids, sizes, strict=True):
            picture[10 : 10 + size, 20 : 20 + size] = 0
        self.shots = tuple(
            SimpleNamespace(part_ids=picture, view=SimpleNamespace(name=f"{number}.png"))
            for number, picture in enumerate(ids)
        )
        self.scene = SimpleNamespace(target_parts=lambda query: (0,))
        self.table = SimpleNamespace(name="table-0")


@pytest.fixture
def person() -> Any:
    pytest.importorskip("mujoco", reason="the simulator needs mujoco")
    from benchmarks.clicks import simulated_person as clicks_person

    return clicks_person


def test_the_simulated_person_clicks_where_most_is_seen_once_in_each_image(person: Any):
    table = Tabletop([5, 20, 4, 18, 16, 0])
    seen = set()
    for draw in range(20):
        clicks = list(person.clicks(table, "mug", draw))
        assert {answer.model for answer in clicks} == {PERSON}
        assert {answer.image for answer in clicks} == {"1.png", "3.png", "4.png"}
        assert [vars(a) | {"points": 0} for a in person.clicks(table, "mug", draw)] == [
            vars(a) | {"points": 0} for a in clicks
        ]
        seen.add(clicks[0].image)
    assert len(seen) == 3


def test_the_simulated_person_clicks_nowhere_on_what_is_not_seen(person: Any):
    assert list(person.clicks(Tabletop([4, 3, 0, 2]), "mug", 0)) == []


def test_clicks_are_as_far_off_as_is_reported(person: Any):
    config = person.PersonConfig(jitter=60.0, slips=0.0)
    slipping = dataclasses.replace(config, slips=1.0)
    table, spread = Tabletop([6]), {}
    for name, how in (("usual", config), ("slip", slipping)):
        # Of an image 80 px wide 60 px of 480 are 10; those that would leave the image are clipped.
        at = [next(person.clicks(table, "mug", draw, config=how)).points[0] for draw in range(400)]
        spread[name] = float(np.quantile(np.abs(np.array(at)[:, 0] - 23.0), 0.3))
    assert spread["usual"] == pytest.approx(0.385 * 10, rel=0.25)
    assert spread["slip"] == pytest.approx(0.385 * 30, rel=0.25)
