"""points.json: what is written is read, names are matched, points lie in their images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from point2act.core.errors import PointsError
from point2act.core.types import Answer, Choice, Plan, PointSet, Query, Step, Target
from point2act.data.capture import read_capture
from point2act.data.points import read_points, write_points
from point2act.data.task_plan import plan_document

words = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(str.strip)
pixels = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def parts_of_a_set(draw: st.DrawFn) -> tuple[list[tuple], list[tuple]]:
    """Fields of queries and of answers; see test_capture's lenses for why they are put together later."""
    names = draw(st.lists(words, min_size=1, max_size=3, unique=True))
    roles = st.sampled_from(("grasp", "place", "avoid"))
    queries = [(name, draw(words), draw(roles)) for name in names]
    answers = []
    for _ in range(draw(st.integers(0, 4))):
        points = np.array(draw(st.lists(st.tuples(pixels, pixels), max_size=3)), dtype=float).reshape(-1, 2)
        visible = len(points) > 0 or draw(st.booleans())
        raw, seconds = draw(st.none() | st.text(max_size=20)), draw(st.none() | st.floats(0, 1e6))
        query = draw(st.sampled_from(names))
        answers.append((draw(words), query, points, visible, draw(st.text(max_size=8)), raw, seconds))
    return queries, answers


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=parts_of_a_set())
def test_what_is_written_is_read(tmp_path: Path, parts: tuple[list[tuple], list[tuple]]):
    points = PointSet(
        tuple(Query(*query) for query in parts[0]), tuple(Answer(*answer) for answer in parts[1])
    )
    write_points(tmp_path / "points.json", points)
    found = read_points(tmp_path / "points.json")
    assert [vars(query) for query in found.queries] == [vars(query) for query in points.queries]
    assert len(found.answers) == len(points.answers)
    for answer, truth in zip(found.answers, points.answers, strict=True):
        np.testing.assert_array_equal(answer.points, truth.points)
        assert {**vars(answer), "points": 0} == {**vars(truth), "points": 0}


@st.composite
def fields_of_a_plan(draw: st.DrawFn) -> tuple[list[tuple], str, list[tuple[str, list[tuple]]]]:
    """Fields of queries, an instruction, and of steps: actions with targets, their queries by number."""
    names = draw(st.lists(words, min_size=1, max_size=3, unique=True))
    queries = [(name, draw(words), draw(st.sampled_from(("grasp", "place", "avoid")))) for name in names]
    target = st.tuples(st.integers(0, len(names) - 1), words, st.none() | words, st.text(max_size=9))
    steps = st.lists(st.tuples(words, st.lists(target, max_size=3)), min_size=1, max_size=3)
    return queries, draw(words), draw(steps)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=fields_of_a_plan(), model=st.text(max_size=8))
def test_a_plan_that_is_written_is_read(tmp_path: Path, fields: tuple, model: str):
    queries = tuple(Query(*query) for query in fields[0])
    steps = tuple(
        Step(action, tuple(Target(queries[number], *rest) for number, *rest in targets))
        for action, targets in fields[2]
    )
    write_points(tmp_path / "points.json", PointSet(queries, (), Plan(fields[1], steps, model)))
    found = read_points(tmp_path / "points.json").plan
    assert found is not None
    assert (found.instruction, found.model) == (fields[1], model)
    assert [step.action for step in found.steps] == [step.action for step in steps]
    for step, truth in zip(found.steps, steps, strict=True):
        for target, true in zip(step.targets, truth.targets, strict=True):
            assert {**vars(target), "query": vars(target.query)} == {**vars(true), "query": vars(true.query)}


def test_without_a_plan_nothing_is_written_of_one(tmp_path: Path):
    write_points(tmp_path / "points.json", PointSet((Query("mug", "the mug"),), ()))
    assert set(json.loads((tmp_path / "points.json").read_text())) == {"version", "queries", "answers"}
    assert read_points(save(tmp_path, document() | {"plan": None})).plan is None


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ([], r"'plan' is \[\]: write a plan"),
        ({"steps": []}, "'plan.instruction' is missing"),
        ({"instruction": "x", "steps": [{"action": "lift"}]}, r"'plan\.steps\[0\]\.targets' is missing"),
        (("cup", "the mug", "grasp"), r"plan\.steps\[0\] needs the query 'cup', .*the queries are mug"),
        (("mug", "the big mug", "grasp"), "'the big mug' to grasp, but it is 'the mug' to grasp"),
        (("mug", "the mug", "avoid"), "'the mug' to avoid, but it is 'the mug' to grasp"),
    ],
)
def test_a_plan_is_for_the_queries_that_are_asked(tmp_path: Path, plan: object, words: str):
    if isinstance(plan, tuple):
        step = Step("lift", (Target(Query(*plan), "mug", None, ""),))
        made = Plan("x", (step,))
        with pytest.raises(PointsError, match=words):
            write_points(tmp_path / "new.json", PointSet((Query("mug", "the mug"),), (), made))
        assert not list(tmp_path.iterdir())
        plan = plan_document(made)
    with pytest.raises(PointsError, match=rf"points\.json.*{words}"):
        read_points(save(tmp_path, document() | {"plan": plan}))


def document(**changes) -> dict:
    """A points.json for the small capture, 64x48 pixels; answer fields may be changed."""
    answer = {"image": "images/0001.png", "query": "mug", "points": [[10.5, 20.0]], "visible": True}
    return {
        "version": 1,
        "queries": [{"name": "mug", "text": "the mug", "role": "grasp"}],
        "answers": [answer | changes],
    }


def save(folder: Path, content: object) -> Path:
    path = folder / "points.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_optional_things_may_be_left_out_and_others_added(tmp_path: Path):
    content = document() | {"author": "someone"}
    del content["queries"][0]["role"]
    content["answers"][0] |= {"confidence": 0.3, "raw": None}
    points = read_points(save(tmp_path, content))
    assert points.queries[0].role == "grasp"
    assert vars(points.answers[0]) | {"points": 0} == {
        "image": "images/0001.png", "query": "mug", "points": 0, "visible": True,
        "model": "", "raw": None, "seconds": None, "window": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["images/0001.png", "./images/0001.png", "images\\0001.png", "images//./0001.png"]
)
def test_images_are_found_and_named_as_in_the_capture(small_capture: Path, name: str):
    points = read_points(save(small_capture, document(image=name)), read_capture(small_capture))
    assert points.answers[0].image == "images/0001.png"


def test_not_visible_is_an_answer(small_capture: Path):
    answer = read_points(save(small_capture, document(points=[], visible=False))).answers[0]
    assert answer.points.shape == (0, 2)
    assert not answer.visible


@pytest.mark.parametrize(
    ("point", "expected"),
    [((0, 0), (0, 0)), ((-1, -0.5), (0, 0)), ((64, 48), (63.999, 47.999)), ((65, 12), (63.999, 12))],
)
def test_points_on_the_border_are_moved_inside(small_capture: Path, point: tuple, expected: tuple):
    path = save(small_capture, document(points=[point]))
    found = read_points(path, read_capture(small_capture)).answers[0].points
    np.testing.assert_allclose(found, [expected])
    assert (found.astype(np.float32) < [64, 48]).all()
    # Without a capture the border is unknown.
    np.testing.assert_array_equal(read_points(path).answers[0].points, [point])


def test_points_within_are_untouched(small_capture: Path):
    inside = [[63.9999, 47.9999], [1e-9, 3.25]]
    path = save(small_capture, document(points=inside))
    np.testing.assert_array_equal(read_points(path, read_capture(small_capture)).answers[0].points, inside)


def test_two_answers_for_one_image_are_two_answers(tmp_path: Path):
    content = document()
    content["answers"] *= 2
    assert len(read_points(save(tmp_path, content)).answers) == 2


def test_what_could_not_be_read_is_not_written(tmp_path: Path):
    query, nowhere = Query("mug", "the mug"), np.zeros((0, 2))
    bad = [
        PointSet((query, query), ()),
        PointSet((), ()),
        PointSet((query,), (Answer("a.png", "cup", nowhere),)),
        PointSet((query,), (Answer("a.png", "mug", np.array([[np.nan, 1.0]])),)),
        PointSet((query,), (Answer("a.png", "mug", np.ones((1, 2)), visible=False),)),
        PointSet((query,), (Answer("a.png", "mug", nowhere, seconds=float("inf")),)),
    ]
    for points in bad:
        with pytest.raises(PointsError):
            write_points(tmp_path / "points.json", points)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["apc_shelf", "fox"])
def test_recorded_answers_are_read(shared_data: Path, name: str):
    capture = read_capture(shared_data / name)
    points = read_points(shared_data / name / "points.json", capture)
    names = {frame.name for frame in capture.frames}
    assert points.answers
    assert {answer.image for answer in points.answers} <= names


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    marks=st.lists(st.lists(st.tuples(pixels, pixels), min_size=1, max_size=4), min_size=1, max_size=4),
    data=st.data(),
)
def test_choices_and_windows_that_are_written_are_read(tmp_path: Path, marks: list, data: st.DataObject):
    chosen = data.draw(st.none() | st.integers(0, len(marks) - 1))
    window = data.draw(st.none() | st.tuples(*[st.integers(1, 4000)] * 4))
    choice = Choice(
        "a.png", "mug", tuple(np.array(mark, dtype=float) for mark in marks), chosen, "m", "raw", 0.5
    )
    answer = Answer("a.png", "mug", np.array([[1.0, 2.0]]), window=window)
    points = PointSet((Query("mug", "the mug"),), (answer,), choices=(choice,))
    write_points(tmp_path / "points.json", points)
    found = read_points(tmp_path / "points.json")
    assert found.answers[0].window == window
    (again,) = found.choices
    assert {**vars(again), "marks": 0} == {**vars(choice), "marks": 0}
    for one, other in zip(again.marks, choice.marks, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": "cup"}, "not asked"),
        ({"chosen": 2}, "of 2"),
        ({"chosen": -1}, "chosen"),
        ({"marks": []}, "marks"),
        ({"marks": [[]]}, "marks"),
        ({"image": "nowhere.png"}, "no image"),
    ],
)
def test_wrong_choices_are_refused(tmp_path: Path, small_capture: Path, changes: dict, message: str):
    choice = {"image": "images/0001.png", "query": "mug", "marks": [[[1, 2]], [[3, 4]]], "chosen": 0}
    content = document() | {"choices": [choice | changes]}
    with pytest.raises(PointsError, match=message):
        read_points(save(tmp_path, content), read_capture(small_capture))


def test_a_reader_that_does_not_know_choices_still_reads_the_answers(tmp_path: Path):
    content = document(window=[1, 2, 30, 30]) | {"choices": []}
    assert read_points(save(tmp_path, content)).answers[0].window == (1, 2, 30, 30)
