"""Small motions of cameras, and how far they may go: what both adjustments share. numpy and scipy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.types import View

CAUCHY = 2.385
"""A residual of so many standard deviations counts half; 95 % efficient for Gaussian noise (Holland and
Welsch 1977)."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Where the poses were said to be, and how sure that is."""

    T_world_cam: Float[np.ndarray, "n 4 4"]
    shift: float
    """Standard deviation of a camera's place along each axis, metres."""
    turn: float
    """Standard deviation of its rotation about each axis, radians."""

    @property
    def unit(self) -> Float[np.ndarray, " 6"]:
        """Standard deviations of a step: three turns, three shifts."""
        return np.repeat([self.turn, self.shift], 3)

    def offsets(self, T_world_cam: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 6"]:
        """How far poses are from the given ones, in standard deviations."""
        return pose_differences(self.T_world_cam, T_world_cam) / self.unit


def pose_differences(
    T_from: Float[np.ndarray, "n 4 4"], T_to: Float[np.ndarray, "n 4 4"]
) -> Float[np.ndarray, "n 6"]:
    """The steps that ``moved`` needs: turns about world axes in radians, shifts in metres."""
    turn = T_to[:, :3, :3] @ np.swapaxes(T_from[:, :3, :3], 1, 2)
    return np.hstack([Rotation.from_matrix(turn).as_rotvec(), T_to[:, :3, 3] - T_from[:, :3, 3]])


def apply_steps(
    T_world_cam: Float[np.ndarray, "n 4 4"], steps: Float[np.ndarray, "n 6"]
) -> Float[np.ndarray, "n 4 4"]:
    """Each camera turned about its own centre, along world axes, then shifted."""
    T = T_world_cam.copy()
    T[:, :3, :3] = Rotation.from_rotvec(steps[:, :3]).as_matrix() @ T[:, :3, :3]
    T[:, :3, 3] += steps[:, 3:]
    return T


def stack_poses(views: Sequence[View]) -> Float[np.ndarray, "n 4 4"]:
    """The poses of all views."""
    return np.array([view.T_world_cam for view in views], dtype=float).reshape(-1, 4, 4)


def cauchy_weights(squares: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Weights of residuals from their squares in standard deviations, for least squares by reweighting."""
    return 1.0 / (1.0 + squares / CAUCHY**2)


def cauchy_cost(squares: Float[np.ndarray, "*n"]) -> float:
    """What those weights minimise."""
    return float(CAUCHY**2 * np.log1p(squares / CAUCHY**2).sum())


def robust_std(residuals: Float[np.ndarray, " n"]) -> float:
    """Standard deviation of Gaussian residuals with outliers among them, from the median; 0 of none."""
    return 1.4826 * float(np.median(np.abs(residuals))) if len(residuals) else 0.0
