"""Which question is asked next: laws of the decision, on probabilities alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.pipeline.next_question import (
    Belief,
    Question,
    QuestionRates,
    information,
    next_question,
    reply_probabilities,
)

VIEWS = 4
FAR = np.full(VIEWS, 1.0)


def belief(*rivals: float, absent: float = 0.0, visible=None, cropped=None, angle: float = 0.3) -> Belief:
    """Rivals that every view shows, unless chosen otherwise, far apart in the image."""
    count = len(rivals)
    seen = np.ones((VIEWS, count)) if visible is None else np.array(visible, dtype=float)
    apart = np.full((VIEWS, count, count), angle)
    return Belief(np.array(rivals), absent, seen, seen if cropped is None else np.array(cropped), apart)


def every(*kinds: str) -> list[Question]:
    return [Question(kind, view) for kind in kinds for view in range(VIEWS)]  # type: ignore[arg-type]


def test_two_rivals_are_put_to_a_choice_or_shown_by_a_view_that_sees_both():
    chosen = next_question(belief(0.5, 0.5), every("view", "crop", "choice"), FAR)
    assert chosen is not None
    assert chosen.kind == "choice"
    visible = [[1, 0], [0, 1], [1, 1], [0, 0]]
    assert next_question(belief(0.5, 0.5, visible=visible), every("choice"), FAR) == Question("choice", 2)
    chosen = next_question(belief(0.5, 0.5, visible=visible), every("view"), FAR)
    assert chosen is not None
    assert chosen.view != 3


def test_nothing_is_asked_without_use():
    assert next_question(belief(1.0), every("choice"), FAR) is None
    assert next_question(belief(0.5, 0.5, visible=np.zeros((VIEWS, 2))), every("choice"), FAR) is None
    assert next_question(belief(0.5, 0.5), [], FAR) is None
    assert next_question(belief(), every("choice"), FAR) is None


def test_what_is_sure_is_worth_less_than_what_is_open():
    open_, sure = (information(belief(p, 1 - p), Question("choice", 0)) for p in (0.5, 0.98))
    assert 0 < sure < open_ / 3


def test_neighbours_in_the_image_are_separated_by_a_crop():
    near = belief(0.5, 0.5, angle=0.02)
    chosen = next_question(near, every("view", "crop"), FAR)
    assert chosen is not None
    assert chosen.kind == "crop"


def test_costs_and_shared_errors_decide_between_equals():
    both = belief(0.5, 0.5)
    dear = QuestionRates(choice_cost=20.0)
    chosen = next_question(both, every("view", "choice"), FAR, rates=dear)
    assert chosen is not None
    assert chosen.kind == "view"
    nearness = np.array([0.0, 0.0, 1.0, 0.0])
    assert next_question(both, every("choice"), nearness) == Question("choice", 2)


def test_if_something_else_may_be_meant_a_view_is_worth_more_than_a_choice():
    unknown = belief(0.1, 0.1)
    chosen = next_question(unknown, every("view", "choice"), FAR)
    assert chosen is not None
    assert chosen.kind == "view"


@given(st.data())
def test_replies_are_distributions_and_information_is_bounded(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = data.draw(st.integers(0, 5))
    shares = rng.dirichlet(np.full(count + 2, 0.5))
    angle = rng.uniform(0, 0.3, (VIEWS, count, count))
    known = Belief(
        np.sort(shares[:count])[::-1],
        float(shares[-1]),
        rng.uniform(0, 1, (VIEWS, count)),
        rng.uniform(0, 1, (VIEWS, count)),
        (angle + angle.swapaxes(1, 2)) / 2,
    )
    some = known.meanings
    assert some.sum() == pytest.approx(1)
    entropy = -(some[some > 0] * np.log(some[some > 0])).sum()
    for question in every("view", "crop", "choice"):
        replies = reply_probabilities(known, question, QuestionRates())
        assert (replies >= 0).all()
        np.testing.assert_allclose(replies.sum(axis=1), 1, atol=1e-9)
        assert 0 <= information(known, question) <= entropy + 1e-9
    # The same belief has the same question.
    asked = every("view", "crop", "choice")
    again = dataclasses.replace(known)
    assert next_question(known, asked, FAR) == next_question(again, asked, FAR)
