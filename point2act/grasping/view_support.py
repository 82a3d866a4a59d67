"""Support of grasps by the readings of single views, beside the surface that is fused from them.

Views that could not be aligned are left out of the fused surface, but what they saw is evidence too: a grasp
whose approach no view contradicts is preferred over one that only the fused views leave free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import invert, transform_points
from point2act.core.types import DepthImages, Grasp, View
from point2act.grasping.antipodal.collision import planned_opening, swept_back
from point2act.grasping.depth_images import clean_depths, readings_near
from point2act.grasping.grippers import Boxes, Gripper


@dataclass(frozen=True)
class SupportConfig:
    """When a view contradicts a grasp."""

    radius: float = 0.30
    """Radius around the action point within which readings count, metres."""
    # A gripper and its approach.
    approach: float = 0.08
    """Length of the approach on which readings count, metres."""
    tolerance: float = 0.003
    """Depth inside the gripper up to which a reading counts as free, metres: the error of poses."""
    cell: float = 0.002
    """Side of the cells in which readings are counted once, metres."""
    max_cells: int = 3
    """Largest number of cells with readings inside the gripper that counts as noise."""


def prefer_supported(
    grasps: Sequence[Grasp],
    views: Sequence[View],
    depths: DepthImages,
    center: Float[np.ndarray, "3"],
    gripper: Gripper,
    *,
    config: SupportConfig = SupportConfig(),
) -> tuple[Grasp, ...]:
    """Multiply every score by the fraction of views that leave the gripper free, and sort by score.

    Args:
        grasps: Grasps in the world frame.
        views: All views with depth, aligned or not.
        depths: z-depth of each view, metres; 0 for none.
        center: Action point, world.
        gripper: Gripper, open by each grasp's ``approach_width``.
        config: When a view contradicts a grasp.

    Returns:
        The grasps, best first; views without a reading near the action point do not count.
    """
    clean = zip(views, clean_depths(views, depths), strict=True)
    clouds = [readings_near(view, depth, center, config.radius)[0] for view, depth in clean]
    clouds = [cloud for cloud in clouds if len(cloud)]
    scored = []
    for grasp in grasps:
        opening = planned_opening(grasp, gripper, clearance=np.inf)
        boxes = _shrunk(gripper.boxes_at(opening), config)
        free = [_is_free(cloud, grasp, boxes, config) for cloud in clouds]
        scored.append(replace(grasp, score=grasp.score * float(np.mean(free or [True]))))
    return tuple(sorted(scored, key=lambda grasp: -grasp.score))


def _shrunk(boxes: Boxes, config: SupportConfig) -> Boxes:
    """Return the volume that smaller boxes sweep on the approach."""
    smaller = Boxes(boxes.center, np.maximum(boxes.half - config.tolerance, 0))
    return swept_back(smaller, config.approach)


def _is_free(cloud: Float[np.ndarray, "n 3"], grasp: Grasp, boxes: Boxes, config: SupportConfig) -> bool:
    """Return whether hardly any reading lies inside the gripper on its approach."""
    inside = _inside(cloud, grasp, boxes)
    return len(inside) <= config.max_cells or (
        len(np.unique(np.floor(inside / config.cell), axis=0)) <= config.max_cells
    )


def _inside(cloud: Float[np.ndarray, "n 3"], grasp: Grasp, boxes: Boxes) -> Float[np.ndarray, "m 3"]:
    """Return the world points that lie inside a box of the gripper."""
    T_gripper_world = invert(grasp.T_world_gripper)
    low, high = boxes.low.min(axis=0), boxes.high.max(axis=0)
    # Most points are outside the thinnest slab around the gripper, which takes one coordinate of each.
    for axis in np.argsort(high - low):
        along = cloud @ T_gripper_world[axis, :3] + T_gripper_world[axis, 3]
        cloud = cloud[np.flatnonzero((along > low[axis]) & (along < high[axis]))]
    around = transform_points(T_gripper_world, cloud).T.copy()  # columns are faster
    inside = np.zeros(len(cloud), bool)
    for low, high in zip(boxes.low, boxes.high, strict=True):
        inside |= ((around > low[:, None]) & (around < high[:, None])).all(axis=0)
    return cloud[inside]
