"""Judge gripper poses: first all by what is quick to report, then a few by a closer look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import distance_to_box, transform_points
from point2act.core.types import Region
from point2act.grasping.antipodal.avoid import Avoid, AvoidConfig, caution, nearness
from point2act.grasping.antipodal.boundary import Solid, SurfacePoints
from point2act.grasping.antipodal.collision import (
    approach_opening,
    gripper_boxes,
    nearest,
    nearest_on_way,
    plane_heights,
)
from point2act.grasping.antipodal.contact_pairs import PairConfig, Pairs
from point2act.grasping.antipodal.pose_sampling import PoseConfig, Poses, Tally
from point2act.grasping.antipodal.robustness import RobustConfig, draw_errors, robustness
from point2act.grasping.antipodal.score import (
    ScoreConfig,
    contact_relevancy,
    meaning,
    preference,
    quality,
)
from point2act.grasping.antipodal.terms import GraspTerms, TermConfig, grasp_terms, near_poses
from point2act.grasping.antipodal.volume import LocalVolume
from point2act.grasping.grippers import Gripper


@dataclass(frozen=True)
class JudgeConfig:
    """What makes a grasp good."""

    terms: TermConfig = field(default_factory=TermConfig)
    """What the quality is made of."""
    robust: RobustConfig = field(default_factory=RobustConfig)
    """What may be off."""
    score: ScoreConfig = field(default_factory=ScoreConfig)
    """How terms, meaning and preferences are combined."""
    avoid: AvoidConfig = field(default_factory=AvoidConfig)
    """How far grippers keep from what is to be avoided."""
    slanted: float = 0.3
    """What a score is multiplied with where pads would press outside the friction cone: in front of a can's
    widest place they squeeze it out. Chosen."""
    low: float = 0.012
    """Not so for contacts lower than this over the table, metres: low things show round edges, and pads that
    reach the table hold all of them. Chosen."""
    blocked: float = 0.5
    """What a score is multiplied with where something seems to be in the way up. Not refused: half of a
    glass that no camera saw in one piece may be its own bowl, and a robot can leave by the way it came.
    Chosen."""


@dataclass(frozen=True, eq=False)
class Task:
    """What grasps are planned for, and on."""

    volume: LocalVolume
    surface: SurfacePoints
    solid: Solid
    region: Region
    action_point: Float[np.ndarray, "3"]
    """In the volume frame."""
    gripper: Gripper
    relevancy: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]] | None
    """World points and their values."""
    avoid: Sequence[Avoid]
    base: Float[np.ndarray, "3"] | None
    """Where the robot stands, world."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Poses with what they are worth."""

    poses: Poses
    terms: GraspTerms
    quality: Float[np.ndarray, " n"]
    """The chance that it holds."""
    worth: Float[np.ndarray, " n"]
    """What the quality is multiplied with: meaning, preference, caution."""
    relevancy: Float[np.ndarray, " n"]
    away: Float[np.ndarray, " n"]
    """Distance to what is to be avoided, metres; infinite where there is nothing."""
    approach: Float[np.ndarray, " n"]
    """Distance to everything on the way to the grasp, metres; infinite before the closer look."""
    lift: Float[np.ndarray, " n"]
    """Distance to all but the object while it is lifted, metres; infinite before the closer look."""

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def score(self) -> Float[np.ndarray, " n"]:
        """What grasps are ordered by."""
        return self.quality * self.worth

    def only(self, chosen: np.ndarray) -> Judged:
        """Some of them, by index."""
        kept = {
            f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name not in ("poses", "terms")
        }
        return Judged(self.poses.only(chosen), self.terms.only(chosen), **kept)


def judge(
    task: Task,
    pairs: Pairs,
    poses: Poses,
    tally: Tally,
    *,
    opens: PairConfig,
    ways: PoseConfig,
    config: JudgeConfig,
) -> Judged:
    """Judge every pose that leaves alone what is to be avoided; ``tally`` counts the others."""
    near = nearness(
        poses,
        pairs,
        task.gripper,
        task.avoid,
        task.volume.T_world_volume,
        clearance=opens.clearance,
        approach=ways.approach,
        config=config.avoid,
    )
    for place, refused in zip(task.avoid, near.refused, strict=True):
        tally.avoided[place.text] = tally.avoided.get(place.text, 0) + int(refused.sum())
    allowed = np.flatnonzero(~near.refused.any(axis=0))
    poses, away = poses.only(allowed), near.clearance[allowed]
    terms = grasp_terms(
        poses,
        pairs,
        task.surface,
        task.solid.centroid(task.action_point),
        task.volume.cameras_in_volume,
        task.gripper,
        voxel=task.volume.voxel,
        clearance=opens.clearance,
        friction=opens.friction,
        config=config.terms,
    )
    relevancy, worth = _worth(task, pairs, poses, config.score)
    worth *= caution(away, config=config.avoid)
    pressed = (terms.friction > 0) | (_heights(task.volume, pairs)[poses.pair] < config.low)
    worth *= np.where(pressed, 1.0, config.slanted)
    unknown = np.full(len(poses), np.inf)
    good = quality(terms, config.score.weights)
    return Judged(poses, terms, good, worth, relevancy, away, unknown, unknown)


def _heights(volume: LocalVolume, pairs: Pairs) -> Float[np.ndarray, " p"]:
    """Height of each pair's middle over the table; infinite without one."""
    table = volume.table_in_volume
    if table is None:
        return np.full(len(pairs), np.inf)
    return pairs.middles @ table[:3] + table[3]


def _worth(
    task: Task, pairs: Pairs, poses: Poses, config: ScoreConfig
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Relevancy of each pose's contacts, and the product of meaning and preference."""
    T = task.volume.T_world_volume
    contacts = transform_points(T, pairs.contacts)
    absolute, relative = contact_relevancy(contacts, task.region, task.relevancy, config=config)
    means = meaning(relative, distance_to_box(contacts.mean(axis=1), task.region.box), config=config)
    from_base = None if task.base is None else task.region.action_point - task.base
    approaches = poses.rotations[:, :, 2] @ T[:3, :3].T
    liked = preference(approaches, task.volume.up, from_base, config.prefer)
    return absolute[poses.pair], means[poses.pair] * liked


def look_closer(
    task: Task, pairs: Pairs, judged: Judged, *, opens: PairConfig, ways: PoseConfig, config: JudgeConfig
) -> Judged:
    """The same poses with clearances and robustness, which take longer to report."""
    poses = judged.poses
    near = near_poses(poses, pairs, task.surface, task.gripper, config.terms.contact)
    middles, widths = pairs.middles, pairs.widths
    # The same errors for every grasp and every question.
    draws = draw_errors(opens.friction, config.robust, np.random.default_rng(0))
    approach, lift, robust = (np.zeros(len(poses)) for _ in range(3))
    for i, pair in enumerate(poses.pair.tolist()):
        width = float(widths[pair])
        opening = approach_opening(task.gripper, width, opens.clearance)
        approach[i] = _approach_clearance(task, poses.rotations[i], poses.origins[i], opening, ways.approach)
        lift[i] = _lift_clearance(task, poses.rotations[i], poses.origins[i], width, ways)
        robust[i] = robustness(
            near[pair],
            poses.rotations[i],
            poses.origins[i] - middles[pair],
            task.gripper.pad_size,
            draws,
            width=width,
            opening=opening,
            contact=config.terms.contact,
            config=config.robust,
        )
    clearance = np.clip(approach / config.terms.full_clearance, 0, 1)
    terms = replace(judged.terms, clearance=clearance, robustness=robust)
    good = quality(terms, config.score.weights)
    worth = judged.worth * np.where(lift > 0, 1.0, config.blocked)
    return replace(judged, terms=terms, quality=good, worth=worth, approach=approach, lift=lift)


def _approach_clearance(
    task: Task, rotation: Float[np.ndarray, "3 3"], origin: Float[np.ndarray, "3"], opening: float, way: float
) -> float:
    """Smallest distance from the open gripper on its way to anything seen and to the table, metres."""
    boxes = gripper_boxes(task.gripper, opening, approach=way)
    smallest = nearest((task.solid.points - origin) @ rotation, boxes)
    table = task.volume.table_in_volume
    if table is not None:
        smallest = min(smallest, float(plane_heights(rotation[None], origin[None], boxes, table)[0]))
    return smallest


def _lift_clearance(
    task: Task,
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    width: float,
    config: PoseConfig,
) -> float:
    """Smallest distance from the closed gripper to all but the object while it is lifted, metres."""
    others = (task.solid.points[~task.solid.on_object] - origin) @ rotation
    way = config.lift * rotation[2]  # up in the gripper's axes
    return nearest_on_way(others, gripper_boxes(task.gripper, width), way, step=config.lift_step)
