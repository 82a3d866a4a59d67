"""Alignment of a thing's points with a frame by coloured ICP (open3d)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.acting.frame import TrackedFrame
from point2act.acting.thing import Thing
from point2act.core.geometry import pixel_centers, transform_points
from point2act.core.open3d_import import open3d

# Largest distance of corresponding points, and the spacing of compared ones, as fractions of the depth.
_MAX_DISTANCE, _SPACING = 0.025, 0.005
# Weight of geometry against colour (Park et al. 2017 use 0.968). Chosen.
_GEOMETRY = 0.9
_ITERATIONS = 15
_MIN_POINTS = 50
"""Smallest number of points of each side."""
# Trust from which a point of the thing takes part.
_TRUSTED = 0.3


class Alignment:
    """The trusted points of a thing, to align with a frame."""

    def __init__(self, thing: Thing, trust: Float[np.ndarray, " n"]):
        """Take the points that are trusted."""
        self._points = thing.points[trust > _TRUSTED]
        self._colors = thing.colors[trust > _TRUSTED]

    def refine(
        self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "4 4"] | None:
        """Return a pose nearby at which surface and colours agree better (Park et al. 2017).

        Returns:
            The pose, None if there are too few points or they do not determine one.
        """
        if len(self._points) < _MIN_POINTS:
            return None
        points = transform_points(T_cam_thing, self._points)
        depth = float(np.median(points[:, 2]))
        target = _surface(frame, points, _MAX_DISTANCE * depth, _SPACING * depth)
        if target is None:
            return None
        o3d = open3d()
        registration = o3d.pipelines.registration
        try:
            found = registration.registration_colored_icp(
                _cloud(self._points, self._colors, -self._points),
                target,
                _MAX_DISTANCE * depth,
                T_cam_thing,
                registration.TransformationEstimationForColoredICP(_GEOMETRY),
                registration.ICPConvergenceCriteria(max_iteration=_ITERATIONS),
            )
        except RuntimeError:  # no correspondences
            return None
        return np.array(found.transformation)


def _surface(frame: TrackedFrame, points: Float[np.ndarray, "n 3"], reach: float, spacing: float) -> Any:
    """Return the surface that a frame shows about points, with colours and normals."""
    corners = frame.pixels(points)
    margin = reach * frame.camera.fx / max(float(np.median(points[:, 2])), 1e-6)
    low = np.maximum(np.floor(corners.min(axis=0) - margin).astype(int), 0)
    high = np.ceil(corners.max(axis=0) + margin).astype(int)
    window = (slice(low[1], max(high[1], low[1])), slice(low[0], max(high[0], low[0])))
    depth = frame.depth[window]
    near = (depth > points[:, 2].min() - reach) & (depth < points[:, 2].max() + reach) & (depth > 0)
    if near.sum() < _MIN_POINTS:
        return None
    pixels = pixel_centers(frame.camera.height, frame.camera.width)[window][near]
    seen = frame.points(pixels, depth[near])
    cloud = _cloud(seen, frame.rgb[window][near], -seen).voxel_down_sample(spacing)
    cloud.estimate_normals(open3d().geometry.KDTreeSearchParamHybrid(3 * spacing, 20))
    cloud.orient_normals_towards_camera_location(np.zeros(3))
    return cloud


def _cloud(points: Any, colors: Any, normals: Any) -> Any:
    """Return open3d's cloud; coloured ICP asks for normals of both sides and uses the target's."""
    vectors = open3d().utility.Vector3dVector
    cloud = open3d().geometry.PointCloud(vectors(points))
    cloud.colors, cloud.normals = vectors(colors / 255.0), vectors(normals)
    return cloud
