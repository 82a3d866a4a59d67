"""The terms of a grasp's quality: physical quantities, each brought to [0, 1], 1 being best."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float

from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.collision import approach_opening
from point2act.grasping.antipodal.contact import (
    ContactConfig,
    Near,
    Patch,
    close_pads,
    friction_needed,
    near_pairs,
)
from point2act.grasping.antipodal.contact_pairs import Pairs
from point2act.grasping.antipodal.pose_sampling import Poses
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True)
class TermConfig:
    """From what on more does not help."""

    contact: ContactConfig = field(default_factory=ContactConfig)
    """What closing pads touch."""
    full_patch: float = 1e-4
    """Area under the pad that holds less, square metres (the study's 25 points of 4 mm²)."""
    full_overlap: float = 0.012
    """Length of contact along the finger, metres (study)."""
    full_clearance: float = 0.006
    """Distance of the gripper to what is around, metres: the clearance that the open fingers have. Chosen."""
    far: float = 0.10
    """Level distance from the object's middle at which the lever is 0, metres."""
    weight: float = 5.0
    """Of what is lifted, newtons: half a kilogram. Chosen."""
    force: float = 40.0
    """Of a finger, newtons, or the gripper's own limit where that is lower: what trials squeeze with."""
    torsion: float = 0.005
    """Radius of the rubber's own footprint, metres: what even a point contact resists twisting with.
    Chosen."""


@dataclass(frozen=True, eq=False)
class GraspTerms:
    """One entry for each pose."""

    alignment: Float[np.ndarray, " n"]
    """Mean cosine of the surface's normals with the closing axis, on the pad where it is smaller."""
    patch: Float[np.ndarray, " n"]
    """Area under the pad that holds less."""
    overlap: Float[np.ndarray, " n"]
    """Length of the contact along the finger, on the shorter side."""
    opposed: Float[np.ndarray, " n"]
    """How well the patches face each other: 1 less their offset across the closing axis, in pad lengths."""
    friction: Float[np.ndarray, " n"]
    """Margin of friction: 1 less the share of the coefficient that the contacts' slant uses up."""
    twist: Float[np.ndarray, " n"]
    """Margin of torque: 1 less the object's weight about the closing axis, as a share of what the pads
    resist."""
    lever: Float[np.ndarray, " n"]
    """1 less the level distance to the object's middle, down to 0 at ``far``."""
    upright: Float[np.ndarray, " n"]
    """Cosine of the approach with straight down, or with the way the cameras looked if that is larger."""
    seen: Float[np.ndarray, " n"]
    """Share of what the pads hold that a camera saw, the mean of both."""
    sighted: Float[np.ndarray, " n"]
    """Share of the fingertips' clearance that was seen."""
    clearance: Float[np.ndarray, " n"]
    """Distance of the open gripper to everything on its way, up to ``full_clearance``."""
    robustness: Float[np.ndarray, " n"]
    """Share of grippers beside the pose that hold."""

    def only(self, chosen: np.ndarray) -> GraspTerms:
        """Some of them."""
        return GraspTerms(*(getattr(self, term.name)[chosen] for term in fields(self)))

    def of(self, index: int) -> dict[str, float]:
        """The terms of one grasp by their names."""
        return {term.name: float(getattr(self, term.name)[index]) for term in fields(self)}


def grasp_terms(
    poses: Poses,
    pairs: Pairs,
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
    """Judge poses; everything in the volume frame, whose z axis is up; ``cameras`` points towards them.

    Clearance and robustness take longer: they are left at 1 for the few poses that are worth them.
    """
    first, second = close_all(poses, pairs, surface, gripper, clearance=clearance, config=config.contact)
    to_mass = centroid - pairs.middles[poses.pair]
    approach = poses.rotations[:, :, 2]
    apart = np.linalg.norm((first.place - second.place)[:, [0, 2]], axis=1)
    needed = friction_needed(first, second)
    return GraspTerms(
        alignment=np.clip(np.minimum(first.alignment, second.alignment), 0, 1),
        patch=np.minimum(np.minimum(first.count, second.count) * voxel**2 / config.full_patch, 1),
        overlap=np.minimum(np.minimum(first.length, second.length) / config.full_overlap, 1),
        opposed=np.clip(1 - apart / gripper.pad_size[1], 0, 1),
        friction=np.clip(1 - needed / friction, 0, 1),
        twist=_twist_margin(poses, to_mass, (first, second), gripper, friction, config),
        lever=np.clip(1 - np.linalg.norm(to_mass[:, :2], axis=1) / config.far, 0, 1),
        upright=np.clip(np.maximum(-approach[:, 2], -approach @ cameras), 0, 1),
        seen=np.clip((first.seen + second.seen) / 2, 0, 1),
        sighted=1 - poses.unknown,
        clearance=np.ones(len(poses)),
        robustness=np.ones(len(poses)),
    )


def near_poses(
    poses: Poses, pairs: Pairs, surface: SurfacePoints, gripper: Gripper, config: ContactConfig
) -> dict[int, Near]:
    """The surface that pads at the poses may touch, for every pair that has a pose."""
    reach = float(np.hypot(*gripper.pad_size)) / 2 + float(np.abs(poses.depths).max(initial=0)) + config.sunk
    return near_pairs(surface, pairs, poses.pair, reach)


def close_all(
    poses: Poses,
    pairs: Pairs,
    surface: SurfacePoints,
    gripper: Gripper,
    *,
    clearance: float,
    config: ContactConfig,
) -> tuple[Patch, Patch]:
    """Close every gripper on the surface: the patches on the -y and on the +y side."""
    near = near_poses(poses, pairs, surface, gripper, config)
    middles, widths = pairs.middles, pairs.widths
    order, parts = [], []
    for index, around in near.items():
        rows = np.flatnonzero(poses.pair == index)
        order.append(rows)
        parts.append(
            close_pads(
                around,
                poses.rotations[rows],
                poses.origins[rows] - middles[index],
                gripper.pad_size,
                width=float(widths[index]),
                opening=approach_opening(gripper, float(widths[index]), clearance),
                config=config,
            )
        )
    back = np.argsort(np.concatenate(order)) if order else np.zeros(0, int)
    first, second = (_joined([part[side] for part in parts], back) for side in (0, 1))
    return first, second


def _joined(parts: list[Patch], order: np.ndarray) -> Patch:
    if not parts:
        nothing, nowhere = np.zeros(0), np.zeros((0, 3))
        return Patch(nothing.astype(bool), nowhere, nowhere, nothing.astype(int), *3 * [nothing])
    return Patch(*(np.concatenate([getattr(part, f.name) for part in parts])[order] for f in fields(Patch)))


def _twist_margin(
    poses: Poses,
    to_mass: Float[np.ndarray, "n 3"],
    patches: tuple[Patch, Patch],
    gripper: Gripper,
    friction: float,
    config: TermConfig,
) -> Float[np.ndarray, " n"]:
    """Weight about the closing axis against what two round patches resist, 2/3 of their radius each."""
    closing = poses.rotations[:, :, 1]
    down = np.array([0.0, 0.0, -config.weight])
    torque = np.abs((np.cross(to_mass, down) * closing).sum(axis=1))
    squeeze = friction * min(config.force, gripper.max_force)
    radii = [np.hypot(patch.length, patch.breadth) / 2 for patch in patches]
    resisted = sum(squeeze * np.maximum(2 / 3 * radius, config.torsion) for radius in radii)
    return np.clip(1 - torque / resisted, 0, 1)
