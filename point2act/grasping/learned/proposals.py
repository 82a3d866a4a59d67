"""Grasps of a hand proposed by a network, as starts of a short optimisation."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from point2act.core.errors import LearningError
from point2act.grasping.hands.energies import EnergyConfig, Grasps, HandModel, touch
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.kinematics import rotation_of
from point2act.grasping.hands.optimization import redraw_contacts
from point2act.grasping.hands.scene_field import SceneField
from point2act.grasping.hands.starts import slot_choices
from point2act.grasping.learned.cloud import LocalCloud
from point2act.grasping.learned.features import SCALE, about_vertical, facing, points_near, rows_of
from point2act.grasping.learned.networks import GraspFlow, unscale_joints

_GRASPS_OF_PLACE = 4
"""Proposals for each place on the object: encoding its cloud takes as long as many of them. Chosen."""
_TOUCHES = 0.015
"""Distance to the object up to which a contact point of a proposal is to touch, metres: a finger's width."""


def propose(
    cloud: LocalCloud,
    place_weights: Float[np.ndarray, " n"],
    flow: GraspFlow,
    model: HandModel,
    field: SceneField,
    count: int,
    *,
    generator: torch.Generator,
    steps: int = 10,
    weights: EnergyConfig = EnergyConfig(),
) -> Grasps:
    """Propose grasps of a hand.

    Each contact is the point of its link that fits the object best, and it is used if the object is near; the
    thumb and one finger always are.

    Args:
        cloud: The surface around the action point.
        place_weights: How often grasps are proposed for each point of the cloud; weights, not all zero.
        flow: The network, see ``load_flow``.
        model: The hand.
        field: Signed distances of the scene, on the device of the model.
        count: Number of grasps.
        generator: Draws the noise and the points of the cloud; of the CPU.
        steps: Steps from noise to grasps.
        weights: Weights by which contact points are chosen.

    Raises:
        LearningError: The network is of another hand, or the cloud has no points.
    """
    hand, like = model.kinematics.hand, model.kinematics.low
    if len(hand.joints) != len(flow.embodiment.low):
        raise LearningError(f"the flow is of another hand than {hand.name}: use the weights of this hand")
    if not len(cloud):
        raise LearningError("there are no points around the action point to grasp: ask nearer to the object")
    vectors = _drawn(cloud, place_weights, flow, count, generator, steps).to(like)
    slots = slot_choices(hand)
    empty = torch.zeros((count, len(slots)), device=like.device)
    rotation = rotation_of(vectors[:, 3:9])
    grasps = Grasps(
        position=SCALE * vectors[:, :3],
        columns=rotation[:, :, :2].transpose(1, 2).flatten(1),
        joints=unscale_joints(flow.embodiment, vectors[:, 9:]),
        forces=empty.to(like),
        contacts=empty.long(),
        active=torch.ones_like(empty).to(like),
    )
    choices = [torch.as_tensor(slot, device=like.device) for slot in slots]
    redraw_contacts(grasps, choices, model, field, weights, 0.0, generator)
    near = _distances(grasps, model, field).abs()
    grasps.active = ((near < _TOUCHES) | _least(hand, slots, near)).to(like)
    return grasps


@torch.no_grad()
def _drawn(
    cloud: LocalCloud,
    place_weights: Float[np.ndarray, " n"],
    flow: GraspFlow,
    count: int,
    generator: torch.Generator,
    steps: int,
) -> Float[Tensor, "b d"]:
    """Return grasps that the flow draws, as its vectors, relative to the action point."""
    device = next(flow.parameters()).device
    rows = torch.as_tensor(rows_of(cloud))
    # Each place on the object is seen from one of its two sides, and has a few grasps.
    places = -(-count // _GRASPS_OF_PLACE)
    likely = torch.as_tensor(place_weights)
    origins = rows[torch.multinomial(likely, places, replacement=True, generator=generator), :3]
    halves = math.pi * torch.randint(2, (places,), generator=generator).to(rows)
    keys = torch.rand((1, len(cloud)), generator=generator, dtype=torch.float64)
    noise = torch.randn((count, flow.size), generator=generator)
    clouds = rows.expand(places, -1, -1)
    frames = facing(clouds, origins) @ about_vertical(halves)
    points = points_near(
        clouds,
        frames,
        origins,
        keys.expand(places, -1),
        radius=flow.config.radius,
        count=flow.config.num_points,
    )
    place = torch.arange(count) % places
    codes = flow.encode(points.float().to(device))[place.to(device)]
    found = flow.sample(codes, noise.to(device), steps=steps).cpu()
    turns = frames[place].to(found)
    position, first, second = ((turns @ found[:, at : at + 3, None])[..., 0] for at in (0, 3, 6))
    return torch.cat([position + origins[place].to(found) / SCALE, first, second, found[:, 9:]], dim=1)


@torch.no_grad()
def _distances(grasps: Grasps, model: HandModel, field: SceneField) -> Float[Tensor, "b n"]:
    """Return the signed distances of the contacts to the object, metres."""
    rotations, origins = model.kinematics.link_poses(
        grasps.position, rotation_of(grasps.columns), grasps.joints
    )
    return touch(grasps, model, field, rotations, origins).distance


def _least(hand: Hand, slots: list[np.ndarray], near: Float[Tensor, "b n"]) -> Bool[Tensor, "b n"]:
    """Return the nearest contact of the thumb, which is the last finger, and that of the other fingers."""
    fingers = hand.fingers[hand.contacts.link]
    of_slot = torch.as_tensor(np.array([fingers[slot[0]] for slot in slots]), device=near.device)
    thumb = int(hand.fingers.max())
    least = torch.zeros_like(near, dtype=torch.bool)
    for own in (of_slot == thumb, (of_slot >= 0) & (of_slot < thumb)):
        nearest = near.masked_fill(~own, torch.inf).argmin(dim=1, keepdim=True)
        least.scatter_(1, nearest, True)
    return least
