"""Feature tracks over several views: SIFT features, matched under the given poses and linked."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from point2act.core.geometry import back_project, fundamental_matrix, invert, project
from point2act.core.types import View


@dataclass(frozen=True)
class TrackConfig:
    """Detection, matching and linking of features."""

    # Numbers without a source were chosen on simulated tables.

    max_features: int = 600
    """Maximum number of features per view; the strongest are kept."""
    # Half of OpenCV's default, for plain tables.
    contrast_threshold: float = 0.02
    """Smallest contrast of a feature over the full contrast."""
    partner_views: int = 10
    """Number of nearest views that each view is matched with."""
    max_angle: float = 0.8
    """Largest angle between the optical axes of two matched views, radians."""
    # Four times the effect of 5 mm and 0.7 degrees in both views at 0.6 m.
    search_radius: float = 1 / 14
    """Largest distance of a match from its position by the given poses, over the image's longer side."""
    # Lowe (2004) has 0.8; the grain of wood needs less.
    max_ratio: float = 0.75
    """Largest ratio of the best to the second best descriptor distance."""
    min_views: int = 3
    """Smallest number of views of a track; two agree along their epipolar line by chance."""
    max_depth_step: float = 0.03
    """Largest relative difference of depths around a feature; its depth is ignored beyond it."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of one view."""

    pixels: Float[np.ndarray, "n 2"]
    descriptors: Float32[np.ndarray, "n 128"]
    """RootSIFT descriptors of unit length."""
    depth: Float[np.ndarray, " n"]
    """Z-depth in metres, 0 if unknown."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Observations of points, one per row."""

    view: Int[np.ndarray, " n"]
    point: Int[np.ndarray, " n"]
    """Index of the point, below ``count``."""
    pixels: Float[np.ndarray, "n 2"]
    depth: Float[np.ndarray, " n"]
    """Z-depth in metres, 0 if unknown."""
    count: int

    def without_depth(self) -> Tracks:
        """Return the tracks without their depths."""
        return replace(self, depth=np.zeros_like(self.depth))


def find_tracks(
    views: Sequence[View],
    pairs: Sequence[tuple[int, int]],
    *,
    config: TrackConfig,
    known: MutableMapping[str, Features] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Tracks:
    """Find features that at least ``min_views`` views share.

    Args:
        views: Undistorted views with approximate poses.
        pairs: Indices of the views to match.
        config: Detection and matching.
        known: Features of views by name, found earlier; those of other views are added.
        advance: Called once for each view.
    """
    known = {} if known is None else known
    features = []
    for view in views:
        if view.name not in known:
            known[view.name] = extract_features(view, config)
        features.append(known[view.name])
        advance()
    matches = [match_pair(views[i], views[j], features[i], features[j], config) for i, j in pairs]
    return link_tracks(features, pairs, matches, config.min_views)


def near_pairs(views: Sequence[View], config: TrackConfig) -> list[tuple[int, int]]:
    """Return sorted pairs of each view with the nearest of those that look in a similar direction."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views]).reshape(-1, 3)
    axes = np.array([view.T_world_cam[:3, 2] for view in views]).reshape(-1, 3)
    distance = np.where(axes @ axes.T > np.cos(config.max_angle), cdist(eyes, eyes), np.inf)
    np.fill_diagonal(distance, np.inf)
    pairs = set()
    for i, row in enumerate(distance):
        nearest = np.argsort(row, kind="stable")[: config.partner_views]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in nearest if np.isfinite(row[j])}
    return sorted(pairs)


def extract_features(view: View, config: TrackConfig) -> Features:
    """Extract SIFT features (Lowe 2004) inside the mask, with RootSIFT descriptors and depths.

    RootSIFT, Arandjelović and Zisserman 2012: the square root of L1-normalised descriptors, whose Euclidean
    distance is the Hellinger distance of histograms.
    """
    # Imported here, as the configs are needed without OpenCV.
    import cv2

    sift = cv2.SIFT.create(
        config.max_features, contrastThreshold=config.contrast_threshold, enable_precise_upscale=True
    )
    mask = np.ones(view.rgb.shape[:2], np.uint8) if view.mask is None else view.mask.astype(np.uint8)
    found, descriptors = sift.detectAndCompute(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY), mask)
    if descriptors is None:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32), np.zeros(0))
    # OpenCV has the centre of the first pixel at zero.
    pixels = np.array([point.pt for point in found]) + 0.5
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)
    return Features(pixels, np.sqrt(descriptors / sums), _smooth_depth(view, pixels, config.max_depth_step))


def _smooth_depth(view: View, pixels: Float[np.ndarray, "n 2"], max_step: float) -> Float[np.ndarray, " n"]:
    """Return the median of each pixel and its four neighbours; 0 where one is missing or they differ."""
    if view.depth is None:
        return np.zeros(len(pixels))
    height, width = view.depth.shape
    column, row = np.floor(pixels).astype(int).T
    rows = np.clip(row[:, None] + [0, -1, 1, 0, 0], 0, height - 1)
    columns = np.clip(column[:, None] + [0, 0, 0, -1, 1], 0, width - 1)
    near = np.nan_to_num(view.depth[rows, columns].astype(float), posinf=0.0)
    depth = np.median(near, axis=1)
    smooth = (near > 0).all(axis=1) & (np.ptp(near, axis=1) < max_step * depth)
    return np.where(smooth, depth, 0.0)


def match_pair(
    a: View, b: View, in_a: Features, in_b: Features, config: TrackConfig
) -> Int[np.ndarray, "m 2"]:
    """Return mutual best matches near the epipolar lines that pass the ratio test."""
    distance = descriptor_distances(in_a, in_b)
    # Above the largest distance of descriptors, sqrt(2), as they have no negative entries.
    distance[~_allowed(a, b, in_a, in_b, config)] = 2.0
    # A single candidate is compared with the typical distance of unrelated descriptors.
    return mutual_nearest(distance, config.max_ratio, farthest=1.0)


def descriptor_distances(a: Features, b: Features) -> Float32[np.ndarray, "n m"]:
    """Return the Euclidean distances between all descriptors of two views."""
    return np.sqrt(np.maximum(2.0 - 2.0 * (a.descriptors @ b.descriptors.T), 0.0))


def mutual_nearest(
    distance: Float32[np.ndarray, "n m"], ratio: float, *, farthest: float = np.inf
) -> Int[np.ndarray, "k 2"]:
    """Return rows and columns that are mutual nearest neighbours and pass the ratio test (Lowe 2004).

    The second nearest counts as ``farthest`` at most. There are no matches with fewer than two rows or
    columns.
    """
    if min(distance.shape) < 2:
        return np.zeros((0, 2), dtype=int)
    column, clear_row = _best(distance, ratio, farthest)
    row, clear_column = _best(distance.T, ratio, farthest)
    rows = np.arange(len(distance))
    good = (row[column] == rows) & clear_row & clear_column[column]
    return np.stack([rows[good], column[good]], axis=1)


def _best(
    distance: Float32[np.ndarray, "n m"], ratio: float, farthest: float
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the nearest column of each row, and whether it passes the ratio test."""
    rows = np.arange(len(distance))
    best = distance.argmin(axis=1)
    others = distance.copy()
    others[rows, best] = np.inf
    return best, distance[rows, best] < ratio * np.minimum(others.min(axis=1), farthest)


def _allowed(
    a: View, b: View, in_a: Features, in_b: Features, config: TrackConfig
) -> Bool[np.ndarray, "n m"]:
    """Return pairs near each other's epipolar lines and, with depth, near each other's projections."""
    F_b_a = fundamental_matrix(invert(b.T_world_cam) @ a.T_world_cam, a.camera.K, b.camera.K)
    points_a, points_b = (np.pad(f.pixels, ((0, 0), (0, 1)), constant_values=1.0) for f in (in_a, in_b))
    lines_b, lines_a = points_a @ F_b_a.T, points_b @ F_b_a
    residual = np.abs(lines_b @ points_b.T)
    radius_a, radius_b = (config.search_radius * max(v.camera.height, v.camera.width) for v in (a, b))
    near = residual < radius_b * np.linalg.norm(lines_b[:, :2], axis=1)[:, None]
    near &= residual < radius_a * np.linalg.norm(lines_a[:, :2], axis=1)[None]
    near &= _near_projection(a, b, in_a, in_b, radius_b)
    near &= _near_projection(b, a, in_b, in_a, radius_a).T
    return near


def _near_projection(
    a: View, b: View, in_a: Features, in_b: Features, radius: float
) -> Bool[np.ndarray, "n m"]:
    """Return which features of b are near the projections of those of a; all where depth is unknown."""
    known = in_a.depth > 0
    near = np.ones((len(in_a.pixels), len(in_b.pixels)), dtype=bool)
    points = back_project(a.camera, a.T_world_cam, in_a.pixels[known], in_a.depth[known])
    there, _ = project(b.camera, b.T_world_cam, points)
    near[known] = cdist(there, in_b.pixels) < radius
    return near


def link_tracks(
    features: Sequence[Features],
    pairs: Sequence[tuple[int, int]],
    matches: Sequence[Int[np.ndarray, "_m 2"]],
    min_views: int,
) -> Tracks:
    """Link pairwise matches to tracks; tracks with two features in one view are wrong and dropped."""
    first = np.cumsum([0, *(len(f.pixels) for f in features)])
    ends = [first[list(pair)] + found for pair, found in zip(pairs, matches, strict=True)]
    edges = np.concatenate([np.zeros((0, 2), dtype=int), *ends])
    total = int(first[-1])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(total, total))
    count, label = connected_components(graph, directed=False)
    view = np.repeat(np.arange(len(features)), np.diff(first))
    length = np.bincount(label, minlength=count)
    met = np.unique(label * len(features) + view) // max(len(features), 1)
    good = (length >= min_views) & (np.bincount(met, minlength=count) == length)
    rows = good[label]
    number = np.cumsum(good) - 1
    return Tracks(
        view=view[rows],
        point=number[label[rows]],
        pixels=np.concatenate([np.zeros((0, 2)), *(f.pixels for f in features)])[rows],
        depth=np.concatenate([np.zeros(0), *(f.depth for f in features)])[rows],
        count=int(good.sum()),
    )
