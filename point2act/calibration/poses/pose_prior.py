"""Pose updates, the Gaussian prior on poses and the robust loss of bundle and photometric adjustment.

A pose update is a world-frame rotation vector w about the camera centre and a shift t: R <- exp([w]x) R, c <-
c + t. The prior of pose i is |w_i|^2 / rotation_std^2 + |t_i|^2 / position_std^2. Residuals r, in standard
deviations, have the Cauchy loss k^2 log(1 + r^2 / k^2), i.e. the weight 1 / (1 + r^2 / k^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.types import View

CAUCHY = 2.385
"""The scale k of the Cauchy loss: 95 % efficient for Gaussian noise (Holland and Welsch 1977)."""


@dataclass(frozen=True, eq=False)
class Prior:
    """Gaussian prior of the camera poses."""

    T_world_cam: Float[np.ndarray, "n 4 4"]
    position_std: float
    """Standard deviation of a camera centre along each axis, metres."""
    rotation_std: float
    """Standard deviation of the rotation about each axis, radians."""

    @property
    def unit(self) -> Float[np.ndarray, " 6"]:
        """Standard deviations of a pose update: three rotations, three shifts."""
        return np.repeat([self.rotation_std, self.position_std], 3)

    def offsets(self, T_world_cam: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 6"]:
        """Return the updates from the given poses, in standard deviations."""
        return pose_differences(self.T_world_cam, T_world_cam) / self.unit


def pose_differences(
    T_from: Float[np.ndarray, "n 4 4"], T_to: Float[np.ndarray, "n 4 4"]
) -> Float[np.ndarray, "n 6"]:
    """Return the updates for ``apply_steps``: rotation vectors about world axes, radians; shifts, metres."""
    turn = T_to[:, :3, :3] @ np.swapaxes(T_from[:, :3, :3], 1, 2)
    return np.hstack([Rotation.from_matrix(turn).as_rotvec(), T_to[:, :3, 3] - T_from[:, :3, 3]])


def apply_steps(
    T_world_cam: Float[np.ndarray, "n 4 4"], steps: Float[np.ndarray, "n 6"]
) -> Float[np.ndarray, "n 4 4"]:
    """Rotate each camera about its own centre, by a rotation vector along world axes, then shift it."""
    T = T_world_cam.copy()
    T[:, :3, :3] = Rotation.from_rotvec(steps[:, :3]).as_matrix() @ T[:, :3, :3]
    T[:, :3, 3] += steps[:, 3:]
    return T


def stack_poses(views: Sequence[View]) -> Float[np.ndarray, "n 4 4"]:
    """Return the poses of all views."""
    return np.array([view.T_world_cam for view in views], dtype=float).reshape(-1, 4, 4)


def cauchy_weights(squares: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Return the weights of residuals for iteratively reweighted least squares, from their squares."""
    return 1.0 / (1.0 + squares / CAUCHY**2)


def cauchy_cost(squares: Float[np.ndarray, "*n"]) -> float:
    """Return the Cauchy loss, summed over residuals given by their squares."""
    return float(CAUCHY**2 * np.log1p(squares / CAUCHY**2).sum())


def robust_std(residuals: Float[np.ndarray, " n"]) -> float:
    """Return the standard deviation by the median absolute deviation, robust to outliers; 0 of none."""
    return 1.4826 * float(np.median(np.abs(residuals))) if len(residuals) else 0.0
