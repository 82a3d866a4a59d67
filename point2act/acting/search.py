"""Search for a thing in a whole image by its colours."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from point2act.acting.frame import TrackedFrame

# Width of the bins of CIELAB's three axes: wide for lightness, which shadows change.
_BINS = np.array([20.0, 8.0, 8.0])
_BIN_COUNTS = (6, 34, 34)
# Pixels of the image that count as one of the thing in each bin: a colour that neither has tells nothing.
_PRIOR = 1e-4


def places_of_colors(
    frame: TrackedFrame, lab: Float32[np.ndarray, "n 3"], points: Float[np.ndarray, "n 3"], count: int
) -> list[Float[np.ndarray, " 3"]]:
    """Return surface points about which the image has the colours of a thing, best first.

    The share of the thing's colours in each bin of a histogram, over that share plus the image's, is the
    probability that a pixel shows it (Swain and Ballard 1991, with the image as background). Its mean over
    windows of the size that the thing has at its depth is largest at the places.

    Args:
        frame: The image.
        lab: Colours of the thing, CIELAB.
        points: Its points, for its size, metres.
        count: Largest number of places.
    """
    likely = _likely(frame, lab)
    extent = float(np.median(np.ptp(points[:, :2], axis=0)))
    seen = frame.depth > 0
    depth = float(np.median(frame.depth[seen])) if seen.any() else 1.0
    size = int(np.clip(extent * frame.camera.fx / depth, 3, min(likely.shape) / 2))
    mean = cv2.blur(np.where(seen, likely, 0).astype(np.float32), (size, size))
    places: list[Float[np.ndarray, " 3"]] = []
    for _ in range(count):
        row, column = np.unravel_index(int(mean.argmax()), mean.shape)
        if mean[row, column] <= 0:
            break
        low = (max(row - size // 2, 0), max(column - size // 2, 0))
        window = (slice(low[0], row + size // 2 + 1), slice(low[1], column + size // 2 + 1))
        own = (likely[window] > 0.5) & seen[window]
        mean[window] = 0
        if own.any():
            rows, columns = np.nonzero(own)
            pixels = np.stack([columns + low[1], rows + low[0]], axis=1) + 0.5
            places.append(np.median(frame.points(pixels, frame.depth[window][own]), axis=0))
    return places


def _likely(frame: TrackedFrame, lab: Float32[np.ndarray, "n 3"]) -> Float[np.ndarray, "h w"]:
    """Return the probability that each pixel shows the thing, by its colour."""
    own = np.bincount(_bins(lab), minlength=int(np.prod(_BIN_COUNTS))) / max(len(lab), 1)
    bins = _bins(frame.lab.reshape(-1, 3))
    image = np.bincount(bins, minlength=len(own)) / len(bins)
    return (own / (own + image + _PRIOR))[bins].reshape(frame.depth.shape)


def _bins(lab: Float32[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    index = np.floor((lab - [0, -128, -128]) / _BINS).astype(int)
    return np.ravel_multi_index(tuple(index.T), _BIN_COUNTS, mode="clip")
