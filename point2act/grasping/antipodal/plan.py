"""Antipodal grasp planning: contact pairs, collision-free poses, scores, and the best distinct grasps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import invert, transform_points
from point2act.core.types import Grasp, NoAnswer, ProgressCallback, Region
from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig
from point2act.grasping.antipodal.boundary import solid_points, surface_points
from point2act.grasping.antipodal.collision import approach_boxes, depth_inside
from point2act.grasping.antipodal.contact_pairs import ContactPairs, find_contact_pairs
from point2act.grasping.antipodal.evaluation import (
    GraspConfig,
    GraspTask,
    ScoredPoses,
    add_clearances,
    score_poses,
)
from point2act.grasping.antipodal.failure_reasons import no_surface_near, why_none
from point2act.grasping.antipodal.pose_sampling import PoseCounts, Poses, sample_free_poses
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper


def plan_grasps(
    volume: LocalVolume,
    region: Region,
    gripper: Gripper,
    *,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None = None,
    avoid: Sequence[Avoid] = (),
    base: Float[np.ndarray, "3"] | None = None,
    config: GraspConfig = GraspConfig(),
    rng: np.random.Generator,
    progress: ProgressCallback | None = None,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Plan grasps near the action point of a region.

    The gripper approaches along its +z axis with its pads open by ``approach_width``: the grasp's width and
    ``config.pairs.clearance`` on each side. On the last ``config.poses.approach`` metres it is at least
    ``approach_clearance`` from everything that was observed.

    Args:
        volume: TSDF around the action point, see ``fuse_local``.
        region: Region of the query, world.
        gripper: Gripper.
        relevancy: World points and their relevancy in [0, 1]; None for the distance to the region's box.
        avoid: Regions that are not held and that no finger touches; proximity lowers the score.
        base: Position of the robot's base, world.
        config: Planner.
        rng: Draws start points of rays and their jitter.
        progress: Called with the number of contact pairs done and the number of pairs.

    Returns:
        Grasps in the world frame, best first; if there are none, the reason.
    """
    action_point = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=config.boundary)
    missing = no_surface_near(surface, action_point, max(config.pairs.start_radii))
    if missing is not None:
        return (), missing
    solid = solid_points(volume, surface, config=config.boundary)
    task = GraspTask(volume, surface, solid, region, action_point, gripper, relevancy, avoid, base)
    best: tuple[Grasp, ...] = ()
    for radius in config.pairs.start_radii:
        found, pairs, counts = _search(task, radius, config, rng, progress)
        best = max(best, found, key=lambda grasps: (_num_clear(grasps, config.evaluation.avoid), len(grasps)))
        if _num_clear(best, config.evaluation.avoid) >= config.sufficient_grasps:
            break
    if not best:
        best, pairs, counts = _search(task, config.pairs.last_radius, _thorough(config), rng, progress)
        if not best:
            return (), why_none(volume, solid, pairs, counts, gripper, config=config)
    return best, None


def _thorough(config: GraspConfig) -> GraspConfig:
    """Return a denser search that leaves less space beside the fingers, for what hardly fits."""
    pairs, poses = config.pairs, config.poses
    return replace(
        config,
        pairs=replace(
            pairs,
            start_points=pairs.last_density * pairs.start_points,
            chord_points=pairs.last_density * pairs.chord_points,
            chord_azimuths=pairs.last_density * pairs.chord_azimuths,
        ),
        poses=replace(poses, finger_margin=min(poses.finger_margin, poses.last_finger_margin)),
    )


def _search(
    task: GraspTask,
    radius: float,
    config: GraspConfig,
    rng: np.random.Generator,
    progress: ProgressCallback | None,
) -> tuple[tuple[Grasp, ...], ContactPairs, PoseCounts]:
    """Return the best grasps with a contact within a radius of the action point, and what was tried."""
    pairs = find_contact_pairs(
        task.volume,
        task.surface,
        task.action_point,
        radius=radius,
        max_width=task.gripper.max_width,
        config=config.pairs,
        rng=rng,
    )
    poses, counts = sample_free_poses(
        task.volume,
        task.solid,
        pairs,
        task.gripper,
        clearance=config.pairs.clearance,
        config=config.poses,
        progress=progress,
    )
    return _best(task, pairs, poses, counts, config), pairs, counts


def free_in(
    volume: LocalVolume, grasps: Sequence[Grasp], region: Region, gripper: Gripper, *, config: GraspConfig
) -> tuple[Grasp, ...]:
    """Return the grasps that do not contradict another fused surface of the same place.

    Args:
        volume: Fused surface around the action point, see ``fuse_local``.
        grasps: Grasps that were planned on a surface from fewer views.
        region: Region of the query, world.
        gripper: Gripper.
        config: Planner; ``config.contradiction`` is how deep a surface may lie inside the gripper.
    """
    if not grasps:
        return ()
    action_point = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=config.boundary)
    solid = solid_points(volume, surface, config=config.boundary).points
    world, free = transform_points(volume.T_world_volume, solid), []
    for grasp in grasps:
        boxes = approach_boxes(grasp, gripper, config.poses.approach)
        local = transform_points(invert(grasp.T_world_gripper), world)
        if depth_inside(local, boxes) <= config.contradiction:
            free.append(grasp)
    return tuple(free)


def _num_clear(grasps: tuple[Grasp, ...], config: AvoidConfig) -> int:
    """Return the number of grasps with the whole margin to regions to avoid."""
    return sum(grasp.avoid_clearance is None or grasp.avoid_clearance >= config.margin for grasp in grasps)


def _best(
    task: GraspTask, pairs: ContactPairs, poses: Poses, counts: PoseCounts, config: GraspConfig
) -> tuple[Grasp, ...]:
    """Return the best distinct grasps outside the regions to avoid."""
    scored = score_poses(task, pairs, poses, counts, config=config)
    scored = scored.only(_distinct(scored, config.shortlist, config))
    scored = add_clearances(task, pairs, scored, config=config)
    # The palm was checked against a subsampled cloud.
    free = scored.approach_clearance >= config.poses.table_margin
    counts.palm += int((~free).sum())
    scored = scored.only(np.flatnonzero(free))
    chosen = _distinct(scored, config.max_grasps, config)
    return tuple(_grasp(task, pairs, scored, index, config) for index in chosen.tolist())


def _distinct(scored: ScoredPoses, count: int, config: GraspConfig) -> np.ndarray:
    """Return the indices of the best poses, none too similar to a better one (non-maximum suppression)."""
    remaining = np.argsort(-scored.score, kind="stable")
    chosen: list[int] = []
    while len(remaining) and len(chosen) < count:
        chosen.append(int(remaining[0]))
        remaining = remaining[~_similar(scored.poses, remaining, chosen[-1], config)]
    return np.array(chosen, dtype=int)


def _similar(poses: Poses, others: np.ndarray, index: int, config: GraspConfig) -> np.ndarray:
    """Return which other poses are close to a pose in position and orientation.

    The angle t between orientations has ``cos t = (tr(R_iᵀ R_j) - 1) / 2``; the half turn around the
    approach, which exchanges the fingers, negates the x and y terms of the trace.
    """
    near = np.linalg.norm(poses.origins[others] - poses.origins[index], axis=1) < config.min_separation
    overlap = np.einsum("nij,ij->nj", poses.rotations[others], poses.rotations[index])
    straight = overlap.sum(axis=1)
    flipped = overlap[:, 2] - overlap[:, 0] - overlap[:, 1]
    cosine = (np.maximum(straight, flipped) - 1) / 2
    return near & (cosine > np.cos(config.min_angle))


def _grasp(
    task: GraspTask, pairs: ContactPairs, scored: ScoredPoses, index: int, config: GraspConfig
) -> Grasp:
    """Return one pose as a grasp in the world frame."""
    pair = scored.poses.pair[index]
    T_volume_gripper = np.eye(4)
    T_volume_gripper[:3, :3] = scored.poses.rotations[index]
    T_volume_gripper[:3, 3] = scored.poses.origins[index]
    seen = pairs.seen[pair]
    return Grasp(
        T_world_gripper=task.volume.T_world_volume @ T_volume_gripper,
        width=float(pairs.widths[pair]),
        approach_width=float(scored.opening[index]),
        score=float(scored.score[index]),
        relevancy=float(scored.relevancy[index]),
        quality=float(scored.quality[index]),
        contacts=transform_points(task.volume.T_world_volume, pairs.contacts[pair]),
        approach_clearance=float(scored.approach_clearance[index]),
        free_fully_open=bool(scored.free_fully_open[index]),
        lift_clearance=_finite(scored.lift_clearance[index]),
        contacts_seen=(bool(seen[0]), bool(seen[1])),
        terms=scored.terms.of(index),
        avoid_clearance=_finite(scored.avoid_distance[index]) if task.avoid else None,
    )


def _finite(distance: float) -> float | None:
    return float(distance) if np.isfinite(distance) else None
