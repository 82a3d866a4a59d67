"""Collision checks of a gripper's boxes with points and a plane, along a straight approach."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.types import Grasp
from point2act.grasping.antipodal.volume import LocalVolume, distance_to_gap, over_gap
from point2act.grasping.grippers import Boxes, Gripper

# Stride of the points that give a first bound.
SPARSE = 50


def swept_back(boxes: Boxes, approach: float) -> Boxes:
    """Return the volume that boxes of a gripper sweep on a straight approach along +z, metres."""
    back = np.array([0.0, 0.0, approach / 2])
    return Boxes(boxes.center - back, boxes.half + back)


def grid_inside(boxes: Boxes, spacing: float) -> Float[np.ndarray, "n 3"]:
    """Return points that are spread evenly in every box, at most ``spacing`` metres apart."""
    points = []
    for center, half in zip(boxes.center, boxes.half, strict=True):
        counts = np.maximum(np.ceil(2 * half / spacing).astype(int), 1)
        axes = [
            (2 * np.arange(count) + 1 - count) / count * side
            for count, side in zip(counts, half, strict=True)
        ]
        points.append(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) + center)
    return np.concatenate(points)


def closing_boxes(gripper: Gripper, width: float, opening: float) -> Boxes:
    """Return the volume that the inner faces of the fingers sweep from ``opening`` to ``width``."""
    boxes = gripper.finger
    inner = boxes.center - boxes.half * [0, 1, 0]
    half = boxes.half * [1, 0, 1] + [0.0, max(opening - width, 0.0) / 4, 0.0]
    return Boxes(inner, half).moved([0.0, (opening + width) / 4, 0.0]).on_both_sides()


def approach_opening(gripper: Gripper, width: float, clearance: float) -> float:
    """Return the opening of the gripper while it approaches contacts ``width`` apart, metres."""
    return min(gripper.max_width, width + 2 * clearance)


def planned_opening(grasp: Grasp, gripper: Gripper, *, clearance: float) -> float:
    """Return the opening of the gripper on the approach of a grasp, metres.

    Args:
        grasp: Grasp; without an ``approach_width`` its width counts.
        gripper: Gripper.
        clearance: Clearance on each side of a grasp without an ``approach_width``, metres.
    """
    if grasp.approach_width is None:
        return approach_opening(gripper, max(grasp.width, 0.0), clearance)
    return min(gripper.max_width, grasp.approach_width)


def approach_boxes(grasp: Grasp, gripper: Gripper, length: float) -> Boxes:
    """Return the volume that the gripper, open as planned, sweeps on its approach, in its own frame.

    Args:
        grasp: Grasp; without an ``approach_width`` the gripper is fully open.
        gripper: Gripper.
        length: Length of the approach, metres.
    """
    return swept_back(gripper.boxes_at(planned_opening(grasp, gripper, clearance=np.inf)), length)


def box_distances(points: Float[np.ndarray, "n 3"], boxes: Boxes) -> Float[np.ndarray, " n"]:
    """Return the distance of each point to the nearest box, 0 inside; points and boxes in one frame."""
    nearest = np.full(len(points), np.inf)
    for center, half in boxes:
        over = np.maximum(np.abs(points - center) - half, 0)
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", over, over))
    return np.sqrt(nearest)


def depth_inside(points: Float[np.ndarray, "n 3"], boxes: Boxes) -> float:
    """Return the largest depth of a point inside a box, metres; negative if all points are outside."""
    deepest = -np.inf
    x, y, z = np.ascontiguousarray(points.T)  # short rows are slow
    for center, half in boxes:
        depth = np.minimum(half[0] - np.abs(x - center[0]), half[1] - np.abs(y - center[1]))
        depth = np.minimum(depth, half[2] - np.abs(z - center[2]))
        deepest = max(deepest, float(depth.max(initial=-np.inf)))
    return deepest


def nearest(points: Float[np.ndarray, "n 3"], boxes: Boxes) -> float:
    """Return the smallest distance of a point to a box, metres; infinite without points."""
    # A few points give a bound; only points within it of the box around all boxes are checked.
    bound = box_distances(points[::SPARSE], boxes).min(initial=np.inf)
    low, high = boxes.low.min(axis=0), boxes.high.max(axis=0)
    near = (points >= low - bound) & (points <= high + bound)
    near = points[near[:, 0] & near[:, 1] & near[:, 2]]
    return float(box_distances(near, boxes).min(initial=bound))


def nearest_on_path(
    points: Float[np.ndarray, "n 3"], boxes: Boxes, motion: Float[np.ndarray, "3"], *, step: float
) -> float:
    """Return the smallest distance of a point to boxes moved by ``motion``, checked every ``step`` metres."""
    bound = nearest(points, boxes)
    low = boxes.low.min(axis=0) + np.minimum(motion, 0) - bound
    high = boxes.high.max(axis=0) + np.maximum(motion, 0) + bound
    near = points[((points >= low) & (points <= high)).all(axis=1)]
    count = int(np.ceil(np.linalg.norm(motion) / step)) + 1
    ahead = (box_distances(near - share * motion, boxes) for share in np.linspace(0, 1, count))
    return min(bound, *(float(distances.min(initial=np.inf)) for distances in ahead))


def plane_heights(
    rotations: Float[np.ndarray, "k 3 3"],
    origins: Float[np.ndarray, "k 3"],
    boxes: Boxes,
    plane: Float[np.ndarray, "4"],
) -> Float[np.ndarray, " k"]:
    """Return the height of the lowest corner of any box above a plane, for grippers at ``k`` poses.

    The support function of a box: ``n . (R c + t) + d - |Rᵀ n| . h``.
    """
    normal = rotations.transpose(0, 2, 1) @ plane[:3]
    lowest = normal @ boxes.center.T - np.abs(normal) @ boxes.half.T
    return origins @ plane[:3] + plane[3] + lowest.min(axis=1)


def table_heights(
    volume: LocalVolume,
    rotations: Float[np.ndarray, "k 3 3"],
    origins: Float[np.ndarray, "k 3"],
    boxes: Boxes,
) -> Float[np.ndarray, " k"]:
    """Return the height of the lowest part of any box above the table, for grippers at ``k`` poses.

    Parts over a gap of the table do not count; infinite without a table.
    """
    table = volume.table_in_volume
    if table is None:
        return np.full(len(origins), np.inf)
    heights = plane_heights(rotations, origins, boxes, table)
    reach = np.sqrt(((np.abs(boxes.center) + boxes.half) ** 2).sum(axis=1).max())
    low = np.flatnonzero((heights < 0) & (distance_to_gap(volume, origins) <= reach))
    if len(low):
        steps = np.stack(np.meshgrid(*np.linspace([-1] * 3, [1] * 3, 4).T, indexing="ij"), -1).reshape(-1, 3)
        local = (boxes.center[:, None] + boxes.half[:, None] * steps).reshape(-1, 3)
        points = local @ rotations[low].transpose(0, 2, 1) + origins[low][:, None]
        heights[low] = np.where(over_gap(volume, points), np.inf, volume.heights(points)).min(axis=1)
    return heights


def hits(
    points: Float[np.ndarray, "3 n"],
    rotations: Float[np.ndarray, "k 3 3"],
    depths: Float[np.ndarray, " e"],
    boxes: Boxes,
    *,
    margin: float,
) -> Bool[np.ndarray, "k e"]:
    """Return which gripper poses collide with a point.

    Args:
        points: Columns, relative to the common origin of the poses; contiguous coordinates are several times
            faster.
        rotations: Orientations with the same y axis.
        depths: Offsets of the gripper along its own z axis; pose (i, j) is ``rotations[i]`` at ``depths[j]``.
        boxes: Gripper in its own frame.
        margin: Margin on all sides of the boxes.
    """
    y = rotations[0, :, 1] @ points
    x, z = rotations[:, :, 0] @ points, rotations[:, :, 2] @ points
    center, half = boxes.center.astype(points.dtype), (boxes.half + margin).astype(points.dtype)
    (left, _, back), (right, _, front) = (center - half).min(axis=0), (center + half).max(axis=0)
    # Few points overlap any box in x and z; the rest works on (pose, point) index pairs of these.
    beside = (x > left) & (x < right) & (z > back + depths.min()) & (z < front + depths.max())
    overlapping = np.flatnonzero(beside)
    pose, point = np.divmod(overlapping.astype(np.int32), max(points.shape[1], 1))
    x, y, z = x.reshape(-1)[overlapping], y[point], z.reshape(-1)[overlapping]
    across = (np.abs(x - center[:, :1]) < half[:, :1]) & (np.abs(y - center[:, 1:2]) < half[:, 1:2])
    box, overlapping = np.divmod(np.flatnonzero(across).astype(np.int32), max(len(x), 1))
    along, pose = z[overlapping] - center[box, 2], pose[overlapping]
    hit = np.zeros((len(rotations), len(depths)), bool)
    for j, depth in enumerate(depths):
        hit[pose[np.abs(along - depth) < half[box, 2]], j] = True
    return hit


def within(
    points: Float[np.ndarray, "3 n"],
    center: Float[np.ndarray, "3"],
    axis: Float[np.ndarray, "3"],
    boxes: Boxes,
    *,
    margin: float,
    depth: float,
) -> Float[np.ndarray, "3 m"]:
    """Return the points (columns) that a gripper with a given closing axis can reach, relative to a centre.

    The axis passes through the centre; the gripper's origin is at most ``depth`` from it.
    """
    along = axis @ points - axis @ center
    side = np.abs(boxes.center) + boxes.half + margin
    reach = np.hypot(side[:, 0], side[:, 2] + depth).max()
    across = np.zeros(points.shape[1], bool)
    for low, high in _spans(boxes.center[:, 1], boxes.half[:, 1] + margin):
        across |= (along > low) & (along < high)
    slab = np.flatnonzero(across)
    near = np.take(points, slab, axis=1) - center[:, None]
    beside = np.einsum("ij,ij->j", near, near) - along[slab] ** 2 < reach**2
    return np.take(near, np.flatnonzero(beside), axis=1)


def _spans(center: Float[np.ndarray, " b"], half: Float[np.ndarray, " b"]) -> list[tuple[float, float]]:
    """Return the union of intervals as disjoint intervals."""
    spans: list[tuple[float, float]] = []
    for low, high in sorted(zip(center - half, center + half, strict=True)):
        if spans and low <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(high, spans[-1][1]))
        else:
            spans.append((low, high))
    return spans
