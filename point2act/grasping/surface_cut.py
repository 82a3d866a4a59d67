"""Cuts through the fused surface at a gripper: what is free, occupied and unknown there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from point2act.core.geometry import invert, transform_points
from point2act.core.types import Grasp, NoAnswer, SurfaceCut
from point2act.grasping.antipodal.volume import LocalVolume, interpolate, observed_at, over_gap
from point2act.grasping.grippers import Gripper

# Half the side of a cut, metres, and its pixel. Chosen: a palm's width, and half a voxel.
_HALF_SIDE = 0.09
_PIXEL = 0.001


def cut_at(
    volume: LocalVolume, grasps: Sequence[Grasp], failure: NoAnswer | None, gripper: Gripper
) -> SurfaceCut | None:
    """Cut the surface in the plane in which the gripper of the best grasp, or of the nearest miss, closes.

    Args:
        volume: The fused surface.
        grasps: Grasps in the world frame, best first.
        failure: The reason without grasps.
        gripper: The gripper, opened fully if a grasp has no opening.

    Returns:
        The cut; None without a pose. Where points block the gripper, the cut is moved along the
        gripper's x axis to their median.
    """
    T = volume.T_world_volume
    if grasps:
        pose, width, hits = grasps[0].T_world_gripper, grasps[0].approach_width, np.zeros((0, 3))
        opening = gripper.max_width if width is None else width
    elif failure is not None and failure.miss is not None:
        miss = failure.miss
        pose, opening, hits = T @ miss.T_volume_gripper, miss.opening, transform_points(T, miss.hits)
    else:
        return None
    steps = np.arange(-_HALF_SIDE, _HALF_SIDE, _PIXEL) + _PIXEL / 2
    z, y = np.meshgrid(steps, steps, indexing="ij")
    x = np.median(transform_points(invert(pose), hits)[:, 0]) if len(hits) else 0.0
    plane = np.stack([np.full(z.size, x), y.ravel(), z.ravel()], axis=1)
    local = transform_points(invert(T) @ pose, plane)
    within = (np.abs(local) <= volume.half_size).all(axis=1)
    seen = within & observed_at(volume, local)
    surface = interpolate(volume, volume.tsdf, local, outside=volume.truncation) <= 0
    table = (volume.heights(local) < 0) & ~over_gap(volume, local)
    occupied = (seen & surface) | table
    free = seen & ~occupied
    return SurfaceCut(free.reshape(z.shape), occupied.reshape(z.shape), _PIXEL, pose, opening, hits)
