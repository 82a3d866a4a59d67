"""What is left of optimised grasps when contacts, collisions and the approach are checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from point2act.core.geometry import transform
from point2act.grasping.antipodal.boundary import SolidPoints
from point2act.grasping.hands.approach import ApproachConfig, open_hands
from point2act.grasping.hands.closure import (
    ClosureConfig,
    closure_margin,
    holding_forces,
    payload,
    squeeze_positions,
)
from point2act.grasping.hands.energies import Grasps, HandModel
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.kinematics import rotation_of
from point2act.grasping.hands.scene_field import SceneField


@dataclass(frozen=True)
class CheckConfig:
    """Tolerances."""

    closure: ClosureConfig = field(default_factory=ClosureConfig)
    """Contact model."""
    touch_distance: float = 0.005
    """Largest distance of a contact point that touches, metres: it closes by squeezing."""
    touch_cosine: float = 0.5
    """Smallest cosine between a contact point's normal and that into the object."""
    min_margin: float = 0.01
    """Smallest margin of force closure."""
    max_depth: float = 0.004
    """Largest depth of the object inside the hand, metres."""
    # DexGraspNet filters at 1 mm on perfect meshes; two voxels of a fused surface are 4 mm.
    max_self_depth: float = 0.003
    """Largest depth of spheres of different fingers in each other, metres."""
    clearance: float = 0.002
    """Smallest distance to table, neighbours and unknown space, metres."""
    approach: ApproachConfig = field(default_factory=ApproachConfig)
    """Opening of the hand and its approach."""
    squeeze_force: float = 20.0
    """Sum of the normal forces with which the hand squeezes, newtons."""
    # A kilogram held with friction 0.5. Chosen.


@dataclass
class CheckCounts:
    """Number of optimised grasps that each check rejects."""

    tried: int = 0
    contacts: int = 0
    closure: int = 0
    object: int = 0
    surroundings: int = 0
    fingers: int = 0
    approach: int = 0

    def __add__(self, other: CheckCounts) -> CheckCounts:
        return CheckCounts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def named(self) -> dict[str, int]:
        """Return the numbers by the names of ``counts`` in grasps.json."""
        return {
            "hand_poses": self.tried,
            "no_contact": self.contacts,
            "no_force_closure": self.closure,
            "inside_object": self.object,
            "surroundings": self.surroundings,
            "fingers_meet": self.fingers,
            "approach": self.approach,
        }


@dataclass(frozen=True)
class Execution:
    """Outcome of a grasp on the measured surface in physics."""

    lifted: bool
    shaken: bool
    """Whether the object was also held when shaken."""
    on_part: float | None
    """The region's probability where the hand pressed, weighted by force; None if it did not press."""


@dataclass(frozen=True, eq=False)
class HandGrasp:
    """A grasp that passed the checks, in the volume frame."""

    T_volume_palm: Float[np.ndarray, "4 4"]
    positions: Float[np.ndarray, " j"]
    pregrasp: Float[np.ndarray, " j"]
    squeeze: Float[np.ndarray, " j"]
    touching: Int[np.ndarray, " n"]
    """Indices of the hand's contact points that touch."""
    points: Float[np.ndarray, "n 3"]
    """On the object's surface, volume frame."""
    normals: Float[np.ndarray, "n 3"]
    """Outward unit normals of the object there."""
    probability: Float[np.ndarray, " n"]
    """The region's probability there."""
    share: Float[np.ndarray, " n"]
    """Share of each in the sum of the normal forces."""
    margin: float
    """Margin of force closure."""
    payload: float
    """Largest weight that is held in each direction, newtons."""
    clearance: float
    """Smallest distance of the open hand to anything on the approach, metres."""
    predicted: float | None = None
    """Probability that it lifts the object and holds it when shaken, from a network; None without one."""
    execution: Execution | None = None
    """What came of it in physics; None if it was not executed."""


def check_grasps(
    grasps: Grasps,
    model: HandModel,
    scene: SceneField,
    solid: SolidPoints,
    *,
    config: CheckConfig,
) -> tuple[list[HandGrasp], CheckCounts]:
    """Return the grasps that hold, hit nothing and can be approached, in the order in which they come.

    Args:
        grasps: Optimised grasps.
        model: The hand.
        scene: Signed distances, and the centre of mass.
        solid: Observed points above the table.
        config: Tolerances.
    """
    hand, center = model.kinematics.hand, scene.center.double().cpu().numpy()
    with torch.no_grad():
        grasps.joints.clamp_(model.kinematics.low, model.kinematics.high)
        free, fingers = _clear(grasps, model, scene, config)
        contacts = _contacts(grasps, model, scene)
    poses, joints = _poses(grasps), grasps.joints.double().cpu().numpy()
    counts, held = CheckCounts(tried=len(grasps)), {}
    for index in range(len(grasps)):
        pose, positions = poses[index], joints[index]
        holding = _holding(hand, [column[index] for column in contacts], center, config)
        if len(set(hand.fingers[hand.contacts.link[holding.touching]].tolist())) < 2:
            counts.contacts += 1
        elif holding.margin < config.min_margin:
            counts.closure += 1
        elif not fingers[index]:
            counts.fingers += 1
        elif not free[index] or _deepest(hand, pose, positions, solid.points[~solid.on_object]) > 0:
            counts.surroundings += 1
        elif _deepest(hand, pose, positions, solid.points[solid.on_object]) > config.max_depth:
            counts.object += 1
        else:
            held[index] = holding
    if not held:
        return [], counts
    openings = open_hands(grasps.only(torch.tensor(list(held))), model, scene, config=config.approach)
    kept = []
    for row, (index, holding) in enumerate(held.items()):
        if not openings.free[row]:
            counts.approach += 1
            continue
        pregrasp = openings.joints[row].double().cpu().numpy()
        clearance = float(openings.clearance[row])
        kept.append(
            _finished(hand, poses[index], joints[index], pregrasp, clearance, holding, center, config)
        )
    return kept, counts


@dataclass(frozen=True, eq=False)
class _Holding:
    """The contacts of one grasp, as in ``HandGrasp``."""

    touching: Int[np.ndarray, " n"]
    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    probability: Float[np.ndarray, " n"]
    margin: float


def _holding(
    hand: Hand, contacts: list[np.ndarray], center: Float[np.ndarray, "3"], config: CheckConfig
) -> _Holding:
    """Return which contact points of a grasp touch, and how well they hold."""
    points, outward, distance, normals, probability = contacts
    cosine = -(outward * normals).sum(axis=1)
    touching = np.flatnonzero((np.abs(distance) < config.touch_distance) & (cosine > config.touch_cosine))
    touching = _one_per_link(hand, touching, distance)
    places = points[touching] - distance[touching, None] * normals[touching]
    margin = closure_margin(places, normals[touching], center, config=config.closure)
    return _Holding(touching, places, normals[touching], np.clip(probability[touching], 0, 1), margin)


def _finished(
    hand: Hand,
    pose: Float[np.ndarray, "4 4"],
    positions: Float[np.ndarray, " j"],
    pregrasp: Float[np.ndarray, " j"],
    clearance: float,
    holding: _Holding,
    center: Float[np.ndarray, "3"],
    config: CheckConfig,
) -> HandGrasp:
    """Return a grasp that passed the checks, with the joint positions that squeeze."""
    forces = holding_forces(holding.points, holding.normals, center, config=config.closure)
    pressing = config.squeeze_force * forces @ pose[:3, :3]
    return HandGrasp(
        T_volume_palm=pose,
        positions=positions,
        pregrasp=pregrasp,
        squeeze=squeeze_positions(hand, positions, holding.touching, pressing),
        share=-(forces * holding.normals).sum(axis=1),
        payload=payload(
            hand,
            pose,
            positions,
            holding.touching,
            holding.points,
            holding.normals,
            center,
            config=config.closure,
        ),
        clearance=clearance,
        **vars(holding),
    )


def _one_per_link(
    hand: Hand, touching: Int[np.ndarray, " n"], distance: Float[np.ndarray, " c"]
) -> Int[np.ndarray, " m"]:
    """Return the nearest contact point of each link: a link presses with one force."""
    nearest = touching[np.argsort(np.abs(distance[touching]), kind="stable")]
    _, first = np.unique(hand.contacts.link[nearest], return_index=True)
    return np.sort(nearest[first])


def _poses(grasps: Grasps) -> Float[np.ndarray, "b 4 4"]:
    rotations = rotation_of(grasps.columns.double()).cpu().numpy()
    origins = grasps.position.double().cpu().numpy()
    return np.array([transform(R, t) for R, t in zip(rotations, origins, strict=True)]).reshape(-1, 4, 4)


def _deepest(
    hand: Hand,
    pose: Float[np.ndarray, "4 4"],
    joints: Float[np.ndarray, " j"],
    points: Float[np.ndarray, "n 3"],
) -> float:
    """Return how deep points of the volume frame lie in the hand at most, metres."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    return float(hand.depth_inside(local, joints).max(initial=-np.inf))


def _contacts(grasps: Grasps, model: HandModel, scene: SceneField) -> tuple[np.ndarray, ...]:
    """Return place, hand normal, distance, object normal and probability of all contact points."""
    link, position, normal = model.contacts
    rotations, origins = model.kinematics.link_poses(
        grasps.position, rotation_of(grasps.columns), grasps.joints
    )
    points = (rotations[:, link] @ position[..., None])[..., 0] + origins[:, link]
    here = scene.object.at(points)
    outward = torch.nn.functional.normalize(here[..., 1:4], dim=-1)
    surface = (rotations[:, link] @ normal[..., None])[..., 0]
    columns = (points, surface, scene.object.distance_at(points), outward, here[..., 4])
    return tuple(column.double().cpu().numpy() for column in columns)


def _clear(
    grasps: Grasps, model: HandModel, scene: SceneField, config: CheckConfig
) -> tuple[Bool[np.ndarray, " b"], Bool[np.ndarray, " b"]]:
    """Return which grasps keep away from the surroundings, and whose fingers do not meet."""
    rotations, origins = model.kinematics.link_poses(
        grasps.position, rotation_of(grasps.columns), grasps.joints
    )
    surface = model.surface.at(rotations, origins)
    around = model.surface.least(scene.surroundings.distance_at(surface)) >= config.clearance
    inside = model.surface.least(scene.body.distance_at(surface)) >= -config.max_depth - 0.001
    apart = (model.sphere_depths(rotations, origins) <= config.max_self_depth).all(dim=1)
    return (around & inside).cpu().numpy(), apart.cpu().numpy()


def contact_pair(hand: Hand, grasp: HandGrasp) -> tuple[int, int]:
    """Return the indices of the thumb's strongest contact and of the strongest one opposite to it."""
    fingers = hand.fingers[hand.contacts.link[grasp.touching]]
    thumb = fingers == fingers.max()
    first = int(np.argmax(np.where(thumb, grasp.share, -np.inf)))
    against = np.maximum(0, -grasp.normals @ grasp.normals[first]) * np.maximum(grasp.share, 1e-6)
    return first, int(np.argmax(np.where(thumb, -1.0, against)))
