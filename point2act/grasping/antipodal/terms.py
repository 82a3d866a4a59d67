"""Terms of the grasp quality, each scaled to [0, 1] with 1 best."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float

from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.collision import approach_opening
from point2act.grasping.antipodal.contact import (
    ContactConfig,
    ContactPatch,
    NearSurface,
    close_pads,
    near_surfaces,
    required_friction,
)
from point2act.grasping.antipodal.contact_pairs import ContactPairs
from point2act.grasping.antipodal.pose_sampling import Poses
from point2act.grasping.grippers import Gripper
from point2act.grasping.records import Records, concatenate


@dataclass(frozen=True)
class TermConfig:
    """Scales of the terms of the grasp quality."""

    contact: ContactConfig = field(default_factory=ContactConfig)
    """Contact of a pad with a surface."""
    full_contact_area: float = 1e-4
    """Contact area from which the term ``patch`` is 1, square metres."""
    full_contact_length: float = 0.012
    """Contact length along the finger from which the term ``overlap`` is 1, metres."""
    full_clearance: float = 0.006
    """Distance of the gripper to everything from which the term ``clearance`` is 1, metres."""
    # The clearance of the open fingers. Chosen.
    max_lever: float = 0.10
    """Horizontal distance from the object's centre at which the term ``lever`` is 0, metres."""
    object_weight: float = 5.0
    """Weight of the object, newtons."""
    squeeze_force: float = 40.0
    """Force of a finger, newtons; limited by the gripper's own."""
    torsion_radius: float = 0.005
    """Radius of the footprint of a point contact, metres: torque that even a point contact resists."""


@dataclass(frozen=True, eq=False)
class GraspTerms(Records):
    """Terms of the quality, one entry per pose, each in [0, 1]."""

    alignment: Float[np.ndarray, " n"]
    """Mean cosine between surface normals and closing axis, on the pad where it is smaller."""
    patch: Float[np.ndarray, " n"]
    """Contact area, on the pad where it is smaller."""
    overlap: Float[np.ndarray, " n"]
    """Contact length along the finger, on the pad where it is smaller."""
    opposed: Float[np.ndarray, " n"]
    """1 minus the offset between the patches across the closing axis, in pad lengths."""
    friction: Float[np.ndarray, " n"]
    """Margin of friction: 1 - (coefficient that the contacts require) / (coefficient)."""
    twist: Float[np.ndarray, " n"]
    """Margin of torque: 1 - (torque of the weight around the closing axis) / (torque the pads resist)."""
    lever: Float[np.ndarray, " n"]
    """1 - (horizontal distance to the object's centre) / ``max_lever``."""
    upright: Float[np.ndarray, " n"]
    """Cosine of the approach with straight down, or with the viewing direction of the cameras if larger."""
    seen: Float[np.ndarray, " n"]
    """Fraction of the contact area that a camera observed, mean of both pads."""
    sighted: Float[np.ndarray, " n"]
    """Fraction of the volume around the fingertips that was observed."""
    clearance: Float[np.ndarray, " n"]
    """Distance of the open gripper to everything on its approach, over ``full_clearance``."""
    robustness: Float[np.ndarray, " n"]
    """Fraction of perturbed grasps that hold."""

    def of(self, index: int) -> dict[str, float]:
        """Return the terms of one grasp by name."""
        return {term.name: float(getattr(self, term.name)[index]) for term in fields(self)}


def grasp_terms(
    poses: Poses,
    pairs: ContactPairs,
    surface: SurfacePoints,
    centroid: Float[np.ndarray, "3"],
    cameras: Float[np.ndarray, "3"],
    gripper: Gripper,
    *,
    voxel: float,
    clearance: float,
    friction: float,
    config: TermConfig,
) -> GraspTerms:
    """Return the terms of poses in the volume frame, whose z axis is up.

    Clearance and robustness are expensive; they are 1 here and are computed for the best poses only.

    ``cameras`` is the unit direction towards the cameras, ``centroid`` that of the object; metres.
    """
    first, second = close_all(poses, pairs, surface, gripper, clearance=clearance, config=config.contact)
    to_mass = centroid - pairs.middles[poses.pair]
    approach = poses.rotations[:, :, 2]
    offset = np.linalg.norm((first.center - second.center)[:, [0, 2]], axis=1)
    required = required_friction(first, second)
    return GraspTerms(
        alignment=np.clip(np.minimum(first.alignment, second.alignment), 0, 1),
        patch=np.minimum(np.minimum(first.count, second.count) * voxel**2 / config.full_contact_area, 1),
        overlap=np.minimum(np.minimum(first.length, second.length) / config.full_contact_length, 1),
        opposed=np.clip(1 - offset / gripper.pad_size[1], 0, 1),
        friction=np.clip(1 - required / friction, 0, 1),
        twist=_twist_margin(poses, to_mass, (first, second), gripper, friction, config),
        lever=np.clip(1 - np.linalg.norm(to_mass[:, :2], axis=1) / config.max_lever, 0, 1),
        upright=np.clip(np.maximum(-approach[:, 2], -approach @ cameras), 0, 1),
        seen=np.clip((first.seen + second.seen) / 2, 0, 1),
        sighted=1 - poses.unknown,
        clearance=np.ones(len(poses)),
        robustness=np.ones(len(poses)),
    )


def surfaces_at_poses(
    poses: Poses, pairs: ContactPairs, surface: SurfacePoints, gripper: Gripper, config: ContactConfig
) -> dict[int, NearSurface]:
    """Return the surface that the pads may touch, for every pair that has a pose."""
    deepest = float(np.abs(poses.depths).max(initial=0))
    radius = float(np.hypot(*gripper.pad_size)) / 2 + deepest + config.max_overclosing
    return near_surfaces(surface, pairs, poses.pair, radius)


def close_all(
    poses: Poses,
    pairs: ContactPairs,
    surface: SurfacePoints,
    gripper: Gripper,
    *,
    clearance: float,
    config: ContactConfig,
) -> tuple[ContactPatch, ContactPatch]:
    """Close the gripper on the surface at all poses, and return the patches on the -y and on the +y side."""
    middles, widths = pairs.middles, pairs.widths
    order, patches = [], []
    for index, near in surfaces_at_poses(poses, pairs, surface, gripper, config).items():
        rows, width = np.flatnonzero(poses.pair == index), float(widths[index])
        order.append(rows)
        patches.append(
            close_pads(
                near,
                poses.rotations[rows],
                poses.origins[rows] - middles[index],
                gripper.pad_size,
                width=width,
                opening=approach_opening(gripper, width, clearance),
                config=config,
            )
        )
    if not patches:
        zero, points = np.zeros(0), np.zeros((0, 3))
        none = ContactPatch(zero.astype(bool), points, points, zero.astype(int), zero, zero, zero)
        return none, none
    back = np.argsort(np.concatenate(order))
    first, second = (concatenate(side).only(back) for side in zip(*patches, strict=True))
    return first, second


def _twist_margin(
    poses: Poses,
    to_mass: Float[np.ndarray, "n 3"],
    patches: tuple[ContactPatch, ContactPatch],
    gripper: Gripper,
    friction: float,
    config: TermConfig,
) -> Float[np.ndarray, " n"]:
    """Return 1 - T / T_max around the closing axis.

    A round patch of radius r under uniform pressure resists ``2/3 mu F r``; both patches add up.
    """
    closing = poses.rotations[:, :, 1]
    down = np.array([0.0, 0.0, -config.object_weight])
    torque = np.abs((np.cross(to_mass, down) * closing).sum(axis=1))
    squeeze = friction * min(config.squeeze_force, gripper.max_force)
    radii = [np.hypot(patch.length, patch.breadth) / 2 for patch in patches]
    resisted = sum(squeeze * np.maximum(2 / 3 * radius, config.torsion_radius) for radius in radii)
    return np.clip(1 - torque / resisted, 0, 1)
