"""The same spot in several views: SIFT features, matched where the given poses allow, joined to tracks."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from point2act.core.geometry import back_project, fundamental, invert, project
from point2act.core.types import View


@dataclass(frozen=True)
class TrackConfig:
    """How features are found and joined. Numbers without a source were chosen on simulated tables."""

    max_features: int = 600
    """A view; the strongest are kept."""
    contrast: float = 0.02
    """The weakest feature, as a share of full contrast; half of OpenCV's own, for plain tables."""
    partners: int = 10
    """Nearest views that each view is matched with."""
    max_angle: float = 0.8
    """Between the optical axes of two views to be matched, radians; SIFT bears about as much."""
    search: float = 1 / 14
    """How far a match may lie from where the given poses put it, as a share of the image's longer side:
    four times what 5 mm and 0.7 degrees at each end do at 0.6 m."""
    ratio: float = 0.75
    """The best descriptor is closer than this share of the second best. Lowe (2004) has 0.8; the grain of
    wood asks for less."""
    min_views: int = 3
    """Two views agree along their epipolar line by chance; a third one rarely does."""
    jump: float = 0.03
    """A feature whose neighbours' depths differ by more than this share has no depth of its own."""


@dataclass(frozen=True, eq=False)
class Features:
    """Of one view."""

    pixels: Float[np.ndarray, "n 2"]
    descriptors: Float32[np.ndarray, "n 128"]
    """Unit length."""
    depth: Float[np.ndarray, " n"]
    """Metres, 0 where there is none."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """Observations of points, one a row."""

    view: Int[np.ndarray, " n"]
    point: Int[np.ndarray, " n"]
    """0 … count - 1."""
    pixels: Float[np.ndarray, "n 2"]
    depth: Float[np.ndarray, " n"]
    """Metres, 0 where there is none."""
    count: int

    def without_depth(self) -> Tracks:
        """The same in pixels only."""
        return replace(self, depth=np.zeros_like(self.depth))


def find_tracks(
    views: Sequence[View],
    pairs: Sequence[tuple[int, int]],
    *,
    config: TrackConfig,
    known: MutableMapping[str, Features] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Tracks:
    """Features that at least ``min_views`` views share, matched between the pairs; often there are none.

    ``known`` are the features of views by name, from an earlier time; those of new views are added.
    ``advance`` is called once for each view.
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
    """Each view with the nearest of those that look the same way."""
    eyes = np.array([view.T_world_cam[:3, 3] for view in views]).reshape(-1, 3)
    axes = np.array([view.T_world_cam[:3, 2] for view in views]).reshape(-1, 3)
    distance = np.where(axes @ axes.T > np.cos(config.max_angle), cdist(eyes, eyes), np.inf)
    np.fill_diagonal(distance, np.inf)
    pairs = set()
    for i, row in enumerate(distance):
        nearest = np.argsort(row, kind="stable")[: config.partners]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in nearest if np.isfinite(row[j])}
    return sorted(pairs)


def extract_features(view: View, config: TrackConfig) -> Features:
    """SIFT features (Lowe 2004) of the usable pixels, with RootSIFT descriptors (Arandjelović and
    Zisserman 2012) and depths.
    """
    # Late: the configs above are read where nothing else of this is needed.
    import cv2

    sift = cv2.SIFT.create(
        config.max_features, contrastThreshold=config.contrast, enable_precise_upscale=True
    )
    mask = np.ones(view.rgb.shape[:2], np.uint8) if view.mask is None else view.mask.astype(np.uint8)
    found, descriptors = sift.detectAndCompute(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY), mask)
    if descriptors is None:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32), np.zeros(0))
    # OpenCV puts the centre of the first pixel at zero.
    pixels = np.array([point.pt for point in found]) + 0.5
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9)
    return Features(pixels, np.sqrt(descriptors / sums), _depth_at(view, pixels, config.jump))


def _depth_at(view: View, pixels: Float[np.ndarray, "n 2"], jump: float) -> Float[np.ndarray, " n"]:
    """The median of a pixel and its four neighbours; 0 where one is missing or they differ."""
    if view.depth is None:
        return np.zeros(len(pixels))
    height, width = view.depth.shape
    column, row = np.floor(pixels).astype(int).T
    rows = np.clip(row[:, None] + [0, -1, 1, 0, 0], 0, height - 1)
    columns = np.clip(column[:, None] + [0, 0, 0, -1, 1], 0, width - 1)
    near = np.nan_to_num(view.depth[rows, columns].astype(float), posinf=0.0)
    depth = np.median(near, axis=1)
    smooth = (near > 0).all(axis=1) & (np.ptp(near, axis=1) < jump * depth)
    return np.where(smooth, depth, 0.0)


def match_pair(
    a: View, b: View, in_a: Features, in_b: Features, config: TrackConfig
) -> Int[np.ndarray, "m 2"]:
    """Mutual best matches among those that the poses allow, clearly better than the second best."""
    distance = descriptor_distances(in_a, in_b)
    # The largest distance between descriptors, which have no negative entry, is the square root of two.
    distance[~_allowed(a, b, in_a, in_b, config)] = 2.0
    # Where the poses leave only one, it is compared with a stranger's usual distance.
    return mutual_nearest(distance, config.ratio, farthest=1.0)


def descriptor_distances(a: Features, b: Features) -> Float32[np.ndarray, "n m"]:
    """Between all descriptors of two views."""
    return np.sqrt(np.maximum(2.0 - 2.0 * (a.descriptors @ b.descriptors.T), 0.0))


def mutual_nearest(
    distance: Float32[np.ndarray, "n m"], ratio: float, *, farthest: float = np.inf
) -> Int[np.ndarray, "k 2"]:
    """Rows and columns that are each other's nearest, and by ``ratio`` nearer than the next (Lowe 2004).

    The next counts as ``farthest`` away at most. None where there are fewer than two rows or columns.
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
    """The nearest in each row, and whether it is much nearer than the next."""
    rows = np.arange(len(distance))
    best = distance.argmin(axis=1)
    others = distance.copy()
    others[rows, best] = np.inf
    return best, distance[rows, best] < ratio * np.minimum(others.min(axis=1), farthest)


def _allowed(
    a: View, b: View, in_a: Features, in_b: Features, config: TrackConfig
) -> Bool[np.ndarray, "n m"]:
    """Near each other's epipolar lines, and near where depth, if there is any, puts the other."""
    F_b_a = fundamental(invert(b.T_world_cam) @ a.T_world_cam, a.camera.K, b.camera.K)
    points_a, points_b = (np.pad(f.pixels, ((0, 0), (0, 1)), constant_values=1.0) for f in (in_a, in_b))
    lines_b, lines_a = points_a @ F_b_a.T, points_b @ F_b_a
    miss = np.abs(lines_b @ points_b.T)
    reach_a, reach_b = (config.search * max(v.camera.height, v.camera.width) for v in (a, b))
    near = miss < reach_b * np.linalg.norm(lines_b[:, :2], axis=1)[:, None]
    near &= miss < reach_a * np.linalg.norm(lines_a[:, :2], axis=1)[None]
    near &= _in_reach(a, b, in_a, in_b, reach_b)
    near &= _in_reach(b, a, in_b, in_a, reach_a).T
    return near


def _in_reach(a: View, b: View, in_a: Features, in_b: Features, reach: float) -> Bool[np.ndarray, "n m"]:
    """Which features of b are near those of a, carried over by their depth; all where it is unknown."""
    known = in_a.depth > 0
    near = np.ones((len(in_a.pixels), len(in_b.pixels)), dtype=bool)
    points = back_project(a.camera, a.T_world_cam, in_a.pixels[known], in_a.depth[known])
    there, _ = project(b.camera, b.T_world_cam, points)
    near[known] = cdist(there, in_b.pixels) < reach
    return near


def link_tracks(
    features: Sequence[Features],
    pairs: Sequence[tuple[int, int]],
    matches: Sequence[Int[np.ndarray, "_m 2"]],
    min_views: int,
) -> Tracks:
    """Matches of pairs of views, chained; chains that meet one view twice hold a mistake and are dropped."""
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
