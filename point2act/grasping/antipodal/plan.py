"""Plan grasps: surface, contact pairs, free poses, quality, the best and mutually different ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import invert, transform_points
from point2act.core.types import Grasp, NoAnswer, ProgressCallback, Region
from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig
from point2act.grasping.antipodal.boundary import BoundaryConfig, all_solid, surface_points
from point2act.grasping.antipodal.contact_pairs import PairConfig, Pairs, find_pairs
from point2act.grasping.antipodal.evaluation import JudgeConfig, Judged, Task, judge, look_closer
from point2act.grasping.antipodal.failure_reasons import why_none
from point2act.grasping.antipodal.pose_sampling import PoseConfig, Poses, Tally, free_poses
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True)
class GraspConfig:
    """How grasps are planned."""

    boundary: BoundaryConfig = field(default_factory=BoundaryConfig)
    """The surface and the object."""
    pairs: PairConfig = field(default_factory=PairConfig)
    """Contact pairs."""
    poses: PoseConfig = field(default_factory=PoseConfig)
    """Gripper poses and when they are free."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """What makes a grasp good."""
    count: int = 20
    """At most that many grasps are returned."""
    shortlist: int = 48
    """That many of the most promising poses are looked at closely. Chosen."""
    enough: int = 5
    """With fewer, contacts further from the action point are tried too. Chosen."""
    apart: float = 0.015
    """Two returned grasps differ by this distance, metres..."""
    turned: float = 0.52
    """...or by this angle, radians (30 degrees); a gripper turned by 180 degrees about its approach is the
    same gripper."""


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
    """Grasps near the region's action point in world coordinates, best first, or why there are none.

    ``relevancy`` holds world points and their values in [0, 1]; without it nearness to the region's box
    stands in. The gripper is meant to approach along +z of the gripper with its pads open by the grasp's
    width and ``config.pairs.clearance`` on each side; that hand is at least ``approach_clearance`` from
    everything on the last ``config.poses.approach`` metres. What is to be ``avoid``-ed is neither held nor
    touched by a finger, and nearness to it costs score. ``base`` is where the robot stands, world.
    ``progress`` is called with pairs done and all pairs.
    """
    action_point = transform_points(invert(volume.T_world_volume), region.action_point[None])[0]
    surface = surface_points(volume, action_point, config=config.boundary)
    distance = np.linalg.norm(surface.points[surface.seen] - action_point, axis=1)
    farthest = max(config.pairs.radii)
    if not (distance < farthest).any():
        nearest = f"the nearest is {1e3 * distance.min():.0f} mm away" if len(distance) else "none at all"
        return (), NoAnswer(
            "no_geometry",
            f"no surface was seen within {1e3 * farthest:.0f} mm of the action point: {nearest}",
        )
    solid = all_solid(volume, surface, config=config.boundary)
    task = Task(volume, surface, solid, region, action_point, gripper, relevancy, avoid, base)
    best: tuple[Grasp, ...] = ()
    pairs, tally = None, Tally()
    for radius in config.pairs.radii:
        pairs = find_pairs(
            volume,
            surface,
            action_point,
            radius=radius,
            max_width=gripper.max_width,
            config=config.pairs,
            rng=rng,
        )
        poses, tally = free_poses(
            volume,
            solid,
            pairs,
            gripper,
            clearance=config.pairs.clearance,
            config=config.poses,
            progress=progress,
        )
        found = _best(task, pairs, poses, tally, config)
        best = max(best, found, key=lambda grasps: (_far(grasps, config.judge.avoid), len(grasps)))
        if _far(best, config.judge.avoid) >= config.enough:
            break
    if best:
        return best, None
    assert pairs is not None, "radii is empty"
    return (), why_none(volume, solid, pairs, tally, gripper, opens=config.pairs, ways=config.poses)


def _far(grasps: tuple[Grasp, ...], config: AvoidConfig) -> int:
    """How many grasps keep the whole margin from what is to be avoided."""
    return sum(grasp.avoid_clearance is None or grasp.avoid_clearance >= config.margin for grasp in grasps)


def _best(task: Task, pairs: Pairs, poses: Poses, tally: Tally, config: GraspConfig) -> tuple[Grasp, ...]:
    """The best and mutually different grasps that leave alone what is to be avoided."""
    judged = judge(task, pairs, poses, tally, opens=config.pairs, ways=config.poses, config=config.judge)
    promising = judged.only(_different(judged, config.shortlist, config))
    closer = look_closer(task, pairs, promising, opens=config.pairs, ways=config.poses, config=config.judge)
    free = closer.approach >= config.poses.table_margin  # the palm was checked against thinned points
    tally.palm += int((~free).sum())
    closer = closer.only(np.flatnonzero(free))
    return tuple(_grasp(task, pairs, closer, i) for i in _different(closer, config.count, config).tolist())


def _different(judged: Judged, count: int, config: GraspConfig) -> np.ndarray:
    """Indices of the best poses, none too near to a better one in place and orientation."""
    remaining = np.argsort(-judged.score, kind="stable")
    chosen: list[int] = []
    while len(remaining) and len(chosen) < count:
        chosen.append(int(remaining[0]))
        remaining = remaining[~_alike(judged.poses, remaining, chosen[-1], config)]
    return np.array(chosen, dtype=int)


def _alike(poses: Poses, others: np.ndarray, index: int, config: GraspConfig) -> np.ndarray:
    """Which of the others are too near to a pose in place and orientation, itself among them."""
    near = np.linalg.norm(poses.origins[others] - poses.origins[index], axis=1) < config.apart
    overlap = np.einsum("nij,ij->nj", poses.rotations[others], poses.rotations[index])
    straight = overlap.sum(axis=1)
    flipped = overlap[:, 2] - overlap[:, 0] - overlap[:, 1]
    cosine = (np.maximum(straight, flipped) - 1) / 2
    return near & (cosine > np.cos(config.turned))


def _grasp(task: Task, pairs: Pairs, judged: Judged, index: int) -> Grasp:
    """One of the poses in the world."""
    pair = judged.poses.pair[index]
    T_volume_gripper = np.eye(4)
    T_volume_gripper[:3, :3] = judged.poses.rotations[index]
    T_volume_gripper[:3, 3] = judged.poses.origins[index]
    seen = pairs.seen[pair]
    return Grasp(
        T_world_gripper=task.volume.T_world_volume @ T_volume_gripper,
        width=float(pairs.widths[pair]),
        score=float(judged.score[index]),
        relevancy=float(judged.relevancy[index]),
        quality=float(judged.quality[index]),
        contacts=transform_points(task.volume.T_world_volume, pairs.contacts[pair]),
        approach_clearance=float(judged.approach[index]),
        lift_clearance=_finite(judged.lift[index]),
        contacts_seen=(bool(seen[0]), bool(seen[1])),
        terms=judged.terms.of(index),
        avoid_clearance=_finite(judged.away[index]) if task.avoid else None,
    )


def _finite(distance: float) -> float | None:
    """None where there is nothing to keep a distance from."""
    return float(distance) if np.isfinite(distance) else None
