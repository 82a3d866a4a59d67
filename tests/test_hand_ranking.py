"""The order of a hand's grasps: what counts, and how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analytic_volumes import box, region_at, volume_of
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.types import NoAnswer
from point2act.grasping.hands.checks import Execution, HandGrasp
from point2act.grasping.hands.load import load_hand
from point2act.grasping.hands.ranking import distinct, grasp_score, is_proven
from point2act.grasping.hands.task import HandConfig, HandTask, hand_task

TERM = st.floats(0.0, 1.0)


@pytest.fixture(scope="module")
def task() -> HandTask:
    volume = volume_of(box((0.03, 0.02, 0.05), (0.0, 0.0, -0.01)))
    found = hand_task(volume, region_at((0.0, 0.0, 0.0), (0.03, 0.03, 0.05)), load_hand("allegro"))
    assert not isinstance(found, NoAnswer)
    return found


def grasp(config: HandConfig, margin: float, payload: float, clearance: float, relevancy: float) -> HandGrasp:
    """One whose terms are fractions of what counts."""
    joints = load_hand("allegro").joints.rest
    normals = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    return HandGrasp(
        T_volume_palm=np.eye(4),
        positions=joints,
        pregrasp=joints,
        squeeze=joints,
        touching=np.array([0, 1]),
        points=0.02 * normals,
        normals=normals,
        probability=np.full(2, relevancy),
        share=np.full(2, 0.5),
        margin=margin * config.full_margin,
        payload=payload * config.full_payload,
        clearance=clearance * config.full_clearance,
    )


@given(terms=st.tuples(TERM, TERM, TERM, TERM), more=st.floats(0.01, 0.5), number=st.integers(0, 3))
def test_scores_are_probabilities_and_grow_with_every_term(task, terms, more, number):
    better = [value + more * (number == index) for index, value in enumerate(terms)]
    (low, _, _), (high, quality, named) = (
        grasp_score(task, grasp(task.config, *one)) for one in (terms, better)
    )
    assert 0 < low <= high < 1
    assert high <= quality
    assert named["by_part"] <= named["held"] == quality


def test_a_firm_grasp_elsewhere_is_worth_less_than_a_fair_one_of_the_part(task):
    fair, firm = grasp(task.config, 0.5, 0.6, 1.0, 1.0), grasp(task.config, 1.0, 1.0, 1.0, 0.1)
    assert grasp_score(task, fair)[0] > grasp_score(task, firm)[0]


def test_what_a_network_predicts_counts_as_much_as_closure(task):
    plain = grasp(task.config, 0.5, 0.5, 1.0, 0.9)
    _, held, terms = grasp_score(task, plain)
    part = terms["by_part"] / held
    for predicted in (0.05, held, 0.95):
        score, quality, terms = grasp_score(task, replace(plain, predicted=predicted))
        odds = np.sqrt(held / (1 - held) * predicted / (1 - predicted))
        assert quality == terms["held"] == pytest.approx(odds / (1 + odds))
        assert terms["by_part"] == pytest.approx(quality * part)
        assert score == pytest.approx(quality * (0.2 + 0.8 * part))


HELD = Execution(lifted=True, shaken=True, on_part=0.95)


def test_an_execution_outweighs_what_closure_says(task):
    weak, firm = grasp(task.config, 0.2, 0.2, 1.0, 1.0), grasp(task.config, 1.0, 1.0, 1.0, 1.0)
    held = replace(weak, execution=HELD)
    lost = replace(firm, execution=Execution(lifted=False, shaken=False, on_part=0.95))
    shaken_off = replace(firm, execution=Execution(lifted=True, shaken=False, on_part=0.95))
    scores = [grasp_score(task, one)[0] for one in (lost, shaken_off, replace(firm, execution=HELD))]
    assert scores == sorted(scores)
    assert scores[0] < grasp_score(task, firm)[0]
    assert grasp_score(task, weak)[0] < grasp_score(task, held)[0]


def test_after_an_execution_the_part_is_where_the_hand_pressed(task):
    one = grasp(task.config, 1.0, 1.0, 1.0, 1.0)
    beside = replace(HELD, on_part=0.1)
    on, off = (grasp_score(task, replace(one, execution=done)) for done in (HELD, beside))
    assert on[0] > off[0]
    assert on[1] == off[1]
    assert (on[2]["lifted_in_physics"], on[2]["shaken_in_physics"]) == (1.0, 1.0)
    assert "lifted_in_physics" not in grasp_score(task, one)[2]


def test_a_hand_that_pressed_nothing_leaves_the_part_as_it_was(task):
    one = grasp(task.config, 1.0, 1.0, 1.0, 0.9)
    _, before, terms = grasp_score(task, one)
    missed = replace(one, execution=Execution(lifted=False, shaken=False, on_part=None))
    _, after, now = grasp_score(task, missed)
    assert after < before
    assert now["by_part"] / after == pytest.approx(terms["by_part"] / before)


def test_proven_is_held_when_shaken_by_the_part(task):
    one = grasp(task.config, 1.0, 1.0, 1.0, 1.0)
    outcomes = (HELD, replace(HELD, shaken=False), replace(HELD, on_part=0.3), replace(HELD, on_part=None))
    assert [is_proven(replace(one, execution=done)) for done in outcomes] == [True, False, False, False]
    assert not is_proven(one)


def test_the_best_of_similar_grasps_is_kept(task):
    worse, better = (grasp(task.config, margin, 1.0, 1.0, 1.0) for margin in (0.4, 0.9))
    away = np.eye(4)
    away[0, 3] = 2 * task.config.min_separation
    apart = replace(worse, T_volume_palm=away)
    assert distinct(task, [worse, better, apart]) == [better, apart]
