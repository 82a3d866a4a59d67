"""Differential inverse kinematics of an arm: mink's quadratic programs, iterated to a pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ArmError

# First: it chooses how MuJoCo draws, before mink imports MuJoCo.
from point2act.core.mujoco_import import MjData, mujoco
from point2act.grasping.reachability.arm import FLANGE, Arm

try:
    import mink
except ModuleNotFoundError as err:
    if err.name != "mink":
        raise
    raise ArmError('inverse kinematics needs mink: pip install "point2act[arm]"') from err

_MAX_STEP = 0.5
"""No joint moves further in one iteration, radians: the linear model holds no further. Chosen."""
_POSTURE = 1e-3
"""Weight of the posture against metres and radians of the pose: decides only what the pose leaves free."""
_DAMPING = 1e-2
"""Levenberg-Marquardt, for targets near a singularity or out of reach. Chosen: of 1e-4 to 1 it finds
as much and is among the fastest."""
_CLOSE = (2e-5, 2e-4)
"""An iteration that comes this near, metres and radians, has arrived."""
_STALLED = 0.98
"""A search whose error falls to no less than this share in four iterations is over. Chosen."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Joint positions, and what is left to the pose asked for."""

    joints: Float[np.ndarray, " d"]
    """Radians."""
    position_error: float
    """Metres."""
    angle_error: float
    """Radians."""


class Solver:
    """Inverse kinematics of one arm; keeps the positions it was last at."""

    def __init__(self, arm: Arm, *, limit_margin: float):
        self._arm = arm
        self._state = mink.Configuration(arm.model)
        self._pose = mink.FrameTask(FLANGE, "site", 1.0, 1.0, lm_damping=_DAMPING)
        self._posture = mink.PostureTask(arm.model, _POSTURE)
        self._limits = [mink.ConfigurationLimit(arm.model, min_distance_from_limits=limit_margin)]

    @property
    def data(self) -> MjData:
        """MuJoCo's state at the positions last visited, with all poses up to date."""
        return self._state.data

    def visit(self, joints: Float[np.ndarray, " d"]) -> None:
        """Go to joint positions."""
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
        """Joint positions for a pose of the flange, within the limits unless not ``limited``.

        Starts at ``start`` (radians) and stays as near as it can to ``posture``. The best that was found is
        returned, near or not.
        """
        self._pose.set_target(mink.SE3.from_matrix(T_base_flange))
        self._posture.set_target(posture)
        self.visit(start)
        best, size, trail = self._at(T_base_flange), np.inf, []
        for _ in range(iterations):
            if best.position_error < _CLOSE[0] and best.angle_error < _CLOSE[1]:
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
        """How far the arm is from a singularity where it is: the root of det(J Jᵀ) (Yoshikawa 1985)."""
        jacobian = np.zeros((6, self._arm.model.nv))
        site = self._arm.model.site(FLANGE).id
        mujoco.mj_jacSite(self._arm.model, self.data, jacobian[:3], jacobian[3:], site)
        return float(np.sqrt(max(np.linalg.det(jacobian @ jacobian.T), 0.0)))

    def _at(self, T_base_flange: Float[np.ndarray, "4 4"]) -> Solution:
        position = np.linalg.norm(self.data.site(FLANGE).xpos - T_base_flange[:3, 3])
        angle = np.linalg.norm(self._pose.compute_error(self._state)[3:])  # of the twist to the target
        return Solution(self._state.q, float(position), float(angle))
