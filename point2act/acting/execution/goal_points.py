"""The points of goals: which ones they are about, and how far these are beside where they are to be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from point2act.acting.constraints.constraint_values import residual
from point2act.acting.constraints.scene_state import SceneState
from point2act.core.constraints import Constraint, Point, PointToPoint, features_of


def beside_goals(goals: Iterable[Constraint], state: SceneState) -> float:
    """Return the largest horizontal distance of a point from where it is to be, metres; infinite without one.

    What is to be at an opening is there over its inner half, whose size is that of the region's box.
    """
    return max((_beside(one, state) for one in goals if isinstance(one, PointToPoint)), default=np.inf)


def into_openings(goals: Iterable[Constraint]) -> tuple[PointToPoint, ...]:
    """Return the goals of points that are to be at an opening."""
    return tuple(one for one in goals if isinstance(one, PointToPoint) and one.target.name == "rim")


def _beside(goal: PointToPoint, state: SceneState) -> float:
    way = residual(goal, state).error
    away = float(np.linalg.norm(way - (way @ state.up) * state.up))
    if goal.target.name != "rim":
        return away
    inner = float(state.box(goal.target.of).half_extents.min()) / 2
    return max(away - inner, 0.0)


def points_of(constraints: Iterable[Constraint]) -> set[Point]:
    """Return the points that constraints refer to."""
    return {value for one in constraints for value in features_of(one) if isinstance(value, Point)}
