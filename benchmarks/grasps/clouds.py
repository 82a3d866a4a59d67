"""What the simple heads see: measured points with normals, the table under them, and a gripper among them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.grasps.cases import Case
from point2act.core.geometry import back_project, pixel_centers
from point2act.grasping.grippers import Boxes, Gripper
from point2act.simulation import TrialConfig

CLEARANCE = TrialConfig().clearance
"""Metres that the trials open the gripper further than the grasp on each side."""
APPROACH = TrialConfig().approach
"""Length of the trials' straight way to the grasp, metres."""


def measured(case: Case, reach: float) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """World points within ``reach`` of the action point, one for each cell of 2 mm, and their normals.

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
    """The height at which most points lie, by layers of 2 mm; the world's z is up here."""
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
    """Which points the boxes of a gripper come within ``margin`` of on their straight way to a grasp."""
    local = (points - T_world_gripper[:3, 3]) @ T_world_gripper[:3, :3]
    met = np.zeros(len(points), dtype=bool)
    for center, half in boxes:
        x, y, z = (local - center).T
        a, b, c = half + margin
        met |= (abs(x) < a) & (abs(y) < b) & (z < c) & (z > -c - APPROACH)
    return met


def lowest(T_world_gripper: Float[np.ndarray, "4 4"], boxes: Boxes) -> float:
    """Height of the lowest corner of the boxes of a gripper."""
    up = T_world_gripper[2, :3]
    return float(T_world_gripper[2, 3] + (boxes.center @ up - boxes.half @ abs(up)).min())


def open_gripper(gripper: Gripper, width: float) -> Boxes:
    """The boxes of a gripper, fingers first, as the trials open it for a grasp of this width."""
    opening = min(width + 2 * CLEARANCE, gripper.max_width)
    return gripper.boxes_at(opening)


def thinned(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], cell: float
) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, "m 3"]]:
    """One point and the mean normal for each cell of a grid."""
    _, first, inverse = np.unique(
        np.floor(points / cell).astype(int) @ [1 << 40, 1 << 20, 1], return_index=True, return_inverse=True
    )
    total = np.zeros((len(first), 3))
    np.add.at(total, inverse, normals)
    return points[first], total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


def facing(approach: Float[np.ndarray, " 3"], closing: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
    """A gripper at the origin with these two axes, which are square to one another."""
    T = np.eye(4)
    T[:3, :3] = np.stack([np.cross(closing, approach), closing, approach], axis=1)
    return T
