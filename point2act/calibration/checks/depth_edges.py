"""Borders of depth and edges of pictures: what shows whether the one lies on the other."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from point2act.core.types import View

_JUMP = 0.04
"""Depths that differ by more than this share belong to two surfaces. Chosen."""

_HOLE = 0.025
"""Holes up to this share of the longer side are looked across: sensors have none beside a border. Chosen:
16 px of 640 on a real stereo camera."""

_LEVEL = 0.025
"""Detail coarser than this share of the longer side is taken away, so that where things are does not count.
Chosen."""

Channels = tuple[np.ndarray, np.ndarray]
"""Of borders and edges across the picture, and along it."""


def edges(view: View) -> Channels:
    """Slopes of the picture along x and along y, as shares of those around, none where it is masked.

    Their level is taken away: see ``detail``.
    """
    grey = smooth(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), 1.0)
    slopes = [np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0)]
    # 4 grey levels: noise is no edge. Capped, so that one glaring edge does not outweigh all others.
    around = smooth(slopes[0] + slopes[1], _LEVEL * max(grey.shape)) + 4.0
    usable = np.float32(1.0) if view.mask is None else view.mask.astype(np.float32)
    x, y = (detail(np.minimum(slope / around, 4.0) * usable) for slope in slopes)
    return x, y


def border_maps(depth: Float[np.ndarray, "h w"]) -> Channels:
    """1 where a surface ends before a farther one: to the left or right of it; above or below it."""
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
    """The same as pixels x, y and the depth of the nearer surface: those across, and those along."""
    return _points(depth), _points(depth.T)[:, [1, 0, 2]]


def detail(image: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """An image less what is coarse in it."""
    return image - smooth(image, _LEVEL * max(image.shape))


def smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred by a Gaussian, pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _points(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "n 3"]:
    found = []
    for turned, last in zip((depth, depth[:, ::-1]), _ends(depth), strict=True):
        rows, columns = np.nonzero(last)
        x = columns + 1.0 if turned is depth else depth.shape[1] - columns - 1.0
        found.append(np.column_stack([x, rows + 0.5, turned[rows, columns]]))
    return np.concatenate(found)


def _ends(depth: Float[np.ndarray, "h w"]) -> Iterator[Bool[np.ndarray, "h w"]]:
    """The last pixels of surfaces before farther ones to their right; and to their left, in the mirror."""
    hole = max(1, round(_HOLE * max(depth.shape)))
    for turned in (depth, depth[:, ::-1]):
        yield (turned > 0) & (_next_reading(turned, hole) > (1 + _JUMP) * turned)


def _next_reading(depth: Float[np.ndarray, "h w"], hole: int) -> Float[np.ndarray, "h w"]:
    """The first reading to the right of each pixel, 0 where there is none within so many pixels."""
    found = np.zeros_like(depth)
    for step in range(1, min(hole, depth.shape[1] - 1) + 1):
        ahead = found[:, :-step]
        np.copyto(ahead, depth[:, step:], where=ahead == 0)
    return found
