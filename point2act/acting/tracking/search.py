"""Search for a thing in a whole image by its colours."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, Int

from point2act.acting.tracking.frame import TrackedFrame
from point2act.acting.tracking.surface import Surface

# Width of the bins of CIELAB's three axes: wide for lightness, which shadows change.
_BINS = np.array([20.0, 8.0, 8.0])
_BIN_COUNTS = (6, 34, 34)
# Steps of the grid across the thing.
_STEPS = 5
# Pixels of the image that count as one of the thing in each bin: for a colour that neither has.
_PRIOR = 1e-4


def places_of_colors(frame: TrackedFrame, surface: Surface, count: int) -> Float[np.ndarray, "p 3"]:
    """Return surface points of a grid about which the image has the colours of a thing, best first.

    The share of the thing's colours in each bin of a histogram, over that share plus the image's, is the
    probability that a pixel shows it (Swain and Ballard 1991, with the image as background). Places are
    compared by its mean over a window of the thing's size.

    Args:
        frame: The image.
        surface: The thing's, for its colours and its size.
        count: Largest number of places.
    """
    likely = _likely(frame, surface.lab)
    extent = float(np.median(np.ptp(surface.points[:, :2], axis=0)))
    seen = frame.depth > 0
    if not seen.any():
        return np.zeros((0, 3))
    size = extent * frame.camera.fx / float(np.median(frame.depth[seen]))
    width = int(np.clip(size, 3, min(likely.shape) / 2))
    mean = cv2.blur(np.where(seen, likely, 0).astype(np.float32), (width, width))
    step = max(1, round(size / _STEPS))
    row, column = np.nonzero(seen[::step, ::step])
    row, column = row * step, column * step
    best = np.argsort(-mean[row, column], kind="stable")[:count]
    pixels = np.stack([column[best], row[best]], axis=1) + 0.5
    return frame.points(pixels, frame.depth[row[best], column[best]])


def _likely(frame: TrackedFrame, lab: Float32[np.ndarray, "n 3"]) -> Float[np.ndarray, "h w"]:
    """Return the probability that each pixel shows the thing, by its colour."""
    own = np.bincount(_bins(lab), minlength=int(np.prod(_BIN_COUNTS))) / max(len(lab), 1)
    bins = _bins(frame.lab.reshape(-1, 3))
    image = np.bincount(bins, minlength=len(own)) / len(bins)
    return (own / (own + image + _PRIOR))[bins].reshape(frame.depth.shape)


def _bins(lab: Float32[np.ndarray, "n 3"]) -> Int[np.ndarray, " n"]:
    index = np.floor((lab - [0, -128, -128]) / _BINS).astype(int)
    return np.ravel_multi_index(tuple(index.T), _BIN_COUNTS, mode="clip")
