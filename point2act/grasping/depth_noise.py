"""Noise of a depth camera: its published law, scaled to what the recording itself shows.

    sigma(z)² = (constant + relative z)² + (disparity z² / (f B))²

with the focal length f in pixels. Triangulating cameras have an error of their disparity ``d = f B / z``,
those that measure time of flight one that hardly depends on z. Planes are planes in inverse depth too, so the
residual of a block of an image from an affine function of the pixel, times z², is noise where the block is
flat; most of an image is, and the lower quartile of many blocks is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import pixel_centers
from point2act.core.types import DepthImages, View

Sensor = Literal["auto", "stereo", "structured_light", "tof"]
"""Kind of depth camera; ``auto`` for the law that fits best."""

# Neighbouring readings share much of their noise: a block has to be larger than a matching window, and what
# the plane through it absorbs is put back. Measured on the simulator's planes.
_BLOCK = 24
_TAKEN = 1.15
# Largest relief of a block, as a fraction of its depth: steeper ones span an edge.
_RELIEF = 0.08
# Number of blocks that weigh as much as the published law.
_PRIOR_BLOCKS = 10
# Smallest residual of a block: images without any noise are not exact either.
_EXACT = 1e-5
# Weight of the logarithm of a scale beside the scatter of the ratios, where the law is chosen.
_UNLIKELY = 0.5
# Largest number of images that are measured, spread over the capture.
_IMAGES = 8


@dataclass(frozen=True)
class NoiseLaw:
    """Published noise of a kind of depth camera."""

    constant: float = 0.0
    """Standard deviation of depth that does not depend on it, metres."""
    relative: float = 0.0
    """Increase of that per metre of depth."""
    disparity: float = 0.0
    """Standard deviation of the disparity, pixels."""
    step: float = 0.0
    """Steps of the disparity, pixels; their standard deviation is a step / sqrt(12)."""
    baseline: float = 1.0
    """Distance between the cameras, or camera and projector, metres."""

    def sigma(self, z: Float[np.ndarray, "*n"] | float, focal: float) -> Float[np.ndarray, "*n"] | float:
        """Return the standard deviation of a reading at depth z, metres."""
        squared = self.disparity**2 + self.step**2 / 12
        linear = self.constant + self.relative * z
        return np.sqrt(linear**2 + squared * z**4 / (focal * self.baseline) ** 2)


LAWS: dict[str, NoiseLaw] = {
    # Intel RealSense D435: Grunnet-Jepsen et al., "Best-known methods for tuning Intel RealSense depth
    # cameras", 2018.
    "stereo": NoiseLaw(disparity=0.08, step=1 / 32, baseline=0.05),
    # Microsoft Kinect: Khoshelham and Elberink, "Accuracy and resolution of Kinect depth data", 2012.
    "structured_light": NoiseLaw(disparity=0.06, step=1 / 8, baseline=0.075),
    # Azure Kinect: Tölgyessy et al., "Evaluation of the Azure Kinect", 2021.
    "tof": NoiseLaw(constant=0.001, relative=0.0008),
}


@dataclass(frozen=True)
class DepthNoise:
    """Noise of the depth of a capture."""

    sensor: str
    """Name of the law in ``LAWS``."""
    scale: float
    """Noise as a multiple of the law."""
    focal: float
    """Focal length of the measured images, pixels."""

    def sigma(self, z: Float[np.ndarray, "*n"] | float) -> Float[np.ndarray, "*n"] | float:
        """Return the standard deviation of a reading at depth z along the ray, metres."""
        return self.scale * LAWS[self.sensor].sigma(z, self.focal)


def estimate_noise(views: Sequence[View], depths: DepthImages, *, sensor: Sensor = "auto") -> DepthNoise:
    """Estimate the noise of a depth camera from flat parts of its images.

    The scale of a law is the geometric mean of the ratios of what blocks show and the law says, and of 1 for
    the law itself. Without any flat block it is 1.

    Args:
        views: At least one view.
        depths: z-depth of each view at the size at which it was recorded, metres; 0 for none.
        sensor: Kind of camera; ``auto`` chooses the law that fits best, stereo without evidence.
    """
    every = -(-len(views) // _IMAGES)
    found = [flat_residuals(depth) for depth in depths[::every]]
    z, residual = (np.concatenate(column) for column in zip(*found, strict=True))
    focal = views[0].camera.fx
    names = list(LAWS) if sensor == "auto" else [sensor]
    fits = [_fit(z, residual, LAWS[name], focal) for name in names]
    # Two laws grow alike with depth: of them the one counts whose published noise is nearer.
    best = int(np.argmin([np.hypot(scatter, _UNLIKELY * np.log(scale)) for scale, scatter in fits]))
    return DepthNoise(names[best], fits[best][0], focal)


def flat_residuals(
    depth: Float[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Return the depth of every complete block of an image, and its residual from a plane, metres."""
    rows, columns = depth.shape[0] // _BLOCK, depth.shape[1] // _BLOCK
    blocks = depth[: rows * _BLOCK, : columns * _BLOCK].astype(float)
    blocks = blocks.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK**2)
    low, high = blocks.min(axis=1, initial=np.inf), blocks.max(axis=1, initial=0.0)
    blocks = blocks[(low > 0) & (high - low < _RELIEF * high)]
    pixels = pixel_centers(_BLOCK, _BLOCK).reshape(-1, 2) / _BLOCK
    A = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
    inverse = 1 / blocks
    away = inverse - inverse @ np.linalg.pinv(A).T @ A.T
    z = np.median(blocks, axis=1)
    sigma = np.sqrt((away**2).sum(axis=1) / (_BLOCK**2 - 3)) * z**2
    return z, np.maximum(sigma, _EXACT)


def _fit(
    z: Float[np.ndarray, " b"], residual: Float[np.ndarray, " b"], law: NoiseLaw, focal: float
) -> tuple[float, float]:
    """Return the scale of a law, and how much its ratios to the residuals vary over depth."""
    if not len(z):
        return 1.0, 0.0
    ratios = np.log(residual / law.sigma(z, focal))
    # The flattest quarter at each depth: a few bins of equally many blocks.
    bins = np.array_split(ratios[np.argsort(z, kind="stable")], max(1, min(8, len(z) // 12)))
    each = np.array([np.quantile(part, 0.25) for part in bins])
    weight = len(z) / (len(z) + _PRIOR_BLOCKS)
    return float(np.exp(weight * (np.median(each) + np.log(_TAKEN)))), float(each.std())
