"""Answers about whole images, crops and marks, as the views of a scene have them."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic

from point2act.core.geometry import from_tangents, to_tangents
from point2act.core.types import Answer, Capture, Choice, PointSet, Query
from point2act.data.capture import load_views, read_capture
from point2act.data.points import PERSON
from point2act.localization.further_answers import FurtherAnswers, MarkVote
from point2act.localization.view_answers import QueryAnswers, query_answers

QUERY = Query("red", "the red box")
AT = np.array([[40.0, 30.0]])


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Capture:
    folder = tmp_path_factory.mktemp("views")
    synthetic.write_capture_files(folder, synthetic.views(4, height=96, width=128))
    return read_capture(folder)


@pytest.fixture(scope="module")
def views(capture):
    return load_views(capture)


def collected(capture, views, answers=(), choices=()) -> QueryAnswers:
    points = PointSet((QUERY,), tuple(answers), choices=tuple(choices))
    (found,) = query_answers(points, capture, views, {})
    return found


def names(capture) -> list[str]:
    return [frame.name for frame in capture.frames]


def test_crops_and_choices_are_no_answers_about_the_whole(capture, views):
    first, second, third, _ = names(capture)
    found = collected(
        capture,
        views,
        [Answer(first, "red", AT), Answer(second, "red", AT, window=(20, 10, 60, 60))],
        [Choice(third, "red", (AT, AT + 20), 1)],
    )
    assert [answer is not None for answer in found.whole] == [True, False, False, False]
    (crop,), (vote,) = found.further.crops, found.further.votes
    assert (crop.view, vote.view, vote.chosen) == (1, 2, 1)
    np.testing.assert_allclose(from_tangents(views[1].camera, crop.points), AT)
    corners = from_tangents(views[1].camera, np.stack([crop.low, crop.high]))
    np.testing.assert_allclose(corners, [[20, 10], [80, 70]])
    tangents = found.tangents(views)
    np.testing.assert_allclose(tangents[0], to_tangents(views[0].camera, AT))
    assert tangents[1] is None


def test_a_view_has_one_answer_its_crops_before_its_own(capture, views):
    first, second, third, _ = names(capture)
    found = collected(
        capture,
        views,
        [
            Answer(first, "red", AT),
            Answer(first, "red", AT + 5, window=(20, 10, 60, 60)),
            Answer(second, "red", AT),
            Answer(second, "red", np.zeros((0, 2)), False, window=(20, 10, 60, 60)),
        ],
        [Choice(third, "red", (np.array([[1.0, 1], [5, 5], [9, 9]]),), 0), Choice(first, "red", (AT,), 0)],
    )
    one, two, three, four = found.by_view(views)
    np.testing.assert_allclose(one, AT + 5)
    np.testing.assert_allclose(two, AT)
    np.testing.assert_allclose(three, [[5, 5]])
    assert four is None


def test_a_person_overrules_crops_and_choices(capture, views):
    first, second, *_ = names(capture)
    found = collected(
        capture,
        views,
        [Answer(first, "red", AT, model=PERSON), Answer(second, "red", AT, window=(20, 10, 60, 60))],
        [Choice(second, "red", (AT,), 0)],
    )
    assert found.further == FurtherAnswers() or not (found.further.crops or found.further.votes)


def test_images_that_are_not_used_count_for_nothing(capture, views):
    last = names(capture)[-1]
    points = PointSet((QUERY,), (), choices=(Choice(last, "red", (AT,), 0),))
    (found,) = query_answers(points, capture, views[:2], {})
    assert found.further.votes == ()


def test_a_choice_is_converted_once(capture, views):
    choice = Choice(names(capture)[0], "red", (AT,), None)
    points = PointSet((QUERY,), (), choices=(choice,))
    known: dict[Choice, MarkVote] = {}
    one, other = (query_answers(points, capture, views, known)[0] for _ in range(2))
    assert one.further.votes[0] is other.further.votes[0]
