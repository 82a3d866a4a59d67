"""Evaluation of gripper poses: fast terms for all poses, clearances and robustness for the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import distance_to_box, transform_points
from point2act.core.types import Region
from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig, avoid_distances, avoid_factor
from point2act.grasping.antipodal.boundary import BoundaryConfig, SolidPoints, SurfacePoints
from point2act.grasping.antipodal.clearances import approach_clearances, lift_clearances, opened_clearances
from point2act.grasping.antipodal.collision import approach_opening
from point2act.grasping.antipodal.contact import RobustnessConfig, draw_perturbations, robustness
from point2act.grasping.antipodal.contact_pairs import ContactPairs, PairConfig
from point2act.grasping.antipodal.pose_sampling import PoseCounts, Poses, PoseSamplingConfig
from point2act.grasping.antipodal.score import (
    ScoreConfig,
    contact_relevancy,
    preference,
    quality,
    semantic_factor,
)
from point2act.grasping.antipodal.terms import GraspTerms, TermConfig, grasp_terms, surfaces_at_poses
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper
from point2act.grasping.records import Records


@dataclass(frozen=True)
class EvaluationConfig:
    """Quality and score of gripper poses."""

    terms: TermConfig = field(default_factory=TermConfig)
    """Scales of the terms of the quality."""
    robustness: RobustnessConfig = field(default_factory=RobustnessConfig)
    """Errors of execution."""
    score: ScoreConfig = field(default_factory=ScoreConfig)
    """Combination of quality, relevancy and preferences."""
    avoid: AvoidConfig = field(default_factory=AvoidConfig)
    """Distance to regions to avoid."""
    slanted_factor: float = 0.3
    """Factor on the score of poses whose pads press outside the friction cone."""
    # In front of a can's widest place they squeeze it out. Chosen.
    low_height: float = 0.012
    """Height above the table below which contacts are exempt from ``slanted_factor``, metres."""
    # Low objects show round edges, and pads that reach the table hold all of them. Chosen.
    blocked_factor: float = 0.5
    """Factor on the score of poses whose lift seems to be blocked."""
    # Not rejected: half of a glass that no camera saw in one piece may be its own bowl, and a robot can
    # retreat along its approach. Chosen.
    planned_opening_factor: float = 0.95
    """Factor on the score of poses whose approach is free with the planned opening only, not fully open."""
    # For grippers that cannot be opened to a width. Measured in 60 simulated heaps: with 1, 0.95 and 0.9 the
    # first grasps lift 57, 57 and 57 objects with the planned opening, 47, 52 and 53 fully open.


@dataclass(frozen=True)
class GraspConfig:
    """Antipodal grasp planning."""

    boundary: BoundaryConfig = field(default_factory=BoundaryConfig)
    """Surface points and the object."""
    pairs: PairConfig = field(default_factory=PairConfig)
    """Contact pairs."""
    poses: PoseSamplingConfig = field(default_factory=PoseSamplingConfig)
    """Sampled gripper poses and their collision checks."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Quality and score."""
    max_grasps: int = 20
    """Largest number of returned grasps."""
    shortlist: int = 48
    """Number of the best poses for which clearances and robustness are computed."""
    sufficient_grasps: int = 5
    """Number of grasps below which contacts further from the action point are tried too."""
    contradiction: float = 0.003
    """Depth of a surface from all views inside the gripper from which it contradicts a grasp that was planned
    on fewer views, metres."""
    # Twice what aligned views differ by (measured at half a metre). Chosen.
    min_separation: float = 0.015
    """Smallest distance between returned grasps of similar orientation, metres."""
    min_angle: float = 0.52
    """Smallest angle between returned grasps at similar positions, radians."""
    # A gripper turned by 180 degrees around its approach is the same gripper.


_COARSE_NOISE = 0.001
"""Standard deviation of depth, metres, above which the gripper opens wider and clearances are to be larger.
Chosen."""


@dataclass(frozen=True, eq=False)
class GraspTask:
    """Input of grasp planning at one region."""

    volume: LocalVolume
    surface: SurfacePoints
    solid: SolidPoints
    region: Region
    action_point: Float[np.ndarray, "3"]
    """Action point in the volume frame."""
    gripper: Gripper
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None
    """World points and their relevancy."""
    avoid: Sequence[Avoid]
    base: Float[np.ndarray, "3"] | None
    """Position of the robot's base, world."""


@dataclass(frozen=True, eq=False)
class ScoredPoses(Records):
    """Poses with their scores."""

    poses: Poses
    terms: GraspTerms
    quality: Float[np.ndarray, " n"]
    """Probability that the grasp holds."""
    factor: Float[np.ndarray, " n"]
    """Factor on the quality: relevancy, preference, regions to avoid, penalties."""
    relevancy: Float[np.ndarray, " n"]
    avoid_distance: Float[np.ndarray, " n"]
    """Distance to the nearest region to avoid, metres; infinite without one."""
    approach_clearance: Float[np.ndarray, " n"]
    """Distance to everything on the approach, metres; infinite before ``add_clearances``."""
    opening: Float[np.ndarray, " n"]
    """Distance between the pads on the approach, metres; infinite before ``add_clearances``."""
    free_fully_open: Bool[np.ndarray, " n"]
    """Whether the approach is also free with the gripper fully open; False before ``add_clearances``."""
    lift_clearance: Float[np.ndarray, " n"]
    """Distance to everything but the object on the lift, metres; infinite before ``add_clearances``."""

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def score(self) -> Float[np.ndarray, " n"]:
        """Score by which grasps are ordered."""
        return self.quality * self.factor


def score_poses(
    task: GraspTask, pairs: ContactPairs, poses: Poses, counts: PoseCounts, *, config: GraspConfig
) -> ScoredPoses:
    """Score every pose outside the regions to avoid; add the number of the others to ``counts``."""
    near = avoid_distances(
        poses,
        pairs,
        task.gripper,
        task.avoid,
        task.volume.T_world_volume,
        clearance=config.pairs.clearance,
        approach=config.poses.approach,
        config=config.evaluation.avoid,
    )
    for region, rejected in zip(task.avoid, near.rejected, strict=True):
        counts.avoided[region.text] = counts.avoided.get(region.text, 0) + int(rejected.sum())
    allowed = np.flatnonzero(~near.rejected.any(axis=0))
    poses, distance = poses.only(allowed), near.smallest[allowed]
    terms = grasp_terms(
        poses,
        pairs,
        task.surface,
        task.solid.centroid(task.action_point),
        task.volume.cameras_in_volume,
        task.gripper,
        voxel=task.volume.voxel,
        clearance=config.pairs.clearance,
        friction=config.pairs.friction,
        config=config.evaluation.terms,
    )
    relevancy, factor = _relevancy(task, pairs, poses, config.evaluation.score)
    factor *= avoid_factor(distance, config=config.evaluation.avoid)
    aligned = (terms.friction > 0) | (
        task.volume.heights(pairs.middles)[poses.pair] < config.evaluation.low_height
    )
    factor *= np.where(aligned, 1.0, config.evaluation.slanted_factor)
    unknown, no = np.full(len(poses), np.inf), np.zeros(len(poses), bool)
    probability = quality(terms, config.evaluation.score.weights)
    return ScoredPoses(poses, terms, probability, factor, relevancy, distance, unknown, unknown, no, unknown)


def _relevancy(
    task: GraspTask, pairs: ContactPairs, poses: Poses, config: ScoreConfig
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the relevancy of each pose's contacts, and the factor of relevancy and preference."""
    T = task.volume.T_world_volume
    contacts = transform_points(T, pairs.contacts)
    absolute, relative = contact_relevancy(contacts, task.region, task.relevancy, config=config)
    distance = distance_to_box(contacts.mean(axis=1), task.region.box)
    semantic = semantic_factor(relative, distance, config=config)
    from_base = None if task.base is None else task.region.action_point - task.base
    approaches = poses.rotations[:, :, 2] @ T[:3, :3].T
    preferred = preference(approaches, task.volume.up, from_base, config.preference)
    return absolute[poses.pair], semantic[poses.pair] * preferred


def add_clearances(
    task: GraspTask, pairs: ContactPairs, scored: ScoredPoses, *, config: GraspConfig
) -> ScoredPoses:
    """Return the same poses with the expensive terms: clearances and robustness."""
    poses, evaluation = scored.poses, config.evaluation
    widths = pairs.widths[poses.pair]
    openings = np.array([approach_opening(task.gripper, width, config.pairs.clearance) for width in widths])
    approach = approach_clearances(
        task.volume, task.solid, poses, task.gripper, openings, length=config.poses.approach
    )
    lift = lift_clearances(task.solid, poses, task.gripper, widths, config=config.poses)
    noise = task.volume.noise if task.volume.noise > _COARSE_NOISE else 0.0
    terms = replace(
        scored.terms,
        clearance=np.clip(approach / (evaluation.terms.full_clearance + noise), 0, 1),
        robustness=_robustness(task, pairs, poses, openings, config),
    )
    opened = partial(
        opened_clearances,
        task.volume,
        task.solid,
        poses,
        pairs,
        task.gripper,
        task.avoid,
        config=config.poses,
        avoid_config=evaluation.avoid,
    )
    needed = np.minimum(approach, config.poses.finger_margin)
    fully = opened(clearance=np.inf) >= needed
    factor = np.where(lift > 0, 1.0, evaluation.blocked_factor)
    factor *= np.where(fully, 1.0, evaluation.planned_opening_factor)
    if noise > 0:
        # Where there is space, fingers stay away from the object by the noise of its surface too.
        clearance = config.pairs.clearance + noise
        wider = opened(clearance=clearance)
        wide = [approach_opening(task.gripper, float(width), clearance) for width in widths]
        openings = np.where(wider >= needed, wide, openings)
        approach = np.where(wider >= needed, wider, approach)
        factor *= np.where(wider >= needed, 1.0, evaluation.planned_opening_factor)
    return replace(
        scored,
        terms=terms,
        quality=quality(terms, evaluation.score.weights),
        factor=scored.factor * factor,
        approach_clearance=approach,
        opening=openings,
        free_fully_open=fully,
        lift_clearance=lift,
    )


def _robustness(
    task: GraspTask,
    pairs: ContactPairs,
    poses: Poses,
    openings: Float[np.ndarray, " n"],
    config: GraspConfig,
) -> Float[np.ndarray, " n"]:
    evaluation = config.evaluation
    near = surfaces_at_poses(poses, pairs, task.surface, task.gripper, evaluation.terms.contact)
    # The same perturbations for every grasp and every query.
    perturbations = draw_perturbations(config.pairs.friction, evaluation.robustness, np.random.default_rng(0))
    middles = pairs.middles
    return np.array(
        [
            robustness(
                near[pair],
                poses.rotations[i],
                poses.origins[i] - middles[pair],
                task.gripper.pad_size,
                perturbations,
                width=float(pairs.widths[pair]),
                opening=float(openings[i]),
                contact=evaluation.terms.contact,
                config=evaluation.robustness,
            )
            for i, pair in enumerate(poses.pair.tolist())
        ]
    )
