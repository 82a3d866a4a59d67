"""Depth of one camera → depth of the camera beside it. numpy only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import transform_points
from point2act.core.types import Camera
from point2act.data.importers.calibration import DepthCamera, ray_directions

_SAME_SURFACE = 0.02
"""Of the depth. Chosen: a hole is filled between neighbours that differ by less, 1 cm at half a metre."""

_NEAREST = 1e-3
"""Metres in front of the camera; what is nearer is not in the picture."""


def register_depth(
    depth: Float[np.ndarray, "h w"], source: DepthCamera, camera: Camera
) -> Float[np.ndarray, "h2 w2"]:
    """Depth as another camera sees it: metres, 0 where there is no reading.

    Every depth pixel is a square; its corners are moved to the other camera at the pixel's depth, and the box
    about them is drawn there; of several the nearest stays. What is left between neighbours of one surface
    (a slanted one spreads the squares) is filled with their mean; what no depth pixel saw stays empty.
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
    """Pixels, those far outside brought near, so that they fit into integers."""
    pixels = points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    return np.clip(pixels, -1.0, [camera.width + 1.0, camera.height + 1.0])


def _drawn(
    first: Int[np.ndarray, "n 2"],
    end: Int[np.ndarray, "n 2"],
    z: Float[np.ndarray, " n"],
    size: tuple[int, int],
) -> Float[np.ndarray, "h w"]:
    """The nearest of boxes of pixels (``end`` is beside them), infinite where there is none."""
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
    """Holes one pixel wide closed where both sides are one surface; 0 where it remains empty."""
    depth = np.where(np.isfinite(nearest), nearest, 0.0)
    padded = np.pad(depth, 1)
    sides = ((padded[1:-1, :-2], padded[1:-1, 2:]), (padded[:-2, 1:-1], padded[2:, 1:-1]))
    for before, after in sides:
        mean = 0.5 * (before + after)
        between = (before > 0) & (after > 0) & (np.abs(before - after) < _SAME_SURFACE * mean)
        depth = np.where((depth == 0) & between, mean, depth)
    return depth
