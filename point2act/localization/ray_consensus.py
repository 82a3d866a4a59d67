"""Where answers meet beside the surface they were meant for: doubting depth that is not where it seems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import to_tangents
from point2act.core.types import View

# Gauss-Newton settles in three or four steps; the Cauchy weights take a few more.
_STEPS = 12


@dataclass(frozen=True)
class DoubtConfig:
    """When the surface is overruled by the rays of the answers. Angles are seen from the cameras, radians."""

    beside: float = 0.0175
    """The surface is doubted when the answers meet so far beside it: one degree ..."""
    better: float = 10.0
    """... and there lie this much closer together than chance would have them, by the F statistic ..."""
    trust_surface: float = 0.02
    """... and then trusted only so far: what the rays of the answers put further off (1 cm at half a metre)
    is more likely a misplaced surface, as of a depth camera that is not registered to the colour camera."""
    near: float = 0.1
    """An answer further than this from a place does not mean it: 2.5 times the heatmaps' width."""


def meeting_point(
    surface: Float[np.ndarray, "3"],
    rays: Rays,
    *,
    distance: float,
    sigma: float,
    config: DoubtConfig = DoubtConfig(),
) -> Float[np.ndarray, "3"]:
    """A point on the surface, or where the answers that mean it clearly meet beside it, between the two.

    Both have Cauchy costs, the rays by angle and the surface by distance: near the surface its place
    holds, a surface that the images contradict is overruled. Such costs have several minima; one is
    looked for from the surface, one from where the rays want to be, and the lower one is taken. ``distance``
    is how far the cameras are, ``sigma`` the standard deviation of an answer as an angle.
    """
    tight = _Compromise(surface, config.trust_surface * distance, rays, sigma, config.near)
    meeting = replace(tight, scale=config.near * distance).settle(surface)
    far = float(np.linalg.norm(meeting - surface)) > config.beside * distance
    if not far or _preference(rays, meeting, surface, config.near) < config.better:
        return surface
    return min((tight.settle(start) for start in (surface, meeting)), key=tight.cost)


def _preference(
    rays: Rays, meeting: Float[np.ndarray, "3"], surface: Float[np.ndarray, "3"], near: float
) -> float:
    """How much better than chance a free point fits the rays that mean a place: the F statistic."""
    fixed, free = (rays.angles(point)[0] for point in (surface, meeting))
    meant = np.linalg.norm(fixed, axis=1) < near
    unknowns, known = 3, 2 * int(meant.sum())
    if known <= unknowns:
        return 0.0
    left, gained = (free[meant] ** 2).sum(), (fixed[meant] ** 2).sum() - (free[meant] ** 2).sum()
    return float(gained / unknowns / max(left / (known - unknowns), 1e-12))


@dataclass(frozen=True, eq=False)
class _Compromise:
    """Between a point on the surface and the rays of answers, those within ``near`` of it."""

    surface: Float[np.ndarray, "3"]
    scale: float
    """Of the distance from the surface, in world units."""
    rays: Rays
    sigma: float
    near: float

    def cost(self, point: Float[np.ndarray, "3"]) -> float:
        """The sum of Cauchy costs; a ray that means another place costs what one at the limit does."""
        squared = np.minimum((self.rays.angles(point)[0] ** 2).sum(axis=1), self.near**2)
        away = np.sum((point - self.surface) ** 2)
        return float(np.log1p(away / self.scale**2) + np.log1p(squared / self.sigma**2).sum())

    def settle(self, point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
        """A minimum of the cost, by Gauss-Newton with Cauchy's weights."""
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
    """The answers of all views that named a pixel, as rays."""

    T_cam_world: Float[np.ndarray, "v 4 4"]
    tangents: Float[np.ndarray, "v m 2"]
    """x/z, y/z of every answer; infinite where a view has fewer than m."""

    @staticmethod
    def of(views: Sequence[View], answers: Sequence[Float[np.ndarray, "_ 2"] | None]) -> Rays:
        """The rays of all answers that named a pixel."""
        spoken = [(v, a) for v, a in zip(views, answers, strict=True) if a is not None and len(a) > 0]
        tangents = np.full((len(spoken), max(len(answer) for _, answer in spoken), 2), np.inf)
        for row, (view, answer) in zip(tangents, spoken, strict=True):
            row[: len(answer)] = to_tangents(view.camera, answer)
        return Rays(np.array([view.T_cam_world for view, _ in spoken]), tangents)

    def angles(
        self, point: Float[np.ndarray, "3"]
    ) -> tuple[Float[np.ndarray, "v 2"], Float[np.ndarray, "v 2 3"]]:
        """The way from the point to each view's nearest answer, and how the point's x/z, y/z change with it.

        Infinite where the point is behind the camera.
        """
        rotation = self.T_cam_world[:, :3, :3]
        local = rotation @ point + self.T_cam_world[:, :3, 3]
        z = np.where(local[:, 2] > 0, local[:, 2], np.nan)[:, None]
        seen_at = local[:, :2] / z
        ways = self.tangents - seen_at[:, None]
        nearest = (ways**2).sum(axis=2).argmin(axis=1)
        residual = np.nan_to_num(ways[np.arange(len(ways)), nearest], nan=np.inf)
        J = (rotation[:, :2] - seen_at[:, :, None] * rotation[:, 2:]) / z[:, None]
        return residual, J
