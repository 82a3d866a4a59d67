"""Which regions the queries of a plan mean together."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mink", reason="acting needs mink: pip install point2act[act]")

from point2act.acting.execution.distinct_things import distinct_things
from point2act.core.types import Query, Region
from point2act.data.points import read_points
from point2act.pipeline.finished_run import open_run
from point2act.pipeline.query import Localization

CHANCES = st.lists(st.floats(0.01, 0.9), min_size=2, max_size=3)


@pytest.fixture(scope="module")
def red(small_run) -> Localization:
    """The red box of the small scene."""
    session = open_run(small_run.output)
    points = read_points(small_run.capture / "points.json", session.capture)
    return next(one for one in session.localize(points) if one.query.name == "red")


def places(red: Localization) -> list[np.ndarray]:
    """A place on each of the largest objects of the scene."""
    parts = red.context.segmentation.parts
    sizes = np.bincount(parts.objects[parts.objects >= 0])
    return [parts.points[np.flatnonzero(parts.objects == each)[0]] for each in np.argsort(-sizes)[:3]]


def query(red: Localization, name: str, *regions: tuple[int, float]) -> Localization:
    """A query whose regions are on objects by number, each with its confidence, likeliest first."""
    found = [
        replace(red.region, action_point=places(red)[number], confidence=chance) for number, chance in regions
    ]
    context = replace(red.context, query=Query(name, name))
    return replace(red, context=context, region=found[0], rivals=tuple(found[1:]))


def confidences(found: list[Localization]) -> list[float]:
    return [one.region.confidence for one in found if isinstance(one.region, Region)]


def test_a_place_that_is_taken_goes_to_the_surer_query(red: Localization):
    jug, bowl = query(red, "jug", (0, 0.9), (1, 0.05)), query(red, "bowl", (0, 0.6), (1, 0.3))
    found = distinct_things([jug, bowl], {"jug": "jug", "bowl": "bowl"})
    assert confidences(found) == [0.9, 0.3]
    assert [region.confidence for region in found[1].rivals] == [0.6]
    assert found[0].rivals == jug.rivals


def test_parts_of_one_object_may_be_in_one_place(red: Localization):
    jug, handle = query(red, "jug", (0, 0.9), (1, 0.05)), query(red, "handle", (0, 0.6), (1, 0.3))
    found = distinct_things([jug, handle], {"jug": "jug", "handle": "jug"})
    assert confidences(found) == [0.9, 0.6]


def test_answers_that_are_sure_stay_in_one_place(red: Localization):
    """A lid on its pot may be segmented as one piece with it."""
    pot, lid = query(red, "pot", (0, 0.97), (1, 0.01)), query(red, "lid", (0, 0.98), (2, 0.01))
    assert confidences(distinct_things([pot, lid], {"pot": "pot", "lid": "lid"})) == [0.97, 0.98]


def test_a_query_without_rivals_keeps_its_region(red: Localization):
    one, other = query(red, "one", (0, 0.5)), query(red, "other", (0, 0.5))
    found = distinct_things([one, other], {"one": "one", "other": "other"})
    assert [each.region for each in found] == [one.region, other.region]
    assert distinct_things([], {}) == []


@settings(max_examples=20)
@given(CHANCES, CHANCES, st.integers(0, 1_000_000))
def test_no_other_choice_is_more_probable(red: Localization, first, second, seed):
    rng = np.random.default_rng(seed)
    one, other = (
        query(
            red, name, *zip(rng.permutation(3)[: len(chances)].tolist(), sorted(chances)[::-1], strict=True)
        )
        for name, chances in (("one", first), ("other", second))
    )
    found = distinct_things([one, other], {"one": "one", "other": "other"})

    def joint(a, b) -> float:
        shared = np.array_equal(a.action_point, b.action_point)
        return a.confidence * b.confidence * (0.05 if shared else 1.0)

    most = max(joint(a, b) for a, b in product((one.region, *one.rivals), (other.region, *other.rivals)))
    assert joint(*(each.region for each in found)) == pytest.approx(most)
