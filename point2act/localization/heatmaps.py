"""Heatmaps of points in an image. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from point2act.core.types import Camera, ViewAnswers

# Support of a bump in standard deviations (4e-6 there): lifting skips tiles whose heat is exactly 0.
_END = 5.0


@dataclass(frozen=True)
class HeatmapConfig:
    """Width of heatmaps."""

    sigma: float = 0.04
    """Standard deviation of an answer's error as an angle, radians: 12 px at a focal length of 300 px."""
    # The best width in a study of fusion on simulated tables.


def pixel_sigma(camera: Camera, config: HeatmapConfig = HeatmapConfig()) -> float:
    """Return the standard deviation of a heatmap in pixels of a camera."""
    return config.sigma * 0.5 * (camera.fx + camera.fy)


def heatmap(
    camera: Camera, pixels: Float[np.ndarray, "n 2"], *, config: HeatmapConfig = HeatmapConfig()
) -> Float32[np.ndarray, "h w"]:
    """Return the maximum of one Gaussian bump of height 1 per point.

    Args:
        pixels: ``(x, y)`` in continuous pixel coordinates. No points ("not visible") give zeros: evidence
            against everything visible.
    """
    return heatmaps(camera, [pixels], config=config)[..., 0]


def heatmaps(
    camera: Camera, answers: ViewAnswers, *, config: HeatmapConfig = HeatmapConfig()
) -> Float32[np.ndarray, "h w q"]:
    """Return one heatmap per answer in a view; zeros for None (not asked)."""
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
    """Return the support of a 1D Gaussian along a row or column of pixels, and its values there."""
    ends = np.array([center - _END * sigma, center + _END * sigma])
    first, last = np.clip(np.round(ends), 0, count).astype(int)
    offsets = (np.arange(first, last) + 0.5 - center) / sigma
    return slice(first, last), np.exp(-0.5 * offsets**2).astype(np.float32)
