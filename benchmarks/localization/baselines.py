"""Baselines of the fusion of answers.

Each takes a session and the answers to one query, and returns its best position and the alternatives. They
refuse only if there is no point at all; the definition of confidence is stated with each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree
from torch import Tensor

from benchmarks.localization.measures import Outcome
from point2act.core.geometry import back_project, inside, project
from point2act.core.types import NoAnswer, OrientedBox, Query, Region, Support, View, ViewAnswers
from point2act.localization.heatmaps import heatmaps
from point2act.pipeline.session import Session
from point2act.splatting.gaussians import Projection
from point2act.splatting.render import draw, gather

Points = Float[np.ndarray, "k 3"]

NEAR = 0.03
"""Distance within which a point counts as agreeing, metres."""
WINDOW = 0.02
"""Bandwidth of the mean shift, metres."""
MIN_SEPARATION = 0.04
"""Smallest distance between alternatives, metres."""
ANGULAR_SCATTER = 0.02
"""Scatter of answers as an angle, radians: 6 px at a focal length of 300 px."""
NO_POINTS = NoAnswer("no_points", "no point has a depth")


# ── points in space ──────────────────────────────────────────────────────────────────────────────
def one_view(session: Session, pixels: ViewAnswers, query: Query) -> Outcome:
    """Return the back-projection of a single answer: the middle one in the order of views."""
    points = back_projected(session, pixels)
    return NO_POINTS_OUTCOME if len(points) == 0 else (_region(points[len(points) // 2], 1.0), ())


def reduce_points(place: Callable[[Points], Float[np.ndarray, " 3"]]) -> Callable[..., Outcome]:
    """Return a method that reduces points to one; confidence is the fraction of points near it."""

    def method(session: Session, pixels: ViewAnswers, query: Query) -> Outcome:
        points = back_projected(session, pixels)
        if len(points) == 0:
            return NO_POINTS_OUTCOME
        best = place(points)
        return (_region(best, float(np.mean(np.linalg.norm(points - best, axis=1) < NEAR))), ())

    return method


def back_projected(session: Session, pixels: ViewAnswers) -> Points:
    """Back-project the answers by the measured depth, or by the rendered depth where there is none."""
    found = []
    for view, surface, named in zip(session.views, session.surfaces, pixels, strict=True):
        for pixel in () if named is None else named:
            column, row = np.minimum(pixel.astype(int), [view.camera.width - 1, view.camera.height - 1])
            depth = 0.0 if view.depth is None else float(view.depth[row, column])
            depth = depth or float(surface.depth[row, column])
            if depth > 0:
                found.append(back_project(view.camera, view.T_world_cam, pixel[None], np.array([depth]))[0])
    return np.array(found).reshape(-1, 3)


def mean(points: Points) -> Float[np.ndarray, " 3"]:
    """Return the mean."""
    return points.mean(axis=0)


def geometric_median(points: Points) -> Float[np.ndarray, " 3"]:
    """Return the point with the least sum of distances, by Weiszfeld's algorithm."""
    place = np.median(points, axis=0)
    for _ in range(100):
        weight = 1 / np.maximum(np.linalg.norm(points - place, axis=1), 1e-6)
        place = weight @ points / weight.sum()
    return place


def mean_shift_mode(points: Points) -> Float[np.ndarray, " 3"]:
    """Return the mode of a Gaussian kernel density of 2 cm, by mean shift from every point."""

    def weights(places: Points) -> Float[np.ndarray, "k n"]:
        return np.exp(-0.5 * ((places[:, None] - points[None]) ** 2).sum(axis=2) / WINDOW**2)

    places = points.copy()
    for _ in range(50):
        pull = weights(places)
        places = pull @ points / pull.sum(axis=1, keepdims=True)
    return places[weights(places).sum(axis=1).argmax()]


# ── rays ─────────────────────────────────────────────────────────────────────────────────────────
def triangulation(session: Session, pixels: ViewAnswers, query: Query) -> Outcome:
    """Triangulate the answers' rays robustly; confidence is the fraction of inlier rays."""
    centers, directions = rays(session.views, pixels)
    if len(centers) < 2:
        return NO_POINTS_OUTCOME
    best = triangulate(centers, directions)
    return (_region(best, float(np.mean(_angles(best, centers, directions) < 2.5 * ANGULAR_SCATTER))), ())


def rays(views: Sequence[View], pixels: ViewAnswers) -> tuple[Points, Points]:
    """Return the camera centres and unit directions of all answers."""
    centers, directions = [], []
    for view, named in zip(views, pixels, strict=True):
        for pixel in () if named is None else named:
            center = view.T_world_cam[:3, 3]
            direction = back_project(view.camera, view.T_world_cam, pixel[None], np.ones(1))[0] - center
            centers.append(center)
            directions.append(direction / np.linalg.norm(direction))
    return np.array(centers).reshape(-1, 3), np.array(directions).reshape(-1, 3)


def triangulate(centers: Points, directions: Points) -> Float[np.ndarray, " 3"]:
    """Return the best intersection of two rays under a robust cost, refined by reweighted least squares."""
    pairs = [
        _meet(centers[[i, j]], directions[[i, j]], np.ones(2))
        for i, j in combinations(range(len(centers)), 2)
    ]
    costs = [np.log1p((_angles(point, centers, directions) / ANGULAR_SCATTER) ** 2).sum() for point in pairs]
    point = pairs[int(np.argmin(costs))]
    for _ in range(30):
        # Angular residuals with Cauchy weights.
        weight = 1 / (1 + (_angles(point, centers, directions) / ANGULAR_SCATTER) ** 2)
        point = _meet(centers, directions, weight / np.sum((point - centers) ** 2, axis=1))
    return point


def _meet(centers: Points, directions: Points, weight: Float[np.ndarray, " k"]) -> Float[np.ndarray, " 3"]:
    """Return the point with the least weighted sum of squared distances to rays, with a ridge term."""
    across = weight[:, None, None] * (np.eye(3) - directions[:, :, None] * directions[:, None, :])
    right = np.einsum("kij,kj->i", across, centers)
    ridge = 1e-9 * weight.sum() * np.eye(3)
    return np.linalg.solve(across.sum(axis=0) + ridge, right)


def _angles(point: Float[np.ndarray, " 3"], centers: Points, directions: Points) -> Float[np.ndarray, " k"]:
    """Return the angle between each ray and the direction to the point, radians."""
    to = point - centers
    return np.arctan2(np.linalg.norm(np.cross(to, directions), axis=1), (to * directions).sum(axis=1))


# ── relevancy on Gaussians ───────────────────────────────────────────────────────────────────────
def plain_lifting(session: Session, asked: Sequence[ViewAnswers]) -> list[Outcome]:
    """Average the heatmaps for each Gaussian, weighted by its contribution to the pixels, in one pass.

    Confidence is the relevancy at the peak, here as in ``trained_by_adam``.
    """
    hits = total = torch.zeros(len(session.scene), len(asked))
    for projection, heat, answered in _heatmaps_by_view(session, asked):
        sums, weight = gather(projection, heat)
        hits, total = hits + sums, total + weight[:, None] * answered
    values = torch.where(total > _MIN_CONTRIBUTION, hits / total, 0.0)
    return [_peaks(session, column) for column in values.double().numpy().T]


def trained_by_adam(session: Session, asked: Sequence[ViewAnswers], *, steps: int = 500) -> list[Outcome]:
    """Train a relevancy for each Gaussian and query so that its rendering is the heatmap, as in Point2Act.

    One view per step, squared error, all queries at once. The geometry is constant, so drawing and gathering
    are the forward and the backward pass of the rendering.
    """
    shown = list(_heatmaps_by_view(session, asked))
    logits = torch.full((len(session.scene), len(asked)), -4.0, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.02)  # the best of 0.02 and 0.1, of initial values -4 and 0
    rng = np.random.default_rng(0)
    for _ in range(steps):
        projection, heat, answered = shown[rng.integers(len(shown))]
        relevancy = torch.sigmoid(logits.detach())
        off = (draw(projection, relevancy).features - heat) * answered
        logits.grad = gather(projection, off)[0] * relevancy * (1 - relevancy)
        optimizer.step()
    light = sum((gather(projection, heat[..., :1])[1] for projection, heat, _ in shown), start=torch.zeros(1))
    values = torch.where(light[:, None] > _MIN_TRAINED_CONTRIBUTION, torch.sigmoid(logits.detach()), 0.0)
    return [_peaks(session, column) for column in values.double().numpy().T]


_MIN_CONTRIBUTION = 1.0
"""Smallest contribution of a Gaussian to all views, pixels; others count as unseen."""
_MIN_TRAINED_CONTRIBUTION = 30.0
"""The same for Adam, whose steps of constant size train noise: with 1 a third less is right."""


def _heatmaps_by_view(
    session: Session, asked: Sequence[ViewAnswers]
) -> Iterator[tuple[Projection, Tensor, Tensor]]:
    """Yield projections, heatmaps of all queries, and which queries have an answer there."""
    for number, projection in enumerate(session.projections):
        named = [pixels[number] for pixels in asked]
        answered = torch.tensor([float(one is not None) for one in named])
        if answered.any():
            yield projection, torch.from_numpy(heatmaps(projection.camera, named)), answered


def _peaks(session: Session, relevancy: Float[np.ndarray, " n"]) -> Outcome:
    """Return the weighted centre of values over 80 % of the peak within 3 cm of it, and alternatives."""
    surface = _surface(session)
    return surface.ranked(surface.neighbours @ relevancy[surface.index], top=0.8, within=NEAR)


# ── hypotheses on the surface ────────────────────────────────────────────────────────────────────
def mean_with_prior(session: Session, pixels: ViewAnswers, query: Query) -> Outcome:
    """Average the heatmaps over visible views, with a prior of five empty views (method A)."""
    surface = _surface(session)
    hits, total = np.zeros(len(surface.points)), np.full(len(surface.points), 5.0)
    for number, named in enumerate(pixels):
        if named is not None:
            total += surface.visible[number]
            for pixel in named:
                squared = ((surface.pixels[number] - pixel) ** 2).sum(axis=1)
                hits += surface.visible[number] * np.exp(-0.5 * squared / surface.scatter(0.04) ** 2)
    return surface.ranked(surface.neighbours @ (hits / total), top=0.8, within=NEAR)


def surface_mixture(session: Session, pixels: ViewAnswers, query: Query) -> Outcome:
    """Return the posterior over surface points under a mixture of right, wrong and hidden answers (method B).

    Confidence is the posterior mass near the point.
    """
    if not any(named is not None and len(named) for named in pixels):
        return NO_POINTS_OUTCOME
    surface = _surface(session)
    likelihood = np.logaddexp.reduce([surface.explain(pixels, radius) for radius in _RADII], axis=0)
    posterior = np.exp(_TEMPER * (likelihood - likelihood.max()))
    posterior = surface.neighbours @ (np.where(surface.on_table, _ON_TABLE, 1.0) * posterior)
    return surface.ranked(posterior / posterior.sum(), top=0.0, within=0.025, mass=True)


_RADII = (0.008, 0.015, 0.028)
_WRONG = np.array([0.1, 0.3, 0.5, 0.7])[:, None]
_MISSED, _THOUGH_HIDDEN, _TEMPER = 0.15, 0.6, 0.5
_ON_TABLE = 0.1
"""Prior weight of a point on the table."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Candidate points on the surface, 5 mm apart, and their projections into each view."""

    points: Points
    index: np.ndarray
    """Indices of the Gaussians with these centres."""
    neighbours: csr_matrix
    """Matrix that averages over 8 mm."""
    on_table: np.ndarray
    pixels: Float32[np.ndarray, "v n 2"]
    depths: Float32[np.ndarray, "v n"]
    visible: Float32[np.ndarray, "v n"]
    focal: float
    size: tuple[int, int]

    def scatter(self, angle: float) -> float:
        """Return an angle in pixels."""
        return angle * self.focal

    def explain(self, pixels: ViewAnswers, radius: float) -> np.ndarray:
        """Return the log-likelihood of all answers for each point as the centre of a part of this radius."""
        background = 1 / (self.size[0] * self.size[1])
        total = np.zeros((len(_WRONG), len(self.points)), dtype=np.float32)
        for number, named in enumerate(pixels):
            if named is None:
                continue
            seen = self.visible[number]
            if len(named) == 0:
                total += np.log(seen * _MISSED + (1 - seen) * (1 - _THOUGH_HIDDEN))
                continue
            variance = 5.0**2 + (self.focal * radius / np.maximum(self.depths[number], 0.05)) ** 2
            squared = ((self.pixels[number] - named[0].astype(np.float32)) ** 2).sum(axis=1)
            near = np.exp(-0.5 * squared / variance) / (2 * np.pi * variance)
            meant = (1 - _WRONG) * near + _WRONG * background
            total += np.log(seen * (1 - _MISSED) * meant + (1 - seen) * _THOUGH_HIDDEN * background)
        return np.logaddexp.reduce(total.astype(np.float64), axis=0)

    def ranked(self, values: np.ndarray, *, top: float, within: float, mass: bool = False) -> Outcome:
        """Return up to three centres around the peaks; confidence is the value there, or the mass."""
        if len(values) == 0 or values.max() <= 0:
            return NO_POINTS_OUTCOME
        places: list[Region] = []
        free = np.ones(len(values), dtype=bool)
        while len(places) < 3 and free.any():
            peak = int(np.where(free, values, -1.0).argmax())
            far = np.linalg.norm(self.points - self.points[peak], axis=1)
            about = (far <= within) & (values >= top * values[peak])
            center = np.average(self.points[about], axis=0, weights=np.maximum(values[about], 1e-30))
            sure = values[about].sum() if mass else values[peak]
            places.append(_region(center, float(np.clip(sure, 0.0, 1.0))))
            free &= far > MIN_SEPARATION
        return places[0], tuple(places[1:])


@lru_cache(maxsize=1)
def _surface(session: Session) -> Surface:
    """Return the surface of a session; sessions do not change."""
    solid = np.flatnonzero(session.scene.opacities > 0.1)
    cells = np.floor(session.scene.means[solid] / 0.005).astype(int)
    index = solid[np.unique(cells, axis=0, return_index=True)[1]]
    points = session.scene.means[index]
    pixels, depths, visible = [], [], []
    for view, drawn in zip(session.views, session.surfaces, strict=True):
        xy, z = project(view.camera, view.T_world_cam, points)
        shown = (z > 0) & inside(view.camera, xy)
        column, row = np.where(shown[:, None], xy, 0).astype(int).T
        behind = z - drawn.depth[row, column]
        # Visible up to 1 cm behind the rendered surface, hidden from 2 cm on.
        visible.append(np.where(shown, np.clip(2 - behind / 0.01, 0, 1), 0))
        pixels.append(xy)
        depths.append(z)
    camera = session.views[0].camera
    return Surface(
        points=points,
        index=index,
        neighbours=_averages(points, 0.008),
        on_table=_on_plane(points),
        pixels=np.array(pixels, dtype=np.float32),
        depths=np.array(depths, dtype=np.float32),
        visible=np.array(visible, dtype=np.float32),
        focal=camera.fx,
        size=(camera.width, camera.height),
    )


def _averages(points: Points, radius: float) -> csr_matrix:
    """Return a matrix that replaces each value by the mean over the points within a radius."""
    i, j = KDTree(points).query_pairs(radius, output_type="ndarray").T
    own = np.arange(len(points))
    rows, columns = np.concatenate([i, j, own]), np.concatenate([j, i, own])
    weight = 1 / np.bincount(rows, minlength=len(points))
    return csr_matrix((weight[rows], (rows, columns)), shape=(len(points),) * 2)


def _on_plane(points: Points) -> np.ndarray:
    """Return the points within 6 mm of the dominant plane, the table."""
    rng = np.random.default_rng(0)
    best = np.zeros(len(points), dtype=bool)
    for _ in range(200):
        a, b, c = points[rng.integers(len(points), size=3)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length > 1e-6:
            near = np.abs((points - a) @ normal) < 0.006 * length
            best = near if near.sum() > best.sum() else best
    return best


# ── registry ─────────────────────────────────────────────────────────────────────────────────────
def _region(point: Float[np.ndarray, " 3"], confidence: float) -> Region:
    return Region(point, confidence, Support(0, 0, 0), OrientedBox(point, np.eye(3), np.full(3, 0.01)))


NO_POINTS_OUTCOME: Outcome = (NO_POINTS, ())

ONE_BY_ONE: dict[str, Callable[[Session, ViewAnswers, Query], Outcome]] = {
    "one view": one_view,
    "mean": reduce_points(mean),
    "geometric median": reduce_points(geometric_median),
    "mean-shift mode": reduce_points(mean_shift_mode),
    "triangulated rays": triangulation,
    "mean with prior (A)": mean_with_prior,
    "surface mixture (B)": surface_mixture,
}
TOGETHER: dict[str, Callable[[Session, Sequence[ViewAnswers]], list[Outcome]]] = {
    "plain lifting": plain_lifting,
    "trained by Adam": trained_by_adam,
}
