"""The interface of a robot: what a driver has to provide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.core.types import View


@dataclass(frozen=True, eq=False)
class RobotState:
    """What a robot measures."""

    time: float
    """Seconds on the robot's clock."""
    joints: Float[np.ndarray, " d"]
    """Radians, from the base to the flange."""
    width: float
    """Distance between the gripper's pads, metres."""
    force: float
    """Force of contacts on the gripper, newtons, without its own weight; 0 if it is not measured."""


@runtime_checkable
class Robot(Protocol):
    """An arm with a parallel gripper and a depth camera. The world is the frame of the arm's base."""

    period: float
    """Duration of a control step, seconds."""
    real_time: bool
    """Whether the robot's clock runs on while something is computed."""

    def state(self) -> RobotState:
        """Return the latest measurements."""
        ...

    def command(self, joints: Float[np.ndarray, " d"], width: float) -> None:
        """Send set points, and wait for the start of the next control step.

        Args:
            joints: Positions of the joints, radians.
            width: Distance between the gripper's pads, metres; 0 closes it with its force.
        """
        ...

    def view(self) -> View:
        """Return the latest image of the camera with its depth, metres; its pose is in the base frame."""
        ...

    def stop(self) -> None:
        """Hold still at once, also between control steps."""
        ...
