"""Smooth joint motion: velocities followed with limited acceleration and jerk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ArmError

try:
    import ruckig
except ModuleNotFoundError as err:
    if err.name != "ruckig":
        raise
    raise ArmError('smooth motion needs ruckig: pip install "point2act[act]"') from err


@dataclass(frozen=True)
class SmoothConfig:
    """Limits of every joint."""

    acceleration: float = 7.5
    """Radians per second squared: what a Panda's slowest joint can do (Franka Control Interface)."""
    jerk: float = 500.0
    """Radians per second cubed, a fifteenth of a Panda's limit. Chosen."""


class SmoothMotion:
    """Follows velocities with limited acceleration and jerk (ruckig, Berscheid and Kroeger 2021)."""

    def __init__(
        self,
        joints: Float[np.ndarray, " d"],
        max_velocity: Float[np.ndarray, " d"],
        period: float,
        config: SmoothConfig = SmoothConfig(),
    ):
        """Start at rest.

        Args:
            joints: Joint positions, radians.
            max_velocity: Radians per second.
            period: Duration of a control step, seconds.
            config: Limits.
        """
        count = len(joints)
        self._solver = ruckig.Ruckig(count, period)
        self._input, self._output = ruckig.InputParameter(count), ruckig.OutputParameter(count)
        self._input.control_interface = ruckig.ControlInterface.Velocity
        self._input.max_velocity = max_velocity.tolist()
        self._max_velocity = max_velocity
        self._input.max_acceleration = [config.acceleration] * count
        self._input.max_jerk = [config.jerk] * count
        self.restart(joints)

    def restart(self, joints: Float[np.ndarray, " d"]) -> None:
        """Start again at rest at joint positions, radians."""
        rest = [0.0] * len(joints)
        self._input.current_position = joints.tolist()
        self._input.current_velocity, self._input.current_acceleration = rest, rest

    @property
    def joints(self) -> Float[np.ndarray, " d"]:
        """Joint positions of the latest command, radians."""
        return np.array(self._input.current_position)

    def follow(self, velocity: Float[np.ndarray, " d"]) -> Float[np.ndarray, " d"]:
        """Return the next joint positions on the way to a velocity, radians and radians per second.

        A velocity beyond the limits counts as the nearest one within, one that is not a number as rest.
        """
        within = np.clip(velocity, -self._max_velocity, self._max_velocity)
        self._input.target_velocity = np.nan_to_num(within).tolist()
        self._solver.update(self._input, self._output)
        self._output.pass_to_input(self._input)
        return self.joints
