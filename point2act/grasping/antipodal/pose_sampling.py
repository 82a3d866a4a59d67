"""From contact pairs to gripper poses that reach them without touching anything else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import frame_from_normal, voxel_downsample
from point2act.core.types import ProgressCallback
from point2act.grasping.antipodal.boundary import Solid
from point2act.grasping.antipodal.collision import (
    SPARSE,
    approach_opening,
    body_boxes,
    closing_boxes,
    finger_boxes,
    gripper_boxes,
    hits,
    plane_heights,
    within,
)
from point2act.grasping.antipodal.contact_pairs import Pairs
from point2act.grasping.antipodal.volume import LocalVolume, seen_at
from point2act.grasping.grippers import Boxes, Gripper


@dataclass(frozen=True)
class PoseConfig:
    """Which poses are sampled, and what makes one collision-free."""

    directions: int = 36
    """Approach directions about each closing axis."""
    downwards: float = 0.1
    """An approach has at least this cosine with straight down, 84 degrees: a glass's stem is taken from the
    side, under its bowl (the study's 0.3 misses it) ..."""
    viewwards: float = 0.8
    """... or this one with the way the cameras looked, 37 degrees: things in a shelf are seen, and then
    reached, from the front. Chosen."""
    tip: float = 0.0015
    """The contacts lie at least this far behind the front edge of the pads, metres: a spoon's handle on the
    table leaves no more (the study's 3 mm misses it)."""
    deepest: float = 0.009
    """The pads' centre lies at most this far past the contacts, metres, and never off the pads."""
    depth_step: float = 0.005
    """Spacing of the depths between the two, metres."""
    approach: float = 0.10
    """Length of the straight approach that has to be free, metres."""
    lift: float = 0.15
    """Length of the straight way up that is checked for the closed gripper, metres."""
    lift_step: float = 0.01
    """Spacing at which that way is looked at, metres."""
    margin: float = 0.002
    """The fingers stay this far from everything they are not to touch, metres."""
    table_margin: float = 0.001
    """The gripper stays this far from the table, metres: a plane through thousands of pixels is known to a
    tenth of a millimetre (measured on simulated tables)."""
    closing_margin: float = 0.001
    """While they close the fingers stay this far from what is not the object, metres: half a voxel."""
    palm_margin: float = 0.005
    """The palm stays this far from everything, metres: what it meets is mostly known by a 4 mm cloud with
    1 mm of noise. With 2 mm it met a mug's rim beside the object (1 of 30 trials)."""
    body_grid: float = 0.004
    """Spacing of the surface points that the palm is checked against first, metres."""
    enough: tuple[int, int] = (50, 400)
    """Number of contact pairs after which the search ends if this many poses are free: (pairs, poses)."""
    max_unknown: float = 0.5
    """At most this share of the clearance that a fingertip takes may be unseen: a hidden side is guessed at,
    a finger is not sent altogether blind. Chosen, not measured."""


@dataclass(frozen=True, eq=False)
class Poses:
    """Free gripper poses in the volume frame."""

    pair: Int[np.ndarray, " n"]
    """Index of the contact pair."""
    rotations: Float[np.ndarray, "n 3 3"]
    depths: Float[np.ndarray, " n"]
    """How far the origin lies past the middle of the contacts."""
    origins: Float[np.ndarray, "n 3"]
    unknown: Float[np.ndarray, " n"]
    """Unseen share of the clearance that the fingertips take."""

    def __len__(self) -> int:
        return len(self.pair)

    def only(self, chosen: np.ndarray) -> Poses:
        """Some of them, by flags or by index."""
        return Poses(
            self.pair[chosen],
            self.rotations[chosen],
            self.depths[chosen],
            self.origins[chosen],
            self.unknown[chosen],
        )


@dataclass
class Tally:
    """How many poses each check refused."""

    tried: int = 0
    table: int = 0
    fingers: int = 0
    palm: int = 0
    neighbour: int = 0
    """The closing fingers would meet something else first."""
    unseen: int = 0
    avoided: dict[str, int] = field(default_factory=dict)
    """By the words of what was touched."""


@dataclass(frozen=True, eq=False)
class _Around:
    """What was seen, as columns of 32-bit numbers: several times faster."""

    all: Float[np.ndarray, "3 n"]
    coarse: Float[np.ndarray, "3 m"]
    """Thinned out, for the palm."""
    others: Float[np.ndarray, "3 o"]
    """What is not the object."""


def free_poses(
    volume: LocalVolume,
    solid: Solid,
    pairs: Pairs,
    gripper: Gripper,
    *,
    clearance: float,
    config: PoseConfig,
    progress: ProgressCallback | None = None,
) -> tuple[Poses, Tally]:
    """All poses about the pairs' closing axes at which the open gripper arrives freely.

    The gripper is open by the pair's width and ``clearance`` metres on each side. It is checked along a
    straight approach against what is ``solid`` (volume frame) and the table, its fingertips against the
    unseen, and its closing fingers against what is not the object.
    """
    points = solid.points.astype(np.float32)
    around = _Around(
        np.ascontiguousarray(points.T),
        np.ascontiguousarray(voxel_downsample(points, config.body_grid).T),
        np.ascontiguousarray(points[~solid.on_object].T),
    )
    tally, found, free_so_far = Tally(), [], 0
    fans = fans_of(pairs, volume.cameras_in_volume, config)
    for index, (fan, middle, width) in enumerate(zip(fans, pairs.middles, pairs.widths, strict=True)):
        opening = approach_opening(gripper, float(width), clearance)
        if len(fan):
            free = _free(fan, middle, around, volume, gripper, (float(width), opening), config, tally)
            found.append(_poses(index, fan, free, middle, depths_of(gripper, config)))
        free_so_far += len(found[-1]) if len(fan) else 0
        if progress is not None:
            progress(index + 1, len(pairs))
        if index + 1 >= config.enough[0] and free_so_far >= config.enough[1]:
            if progress is not None:
                progress(len(pairs), len(pairs))
            break
    poses = _concatenated(found)
    tips = _unknown(volume, poses, pairs, gripper, clearance)
    sighted = tips <= config.max_unknown
    tally.unseen = int((~sighted).sum())
    return replace(poses, unknown=tips).only(sighted), tally


def depths_of(gripper: Gripper, config: PoseConfig) -> Float[np.ndarray, " e"]:
    """How far the pads' centre is tried past the contacts, metres."""
    half = gripper.pad_size[1] / 2
    deepest = min(config.deepest, half)
    shallowest = min(config.tip - half, deepest)
    count = int(np.ceil((deepest - shallowest) / config.depth_step)) + 1
    return np.linspace(shallowest, deepest, count)


def fans_of(
    pairs: Pairs, cameras: Float[np.ndarray, "3"], config: PoseConfig
) -> list[Float[np.ndarray, "_k 3 3"]]:
    """For each pair the orientations about its closing axis that come from above or from the cameras."""
    axes = (pairs.contacts[:, 1] - pairs.contacts[:, 0]) / pairs.widths[:, None]
    flat = axes[:, 2:] * axes - [0.0, 0.0, 1.0]  # straight down, less what is along the axis
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    first = np.where(length > 1e-6, flat / np.maximum(length, 1e-6), frame_from_normal(axes)[:, :, 0])
    angles = 2 * np.pi * np.arange(config.directions)[:, None] / config.directions
    z = np.cos(angles) * first[:, None] + np.sin(angles) * np.cross(axes, first)[:, None]
    y = np.broadcast_to(axes[:, None], z.shape)
    wanted = (z[..., 2] < -config.downwards) | (z @ -cameras > config.viewwards)
    fans = np.stack([np.cross(y, z), y, z], axis=-1)
    return [fan[chosen] for fan, chosen in zip(fans, wanted, strict=True)]


def _free(
    fan: Float[np.ndarray, "k 3 3"],
    middle: Float[np.ndarray, "3"],
    around: _Around,
    volume: LocalVolume,
    gripper: Gripper,
    closing: tuple[float, float],
    config: PoseConfig,
    tally: Tally,
) -> np.ndarray:
    """Which (direction, depth) of a fan is free: of the table, for fingers and palm, and for closing.

    ``closing`` are the closed and the open distance of the pads.
    """
    width, opening = closing
    depths = depths_of(gripper, config)
    free = np.ones((len(fan), len(depths)), bool)
    tally.tried += free.size
    table = volume.table_in_volume
    if table is not None:
        end_effector = gripper_boxes(gripper, opening, approach=config.approach)
        height = plane_heights(fan, np.broadcast_to(middle, (len(fan), 3)), end_effector, table)
        free = height[:, None] + np.outer(fan[:, :, 2] @ table[:3], depths) >= config.table_margin
        tally.table += int((~free).sum())
    center, fan = middle.astype(np.float32)[:, None], fan.astype(np.float32)
    fingers = finger_boxes(gripper, opening, approach=config.approach)
    tally.fingers += _refuse(free, fan, around.all - center, depths, fingers, config.margin)
    body = body_boxes(gripper, opening, approach=config.approach)
    tally.palm += _refuse(free, fan, around.coarse - center, depths, body, config.palm_margin)
    swept = closing_boxes(gripper, width, opening)
    tally.neighbour += _refuse(free, fan, around.others - center, depths, swept, config.closing_margin)
    return free


def _refuse(
    free: np.ndarray,
    fan: Float[np.ndarray, "k 3 3"],
    points: Float[np.ndarray, "3 n"],
    depths: Float[np.ndarray, " e"],
    boxes: Boxes,
    margin: float,
) -> int:
    """Clear the entries of ``free`` at which the boxes meet a point; returns how many."""
    before = int(free.sum())
    if not before:
        return 0
    near = within(points, fan[0, :, 1], boxes, margin=margin, depth=float(np.abs(depths).max()))
    # A few of the points report of most grippers that meet any: all are looked at for those that are left.
    for every in (SPARSE, 1):
        rows = np.flatnonzero(free.any(axis=1))
        if len(rows):
            free[rows] &= ~hits(near[:, ::every], fan[rows], depths, boxes, margin=margin)
    return before - int(free.sum())


def _poses(
    index: int,
    fan: Float[np.ndarray, "k 3 3"],
    free: np.ndarray,
    middle: Float[np.ndarray, "3"],
    steps: Float[np.ndarray, " e"],
) -> Poses:
    direction, depth = np.nonzero(free)
    depths = steps[depth]
    rotations = fan[direction]
    origins = middle + depths[:, None] * rotations[:, :, 2]
    return Poses(np.full(len(depths), index), rotations, depths, origins, np.zeros(len(depths)))


def _concatenated(parts: list[Poses]) -> Poses:
    if not parts:
        nothing = np.zeros(0)
        return Poses(nothing.astype(int), np.zeros((0, 3, 3)), nothing, np.zeros((0, 3)), nothing)
    return Poses(
        np.concatenate([p.pair for p in parts]),
        np.concatenate([p.rotations for p in parts]),
        np.concatenate([p.depths for p in parts]),
        np.concatenate([p.origins for p in parts]),
        np.concatenate([p.unknown for p in parts]),
    )


def _unknown(
    volume: LocalVolume, poses: Poses, pairs: Pairs, gripper: Gripper, clearance: float
) -> Float[np.ndarray, " n"]:
    """Unseen share of the clearance inside the foremost finger boxes and 2 cm behind them."""
    tip = gripper.finger.high[:, 2].argmax()
    low, high = gripper.finger.low[tip] - [0, 0, 0.02], gripper.finger.high[tip]
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 5).T, indexing="ij"), axis=-1).reshape(-1, 3)
    width = pairs.widths
    share = np.zeros(len(poses))
    for pair in np.unique(poses.pair):
        rows = poses.pair == pair
        shift = np.array([0.0, approach_opening(gripper, float(width[pair]), clearance) / 2, 0.0])
        both = np.concatenate([grid + shift, grid * [1, -1, 1] - shift])
        corners = both @ poses.rotations[rows].transpose(0, 2, 1) + poses.origins[rows][:, None]
        share[rows] = 1 - seen_at(volume, corners.reshape(-1, 3)).reshape(len(corners), -1).mean(axis=1)
    return share
