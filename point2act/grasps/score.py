"""How good a grasp is: a weighted mean of named terms, and whether it is on what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from point2act.grasps.boundary import SurfacePoints
from point2act.grasps.pairs import Pairs
from point2act.grasps.poses import Poses
from point2act.types import Gripper, Region


@dataclass(frozen=True)
class ScoreWeights:
    """Weights of the terms in the mean. The study's where it gives one (its distances were per metre)."""

    alignment: float = 2.0
    """Mean cosine of the normals with the closing axis, on the pad where it is smaller."""
    patch: float = 1.0
    """Surface points held on the pad with fewer of them, up to 25."""
    overlap: float = 1.0
    """Length of the contact along the finger on the shorter side, up to 12 mm."""
    offset: float = 0.5
    """The two contact patches face each other: their offset across the closing axis, in pad lengths."""
    closeness: float = 0.8
    """Distance from the action point to the line between the contacts, down to 0 at 10 cm (8 per metre)."""
    lever: float = 0.2
    """Level distance from the object's middle, down to 0 at 10 cm (2 per metre)."""
    upright: float = 0.4
    """Cosine of the approach with straight down, or with the way the cameras looked if that is larger."""
    seen: float = 1.0
    """Share of the two contacts that a camera saw. Chosen: an unseen one is half a guess."""
    sighted: float = 0.5
    """Share of the fingertips' room that was seen. Chosen."""


@dataclass(frozen=True)
class ScoreConfig:
    """How poses are judged."""

    weights: ScoreWeights = ScoreWeights()
    """Weights of the terms of the quality."""
    contact_reach: float = 0.003
    """Surface this near to a closed pad touches it, metres: soft rubber and a voxel and a half."""
    contact_cosine: float = 0.5
    """Surface whose normal has a smaller cosine with the closing axis is not what a pad touches; what it
    touches counts for the alignment, and what lies within the friction cone is held."""
    full_patch: int = 25
    """Points on a pad beyond which more do not help (study)."""
    full_overlap: float = 0.012
    """Length of contact along the finger beyond which more does not help, metres (study)."""
    far: float = 0.10
    """Distance at which closeness and lever are 0, metres."""
    semantic_weight: float = 0.7
    """Score = quality * (1 - w + w * relevancy, relative to the region's best); 0 ignores what was asked
    for. LERF-TOGO takes 0.95 of a sum, among grasps of the whole scene; here all are near the action point.
    Chosen: 0.5 and 0.7 grasped the part asked for in the same 28 of 30 simulated trials, 6 mm off."""
    relevancy_radius: float = 0.010
    """Relevancy is averaged over what lies this near to a contact, metres: half a fingertip."""


@dataclass(frozen=True, eq=False)
class GraspTerms:
    """The parts of the quality, each in [0, 1], one entry for each pose; names as in ScoreWeights."""

    alignment: Float[np.ndarray, " n"]
    patch: Float[np.ndarray, " n"]
    overlap: Float[np.ndarray, " n"]
    offset: Float[np.ndarray, " n"]
    closeness: Float[np.ndarray, " n"]
    lever: Float[np.ndarray, " n"]
    upright: Float[np.ndarray, " n"]
    seen: Float[np.ndarray, " n"]
    sighted: Float[np.ndarray, " n"]

    def quality(self, weights: ScoreWeights) -> Float[np.ndarray, " n"]:
        """The weighted mean of the terms."""
        parts = [(getattr(self, f.name), getattr(weights, f.name)) for f in fields(self)]
        return np.sum([weight * term for term, weight in parts], axis=0) / sum(weight for _, weight in parts)


def grasp_terms(
    poses: Poses,
    pairs: Pairs,
    surface: SurfacePoints,
    action_point: Float[np.ndarray, "3"],
    centroid: Float[np.ndarray, "3"],
    cameras: Float[np.ndarray, "3"],
    gripper: Gripper,
    *,
    friction: float,
    config: ScoreConfig,
) -> GraspTerms:
    """Judge poses; everything in the volume frame, whose z axis is up; ``cameras`` points towards them."""
    alignment, patch, overlap, offset = _pad_terms(poses, pairs, surface, gripper, friction, config)
    middle = pairs.contacts.mean(axis=1)[poses.pair]
    away = _distance_to_segments(action_point, pairs.contacts)[poses.pair]
    level = np.linalg.norm((middle - centroid)[:, :2], axis=1)
    approach = poses.rotations[:, :, 2]
    return GraspTerms(
        alignment=alignment,
        patch=patch,
        overlap=overlap,
        offset=offset,
        closeness=np.clip(1 - away / config.far, 0, 1),
        lever=np.clip(1 - level / config.far, 0, 1),
        upright=np.clip(np.maximum(-approach[:, 2], -approach @ cameras), 0, 1),
        seen=pairs.seen.mean(axis=1)[poses.pair],
        sighted=1 - poses.unknown,
    )


def _pad_terms(
    poses: Poses,
    pairs: Pairs,
    surface: SurfacePoints,
    gripper: Gripper,
    friction: float,
    config: ScoreConfig,
) -> tuple[np.ndarray, ...]:
    """Alignment, patch, overlap and offset of the surface under the closed pads."""
    tree = KDTree(surface.points)
    reach = (
        float(np.hypot(*gripper.pad_size)) / 2
        + float(np.abs(poses.depths).max(initial=0))
        + config.contact_reach
    )
    results = np.zeros((4, len(poses)))
    for index in np.unique(poses.pair):
        rows = np.flatnonzero(poses.pair == index)
        sides = []
        for contact, sign in zip(pairs.contacts[index], (-1.0, 1.0), strict=True):
            near = np.array(tree.query_ball_point(contact, reach), dtype=int)
            sides.append(
                _one_pad(
                    surface.points[near] - contact,
                    sign * surface.normals[near],
                    poses.rotations[rows],
                    poses.depths[rows],
                    gripper.pad_size,
                    friction,
                    config,
                )
            )
        (a0, n0, l0, c0), (a1, n1, l1, c1) = sides
        apart = np.linalg.norm(c0 - c1, axis=1)
        results[0, rows] = np.clip(np.minimum(a0, a1), 0, 1)
        results[1, rows] = np.minimum(np.minimum(n0, n1) / config.full_patch, 1)
        results[2, rows] = np.minimum(np.minimum(l0, l1) / config.full_overlap, 1)
        results[3, rows] = np.clip(1 - apart / gripper.pad_size[1], 0, 1)
    return tuple(results)


def _one_pad(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    rotations: Float[np.ndarray, "m 3 3"],
    depths: Float[np.ndarray, " m"],
    pad_size: tuple[float, float],
    friction: float,
    config: ScoreConfig,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean cosine, held points, their length along the finger, and middle (x, z) of what touches a pad.

    Points relative to the contact; normals such that the pad's own direction of push is -y.
    """
    axis = rotations[0, :, 1]
    cosine = normals @ axis
    touching = (np.abs(points @ axis) < config.contact_reach) & (cosine > config.contact_cosine)
    points, cosine = points[touching], cosine[touching]
    x = rotations[:, :, 0] @ points.T
    z = rotations[:, :, 2] @ points.T - depths[:, None]
    on = (np.abs(x) <= pad_size[0] / 2) & (np.abs(z) <= pad_size[1] / 2)
    held = on & (cosine > 1 / np.sqrt(1 + friction**2))
    highest = np.where(held, z, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(held, z, np.inf).min(axis=1, initial=np.inf)
    count = held.sum(axis=1)
    length = np.where(count > 0, highest - lowest, 0.0)
    share = np.maximum(on.sum(axis=1), 1)
    middle = np.stack([(on * x).sum(axis=1), (on * z).sum(axis=1)], axis=1) / share[:, None]
    return (on * cosine).sum(axis=1) / share, count, length, middle


def _distance_to_segments(
    point: Float[np.ndarray, "3"], ends: Float[np.ndarray, "p 2 3"]
) -> Float[np.ndarray, " p"]:
    line = ends[:, 1] - ends[:, 0]
    along = ((point - ends[:, 0]) * line).sum(axis=1) / np.maximum((line**2).sum(axis=1), 1e-12)
    nearest = ends[:, 0] + np.clip(along, 0, 1)[:, None] * line
    return np.linalg.norm(nearest - point, axis=1)


def contact_relevancy(
    contacts: Float[np.ndarray, "n 2 3"],
    region: Region,
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None,
    *,
    config: ScoreConfig,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How relevant what lies between the fingers is: as it is, and relative to the region's best.

    With relevancy: the mean value of the points within ``relevancy_radius`` of each contact, the two
    averaged; nothing there counts 0. "Best" is the 90th percentile within two radii of the action point.
    Without: 1 in the region's box, falling off as a Gaussian of one radius beside it. World frame.
    """
    if relevancy is None:
        local = (contacts.mean(axis=1) - region.box.center) @ region.box.axes.T
        beside = np.linalg.norm(np.maximum(np.abs(local) - region.box.half_extents, 0), axis=1)
        near = np.exp(-0.5 * (beside / config.relevancy_radius) ** 2)
        return near, near
    points, values = relevancy
    ends = contacts.reshape(-1, 3)
    reach = 2 * config.relevancy_radius
    asked = np.concatenate([ends, region.action_point[None]])
    near = ((points > asked.min(axis=0) - reach) & (points < asked.max(axis=0) + reach)).all(axis=1)
    points, values, highest = points[near], values[near], float(values.max(initial=0))
    tree = KDTree(points)
    found = tree.query_ball_point(ends, config.relevancy_radius)
    mean = np.array([values[rows].mean() if rows else 0.0 for rows in found]).reshape(-1, 2).mean(axis=1)
    around = tree.query_ball_point(region.action_point, reach)
    best = float(np.percentile(values[around], 90)) if around else highest
    return np.clip(mean, 0, 1), np.clip(mean / max(best, 1e-6), 0, 1)


def score(
    quality: Float[np.ndarray, " n"], relative: Float[np.ndarray, " n"], *, config: ScoreConfig
) -> Float[np.ndarray, " n"]:
    """Quality, lowered where the contacts are not what was asked for."""
    w = config.semantic_weight
    return quality * (1 - w + w * relative)
