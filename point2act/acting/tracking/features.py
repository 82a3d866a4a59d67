"""Motion between two frames that may be far apart, by matched features."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float

from point2act.acting.tracking.frame import TrackedFrame
from point2act.core.geometry import at_pixels, transform

# Largest ratio of the distances to the nearest and to the second nearest descriptor (Lowe 2004).
_RATIO = 0.8
# Largest number of features of a frame.
_FEATURES = 1500
# Largest distance of a projected point from its match, pixels, and the smallest number of such matches.
_REPROJECTION, _INLIERS = 3.0, 8
_TRIALS = 200


def matched_motion(
    first: TrackedFrame, second: TrackedFrame, where: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "4 4"] | None:
    """Find the rigid motion of what some pixels of one frame show to another frame.

    SIFT features (Lowe 2004) with depth in the first frame are matched, and a perspective-n-point solution
    with RANSAC gives the motion from the camera frame of the first to that of the second (OpenCV).

    Args:
        first: A frame.
        second: Another one, of the same camera.
        where: Pixels of the first frame whose features are used.

    Returns:
        The motion; None if fewer than eight matches agree on one.
    """
    (pixels, descriptors), (targets, others) = _features(first), _features(second)
    if min(len(pixels), len(targets)) < _INLIERS:
        return None
    depth = first.readings(pixels)
    chosen = np.flatnonzero((depth > 0) & at_pixels(where, pixels))
    if len(chosen) < _INLIERS:
        return None
    pairs = cv2.BFMatcher().knnMatch(descriptors[chosen], others, k=2)
    good = [near for near, *rest in pairs if rest and near.distance < _RATIO * rest[0].distance]
    if len(good) < _INLIERS:
        return None
    source = chosen[[match.queryIdx for match in good]]
    points = first.points(pixels[source], depth[source])
    cv2.setRNGSeed(0)
    found, turn, shift, inliers = cv2.solvePnPRansac(
        points,
        targets[[match.trainIdx for match in good]].astype(float),
        second.camera.K,
        np.zeros(4),
        iterationsCount=_TRIALS,
        reprojectionError=_REPROJECTION,
    )
    if not found or inliers is None or len(inliers) < _INLIERS:
        return None
    return transform(cv2.Rodrigues(turn)[0], shift[:, 0])


@lru_cache(maxsize=8)
def _features(frame: TrackedFrame) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 128"]]:
    """Return pixels and descriptors of a frame's features."""
    everywhere = np.full(frame.gray.shape, 255, np.uint8)
    points, descriptors = cv2.SIFT.create(_FEATURES).detectAndCompute(frame.gray, everywhere)
    if not points:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    # OpenCV's centre of the first pixel is 0.
    return np.array([point.pt for point in points]) + 0.5, descriptors
