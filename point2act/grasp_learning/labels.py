"""Grasps planned on simulated tables and labelled in physics, for a gripper or for a hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import box_falloff, invert, transform_points
from point2act.core.types import Grasp, Region, View
from point2act.grasp_learning.shards import LabelledGrasps, Shard, Source
from point2act.grasping.antipodal.boundary import BoundaryConfig, surface_points
from point2act.grasping.antipodal.evaluation import GraspConfig
from point2act.grasping.antipodal.plan import plan_grasps
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.plan import plan_hand_grasps
from point2act.grasping.hands.task import HandConfig
from point2act.grasping.learned.cloud import MOST_POINTS, LocalCloud, local_cloud
from point2act.grasping.tsdf import fuse_local
from point2act.physics.hand_trial import HandTrialConfig, try_hand_grasp
from point2act.physics.scene import Scene
from point2act.physics.soft_label import displaced
from point2act.physics.trial import TrialConfig, try_grasp
from point2act.simulation.true_region import true_region


@dataclass(frozen=True)
class LabelConfig:
    """Grasps of one region and how they are executed."""

    grasps: int = 24
    """Largest number of grasps of a region."""
    separation: tuple[float, float] = (0.006, 0.15)
    """Smallest distance and angle between two of them, metres and radians."""
    shift: float = 0.003
    """Standard deviation of the executed position along each axis, metres."""
    turn: float = 0.03
    """Standard deviation of the executed rotation about each axis, radians."""
    # Get a Grip labels copies that are 5 mm off; hand-eye calibrations are off by 1 to 5 mm. Chosen.
    region_radius: float = 0.010
    """Distance from the part's box over which the region's probability falls, metres."""
    points: int = MOST_POINTS
    """Largest number of points of a stored cloud; half of them are the object's, where it has as many."""


def labelled(
    scene: Scene,
    family: str,
    query: str,
    views: Sequence[View],
    effector: Gripper | Hand,
    config: LabelConfig = LabelConfig(),
) -> Shard:
    """Plan grasps of a part from measured depth, and execute each once, a little off.

    Args:
        scene: The table at rest.
        family: Family of the object.
        query: Name of the query of the part.
        views: Views with measured depth.
        effector: The gripper or hand.
        config: How many grasps, and how they are executed.
    """
    region = true_region(scene, query)
    depths = [view.depth for view in views if view.depth is not None]
    volume = fuse_local(list(views), depths, region.action_point)
    rng = np.random.default_rng([scene.seed, len(query)])
    if isinstance(effector, Hand):
        planned, joints = _hand_grasps(volume, region, effector, scene.seed, config)
    else:
        planned, joints = _gripper_grasps(volume, region, effector, rng, config)
    executed = [displaced(grasp, rng, shift=config.shift, turn=config.turn) for grasp in planned]
    outcomes = [_outcome(scene, query, grasp, effector) for grasp in executed]
    flags = np.array(outcomes, dtype=bool).reshape(-1, 4).T
    T_cloud_world = invert(volume.T_world_volume)
    poses = np.array([T_cloud_world @ grasp.T_world_gripper for grasp in planned]).reshape(-1, 4, 4)
    score = np.array([grasp.score for grasp in planned])
    grasps = LabelledGrasps(poses, joints[:, 0], joints[:, 1], score, *flags)
    source = Source(effector.name, family, scene.seed, scene.target(query).part)
    return Shard(source, _cloud(volume, region, config), grasps)


def _hand_grasps(
    volume: LocalVolume, region: Region, hand: Hand, seed: int, config: LabelConfig
) -> tuple[tuple[Grasp, ...], Float[np.ndarray, "g 2 j"]]:
    """Return grasps of a hand, and their joint positions on the approach and at the grasp."""
    apart, angle = config.separation
    planner = HandConfig(
        head="analytic", rounds=1, max_grasps=config.grasps, min_separation=apart, min_angle=angle
    )
    planned, _ = plan_hand_grasps(volume, region, hand, config=planner, seed=seed)
    joints = [(one.joints.pregrasp, one.joints.grasp) for one in planned if one.joints is not None]
    return planned, np.array(joints).reshape(-1, 2, len(hand.joints))


def _gripper_grasps(
    volume: LocalVolume, region: Region, gripper: Gripper, rng: np.random.Generator, config: LabelConfig
) -> tuple[tuple[Grasp, ...], Float[np.ndarray, "g 2 1"]]:
    """Return grasps of a gripper, and the distances between its pads on the approach and at the grasp."""
    apart, angle = config.separation
    planner = GraspConfig(
        max_grasps=config.grasps,
        shortlist=4 * config.grasps,
        sufficient_grasps=config.grasps,
        min_separation=apart,
        min_angle=angle,
    )
    planned, _ = plan_grasps(volume, region, gripper, config=planner, rng=rng)
    widths = [(one.approach_width or one.width, one.width) for one in planned]
    return planned, np.array(widths, dtype=float).reshape(-1, 2, 1)


def _outcome(
    scene: Scene, query: str, grasp: Grasp, effector: Gripper | Hand
) -> tuple[bool, bool, bool, bool]:
    """Return whether the approach was free, and the object lifted, held when shaken, and by its part."""
    if isinstance(effector, Hand):
        held = try_hand_grasp(scene, query, grasp, effector, HandTrialConfig(pictures=False))
        return held.outcome != "collision", held.lifted, held.shaken, held.by_part
    # A gripper's trial shakes what it lifts.
    trial = try_grasp(scene, query, grasp, effector, TrialConfig(pictures=False))
    return trial.outcome != "collision", trial.success, trial.success, trial.by_part


def _cloud(volume: LocalVolume, region: Region, config: LabelConfig) -> LocalCloud:
    """Return the cloud around the action point, with the true region's probability."""
    action_point = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]

    def probability(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        world = transform_points(volume.T_world_volume, points)
        return box_falloff(world, region.box, config.region_radius)

    cloud = local_cloud(surface_points(volume, action_point, config=BoundaryConfig()), probability)
    return cloud.thinned(config.points)
