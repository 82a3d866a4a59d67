"""Depth cameras as unkind as real ones: stereo, structured light and time of flight.

Stereo and structured light triangulate: a point at depth z has the disparity ``d = f B / z``, so an error of
``s`` pixels in d is one of ``z² s / (f B)`` metres in z, with focal length f in pixels and baseline B. The
second camera or the projector does not see what is behind a near edge: a shadow as wide as the difference of
the disparities. Time of flight has no shadow, but pixels on edges mix front and back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from point2act.core.types import Camera
from point2act.simulation.sensor import correlated_noise, depth_edges, facing_cosines, thin_parts


@dataclass(frozen=True)
class DepthSensor:
    """Laws of a depth camera. Lengths in metres, lengths in the image in pixels."""

    baseline: float = 0.0
    """Distance between the camera and the second camera or the projector; 0 for time of flight."""
    disparity_sigma: float = 0.0
    """Standard deviation of the disparity, pixels."""
    disparity_step: float = 0.0
    """Steps of the disparity, pixels; 0 for none."""
    depth_sigma: float = 0.0
    """Standard deviation of depth that does not depend on it."""
    relative_sigma: float = 0.0
    """Standard deviation of depth as a fraction of it."""
    correlation: float = 0.0
    """Standard deviation of the Gaussian that correlates the noise of neighbours, pixels."""
    fattening: int = 0
    """Largest distance by which near surfaces grow over far ones, pixels: half a matching window."""
    flying: float = 0.0
    """Fraction of pixels on depth edges that mix front and back."""
    rounding: float = 0.0
    """Fraction by which concave corners are filled towards a smooth surface, as by multipath."""
    edge_dropout: float = 0.0
    """Fraction of pixels without a reading on depth edges."""
    thin_dropout: float = 0.0
    """Fraction of pixels without a reading on parts thinner than ``THIN_WIDTH``."""
    darkest: int = 0
    """Grey level below which most pixels have no reading."""
    brightest: int = 256
    """Grey level above which most pixels have no reading: highlights on shiny surfaces."""
    grazing: float = 0.0
    """Smallest cosine between normal and viewing ray for a reading."""
    nearest: float = 0.0
    """Smallest depth with a reading."""
    farthest: float = 10.0
    """Largest depth with a reading."""


THIN_WIDTH = 5
"""Width below which a part is thin, pixels."""
_BAD_SURFACE_DROPOUT = 0.7
"""Fraction of pixels without a reading on surfaces that are too dark or too bright. Chosen."""
_EDGE = 0.02
"""Difference between neighbours that counts as a depth edge, as a fraction of the depth."""
_CORNER = 6.0
"""Standard deviation of the Gaussian that rounds concave corners, pixels. Chosen."""

SENSORS: dict[str, DepthSensor] = {
    # Intel RealSense D435: baseline 50 mm; 0.08 pixels of disparity are Intel's figure for a good setting
    # (Grunnet-Jepsen et al., "Best-known methods for tuning Intel RealSense depth cameras", 2018), matched in
    # windows of about 7 pixels.
    "stereo": DepthSensor(
        baseline=0.05,
        disparity_sigma=0.08,
        disparity_step=1 / 32,
        correlation=1.5,
        fattening=2,
        flying=0.1,
        edge_dropout=0.3,
        thin_dropout=0.3,
        darkest=18,
        brightest=252,
        grazing=0.2,
        nearest=0.20,
        farthest=4.0,
    ),
    # Microsoft Kinect: baseline 75 mm, disparity in steps of 1/8 pixel with half a step of noise (Khoshelham
    # and Elberink, "Accuracy and resolution of Kinect depth data", 2012): 1.4 mm at 1 m, 5.7 mm at 2 m.
    "structured_light": DepthSensor(
        baseline=0.075,
        disparity_sigma=0.06,
        disparity_step=1 / 8,
        correlation=1.5,
        fattening=1,
        flying=0.2,
        edge_dropout=0.3,
        thin_dropout=0.4,
        darkest=22,
        brightest=250,
        grazing=0.25,
        nearest=0.40,
        farthest=4.0,
    ),
    # Azure Kinect, narrow view: noise of 1 to 2 mm at 1 m (Tölgyessy et al., "Evaluation of the Azure Kinect
    # and its comparison to Kinect V1 and Kinect V2", 2021), flying pixels and rounded concave corners (Foix
    # et al., "Lock-in time-of-flight cameras: a survey", 2011).
    "tof": DepthSensor(
        depth_sigma=0.001,
        relative_sigma=0.0008,
        correlation=0.7,
        flying=0.8,
        rounding=0.3,
        thin_dropout=0.1,
        darkest=16,
        brightest=254,
        grazing=0.15,
        nearest=0.25,
        farthest=4.0,
    ),
}


def read_depth(
    depth: Float[np.ndarray, "h w"],
    color: UInt8[np.ndarray, "h w 3"],
    part_ids: Int[np.ndarray, "h w"],
    camera: Camera,
    sensor: DepthSensor,
    rng: np.random.Generator,
) -> Float[np.ndarray, "h w"]:
    """Simulate the readings of a depth camera.

    Args:
        depth: True z-depth, metres.
        color: Colours of the surfaces: dark and shiny ones have few readings.
        part_ids: Index of the part in each pixel, -1 for none: thin ones have few readings.
        camera: The camera.
        sensor: Laws of the sensor.
        rng: Generator of its noise.

    Returns:
        z-depth in metres, in whole millimetres; 0 without a reading.
    """
    depth = depth.astype(np.float64)
    edges = depth_edges(depth, _EDGE)
    seen = _mixed(_rounded(_fattened(depth, sensor, rng), sensor), edges, sensor, rng)
    noisy = _noisy(seen, camera, sensor, rng)
    lost = edges & (rng.random(depth.shape) < sensor.edge_dropout)
    lost |= thin_parts(part_ids, THIN_WIDTH) & (rng.random(depth.shape) < sensor.thin_dropout)
    grey = color.mean(axis=2)
    bad = (grey < sensor.darkest) | (grey > sensor.brightest)
    # Whole patches fail, not single pixels.
    lost |= bad & (_uniform_patches(depth.shape, rng) < _BAD_SURFACE_DROPOUT)
    lost |= (facing_cosines(depth, camera) < sensor.grazing) & ~edges
    lost |= in_shadow(depth, camera.fx * sensor.baseline)
    lost |= (noisy < sensor.nearest) | (noisy > sensor.farthest)
    return np.where(lost, 0.0, np.round(noisy * 1000) / 1000).astype(np.float32)


def in_shadow(depth: Float[np.ndarray, "h w"], reach: float) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that a second camera to the right does not see; ``reach`` is f B, pixel metres.

    A pixel x appears there at ``x - f B / z``. It is hidden where one further right appears at the same place
    or further left.
    """
    there = np.arange(depth.shape[1]) - reach / np.maximum(depth, 1e-6)
    leftmost = np.minimum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(depth.shape, bool)
    hidden[:, :-1] = leftmost[:, 1:] <= there[:, :-1]
    return hidden if reach > 0 else np.zeros(depth.shape, bool)


def _noisy(
    depth: Float[np.ndarray, "h w"], camera: Camera, sensor: DepthSensor, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Add noise and steps: in disparity if the sensor triangulates."""
    noise = correlated_noise(depth.shape, sensor.correlation, rng)
    if sensor.baseline == 0:
        return depth + (sensor.depth_sigma + sensor.relative_sigma * depth) * noise
    reach = camera.fx * sensor.baseline
    disparity = reach / np.maximum(depth, 1e-6) + sensor.disparity_sigma * noise
    if sensor.disparity_step > 0:
        disparity = np.round(disparity / sensor.disparity_step) * sensor.disparity_step
    return reach / np.maximum(disparity, 1e-6)


def _fattened(
    depth: Float[np.ndarray, "h w"], sensor: DepthSensor, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Let near surfaces grow over far ones by up to half a matching window, differently along an edge.

    Slanted surfaces have no edge: a window is centred on them, and finds their middle.
    """
    grown, patches = depth, _uniform_patches(depth.shape, rng)
    for pixels in range(1, sensor.fattening + 1):
        near = minimum_filter(depth, 2 * pixels + 1)
        covered = near < (1 - pixels * _EDGE) * depth
        grown = np.where(covered & (patches < 1 - pixels / (sensor.fattening + 1)), near, grown)
    return grown


def _mixed(
    depth: Float[np.ndarray, "h w"],
    edges: Bool[np.ndarray, "h w"],
    sensor: DepthSensor,
    rng: np.random.Generator,
) -> Float[np.ndarray, "h w"]:
    """Mix front and back in a fraction of the pixels on edges."""
    chosen = edges & (rng.random(depth.shape) < sensor.flying)
    share = rng.random(depth.shape)
    mixture = share * minimum_filter(depth, 3) + (1 - share) * maximum_filter(depth, 3)
    return np.where(chosen, mixture, depth)


def _rounded(depth: Float[np.ndarray, "h w"], sensor: DepthSensor) -> Float[np.ndarray, "h w"]:
    """Fill concave corners, where a smooth surface lies before the true one; depth edges are no corners."""
    if sensor.rounding == 0:
        return depth
    smooth = gaussian_filter(depth, _CORNER)
    before = np.maximum(depth - smooth, 0)
    return depth - sensor.rounding * np.where(before < _EDGE * depth, before, 0)


def _uniform_patches(shape: tuple[int, ...], rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Return numbers in [0, 1), uniform over the image and alike in neighbouring pixels."""
    smooth = gaussian_filter(rng.standard_normal(shape), 4.0)
    ranks = np.empty(smooth.size)
    ranks[np.argsort(smooth, axis=None)] = np.arange(smooth.size) / smooth.size
    return ranks.reshape(shape)
