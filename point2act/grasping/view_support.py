"""Support of grasps by the readings of single views, beside the surface that is fused from them.

Views that could not be aligned are left out of the fused surface, but what they saw is evidence too: a grasp
whose approach no view contradicts is preferred over one that only the fused views leave free, and one through
space that some view looked through over one through space that none saw, such as under the board of a shelf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.geometry import at_pixels, inside, invert, project, transform_points, voxel_downsample
from point2act.core.types import DepthImages, Grasp, View
from point2act.grasping.antipodal.collision import approach_boxes, grid_inside, planned_opening, swept_back
from point2act.grasping.depth_images import clean_depths, readings_near
from point2act.grasping.grippers import Boxes, Gripper


@dataclass(frozen=True)
class SupportConfig:
    """When a view contradicts a grasp, and what that costs."""

    radius: float = 0.30
    """Radius around the action point within which readings count, metres."""
    # A gripper and its approach.
    approach: float = 0.08
    """Length of the approach on which readings count, metres."""
    tolerance: float = 0.0025
    """Depth inside the gripper up to which a reading counts as free, metres: the error of poses."""
    cell: float = 0.002
    """Side of the cells in which readings are counted once, metres."""
    max_cells: int = 2
    """Largest number of cells with readings inside the gripper that counts as noise."""
    trust: float = 12.0
    """Exponent on the fraction of views that leave the gripper free, a factor on the score."""
    # One of 15 views against a grasp takes 56 %, one of 3 takes 99 %. Chosen: with 1, grasps that most views
    # contradict were the best ones of two things in a shelf.
    seen_spacing: float = 0.015
    """Spacing of the points at which space is seen or not, metres; a surface is seen up to that deep."""
    blocked_unseen: float = 0.5
    """Probability that space which no view saw blocks the gripper, where all of its approach is unseen."""
    # Chosen.


@dataclass(frozen=True, eq=False)
class ViewReadings:
    """What every view measured around an action point."""

    points: Float[np.ndarray, "3 n"]
    """Readings of all views in columns, relative to ``center``, world, one per view and cell."""
    view: Int[np.ndarray, " n"]
    """Number of the view that each belongs to."""
    count: int
    """Number of views with readings."""
    measured: Sequence[tuple[View, Float[np.ndarray, "_h _w"]]]
    """Views and what they measured, z-depth in metres, without flying pixels."""
    center: Float[np.ndarray, "3"]
    config: SupportConfig

    @staticmethod
    def near(
        views: Sequence[View],
        depths: DepthImages,
        center: Float[np.ndarray, "3"],
        *,
        config: SupportConfig = SupportConfig(),
    ) -> ViewReadings:
        """Return the readings of all views near an action point, world; aligned or not.

        Args:
            depths: z-depth of each view, metres; 0 for none.
        """
        clean = list(zip(views, clean_depths(views, depths), strict=True))
        clouds = [readings_near(view, depth, center, config.radius)[0] - center for view, depth in clean]
        clouds = [voxel_downsample(cloud, config.cell) for cloud in clouds if len(cloud)]
        points = np.concatenate([np.zeros((0, 3)), *clouds])
        number = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
        columns = np.ascontiguousarray(points.T, dtype=np.float32)
        return ViewReadings(columns, number, len(clouds), clean, center, config)

    def approach_seen(self, grasps: Sequence[Grasp], gripper: Gripper) -> Float[np.ndarray, " g"]:
        """Return for each grasp the fraction of its approach that a view looked through; NaN without views.

        Args:
            grasps: Grasps in the world frame.
            gripper: Gripper, open by each grasp's ``approach_width``.
        """
        if not self.count:
            return np.full(len(grasps), np.nan)
        return np.array([self._seen(self._swept_points(grasp, gripper)).mean() for grasp in grasps])

    def _swept_points(self, grasp: Grasp, gripper: Gripper) -> Float[np.ndarray, "n 3"]:
        """Return an even grid of world points in the volume that the open gripper sweeps on its approach."""
        boxes = approach_boxes(grasp, gripper, self.config.approach)
        return transform_points(grasp.T_world_gripper, grid_inside(boxes, self.config.seen_spacing))

    def _seen(self, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return which world points lie before a surface that a view measured, or on it."""
        seen = np.zeros(len(points), bool)
        for view, depth in self.measured:
            unseen = np.flatnonzero(~seen)
            pixels, z = project(view.camera, view.T_world_cam, points[unseen])
            there = np.flatnonzero(inside(view.camera, pixels) & (z > 0))
            behind = at_pixels(depth, pixels[there])
            seen[unseen[there]] = (behind > 0) & (z[there] < behind + self.config.seen_spacing)
        return seen

    def support(self, grasps: Sequence[Grasp], gripper: Gripper) -> Float[np.ndarray, " g"]:
        """Return for each grasp the fraction of views that leave the gripper free; 1 without views.

        Args:
            grasps: Grasps in the world frame.
            gripper: Gripper, open by each grasp's ``approach_width``.
        """
        return np.array([self._fraction_free(grasp, gripper) for grasp in grasps])

    def _fraction_free(self, grasp: Grasp, gripper: Gripper) -> float:
        opening = planned_opening(grasp, gripper, clearance=np.inf)
        boxes = _shrunk(gripper.boxes_at(opening), self.config)
        blocked = np.bincount(self.view[self._inside(grasp, boxes)], minlength=self.count)
        return float(np.mean(blocked <= self.config.max_cells)) if self.count else 1.0

    def _inside(self, grasp: Grasp, boxes: Boxes) -> Int[np.ndarray, " m"]:
        """Return the indices of the readings inside a box of the gripper."""
        T = invert(grasp.T_world_gripper).astype(np.float32)
        offset = T[:3, :3] @ self.center.astype(np.float32) + T[:3, 3]
        low, high = boxes.low.min(axis=0), boxes.high.max(axis=0)
        kept = np.arange(self.points.shape[1])
        points = self.points
        # Most points are outside the thinnest slab around the gripper, which takes one coordinate of each.
        for axis in np.argsort(high - low):
            along = T[axis, :3] @ points + offset[axis]
            near = np.flatnonzero((along > low[axis]) & (along < high[axis]))
            kept, points = kept[near], points[:, near]
        around = T[:3, :3] @ points + offset[:, None]
        within = np.zeros(len(kept), bool)
        for low, high in zip(boxes.low, boxes.high, strict=True):
            within |= ((around > low[:, None]) & (around < high[:, None])).all(axis=0)
        return kept[within]


def prefer_supported(
    grasps: Sequence[Grasp],
    support: Float[np.ndarray, " g"],
    seen: Float[np.ndarray, " g"],
    *,
    config: SupportConfig = SupportConfig(),
) -> tuple[Grasp, ...]:
    """Multiply scores by the support of the views and by the probability that unseen space is free.

    Args:
        grasps: Grasps.
        support: Fraction of views that leave the gripper free, see ``ViewReadings.support``.
        seen: Fraction of the approach that a view looked through, NaN where that is not known, see
            ``ViewReadings.approach_seen``.
        config: Exponent and probability.

    Returns:
        The grasps, best first, with ``approach_seen``.
    """
    factors = support**config.trust * (1 - config.blocked_unseen * (1 - np.nan_to_num(seen, nan=1.0)))
    scored = [
        replace(
            grasp,
            score=grasp.score * float(factor),
            approach_seen=None if np.isnan(share) else float(share),
        )
        for grasp, factor, share in zip(grasps, factors, seen, strict=True)
    ]
    return tuple(sorted(scored, key=lambda grasp: -grasp.score))


def _shrunk(boxes: Boxes, config: SupportConfig) -> Boxes:
    """Return the volume that smaller boxes sweep on the approach."""
    smaller = Boxes(boxes.center, np.maximum(boxes.half - config.tolerance, 0))
    return swept_back(smaller, config.approach)
