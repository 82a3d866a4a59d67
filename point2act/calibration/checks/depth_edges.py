"""Depth discontinuities and image edges, the evidence for depth registration."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from point2act.core.types import View

_JUMP = 0.04
"""Relative difference above which depths belong to two surfaces. Chosen."""
_HOLE = 0.025
"""Largest hole beside a border over the longer side, as sensors have no readings there. Chosen: 16 px of 640
on a real stereo camera."""
_HIGH_PASS = 0.025
"""Smoothing over the longer side that is subtracted, so that the density of edges does not count. Chosen."""

Channels = tuple[np.ndarray, np.ndarray]
"""Maps of vertical edges, i.e. steps along x, and of horizontal ones, along y."""


def edges(view: View) -> Channels:
    """Return image gradients along x and y relative to those around, high-pass filtered, 0 where masked."""
    grey = smooth(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), 1.0)
    slopes = [np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0)]
    # 4 grey levels against noise. Clipped, so that no single strong edge outweighs all others.
    around = smooth(slopes[0] + slopes[1], _HIGH_PASS * max(grey.shape)) + 4.0
    usable = np.float32(1.0) if view.mask is None else view.mask.astype(np.float32)
    x, y = (detail(np.minimum(slope / around, 4.0) * usable) for slope in slopes)
    return x, y


def border_maps(depth: Float[np.ndarray, "h w"]) -> Channels:
    """Return maps of 1 where a surface ends before a farther one, horizontally and vertically."""
    across, along = (np.zeros(depth.shape, np.float32) for _ in range(2))
    for turned, borders in ((depth, across), (depth.T, along.T)):
        for last, target in zip(_ends(turned), (borders, borders[:, ::-1]), strict=True):
            target[last] = 1.0
            # The border lies between the last pixel of the surface and the next.
            target[:, 1:][last[:, :-1]] = 1.0
    return across, along


def border_points(
    depth: Float[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "m 3"]]:
    """Return the same borders as pixels x, y and the depth of the nearer surface."""
    return _points(depth), _points(depth.T)[:, [1, 0, 2]]


def detail(image: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the image minus its smoothed version."""
    return image - smooth(image, _HIGH_PASS * max(image.shape))


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth an image by a Gaussian; ``sigma`` in pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _points(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "n 3"]:
    found = []
    for turned, last in zip((depth, depth[:, ::-1]), _ends(depth), strict=True):
        rows, columns = np.nonzero(last)
        x = columns + 1.0 if turned is depth else depth.shape[1] - columns - 1.0
        found.append(np.column_stack([x, rows + 0.5, turned[rows, columns]]))
    return np.concatenate(found)


def _ends(depth: Float[np.ndarray, "h w"]) -> Iterator[Bool[np.ndarray, "h w"]]:
    """Yield the last pixels of surfaces before farther ones to the right, and to the left, mirrored."""
    hole = max(1, round(_HOLE * max(depth.shape)))
    for turned in (depth, depth[:, ::-1]):
        yield (turned > 0) & (_next_reading(turned, hole) > (1 + _JUMP) * turned)


def _next_reading(depth: Float[np.ndarray, "h w"], hole: int) -> Float[np.ndarray, "h w"]:
    """Return the first reading within ``hole`` pixels to the right of each pixel, 0 without any."""
    found = np.zeros_like(depth)
    for step in range(1, min(hole, depth.shape[1] - 1) + 1):
        ahead = found[:, :-step]
        np.copyto(ahead, depth[:, step:], where=ahead == 0)
    return found
