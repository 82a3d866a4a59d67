"""Evaluation of gripper poses: fast terms for all poses, clearances and robustness for the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import distance_to_box, transform_points
from point2act.core.types import Region
from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig, avoid_distances, avoid_factor
from point2act.grasping.antipodal.boundary import BoundaryConfig, SolidPoints, SurfacePoints
from point2act.grasping.antipodal.collision import (
    approach_opening,
    nearest,
    nearest_on_path,
    plane_heights,
    swept_back,
)
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
    min_separation: float = 0.015
    """Smallest distance between returned grasps of similar orientation, metres."""
    min_angle: float = 0.52
    """Smallest angle between returned grasps at similar positions, radians."""
    # A gripper turned by 180 degrees around its approach is the same gripper.


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
    aligned = (terms.friction > 0) | (_heights(task.volume, pairs)[poses.pair] < config.evaluation.low_height)
    factor *= np.where(aligned, 1.0, config.evaluation.slanted_factor)
    unknown = np.full(len(poses), np.inf)
    probability = quality(terms, config.evaluation.score.weights)
    return ScoredPoses(poses, terms, probability, factor, relevancy, distance, unknown, unknown)


def _heights(volume: LocalVolume, pairs: ContactPairs) -> Float[np.ndarray, " p"]:
    """Return the heights of the pairs' midpoints above the table; infinite without a table."""
    table = volume.table_in_volume
    if table is None:
        return np.full(len(pairs), np.inf)
    return pairs.middles @ table[:3] + table[3]


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
    poses, gripper, evaluation = scored.poses, task.gripper, config.evaluation
    near = surfaces_at_poses(poses, pairs, task.surface, gripper, evaluation.terms.contact)
    middles, widths = pairs.middles, pairs.widths
    # The same perturbations for every grasp and every query.
    perturbations = draw_perturbations(config.pairs.friction, evaluation.robustness, np.random.default_rng(0))
    approach, lift, robust = (np.zeros(len(poses)) for _ in range(3))
    for i, pair in enumerate(poses.pair.tolist()):
        width, rotation, origin = float(widths[pair]), poses.rotations[i], poses.origins[i]
        opening = approach_opening(gripper, width, config.pairs.clearance)
        approach[i] = _approach_clearance(task, rotation, origin, opening, config.poses.approach)
        lift[i] = _lift_clearance(task, rotation, origin, width, config.poses)
        robust[i] = robustness(
            near[pair],
            rotation,
            origin - middles[pair],
            gripper.pad_size,
            perturbations,
            width=width,
            opening=opening,
            contact=evaluation.terms.contact,
            config=evaluation.robustness,
        )
    clearance = np.clip(approach / evaluation.terms.full_clearance, 0, 1)
    terms = replace(scored.terms, clearance=clearance, robustness=robust)
    return replace(
        scored,
        terms=terms,
        quality=quality(terms, evaluation.score.weights),
        factor=scored.factor * np.where(lift > 0, 1.0, evaluation.blocked_factor),
        approach_clearance=approach,
        lift_clearance=lift,
    )


def _approach_clearance(
    task: GraspTask,
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    opening: float,
    length: float,
) -> float:
    """Return the smallest distance of the open gripper on its approach to points and table, metres."""
    boxes = swept_back(task.gripper.boxes_at(opening), length)
    smallest = nearest((task.solid.points - origin) @ rotation, boxes)
    table = task.volume.table_in_volume
    if table is not None:
        smallest = min(smallest, float(plane_heights(rotation[None], origin[None], boxes, table)[0]))
    return smallest


def _lift_clearance(
    task: GraspTask,
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    width: float,
    config: PoseSamplingConfig,
) -> float:
    """Return the smallest distance of the closed gripper on its lift to everything but the object, metres."""
    others = (task.solid.points[~task.solid.on_object] - origin) @ rotation
    up = config.lift * rotation[2]  # in the gripper's axes
    return nearest_on_path(others, task.gripper.boxes_at(width), up, step=config.lift_step)
