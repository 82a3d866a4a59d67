"""Depth that the grasps of a query are planned on, as points around its region."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import back_project, pixel_centers, project, to_tangents, voxel_downsample
from point2act.core.types import Region, View
from point2act.pipeline.query import Localization

# Radius of the ball around the action point, and distance between points, relative to the cameras' distance:
# 15 cm and 2 mm from half a metre. Chosen: a gripper's reach, and what is seen on a page.
_RADIUS, _SPACING = 0.3, 0.004


def planning_depth(localization: Localization) -> Float[np.ndarray, "n 3"]:
    """Return the depth of all views near the region of a query, world; measured depth if there is any."""
    context, region = localization.context, localization.region
    if not isinstance(region, Region):
        return np.zeros((0, 3))
    center = region.action_point
    measured = [(view, view.depth) for view in context.measured if view.depth is not None]
    pairs = measured or list(zip(context.views, context.depths, strict=True))
    eyes = np.array([view.T_world_cam[:3, 3] for view, _ in pairs]).reshape(-1, 3)
    distance = float(np.median(np.linalg.norm(eyes - center, axis=1))) if len(eyes) else 1.0
    found = [_near(view, depth, center, _RADIUS * distance) for view, depth in pairs]
    points = np.concatenate([np.zeros((0, 3)), *found])
    return center + voxel_downsample(points - center, _SPACING * distance)


def _near(
    view: View, depth: Float[np.ndarray, "h w"], center: Float[np.ndarray, "3"], radius: float
) -> Float[np.ndarray, "n 3"]:
    """Return the depth of one view within a ball, world."""
    camera = view.camera
    (pixel,), (z,) = project(camera, view.T_world_cam, center[None])
    if z <= radius:
        return np.zeros((0, 3))
    # Only these pixels can see into the ball.
    aside = 1 + np.abs(to_tangents(camera, pixel[None])).max()
    reach = aside * max(camera.fx, camera.fy) * radius / (z - radius)
    low = np.maximum(np.floor(pixel - reach), 0).astype(int)
    high = np.maximum(np.ceil(pixel + reach), 0).astype(int)
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    pixels, depths = pixel_centers(*depth.shape)[part].reshape(-1, 2), depth[part].ravel()
    points = back_project(camera, view.T_world_cam, pixels[depths > 0], depths[depths > 0])
    return points[np.linalg.norm(points - center, axis=1) < radius]
