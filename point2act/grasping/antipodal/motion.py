"""Motion of a gripper in a grasp: approach, closing and lift, for animations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.types import Grasp
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True, eq=False)
class Moment:
    """Pose and opening of the gripper at one moment."""

    T_world_gripper: Float[np.ndarray, "4 4"]
    opening: float
    """Distance between the pads, metres."""
    holding: bool = False
    """Whether the gripper is closed and lifts the object."""
    joints: Float[np.ndarray, " d"] | None = None
    """Joint positions of the arm, radians; None for a grasp that was planned without one."""


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
    """Return the straight approach, the closing and the straight lift of a grasp.

    Args:
        grasp: Grasp, world.
        up: Unit vector, world.
        clearance: Clearance on each side of a grasp without an ``approach_width``, metres.
        approach: Length of the approach, metres.
        lift: Length of the lift, metres.
        steps: Number of moments of each phase, at least 2; the last of one is the first of the next.
    """
    width = max(grasp.width, 0.0)
    opened = planned_opening(grasp, gripper, clearance=clearance)
    shares = np.linspace(0.0, 1.0, steps)
    back, path = -approach * grasp.T_world_gripper[:3, 2], grasp.joint_path
    comes = [
        Moment(
            _moved(grasp.T_world_gripper, (1 - share) * back),
            opened,
            joints=None if path is None else _at_share(path.approach, share),
        )
        for share in shares
    ]
    at_grasp = None if path is None else path.grasp
    # linspace ends exactly on the width.
    closes = [
        Moment(grasp.T_world_gripper, float(w), joints=at_grasp) for w in np.linspace(opened, width, steps)
    ]
    rises = [
        Moment(
            _moved(grasp.T_world_gripper, share * lift * up),
            width,
            holding=True,
            joints=None if path is None else _at_share(path.lift, share),
        )
        for share in shares
    ]
    return (*comes, *closes[1:], *rises[1:])


def _at_share(path: Float[np.ndarray, "n d"], share: float) -> Float[np.ndarray, " d"]:
    """Return the step of a joint path at a share of it."""
    return path[round(share * (len(path) - 1))]


def _moved(T_world_x: Float[np.ndarray, "4 4"], by: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    moved = T_world_x.copy()
    moved[:3, 3] += by
    return moved
