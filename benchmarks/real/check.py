"""Collision check of grasps against the measured depth, in plain NumPy and independent of the planner.

The planner works on a fused and smoothed surface, assumes hidden sides and fits a table. This check uses the
depth readings alone, back-projected into the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import back_project, invert, pixel_centers, transform_points
from point2act.core.types import Grasp, View
from point2act.grasping.antipodal.plan import GraspConfig
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True)
class CheckConfig:
    """Criteria for a grasp that is collision-free and has an object between its fingers."""

    approach: float = 0.10
    """Length of the straight approach along the gripper's z axis, metres."""
    clearance: float = GraspConfig().pairs.clearance
    """Clearance beside each contact of a grasp without an ``approach_width``, metres: that of the planner."""
    tolerance: float = 0.001
    """Allowed penetration of a reading, metres: the error of a depth camera at half a metre."""
    neighbours: int = 4
    """Smallest number of the 8 neighbours at a pixel's depth; pixels with fewer are flying pixels."""
    jump: float = 0.010
    """Largest difference of depth on one surface, metres: a table seen at 80 degrees from a metre away."""
    between: int = 10
    """Minimum number of readings between the pads: about 2 mm by 4 mm at half a metre."""


@dataclass(frozen=True)
class Verdict:
    """Evaluation of one grasp against the readings."""

    clearance: float
    """Distance of the open gripper on its path to the nearest depth reading, metres; negative inside."""
    between: int
    """Number of readings between the pads where they close."""
    contacts: tuple[float, float]
    """Distance from each contact to the nearest reading, metres: large on an assumed hidden side."""

    def free(self, config: CheckConfig = CheckConfig()) -> bool:
        """Return whether the approach is collision-free."""
        return self.clearance >= -config.tolerance

    def holds(self, config: CheckConfig = CheckConfig()) -> bool:
        """Return whether there is something to close on."""
        return self.between >= config.between


def measured_cloud(views: Sequence[View], *, config: CheckConfig = CheckConfig()) -> Float[np.ndarray, "n 3"]:
    """Return the world points of all readings of all views, without flying pixels."""
    clouds = [np.zeros((0, 3))]
    for view in views:
        if view.depth is not None:
            steady = steady_pixels(view.depth, config)
            pixels = pixel_centers(*view.depth.shape)[steady]
            depth = view.depth[steady].astype(float)
            clouds.append(back_project(view.camera, view.T_world_cam, pixels, depth))
    return np.concatenate(clouds)


def steady_pixels(depth: Float[np.ndarray, "h w"], config: CheckConfig) -> Bool[np.ndarray, "h w"]:
    """Return the readings with enough of their eight neighbours at the same depth."""
    height, width = depth.shape
    padded = np.pad(depth, 1)
    alike = np.zeros(depth.shape, int)
    for row in range(3):
        for column in range(3):
            other = padded[row : row + height, column : column + width]
            alike += (other > 0) & (np.abs(other - depth) < config.jump)
    return (depth > 0) & (alike > config.neighbours)  # Each pixel counts itself.


def check(
    grasp: Grasp, gripper: Gripper, cloud: Float[np.ndarray, "n 3"], *, config: CheckConfig = CheckConfig()
) -> Verdict:
    """Check one grasp against a cloud of readings in the world frame."""
    local = transform_points(invert(grasp.T_world_gripper), cloud)
    width = grasp.width + 2 * config.clearance if grasp.approach_width is None else grasp.approach_width
    opening = min(gripper.max_width, width)
    boxes = open_gripper(gripper, opening, config.approach)
    clearance = min(signed_distance(local, low, high).min(initial=np.inf) for low, high in boxes)
    pad = np.array([gripper.pad_size[0], opening, gripper.pad_size[1]]) / 2
    away = np.linalg.norm(cloud[None] - grasp.contacts[:, None], axis=2).min(axis=1, initial=np.inf)
    return Verdict(float(clearance), int((np.abs(local) < pad).all(axis=1).sum()), (away[0], away[1]))


def open_gripper(
    gripper: Gripper, opening: float, approach: float
) -> list[tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]]:
    """Return the lowest and highest corners, gripper frame, of the volumes swept on the straight approach."""
    boxes = gripper.boxes_at(opening)
    return list(zip(boxes.low - [0, 0, approach], boxes.high, strict=True))


def signed_distance(
    points: Float[np.ndarray, "n 3"], low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " n"]:
    """Return the distance of each point to an axis-aligned box, negative inside."""
    over = np.maximum(low - points, points - high)
    return np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(axis=1), 0)
