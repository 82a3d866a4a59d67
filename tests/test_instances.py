"""Queries that ask for all instances: boxes on a table, each of them pointed at in every view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from small_run import QUICK, SmallRun

import point2act
from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query
from point2act.data.points import read_points, write_points
from point2act.pipeline.instances import each_instance
from point2act.pipeline.session import Session
from point2act.vlm.pointing.questions import name_queries

TOPS = np.array([np.add(block.center, [0, 0, block.half_extents[2]]) for block in synthetic.TABLETOP])
EVERY = Query("boxes", "all the boxes", "grasp", "all")


@pytest.fixture(scope="module")
def session(small_run: SmallRun) -> Session:
    return point2act.open_run(small_run.output)


def answers_to(query: Query, tops: np.ndarray, *, noise: float = 1.5) -> list[Answer]:
    """Return answers that point at these places in every view, in another order in each."""
    rng = np.random.default_rng(0)
    answers = []
    for view in synthetic.views(10, height=96, width=128):
        pixels = project(view.camera, view.T_world_cam, rng.permutation(tops))[0]
        answers.append(Answer(view.name, query.name, pixels + rng.normal(0, noise, pixels.shape)))
    return answers


def test_every_box_is_a_result_of_its_own(session: Session):
    results = session.ask(PointSet((EVERY,), tuple(answers_to(EVERY, TOPS)))).results
    assert [result.query.name for result in results] == ["boxes", "boxes-2", "boxes-3"]
    points = np.array([result.action_point for result in results])
    distance = np.linalg.norm(points[:, None] - TOPS, axis=2)
    assert sorted(distance.argmin(axis=1).tolist()) == [0, 1, 2]
    assert distance.min(axis=1).max() < 0.03
    # The others are no rivals.
    assert min(result.confidence for result in results) > 0.8
    assert min(result.region.support.agree for result in results) >= 8


def test_an_instance_is_as_sure_as_it_is_alone(session: Session):
    together = session.localize(PointSet((EVERY,), tuple(answers_to(EVERY, TOPS))))
    for instance in each_instance(together):
        top = TOPS[[np.linalg.norm(TOPS - instance.region.action_point, axis=1).argmin()]]
        one = Query("box", "the box")
        (alone,) = session.localize(PointSet((one,), tuple(answers_to(one, top))))
        assert instance.region.confidence == pytest.approx(alone.region.confidence, abs=0.1)


def test_the_relevancy_is_that_of_all(session: Session):
    (found,) = session.localize(PointSet((EVERY,), tuple(answers_to(EVERY, TOPS))))
    each = np.stack([instance.relevancy for instance in found.instances])
    np.testing.assert_array_equal(found.relevancy, each.max(axis=0))
    np.testing.assert_array_equal(session.relevancy("boxes"), found.relevancy)
    np.testing.assert_array_equal(session.relevancy("boxes-2"), each[1])


def test_one_wrong_answer_is_no_instance(session: Session):
    answers = answers_to(EVERY, TOPS[:2])
    away = np.concatenate([answers[4].points, [[3.0, 3.0]]])
    answers[4] = replace(answers[4], points=away)
    assert len(session.ask(PointSet((EVERY,), tuple(answers))).results) == 2


def test_without_any_there_is_one_reason(session: Session):
    nothing = [Answer(view.name, "boxes", np.zeros((0, 2)), visible=False) for view in session.views]
    (result,) = session.ask(PointSet((EVERY,), tuple(nothing))).results
    assert (result.query, result.reason) == (EVERY, "no_points")


def test_words_ask_for_all():
    texts = {"all the screws": "screws", "All of the cups": "cups", "every red box": "red_box"}
    for text, name in texts.items():
        (query,) = name_queries([(text, "grasp")])
        assert (query.name, query.text, query.instances) == (name, text, "all")
    (query,) = name_queries([("the allen key", "grasp")])
    assert (query.name, query.instances) == ("allen_key", "one")


def test_all_is_written_and_read_back(tmp_path: Path):
    points = PointSet((EVERY, Query("mug", "the mug")), ())
    write_points(tmp_path / "points.json", points)
    assert [vars(query) for query in read_points(tmp_path / "points.json").queries] == [
        vars(query) for query in points.queries
    ]
    assert (tmp_path / "points.json").read_text().count("instances") == 1


def test_all_is_asked_of_a_function(small_run: SmallRun):
    """A function is asked about every image, and each box is grasped or has a reason."""
    views = {view.rgb.tobytes(): view for view in synthetic.views(10, height=96, width=128)}

    def pointer(image, text):
        view = views[image.tobytes()]
        return [tuple(pixel) for pixel in project(view.camera, view.T_world_cam, TOPS)[0]]

    result = point2act.run(small_run.capture, queries=["all the boxes"], pointer=pointer, config=QUICK)
    assert len(result.results) == 3
    assert len(result.relevancy.queries) == 3
    assert all(found.grasps or found.reason for found in result.results)
