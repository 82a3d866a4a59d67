"""Start poses of the optimisation: palms that face the wanted part, and which fingers are to touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from point2act.grasping.hands.energies import Grasps
from point2act.grasping.hands.hand import Hand


@dataclass(frozen=True)
class StartConfig:
    """Distribution of start poses."""

    tilt: float = 0.6
    """Standard deviation of the angle between the approach and the surface's normal, radians."""
    from_above: float = 0.4
    """Share of approaches that start from straight above instead of the surface's normal."""
    least_descent: float = -0.2
    """Smallest cosine of the angle between approach and straight down; lower ones come from below."""
    distance: float = 0.05
    """Largest distance that the palm starts behind its place, metres."""
    joint_sigma: float = 0.1
    """Standard deviation of joint positions around the pre-grasp pose, fractions of their ranges."""
    # As in DexGraspNet.
    across: float = 0.6
    """Share of starts that close across the longest axis of the surface nearby."""
    local_radius: float = 0.025
    """Radius of the surface nearby, metres."""
    roll_noise: float = 0.2
    """Noise of the closing direction of those, as a fraction of it."""
    power: float = 0.5
    """Share of grasps that also touch with the inner links of the fingers and with the palm."""


def slot_choices(hand: Hand) -> list[Int[np.ndarray, " _"]]:
    """Return the contact points that each contact of a grasp may use.

    One slot for the last link of every finger, one for its inner links, and one for the palm.
    """
    links, fingers = hand.contacts.link, hand.fingers[hand.contacts.link]
    outer, inner = [], []
    for finger in range(int(hand.fingers.max()) + 1):
        own = np.flatnonzero(fingers == finger)
        last = links[own].max(initial=-1)
        outer.append(own[links[own] == last])
        inner.append(own[links[own] != last])
    return [slot for slot in (*outer, *inner, np.flatnonzero(fingers < 0)) if len(slot)]


def draw_starts(
    hand: Hand,
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    up: Float[np.ndarray, "3"],
    count: int,
    *,
    config: StartConfig,
    rng: np.random.Generator,
) -> Grasps:
    """Draw start poses.

    Args:
        hand: The hand.
        points: Points of the object's surface, volume frame, metres.
        normals: Outward unit normals there.
        weights: Probability of each point to belong to the wanted region.
        up: Direction away from the table, volume frame.
        count: Number of starts.
        config: Distribution.
        rng: Draws everything.
    """
    chance = weights / weights.sum() if weights.sum() > 0 else None
    chosen = rng.choice(len(points), count, p=chance)
    outward = np.where(rng.random((count, 1)) < config.from_above, up, normals[chosen])
    tilts = np.clip(config.tilt * rng.standard_normal((count, 3)), -1.4, 1.4)
    approach = -outward + np.tan(tilts) / np.sqrt(3)
    approach /= np.linalg.norm(approach, axis=1, keepdims=True)
    # From below there is the table: such approaches are reflected.
    rising = approach @ up + config.least_descent > 0
    approach = np.where(rising[:, None], approach - 2 * (approach @ up)[:, None] * up, approach)
    closing = _closing(points, chosen, approach, config, rng)
    rotations = np.stack([closing, np.cross(approach, closing), approach], axis=2)
    spread = config.joint_sigma * (hand.joints.high - hand.joints.low)
    joints = hand.clipped(hand.joints.pregrasp + spread * rng.standard_normal((count, len(hand.joints))))
    slots = slot_choices(hand)
    contacts = np.stack([rng.choice(slot, count) for slot in slots], axis=1)
    active = _active(hand, slots, count, config, rng)
    centers = np.array([_center(hand, *row) for row in zip(joints, contacts, active, strict=True)])
    back = config.distance * rng.random((count, 1)) * approach
    origins = points[chosen] - np.einsum("bij,bj->bi", rotations, centers) - back
    return Grasps(
        position=torch.as_tensor(origins),
        columns=torch.as_tensor(np.concatenate([rotations[:, :, 0], rotations[:, :, 1]], axis=1)),
        joints=torch.as_tensor(joints),
        forces=torch.zeros((count, len(slots)), dtype=torch.float64),
        contacts=torch.as_tensor(contacts),
        active=torch.as_tensor(active),
    )


def _closing(
    points: Float[np.ndarray, "n 3"],
    chosen: Int[np.ndarray, " b"],
    approach: Float[np.ndarray, "b 3"],
    config: StartConfig,
    rng: np.random.Generator,
) -> Float[np.ndarray, "b 3"]:
    """Return directions across the approach in which the thumb and the fingers close, of unit length.

    Most are across the longest axis of the points nearby, such as a handle's; the others are random.
    """
    random = rng.standard_normal(approach.shape)
    around = KDTree(points).query_ball_point(points[chosen], config.local_radius)
    axes = np.array([_longest_axis(points[near]) for near in around])
    sideways = np.cross(axes, approach) * rng.choice([-1.0, 1.0], (len(axes), 1))
    mixed = sideways + config.roll_noise * random
    closing = np.where(rng.random((len(axes), 1)) < config.across, mixed, random)
    closing -= (closing * approach).sum(axis=1, keepdims=True) * approach
    return closing / np.linalg.norm(closing, axis=1, keepdims=True)


def _longest_axis(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """Return the principal axis of points; zero for fewer than three."""
    if len(points) < 3:
        return np.zeros(3)
    return np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]


def _center(
    hand: Hand, joints: Float[np.ndarray, " j"], contacts: Int[np.ndarray, " n"], active: np.ndarray
) -> Float[np.ndarray, "3"]:
    """Return the middle between the thumb's contacts and those of the fingers, palm frame."""
    used = contacts[active > 0]
    places = hand.contact_places(joints)[0][used]
    fingers = hand.fingers[hand.contacts.link[used]]
    thumb = fingers == hand.fingers.max()
    others = places[(fingers >= 0) & ~thumb]
    return (places[thumb].mean(axis=0) + others.mean(axis=0)) / 2


def _active(
    hand: Hand,
    slots: list[Int[np.ndarray, " _"]],
    count: int,
    config: StartConfig,
    rng: np.random.Generator,
) -> Float[np.ndarray, "b n"]:
    """Draw which slots touch: the last finger, which is the thumb, always; some others beside it."""
    fingers = hand.fingers[hand.contacts.link]
    of_slot = np.array([fingers[slot[0]] for slot in slots])
    thumb = int(hand.fingers.max())
    touching = np.zeros((count, thumb + 1), dtype=bool)
    touching[:, thumb] = True
    for row, number in enumerate(rng.integers(1, thumb + 1, count)):
        touching[row, rng.choice(thumb, number, replace=False)] = True
    power = rng.random(count) < config.power
    active = np.zeros((count, len(slots)))
    for column, finger in enumerate(of_slot):
        outer = finger >= 0 and column == int(np.flatnonzero(of_slot == finger)[0])
        with_it = np.ones(count, dtype=bool) if outer else power & (rng.random(count) < 0.5)
        active[:, column] = with_it & (touching[:, finger] if finger >= 0 else True)
    return active
