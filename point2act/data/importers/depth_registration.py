"""Registration of depth from a depth camera to the colour camera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import from_tangents, transform_points
from point2act.core.types import Camera
from point2act.data.importers.calibration import DepthCamera, ray_directions

_SAME_SURFACE = 0.02
"""Largest relative difference of neighbours between which a hole is filled, 1 cm at half a metre. Chosen."""

_NEAREST = 1e-3
"""Smallest depth of a projected point, metres."""


def register_depth(
    depth: Float[np.ndarray, "h w"], source: DepthCamera, camera: Camera
) -> Float[np.ndarray, "h2 w2"]:
    """Render depth into another camera: metres, 0 without a reading.

    Every depth pixel is a square at its depth; the bounding box of its projected corners is drawn with a
    z-buffer. Holes one pixel wide between neighbours of one surface are filled with their mean.
    """
    seen = depth > 0
    rays = ray_directions(source.sensor)[seen]
    half = np.array([0.5 / source.sensor.camera.fx, 0.5 / source.sensor.camera.fy])
    metres = depth[seen, None].astype(np.float64)
    corners = [_moved(source, rays + half * sign, metres) for sign in ((-1, -1), (1, -1), (-1, 1), (1, 1))]
    z = _moved(source, rays, metres)[:, 2]
    front = np.min([corner[:, 2] for corner in corners], axis=0) > _NEAREST
    pixels = np.array([_pixels(camera, corner[front]) for corner in corners])
    # A pixel is covered where its centre is.
    first = np.ceil(pixels.min(axis=0) - 0.5).astype(np.int64)
    end = np.ceil(pixels.max(axis=0) - 0.5).astype(np.int64)
    return _filled(_drawn(first, end, z[front], (camera.height, camera.width))).astype(np.float32)


def _moved(
    source: DepthCamera, rays: Float[np.ndarray, "n 2"], metres: Float[np.ndarray, "n 1"]
) -> Float[np.ndarray, "n 3"]:
    return transform_points(source.T_color_depth, np.concatenate([rays * metres, metres], axis=1))


def _pixels(camera: Camera, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Project points to pixels, clipped to near the image so that they fit into integers."""
    pixels = from_tangents(camera, points[:, :2] / points[:, 2:])
    return np.clip(pixels, -1.0, [camera.width + 1.0, camera.height + 1.0])


def _drawn(
    first: Int[np.ndarray, "n 2"],
    end: Int[np.ndarray, "n 2"],
    z: Float[np.ndarray, " n"],
    size: tuple[int, int],
) -> Float[np.ndarray, "h w"]:
    """Draw boxes of pixels (``end`` is exclusive) with a z-buffer, infinite where there is none."""
    height, width = size
    first = np.maximum(first, 0)
    end = np.minimum(end, [width, height])
    nearest = np.full(height * width, np.inf)
    sides = (end - first).max(axis=0, initial=0)
    for row in range(sides[1]):
        for column in range(sides[0]):
            x, y = first[:, 0] + column, first[:, 1] + row
            covered = (x < end[:, 0]) & (y < end[:, 1])
            np.minimum.at(nearest, y[covered] * width + x[covered], z[covered])
    return nearest.reshape(height, width)


def _filled(nearest: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Fill holes one pixel wide between two pixels of one surface; others are 0."""
    depth = np.where(np.isfinite(nearest), nearest, 0.0)
    padded = np.pad(depth, 1)
    sides = ((padded[1:-1, :-2], padded[1:-1, 2:]), (padded[:-2, 1:-1], padded[2:, 1:-1]))
    for before, after in sides:
        mean = 0.5 * (before + after)
        between = (before > 0) & (after > 0) & (np.abs(before - after) < _SAME_SURFACE * mean)
        depth = np.where((depth == 0) & between, mean, depth)
    return depth
