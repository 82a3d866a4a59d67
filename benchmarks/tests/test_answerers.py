"""Simulated models that answer about crops and choose marks: what is assumed of them holds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.answerers import (
    AbsentAnswerer,
    PersistenceConfig,
    SimulatedAnswerer,
    absent_family,
    level_family,
)
from benchmarks.common.error_families import FAMILIES, ErrorFamily
from point2act.core.geometry import pixel_centers
from point2act.core.types import Query
from point2act.data.crops import Crop, Window
from point2act.simulation import load_scene
from point2act.simulation.camera import SimView, WristConfig, render_views
from point2act.simulation.pointing import CLEAN, HARD
from point2act.vlm.pointing.mark_selector import MarkQuestion, MarkSelector
from point2act.vlm.pointing.point import Pointer

BY_NAME = {family.name: family for family in FAMILIES}
"""Families by name."""


@pytest.fixture(scope="module")
def scene():
    return load_scene("breakfast", 3)


@pytest.fixture(scope="module")
def shots(scene) -> list[SimView]:
    wrist = WristConfig(views=12, size=(120, 160), focal=150.0)
    return list(render_views(scene, wrist, np.random.default_rng(0)))


def whole() -> Crop:
    return Crop(np.zeros((120, 160, 3), dtype=np.uint8), Window(0, 0, 160, 120))


def marks(scene, shot: SimView, query: Query, view: int) -> MarkQuestion:
    """Every part that the view shows, numbered."""
    ids = shot.part_ids
    seen = [part for part in np.unique(ids).tolist() if part >= 0]
    places = {str(part + 1): pixel_centers(*ids.shape)[ids == part] for part in seen}
    return MarkQuestion(query, shot.view.name, whole(), places, "")


def model(scene, shots, family: ErrorFamily, **persistence) -> SimulatedAnswerer:
    return SimulatedAnswerer(scene, shots, family, 0, PersistenceConfig(**persistence))


def visible(scene, shots, query: Query) -> list[int]:
    parts = list(scene.target_parts(query.name))
    return [n for n, shot in enumerate(shots) if np.isin(shot.part_ids, parts).sum() >= 20]


def test_it_is_a_pointer_and_a_selector(scene, shots):
    one = model(scene, shots, BY_NAME["twin"])
    assert isinstance(one, Pointer)
    assert isinstance(one, MarkSelector)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_same_question_has_the_same_answer_in_any_order(scene, shots, family):
    one, other = (model(scene, shots, family) for _ in range(2))
    query = scene.queries[0]
    window = Crop(np.zeros((60, 60, 3), dtype=np.uint8), Window(50, 30, 60, 60))
    asked = [(shot.view.name, look) for shot in shots[:4] for look in (whole(), window)]
    first = [one.point(query, image, look).points for image, look in asked]
    again = [other.point(query, image, look).points for image, look in asked[::-1]][::-1]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for view, shot in enumerate(shots[:4]):
        question = marks(scene, shot, query, view)
        assert one.select(question) == other.select(question)


def test_who_never_errs_chooses_the_target_and_points_at_it_in_crops(scene, shots):
    one = model(scene, shots, level_family(CLEAN))
    for query in scene.queries:
        target = scene.target_parts(query.name)
        for view in visible(scene, shots, query)[:4]:
            label = one.select(marks(scene, shots[view], query, view)).label
            assert label is not None
            assert int(label) - 1 in target
            rows, columns = np.nonzero(np.isin(shots[view].part_ids, list(target)))
            corner = np.clip([columns.mean() - 30, rows.mean() - 30], 0, [100, 60]).astype(int)
            crop = Crop(np.zeros((60, 60, 3), np.uint8), Window(*corner.tolist(), 60, 60))
            (point,) = crop.to_disk(one.point(query, shots[view].view.name, crop).points)
            away = np.linalg.norm(np.stack([columns, rows], axis=1) + 0.5 - point, axis=1)
            assert away.min() < 5


@pytest.mark.parametrize("name", ["hard", "twin", "rest_of_object", "favourite_pixel"])
def test_errors_persist_in_choices(scene, shots, name):
    """Who insists is wrong wherever the whole image was wrong; who never does is right nearly everywhere."""
    family = level_family(HARD) if name == "hard" else BY_NAME[name]
    for query in scene.queries:
        seen = visible(scene, shots, query)
        insists = model(scene, shots, family, choice=(1.0, 1.0), new_in_choice=0.0, missed=0.0)
        yields = model(scene, shots, family, choice=(0.0, 0.0), new_in_choice=0.0, missed=0.0)
        draw = insists._known(query.name).draw
        target = {str(part + 1) for part in scene.target_parts(query.name)}
        for view in seen:
            question = marks(scene, shots[view], query, view)
            assert yields.select(question).label in target
            if draw.wrong[view] and draw.points[view] is not None:
                place = draw.points[view]
                chosen = insists.select(question).label
                if chosen is not None and chosen not in target:
                    away = np.linalg.norm(question.places[chosen] - place, axis=1).min()
                    others = [np.linalg.norm(p - place, axis=1).min() for p in question.places.values()]
                    assert away == min(others) or min(others) >= 12


def test_errors_persist_in_crops(scene, shots):
    family = BY_NAME["twin"]
    wrong_first, wrong_again = [], []
    for query in scene.queries:
        one = model(scene, shots, family, crop=(1.0, 1.0), new_in_crop=0.0)
        other = model(scene, shots, family, crop=(0.0, 0.0), new_in_crop=0.0)
        parts = list(scene.target_parts(query.name))
        for view in visible(scene, shots, query):
            crop = Crop(np.zeros((100, 100, 3), np.uint8), Window(30, 10, 100, 100))
            ids = shots[view].part_ids
            if np.isin(ids[10:110, 30:130], parts).sum() < 20:
                continue
            for answers, pointer in ((wrong_first, one), (wrong_again, other)):
                points = crop.to_disk(pointer.point(query, shots[view].view.name, crop).points)
                if len(points):
                    near = np.nonzero(np.isin(ids, parts))
                    away = np.hypot(near[1] + 0.5 - points[0, 0], near[0] + 0.5 - points[0, 1]).min()
                    answers.append(away > 10)
    assert np.mean(wrong_first) > np.mean(wrong_again) + 0.15


def test_what_is_absent_is_never_the_right_choice(scene, shots):
    family = absent_family(hallucinated=0.4, look_alike=0.6)
    one = AbsentAnswerer(scene, shots, family, 0, PersistenceConfig(choice=(0.0, 0.0), new_in_choice=0.0))
    for query in scene.queries:
        assert all(
            one.select(marks(scene, shot, query, view)).label is None for view, shot in enumerate(shots)
        )
