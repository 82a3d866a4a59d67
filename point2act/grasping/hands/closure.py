"""Force closure of many contacts, and the joint positions that squeeze.

The margin is the largest wrench in the worst direction that the contacts resist when their normal forces sum
to one: the distance of the origin to the border of the convex hull of the wrenches of all contacts (the L1
metric of Ferrari and Canny, ICRA 1992). Contacts are soft fingers: friction cones and torsion about normals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls
from scipy.spatial import ConvexHull, QhullError

from point2act.core.geometry import frame_from_normal
from point2act.grasping.hands.hand import Hand


@dataclass(frozen=True)
class ClosureConfig:
    """Contact model."""

    friction: float = 0.5
    """Coefficient of friction."""
    torsion: float = 0.005
    """Torque about the normal that a contact holds, newton metres per newton: the radius of its patch."""
    edges: int = 6
    """Edges of the pyramid in place of a friction cone."""
    torque_length: float = 0.05
    """Lever at which a torque counts as much as a force, metres."""


def contact_wrenches(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    center: Float[np.ndarray, "3"],
    *,
    config: ClosureConfig,
) -> Float[np.ndarray, "n e 6"]:
    """Return what each contact can exert on the object with a normal force of one: corners of a hull.

    Args:
        points: Contacts, metres.
        normals: Outward unit normals of the object there.
        center: Point that torques are about.
        config: Contact model.

    Returns:
        Force and torque over ``config.torque_length``, for the edges of the cone and both senses of torsion.
    """
    frames = frame_from_normal(-normals)
    angle = np.arange(config.edges) * 2 * np.pi / config.edges
    tangent = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    sideways = config.friction * np.einsum("nij,ej->nei", frames[:, :, :2], tangent)
    forces = np.concatenate([sideways - normals[:, None], np.repeat(-normals[:, None], 2, axis=1)], axis=1)
    torques = np.cross((points - center)[:, None], forces)
    torques[:, -2:] += config.torsion * np.array([1.0, -1.0])[:, None] * normals[:, None]
    return np.concatenate([forces, torques / config.torque_length], axis=-1)


def closure_margin(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    center: Float[np.ndarray, "3"],
    *,
    config: ClosureConfig = ClosureConfig(),
) -> float:
    """Return the margin of force closure; 0 where some wrench cannot be resisted.

    Args:
        points: Contacts, metres.
        normals: Outward unit normals of the object there.
        center: Point that torques are about, such as the centre of mass.
        config: Contact model.
    """
    if len(points) < 2:
        return 0.0
    wrenches = contact_wrenches(points, normals, center, config=config).reshape(-1, 6)
    try:
        hull = ConvexHull(wrenches)
    except QhullError:  # All in one plane: some direction is not resisted.
        return 0.0
    return max(0.0, float(-hull.equations[:, -1].max()))


def holding_forces(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    center: Float[np.ndarray, "3"],
    *,
    config: ClosureConfig = ClosureConfig(),
) -> Float[np.ndarray, "n 3"]:
    """Return forces on the object in balance, whose normal components sum to one.

    Non-negative least squares of the wrench, of forces along the surface, and of the differences between the
    contacts: every contact presses as far as balance allows, and along the normal as far as it can, so that
    friction is left for disturbances.
    """
    wrenches = contact_wrenches(points, normals, center, config=config)
    count, edges = wrenches.shape[:2]
    sums = np.repeat(np.eye(count), edges, axis=1)
    even, along, balance = 0.1, 1.0, 10.0
    sideways = wrenches[..., :3] + normals[:, None]
    tangential = np.einsum("nc,nei->cine", np.eye(count), sideways).reshape(3 * count, count * edges)
    A = np.concatenate(
        [
            balance * wrenches.reshape(-1, 6).T,
            along * tangential,
            even * sums,
            np.ones((1, count * edges)),
        ]
    )
    b = np.concatenate([np.zeros(6 + 3 * count), np.full(count, even / count), [1.0]])
    weights, _ = nnls(A, b)
    forces = np.einsum("ne,nei->ni", weights.reshape(count, edges), wrenches[..., :3])
    return forces / max(float(weights.sum()), 1e-9)


def squeeze_positions(
    hand: Hand,
    positions: Float[np.ndarray, " j"],
    contacts: np.ndarray,
    forces: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, " j"]:
    """Return joint positions that press with given forces against an object that stays in place.

    A position-controlled joint exerts ``stiffness * (target - position)``, and torques ``Jᵀ f`` press with f.

    Args:
        hand: The hand.
        positions: Joint positions at which it touches.
        contacts: Indices of the contact points that touch.
        forces: Force of each on the object, palm frame, newtons.
    """
    poses = hand.link_poses(positions)
    places, _ = hand.contact_places(positions)
    torques = np.zeros(len(hand.joints))
    moved_by = moving_joints(hand)
    for joint, link in enumerate(hand.joints.link.tolist()):
        axis = poses[link, :3, :3] @ hand.joints.axis[joint]
        for contact, force in zip(contacts.tolist(), forces, strict=True):
            if moved_by[hand.contacts.link[contact], joint]:
                torques[joint] += np.cross(axis, places[contact] - poses[link, :3, 3]) @ force
    torques *= min(1.0, hand.max_torque / max(float(np.abs(torques).max()), 1e-9))
    return hand.clipped(positions + torques / hand.stiffness)


def moving_joints(hand: Hand) -> np.ndarray:
    """Return which joints move each link, (links, joints)."""
    moved = np.zeros((len(hand.links), len(hand.joints)), dtype=bool)
    for joint, link in enumerate(hand.joints.link.tolist()):
        moved[link, joint] = True
    for link, parent in enumerate(hand.parent.tolist()):
        if parent >= 0:
            moved[link] |= moved[parent]
    return moved
