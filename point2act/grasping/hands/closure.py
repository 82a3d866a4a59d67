"""Force closure of many contacts, and the joint positions that squeeze.

The margin is the largest wrench in the worst direction that the contacts resist when their normal forces sum
to one: the distance of the origin to the border of the convex hull of the wrenches of all contacts (the L1
metric of Ferrari and Canny, ICRA 1992). The payload is the largest weight that they hold with the torques of
the hand's joints. Contacts are soft fingers: friction cones and torsion about normals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog, nnls
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


def payload(
    hand: Hand,
    T_volume_palm: Float[np.ndarray, "4 4"],
    positions: Float[np.ndarray, " j"],
    contacts: Int[np.ndarray, " n"],
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    center: Float[np.ndarray, "3"],
    *,
    config: ClosureConfig = ClosureConfig(),
) -> float:
    """Return the largest weight that the contacts hold in each of six directions, newtons.

    For a direction d it is the largest w for which forces f within the friction pyramids balance it, with
    torques that the joints can hold: ``G f + w (d, 0) = 0``, ``|J^T f| <= max_torque``, a linear program.

    Args:
        hand: The hand.
        T_volume_palm: Pose of the palm.
        positions: Joint positions at which it touches.
        contacts: Indices of the contact points that touch.
        points: Contacts, volume frame, metres.
        normals: Outward unit normals of the object there.
        center: Centre of mass, volume frame.
        config: Contact model.
    """
    wrenches = contact_wrenches(points, normals, center, config=config)
    balance = wrenches.reshape(-1, 6).T
    moment_arms = _moment_arms(hand, T_volume_palm, positions, contacts, points)
    torques = np.einsum("jni,nei->jne", moment_arms, wrenches[..., :3]).reshape(len(hand.joints), -1)
    limits = np.column_stack([np.concatenate([torques, -torques]), np.zeros(2 * len(torques))])
    least = np.inf
    for direction in np.concatenate([np.eye(3), -np.eye(3)]):
        weight = np.append(direction, np.zeros(3))[:, None]
        found = linprog(
            np.append(np.zeros(balance.shape[1]), -1.0),
            A_ub=limits,
            b_ub=np.full(len(limits), hand.max_torque),
            A_eq=np.hstack([balance, weight]),
            b_eq=np.zeros(6),
        )
        # Unbounded where no joint has to hold anything.
        least = min(least, float(found.x[-1]) if found.status == 0 else np.inf)
    return least


def _moment_arms(
    hand: Hand,
    T_volume_palm: Float[np.ndarray, "4 4"],
    positions: Float[np.ndarray, " j"],
    contacts: Int[np.ndarray, " n"],
    points: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, "j n 3"]:
    """Return the derivative of each contact's place by each joint, volume frame, metres per radian."""
    poses = T_volume_palm @ hand.link_poses(positions)
    joints = poses[hand.joints.link]
    axes = np.einsum("jab,jb->ja", joints[:, :3, :3], hand.joints.axis)
    arms = np.cross(axes[:, None], points - joints[:, None, :3, 3])
    return arms * moving_joints(hand)[hand.contacts.link[contacts]].T[..., None]


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
    contacts: Int[np.ndarray, " n"],
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
    places, _ = hand.contact_places(positions)
    arms = _moment_arms(hand, np.eye(4), positions, contacts, places[contacts])
    torques = np.einsum("jni,ni->j", arms, forces)
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
