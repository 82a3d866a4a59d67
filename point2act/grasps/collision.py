"""Whether the open hand fits: boxes against points, along a straight approach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.types import Box, Gripper


@dataclass(frozen=True, eq=False)
class Boxes:
    """Axis-aligned boxes in the gripper frame."""

    center: Float[np.ndarray, "b 3"]
    half: Float[np.ndarray, "b 3"]

    def __len__(self) -> int:
        return len(self.center)


def finger_boxes(gripper: Gripper, opening: float, *, approach: float = 0.0) -> Boxes:
    """Both fingers, their pads ``opening`` apart, swept back along the approach by that many metres."""
    boxes = _stack(gripper.finger)
    shift = np.array([0.0, opening / 2, 0.0])
    center = np.concatenate([boxes.center + shift, boxes.center * [1, -1, 1] - shift])
    return _swept(Boxes(center, np.concatenate([boxes.half, boxes.half])), approach)


def body_boxes(gripper: Gripper, *, approach: float = 0.0) -> Boxes:
    """Palm and flange, swept back along the approach by that many metres."""
    return _swept(_stack(gripper.body), approach)


def hand_boxes(gripper: Gripper, opening: float, *, approach: float = 0.0) -> Boxes:
    """Fingers and body together."""
    fingers, body = finger_boxes(gripper, opening, approach=approach), body_boxes(gripper, approach=approach)
    return Boxes(np.concatenate([fingers.center, body.center]), np.concatenate([fingers.half, body.half]))


def approach_opening(gripper: Gripper, width: float, clearance: float) -> float:
    """How far the pads are apart while the hand approaches contacts that are ``width`` apart, metres."""
    return min(gripper.max_width, width + 2 * clearance)


def _stack(boxes: tuple[Box, ...]) -> Boxes:
    return Boxes(np.array([b.center for b in boxes]), np.array([b.half_extents for b in boxes]))


def _swept(boxes: Boxes, approach: float) -> Boxes:
    # A box that comes along +z has passed through a box that is longer by the way it came.
    back = np.array([0.0, 0.0, approach / 2])
    return Boxes(boxes.center - back, boxes.half + back)


def box_distances(points: Float[np.ndarray, "n 3"], boxes: Boxes) -> Float[np.ndarray, " n"]:
    """Distance of each point to the nearest box, 0 inside; points and boxes in one frame."""
    nearest = np.full(len(points), np.inf)
    for center, half in zip(boxes.center, boxes.half, strict=True):
        over = np.maximum(np.abs(points - center) - half, 0)
        nearest = np.minimum(nearest, (over**2).sum(axis=1))
    return np.sqrt(nearest)


def plane_heights(
    rotations: Float[np.ndarray, "k 3 3"],
    origins: Float[np.ndarray, "k 3"],
    boxes: Boxes,
    plane: Float[np.ndarray, "4"],
) -> Float[np.ndarray, " k"]:
    """Height of the lowest corner of any box over a plane, for hands at ``k`` poses."""
    normal = rotations.transpose(0, 2, 1) @ plane[:3]
    lowest = normal @ boxes.center.T - np.abs(normal) @ boxes.half.T
    return origins @ plane[:3] + plane[3] + lowest.min(axis=1)


def hits(
    points: Float[np.ndarray, "n 3"],
    rotations: Float[np.ndarray, "k 3 3"],
    depths: Float[np.ndarray, " e"],
    boxes: Boxes,
    *,
    margin: float,
) -> Bool[np.ndarray, "k e"]:
    """Which hands meet a point, boxes grown by ``margin`` on all sides.

    Hand (i, j) has the orientation ``rotations[i]``, all with the same y axis, and its origin
    ``depths[j]`` past the frame's origin along its own z axis.
    """
    y = points @ rotations[0, :, 1]
    x = rotations[:, :, 0] @ points.T
    z = rotations[:, :, 2] @ points.T
    hit = np.zeros((len(rotations), len(depths)), bool)
    for center, half in zip(boxes.center, boxes.half + margin, strict=True):
        near = np.abs(y - center[1]) < half[1]
        beside = np.abs(x[:, near] - center[0]) < half[0]
        along = z[:, near] - center[2]
        for j, depth in enumerate(depths):
            hit[:, j] |= (beside & (np.abs(along - depth) < half[2])).any(axis=1)
    return hit


def within(
    points: Float[np.ndarray, "n 3"],
    axis: Float[np.ndarray, "3"],
    boxes: Boxes,
    *,
    margin: float,
    depth: float,
) -> Int[np.ndarray, " m"]:
    """Indices of the points that a hand about this closing axis could ever meet.

    The axis goes through the points' origin; the hand's own origin is at most ``depth`` from it.
    """
    along = points @ axis
    side = np.abs(boxes.center) + boxes.half + margin
    reach = np.hypot(side[:, 0], side[:, 2] + depth).max()
    low = (boxes.center[:, 1] - boxes.half[:, 1]).min() - margin
    high = (boxes.center[:, 1] + boxes.half[:, 1]).max() + margin
    slab = np.flatnonzero((along > low) & (along < high))
    beside = np.einsum("ij,ij->i", points[slab], points[slab]) - along[slab] ** 2
    return slab[beside < reach**2]
