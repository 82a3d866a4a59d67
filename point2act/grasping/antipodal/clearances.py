"""Clearances of gripper poses on the approach and the lift, with the planned opening and fully open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig, avoid_distances
from point2act.grasping.antipodal.boundary import SolidPoints
from point2act.grasping.antipodal.collision import (
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


def free_fully_open(
    volume: LocalVolume,
    solid: SolidPoints,
    poses: Poses,
    pairs: ContactPairs,
    gripper: Gripper,
    avoid: Sequence[Avoid],
    *,
    needed: Float[np.ndarray, " n"],
    config: PoseSamplingConfig,
    avoid_config: AvoidConfig,
) -> Bool[np.ndarray, " n"]:
    """Return which poses pass the checks of the planned opening with the gripper fully open too.

    The checks are the approach, the closing, fingertips in unobserved space and regions to avoid.

    Args:
        needed: Clearance that the approach of each pose needs, metres.
    """
    fully = np.inf  # clearance beside the contacts, limited by the gripper's opening
    near = avoid_distances(
        poses,
        pairs,
        gripper,
        avoid,
        volume.T_world_volume,
        clearance=fully,
        approach=config.approach,
        config=avoid_config,
    )
    free = unseen_fraction(volume, poses, pairs, gripper, fully) <= config.max_unseen_fraction
    free &= ~near.rejected.any(axis=0)
    openings = np.full(len(poses), gripper.max_width)
    free &= approach_clearances(volume, solid, poses, gripper, openings, length=config.approach) >= needed
    others = solid.points[~solid.on_object]
    for i in np.flatnonzero(free).tolist():
        swept = closing_boxes(gripper, float(pairs.widths[poses.pair[i]]), gripper.max_width)
        distance = nearest((others - poses.origins[i]) @ poses.rotations[i], swept)
        free[i] = distance >= config.closing_margin
    return free
