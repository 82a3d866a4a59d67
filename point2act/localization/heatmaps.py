"""Points in an image to a heatmap: how likely each pixel is what was asked for. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from point2act.core.types import Camera

# In standard deviations; a bump is 4e-6 there. Lifting passes over tiles whose heat is exactly 0.
_END = 5.0


@dataclass(frozen=True)
class HeatmapConfig:
    """How far a pointing model's answer is trusted to reach."""

    sigma: float = 0.04
    """Standard deviation of an answer's error as an angle, radians: 12 px at a focal length of
    300 px, the best width in our study of fusion on simulated tabletops."""


def pixel_sigma(camera: Camera, config: HeatmapConfig = HeatmapConfig()) -> float:
    """The heatmap's standard deviation in pixels of this camera."""
    return config.sigma * 0.5 * (camera.fx + camera.fy)


def heatmap(
    camera: Camera, pixels: Float[np.ndarray, "n 2"], *, config: HeatmapConfig = HeatmapConfig()
) -> Float32[np.ndarray, "h w"]:
    """The union (maximum) of one Gaussian bump of height 1 per point.

    ``pixels`` are ``(x, y)`` in the camera's continuous coordinates. No points, the answer "not
    visible", give zeros: evidence against everything in sight.
    """
    return heatmaps(camera, [pixels], config=config)[..., 0]


def heatmaps(
    camera: Camera,
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    *,
    config: HeatmapConfig = HeatmapConfig(),
) -> Float32[np.ndarray, "h w q"]:
    """A ``heatmap`` for each of several answers in one view; zeros for None, nobody asked."""
    heat = np.zeros((camera.height, camera.width, len(answers)), dtype=np.float32)
    sigma = pixel_sigma(camera, config)
    for number, pixels in enumerate(answers):
        for x, y in () if pixels is None else pixels:
            # A bump is the product of one along y and one along x.
            (rows, down), (columns, across) = _bump(camera.height, y, sigma), _bump(camera.width, x, sigma)
            part = heat[rows, columns, number]
            np.maximum(part, np.outer(down, across), out=part)
    return heat


def _bump(count: int, center: float, sigma: float) -> tuple[slice, Float32[np.ndarray, " k"]]:
    """A Gaussian of height 1 along a row or column of pixels: where it has not yet faded away, and there."""
    ends = np.array([center - _END * sigma, center + _END * sigma])
    first, last = np.clip(np.round(ends), 0, count).astype(int)
    offsets = (np.arange(first, last) + 0.5 - center) / sigma
    return slice(first, last), np.exp(-0.5 * offsets**2).astype(np.float32)
