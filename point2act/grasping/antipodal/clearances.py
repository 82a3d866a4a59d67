"""Clearances of gripper poses on the approach and the lift, with the planned opening and fully open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig, avoid_distances
from point2act.grasping.antipodal.boundary import SolidPoints
from point2act.grasping.antipodal.collision import (
    approach_opening,
    closing_boxes,
    nearest,
    nearest_on_path,
    swept_back,
    table_heights,
)
from point2act.grasping.antipodal.contact_pairs import ContactPairs
from point2act.grasping.antipodal.pose_sampling import Poses, PoseSamplingConfig, unseen_fraction
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper


def approach_clearances(
    volume: LocalVolume,
    solid: SolidPoints,
    poses: Poses,
    gripper: Gripper,
    openings: Float[np.ndarray, " n"],
    *,
    length: float,
) -> Float[np.ndarray, " n"]:
    """Return the smallest distances of the open gripper on its straight approach to points and table, metres.

    Args:
        openings: Opening of each pose, metres.
        length: Length of the approach, metres.
    """
    smallest = np.zeros(len(poses))
    for i, opening in enumerate(openings.tolist()):
        rotation, origin = poses.rotations[i], poses.origins[i]
        boxes = swept_back(gripper.boxes_at(opening), length)
        height = table_heights(volume, rotation[None], origin[None], boxes)[0]
        smallest[i] = min(nearest((solid.points - origin) @ rotation, boxes), height)
    return smallest


def lift_clearances(
    solid: SolidPoints,
    poses: Poses,
    gripper: Gripper,
    widths: Float[np.ndarray, " n"],
    *,
    config: PoseSamplingConfig,
) -> Float[np.ndarray, " n"]:
    """Return the smallest distances of the closed gripper on its lift to all but the object, metres.

    ``widths`` are the openings of the closed gripper, metres; the z axis of the volume frame is up.
    """
    others, smallest = solid.points[~solid.on_object], np.zeros(len(poses))
    for i, width in enumerate(widths.tolist()):
        local = (others - poses.origins[i]) @ poses.rotations[i]
        up = config.lift * poses.rotations[i, 2]  # in the gripper's axes
        smallest[i] = nearest_on_path(local, gripper.boxes_at(width), up, step=config.lift_step)
    return smallest


def opened_clearances(
    volume: LocalVolume,
    solid: SolidPoints,
    poses: Poses,
    pairs: ContactPairs,
    gripper: Gripper,
    avoid: Sequence[Avoid],
    *,
    clearance: float,
    config: PoseSamplingConfig,
    avoid_config: AvoidConfig,
) -> Float[np.ndarray, " n"]:
    """Return the approach clearances of poses with another opening than planned, metres.

    Negative infinity where closing, fingertips in unobserved space or regions to avoid forbid that opening.

    Args:
        clearance: Distance of the open pads from each contact, metres; infinite for fully open.
    """
    near = avoid_distances(
        poses,
        pairs,
        gripper,
        avoid,
        volume.T_world_volume,
        clearance=clearance,
        approach=config.approach,
        config=avoid_config,
    )
    free = unseen_fraction(volume, poses, pairs, gripper, clearance) <= config.max_unseen_fraction
    free &= ~near.rejected.any(axis=0)
    widths = pairs.widths[poses.pair]
    openings = np.array([approach_opening(gripper, float(width), clearance) for width in widths])
    approach = approach_clearances(volume, solid, poses, gripper, openings, length=config.approach)
    others = solid.points[~solid.on_object]
    for i in np.flatnonzero(free & (approach > 0)).tolist():
        swept = closing_boxes(gripper, float(widths[i]), float(openings[i]))
        distance = nearest((others - poses.origins[i]) @ poses.rotations[i], swept)
        free[i] = distance >= config.closing_margin
    return np.where(free, approach, -np.inf)
