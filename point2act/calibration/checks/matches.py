"""Feature matches of near views by appearance and epipolar geometry, independent of the given poses."""

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
"""Number of nearest views that each view is matched with. Chosen: 50 pairs for 24 views on a table."""
_FOLLOWING = 2
"""Number of following views that each view is also matched with, in case of wrong poses. Chosen."""
_STATIC = 1.0
"""Motion between two views, pixels, below which a feature is static. Chosen: what moves with the camera moves
by a fraction of a pixel in the image."""
_MIN_MOTION = 5.0
"""Median motion of a pair's features, pixels, above which static ones are detected. Chosen."""
_FEWEST = 15
"""Smallest number of matches that fit one motion, as any motion explains five. Chosen."""
_INLIER = 1.0
"""Largest distance of an inlier from its epipolar line, pixels: three times the noise of SIFT features."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Matches of two views that fit one rigid motion, estimated from them alone."""

    i: int
    j: int
    pixels_i: Float[np.ndarray, "n 2"]
    pixels_j: Float[np.ndarray, "n 2"]
    free: float
    """Median Sampson distance to the epipolar lines of this estimated motion, pixels."""


@dataclass(frozen=True, eq=False)
class Matched:
    """Matched pairs of views of a capture."""

    pairs: tuple[Pair, ...]
    tried: int
    """Number of pairs that were compared."""
    static: float
    """Fraction of all matches that are static while others move: what is attached to the camera."""

    def of(self, index: int) -> list[Pair]:
        """Return the pairs that contain a view."""
        return [pair for pair in self.pairs if index in (pair.i, pair.j)]


def match_views(views: Sequence[View], advance: Callable[[], None] = lambda: None) -> Matched:
    """Match every view with its neighbours, and keep the matches that fit one motion per pair.

    SIFT features, mutual best matches with Lowe's ratio test, and the five-point essential matrix by MAGSAC++
    (Barath et al. 2020, in OpenCV). ``advance`` is called once for each view.
    """
    config = TrackConfig(partner_views=_PARTNERS)
    features = []
    for view in views:
        features.append(extract_features(view, config))
        advance()
    wanted = pairs_to_match(views, config)
    found, static, total = [], 0, 0
    for i, j in wanted:
        rows, columns = mutual_nearest(descriptor_distances(features[i], features[j]), config.max_ratio).T
        a, b = features[i].pixels[rows], features[j].pixels[columns]
        carried = _moving_along(a, b)
        static, total = static + int(carried.sum()), total + len(carried)
        pair = _rigid(views, (i, j), a[~carried], b[~carried])
        if pair is not None:
            found.append(pair)
    return Matched(tuple(found), len(wanted), static / max(total, 1))


def pairs_to_match(views: Sequence[View], config: TrackConfig) -> list[tuple[int, int]]:
    """Return pairs of views that are near by their poses, or consecutive in the file."""
    n = len(views)
    following = {(i, i + step) for step in range(1, _FOLLOWING + 1) for i in range(n - step)}
    return sorted(following | set(near_pairs(views, config)))


def _moving_along(a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Return which matches are static while the others move."""
    motion = np.linalg.norm(a - b, axis=1)
    static = motion < _STATIC
    if static.all() or np.median(motion[~static]) < _MIN_MOTION:
        return np.zeros(len(a), dtype=bool)
    return static


def _rigid(
    views: Sequence[View], indices: tuple[int, int], a: Float[np.ndarray, "n 2"], b: Float[np.ndarray, "n 2"]
) -> Pair | None:
    """Return the matches that fit one motion; None with too few."""
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
    """Return the first-order distance of matches from a two-view geometry, in their unit (Sampson 1982).

    d = |b^T F a| / sqrt((F a)_x^2 + (F a)_y^2 + (F^T b)_x^2 + (F^T b)_y^2), with a and b homogeneous.
    ``F_b_a`` is the fundamental matrix for pixels, the essential matrix for tangents.
    """
    # Row by row and without homogeneous coordinates, in a third of the time: there are hundreds of calls.
    ax, ay, az = F_b_a[:, :2] @ a.T + F_b_a[:, 2:]
    bx, by = F_b_a[:2, :2].T @ b.T + F_b_a[2, :2, None]
    squares = ax**2 + ay**2 + bx**2 + by**2
    return np.abs(b[:, 0] * ax + b[:, 1] * ay + az) / np.sqrt(np.maximum(squares, 1e-18))
