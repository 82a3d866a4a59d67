"""Scores of pointing benchmarks: to the digit those of plain code, whatever a model replies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import reference_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from pointing_benchmarks import (
    WRITERS,
    reply_in_first_pair,
    reply_in_pixels,
    reply_in_tags,
    reply_in_tuples,
    reply_of_gemini,
    some_replies,
    write_data_set,
)

from point2act.scoring.answers import Answer
from point2act.scoring.formats import FORMATS
from point2act.scoring.metrics import in_polygon
from point2act.scoring.questions import Target
from point2act.scoring.replies import PUBLISHED, Frame, dialects, read_reply
from point2act.scoring.scores import (
    Answers,
    Score,
    mean_difference,
    mean_score,
    overall,
    overall_all,
    overall_readable,
    score_answers,
)

COUNT = 30

CASES = [
    ("where2place", PUBLISHED, reply_in_tuples, {}),
    ("where2place", "robopoint", reply_in_tuples, {}),
    ("refspatial", PUBLISHED, reply_in_tuples, {}),
    ("refspatial", "molmo", reply_in_tags, {"dialect": "molmo"}),
    ("refspatial", "gemini", reply_of_gemini, {"dialect": "gemini"}),
    ("pointbench", PUBLISHED, reply_in_pixels, {}),
    ("pointbench", "molmo", reply_in_tags, {"dialect": "molmo"}),
    ("pointbench", PUBLISHED, reply_in_tags, {"dialect": "molmo"}),
    ("pointbench", "gemini", reply_of_gemini, {"dialect": "gemini"}),
    ("robospatial", PUBLISHED, reply_in_first_pair, {}),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("benchmarks")
    for seed, kind in enumerate(WRITERS):
        write_data_set(kind, root / kind, seed=seed, count=COUNT)
    return {kind: root / kind for kind in WRITERS}


def scored(folder: Path, kind: str, dialect: str, replies: list[str | None]) -> tuple[Score, ...]:
    form = FORMATS[kind]
    questions = form.read(folder)[: len(replies)]
    answers = {
        question.id: Answer(reply)
        for question, reply in zip(questions, replies, strict=True)
        if reply is not None
    }
    (found,), _ = score_answers([Answers("model", dialect, answers)], questions, form)
    return found


@pytest.mark.parametrize(("kind", "dialect", "writer", "options"), CASES)
def test_scores_are_those_of_plain_code(
    folders: dict[str, Path], kind: str, dialect: str, writer: Callable, options: dict[str, str]
):
    hits = 0.0
    for seed in range(3):
        replies = some_replies(writer, COUNT, seed=seed)
        found = scored(folders[kind], kind, dialect, replies)
        wanted = getattr(reference_scores, kind)(folders[kind], replies, **options)
        for score, value, reply in zip(found, wanted, replies, strict=True):
            assert score.score == pytest.approx(0.0 if value is None else value, abs=1e-12), reply
            assert score.counted == (value is not None), reply
        counted = [value for value in wanted if value is not None]
        mean = overall(found)
        assert mean is not None
        assert mean.value == pytest.approx(sum(counted) / len(counted), abs=1e-12)
        everything = overall_all(found)
        assert everything is not None
        assert everything.value == pytest.approx(sum(counted) / COUNT, abs=1e-12)
        hits += sum(counted)
    assert hits > 3  # The replies are not all wrong.


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tuples_of_any_kind_are_read_as_the_authors_read_them(folders: dict[str, Path], data: st.DataObject):
    number = st.one_of(
        st.integers(-20, 100).map(str),
        st.floats(-0.5, 1.5).map(lambda value: f"{value:.3f}"),
        st.sampled_from(["0.", "1.0", "+3", "-0", "00.5", "1e3", "nan"]),
    )
    entry = st.lists(number, min_size=1, max_size=5).map(lambda numbers: f"({', '.join(numbers)})")
    reply = data.draw(st.lists(st.one_of(entry, st.text(max_size=5)), max_size=4).map(" ".join))
    for kind in ("where2place", "refspatial"):
        (score,) = scored(folders[kind], kind, PUBLISHED, [reply])
        (value, *_) = getattr(reference_scores, kind)(folders[kind], [reply])
        assert score.score == pytest.approx(value or 0.0, abs=1e-12)
        assert score.counted == (value is not None)


@settings(max_examples=300, deadline=None)
@given(st.text(), st.sampled_from(list(FORMATS)), st.data())
def test_no_reply_fails(text: str, kind: str, data: st.DataObject):
    readers = FORMATS[kind].readers
    dialect = data.draw(st.sampled_from(dialects(readers)))
    start = data.draw(
        st.sampled_from(
            ["", "[(", '<points x1="', "```json\n[", '[{"point": ['],
        )
    )
    reading = read_reply(start + text, dialect, Frame((48, 64), (48, 64)), readers)
    assert not (reading.marks and reading.problem)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("(" + "9" * 400 + ", 1)", ()),
        ("(" + "9" * 5000 + ", 1)", ()),
        ("(" + "9" * 400 + ".0, 0.5)", ()),
        ("[" * 5000, ()),
        ("(0.5, 0.5)" * 2_000, ((32.0, 24.0),) * 2_000),
    ],
)
def test_absurd_replies(text: str, marks: tuple[tuple[float, float], ...]):
    for kind in WRITERS:
        form = FORMATS[kind]
        reading = read_reply(text, PUBLISHED, Frame((48, 64), (48, 64)), form.readers)
        if kind == "where2place":
            assert reading.marks == marks
        assert reading.marks or reading.problem


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("gemini", '[{"point": [1, 1e300]}]'),
        ("moondream", '[{"x": 1e308, "y": 0.5}]'),
        ("published", '[{"point": [1e999, 1]}]'),
        ("published", '[{"point": [NaN, 1]}]'),
    ],
)
def test_absurd_numbers_cannot_be_read(dialect: str, text: str):
    reading = read_reply(text, dialect, Frame((480, 640), (480, 640)), FORMATS["pointbench"].readers)
    assert reading.marks == ()
    assert reading.problem


def test_a_box_counts_as_its_pixels(folders: dict[str, Path]):
    form = FORMATS["where2place"]
    question = form.read(folders["where2place"])[0]
    target = form.target(question)
    assert target.values is not None
    reading = read_reply("(10, 5, 30, 20)", PUBLISHED, Frame(target.frame, target.frame), form.readers)
    assert form.score(reading.marks, question, target) == pytest.approx(target.values[5:20, 10:30].mean())


def test_points_may_be_in_pixels_of_a_smaller_image():
    frame = Frame((480, 640), (240, 320))
    readers = FORMATS["where2place"].readers
    assert read_reply("[(16, 12)]", "robobrain2", frame, readers).marks == ((32.0, 24.0),)
    assert read_reply('[{"point_2d": [500, 250]}]', "qwen3_vl", frame, readers).marks == ((320.0, 120.0),)


@pytest.mark.parametrize(("reply", "says"), [("It is not visible.", ""), ("[]", ""), ("Sure!", "no points")])
def test_saying_that_there_is_nothing_can_be_read(reply: str, says: str):
    reading = read_reply(reply, PUBLISHED, Frame((48, 64), (48, 64)), FORMATS["refspatial"].readers)
    assert reading.marks == ()
    assert bool(reading.problem) == bool(says)
    assert says in reading.problem


# ── means and intervals ────────────────────────────────────────────────────────────────────────
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_holds_the_mean(values: list[float]):
    mean = mean_score(values)
    assert mean is not None
    assert 0 <= mean.low <= mean.value <= mean.high <= 1
    assert mean.value == pytest.approx(np.mean(values))


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(0)
    for truth in (0.1, 0.5, 0.9):
        means = [mean_score([float(hit) for hit in rng.random(60) < truth]) for _ in range(400)]
        covered = [mean.low <= truth <= mean.high for mean in means if mean is not None]
        assert 0.92 <= np.mean(covered) <= 0.985


def test_nothing_has_no_mean():
    assert mean_score([]) is None
    assert overall([]) is None
    assert overall_readable([]) is None


def test_a_model_does_not_differ_from_itself(folders: dict[str, Path]):
    found = scored(folders["robospatial"], "robospatial", PUBLISHED, ["(0.5, 0.5)"] * COUNT)
    difference = mean_difference(found, found)
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_the_mean_of_readable_answers_leaves_out_the_others(folders: dict[str, Path]):
    replies: list[str | None] = ["(0.5, 0.5)", "what?", None] * (COUNT // 3)
    found = scored(folders["where2place"], "where2place", PUBLISHED, replies)
    readable = overall_readable(found)
    assert readable is not None
    assert readable.count == COUNT // 3
    assert readable.value == pytest.approx(np.mean([score.score for score in found[::3]]))


# ── baselines ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("kind", WRITERS)
def test_random_points_score_the_area_in_the_mean(folders: dict[str, Path], kind: str):
    form = FORMATS[kind]
    questions = form.read(folders[kind])
    means = [score_answers([], questions, form, seed=seed)[1] for seed in range(8)]
    assert np.mean([mean.random.value for mean in means]) == pytest.approx(means[0].area, abs=0.06)
    assert means[0] == score_answers([], questions, form, seed=0)[1]


def test_the_middle_is_a_baseline(folders: dict[str, Path]):
    form = FORMATS["where2place"]
    questions = form.read(folders["where2place"])
    _, baselines = score_answers([], questions, form)
    found = scored(folders["where2place"], "where2place", PUBLISHED, ["(0.5, 0.5)"] * COUNT)
    assert baselines.middle == overall(found)


def test_areas():
    assert Target.of_mask(np.eye(4)).area() == 0.25
    square = np.array([[0.1, 0.1], [0.1, 0.6], [0.6, 0.6], [0.6, 0.1]])
    assert Target((1, 1), polygon=square).area() == pytest.approx(0.25)


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 9), st.integers(0, 2**32 - 1))
def test_points_in_a_convex_polygon_are_left_of_its_edges(corners: int, seed: int):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(corners)) * 2 * np.pi
    polygon = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x, y = 2 * rng.random(2) - 1
    ends = np.roll(polygon, -1, axis=0)
    sides = (ends[:, 0] - polygon[:, 0]) * (y - polygon[:, 1]) - (ends[:, 1] - polygon[:, 1]) * (
        x - polygon[:, 0]
    )
    if np.abs(sides).min() > 1e-6:
        assert in_polygon(x, y, polygon) == bool((sides > 0).all())
        assert in_polygon(x, y, polygon[::-1]) == bool((sides > 0).all())
