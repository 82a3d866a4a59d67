"""What grasps are ordered by: the chance that they hold, what they mean, and what is preferred."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference_grasps as ref
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.geometry import distance_to_box
from point2act.core.types import OrientedBox
from point2act.grasping.antipodal.score import (
    PreferenceConfig,
    QualityWeights,
    ScoreConfig,
    contact_relevancy,
    preference,
    quality,
    semantic_factor,
)
from point2act.grasping.antipodal.terms import GraspTerms

NAMES = [f.name for f in dataclasses.fields(GraspTerms)]
UP = np.array([0.0, 0.0, 1.0])
share = st.floats(0, 1)


def terms_of(rows: list[list[float]]) -> GraspTerms:
    return GraspTerms(
        **{name: np.array(column) for name, column in zip(NAMES, np.transpose(rows), strict=True)}
    )


def directions(count: int, seed: int = 0) -> np.ndarray:
    out = np.random.default_rng(seed).standard_normal((count, 3))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


# ── quality ────────────────────────────────────────────────────────────────────────────────────
def test_every_term_has_its_weight():
    assert {*NAMES, "bias"} == {f.name for f in dataclasses.fields(QualityWeights)}


@given(st.lists(share, min_size=len(NAMES), max_size=len(NAMES)))
def test_quality_is_a_chance(row):
    assert 0 < quality(terms_of([row]), QualityWeights())[0] < 1


@pytest.mark.parametrize("name", NAMES)
def test_quality_rises_with_every_weighed_term(name):
    better = [[0.5 + 0.4 * step * (other == name) for other in NAMES] for step in (-1, 0, 1)]
    for weight, expected in ((0.5, [-1, -1]), (0.0, [0, 0]), (-0.5, [1, 1])):
        values = quality(terms_of(better), dataclasses.replace(QualityWeights(), **{name: weight}))
        assert np.sign(values[:-1] - values[1:]).tolist() == expected


@given(share)
def test_the_odds_are_the_weighed_sum(value):
    weights = QualityWeights(**{**dict.fromkeys(NAMES, 0.0), "bias": -1.0, "patch": 3.0})
    (chance,) = quality(terms_of([[value] * len(NAMES)]), weights)
    assert np.log(chance / (1 - chance)) == pytest.approx(3 * value - 1)


# ── preferences ────────────────────────────────────────────────────────────────────────────────
def test_without_weights_nothing_is_preferred():
    ways = directions(50)
    assert (preference(ways, UP, np.array([1.0, 2.0, 0.0]), PreferenceConfig()) == 1).all()
    aimless = PreferenceConfig(direction=(0.0, 0.0, 0.0), direction_weight=1.0)
    assert (preference(ways, UP, np.zeros(3), aimless) == 1).all()


@pytest.mark.parametrize(
    ("config", "liked"),
    [
        (PreferenceConfig(from_above=0.6), (0, 0, -1)),
        (PreferenceConfig(away_from_base=0.6), (0.6, 0.8, 0)),  # level, however low the base is
        (PreferenceConfig(direction=(0.0, 2.0, 0.0), direction_weight=0.6), (0, 1, 0)),
    ],
)
def test_what_is_liked_costs_nothing_and_its_opposite_the_weight(config, liked):
    way, ways = np.array(liked, float), directions(50)
    values = preference(np.concatenate([[way, -way], ways]), UP, np.array([3.0, 4.0, 2.0]), config)
    assert values[:2] == pytest.approx([1.0, 0.4])
    assert ((values >= 0.4 - 1e-9) & (values <= 1 + 1e-9)).all()
    # The nearer to what is liked the better.
    assert (np.diff(values[2:][np.argsort(ways @ way)]) >= -1e-12).all()


@given(share, share, share, st.integers(0, 100))
def test_preferences_are_never_negative(above, away, along, seed):
    config = PreferenceConfig(above, away, (1.0, -2.0, 0.5), along)
    values = preference(directions(20, seed), UP, np.array([-1.0, 0.3, 0.0]), config)
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()


def test_an_unknown_base_is_not_away_from_anything():
    config = PreferenceConfig(away_from_base=1.0)
    assert (preference(directions(9), UP, None, config) == 1).all()
    assert (preference(directions(9), UP, 2 * UP, config) == 1).all()  # straight below


# ── semantic_factor ────────────────────────────────────────────────────────────────────────────────────
def test_meaning_falls_with_irrelevance_and_distance():
    config = dataclasses.replace(ScoreConfig(), semantic_weight=0.5)
    here = np.zeros(3)
    assert semantic_factor(np.array([0.0, 0.5, 1.0]), here, config=config) == pytest.approx([0.5, 0.75, 1.0])
    away = np.linspace(0, 0.2, 9)
    values = semantic_factor(np.ones(9), away, config=config)
    assert (np.diff(values) < 0).all()
    assert values[0] == 1
    deaf = dataclasses.replace(ScoreConfig(), semantic_weight=0.0)
    assert semantic_factor(np.array([0.0, 1.0]), np.zeros(2), config=deaf) == pytest.approx([1, 1])


@given(st.integers(0, 10_000))
def test_distance_to_a_box_is_the_one_to_its_nearest_point(seed):
    rng = np.random.default_rng(seed)
    axes = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix()
    box = OrientedBox(rng.uniform(-0.1, 0.1, 3), axes, rng.uniform(0.01, 0.05, 3))
    points = rng.uniform(-0.2, 0.2, (5, 3))
    for point, distance in zip(points, distance_to_box(points, box), strict=True):
        local = axes @ (point - box.center)
        nearest = box.center + axes.T @ np.clip(local, -box.half_extents, box.half_extents)
        assert distance == pytest.approx(np.linalg.norm(point - nearest), abs=1e-12)


# ── relevancy ──────────────────────────────────────────────────────────────────────────────────
def two_parts() -> tuple[np.ndarray, np.ndarray]:
    """A bar along x, whose half at x > 0 is what was asked for."""
    points = np.random.default_rng(0).uniform([-0.05, -0.01, 0], [0.05, 0.01, 0.005], (4000, 3))
    return points, np.where(points[:, 0] > 0, 0.8, 0.0)


def test_without_points_relevancy_is_nearness_to_the_box():
    region = ref.region_at((0.0, 0.0, 0.0), half=0.01)
    middles = np.array([[0.0, 0, 0], [0.01, 0, 0], [0.02, 0, 0], [0.05, 0, 0]])
    contacts = np.repeat(middles[:, None], 2, axis=1)
    absolute, relative = contact_relevancy(contacts, region, None, config=ScoreConfig())
    assert absolute[:2] == pytest.approx([1.0, 1.0])
    assert absolute[2] == pytest.approx(np.exp(-0.5))
    assert absolute[3] < 0.01
    assert np.array_equal(absolute, relative)


@pytest.mark.parametrize("given_points", [True, False])
def test_a_finger_beside_the_part_counts_as_beside(given_points):
    region = ref.region_at((0.03, 0.0, 0.0), half=0.02)
    on, beside = np.array([0.03, 0.0, 0.0]), np.array([-0.03, 0.0, 0.0])
    contacts = np.array([[on, on], [on, beside], [beside, on], [beside, beside]])
    absolute, relative = contact_relevancy(
        contacts, region, two_parts() if given_points else None, config=ScoreConfig()
    )
    for values in (absolute, relative):
        assert values[1] == values[2] == values[3] < 0.05
        assert values[0] > 0.75


def test_relevancy_is_relative_to_the_best_of_the_region():
    region = ref.region_at((0.03, 0.0, 0.0))
    on = np.array([[[0.03, 0.0, 0.0]] * 2])
    points, values = two_parts()
    for scale in (0.1, 1.0):
        absolute, relative = contact_relevancy(on, region, (points, scale * values), config=ScoreConfig())
        assert absolute[0] == pytest.approx(0.8 * scale)
        assert relative[0] == pytest.approx(1.0)


def test_where_no_points_are_nothing_is_relevant():
    region = ref.region_at((0.03, 0.0, 0.0))
    far = np.array([[[0.5, 0.0, 0.0]] * 2])
    for relevancy in (two_parts(), (np.zeros((0, 3)), np.zeros(0))):
        absolute, relative = contact_relevancy(far, region, relevancy, config=ScoreConfig())
        assert absolute[0] == relative[0] == 0
