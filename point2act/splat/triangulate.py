"""Points of the scene from photographs with known poses: features, guided matches, triangulation.

With known poses a match lies on a known line, so there is nothing to estimate robustly: mutual nearest
descriptors along the epipolar lines make tracks, and least squares makes points. A point stays when
three or more views see it within a few pixels and from directions that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from point2act.geometry import invert, project
from point2act.types import View

_MAX_FEATURES = 2000
"""A view. More cost time and are weaker."""

_CONTRAST = 0.02
"""COLMAP's threshold in OpenCV's unit: half of OpenCV's default, twice the points."""

_PARTNERS = 8
"""Nearest views that each view is matched with."""

_RATIO = 0.8
"""Best over second best descriptor distance along the line (Lowe 2004)."""

_MAX_DISTANCE = 0.7
"""Between unit RootSIFT descriptors; COLMAP's default."""

_MAX_ERROR = 1 / 160
"""Of the longer side, from the epipolar line and from the projected point: 3 pixels of 480."""

_MIN_VIEWS = 3
"""Two views agree along their epipolar line by chance; a third one rarely does."""

_MIN_ANGLE = np.radians(1.5)
"""Between two rays of a point, COLMAP's default: less tells no depth."""


@dataclass(frozen=True, eq=False)
class Features:
    """Keypoints of one view."""

    pixels: Float[np.ndarray, "n 2"]
    descriptors: Float[np.ndarray, "n 128"]
    """RootSIFT, unit length (Arandjelovic and Zisserman 2012)."""
    colors: Float[np.ndarray, "n 3"]


@dataclass(frozen=True, eq=False)
class Observations:
    """Where points were seen: one row a keypoint."""

    track: Int[np.ndarray, " m"]
    view: Int[np.ndarray, " m"]
    pixels: Float[np.ndarray, "m 2"]
    colors: Float[np.ndarray, "m 3"]

    def __getitem__(self, chosen: np.ndarray) -> Observations:
        return Observations(self.track[chosen], self.view[chosen], self.pixels[chosen], self.colors[chosen])


def triangulate(
    views: Sequence[View], *, progress: Callable[[int, int], None] | None = None
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """World points of SIFT features that three or more views agree on, and their colours in [0, 1].

    Views are undistorted; their poses are taken as they are. Masked pixels are left out. There may be no
    points at all: too few views, too little texture, wrong poses.
    """
    pairs = neighbouring_pairs(views)
    total = len(views) + len(pairs)
    features, matches = [], []
    for view in views:
        features.append(detect(view))
        if progress is not None:
            progress(len(features), total)
    for i, j in pairs:
        matches.append(match(features[i], features[j], views[i], views[j]))
        if progress is not None:
            progress(len(views) + len(matches), total)
    return solve(tracks(features, pairs, matches, views), views)


def detect(view: View) -> Features:
    """SIFT features (Lowe 2004) where the mask allows, the strongest first."""
    gray = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY)
    allowed = np.ones(gray.shape, np.uint8) if view.mask is None else view.mask.astype(np.uint8)
    # Without its precise upscale OpenCV's keypoints lie a quarter of a pixel too far right and down.
    sift = cv2.SIFT.create(_MAX_FEATURES, contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    keypoints, descriptors = sift.detectAndCompute(gray, allowed)
    if len(keypoints) == 0:
        return Features(np.zeros((0, 2)), np.zeros((0, 128)), np.zeros((0, 3)))
    at = np.array([keypoint.pt for keypoint in keypoints])
    columns, rows = np.round(at).astype(int).T
    shares = descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-12)
    return Features(at + 0.5, np.sqrt(shares), view.rgb[rows, columns] / 255.0)


def neighbouring_pairs(views: Sequence[View]) -> list[tuple[int, int]]:
    """Each view with the nearest of those that look the same way within 60 degrees."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views]).reshape(-1, 3)
    axes = np.array([view.T_world_cam[:3, 2] for view in views]).reshape(-1, 3)
    distance = np.linalg.norm(eyes[:, None] - eyes[None], axis=2)
    distance = np.where((axes @ axes.T > 0.5) & (distance > 0), distance, np.inf)
    pairs = set()
    for i, row in enumerate(distance):
        nearest = np.argsort(row, kind="stable")[:_PARTNERS]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in nearest if np.isfinite(row[j])}
    return sorted(pairs)


def match(a: Features, b: Features, view_a: View, view_b: View) -> Int[np.ndarray, "m 2"]:
    """Pairs of keypoints: each other's best along the epipolar line, and clearly better than the next."""
    if len(a.pixels) == 0 or len(b.pixels) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    likeness = a.descriptors @ b.descriptors.T
    likeness[_line_distances(a, b, view_a, view_b) > _max_error(view_b)] = -1.0
    rows, best, best_back = np.arange(len(likeness)), likeness.argmax(axis=1), likeness.argmax(axis=0)
    first = np.sqrt(np.maximum(2 - 2 * likeness[rows, best], 0.0))
    likeness[rows, best] = -1.0
    second = np.sqrt(np.maximum(2 - 2 * likeness.max(axis=1), 0.0))
    good = (first < _MAX_DISTANCE) & (first < _RATIO * second) & (best_back[best] == rows)
    return np.stack([rows[good], best[good]], axis=1)


def _line_distances(a: Features, b: Features, view_a: View, view_b: View) -> Float[np.ndarray, "na nb"]:
    """Pixels in view b between its keypoints and the epipolar lines of a's."""
    T_b_a = invert(view_b.T_world_cam) @ view_a.T_world_cam
    x, y, z = T_b_a[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ T_b_a[:3, :3]
    K_a, K_b = np.linalg.inv(view_a.camera.K), np.linalg.inv(view_b.camera.K)
    lines = _homogeneous(a.pixels) @ (K_b.T @ essential @ K_a).T
    lines /= np.maximum(np.linalg.norm(lines[:, :2], axis=1, keepdims=True), 1e-12)
    return np.abs(lines.astype(np.float32) @ _homogeneous(b.pixels).astype(np.float32).T)


def _homogeneous(pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    return np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)


def _max_error(view: View) -> float:
    return _MAX_ERROR * max(view.camera.height, view.camera.width)


def tracks(
    features: Sequence[Features],
    pairs: Sequence[tuple[int, int]],
    matches: Sequence[Int[np.ndarray, "_ 2"]],
    views: Sequence[View],
) -> Observations:
    """Keypoints joined by those matches that a third view confirms."""
    counts = [len(feature.pixels) for feature in features]
    first = np.concatenate([[0], np.cumsum(counts)])
    edges = [found + first[list(pair)] for pair, found in zip(pairs, matches, strict=True)]
    edges = np.concatenate([np.zeros((0, 2), dtype=np.int64), *edges])
    keypoints = Observations(
        np.arange(first[-1]),
        np.repeat(np.arange(len(features)), counts),
        np.concatenate([np.zeros((0, 2)), *(feature.pixels for feature in features)]),
        np.concatenate([np.zeros((0, 3)), *(feature.colors for feature in features)]),
    )
    edges = edges[_confirmed(edges, keypoints, views)]
    joined = _joins(edges, len(keypoints.track))
    labels = connected_components(joined, directed=False)[1] if len(edges) else keypoints.track
    matched = np.unique(edges)
    _, track = np.unique(labels[matched], return_inverse=True)
    return replace(keypoints[matched], track=track)


def _joins(edges: Int[np.ndarray, "e 2"], size: int) -> csr_matrix:
    """The symmetric matrix with ones where two keypoints are matched."""
    ends = np.concatenate([edges, edges[:, ::-1]])
    return csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))


def _confirmed(
    edges: Int[np.ndarray, "e 2"], keypoints: Observations, views: Sequence[View]
) -> Bool[np.ndarray, " e"]:
    """Which matches give a point that lies on a third keypoint, one that is matched to either end."""
    if len(edges) == 0:
        return np.zeros(0, dtype=bool)
    number = np.arange(len(edges))
    both = replace(keypoints[edges.ravel()], track=np.repeat(number, 2))
    points = _nearest_to_rays(both, views, len(edges))
    ends = csr_matrix((np.ones(edges.size), (both.track, edges.ravel())), (len(edges), len(keypoints.track)))
    edge, third = (ends @ _joins(edges, len(keypoints.track))).nonzero()
    others = (third != edges[edge, 0]) & (third != edges[edge, 1])
    third = replace(keypoints[third[others]], track=edge[others].astype(np.int64))
    hit = third.track[_near(points, third, views)]
    return np.isin(number, hit)


def solve(
    seen: Observations, views: Sequence[View]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points with the least squared reprojection error, and the mean colour of their keypoints.

    Gauss-Newton from the point nearest to the rays; then without the observations that are too far off,
    twice. Points seen by too few views, or from one direction only, are left out.
    """
    count = int(seen.track.max()) + 1 if len(seen.track) else 0
    points = _nearest_to_rays(seen, views, count)
    for _ in range(3):
        for _ in range(4):
            points = points + _step(points, seen, views)
        seen = seen[_near(points, seen, views)]
    tracks_and_views = np.unique(np.stack([seen.track, seen.view]), axis=1)
    times = np.bincount(tracks_and_views[0], minlength=count)
    good = (times >= _MIN_VIEWS) & (_widest_angles(points, seen, views) >= _MIN_ANGLE)
    weights = np.bincount(seen.track, minlength=count)
    colors = _sums(seen.colors, seen.track, count) / np.maximum(weights, 1)[:, None]
    return points[good], colors[good]


def _nearest_to_rays(seen: Observations, views: Sequence[View], count: int) -> Float[np.ndarray, "n 3"]:
    """For each track the point with the least squared distance to its rays."""
    K = np.array([np.linalg.inv(view.camera.K) for view in views])[seen.view]
    pose = np.array([view.T_world_cam for view in views])[seen.view]
    rays = np.einsum("nij,njk,nk->ni", pose[:, :3, :3], K, _homogeneous(seen.pixels))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    towards = np.einsum("nij,nj->ni", across, pose[:, :3, 3])
    return _solve(_sums(across, seen.track, count), _sums(towards, seen.track, count))


def _step(
    points: Float[np.ndarray, "n 3"], seen: Observations, views: Sequence[View]
) -> Float[np.ndarray, "n 3"]:
    """The Gauss-Newton step of each point on its squared reprojection errors."""
    K = np.array([view.camera.K for view in views])[seen.view]
    pose = np.array([invert(view.T_world_cam) for view in views])[seen.view]
    cam = np.einsum("nij,nj->ni", pose[:, :3, :3], points[seen.track]) + pose[:, :3, 3]
    z = np.where(np.abs(cam[:, 2]) < 1e-9, 1e-9, cam[:, 2])[:, None]
    rays = cam / z
    residuals = seen.pixels - np.einsum("nij,nj->ni", K, rays)[:, :2]
    flat = pose[:, :2, :3] - rays[:, :2, None] * pose[:, 2:3, :3]
    jacobian = K[:, [0, 1], [0, 1]][:, :, None] * flat / z[:, :, None]
    normal = np.einsum("nki,nkj->nij", jacobian, jacobian)
    slope = np.einsum("nki,nk->ni", jacobian, residuals)
    return _solve(_sums(normal, seen.track, len(points)), _sums(slope, seen.track, len(points)))


def _near(
    points: Float[np.ndarray, "n 3"], seen: Observations, views: Sequence[View]
) -> Bool[np.ndarray, " m"]:
    """Which observations lie close enough to their projected points."""
    near = np.zeros(len(seen.track), dtype=bool)
    for index, view in enumerate(views):
        here = seen.view == index
        pixels, depth = project(view.camera, view.T_world_cam, points[seen.track[here]])
        error = np.linalg.norm(pixels - seen.pixels[here], axis=1)
        near[here] = (error <= _max_error(view)) & (depth > 0)
    return near


def _widest_angles(
    points: Float[np.ndarray, "n 3"], seen: Observations, views: Sequence[View]
) -> Float[np.ndarray, " n"]:
    """For each point twice the largest angle between one of its rays and their mean."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    rays = points[seen.track] - eyes[seen.view]
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    mean = _sums(rays, seen.track, len(points))
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    angles = np.arccos(np.clip(np.einsum("ni,ni->n", rays, mean[seen.track]), -1.0, 1.0))
    widest = np.zeros(len(points))
    np.maximum.at(widest, seen.track, 2 * angles)
    return widest


def _sums(values: np.ndarray, track: Int[np.ndarray, " m"], count: int) -> np.ndarray:
    """Sums of the values of each track."""
    total = np.zeros((count, *values.shape[1:]))
    np.add.at(total, track, values)
    return total


def _solve(
    matrices: Float[np.ndarray, "n 3 3"], vectors: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Solutions of many symmetric systems; those without information get a small or zero one."""
    trace = np.trace(matrices, axis1=1, axis2=2)[:, None, None]
    damped = matrices + (1e-9 * trace + np.finfo(float).tiny) * np.eye(3)
    return np.linalg.solve(damped, vectors[:, :, None])[:, :, 0]
