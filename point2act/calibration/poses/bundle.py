"""Bundle adjustment: poses and points that fit the tracks, held by the prior (Triggs et al. 2000)."""

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
    """What counts as a small residual."""

    pixel: float = 0.3
    """Standard deviation of a feature's place, pixels; more where the features themselves say so."""
    depth: float = 0.003
    """Standard deviation of a depth, metres ..."""
    depth_share: float = 0.01
    """... or this share of it; the larger, and more where the tracks say so."""
    iterations: int = 30
    """At most."""


@dataclass(frozen=True, eq=False)
class _Scene:
    """What is to be found."""

    T_world_cam: Float[np.ndarray, "n 4 4"]
    points: Float[np.ndarray, "m 3"]


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is given."""

    K: Float[np.ndarray, "n 3 3"]
    tracks: Tracks
    prior: Prior
    config: BundleConfig


@dataclass(frozen=True, eq=False)
class _System:
    """Normal equations in blocks: cameras, points, one block for each observation between them."""

    cameras: Float[np.ndarray, "n 6 6"]
    points: Float[np.ndarray, "m 3 3"]
    between: Float[np.ndarray, "o 6 3"]
    slope_cameras: Float[np.ndarray, "n 6"]
    slope_points: Float[np.ndarray, "m 3"]


_Step = tuple[Float[np.ndarray, "n 6"], Float[np.ndarray, "m 3"]]


def bundle_adjust(
    K: Float[np.ndarray, "n 3 3"], tracks: Tracks, prior: Prior, config: BundleConfig
) -> Float[np.ndarray, "n 4 4"]:
    """Poses that fit the tracks; depths count too where tracks have them. A view without tracks stays.

    Levenberg and Marquardt's steps, points eliminated first (Schur complement); Cauchy's loss on pixels
    and on depths, each with a scale that its own residuals give; the prior is Gaussian.
    """
    problem = _Problem(K, tracks, prior, config)
    return _descend(problem, _start(problem), _step_of_all).T_world_cam


def residuals(
    T_world_cam: Float[np.ndarray, "n 4 4"], K: Float[np.ndarray, "n 3 3"], tracks: Tracks
) -> Float[np.ndarray, " o"]:
    """Pixels between each observation and its point, placed as well as the poses allow."""
    problem = _Problem(K, tracks.without_depth(), Prior(T_world_cam, 1.0, 1.0), BundleConfig())
    _, pixels, _ = _misses(problem, _descend(problem, _start(problem), _step_of_points))
    return np.linalg.norm(pixels, axis=1)


def _start(problem: _Problem) -> _Scene:
    """Points nearest to their rays; depths count a little."""
    tracks, T = problem.tracks, problem.prior.T_world_cam[problem.tracks.view]
    homogeneous = np.pad(tracks.pixels, ((0, 0), (0, 1)), constant_values=1.0)
    in_camera = np.linalg.inv(problem.K)[tracks.view] @ homogeneous[..., None]
    ray = (T[:, :3, :3] @ in_camera)[..., 0]
    way = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    along = np.where(tracks.depth > 0, 0.1, 1e-6)  # the latter only so that parallel rays meet somewhere
    M = np.eye(3) - (1 - along)[:, None, None] * way[:, :, None] * way[:, None, :]
    target = T[:, :3, 3] + ray * tracks.depth[:, None]
    normal = _summed(M, tracks.point, tracks.count)
    right = _summed(M @ target[..., None], tracks.point, tracks.count)
    return _Scene(problem.prior.T_world_cam, np.linalg.solve(normal, right)[..., 0])


def _descend(problem: _Problem, scene: _Scene, step: Callable[[_System, Tracks, float], _Step]) -> _Scene:
    damping = 1e-3
    for _ in range(problem.config.iterations):
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


def _misses(
    problem: _Problem, scene: _Scene
) -> tuple[Float[np.ndarray, "o 3"], Float[np.ndarray, "o 2"], Float[np.ndarray, " o"]]:
    """Each point in its camera, the pixels it is off by, and the depth: 0 where none was measured."""
    tracks = problem.tracks
    T, K = scene.T_world_cam[tracks.view], problem.K[tracks.view]
    away = scene.points[tracks.point] - T[:, :3, 3]
    p = np.einsum("nji,nj->ni", T[:, :3, :3], away)
    p[:, 2] = np.where(np.abs(p[:, 2]) < 1e-6, 1e-6, p[:, 2])
    pixels = np.einsum("nij,nj->ni", K[:, :2], p / p[:, 2:]) - tracks.pixels
    return p, pixels, np.where(tracks.depth > 0, p[:, 2] - tracks.depth, 0.0)


def _scales(problem: _Problem, scene: _Scene) -> tuple[float, Float[np.ndarray, " o"]]:
    """Standard deviations of pixels and of each depth, as the residuals themselves have it."""
    _, pixels, depths = _misses(problem, scene)
    config, known = problem.config, problem.tracks.depth > 0
    unit = np.maximum(config.depth, config.depth_share * problem.tracks.depth)
    return max(config.pixel, robust_std(pixels.ravel())), unit * max(1.0, robust_std((depths / unit)[known]))


def _cost(problem: _Problem, scene: _Scene, scales: tuple[float, Float[np.ndarray, " o"]]) -> float:
    _, pixels, depths = _misses(problem, scene)
    data = cauchy_cost((pixels**2).sum(axis=1) / scales[0] ** 2) + cauchy_cost((depths / scales[1]) ** 2)
    return data + float((problem.prior.offsets(scene.T_world_cam) ** 2).sum())


def _linearised(problem: _Problem, scene: _Scene, scales: tuple[float, Float[np.ndarray, " o"]]) -> _System:
    tracks, prior, n = problem.tracks, problem.prior, len(scene.T_world_cam)
    p, pixels, depths = _misses(problem, scene)
    to_point = _gradients(problem, scene, p)
    away = scene.points[tracks.point] - scene.T_world_cam[tracks.view, :3, 3]
    to_camera = -np.concatenate([np.cross(away[:, None], to_point), to_point], axis=2)
    w = np.empty((len(p), 3))
    w[:, :2] = (cauchy_weights((pixels**2).sum(axis=1) / scales[0] ** 2) / scales[0] ** 2)[:, None]
    w[:, 2] = np.where(tracks.depth > 0, cauchy_weights((depths / scales[1]) ** 2) / scales[1] ** 2, 0.0)
    off = np.column_stack([pixels, depths])[..., None]
    weighted_camera = np.swapaxes(to_camera * w[..., None], 1, 2)
    weighted_point = np.swapaxes(to_point * w[..., None], 1, 2)
    return _System(
        cameras=_summed(weighted_camera @ to_camera, tracks.view, n) + np.diag(prior.unit**-2),
        points=_summed(weighted_point @ to_point, tracks.point, tracks.count) + 1e-9 * np.eye(3),
        between=weighted_camera @ to_point,
        slope_cameras=_summed(weighted_camera @ off, tracks.view, n)[..., 0]
        + prior.offsets(scene.T_world_cam) / prior.unit,
        slope_points=_summed(weighted_point @ off, tracks.point, tracks.count)[..., 0],
    )


def _gradients(problem: _Problem, scene: _Scene, p: Float[np.ndarray, "o 3"]) -> Float[np.ndarray, "o 3 3"]:
    """Of x, y and depth with respect to the point in the world."""
    focal = problem.K[problem.tracks.view][:, [0, 1], [0, 1]]
    in_camera = np.zeros((len(p), 3, 3))
    in_camera[:, 0, 0], in_camera[:, 1, 1] = (focal / p[:, 2:]).T
    in_camera[:, :2, 2] = -focal * p[:, :2] / p[:, 2:] ** 2
    in_camera[:, 2, 2] = 1.0
    return in_camera @ np.swapaxes(scene.T_world_cam[problem.tracks.view, :3, :3], 1, 2)


def _step_of_points(system: _System, tracks: Tracks, damping: float) -> _Step:
    damped = system.points * (1 + damping * np.eye(3))
    return np.zeros_like(system.slope_cameras), -np.linalg.solve(damped, system.slope_points[..., None])[
        ..., 0
    ]


def _step_of_all(system: _System, tracks: Tracks, damping: float) -> _Step:
    inverse = np.linalg.inv(system.points * (1 + damping * np.eye(3)))
    between = _sparse(system.between, tracks, len(system.cameras))
    reduced = _sparse(system.between @ inverse[tracks.point], tracks, len(system.cameras))
    matrix = -(reduced @ between.T).toarray()
    for i, block in enumerate(system.cameras * (1 + damping * np.eye(6))):
        matrix[6 * i : 6 * i + 6, 6 * i : 6 * i + 6] += block
    right = reduced @ system.slope_points.ravel() - system.slope_cameras.ravel()
    d_cameras = np.linalg.solve(matrix, right)
    rest = system.slope_points + (between.T @ d_cameras).reshape(-1, 3)
    return d_cameras.reshape(-1, 6), -(inverse @ rest[..., None])[..., 0]


def _sparse(blocks: Float[np.ndarray, "o 6 3"], tracks: Tracks, cameras: int) -> csr_matrix:
    """Blocks between cameras and points as one matrix."""
    rows = (6 * tracks.view[:, None] + np.arange(6))[:, :, None]
    columns = (3 * tracks.point[:, None] + np.arange(3))[:, None, :]
    where = tuple(np.broadcast_to(index, blocks.shape).ravel() for index in (rows, columns))
    return csr_matrix((blocks.ravel(), where), shape=(6 * cameras, 3 * tracks.count))


def _summed(values: Float[np.ndarray, "o a b"], index: np.ndarray, count: int) -> Float[np.ndarray, "_n a b"]:
    """Sums of the blocks with the same index."""
    flat = values.reshape(len(values), -1).T
    sums = np.stack([np.bincount(index, column, count) for column in flat], axis=1)
    return sums.reshape(count, *values.shape[1:])
