"""Point clouds of depth cameras, and their rendering by virtual cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial import KDTree

from point2act.core.geometry import pixel_centers, project, to_tangents
from point2act.core.open3d_import import open3d
from point2act.core.types import Camera, View

FOOTPRINT = 1.5
"""Size of a rendered point as a multiple of the median spacing of the points in the image: gaps of one point
close, a gap of two points stays a hole."""
THICKNESS = 0.01
"""Distance behind the nearest point at a pixel from which points are another surface, metres."""
BORDER = 20
"""Border around the cloud in the image, pixels."""


def read_cloud(path: Path) -> Float[np.ndarray, "n 3"]:
    """Read the finite points of a PCD file, metres, in its own frame."""
    points = np.asarray(open3d().io.read_point_cloud(str(path)).points)
    return points[np.isfinite(points).all(axis=1)]


def view_of_cloud(
    name: str, cloud: Float[np.ndarray, "n 3"], T_world_cam: Float[np.ndarray, "4 4"], focal: float
) -> View:
    """Render a cloud with a pinhole camera of this focal length (pixels), shaded by its slant."""
    camera = _camera_about(cloud, T_world_cam, focal)
    depth = _depth(cloud, camera, T_world_cam)
    return View(name, camera, T_world_cam, _shaded(depth, camera), depth)


def _camera_about(cloud: Float[np.ndarray, "n 3"], T_world_cam: np.ndarray, focal: float) -> Camera:
    pixels, _ = project(Camera(focal, focal, 0.0, 0.0, 1, 1), T_world_cam, cloud)
    low, high = pixels.min(axis=0) - BORDER, pixels.max(axis=0) + BORDER
    width, height = np.ceil(high - low).astype(int)
    return Camera(focal, focal, float(-low[0]), float(-low[1]), int(height), int(width))


def _depth(
    cloud: Float[np.ndarray, "n 3"], camera: Camera, T_world_cam: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "h w"]:
    """Return the mean depth of the nearest surface at each pixel; 0 where there is none."""
    pixels, z = project(camera, T_world_cam, cloud)
    spacing = np.median(KDTree(cloud).query(cloud, k=2)[0][:, 1])
    radius = FOOTPRINT * spacing * camera.fx / np.median(z)
    centers = pixel_centers(camera.height, camera.width).reshape(-1, 2)
    # Two surfaces, one behind the other, have a dozen points each in a footprint.
    away, index = KDTree(pixels).query(centers, k=24, distance_upper_bound=radius)
    depths = np.append(z, 0.0)[index]
    nearest = np.where(np.isfinite(away), depths, np.inf).min(axis=1, keepdims=True)
    weight = np.where(depths < nearest + THICKNESS, 1 / (1 + away**2), 0.0)
    depth = (depths * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
    return depth.reshape(camera.height, camera.width).astype(np.float32)


def _shaded(depth: Float[np.ndarray, "h w"], camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    """Return a grey image, bright where the surface faces the camera, dark where nothing was measured."""
    rays = to_tangents(camera, pixel_centers(*depth.shape).reshape(-1, 2)).reshape(*depth.shape, 2)
    points = np.concatenate([rays, np.ones((*depth.shape, 1))], axis=2) * depth[..., None]
    down, right = np.gradient(points, axis=(0, 1))
    normals = np.cross(right, down)
    facing = np.abs(normals[..., 2]) / np.maximum(np.linalg.norm(normals, axis=2), 1e-12)
    grey = np.where(depth > 0, 40 + 180 * facing, 0)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
