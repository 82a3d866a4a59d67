"""Points of a cloud as rows of numbers, and those near a place in a frame there."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from point2act.grasping.learned.cloud import LocalCloud
from point2act.grasping.learned.parts import PosedParts

SCALE = 0.1
"""Length that counts as 1 for the networks, metres: about that of a hand's palm."""

NUM_FEATURES = 9
"""Position, normal, whether on the object, whether seen, and probability of the region."""

NUM_CONTEXT = 10
"""Upward direction, middle and extents of the object, and the planner's score."""

NUM_TOUCH = 8
"""Of the palm or a finger: number, middle, normal and probability of the points that touch it."""

# Distance to the palm or a finger below which a point touches it, metres: twice the noise of a fused surface
# and the distance at which fingers of planned grasps stop. Chosen.
_TOUCHES = 0.01
# Number of points that counts as 1. Chosen.
_MANY = 10
# Standard deviation of the distance up to which points count for the direction of an object, metres: half a
# hand's width. Chosen.
_AROUND = 0.04
# Distance to the palm or a finger beyond which it does not matter how far away it is, metres. Chosen.
_FAR = 0.05


def rows_of(cloud: LocalCloud) -> Float[np.ndarray, "n 9"]:
    """Return the points of a cloud as rows: position in metres, normal, on_object, seen, probability."""
    flags = np.column_stack([cloud.on_object, cloud.seen, cloud.probability])
    return np.column_stack([cloud.points, cloud.normals, flags]).astype(np.float64)


def facing(rows: Float[Tensor, "b n 9"], origin: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Return frames with z up and x along the level direction in which the object at a place is longest.

    The opposite direction is as good. Seen in such a frame, a handle always lies the same way.

    Args:
        rows: Points as ``rows_of`` returns them; z is up.
        origin: Places on objects, metres.
    """
    away = rows[..., :3] - origin[:, None]
    weight = rows[..., 6] * torch.exp(-0.5 * away.square().sum(dim=-1) / _AROUND**2)
    weight = (weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-9))[..., None]
    level = away[..., :2]
    centered = level - (weight * level).sum(dim=1, keepdim=True)
    spread = (weight * centered).transpose(1, 2) @ centered
    # Angle of the first principal axis of a 2 x 2 covariance.
    angle = 0.5 * torch.atan2(2 * spread[:, 0, 1], spread[:, 0, 0] - spread[:, 1, 1])
    return about_vertical(angle)


def about_vertical(angle: Float[Tensor, " b"]) -> Float[Tensor, "b 3 3"]:
    """Return rotations about the z axis by angles in radians."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, one]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def points_near(
    rows: Float[Tensor, "b n 9"],
    rotation: Float[Tensor, "b 3 3"],
    origin: Float[Tensor, "b 3"],
    keys: Float[Tensor, "b n"],
    *,
    radius: float,
    count: int,
) -> Float[Tensor, "b k 9"]:
    """Return points near the origins of frames, in these frames; positions over ``SCALE``.

    Args:
        rows: Points as ``rows_of`` returns them.
        rotation: Axes of the frames as columns.
        origin: Origins of the frames, metres.
        keys: Numbers in [0, 1): points within the radius with the smallest are taken first.
        radius: Radius around the origins, metres. If fewer are within it, the nearest others are added.
        count: Number of points; all if there are fewer.
    """
    distance = (rows[..., :3] - origin[:, None]).norm(dim=-1)
    order = torch.where(distance < radius, keys, 1 + distance)
    index = order.topk(min(count, rows.shape[1]), dim=1, largest=False).indices
    near = rows.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))
    position = (near[..., :3] - origin[:, None]) @ rotation / SCALE
    return torch.cat([position, near[..., 3:6] @ rotation, near[..., 6:]], dim=-1)


def with_distances(points: Float[Tensor, "b k 9"], parts: PosedParts) -> Float[Tensor, "b k f"]:
    """Return points with their distances to the palm and to each finger, at most 1.

    Args:
        points: Points near where an object is to be, see ``points_near``.
        parts: The gripper or hand of each grasp.
    """
    distances = parts.distances(SCALE * points[..., :3])
    return torch.cat([points, distances.clamp(max=_FAR) / _FAR], dim=-1)


def context_of(
    rows: Float[Tensor, "b n 9"],
    rotation: Float[Tensor, "b 3 3"],
    origin: Float[Tensor, "b 3"],
    scores: Float[Tensor, " b"],
) -> Float[Tensor, "b 10"]:
    """Return what the points around a gripper do not show: which way is up, and the whole object.

    Args:
        rows: Points as ``rows_of`` returns them; z is up.
        rotation: Axes of the gripper's or palm's frames as columns.
        origin: Where the object is to be, metres.
        scores: The planner's score of each grasp.
    """
    own = rows[..., 6:7]
    count = own.sum(dim=1).clamp(min=1)
    middle = (own * rows[..., :3]).sum(dim=1) / count
    spread = own * (rows[..., :3] - middle[:, None])
    variances = torch.linalg.eigvalsh(spread.transpose(1, 2) @ spread / count[..., None])
    toward = ((middle - origin)[:, None] @ rotation)[:, 0]
    extents = variances.clamp(min=0).sqrt()
    return torch.cat([rotation[:, 2], toward / SCALE, extents / SCALE, scores[:, None]], dim=1)


def touches(points: Float[Tensor, "b k f"]) -> Float[Tensor, "b t"]:
    """Return what touches the palm and each finger: with few examples networks do not find that themselves.

    Args:
        points: Points with distances, see ``with_distances``.
    """
    distances = _FAR * points[..., NUM_FEATURES:]
    weight = points[..., 6:7] * (1 - distances / _TOUCHES).clamp(0, 1)
    total = weight.sum(dim=1)
    means = torch.einsum("bkn,bkf->bnf", weight, points[..., [0, 1, 2, 3, 4, 5, 8]])
    means = means / total.clamp(min=1e-6)[..., None]
    return torch.cat([means.flatten(1), total / _MANY], dim=1)
