"""Energies of grasps of a hand: small where contacts hold the object, on the wanted part, and nothing is hit.

The sum of DexGraspNet (Wang et al., ICRA 2023), ``E = E_fc + w_dis E_dis + w_pen E_pen + w_spen E_spen +
w_joints E_joints``, with the force-closure term of Liu et al. ("Synthesizing diverse and physically stable
grasps with arbitrary hand structures using differentiable force closure estimator", RA-L 2022),
``E_fc = |G f|²`` with the grasp map ``G = [I ... I; [x_1] ... [x_n]]``. There every contact presses with the
same force; here forces are variables of the optimisation, since a thumb opposes several fingers. The term for
table and neighbours follows Get a Grip (Lum et al., CoRL 2024); those for the region and for the lever of the
object's weight are our own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from point2act.grasping.hands.kinematics import Kinematics, LinkPoints, rotation_of
from point2act.grasping.hands.scene_field import Grid, SceneField


@dataclass(frozen=True)
class EnergyConfig:
    """Weights and scales of the energies."""

    # Weights: chosen by hand on simulated tables that no figure is from.
    closure: float = 20.0
    """Weight of the wrench that remains, in squares of the sum of all forces."""
    distance: float = 300.0
    """Weight of the mean distance of the contacts to the object, per metre."""
    alignment: float = 1.0
    """Weight of the mean angle between hand and object at the contacts, 1 - cos."""
    penetration: float = 60.0
    """Weight of the sum of depths of the hand's surface in the object, per metre."""
    surroundings: float = 60.0
    """Weight of the sum of depths in the margin around table, neighbours and unknown space, per metre."""
    self_penetration: float = 100.0
    """Weight of the sum of depths of the fingers in each other, per metre."""
    limits: float = 10.0
    """Weight of the sum of angles beyond the joints' limits, per radian."""
    region: float = 3.0
    """Weight of the mean probability that a contact is not on the region."""
    lever: float = 40.0
    """Weight of the horizontal distance from the centre of mass to the contacts, per metre."""
    margin: float = 0.006
    """Distance that the hand keeps from table, neighbours and unknown space, metres."""
    # Three voxels of the fused surface.
    near: float = 0.005
    """Distance below which that of a contact counts quadratically, metres."""
    torque_length: float = 0.05
    """Lever at which a torque counts as much as a force, metres: half a thing that a hand holds."""
    min_share: float = 0.08
    """Smallest share of a contact in the sum of all forces."""


@dataclass(eq=False)
class Grasps:
    """Grasps of a batch: the variables of the optimisation, and which contact points each uses."""

    position: Float[Tensor, "b 3"]
    """Origin of the palm frame in the volume frame, metres."""
    columns: Float[Tensor, "b 6"]
    """First two columns of the palm frame's rotation."""
    joints: Float[Tensor, "b j"]
    """Joint positions, radians."""
    forces: Float[Tensor, "b n"]
    """Logarithms of the contacts' forces, but for a factor."""
    contacts: Int[Tensor, "b n"]
    """Index of the hand's contact point that each contact uses."""
    active: Float[Tensor, "b n"]
    """1 for the contacts of a grasp, 0 for places that are not used."""

    @property
    def variables(self) -> tuple[Tensor, ...]:
        """The tensors that gradients are taken of."""
        return self.position, self.columns, self.joints, self.forces

    def to(self, like: Tensor) -> Grasps:
        """Return copies on the device of a tensor, numbers with its type."""
        moved = [getattr(self, one.name).clone() for one in fields(self)]
        return Grasps(
            *(value.to(like) if value.is_floating_point() else value.to(like.device) for value in moved)
        )

    def only(self, chosen: Tensor) -> Grasps:
        """Return some of the grasps, by index or mask."""
        return Grasps(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, eq=False)
class Energies:
    """Each energy of every grasp, without its weight."""

    closure: Float[Tensor, " b"]
    distance: Float[Tensor, " b"]
    alignment: Float[Tensor, " b"]
    penetration: Float[Tensor, " b"]
    surroundings: Float[Tensor, " b"]
    self_penetration: Float[Tensor, " b"]
    limits: Float[Tensor, " b"]
    region: Float[Tensor, " b"]
    lever: Float[Tensor, " b"]

    def total(self, config: EnergyConfig) -> Float[Tensor, " b"]:
        """Return the weighted sum."""
        weighted = [getattr(config, one.name) * getattr(self, one.name) for one in fields(self)]
        return torch.stack(weighted).sum(dim=0)


@dataclass(frozen=True, eq=False)
class HandModel:
    """Tensors of a hand that all energies need."""

    kinematics: Kinematics
    surface: LinkPoints
    contacts: tuple[Int[Tensor, " c"], Float[Tensor, "c 3"], Float[Tensor, "c 3"]]
    """Link, position and outward normal of each contact point, in the frame of the link."""
    spheres: LinkPoints
    sphere_pairs: Int[Tensor, "2 p"]
    """Pairs of spheres that must not meet."""
    sphere_reach: Float[Tensor, " p"]
    """Sums of their radii, metres."""

    def sphere_depths(
        self, rotations: Float[Tensor, "b l 3 3"], origins: Float[Tensor, "b l 3"]
    ) -> Float[Tensor, "b p"]:
        """Return how deep spheres of each pair are in each other, metres; negative where they are apart."""
        centers = self.spheres.at(rotations, origins)
        one, other = self.sphere_pairs
        apart = (centers[:, one] - centers[:, other]).square().sum(dim=-1)
        return self.sphere_reach - torch.sqrt(apart + 1e-12)


@dataclass(frozen=True, eq=False)
class Touch:
    """The contacts of every grasp, in the volume frame."""

    points: Float[Tensor, "b n 3"]
    hand_normals: Float[Tensor, "b n 3"]
    """Outward unit normals of the hand."""
    distance: Float[Tensor, "b n"]
    """Signed distance to the object, metres."""
    normals: Float[Tensor, "b n 3"]
    """Outward unit normals of the object."""
    probability: Float[Tensor, "b n"]
    """Probability of the region."""


def model_of(kinematics: Kinematics, *, spacing: float) -> HandModel:
    """Prepare the tensors of a hand.

    Args:
        kinematics: Its kinematics.
        spacing: Distance between points of the surface, metres.
    """
    hand, like = kinematics.hand, kinematics.low
    # Sorted by link, as their points are.
    order = np.argsort(hand.spheres.link, kind="stable")
    pairs = np.argsort(order)[hand.self_pairs()]
    reach = hand.spheres.radius[order][pairs].sum(axis=0)
    spheres = kinematics.points(hand.spheres.link, hand.spheres.center, width=1)
    points = hand.contacts
    contacts = (
        torch.as_tensor(points.link, device=like.device),
        torch.as_tensor(points.position).to(like),
        torch.as_tensor(points.normal).to(like),
    )
    return HandModel(
        kinematics,
        kinematics.surface(spacing),
        contacts,
        spheres,
        torch.as_tensor(pairs, device=like.device),
        torch.as_tensor(reach).to(like),
    )


def touch(
    grasps: Grasps,
    model: HandModel,
    field: SceneField,
    rotations: Float[Tensor, "b l 3 3"],
    origins: Float[Tensor, "b l 3"],
) -> Touch:
    """Return where the contact points of every grasp are, and what the object is like there."""
    link, position, normal = model.contacts
    link, position, normal = link[grasps.contacts], position[grasps.contacts], normal[grasps.contacts]
    rows = torch.arange(len(grasps), device=link.device)[:, None]
    turn, origin = rotations[rows, link], origins[rows, link]
    points = (turn @ position[..., None])[..., 0] + origin
    here = field.object.at(points)
    return Touch(
        points=points,
        hand_normals=(turn @ normal[..., None])[..., 0],
        distance=field.object.distance_at(points),
        normals=torch.nn.functional.normalize(here[..., 1:4], dim=-1),
        probability=here[..., 4],
    )


def energies(
    grasps: Grasps, model: HandModel, field: SceneField, *, config: EnergyConfig
) -> tuple[Energies, Touch]:
    """Return all energies of a batch of grasps, and their contacts."""
    kinematics = model.kinematics
    rotation = rotation_of(grasps.columns)
    rotations, origins = kinematics.link_poses(grasps.position, rotation, grasps.joints)
    at = touch(grasps, model, field, rotations, origins)
    surface, there = model.surface.at(rotations, origins), model.surface.mask.flatten() > 0
    count = grasps.active.sum(dim=1)
    squared = at.distance.square()
    far = at.distance.abs()
    distance = torch.where(far < config.near, squared / (2 * config.near), far - config.near / 2)
    beyond = torch.relu(grasps.joints - kinematics.high) + torch.relu(kinematics.low - grasps.joints)
    aligned = 1 + (at.hand_normals * at.normals).sum(dim=-1)
    share = shares(grasps, config)
    found = Energies(
        closure=wrench_left(at, share, config.torque_length).square().sum(dim=-1),
        distance=(grasps.active * distance).sum(dim=1) / count,
        alignment=(grasps.active * aligned).sum(dim=1) / count,
        penetration=_depths(field.body, surface, there, 0.0),
        surroundings=_depths(field.surroundings, surface, there, config.margin),
        self_penetration=torch.relu(model.sphere_depths(rotations, origins)).sum(dim=1),
        limits=beyond.sum(dim=1),
        region=(grasps.active * (1 - at.probability)).sum(dim=1) / count,
        lever=_lever(at, share, field.center),
    )
    return found, at


def shares(grasps: Grasps, config: EnergyConfig) -> Float[Tensor, "b n"]:
    """Return the share of each contact in the sum of all forces; 0 for places that are not used."""
    logits = grasps.forces.masked_fill(grasps.active == 0, -torch.inf)
    free = 1 - config.min_share * grasps.active.sum(dim=1, keepdim=True)
    return grasps.active * config.min_share + free * torch.softmax(logits, dim=1)


def wrench_left(at: Touch, share: Float[Tensor, "b n"], torque_length: float) -> Float[Tensor, "b 6"]:
    """Return the wrench of contacts that press along the object's normals, which is zero in balance.

    Torques are about the mean of the contacts, and count by their lever over ``torque_length``.
    """
    force = -share[..., None] * at.normals
    center = (share[..., None] * at.points).sum(dim=1, keepdim=True)
    torque = torch.linalg.cross((at.points - center) / torque_length, force)
    return torch.cat([force.sum(dim=1), torque.sum(dim=1)], dim=-1)


def _lever(at: Touch, share: Float[Tensor, "b n"], center: Float[Tensor, "3"]) -> Float[Tensor, " b"]:
    """Return the horizontal distance of the contacts' centre of forces to the centre of mass, metres.

    The z axis of the volume frame points up. A weight w at a lever d turns the object in the hand by ``w d``.
    """
    away = ((share[..., None] * at.points).sum(dim=1) - center)[:, :2]
    return torch.sqrt(away.square().sum(dim=1) + 1e-12) - 1e-6


def _depths(
    grid: Grid, points: Float[Tensor, "b n 3"], there: Bool[Tensor, " n"], margin: float
) -> Float[Tensor, " b"]:
    """Return the sums of depths of points in a margin around something, metres.

    Few points of a hand are that near, and the others have no gradient: they are left out of its graph.
    """
    with torch.no_grad():
        near = there & (grid.least_around(points) < margin)
    depths = torch.relu(margin - grid.distance_at(points[near][None])[0])
    return torch.zeros_like(points[..., 0]).masked_scatter(near, depths).sum(dim=1)
