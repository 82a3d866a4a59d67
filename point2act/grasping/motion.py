"""Motion of a gripper or a hand in a grasp: approach, closing and lift, for animations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.types import Grasp
from point2act.grasping.end_effector import EndEffector, closed_posture, drawn_closed, open_posture


@dataclass(frozen=True, eq=False)
class Moment:
    """Pose and posture at one moment."""

    T_world_gripper: Float[np.ndarray, "4 4"]
    posture: Float[np.ndarray, " p"]
    """Distance between the pads of a gripper, metres, alone; or joint positions of a hand, radians."""
    holding: bool = False
    """Whether the fingers are closed and lift the object."""
    arm: Float[np.ndarray, " d"] | None = None
    """Joint positions of the arm, radians; None for a grasp that was planned without one."""


def motion(
    grasp: Grasp,
    end_effector: EndEffector,
    *,
    up: Float[np.ndarray, "3"],
    clearance: float,
    approach: float,
    lift: float,
    steps: int = 12,
) -> tuple[Moment, ...]:
    """Return the straight approach, the closing and the straight lift of a grasp.

    Pads and joints move at an even rate.

    Args:
        grasp: Grasp, world.
        end_effector: Its gripper or hand.
        up: Unit vector, world.
        clearance: Clearance on each side of a gripper's grasp without an ``approach_width``, metres.
        approach: Length of the approach, metres.
        lift: Length of the lift, metres.
        steps: Number of moments of each phase, at least 2; the last of one is the first of the next.
    """
    opened = open_posture(grasp, end_effector, clearance=clearance)
    closed = closed_posture(grasp, end_effector)
    shares = np.linspace(0.0, 1.0, steps)
    back, path = -approach * grasp.T_world_gripper[:3, 2], grasp.joint_path
    comes = [
        Moment(
            _moved(grasp.T_world_gripper, (1 - share) * back),
            opened,
            arm=None if path is None else _at_share(path.approach, share),
        )
        for share in shares
    ]
    at_grasp = None if path is None else path.grasp
    # linspace ends exactly on the closed posture.
    closes = [
        Moment(grasp.T_world_gripper, posture, arm=at_grasp) for posture in np.linspace(opened, closed, steps)
    ]
    rises = [
        Moment(
            _moved(grasp.T_world_gripper, share * lift * up),
            closed,
            holding=True,
            arm=None if path is None else _at_share(path.lift, share),
        )
        for share in shares
    ]
    return (*comes, *closes[1:], *rises[1:])


def drawn_share(end_effector: EndEffector) -> float:
    """Return the share of the motion, from 0 to 1, that a picture of a grasp shows, see ``drawn_posture``."""
    return 2 / 3 if drawn_closed(end_effector) else 1 / 3


def _at_share(path: Float[np.ndarray, "n d"], share: float) -> Float[np.ndarray, " d"]:
    """Return the step of a joint path at a share of it."""
    return path[round(share * (len(path) - 1))]


def _moved(T_world_x: Float[np.ndarray, "4 4"], by: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    moved = T_world_x.copy()
    moved[:3, 3] += by
    return moved
