"""How far a hand opens to approach a grasp and to close on it without hitting anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from point2act.grasping.hands.energies import Grasps, HandModel, touch
from point2act.grasping.hands.kinematics import rotation_of
from point2act.grasping.hands.scene_field import SceneField


@dataclass(frozen=True)
class ApproachConfig:
    """Opening of the hand and its straight approach."""

    length: float = 0.10
    """Length of the approach along the palm's z axis, metres."""
    step: float = 0.01
    """Distance between checked poses on the approach, metres."""
    openings: tuple[float, ...] = (0.012, 0.02, 0.03, 0.045)
    """Distances that the touching fingers are tried to open, metres, the smallest first."""
    towards_rest: tuple[float, ...] = (0.3, 0.6, 1.0)
    """Ways to the rest pose that are tried next, as fractions."""
    clearance: float = 0.001
    """Smallest distance of the open hand to anything on the approach, metres."""
    closing_steps: int = 4
    """Poses that are checked between the open hand and the grasp."""
    closing_depth: float = 0.003
    """Largest depth of the closing fingers in the object, metres: they touch it first at one point."""


@dataclass(frozen=True, eq=False)
class Openings:
    """The open hand of every grasp."""

    joints: Float[Tensor, "b j"]
    clearance: Float[Tensor, " b"]
    """Smallest distance to anything on the approach, metres."""
    free: Bool[Tensor, " b"]
    """Whether approach and closing are free."""


def open_hands(grasps: Grasps, model: HandModel, scene: SceneField, *, config: ApproachConfig) -> Openings:
    """Return for every grasp the smallest opening whose approach and closing are free."""
    count = len(grasps)
    best = grasps.joints.detach().clone()
    clearance = torch.full((count,), -torch.inf).to(best)
    free = torch.zeros(count, dtype=torch.bool, device=best.device)
    for joints in _candidates(grasps, model, scene, config):
        with torch.no_grad():
            apart = _clearance(grasps, joints, model, scene, config)
            chosen = ~free & (apart >= config.clearance) & _closes(grasps, joints, model, scene, config)
        best[chosen], clearance[chosen] = joints[chosen], apart[chosen]
        free |= chosen
        if bool(free.all()):
            break
    return Openings(best, clearance, free)


def _candidates(
    grasps: Grasps, model: HandModel, scene: SceneField, config: ApproachConfig
) -> Iterator[Float[Tensor, "b j"]]:
    """Yield joint positions of open hands: off the object, then towards the rest pose."""
    kinematics = model.kinematics
    rest = torch.as_tensor(kinematics.hand.joints.rest).to(grasps.joints)
    away = _per_metre(grasps, model, scene)
    for distance in config.openings:
        yield (grasps.joints + distance * away).clamp(kinematics.low, kinematics.high).detach()
    for share in config.towards_rest:
        yield (grasps.joints + share * (rest - grasps.joints)).detach()


def _per_metre(grasps: Grasps, model: HandModel, scene: SceneField) -> Float[Tensor, "b j"]:
    """Return joint motions that move the contacts of each finger off the object, per metre of their mean.

    The gradient g of the contacts' distance along their normals; a step of ``g / |g|²`` moves them by one.
    Fingers without contacts do not move.
    """
    kinematics = model.kinematics
    joints = grasps.joints.detach().clone().requires_grad_(True)
    rotations, origins = kinematics.link_poses(
        grasps.position.detach(), rotation_of(grasps.columns.detach()), joints
    )
    at = touch(grasps, model, scene, rotations, origins)
    along = (at.points * at.normals.detach()).sum(dim=-1)
    (gradient,) = torch.autograd.grad((grasps.active * along).sum(), joints)
    hand = kinematics.hand
    finger = torch.as_tensor(hand.fingers[hand.joints.link], device=joints.device)
    same = (finger[:, None] == finger).to(joints)
    squared = gradient.square() @ same
    of_slot = torch.as_tensor(hand.fingers[hand.contacts.link], device=joints.device)[grasps.contacts]
    touching = (grasps.active[:, :, None] * (of_slot[:, :, None] == finger)).sum(dim=1)
    return torch.where(squared > 0, gradient * touching / squared.clamp_min(1e-6), torch.zeros_like(squared))


def _clearance(
    grasps: Grasps,
    joints: Float[Tensor, "b j"],
    model: HandModel,
    scene: SceneField,
    config: ApproachConfig,
) -> Float[Tensor, " b"]:
    """Return the smallest distance of open hands to anything on their approach."""
    rotation = rotation_of(grasps.columns)
    surface = model.surface.at(*model.kinematics.link_poses(grasps.position, rotation, joints))
    apart = torch.full((len(grasps),), torch.inf).to(joints)
    for back in torch.arange(0.0, config.length + 1e-9, config.step).tolist():
        moved = surface - back * rotation[:, None, :, 2]
        for grid in (scene.body, scene.surroundings):
            apart = torch.minimum(apart, model.surface.least(grid.distance_at(moved)))
    return apart


def _closes(
    grasps: Grasps,
    joints: Float[Tensor, "b j"],
    model: HandModel,
    scene: SceneField,
    config: ApproachConfig,
) -> Bool[Tensor, " b"]:
    """Return which open hands close to their grasps without hitting anything."""
    rotation, free = rotation_of(grasps.columns), torch.ones(len(grasps), dtype=torch.bool)
    free = free.to(joints.device)
    for step in range(1, config.closing_steps):
        between = joints + step / config.closing_steps * (grasps.joints - joints)
        surface = model.surface.at(*model.kinematics.link_poses(grasps.position, rotation, between))
        free &= model.surface.least(scene.surroundings.distance_at(surface)) >= 0
        free &= model.surface.least(scene.body.distance_at(surface)) >= -config.closing_depth
    return free
