"""Soundness of a grasp by the measured points alone, without physics.

A grasp is sound if no measured point lies inside the palm or the fingers on the last centimetres of the
approach, with the gripper open as grasps.json says, if enough points lie between the pads, and if the grasp
is near the point that was clicked. It is independent of the planner, as ``check`` is, and judges the best
grasp alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import back_project, invert, pixel_centers, transform_points
from point2act.core.types import Grasp, View
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.antipodal.plan import GraspConfig
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True)
class SoundnessConfig:
    """Criteria of a sound grasp, chosen by the judges of another project for readings of real cameras."""

    approach: float = 0.08
    """Length of the end of the approach that is checked, metres."""
    shrink: float = 0.003
    """Boxes of palm and fingers are smaller by this on every side, metres."""
    voxel: float = 0.002
    """Side of the voxels by which points inside the boxes are counted, metres."""
    forgiven: int = 3
    """Largest number of voxels inside the boxes."""
    between: int = 10
    """Smallest number of points between the pads."""
    reach: float = 0.10
    """Largest distance of the grasp from the clicked point, metres."""


@dataclass(frozen=True)
class Soundness:
    """Judgement of one grasp against one set of points."""

    inside: int
    """Number of voxels with points inside palm or fingers on the approach."""
    between: int
    """Number of points between the pads."""
    away: float
    """Distance of the grasp from the clicked point, metres; 0 if none was given."""

    def free(self, config: SoundnessConfig = SoundnessConfig()) -> bool:
        """Return whether the approach is free."""
        return self.inside <= config.forgiven

    def holds(self, config: SoundnessConfig = SoundnessConfig()) -> bool:
        """Return whether the grasp is where it should be and has something between the pads."""
        return self.between >= config.between and self.away <= config.reach

    def sound(self, config: SoundnessConfig = SoundnessConfig()) -> bool:
        """Return whether the grasp is sound."""
        return self.free(config) and self.holds(config)


def readings(view: View) -> Float[np.ndarray, "n 3"]:
    """Return the world points of all readings of a view, flying pixels too, without masked ones."""
    assert view.depth is not None
    read = view.depth > 0
    if view.mask is not None:
        read &= view.mask
    pixels = pixel_centers(*view.depth.shape)[read]
    return back_project(view.camera, view.T_world_cam, pixels, view.depth[read].astype(float))


def approach_width(grasp: Grasp, gripper: Gripper) -> float:
    """Return the opening on the approach as grasps.json says, metres."""
    return planned_opening(grasp, gripper, clearance=GraspConfig().pairs.clearance)


def judge(
    grasp: Grasp,
    gripper: Gripper,
    points: Float[np.ndarray, "n 3"],
    *,
    opening: float,
    clicked: Float[np.ndarray, "3"] | None = None,
    config: SoundnessConfig = SoundnessConfig(),
) -> Soundness:
    """Judge a grasp against measured points.

    Args:
        grasp: Grasp, world frame.
        gripper: Its gripper.
        points: Measured points, world.
        opening: Distance between the pads on the approach, metres.
        clicked: The clicked point, world.
        config: Criteria.
    """
    local = transform_points(invert(grasp.T_world_gripper), points)
    boxes = gripper.boxes_at(opening)
    hit = np.zeros(len(local), dtype=bool)
    for low, high in zip(boxes.low + config.shrink, boxes.high - config.shrink, strict=True):
        if (low < high).all():
            hit |= ((local > low - [0.0, 0.0, config.approach]) & (local < high)).all(axis=1)
    pad = np.array([gripper.pad_size[0], opening, gripper.pad_size[1]]) / 2
    away = 0.0 if clicked is None else float(np.linalg.norm(grasp.T_world_gripper[:3, 3] - clicked))
    return Soundness(_voxels(local[hit], config.voxel), int((np.abs(local) < pad).all(axis=1).sum()), away)


def _voxels(points: Float[np.ndarray, "n 3"], side: float) -> int:
    """Return the number of voxels that hold a point."""
    return len(np.unique(np.floor(points / side).astype(int), axis=0))
