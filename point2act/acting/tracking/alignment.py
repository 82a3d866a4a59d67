"""Alignment of a surface with a frame by coloured ICP (open3d)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.acting.tracking.frame import TrackedFrame
from point2act.acting.tracking.surface import Surface
from point2act.core.geometry import invert, pixel_centers, transform, transform_points
from point2act.core.open3d_import import open3d
from point2act.grasping.registration import rounded_motion

NEAR, FAR = 0.025, 0.06
"""Largest distance of corresponding points as a fraction of the depth: about a pose that is nearly right, and
about one that is only known to be on the thing."""
# Spacing of the compared points as a fraction of the depth.
_SPACING = 0.005
# Weight of geometry against colour (Park et al. 2017 use 0.968). Chosen.
_GEOMETRY = 0.9
_ITERATIONS = 15
_MIN_POINTS = 50
"""Smallest number of points of each side."""
# Trust from which a point of the thing takes part.
_TRUSTED = 0.3


class Alignment:
    """The trusted points of a surface, to align with a frame."""

    def __init__(self, surface: Surface, trust: Float[np.ndarray, " n"]):
        """Take the points that are trusted."""
        self._points = surface.points[trust > _TRUSTED]
        self._colors = surface.colors[trust > _TRUSTED]

    def refine(
        self, frame: TrackedFrame, T_cam_thing: Float[np.ndarray, "4 4"], reach: float = NEAR
    ) -> Float[np.ndarray, "4 4"] | None:
        """Return a pose nearby at which surface and colours agree better (Park et al. 2017).

        Args:
            frame: The frame.
            T_cam_thing: The pose to start from.
            reach: Largest distance of corresponding points as a fraction of the depth.

        Returns:
            The pose, None if there are too few points or they do not determine one.
        """
        if len(self._points) < _MIN_POINTS:
            return None
        points = transform_points(T_cam_thing, self._points)
        depth = float(np.median(points[:, 2]))
        target = _surface(frame, points, reach * depth, _SPACING * depth)
        if target is None:
            return None
        registration = open3d().pipelines.registration
        # About their centre: a turn about a distant origin is a shift as well, and open3d's steps diverge.
        center = points.mean(axis=0)
        try:
            found = registration.registration_colored_icp(
                _cloud(points - center, self._colors, -points),
                target.translate(-center),
                reach * depth,
                np.eye(4),
                registration.TransformationEstimationForColoredICP(
                    _GEOMETRY, registration.TukeyLoss(reach * depth / 2)
                ),
                registration.ICPConvergenceCriteria(max_iteration=_ITERATIONS),
            )
        except RuntimeError:  # no correspondences
            return None
        about = transform(np.eye(3), center)
        motion = np.array(found.transformation)
        if not np.isfinite(motion).all():
            return None
        motion, _ = rounded_motion(motion)
        return about @ motion @ invert(about) @ T_cam_thing


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
