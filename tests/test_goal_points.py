"""The points of goals, and where what falls has been set down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from constraint_states import random_state

pytest.importorskip("mink", reason="control needs mink: pip install point2act[act]")

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.execution.goal_points import beside_goals, into_openings, points_of
from point2act.core.constraints import Axis, Height, Point, PointToPoint
from point2act.core.geometry import transform
from point2act.core.types import OrientedBox

GRIP = Point("gripper", "center")


def state_at(place: tuple[float, float, float]):
    """The gripper at a place, a metre along x at the start of the step."""
    state = random_state(np.random.default_rng(0))
    start = {GRIP: np.array([1.0, 0.0, 0.0])}
    return replace(state, T_world_gripper=transform(np.eye(3), place), starts=start, axes=np.eye(3))


def test_only_the_horizontal_distance_counts():
    goal = PointToPoint(GRIP, GRIP)
    assert beside_goals((goal,), state_at((1.03, 0.04, 0.7))) == pytest.approx(0.05)


def test_what_slips_early_on_a_pull_is_not_at_its_end():
    pull = PointToPoint(GRIP, GRIP, -0.13, Axis("world", "forward"))
    assert beside_goals((pull,), state_at((0.99, 0.0, 0.0))) == pytest.approx(0.12)
    assert beside_goals((pull,), state_at((0.87, 0.0, 0.0))) == pytest.approx(0.0, abs=1e-9)


def test_without_a_place_to_be_at_nothing_is_set_down():
    assert beside_goals((Height(GRIP, GRIP, min_height=0.1),), state_at((1.0, 0.0, 0.0))) == np.inf


def test_over_the_inner_half_of_an_opening_is_at_its_middle():
    state = replace(state_at((0.0, 0.0, 0.5)), motion={"cup": np.eye(4)}, features={"cup": _vessel(0.04)})
    goal = PointToPoint(GRIP, Point("cup", "rim"))
    assert beside_goals((goal,), replace(state, T_world_gripper=transform(np.eye(3), (0.018, 0.0, 0.5)))) == 0
    beside = replace(state, T_world_gripper=transform(np.eye(3), (0.05, 0.0, 0.5)))
    assert beside_goals((goal,), beside) == pytest.approx(0.03)


def test_only_goals_at_openings_are_into_them():
    into, onto = PointToPoint(GRIP, Point("cup", "rim")), PointToPoint(GRIP, Point("cup", "top"))
    height = Height(GRIP, Point("cup", "rim"), min_height=0.1)
    assert into_openings((onto, into, height)) == (into,)
    assert points_of((into, height)) == {GRIP, Point("cup", "rim")}


def _vessel(half: float) -> RegionFeatures:
    box = OrientedBox(np.zeros(3), np.eye(3), np.full(3, half))
    return RegionFeatures({"rim": np.zeros(3)}, {}, box)
