"""Error of the hand-eye calibration: a wrong mounting of the camera, the same in every view.

A robot records T_rec_i = T_true_i X with a constant X in the camera frame. Images give T_true_i up to one
motion G of the world, and the prior that keeps refined poses near the recorded ones makes G their mean
difference, which X biases: a camera mounted 1 cm too far forward moves all that it sees from above. With
the differences (w_i, t_i) of ``pose_differences`` from refined to recorded poses, small angles, and R_i, c_i
the refined rotation and centre:

    w_i = g + R_i a + u_i d,     t_i = s + g x (c_i - c) + R_i b + u_i e

(g, s) is G, (a, b) is X, and (d, e) a drift along the path with u_i in [-1/2, 1/2]. G and X are separated by
the turns of the camera between views; a Gaussian prior on X leaves to G what they do not show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.calibration.poses.pose_prior import Prior, cauchy_weights, pose_differences, robust_std
from point2act.core.geometry import transform

# Steps of iteratively reweighted least squares.
_STEPS = 8
# Least standard deviation of differences, as a fraction of the poses' own: 5 micrometres at 5 mm.
_LEAST_SCALE = 1e-3
# Largest standard deviation of the position of a camera whose mounting counts as known, metres. Chosen.
_KNOWN = 0.002


@dataclass(frozen=True)
class HandEyeConfig:
    """When recorded poses are explained by an error of the hand-eye calibration."""

    position_std: float = 0.01
    """Expected error of the camera's position on the robot along each axis, metres."""
    rotation_std: float = 0.02
    """Expected error of its rotation about each axis, radians."""
    min_views: int = 8
    """Smallest number of views; the unknowns of a drift and of two motions are those of three poses."""
    # Chosen: on simulated tables at most 20 with drift alone, 700 and more with a hand-eye error of 3 mm. A
    # critical value for independent residuals would be 4; what a drift leaves behind is not independent.
    min_f_statistic: float = 40.0
    """Smallest F statistic of the error against a common motion and drift, to believe it."""


@dataclass(frozen=True, eq=False)
class HandEyeError:
    """Error of the hand-eye calibration, and where the robot's frame has the refined poses without it."""

    T_robot_world: Float[np.ndarray, "4 4"]
    """Motion of all refined poses that undoes what the error shifted in common."""
    shift: Float[np.ndarray, " 3"]
    """Position of the recorded in the true camera frame, metres."""
    turn: Float[np.ndarray, " 3"]
    """Rotation vector from the true to the recorded camera frame, radians."""
    shift_std: Float[np.ndarray, " 3"]
    """Standard deviation of ``shift``, metres: large along what the turns of the camera do not show."""

    @property
    def determined(self) -> bool:
        """Whether the position is known."""
        return bool(np.linalg.norm(self.shift_std) < _KNOWN)

    @property
    def T_true_recorded(self) -> Float[np.ndarray, "4 4"]:
        """Transform from the recorded to the true camera frame."""
        return transform(Rotation.from_rotvec(self.turn).as_matrix(), self.shift)

    def __str__(self) -> str:
        """Return the error in millimetres and degrees, and what is unknown."""
        axes = [
            f"{name} {1000 * at:.1f} ± {1000 * std:.1f}"
            for name, at, std in zip("xyz", self.shift, self.shift_std, strict=True)
        ]
        angle, length = np.degrees(np.linalg.norm(self.turn)), 1000 * np.linalg.norm(self.shift)
        known = "" if self.determined else ", and views turned about more axes would determine the rest"
        return f"{length:.1f} mm ({', '.join(axes)}) and {angle:.2f}°{known}"


def estimate_hand_eye(
    prior: Prior, T_world_cam: Float[np.ndarray, "n 4 4"], *, config: HandEyeConfig = HandEyeConfig()
) -> HandEyeError | None:
    """Estimate the constant error of the camera's mounting from recorded and refined poses.

    Args:
        prior: Recorded camera poses in the order of recording, and their standard deviations.
        T_world_cam: Refined poses, each of the same camera.
        config: Expected errors, and the significance to believe them.

    Returns:
        None if a common motion and a drift explain the differences about as well.
    """
    if len(T_world_cam) < config.min_views:
        return None
    differences = pose_differences(T_world_cam, prior.T_world_cam) / prior.unit
    design = _design(T_world_cam) / prior.unit[:, None]
    precision = np.zeros(design.shape[2])
    precision[_CAMERA] = np.repeat([config.rotation_std, config.position_std], 3) ** -2.0
    left = _fit(np.delete(design, _CAMERA, axis=2), differences, np.delete(precision, _CAMERA))
    found = _fit(design, differences, precision)
    freedom = max(6 * float(found.weight.sum()) - len(found.unknowns), 1.0)
    if left.cost - found.cost < config.min_f_statistic * 6 * found.cost / freedom:
        return None
    turn, shift = found.unknowns[_CAMERA].reshape(2, 3)
    std = np.sqrt(np.diag(found.covariance)[_CAMERA])[3:]
    return HandEyeError(_motion(found.unknowns[_WORLD], T_world_cam), shift, turn, std)


_WORLD, _CAMERA = slice(0, 6), slice(6, 12)


def _design(T_world_cam: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 6 18"]:
    """Return the derivatives of turns and shifts by (g, s), (a, b) and (d, e)."""
    R, c = T_world_cam[:, :3, :3], T_world_cam[:, :3, 3]
    one, nothing = np.broadcast_to(np.eye(3), R.shape), np.zeros_like(R)
    along = np.linspace(-0.5, 0.5, len(R))[:, None, None] * one
    # g x (c - mean) = -(c - mean) x g.
    lever = np.cross(np.eye(3), (c - c.mean(axis=0))[:, None]).swapaxes(1, 2)
    turns = np.concatenate([one, nothing, R, nothing, along, nothing], axis=2)
    shifts = np.concatenate([lever, one, nothing, R, nothing, along], axis=2)
    return np.concatenate([turns, shifts], axis=1)


@dataclass(frozen=True, eq=False)
class _Fit:
    unknowns: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    weight: Float[np.ndarray, " n"]
    """Weight of each view in (0, 1]."""
    cost: float
    """Sum of weighted squares, in standard deviations of the poses."""


def _fit(
    design: Float[np.ndarray, "n 6 p"], target: Float[np.ndarray, "n 6"], precision: Float[np.ndarray, " p"]
) -> _Fit:
    """Fit by iteratively reweighted least squares with one Cauchy weight a view and a Gaussian prior."""
    weight, scale, residuals, unknowns = np.ones(len(target)), 1.0, target, np.zeros(len(precision))
    normal = np.diag(precision)
    for _ in range(_STEPS):
        normal = np.einsum("n,nip,niq->pq", weight, design, design) / scale**2 + np.diag(precision)
        unknowns = np.linalg.solve(normal, np.einsum("n,nip,ni->p", weight, design, target) / scale**2)
        residuals = target - design @ unknowns
        scale = max(robust_std(residuals.ravel()), _LEAST_SCALE)
        weight = cauchy_weights((residuals**2).mean(axis=1) / scale**2)
    cost = float(weight @ (residuals**2).sum(axis=1)) + _LEAST_SCALE**2
    return _Fit(unknowns, np.linalg.inv(normal), weight, cost)


def _motion(
    world: Float[np.ndarray, " 6"], T_world_cam: Float[np.ndarray, "n 4 4"]
) -> Float[np.ndarray, "4 4"]:
    """Return the motion (g, s) about the mean camera centre as a matrix."""
    R, center = Rotation.from_rotvec(world[:3]).as_matrix(), T_world_cam[:, :3, 3].mean(axis=0)
    return transform(R, center + world[3:] - R @ center)
