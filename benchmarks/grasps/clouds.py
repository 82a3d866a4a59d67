"""Input of the simple planners: measured points with normals, the table's height, and collision checks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.grasps.cases import Case
from point2act.core.geometry import back_project, pixel_centers
from point2act.grasping.antipodal.collision import approach_opening
from point2act.grasping.grippers import Boxes, Gripper
from point2act.simulation import TrialConfig

CLEARANCE = TrialConfig().clearance
"""Clearance on each side of the grasp's width to which the trials open the gripper, metres."""
APPROACH = TrialConfig().approach
"""Length of the trials' straight approach, metres."""


def measured(case: Case, reach: float) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Return world points within ``reach`` of the action point, one per cell of 2 mm, and their normals.

    Normals are those of neighbouring pixels, averaged in the cell; they face the cameras.
    """
    points, normals = [], []
    for view, depth in zip(case.views, case.depths, strict=True):
        pixels = pixel_centers(*depth.shape).reshape(-1, 2)
        grid = back_project(view.camera, view.T_world_cam, pixels, depth.reshape(-1)).reshape(*depth.shape, 3)
        across = np.cross(np.gradient(grid, axis=0), np.gradient(grid, axis=1))
        size = np.linalg.norm(across, axis=2)
        even = np.ptp([np.roll(depth, shift, axis) for shift in (-1, 1) for axis in (0, 1)], axis=0) < 0.01
        near = np.linalg.norm(grid - case.region.action_point, axis=2) < reach
        kept = (depth > 0) & near & even & (size > 0)
        outward = across[kept] / size[kept, None]
        towards = view.T_world_cam[:3, 3] - grid[kept]
        points.append(grid[kept])
        normals.append(outward * np.sign(np.sum(outward * towards, axis=1, keepdims=True)))
    return thinned(np.concatenate(points), np.concatenate(normals), 0.002)


def table_height(points: Float[np.ndarray, "n 3"]) -> float:
    """Return the height at which most points lie, by layers of 2 mm; the world's z axis is up."""
    if not len(points):
        return 0.0
    layer = np.round(points[:, 2] / 0.002).astype(int)
    values, counts = np.unique(layer, return_counts=True)
    return float(np.median(points[layer == values[counts.argmax()], 2]))


def hits(
    points: Float[np.ndarray, "n 3"],
    T_world_gripper: Float[np.ndarray, "4 4"],
    boxes: Boxes,
    *,
    margin: float = 0.0,
) -> Bool[np.ndarray, " n"]:
    """Return which points are within ``margin`` of the gripper's boxes on their straight approach."""
    local = (points - T_world_gripper[:3, 3]) @ T_world_gripper[:3, :3]
    met = np.zeros(len(points), dtype=bool)
    for center, half in boxes:
        x, y, z = (local - center).T
        a, b, c = half + margin
        met |= (abs(x) < a) & (abs(y) < b) & (z < c) & (z > -c - APPROACH)
    return met


def lowest(T_world_gripper: Float[np.ndarray, "4 4"], boxes: Boxes) -> float:
    """Return the height of the lowest corner of the gripper's boxes."""
    up = T_world_gripper[2, :3]
    return float(T_world_gripper[2, 3] + (boxes.center @ up - boxes.half @ abs(up)).min())


def open_gripper(gripper: Gripper, width: float) -> Boxes:
    """Return the gripper's boxes, fingers first, as opened by the trials for a grasp of this width."""
    return gripper.boxes_at(approach_opening(gripper, width, CLEARANCE))


def thinned(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], cell: float
) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3"]]:
    """Return one point and the mean normal for each cell of a grid."""
    _, first, inverse = np.unique(
        np.floor(points / cell).astype(int) @ [1 << 40, 1 << 20, 1], return_index=True, return_inverse=True
    )
    total = np.zeros((len(first), 3))
    np.add.at(total, inverse, normals)
    return points[first], total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def facing(approach: Float[np.ndarray, " 3"], closing: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
    """Return a gripper pose at the origin with these two perpendicular axes."""
    T = np.eye(4)
    T[:3, :3] = np.stack([np.cross(closing, approach), closing, approach], axis=1)
    return T
