"""How a gripper moves to grasp: along its approach, closing, and up. For pictures and films."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.types import Grasp
from point2act.grasping.antipodal.collision import approach_opening
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True, eq=False)
class Moment:
    """The gripper at one moment."""

    T_world_gripper: Float[np.ndarray, "4 4"]
    opening: float
    """How far the pads are apart, metres."""


def motion(
    grasp: Grasp,
    gripper: Gripper,
    *,
    up: Float[np.ndarray, "3"],
    clearance: float,
    approach: float,
    lift: float,
    steps: int = 12,
) -> tuple[Moment, ...]:
    """The straight way in, the closing, and the straight way up along the unit vector ``up``, world.

    Lengths are metres: the open pads are ``clearance`` from each contact, and what was checked when the
    grasp was planned stands in its ``GraspConfig``. ``steps`` moments each, at least two, the last of one
    being the first of the next.
    """
    width = max(grasp.width, 0.0)
    opened = approach_opening(gripper, width, clearance)
    shares = np.linspace(0.0, 1.0, steps)
    back = -approach * grasp.T_world_gripper[:3, 2]
    comes = [Moment(_moved(grasp.T_world_gripper, (1 - share) * back), opened) for share in shares]
    # linspace ends on the width to the last bit.
    closes = [Moment(grasp.T_world_gripper, float(w)) for w in np.linspace(opened, width, steps)]
    rises = [Moment(_moved(grasp.T_world_gripper, share * lift * up), width) for share in shares]
    return (*comes, *closes[1:], *rises[1:])


def _moved(T_world_x: Float[np.ndarray, "4 4"], way: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    moved = T_world_x.copy()
    moved[:3, 3] += way
    return moved
