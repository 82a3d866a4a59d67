"""Differential inverse kinematics of an arm with mink.

Every iteration solves a quadratic program for a step dq of the joints, with the Jacobian J of the flange, the
twist e to the target and the joint limits,

    min |J dq - e|² + w² |q + dq - q_posture|² + lambda |e|² |dq|²   subject to   q_low <= q + dq <= q_high,

limits the step and moves by it, until the error is small or no longer decreases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.mink_import import mink
from point2act.core.mujoco_import import MjData, mujoco
from point2act.grasping.reachability.arm import FLANGE, Arm

# Largest step of a joint in one iteration, radians; the linear model holds no further. Chosen.
_MAX_STEP = 0.5
# Weight of the posture relative to metres and radians of the pose; it decides only what the pose leaves free.
_POSTURE = 1e-3
# Levenberg-Marquardt damping for targets near a singularity or out of reach. Chosen: of 1e-4 to 1 it finds as
# much and is among the fastest.
_DAMPING = 1e-2
# Errors of position and angle at which the search has converged, metres and radians.
_CONVERGED = (2e-5, 2e-4)
# Ratio of errors within four iterations above which the search has stalled. Chosen.
_STALLED = 0.98


@dataclass(frozen=True, eq=False)
class Solution:
    """Joint positions and the remaining errors of the pose."""

    joints: Float[np.ndarray, " d"]
    """Radians."""
    position_error: float
    """Metres."""
    angle_error: float
    """Radians."""


class Solver:
    """Inverse kinematics of one arm, with the joint positions as state."""

    def __init__(self, arm: Arm, *, limit_margin: float):
        self._arm = arm
        self._state = mink.Configuration(arm.model)
        self._pose = mink.FrameTask(FLANGE, "site", 1.0, 1.0, lm_damping=_DAMPING)
        self._posture = mink.PostureTask(arm.model, _POSTURE)
        self._limits = [mink.ConfigurationLimit(arm.model, min_distance_from_limits=limit_margin)]

    @property
    def data(self) -> MjData:
        """MuJoCo's state at the current joint positions, with up-to-date poses."""
        return self._state.data

    def move_to(self, joints: Float[np.ndarray, " d"]) -> None:
        """Set the joint positions, radians."""
        self._state.update(joints)

    def solve(
        self,
        start: Float[np.ndarray, " d"],
        T_base_flange: Float[np.ndarray, "4 4"],
        *,
        posture: Float[np.ndarray, " d"],
        iterations: int,
        limited: bool = True,
    ) -> Solution:
        """Return the best joint positions found for a pose of the flange, whether or not they reach it.

        Starts at ``start`` and stays near ``posture`` (radians), within the joint limits if ``limited``.
        """
        self._pose.set_target(mink.SE3.from_matrix(T_base_flange))
        self._posture.set_target(posture)
        self.move_to(start)
        best, size, trail = self._at(T_base_flange), np.inf, []
        for _ in range(iterations):
            if best.position_error < _CONVERGED[0] and best.angle_error < _CONVERGED[1]:
                break
            try:
                step = mink.solve_ik(
                    self._state,
                    [self._pose, self._posture],
                    1.0,
                    "daqp",
                    limits=self._limits if limited else [],
                )
            except mink.NoSolutionFound:
                break
            self._state.integrate_inplace(step * min(1.0, _MAX_STEP / max(np.abs(step).max(), 1e-12)), 1.0)
            here = self._at(T_base_flange)
            now = here.position_error + here.angle_error
            best, size = (here, now) if now < size else (best, size)
            trail.append(now)
            if len(trail) > 4 and min(trail[-4:]) > _STALLED * min(trail[:-4]):
                break
        return best

    def manipulability(self) -> float:
        """Return the manipulability sqrt(det(J Jᵀ)) at the current joint positions (Yoshikawa 1985)."""
        jacobian = np.zeros((6, self._arm.model.nv))
        site = self._arm.model.site(FLANGE).id
        mujoco.mj_jacSite(self._arm.model, self.data, jacobian[:3], jacobian[3:], site)
        return float(np.sqrt(max(np.linalg.det(jacobian @ jacobian.T), 0.0)))

    def _at(self, T_base_flange: Float[np.ndarray, "4 4"]) -> Solution:
        position = np.linalg.norm(self.data.site(FLANGE).xpos - T_base_flange[:3, 3])
        angle = np.linalg.norm(self._pose.compute_error(self._state)[3:])  # of the twist to the target
        return Solution(self._state.q, float(position), float(angle))
