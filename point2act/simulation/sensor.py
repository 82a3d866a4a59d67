"""Simulated depth sensor: noise that grows with distance, missing readings, quantisation to millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from point2act.core.geometry import back_project, pixel_centers
from point2act.core.types import Camera


@dataclass(frozen=True)
class SensorConfig:
    """Noise of the simulated RGB-D camera, typical of short-range stereo cameras."""

    depth_sigma: float = 0.001
    """Standard deviation of depth at 0.5 m, metres; proportional to the square of the depth."""
    correlation: float = 1.0
    """Correlation length of depth noise, pixels: stereo matches windows."""
    edge_dropout: float = 0.4
    """Fraction of pixels without a reading at depth edges."""
    jump: float = 0.03
    """Difference between neighbours that counts as a depth edge, as a fraction of the depth."""
    farthest: float = 2.0
    """Maximum range, metres."""
    grazing: float = 0.2
    """Minimum cosine between surface normal and viewing ray for a reading."""
    thin_dropout: float = 0.2
    """Fraction of pixels without a reading on thin parts."""
    thin_width: int = 7
    """Width below which a part is thin, pixels."""
    blob_share: float = 0.01
    """Fraction of the image lost in random blobs."""
    rgb_sigma: float = 2.0
    """Standard deviation of the colours, in levels of 256."""


def measured_color(
    color: UInt8[np.ndarray, "h w 3"], config: SensorConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Add Gaussian noise to an image."""
    noisy = color + config.rgb_sigma * rng.standard_normal(color.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def measured_depth(
    depth: Float[np.ndarray, "h w"],
    part_ids: Int[np.ndarray, "h w"],
    camera: Camera,
    config: SensorConfig,
    rng: np.random.Generator,
) -> Float[np.ndarray, "h w"]:
    """Simulate a sensor's reading of the true z-depth: whole millimetres in metres, 0 without a reading."""
    noise = correlated_noise(depth.shape, config.correlation, rng)
    noisy = depth + config.depth_sigma * (depth / 0.5) ** 2 * noise
    lost = (
        (depth > config.farthest)
        | (depth_edges(depth, config.jump) & (rng.random(depth.shape) < config.edge_dropout))
        | (facing_cosines(depth, camera) < config.grazing)
        | (thin_parts(part_ids, config.thin_width) & (rng.random(depth.shape) < config.thin_dropout))
        | _blobs(depth.shape, config.blob_share, rng)
    )
    return np.where(lost, 0.0, np.round(noisy * 1000) / 1000).astype(np.float32)


def correlated_noise(
    shape: tuple[int, ...], correlation: float, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Return normal noise that a Gaussian of this many pixels correlates, with a standard deviation of 1."""
    noise = rng.standard_normal(shape)
    if correlation > 0:
        noise = gaussian_filter(noise, correlation)
        noise /= noise.std()
    return noise


def depth_edges(depth: Float[np.ndarray, "h w"], jump: float) -> Bool[np.ndarray, "h w"]:
    """Return pixels whose neighbours differ in depth by more than a fraction of it."""
    return maximum_filter(depth, 3) - minimum_filter(depth, 3) > jump * depth


def facing_cosines(depth: Float[np.ndarray, "h w"], camera: Camera) -> Float[np.ndarray, "h w"]:
    """Return the cosine between the surface normal and the viewing ray."""
    pixels = pixel_centers(camera.height, camera.width).reshape(-1, 2)
    points = back_project(camera, np.eye(4), pixels, depth.reshape(-1)).reshape(*depth.shape, 3)
    normals = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    lengths = np.linalg.norm(normals, axis=2) * np.linalg.norm(points, axis=2)
    return np.abs(np.sum(normals * points, axis=2)) / np.maximum(lengths, 1e-12)


def thin_parts(part_ids: Int[np.ndarray, "h w"], width: int) -> Bool[np.ndarray, "h w"]:
    """Return pixels of parts that do not hold a square of ``width`` pixels there."""
    thin = np.zeros(part_ids.shape, dtype=bool)
    for part in np.unique(part_ids[part_ids >= 0]):
        mask = part_ids == part
        thin |= mask & ~np.asarray(maximum_filter(minimum_filter(mask, width), width), dtype=bool)
    return thin


def _blobs(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    smooth = gaussian_filter(rng.standard_normal(shape), 3.0)
    return smooth > np.quantile(smooth, 1 - share)
