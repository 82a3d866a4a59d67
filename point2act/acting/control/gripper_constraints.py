"""Constraints on the pose of the gripper, which grasps and retreats are made of; not for plans."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.constraint_values import Residual, residual
from point2act.acting.constraints.scene_state import Moving, SceneState
from point2act.core.constraints import GRIPPER, Axis, Constraint, Point, When
from point2act.core.geometry import transform_points

# A radian of the gripper's axes weighs as much as this length, about the gripper's, metres. Chosen.
_LEVER = 0.1


@dataclass(frozen=True, eq=False)
class GripperAt(Constraint):
    """The gripper is at a pose that moves with the thing of a query."""

    T_world_gripper: Float[np.ndarray, "4 4"]
    """Where the region was found, world frame."""
    query: str | None = None
    """None for a pose that stays."""

    def pose(self, state: SceneState) -> Float[np.ndarray, "4 4"]:
        """Return the pose where the thing is now."""
        return self.T_world_gripper if self.query is None else state.motion[self.query] @ self.T_world_gripper


@dataclass(frozen=True, eq=False)
class GripperOnApproach(GripperAt):
    """The gripper is on the straight approach to a pose, with its orientation."""

    when: When = field(default="path", kw_only=True)


@dataclass(frozen=True, eq=False)
class GripperAbove(Constraint):
    """The gripper's centre is not below a height."""

    height: float
    """Along the upward direction, from the origin of the base frame, metres."""
    when: When = field(default="path", kw_only=True)


@residual.register
def _(constraint: GripperAbove, state: SceneState) -> Residual:
    here = state.point(Point(GRIPPER, "center"))
    above = float(state.up @ here.value) - constraint.height
    return Residual(np.array([min(above, 0.0)]), (above < 0) * (state.up @ here.jacobian)[None])


@residual.register
def _(constraint: GripperAt, state: SceneState) -> Residual:
    T = constraint.pose(state)
    here = state.point(Point(GRIPPER, "center"))
    return _stacked(Moving(here.value - T[:3, 3], here.jacobian), T, state)


@residual.register
def _(constraint: GripperOnApproach, state: SceneState) -> Residual:
    T = constraint.pose(state)
    here = state.point(Point(GRIPPER, "center"))
    across = np.eye(3) - np.outer(T[:3, 2], T[:3, 2])
    return _stacked(Moving(across @ (here.value - T[:3, 3]), across @ here.jacobian), T, state)


def _stacked(place: Moving, T_world_target: Float[np.ndarray, "4 4"], state: SceneState) -> Residual:
    """Return the errors of a place and of the gripper's axes: ``|a - b| = 2 sin(angle / 2)`` each."""
    approach, closing = state.axis(Axis(GRIPPER, "approach")), state.axis(Axis(GRIPPER, "closing"))
    errors = [
        place.value,
        _LEVER * (approach.value - T_world_target[:3, 2]),
        _LEVER * (closing.value - T_world_target[:3, 1]),
    ]
    jacobians = [place.jacobian, _LEVER * approach.jacobian, _LEVER * closing.jacobian]
    return Residual(np.concatenate(errors), np.concatenate(jacobians))


def backed_off(T_world_gripper: Float[np.ndarray, "4 4"], distance: float) -> Float[np.ndarray, "4 4"]:
    """Return a pose moved back along its approach (+z), metres."""
    T = T_world_gripper.copy()
    T[:3, 3] = transform_points(T_world_gripper, np.array([0.0, 0.0, -distance]))
    return T
