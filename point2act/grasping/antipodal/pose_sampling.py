"""Sampling of collision-free gripper poses around the closing axes of contact pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.geometry import frame_from_normal, voxel_downsample
from point2act.core.types import ProgressCallback
from point2act.grasping.antipodal.boundary import SolidPoints
from point2act.grasping.antipodal.collision import (
    SPARSE,
    approach_opening,
    closing_boxes,
    hits,
    swept_back,
    table_heights,
    within,
)
from point2act.grasping.antipodal.contact_pairs import ContactPairs
from point2act.grasping.antipodal.volume import LocalVolume, observed_at
from point2act.grasping.grippers import Boxes, Gripper
from point2act.grasping.records import Records, concatenate


@dataclass(frozen=True)
class PoseSamplingConfig:
    """Sampled gripper poses and their collision checks. Lengths in metres."""

    directions: int = 36
    """Number of approach directions around each closing axis."""
    min_downward_cosine: float = 0.1
    """Smallest cosine between an approach and straight down; alternative to ``min_viewing_cosine``."""
    # 84 degrees: a glass's stem is taken from the side, under its bowl (0.3 misses it).
    min_viewing_cosine: float = 0.8
    """Smallest cosine between an approach and the viewing direction of the cameras."""
    # 37 degrees: objects in a shelf are seen, and then reached, from the front. Chosen.
    min_pad_overlap: float = 0.0015
    """Smallest distance of the contacts behind the front edge of the pads, metres."""
    # A spoon's handle on the table leaves no more (3 mm misses it).
    max_depth: float = 0.009
    """Largest distance of the pads' centre beyond the contacts, metres; at most half a pad."""
    depth_step: float = 0.005
    """Spacing of the sampled depths, metres."""
    approach: float = 0.10
    """Length of the straight approach that must be free, metres."""
    lift: float = 0.15
    """Length of the straight lift that is checked for the closed gripper, metres."""
    lift_step: float = 0.01
    """Spacing of the checks along the lift, metres."""
    finger_margin: float = 0.002
    """Smallest distance of the fingers to everything, metres."""
    last_finger_margin: float = 0.001
    """The same if there is no grasp otherwise, metres."""
    table_margin: float = 0.001
    """Smallest distance of the gripper to the table, metres."""
    # A plane through thousands of pixels is known to 0.1 mm (measured on simulated tables).
    closing_margin: float = 0.001
    """Smallest distance of the closing fingers to everything but the object, metres."""
    palm_margin: float = 0.005
    """Smallest distance of palm and links to everything, metres."""
    # Most obstacles are known from a 4 mm cloud with 1 mm of noise. With 2 mm the palm hit a mug's rim beside
    # the object in 1 of 30 trials.
    palm_grid: float = 0.004
    """Spacing of the surface points that the palm is checked against first, metres."""
    min_pairs: int = 50
    """Number of contact pairs, best first, that are always tried."""
    sufficient_poses: int = 400
    """Number of free poses after which no more than ``min_pairs`` pairs are tried."""
    # 97 % of free poses hold (measured).
    max_unseen_fraction: float = 0.5
    """Largest unobserved fraction of the volume that the fingertips occupy."""
    # A hidden side is guessed at, a finger is not sent altogether blind. Chosen.


@dataclass(frozen=True, eq=False)
class Poses(Records):
    """Collision-free gripper poses in the volume frame."""

    pair: Int[np.ndarray, " n"]
    """Index of the contact pair."""
    rotations: Float[np.ndarray, "n 3 3"]
    depths: Float[np.ndarray, " n"]
    """Offset of the origin along the approach from the midpoint of the contacts, metres."""
    origins: Float[np.ndarray, "n 3"]
    unknown: Float[np.ndarray, " n"]
    """Unobserved fraction of the volume that the fingertips occupy."""

    def __len__(self) -> int:
        return len(self.pair)


@dataclass
class PoseCounts:
    """Number of poses that each check rejects."""

    tried: int = 0
    table: int = 0
    fingers: int = 0
    palm: int = 0
    neighbour: int = 0
    """Poses whose closing fingers would hit something else first."""
    unseen: int = 0
    avoided: dict[str, int] = field(default_factory=dict)
    """Poses near each region to avoid, by its text."""


@dataclass(frozen=True, eq=False)
class _Cloud:
    """Observed points as columns of 32-bit numbers, which is several times faster.

    Of each kind a few points come first, which reject most colliding poses.
    """

    all: tuple[Float[np.ndarray, "3 _n"], ...]
    coarse: tuple[Float[np.ndarray, "3 _m"], ...]
    """Subsampled, for the palm."""
    others: tuple[Float[np.ndarray, "3 _o"], ...]
    """Points that are not on the object."""

    @staticmethod
    def of(solid: SolidPoints, palm_grid: float) -> _Cloud:
        """Return the points of a volume; the palm is checked against one point per ``palm_grid`` metres."""
        points = solid.points.astype(np.float32)
        kinds = points, voxel_downsample(points, palm_grid), points[~solid.on_object]
        return _Cloud(
            *(tuple(np.ascontiguousarray(kind[::every].T) for every in (SPARSE, 1)) for kind in kinds)
        )


def sample_free_poses(
    volume: LocalVolume,
    solid: SolidPoints,
    pairs: ContactPairs,
    gripper: Gripper,
    *,
    clearance: float,
    config: PoseSamplingConfig,
    progress: ProgressCallback | None = None,
) -> tuple[Poses, PoseCounts]:
    """Return the poses around the pairs' closing axes that the open gripper reaches without a collision.

    The gripper is checked along a straight approach against solid points and table, its fingertips against
    unobserved space, and its closing fingers against everything but the object.

    Args:
        solid: Observed points above the table, volume frame.
        pairs: Contact pairs, best first.
        clearance: Clearance between each open finger and its contact, metres.
        progress: Called with the number of pairs done and the number of pairs.

    Returns:
        Poses, and how many others each check rejects.
    """
    cloud = _Cloud.of(solid, config.palm_grid)
    counts, found, num_free = PoseCounts(), [], 0
    fans = approach_fans(pairs, volume.cameras_in_volume, config)
    for index, (fan, middle, width) in enumerate(zip(fans, pairs.middles, pairs.widths, strict=True)):
        opening = approach_opening(gripper, float(width), clearance)
        if len(fan):
            free = _free(fan, middle, cloud, volume, gripper, (float(width), opening), config, counts)
            found.append(_poses(index, fan, free, middle, pad_depths(gripper, config)))
            num_free += len(found[-1])
        enough = index + 1 >= config.min_pairs and num_free >= config.sufficient_poses
        if progress is not None:
            progress(len(pairs) if enough else index + 1, len(pairs))
        if enough:
            break
    nothing = np.zeros(0)
    none = Poses(nothing.astype(int), np.zeros((0, 3, 3)), nothing, np.zeros((0, 3)), nothing)
    poses = concatenate(found or [none])
    unknown = unseen_fraction(volume, poses, pairs, gripper, clearance)
    observed = unknown <= config.max_unseen_fraction
    counts.unseen = int((~observed).sum())
    return replace(poses, unknown=unknown).only(observed), counts


def pad_depths(gripper: Gripper, config: PoseSamplingConfig) -> Float[np.ndarray, " e"]:
    """Return the sampled offsets of the pads' centre beyond the contacts, metres."""
    half = gripper.pad_size[1] / 2
    deepest = min(config.max_depth, half)
    shallowest = min(config.min_pad_overlap - half, deepest)
    count = int(np.ceil((deepest - shallowest) / config.depth_step)) + 1
    return np.linspace(shallowest, deepest, count)


def approach_fans(
    pairs: ContactPairs, cameras: Float[np.ndarray, "3"], config: PoseSamplingConfig
) -> list[Float[np.ndarray, "_k 3 3"]]:
    """Return each pair's gripper orientations around its closing axis, from above or from the cameras."""
    axes = (pairs.contacts[:, 1] - pairs.contacts[:, 0]) / pairs.widths[:, None]
    flat = axes[:, 2:] * axes - [0.0, 0.0, 1.0]  # straight down, orthogonal to the axis
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    first = np.where(length > 1e-6, flat / np.maximum(length, 1e-6), frame_from_normal(axes)[:, :, 0])
    angles = 2 * np.pi * np.arange(config.directions)[:, None] / config.directions
    z = np.cos(angles) * first[:, None] + np.sin(angles) * np.cross(axes, first)[:, None]
    y = np.broadcast_to(axes[:, None], z.shape)
    wanted = (z[..., 2] < -config.min_downward_cosine) | (z @ -cameras > config.min_viewing_cosine)
    fans = np.stack([np.cross(y, z), y, z], axis=-1)
    return [fan[chosen] for fan, chosen in zip(fans, wanted, strict=True)]


def _free(
    fan: Float[np.ndarray, "k 3 3"],
    middle: Float[np.ndarray, "3"],
    cloud: _Cloud,
    volume: LocalVolume,
    gripper: Gripper,
    widths: tuple[float, float],
    config: PoseSamplingConfig,
    counts: PoseCounts,
) -> np.ndarray:
    """Return which (direction, depth) of a fan is free; ``widths`` are those of the closed and open pads."""
    width, opening = widths
    depths = pad_depths(gripper, config)
    free = np.ones((len(fan), len(depths)), bool)
    counts.tried += free.size
    fingers = swept_back(gripper.fingers_at(opening), config.approach)
    body = swept_back(gripper.body_at(opening), config.approach)
    if volume.table is not None:
        free = _above_table(volume, fan, middle, depths, fingers + body, config.table_margin)
        counts.table += int((~free).sum())
    center, fan = middle.astype(np.float32), fan.astype(np.float32)
    counts.fingers += _reject(free, fan, center, cloud.all, depths, fingers, config.finger_margin)
    counts.palm += _reject(free, fan, center, cloud.coarse, depths, body, config.palm_margin)
    swept = closing_boxes(gripper, width, opening)
    counts.neighbour += _reject(free, fan, center, cloud.others, depths, swept, config.closing_margin)
    return free


def _above_table(
    volume: LocalVolume,
    fan: Float[np.ndarray, "k 3 3"],
    middle: Float[np.ndarray, "3"],
    depths: Float[np.ndarray, " e"],
    boxes: Boxes,
    margin: float,
) -> Bool[np.ndarray, "k e"]:
    """Return which (direction, depth) of a fan keeps all boxes above the table."""
    origins = middle + depths[:, None] * fan[:, None, :, 2]
    rotations = np.repeat(fan, len(depths), axis=0)
    heights = table_heights(volume, rotations, origins.reshape(-1, 3), boxes)
    return heights.reshape(len(fan), len(depths)) >= margin


def _reject(
    free: np.ndarray,
    fan: Float[np.ndarray, "k 3 3"],
    center: Float[np.ndarray, "3"],
    clouds: Sequence[Float[np.ndarray, "3 _n"]],
    depths: Float[np.ndarray, " e"],
    boxes: Boxes,
    margin: float,
) -> int:
    """Clear the entries of ``free`` at which the boxes collide with a point, and return their number."""
    before, deepest = int(free.sum()), float(np.abs(depths).max())
    for points in clouds:
        rows = np.flatnonzero(free.any(axis=1))
        if len(rows):
            near = within(points, center, fan[0, :, 1], boxes, margin=margin, depth=deepest)
            free[rows] &= ~hits(near, fan[rows], depths, boxes, margin=margin)
    return before - int(free.sum())


def _poses(
    index: int,
    fan: Float[np.ndarray, "k 3 3"],
    free: np.ndarray,
    middle: Float[np.ndarray, "3"],
    steps: Float[np.ndarray, " e"],
) -> Poses:
    direction, depth = np.nonzero(free)
    depths, rotations = steps[depth], fan[direction]
    origins = middle + depths[:, None] * rotations[:, :, 2]
    return Poses(np.full(len(depths), index), rotations, depths, origins, np.zeros(len(depths)))


def unseen_fraction(
    volume: LocalVolume, poses: Poses, pairs: ContactPairs, gripper: Gripper, clearance: float
) -> Float[np.ndarray, " n"]:
    """Return the unobserved fraction of the foremost finger boxes and the 2 cm behind them.

    The pads are open by ``clearance`` metres on each side of the contacts, at most fully.
    """
    tip = gripper.finger.high[:, 2].argmax()
    low, high = gripper.finger.low[tip] - [0, 0, 0.02], gripper.finger.high[tip]
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 5).T, indexing="ij"), axis=-1).reshape(-1, 3)
    widths = pairs.widths
    unseen = np.zeros(len(poses))
    for pair in np.unique(poses.pair):
        rows = poses.pair == pair
        shift = np.array([0.0, approach_opening(gripper, float(widths[pair]), clearance) / 2, 0.0])
        both = np.concatenate([grid + shift, grid * [1, -1, 1] - shift])
        points = both @ poses.rotations[rows].transpose(0, 2, 1) + poses.origins[rows][:, None]
        unseen[rows] = 1 - observed_at(volume, points.reshape(-1, 3)).reshape(len(points), -1).mean(axis=1)
    return unseen
