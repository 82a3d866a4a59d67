"""Consensus of the answers of several views without a scene: where to ask again (zoom). numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.geometry import back_project, inside
from point2act.core.types import View, ViewAnswers

# Mean shift converges in a few steps.
_STEPS = 20
# Maximum number of candidates: 24 views with depth and many points, or all pairs of 45 rays.
_MAX_CANDIDATES = 1000
# Regularisation of directions that no ray constrains.
_RIDGE = 1e-9


@dataclass(frozen=True)
class ConsensusConfig:
    """When answers refer to one place. Angles are seen from the cameras, radians."""

    kernel_width: float = 0.06
    """Standard deviation of the kernel of an answer: 3 cm at 0.5 m."""
    # The best of 0.03, 0.045 and 0.06 on the tables that benchmarks are tuned on.
    depth_weight: float = 0.5
    """Weight of distance along a ray relative to distance across it."""
    # A point beside a thin part has the depth of what is behind. The best of 0.25, 0.35 and 0.5.
    patch: float = 0.007
    """Radius of the patch whose median depth an answer takes: 2 px at f = 300."""
    max_angle: float = 0.1
    """Angle beyond which an answer does not refer to a place, as in ``RayConsensusConfig``."""
    min_agree: int = 3
    """Minimum number of agreeing views."""
    min_fraction: float = 0.25
    """Minimum fraction of agreeing views among those with a point."""
    # Both chosen: two rays intersect anywhere.


@dataclass(frozen=True, eq=False)
class Consensus:
    """A place that several views refer to."""

    point: Float[np.ndarray, " 3"]
    """Position, world."""
    scatter: float
    """Standard deviation of the answers across the rays, world units."""
    agrees: Bool[np.ndarray, " v"]
    """Views that agree."""


def find_consensus(
    views: Sequence[View], answers: ViewAnswers, *, config: ConsensusConfig = ConsensusConfig()
) -> Consensus | None:
    """Return the place that most views refer to, or None if too few agree.

    An answer is a point if its view has depth there, else a ray. Candidates are those points and the pairwise
    intersections of rays; each view votes once, by its answer nearest to a candidate. The best candidate is
    refined by mean shift (Comaniciu and Meer 2002). Deterministic, in any unit of length.

    Args:
        answers: Pixels answered in every view; empty for "not visible", None if not asked.
    """
    found = _collect(views, answers, config)
    if len(np.unique(found.view)) < config.min_agree:
        return None
    places = found.candidates()
    if len(places) == 0:
        return None
    votes = np.exp(-0.5 * (found.by_view(found.off(places)) / config.kernel_width) ** 2).sum(axis=1)
    point = found.settle(places[int(votes.argmax())], config.kernel_width)
    near = found.by_view(found.off(point[None]))[0] < config.max_angle
    if near.sum() < max(config.min_agree, config.min_fraction * len(near)):
        return None
    agrees = np.zeros(len(views), dtype=bool)
    agrees[np.unique(found.view)[near]] = True
    return Consensus(point, found.scatter(point, near), agrees)


@dataclass(frozen=True, eq=False)
class _Answers:
    """All answers with a point, sorted by view."""

    view: Int[np.ndarray, " k"]
    """Index of the view, ascending."""
    eye: Float[np.ndarray, "k 3"]
    """Camera centre."""
    direction: Float[np.ndarray, "k 3"]
    """Unit direction of the ray."""
    anchor: Float[np.ndarray, "k 3"]
    """Point with depth on the ray, or the camera centre without depth."""
    along: Float[np.ndarray, " k"]
    """Weight of distance along the ray; 0 without depth."""

    def across(self, places: Float[np.ndarray, "c 3"]) -> Float[np.ndarray, "c k 3"]:
        """Return the offsets from all rays to places, perpendicular to the rays."""
        to = places[:, None] - self.eye
        return to - (to * self.direction).sum(axis=2, keepdims=True) * self.direction

    def off(self, places: Float[np.ndarray, "c 3"]) -> Float[np.ndarray, "c k"]:
        """Return the distance of places from answers as angles; infinite behind the camera."""
        to = places[:, None] - self.eye
        far = (to * self.direction).sum(axis=2)
        beyond = self.along * ((places[:, None] - self.anchor) * self.direction).sum(axis=2)
        off = np.hypot(np.linalg.norm(self.across(places), axis=2), beyond)
        return np.where(far > 0, off / np.where(far > 0, far, 1.0), np.inf)

    def by_view(self, off: Float[np.ndarray, "c k"]) -> Float[np.ndarray, "c s"]:
        """Return the minimum over the answers of each view."""
        first = np.flatnonzero(np.diff(self.view, prepend=-1))
        return np.minimum.reduceat(off, first, axis=1)

    def scatter(self, point: Float[np.ndarray, "3"], near: Bool[np.ndarray, " s"]) -> float:
        """Return the standard deviation across near rays: the median of a 2D normal is 1.18 sigma."""
        across = self.by_view(np.linalg.norm(self.across(point[None]), axis=2))[0]
        return float(np.median(across[near]) / np.sqrt(2 * np.log(2)))

    def candidates(self) -> Float[np.ndarray, "c 3"]:
        """Return candidates: points with depth, and pairwise intersections of rays of different views."""
        rays = np.flatnonzero(self.along == 0)
        one, other = (rays[index] for index in np.triu_indices(len(rays), 1))
        different = self.view[one] != self.view[other]
        pairs = np.stack([one[different], other[different]], axis=1)
        pairs = pairs[:: 1 + len(pairs) // _MAX_CANDIDATES]
        met = self.nearest(pairs, np.ones(pairs.shape))
        lifted = self.anchor[self.along > 0]
        return np.concatenate([lifted[:: 1 + len(lifted) // _MAX_CANDIDATES], met])

    def nearest(
        self, chosen: Int[np.ndarray, "*b m"], weight: Float[np.ndarray, "*b m"]
    ) -> Float[np.ndarray, "*b 3"]:
        """Return the points with the minimum weighted sum of squared distances to some answers each."""
        direction, held = self.direction[chosen], 1 - self.along[chosen] ** 2
        across = np.eye(3) - held[..., None, None] * direction[..., :, None] * direction[..., None, :]
        across = (weight / weight.sum(axis=-1, keepdims=True))[..., None, None] * across
        middle = self.anchor[chosen].mean(axis=-2)
        pull = np.einsum("...kij,...kj->...i", across, self.anchor[chosen] - middle[..., None, :])
        held_by_all = across.sum(axis=-3) + _RIDGE * np.eye(3)
        return middle + np.linalg.solve(held_by_all, pull[..., None])[..., 0]

    def settle(self, place: Float[np.ndarray, "3"], width: float) -> Float[np.ndarray, " 3"]:
        """Move to the nearest mode by mean shift with a Gaussian kernel, one answer per view."""
        for _ in range(_STEPS):
            off = self.off(place[None])
            nearest = off[0] == np.repeat(self.by_view(off)[0], np.unique(self.view, return_counts=True)[1])
            weight = np.where(nearest, np.exp(-0.5 * (off[0] / width) ** 2), 0.0)
            if weight.sum() < 1e-6:
                return place
            range_squared = ((place - self.eye) ** 2).sum(axis=1)
            place = self.nearest(np.arange(len(weight)), weight / range_squared)
        return place


def _collect(views: Sequence[View], answers: ViewAnswers, config: ConsensusConfig) -> _Answers:
    columns = [(np.zeros(0, dtype=int), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))]
    for number, (view, pixels) in enumerate(zip(views, answers, strict=True)):
        if pixels is None or len(pixels) == 0:
            continue
        eye = np.repeat(view.T_world_cam[None, :3, 3], len(pixels), axis=0)
        depth = np.array([_depth_at(view, pixel, config.patch) for pixel in pixels])
        ray = back_project(view.camera, view.T_world_cam, pixels, np.ones(len(pixels))) - eye
        direction = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        along = np.where(depth > 0, config.depth_weight, 0.0)
        columns.append((np.full(len(pixels), number), eye, direction, eye + depth[:, None] * ray, along))
    return _Answers(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _depth_at(view: View, pixel: Float[np.ndarray, "2"], patch: float) -> float:
    """Return the median of the depths around a pixel; 0 without any."""
    if view.depth is None or not inside(view.camera, pixel[None])[0]:
        return 0.0
    radius = patch * view.camera.fx
    left, top = np.maximum(np.floor(pixel - radius), 0).astype(int)
    right, bottom = np.floor(pixel + radius).astype(int) + 1
    near = view.depth[top:bottom, left:right]
    near = near[near > 0]
    return float(np.median(near)) if len(near) else 0.0
