"""Regions that a gripper keeps away from: how near it comes, what that costs, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import fit_box, transform_points
from point2act.core.types import OrientedBox, Query, Region
from point2act.grasping.antipodal.collision import approach_opening, gripper_boxes
from point2act.grasping.antipodal.contact_pairs import Pairs
from point2act.grasping.antipodal.pose_sampling import Poses
from point2act.grasping.grippers import Gripper

_STEPS = 60
"""Of the search for nearest points. Measured with a Panda at 3000 random poses about a part: 999 of 1000
distances are 0.03 mm too large at most, the worst 0.2 mm."""


@dataclass(frozen=True)
class AvoidConfig:
    """How far grippers keep from what is to be avoided. Chosen."""

    margin: float = 0.02
    """A gripper that comes nearer than this on its way costs score, down to 0 where it touches, metres."""
    touch: float = 0.002
    """Fingers that come nearer than this touch, metres: as far as they stay from obstacles."""
    share: float = 0.25
    """What has this share of the relevancy's peak is to be avoided. Chosen on 6 simulated tables: of grasps
    of a whole tool 49 % came within 2 cm of the part to avoid, 37 % with the region's own box, 18 % so."""
    reach: float = 0.12
    """No further than this from the middle of the region, metres: the blade of a kitchen knife."""


@dataclass(frozen=True, eq=False)
class Avoid:
    """A place that hands keep away from."""

    text: str
    """The query's words, to say why nothing is left."""
    box: OrientedBox
    """World."""


def avoid_region(
    query: Query,
    region: Region,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]],
    *,
    config: AvoidConfig = AvoidConfig(),
) -> Avoid:
    """What to avoid by a query, where its region was found: a box about all that may be meant, world frame.

    ``relevancy`` holds world points and their values. The region's own box is where to act, about half of
    a long part; it serves where there are no points.
    """
    points, values = relevancy
    near = ((points - region.box.center) ** 2).sum(axis=1) < config.reach**2
    points, values = points[near], values[near]
    meant = points[values >= config.share * values.max(initial=0.0)] if values.any() else points[:0]
    return Avoid(query.text, fit_box(meant) if len(meant) > 2 else region.box)


@dataclass(frozen=True, eq=False)
class Nearness:
    """How near grippers come to places to avoid, one row for each place."""

    end_effector: Float[np.ndarray, "a n"]
    """Smallest distance of fingers and palm along the approach, metres."""
    refused: Bool[np.ndarray, "a n"]
    """Where a contact lies inside or a finger touches."""

    @property
    def clearance(self) -> Float[np.ndarray, " n"]:
        """Distance to the nearest of the places, metres; infinite where there are none."""
        return self.end_effector.min(axis=0, initial=np.inf)


def nearness(
    poses: Poses,
    pairs: Pairs,
    gripper: Gripper,
    avoid: Sequence[Avoid],
    T_world_volume: Float[np.ndarray, "4 4"],
    *,
    clearance: float,
    approach: float,
    config: AvoidConfig,
) -> Nearness:
    """Judge grippers at poses and on their straight way there, ``approach`` metres long.

    Poses and pairs in the volume frame; pads open by the contacts' distance and ``clearance`` on each side.
    """
    end_effector = np.full((len(avoid), len(poses)), np.inf)
    refused = np.zeros(end_effector.shape, bool)
    openings = [approach_opening(gripper, float(width), clearance) for width in pairs.widths]
    gripper_volume = [gripper_boxes(gripper, opening, approach=approach) for opening in openings]
    for row, place in enumerate(avoid if len(poses) else ()):
        T_box_volume = _T_box_world(place.box) @ T_world_volume
        rotations = T_box_volume[:3, :3] @ poses.rotations
        origins = transform_points(T_box_volume, poses.origins)
        centers = np.array([boxes.center for boxes in gripper_volume])[poses.pair]
        gaps = box_gaps(rotations, origins, centers, gripper_volume[0].half, place.box.half_extents)
        contacts = np.abs(transform_points(T_box_volume, pairs.contacts))
        inside = (contacts <= place.box.half_extents).all(axis=2).any(axis=1)
        end_effector[row] = gaps.min(axis=1)
        # Fingers come first among a gripper's boxes.
        refused[row] = inside[poses.pair] | (gaps[:, : 2 * len(gripper.finger)].min(axis=1) < config.touch)
    return Nearness(end_effector, refused)


def caution(clearance: Float[np.ndarray, " n"], *, config: AvoidConfig) -> Float[np.ndarray, " n"]:
    """What a score is multiplied with: 0 where the gripper touches, 1 from the margin on, smooth between."""
    share = np.clip(clearance / max(config.margin, 1e-9), 0, 1)
    return share**2 * (3 - 2 * share)


def box_gaps(
    rotations: Float[np.ndarray, "n 3 3"],
    origins: Float[np.ndarray, "n 3"],
    centers: Float[np.ndarray, "n b 3"],
    half: Float[np.ndarray, "b 3"],
    extents: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "n b"]:
    """Distances of posed boxes to a box about the origin of half ``extents``, 0 where they overlap.

    Box (i, j) is about ``centers[i, j]`` in a frame of the given rotation and origin. The point of it that
    is nearest to the other is found by projected gradients with momentum (Beck and Teboulle 2009), each
    step exact to the nearest point of the other; what is left over errs to the far side.
    """

    def beyond(points: Float[np.ndarray, "n b 3"]) -> Float[np.ndarray, "n b 3"]:
        local = points @ rotations.transpose(0, 2, 1) + origins[:, None]
        return local - np.clip(local, -extents, extents)

    low, high = centers - half, centers + half
    start = -np.einsum("nji,nj->ni", rotations, origins)[:, None]
    point = ahead = np.clip(np.broadcast_to(start, centers.shape), low, high)
    momentum = 1.0
    for _ in range(_STEPS):
        following = np.clip(ahead - beyond(ahead) @ rotations, low, high)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / faster * (following - point)
        point, momentum = following, faster
    return np.linalg.norm(beyond(point), axis=2)


def _T_box_world(box: OrientedBox) -> Float[np.ndarray, "4 4"]:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = box.axes, -box.axes @ box.center
    return T
