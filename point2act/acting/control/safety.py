"""The last check of every command: what leaves it is within all limits, whatever comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.types import OrientedBox

# Numbers that differ by less are equal: commands are integrated in floating point.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class SafetyConfig:
    """Limits that nothing passes."""

    max_force: float = 100.0
    """Force of contacts on the gripper at which the robot stops, newtons. Chosen: twice that of a gripper
    that closes on a thing with one finger first."""
    max_age: float = 0.6
    """Age of the latest image at which the arm waits, seconds. Chosen: three periods of the tracker."""
    lag: float = 0.3
    """Largest distance of a joint from its command, radians: further, something holds the arm."""


@dataclass(frozen=True, eq=False)
class Envelope:
    """Limits of one robot."""

    limits: Float[np.ndarray, "d 2"]
    """Smallest and largest position of each joint, radians."""
    max_velocity: Float[np.ndarray, " d"]
    """Radians per second."""
    keep_out: tuple[OrientedBox, ...] = ()
    """Boxes that the middle of the gripper never enters, base frame."""


class SafetyFilter:
    """Passes on commands within limits; beyond them the nearest one that is, or the previous one."""

    def __init__(self, envelope: Envelope, period: float, config: SafetyConfig = SafetyConfig()):
        self._envelope, self._period, self._config = envelope, period, config
        self.stopped: str | None = None
        """Why the robot has stopped for good; None while it moves."""
        self.interventions = 0
        """Number of commands that were changed."""

    def check(
        self,
        before: Float[np.ndarray, " d"],
        joints: Float[np.ndarray, " d"],
        place_at: Callable[[Float[np.ndarray, " d"]], Float[np.ndarray, " 3"]],
        *,
        force: float,
        age: float,
    ) -> Float[np.ndarray, " d"]:
        """Return the joint positions to command, radians.

        Args:
            before: The previous command, which is not checked again.
            joints: The wanted ones.
            place_at: Where the middle of the gripper is at joint positions, base frame, metres.
            force: Force of contacts on the gripper, newtons.
            age: Age of the latest image, seconds.
        """
        if self.stopped is None and force > self._config.max_force:
            self.stopped = f"the gripper was pressed with {force:.0f} N"
        known = np.isfinite([force, age, *joints]).all()
        allowed = before
        if self.stopped is None and known and age <= self._config.max_age:
            allowed = self._within(before, joints, place_at)
        # A command that is not a number differs from all others.
        self.interventions += not np.allclose(allowed, joints, rtol=0, atol=_ROUNDING)
        return allowed

    def _within(
        self,
        before: Float[np.ndarray, " d"],
        joints: Float[np.ndarray, " d"],
        place_at: Callable[[Float[np.ndarray, " d"]], Float[np.ndarray, " 3"]],
    ) -> Float[np.ndarray, " d"]:
        """Return the nearest command within all limits; the previous one if that would enter a box."""
        step = self._period * self._envelope.max_velocity
        # Velocity last: from beyond the limits of position the arm comes back no faster than anywhere else.
        allowed = np.clip(np.clip(joints, *self._envelope.limits.T), before - step, before + step)
        # Of the command itself: a wanted place beyond a box may be cut to one in it.
        place = place_at(allowed)
        if not np.isfinite(place).all() or any(_inside(box, place) for box in self._envelope.keep_out):
            return before
        return allowed


def _inside(box: OrientedBox, point: Float[np.ndarray, " 3"]) -> bool:
    return bool((np.abs(box.axes @ (point - box.center)) <= box.half_extents).all())
