"""Points in an image to a heatmap: how likely each pixel is what was asked for. numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.geometry import pixel_centers
from point2act.types import Camera


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
) -> Float[np.ndarray, "h w"]:
    """The union (maximum) of one Gaussian bump of height 1 per point.

    ``pixels`` are ``(x, y)`` in the camera's continuous coordinates. No points, the answer "not
    visible", give zeros: evidence against everything in sight.
    """
    heat = np.zeros((camera.height, camera.width), dtype=np.float32)
    centers = pixel_centers(camera.height, camera.width)
    for pixel in pixels:
        squared = ((centers - pixel) ** 2).sum(axis=-1)
        np.maximum(heat, np.exp(-0.5 * squared / pixel_sigma(camera, config) ** 2), out=heat)
    return heat
