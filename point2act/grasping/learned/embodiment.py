"""What networks need of a gripper or a hand: ranges of its joints, and where an object is to be."""

from __future__ import annotations

from dataclasses import dataclass

from point2act.grasping.end_effector import EndEffector
from point2act.grasping.hands.hand import Hand


@dataclass(frozen=True)
class Embodiment:
    """A gripper or a hand, for networks. The only joint of a gripper is the distance between its pads."""

    low: tuple[float, ...]
    """Smallest joint positions, radians; metres for a gripper."""
    high: tuple[float, ...]
    """Largest joint positions, radians; metres for a gripper."""
    center: tuple[float, float, float]
    """Where an object is to be, in the frame of the gripper or palm, metres."""
    parts: int
    """Number of the fingers, and one for the palm."""
    symmetric: bool = False
    """Whether half a turn about the approach gives the same grasp, as of two parallel fingers."""


def embodiment_of(effector: EndEffector) -> Embodiment:
    """Return what networks need of a gripper or a hand."""
    if isinstance(effector, Hand):
        low, high = effector.joints.low.tolist(), effector.joints.high.tolist()
        x, y, z = effector.grasp_center.tolist()
        return Embodiment(tuple(low), tuple(high), (x, y, z), 2 + int(effector.fingers.max()))
    return Embodiment((0.0,), (effector.max_width,), (0.0, 0.0, 0.0), 3, symmetric=True)
