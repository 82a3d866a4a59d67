"""Bundle adjustment of poses and points with a pose prior and optional depth (Triggs et al. 2000).

Minimises sum_o [rho(|K p_o / z_o - uv_o|^2 / s_px^2) + rho((z_o - d_o)^2 / s_d^2)] + prior(poses) over poses
and points, where p_o = R^T (X - c) is the point in the camera, z_o its depth, rho the Cauchy loss, and s_px,
s_d are estimated from the residuals in each iteration. With the normal equations [[A, B], [B^T, C]] (dx, dX)
= -(g, h), C is block diagonal, and the Schur complement gives (A - B C^-1 B^T) dx = B C^-1 h - g, then dX =
-C^-1 (h + B^T dx). Steps are damped by Levenberg and Marquardt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from point2act.calibration.poses.pose_prior import Prior, apply_steps, cauchy_cost, cauchy_weights, robust_std
from point2act.calibration.poses.tracks import Tracks


@dataclass(frozen=True)
class BundleConfig:
    """Noise of the observations."""

    pixel_std: float = 0.3
    """Smallest standard deviation of a feature's position, pixels; the residuals may raise it."""
    depth_std: float = 0.003
    """Smallest standard deviation of a depth, metres; the residuals may raise it."""
    relative_depth_std: float = 0.01
    """Smallest standard deviation of a depth over the depth; the larger of the two counts."""
    max_iterations: int = 30
    """Maximum number of iterations."""


@dataclass(frozen=True, eq=False)
class _Scene:
    """Unknowns."""

    T_world_cam: Float[np.ndarray, "n 4 4"]
    points: Float[np.ndarray, "m 3"]


@dataclass(frozen=True, eq=False)
class _Problem:
    """Given quantities."""

    K: Float[np.ndarray, "n 3 3"]
    tracks: Tracks
    prior: Prior
    config: BundleConfig


@dataclass(frozen=True, eq=False)
class _System:
    """Normal equations in blocks: cameras, points, and one block for each observation."""

    cameras: Float[np.ndarray, "n 6 6"]
    points: Float[np.ndarray, "m 3 3"]
    mixed: Float[np.ndarray, "o 6 3"]
    gradient_cameras: Float[np.ndarray, "n 6"]
    gradient_points: Float[np.ndarray, "m 3"]


_Step = tuple[Float[np.ndarray, "n 6"], Float[np.ndarray, "m 3"]]


def bundle_adjust(
    K: Float[np.ndarray, "n 3 3"], tracks: Tracks, prior: Prior, config: BundleConfig
) -> Float[np.ndarray, "n 4 4"]:
    """Return the poses that fit the tracks under the prior; a view without tracks keeps its pose.

    Args:
        K: Camera matrices, pixels.
        tracks: Observations in pixels and, where known, depths in metres.
        prior: Given poses with their standard deviations.
        config: Noise of the observations.
    """
    problem = _Problem(K, tracks, prior, config)
    return _descend(problem, _initial_points(problem), _step_of_all).T_world_cam


def residuals(
    T_world_cam: Float[np.ndarray, "n 4 4"], K: Float[np.ndarray, "n 3 3"], tracks: Tracks
) -> Float[np.ndarray, " o"]:
    """Return the reprojection error of each observation, pixels, with points triangulated under the poses."""
    problem = _Problem(K, tracks.without_depth(), Prior(T_world_cam, 1.0, 1.0), BundleConfig())
    _, pixels, _ = _residuals(problem, _descend(problem, _initial_points(problem), _step_of_points))
    return np.linalg.norm(pixels, axis=1)


def _initial_points(problem: _Problem) -> _Scene:
    """Triangulate points: the nearest to their rays, with a small weight on depths."""
    tracks, T = problem.tracks, problem.prior.T_world_cam[problem.tracks.view]
    homogeneous = np.pad(tracks.pixels, ((0, 0), (0, 1)), constant_values=1.0)
    in_camera = np.linalg.inv(problem.K)[tracks.view] @ homogeneous[..., None]
    ray = (T[:, :3, :3] @ in_camera)[..., 0]
    direction = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    along = np.where(tracks.depth > 0, 0.1, 1e-6)  # not 0, so that parallel rays give a finite point
    M = np.eye(3) - (1 - along)[:, None, None] * direction[:, :, None] * direction[:, None, :]
    target = T[:, :3, 3] + ray * tracks.depth[:, None]
    normal = _summed(M, tracks.point, tracks.count)
    right = _summed(M @ target[..., None], tracks.point, tracks.count)
    return _Scene(problem.prior.T_world_cam, np.linalg.solve(normal, right)[..., 0])


def _descend(problem: _Problem, scene: _Scene, step: Callable[[_System, Tracks, float], _Step]) -> _Scene:
    damping = 1e-3
    for _ in range(problem.config.max_iterations):
        scales = _scales(problem, scene)
        system, cost = _linearised(problem, scene, scales), _cost(problem, scene, scales)
        for _ in range(6):
            d_cameras, d_points = step(system, problem.tracks, damping)
            trial = _Scene(apply_steps(scene.T_world_cam, d_cameras), scene.points + d_points)
            lower = _cost(problem, trial, scales)
            if lower < cost:
                break
            damping *= 10
        else:
            return scene
        scene, damping = trial, damping / 10
        if cost - lower < 1e-5 * cost:
            return scene
    return scene


def _residuals(
    problem: _Problem, scene: _Scene
) -> tuple[Float[np.ndarray, "o 3"], Float[np.ndarray, "o 2"], Float[np.ndarray, " o"]]:
    """Return each point in its camera, its pixel residual and its depth residual, 0 where unmeasured."""
    tracks = problem.tracks
    T, K = scene.T_world_cam[tracks.view], problem.K[tracks.view]
    offset = scene.points[tracks.point] - T[:, :3, 3]
    p = np.einsum("nji,nj->ni", T[:, :3, :3], offset)
    p[:, 2] = np.where(np.abs(p[:, 2]) < 1e-6, 1e-6, p[:, 2])
    pixels = np.einsum("nij,nj->ni", K[:, :2], p / p[:, 2:]) - tracks.pixels
    return p, pixels, np.where(tracks.depth > 0, p[:, 2] - tracks.depth, 0.0)


def _scales(problem: _Problem, scene: _Scene) -> tuple[float, Float[np.ndarray, " o"]]:
    """Return the standard deviations of pixels and of each depth, estimated from the residuals."""
    _, pixels, depths = _residuals(problem, scene)
    config, known = problem.config, problem.tracks.depth > 0
    unit = np.maximum(config.depth_std, config.relative_depth_std * problem.tracks.depth)
    pixel_std = max(config.pixel_std, robust_std(pixels.ravel()))
    return pixel_std, unit * max(1.0, robust_std((depths / unit)[known]))


def _cost(problem: _Problem, scene: _Scene, scales: tuple[float, Float[np.ndarray, " o"]]) -> float:
    _, pixels, depths = _residuals(problem, scene)
    data = cauchy_cost((pixels**2).sum(axis=1) / scales[0] ** 2) + cauchy_cost((depths / scales[1]) ** 2)
    return data + float((problem.prior.offsets(scene.T_world_cam) ** 2).sum())


def _linearised(problem: _Problem, scene: _Scene, scales: tuple[float, Float[np.ndarray, " o"]]) -> _System:
    tracks, prior, n = problem.tracks, problem.prior, len(scene.T_world_cam)
    p, pixels, depths = _residuals(problem, scene)
    J_point = _point_jacobian(problem, scene, p)
    offset = scene.points[tracks.point] - scene.T_world_cam[tracks.view, :3, 3]
    J_camera = -np.concatenate([np.cross(offset[:, None], J_point), J_point], axis=2)
    w = np.empty((len(p), 3))
    w[:, :2] = (cauchy_weights((pixels**2).sum(axis=1) / scales[0] ** 2) / scales[0] ** 2)[:, None]
    w[:, 2] = np.where(tracks.depth > 0, cauchy_weights((depths / scales[1]) ** 2) / scales[1] ** 2, 0.0)
    r = np.column_stack([pixels, depths])[..., None]
    weighted_camera = np.swapaxes(J_camera * w[..., None], 1, 2)
    weighted_point = np.swapaxes(J_point * w[..., None], 1, 2)
    return _System(
        cameras=_summed(weighted_camera @ J_camera, tracks.view, n) + np.diag(prior.unit**-2),
        points=_summed(weighted_point @ J_point, tracks.point, tracks.count) + 1e-9 * np.eye(3),
        mixed=weighted_camera @ J_point,
        gradient_cameras=_summed(weighted_camera @ r, tracks.view, n)[..., 0]
        + prior.offsets(scene.T_world_cam) / prior.unit,
        gradient_points=_summed(weighted_point @ r, tracks.point, tracks.count)[..., 0],
    )


def _point_jacobian(
    problem: _Problem, scene: _Scene, p: Float[np.ndarray, "o 3"]
) -> Float[np.ndarray, "o 3 3"]:
    """Return the Jacobian of pixel and depth with respect to the point in the world."""
    focal = problem.K[problem.tracks.view][:, [0, 1], [0, 1]]
    in_camera = np.zeros((len(p), 3, 3))
    in_camera[:, 0, 0], in_camera[:, 1, 1] = (focal / p[:, 2:]).T
    in_camera[:, :2, 2] = -focal * p[:, :2] / p[:, 2:] ** 2
    in_camera[:, 2, 2] = 1.0
    return in_camera @ np.swapaxes(scene.T_world_cam[problem.tracks.view, :3, :3], 1, 2)


def _step_of_points(system: _System, tracks: Tracks, damping: float) -> _Step:
    damped = system.points * (1 + damping * np.eye(3))
    d_points = -np.linalg.solve(damped, system.gradient_points[..., None])[..., 0]
    return np.zeros_like(system.gradient_cameras), d_points


def _step_of_all(system: _System, tracks: Tracks, damping: float) -> _Step:
    inverse = np.linalg.inv(system.points * (1 + damping * np.eye(3)))
    mixed = _sparse(system.mixed, tracks, len(system.cameras))
    reduced = _sparse(system.mixed @ inverse[tracks.point], tracks, len(system.cameras))
    matrix = -(reduced @ mixed.T).toarray()
    for i, block in enumerate(system.cameras * (1 + damping * np.eye(6))):
        matrix[6 * i : 6 * i + 6, 6 * i : 6 * i + 6] += block
    right = reduced @ system.gradient_points.ravel() - system.gradient_cameras.ravel()
    d_cameras = np.linalg.solve(matrix, right)
    rest = system.gradient_points + (mixed.T @ d_cameras).reshape(-1, 3)
    return d_cameras.reshape(-1, 6), -(inverse @ rest[..., None])[..., 0]


def _sparse(blocks: Float[np.ndarray, "o 6 3"], tracks: Tracks, cameras: int) -> csr_matrix:
    """Assemble the camera-point blocks into a sparse matrix."""
    rows = (6 * tracks.view[:, None] + np.arange(6))[:, :, None]
    columns = (3 * tracks.point[:, None] + np.arange(3))[:, None, :]
    where = tuple(np.broadcast_to(index, blocks.shape).ravel() for index in (rows, columns))
    return csr_matrix((blocks.ravel(), where), shape=(6 * cameras, 3 * tracks.count))


def _summed(values: Float[np.ndarray, "o a b"], index: np.ndarray, count: int) -> Float[np.ndarray, "_n a b"]:
    """Sum the blocks with the same index."""
    flat = values.reshape(len(values), -1).T
    sums = np.stack([np.bincount(index, column, count) for column in flat], axis=1)
    return sums.reshape(count, *values.shape[1:])
