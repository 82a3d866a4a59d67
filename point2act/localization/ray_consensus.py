"""Outlier rejection of depth: where the rays of the answers intersect away from the surface they hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import to_tangents
from point2act.core.types import View, ViewAnswers

# Gauss-Newton converges in three or four steps; the Cauchy weights take a few more.
_STEPS = 12


@dataclass(frozen=True)
class RayConsensusConfig:
    """When the rays of the answers overrule the surface. Angles are seen from the cameras, radians."""

    min_offset: float = 0.0175
    """Minimum angle between surface point and ray intersection to overrule the surface: one degree."""
    min_f_statistic: float = 10.0
    """Minimum F statistic of the intersection against the surface point."""
    trust_surface: float = 0.02
    """Scale of the Cauchy cost of leaving the surface once it is overruled: 1 cm at 0.5 m."""
    # Further off, a depth camera that is not registered to the colour camera is more likely.
    max_angle: float = 0.1
    """Angle beyond which an answer does not refer to a place: 2.5 times the width of heatmaps."""


def ray_consensus_point(
    surface: Float[np.ndarray, "3"],
    rays: Rays,
    *,
    distance: float,
    sigma: float,
    config: RayConsensusConfig = RayConsensusConfig(),
) -> Float[np.ndarray, "3"]:
    """Return a point on the surface, or the compromise with rays that clearly intersect elsewhere.

    Minimises over points x, with angles e_v(x) to the answers that refer to it,

        log(1 + |x - x_surface|^2 / scale^2) + sum_v log(1 + |e_v(x)|^2 / sigma^2)

    by Gauss-Newton with Cauchy weights, from the surface and from the intersection; the lower minimum wins.

    Args:
        surface: Point on the surface, world.
        rays: Rays of all answers.
        distance: Distance of the cameras, world units.
        sigma: Standard deviation of an answer as an angle, radians.
    """
    tight = _Compromise(surface, config.trust_surface * distance, rays, sigma, config.max_angle)
    intersection = replace(tight, scale=config.max_angle * distance).settle(surface)
    far = float(np.linalg.norm(intersection - surface)) > config.min_offset * distance
    if not far or _f_statistic(rays, intersection, surface, config.max_angle) < config.min_f_statistic:
        return surface
    return min((tight.settle(start) for start in (surface, intersection)), key=tight.cost)


def _f_statistic(
    rays: Rays, intersection: Float[np.ndarray, "3"], surface: Float[np.ndarray, "3"], near: float
) -> float:
    """Return the F statistic of a free point against the surface point for the rays that refer to it."""
    fixed, free = (rays.angles(point)[0] for point in (surface, intersection))
    meant = np.linalg.norm(fixed, axis=1) < near
    unknowns, known = 3, 2 * int(meant.sum())
    if known <= unknowns:
        return 0.0
    left, gained = (free[meant] ** 2).sum(), (fixed[meant] ** 2).sum() - (free[meant] ** 2).sum()
    return float(gained / unknowns / max(left / (known - unknowns), 1e-12))


@dataclass(frozen=True, eq=False)
class _Compromise:
    """Cost of a point between a surface point and the rays of answers within ``near`` of it."""

    surface: Float[np.ndarray, "3"]
    scale: float
    """Scale of the distance from the surface, world units."""
    rays: Rays
    sigma: float
    near: float

    def cost(self, point: Float[np.ndarray, "3"]) -> float:
        """Return the sum of Cauchy costs; rays that refer to another place are clipped at the limit."""
        squared = np.minimum((self.rays.angles(point)[0] ** 2).sum(axis=1), self.near**2)
        away = np.sum((point - self.surface) ** 2)
        return float(np.log1p(away / self.scale**2) + np.log1p(squared / self.sigma**2).sum())

    def settle(self, point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """Minimise the cost by Gauss-Newton with Cauchy weights."""
        for _ in range(_STEPS):
            away = self.surface - point
            prior = 1 / (self.scale**2 + away @ away)
            residual, J = self.rays.angles(point)
            squared = (residual**2).sum(axis=1)
            meant = squared <= self.near**2
            residual, J, weight = residual[meant], J[meant], 1 / (self.sigma**2 + squared[meant])
            normal = prior * np.eye(3) + np.einsum("v,vij,vik->jk", weight, J, J)
            point = point + np.linalg.solve(
                normal, prior * away + np.einsum("v,vij,vi->j", weight, J, residual)
            )
        return point


@dataclass(frozen=True, eq=False)
class Rays:
    """Answers of all views with a point, as rays."""

    T_cam_world: Float[np.ndarray, "v 4 4"]
    tangents: Float[np.ndarray, "v m 2"]
    """x/z, y/z of every answer; infinite if a view has fewer than m."""

    @staticmethod
    def of(views: Sequence[View], answers: ViewAnswers) -> Rays:
        """Return the rays of all answers with a point."""
        spoken = [(v, a) for v, a in zip(views, answers, strict=True) if a is not None and len(a) > 0]
        tangents = np.full((len(spoken), max(len(answer) for _, answer in spoken), 2), np.inf)
        for row, (view, answer) in zip(tangents, spoken, strict=True):
            row[: len(answer)] = to_tangents(view.camera, answer)
        return Rays(np.array([view.T_cam_world for view, _ in spoken]), tangents)

    def angles(
        self, point: Float[np.ndarray, "3"]
    ) -> tuple[Float[np.ndarray, "v 2"], Float[np.ndarray, "v 2 3"]]:
        """Return the offset to each view's nearest answer, and the Jacobian of the point's x/z, y/z.

        Infinite if the point is behind the camera.
        """
        rotation = self.T_cam_world[:, :3, :3]
        local = rotation @ point + self.T_cam_world[:, :3, 3]
        z = np.where(local[:, 2] > 0, local[:, 2], np.nan)[:, None]
        seen_at = local[:, :2] / z
        offsets = self.tangents - seen_at[:, None]
        nearest = (offsets**2).sum(axis=2).argmin(axis=1)
        residual = np.nan_to_num(offsets[np.arange(len(offsets)), nearest], nan=np.inf)
        J = (rotation[:, :2] - seen_at[:, :, None] * rotation[:, 2:]) / z[:, None]
        return residual, J
