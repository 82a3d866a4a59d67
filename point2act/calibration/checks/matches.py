"""The same spots in near views, matched by their looks alone: the given poses have no say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.calibration.poses.tracks import (
    TrackConfig,
    descriptor_distances,
    extract_features,
    mutual_nearest,
    near_pairs,
)
from point2act.core.geometry import to_tangents
from point2act.core.types import View

_PARTNERS = 6
"""Nearest views that each view is compared with. Chosen: on simulated tables of 24 views 50 pairs result."""

_FOLLOWING = 2
"""Views are also compared with so many that follow, as poses may be too wrong to tell who is near. Chosen."""

_STILL = 1.0
"""A feature that moves by less, pixels, between two views is still. Chosen: what a camera carries along
moves by a fraction of a pixel."""

_MOVES = 5.0
"""Features are only called still where those of the pair move by more than this, pixels, in the median.
Chosen."""

_FEWEST = 15
"""Fewer matches that obey one motion say nothing: five of them any motion explains. Chosen."""

_INLIER = 1.0
"""How far from its epipolar line a match may lie, pixels, to obey a motion: three times the noise of
SIFT's features in simulated images."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Matches of two views that one rigid motion, found freely, explains."""

    i: int
    j: int
    pixels_i: Float[np.ndarray, "n 2"]
    pixels_j: Float[np.ndarray, "n 2"]
    free: float
    """Median distance to the free motion's epipolar lines (Sampson), pixels."""


@dataclass(frozen=True, eq=False)
class Matched:
    """All pairs of a capture that could be matched."""

    pairs: tuple[Pair, ...]
    tried: int
    """How many pairs were compared."""
    still: float
    """Share of all matches that stay where they are while the others move: they hang on the camera."""

    def of(self, index: int) -> list[Pair]:
        """The pairs that hold a view."""
        return [pair for pair in self.pairs if index in (pair.i, pair.j)]


def match_views(views: Sequence[View], advance: Callable[[], None] = lambda: None) -> Matched:
    """Match every view with its neighbours, and keep what one motion for each pair explains.

    SIFT features, mutual best matches by Lowe's ratio, five-point essential matrices by MAGSAC++ (Barath et
    al. 2020, OpenCV's). ``advance`` is called once for each view.
    """
    config = TrackConfig(partners=_PARTNERS)
    features = []
    for view in views:
        features.append(extract_features(view, config))
        advance()
    wanted = pairs_to_match(views, config)
    found, still, total = [], 0, 0
    for i, j in wanted:
        rows, columns = mutual_nearest(descriptor_distances(features[i], features[j]), config.ratio).T
        a, b = features[i].pixels[rows], features[j].pixels[columns]
        carried = _carried(a, b)
        still, total = still + int(carried.sum()), total + len(carried)
        pair = _rigid(views, (i, j), a[~carried], b[~carried])
        if pair is not None:
            found.append(pair)
    return Matched(tuple(found), len(wanted), still / max(total, 1))


def pairs_to_match(views: Sequence[View], config: TrackConfig) -> list[tuple[int, int]]:
    """Near views as the poses have it, and views that follow one another in the file."""
    n = len(views)
    following = {(i, i + step) for step in range(1, _FOLLOWING + 1) for i in range(n - step)}
    return sorted(following | set(near_pairs(views, config)))


def _carried(a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Which matches stay in their place while the others move."""
    way = np.linalg.norm(a - b, axis=1)
    still = way < _STILL
    if still.all() or np.median(way[~still]) < _MOVES:
        return np.zeros(len(a), dtype=bool)
    return still


def _rigid(
    views: Sequence[View], indices: tuple[int, int], a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]
) -> Pair | None:
    """The matches that obey one motion; None where they are too few."""
    import cv2

    if len(a) < _FEWEST:
        return None
    cameras = [views[index].camera for index in indices]
    focal = float(np.mean([(camera.fx + camera.fy) / 2 for camera in cameras]))
    rays = [to_tangents(camera, pixels) for camera, pixels in zip(cameras, (a, b), strict=True)]
    cv2.setRNGSeed(0)
    essential, good = cv2.findEssentialMat(
        rays[0],
        rays[1],
        cameraMatrix=np.eye(3),
        method=cv2.USAC_MAGSAC,
        prob=0.999,
        threshold=_INLIER / focal,
    )
    if essential is None or essential.shape != (3, 3) or good.sum() < _FEWEST:
        return None
    kept = good.ravel() > 0
    free = focal * sampson(essential, rays[0][kept], rays[1][kept])
    return Pair(*indices, a[kept], b[kept], float(np.median(free)))


def sampson(
    F_b_a: Float[np.ndarray, "3 3"], a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    """First-order distance of matches from a two-view geometry, in the unit of the points (Sampson 1982).

    ``F_b_a`` is the fundamental matrix for pixels, the essential one for tangents: b.T F a = 0.
    """
    # Without the points' ones written out, and row by row: hundreds of calls take a third of the time.
    ax, ay, az = F_b_a[:, :2] @ a.T + F_b_a[:, 2:]
    bx, by = F_b_a[:2, :2].T @ b.T + F_b_a[2, :2, None]
    slope = ax**2 + ay**2 + bx**2 + by**2
    return np.abs(b[:, 0] * ax + b[:, 1] * ay + az) / np.sqrt(np.maximum(slope, 1e-18))
