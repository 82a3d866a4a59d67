"""Constraints as tasks of mink: the error and its Jacobian by the joints."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.constraint_values import Residual, residual
from point2act.acting.constraints.scene_state import SceneState
from point2act.acting.control.arm_model import ArmModel
from point2act.core.constraints import Constraint
from point2act.core.mink_import import mink

StateAt = Callable[[Float[np.ndarray, "4 4"]], SceneState]
"""The state of the scene with the gripper at a pose, base frame."""


class ConstraintTask(mink.Task):
    """One constraint; its error is the residual, in metres or radians."""

    def __init__(
        self, constraint: Constraint, arm: ArmModel, state_at: StateAt, *, weight: float, gain: float
    ):
        super().__init__(np.full(1, weight * constraint.weight), gain, lm_damping=_DAMPING)
        self.constraint = constraint
        self._arm, self._state_at = arm, state_at
        self._latest: tuple[bytes, Residual, Float[np.ndarray, "6 d"]] | None = None

    def compute_error(self, configuration: mink.Configuration) -> Float[np.ndarray, " k"]:
        """Return what is missing for the constraint."""
        return self._evaluate(configuration)[0].error

    def compute_jacobian(self, configuration: mink.Configuration) -> Float[np.ndarray, "k d"]:
        """Return the derivative of the error by the joints: that by the gripper's twist times its own."""
        found, jacobian = self._evaluate(configuration)
        return found.jacobian @ jacobian

    def _evaluate(self, configuration: mink.Configuration) -> tuple[Residual, Float[np.ndarray, "6 d"]]:
        key = configuration.q.tobytes()
        if self._latest is None or self._latest[0] != key:
            state = self._state_at(self._arm.T_base_gripper(configuration.data, 0.0))
            jacobian = self._arm.jacobian(configuration.data, state.T_world_gripper[:3, 3])
            self._latest = key, residual(self.constraint, state), jacobian
        return self._latest[1:]


# Levenberg-Marquardt damping for goals near a singularity or out of reach, as of inverse kinematics.
_DAMPING = 1e-2
