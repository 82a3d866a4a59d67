"""Plan grasps: surface, contact pairs, free poses, score, the best and mutually different ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.geometry import invert, transform_points
from point2act.grasps.avoid import Avoid, AvoidConfig, caution, nearness
from point2act.grasps.boundary import (
    BoundaryConfig,
    SurfacePoints,
    object_centroid,
    solid_points,
    surface_points,
)
from point2act.grasps.collision import approach_opening, hand_boxes, nearest, plane_heights
from point2act.grasps.pairs import REACH, PairConfig, Pairs, find_pairs
from point2act.grasps.poses import PoseConfig, Poses, Tally, free_poses
from point2act.grasps.score import ScoreConfig, contact_relevancy, grasp_terms, score
from point2act.grasps.volume import LocalVolume
from point2act.types import Grasp, Gripper, NoAnswer, Region


@dataclass(frozen=True)
class GraspConfig:
    """How grasps are planned."""

    boundary: BoundaryConfig = field(default_factory=BoundaryConfig)
    """The surface and the object."""
    pairs: PairConfig = field(default_factory=PairConfig)
    """Contact pairs."""
    poses: PoseConfig = field(default_factory=PoseConfig)
    """Hand poses and when they are free."""
    score: ScoreConfig = field(default_factory=ScoreConfig)
    """What makes a grasp good."""
    avoid: AvoidConfig = field(default_factory=AvoidConfig)
    """How far hands keep from what is to be avoided."""
    count: int = 20
    """At most so many grasps are returned."""
    enough: int = 5
    """With fewer, contacts further from the action point are tried too. Chosen."""
    apart: float = 0.015
    """Two returned grasps differ by this distance, metres..."""
    turned: float = 0.52
    """...or by this angle, radians (30 degrees); a hand turned by 180 degrees about its approach is the
    same hand."""


@dataclass(frozen=True, eq=False)
class _Task:
    """What grasps are planned for, and on."""

    volume: LocalVolume
    surface: SurfacePoints
    solid: Float[np.ndarray, "n 3"]
    region: Region
    action_point: Float[np.ndarray, "3"]
    """In the volume frame."""
    gripper: Gripper
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None
    avoid: Sequence[Avoid]
    config: GraspConfig


def plan_grasps(
    volume: LocalVolume,
    region: Region,
    gripper: Gripper,
    *,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None = None,
    avoid: Sequence[Avoid] = (),
    config: GraspConfig = GraspConfig(),
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Grasps near the region's action point in world coordinates, best first, or why there are none.

    ``relevancy`` holds world points and their values in [0, 1]; without it nearness to the region's box
    stands in. The hand is meant to approach along +z of the gripper with its pads open by the grasp's
    width and ``config.pairs.clearance`` on each side; that hand is at least ``approach_clearance`` from
    everything on the last ``config.poses.approach`` metres. What is to be ``avoid``-ed is neither held nor
    touched by a finger, and nearness to it costs score. ``progress`` is called with pairs done and all
    pairs.
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
    solid = solid_points(volume, surface, config=config.boundary)
    task = _Task(volume, surface, solid, region, action_point, gripper, relevancy, avoid, config)
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
        found = _best(task, pairs, poses, tally)
        best = max(best, found, key=lambda grasps: (_aloof(grasps, config.avoid), len(grasps)))
        if _aloof(best, config.avoid) >= config.enough:
            break
    if best:
        return best, None
    assert pairs is not None, "radii is empty"
    return (), _why_none(pairs, tally, gripper, config)


def _aloof(grasps: tuple[Grasp, ...], config: AvoidConfig) -> int:
    """How many grasps keep the whole margin from what is to be avoided."""
    return sum(grasp.avoid_clearance is None or grasp.avoid_clearance >= config.margin for grasp in grasps)


def _best(task: _Task, pairs: Pairs, poses: Poses, tally: Tally) -> tuple[Grasp, ...]:
    """The best and mutually different grasps that leave alone what is to be avoided."""
    config, gripper = task.config, task.gripper
    near = nearness(
        poses,
        pairs,
        gripper,
        task.avoid,
        task.volume.T_world_volume,
        clearance=config.pairs.clearance,
        approach=config.poses.approach,
        config=config.avoid,
    )
    for place, refused in zip(task.avoid, near.refused, strict=True):
        tally.avoided[place.text] = tally.avoided.get(place.text, 0) + int(refused.sum())
    allowed = ~near.refused.any(axis=0)
    poses, away = poses.only(allowed), near.clearance[allowed]
    if not len(poses):
        return ()
    quality = _quality(task, pairs, poses)
    contacts = transform_points(task.volume.T_world_volume, pairs.contacts)
    absolute, relative = contact_relevancy(contacts, task.region, task.relevancy, config=config.score)
    total = score(quality, relative[poses.pair], config=config.score) * caution(away, config=config.avoid)
    grasps: list[Grasp] = []
    remaining = np.argsort(-total, kind="stable")
    while len(remaining) and len(grasps) < config.count:
        i = remaining[0]
        pair = poses.pair[i]
        width = float(np.linalg.norm(contacts[pair, 1] - contacts[pair, 0]))
        opening = approach_opening(gripper, width, config.pairs.clearance)
        clearance = _clearance(task, poses, int(i), opening)
        if clearance < config.poses.margin:  # the palm was checked against thinned points
            remaining = remaining[1:]
            continue
        T_volume_gripper = np.eye(4)
        T_volume_gripper[:3, :3], T_volume_gripper[:3, 3] = poses.rotations[i], poses.origins[i]
        grasps.append(
            Grasp(
                T_world_gripper=task.volume.T_world_volume @ T_volume_gripper,
                width=width,
                score=float(total[i]),
                relevancy=float(absolute[pair]),
                quality=float(quality[i]),
                contacts=contacts[pair],
                approach_clearance=clearance,
                avoid_clearance=float(away[i]) if task.avoid else None,
            )
        )
        remaining = remaining[~_alike(poses, remaining, int(i), config)]
    return tuple(grasps)


def _quality(task: _Task, pairs: Pairs, poses: Poses) -> Float[np.ndarray, " n"]:
    terms = grasp_terms(
        poses,
        pairs,
        task.surface,
        task.action_point,
        object_centroid(task.surface, task.action_point),
        task.volume.cameras_in_volume,
        task.gripper,
        friction=task.config.pairs.friction,
        config=task.config.score,
    )
    return terms.quality(task.config.score.weights)


def _clearance(task: _Task, poses: Poses, index: int, opening: float) -> float:
    """Smallest distance from the open hand on its way to anything seen and to the table, metres."""
    rotation, origin = poses.rotations[index], poses.origins[index]
    boxes = hand_boxes(task.gripper, opening, approach=task.config.poses.approach)
    smallest = nearest((task.solid - origin) @ rotation, boxes)
    table = task.volume.table_in_volume
    if table is not None:
        smallest = min(smallest, float(plane_heights(rotation[None], origin[None], boxes, table)[0]))
    return smallest


def _alike(poses: Poses, others: np.ndarray, index: int, config: GraspConfig) -> np.ndarray:
    """Which of the others are too near to a pose in place and orientation, itself among them."""
    near = np.linalg.norm(poses.origins[others] - poses.origins[index], axis=1) < config.apart
    overlap = np.einsum("nij,ij->nj", poses.rotations[others], poses.rotations[index])
    straight = overlap.sum(axis=1)
    flipped = overlap[:, 2] - overlap[:, 0] - overlap[:, 1]
    cosine = (np.maximum(straight, flipped) - 1) / 2
    return near & (cosine > np.cos(config.turned))


def _why_none(pairs: Pairs, tally: Tally, gripper: Gripper, config: GraspConfig) -> NoAnswer:
    span = 1e3 * (gripper.max_width - 2 * config.pairs.clearance)
    reach = 1e3 * REACH * gripper.max_width
    if len(pairs):
        refused = [(text, count) for text, count in tally.avoided.items() if count]
        touched = "".join(f"; {count} would touch {text}, which is to be avoided" for text, count in refused)
        return NoAnswer(
            "all_collide",
            f"{len(pairs)} contact pairs, but none of {tally.tried} hand poses about them is free: the "
            f"table is in the way of {tally.table}, the fingers hit something in {tally.fingers}, the palm "
            f"in {tally.palm}, and {tally.unseen} would reach into what was never seen{touched}",
        )
    if len(pairs.wide):
        return NoAnswer(
            "too_wide",
            f"{len(pairs.wide)} contact pairs, all wider than the {span:.0f} mm that the gripper spans with "
            f"room to open: the narrowest is {1e3 * pairs.wide.min():.0f} mm ({pairs.endless} of "
            f"{pairs.tried} rays into the object end in what was never seen)",
        )
    if not pairs.tried:
        within = 1e3 * max(config.pairs.radii)
        return NoAnswer(
            "no_contact_pair", f"nothing stands out from the table within {within:.0f} mm of the action point"
        )
    if pairs.endless == pairs.tried:
        return NoAnswer(
            "too_wide",
            f"none of {pairs.tried} rays into the object comes out again within {reach:.0f} mm: it is wider "
            "than the gripper, or its other sides were not seen",
        )
    return NoAnswer(
        "no_contact_pair",
        f"of {pairs.tried} rays into the object {pairs.endless} do not come out again within {reach:.0f} mm; "
        f"where the others do, the surface is too slanted to hold",
    )
