"""Whether a gripper meets what a camera measured, in plain numpy and independent of the planner.

The planner works on a fused and smoothed surface, presumes hidden sides and fits a table. Here are only the
readings themselves: every pixel with a depth, put back into the world.
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
    """When a grasp counts as collision-free, and as having something between its fingers."""

    approach: float = 0.10
    """Length of the straight approach along the gripper's z axis, metres."""
    clearance: float = GraspConfig().pairs.clearance
    """Clearance beside each contact while the gripper is open, metres: the planner's own."""
    tolerance: float = 0.001
    """Allowed penetration of a reading, metres: the error of a depth camera at half a metre."""
    neighbours: int = 4
    """Smallest number of the 8 neighbours at a pixel's depth; pixels with fewer are flying pixels."""
    jump: float = 0.010
    """Depths this near to each other are the same surface's, metres; a table seen at 80 degrees and a metre
    away rises as much from pixel to pixel."""
    between: int = 10
    """That many readings between the pads are a thing: about 2 mm by 4 mm at half a metre."""


@dataclass(frozen=True)
class Verdict:
    """What the readings say of one grasp."""

    clearance: float
    """Distance of the open gripper on its path to the nearest depth reading, metres; negative inside."""
    between: int
    """Readings between the pads where they close."""
    contacts: tuple[float, float]
    """From each contact to the nearest reading, metres: far where the planner presumes a hidden side."""

    def free(self, config: CheckConfig = CheckConfig()) -> bool:
        """Whether the gripper gets there."""
        return self.clearance >= -config.tolerance

    def holds(self, config: CheckConfig = CheckConfig()) -> bool:
        """Whether there is something to close on."""
        return self.between >= config.between


def measured_cloud(views: Sequence[View], *, config: CheckConfig = CheckConfig()) -> Float[np.ndarray, "n 3"]:
    """World points of all readings of all views, without pixels that hang between front and back."""
    clouds = [np.zeros((0, 3))]
    for view in views:
        if view.depth is not None:
            steady = steady_pixels(view.depth, config)
            pixels = pixel_centers(*view.depth.shape)[steady]
            depth = view.depth[steady].astype(float)
            clouds.append(back_project(view.camera, view.T_world_cam, pixels, depth))
    return np.concatenate(clouds)


def steady_pixels(depth: Float[np.ndarray, "h w"], config: CheckConfig) -> Bool[np.ndarray, "h w"]:
    """Readings with enough of their eight neighbours at their own depth."""
    height, width = depth.shape
    padded = np.pad(depth, 1)
    alike = np.zeros(depth.shape, int)
    for row in range(3):
        for column in range(3):
            other = padded[row : row + height, column : column + width]
            alike += (other > 0) & (np.abs(other - depth) < config.jump)
    return (depth > 0) & (alike > config.neighbours)  # each is alike to itself


def check(
    grasp: Grasp, gripper: Gripper, cloud: Float[np.ndarray, "n 3"], *, config: CheckConfig = CheckConfig()
) -> Verdict:
    """Hold one grasp against a cloud of readings (world)."""
    local = transform_points(invert(grasp.T_world_gripper), cloud)
    opening = min(gripper.max_width, grasp.width + 2 * config.clearance)
    boxes = open_gripper(gripper, opening, config.approach)
    clearance = min(signed_distance(local, low, high).min(initial=np.inf) for low, high in boxes)
    pad = np.array([gripper.pad_size[0], opening, gripper.pad_size[1]]) / 2
    away = np.linalg.norm(cloud[None] - grasp.contacts[:, None], axis=2).min(axis=1, initial=np.inf)
    return Verdict(float(clearance), int((np.abs(local) < pad).all(axis=1).sum()), (away[0], away[1]))


def open_gripper(
    gripper: Gripper, opening: float, approach: float
) -> list[tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]]:
    """Lowest and highest corners, gripper frame, of the volume swept on the straight approach."""
    boxes = gripper.boxes_at(opening)
    return list(zip(boxes.low - [0, 0, approach], boxes.high, strict=True))


def signed_distance(
    points: Float[np.ndarray, "n 3"], low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " n"]:
    """Distance of each point to an axis-aligned box, negative inside."""
    over = np.maximum(low - points, points - high)
    return np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(axis=1), 0)
