"""Labelled grasps of many regions as tensors, and the families of objects that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from point2act.core.errors import LearningError
from point2act.grasp_learning.shards import Shard
from point2act.grasping.end_effector import EndEffector
from point2act.grasping.learned.features import NUM_FEATURES, rows_of
from point2act.grasping.learned.networks import LABELS
from point2act.grasping.learned.parts import PosedParts, posed_parts

# Part of the families that is held out by default. Chosen.
_HELD_OUT = 0.2


@dataclass(frozen=True, eq=False)
class Examples:
    """Grasps, and the cloud of the region that each is at."""

    clouds: Float[Tensor, "s m 9"]
    """Points of each region as rows, see ``rows_of``."""
    region: Int[Tensor, " g"]
    """Index of each grasp's region."""
    poses: Float[Tensor, "g 4 4"]
    """Poses of the gripper or palm, in the frame of the cloud."""
    joints: Float[Tensor, "g j"]
    parts: PosedParts
    scores: Float[Tensor, " g"]
    """The planner's."""
    labels: Float[Tensor, "g 4"]
    """1 or 0 for each of ``LABELS``; by_part only of grasps that lifted."""
    held_out: Bool[Tensor, " g"]
    """Whether the object is of a family that is held out."""

    @property
    def lifted(self) -> Bool[Tensor, " g"]:
        """Whether each grasp lifted."""
        return self.labels[:, LABELS.index("lifted")] > 0

    @property
    def by_part(self) -> Bool[Tensor, " g"]:
        """Whether each grasp lifted by the part that was asked for."""
        return self.labels[:, LABELS.index("by_part")] > 0

    def to(self, device: torch.device) -> Examples:
        """Return the examples on a device."""
        return Examples(*(getattr(self, field.name).to(device) for field in fields(self)))


def held_out_families(shards: Sequence[Shard], chosen: Sequence[str], seed: int) -> frozenset[str]:
    """Return the families of objects that are held out.

    Args:
        shards: All data.
        chosen: Names of families; none for a fifth of them, drawn with the seed.
        seed: Seed of the draw.

    Raises:
        LearningError: There is no such family, or none would be left to train on.
    """
    families = sorted({shard.source.family for shard in shards})
    unknown = sorted(set(chosen) - set(families))
    if unknown:
        raise LearningError(
            f"there is no family {', '.join(unknown)}: hold out some of {', '.join(families)}"
        )
    if chosen and len(set(chosen)) == len(families):
        raise LearningError("all families are held out: leave one to train on")
    if chosen or len(families) == 1:
        return frozenset(chosen)
    count = max(1, round(_HELD_OUT * len(families)))
    return frozenset(np.random.default_rng(seed).permutation(families)[:count].tolist())


def examples_of(
    shards: Sequence[Shard],
    effector: EndEffector,
    held_out: frozenset[str],
    *,
    max_points: int,
    seed: int,
) -> Examples:
    """Return the grasps of shards as tensors; shards without points or grasps are skipped.

    Args:
        shards: Shards of one gripper or hand.
        effector: The gripper or hand.
        held_out: Families of objects that are held out.
        max_points: Largest number of points of a cloud; of larger ones as many are drawn.
        seed: Seed of the draw.

    Raises:
        LearningError: There are no grasps.
    """
    used = [shard for shard in shards if len(shard.cloud) and len(shard.grasps)]
    if not used:
        raise LearningError("the shards have no grasps: generate more data")
    rng = np.random.default_rng(seed)
    width = min(max_points, max(len(shard.cloud) for shard in used))
    clouds = np.zeros((len(used), width, NUM_FEATURES), dtype=np.float32)
    for cloud, shard in zip(clouds, used, strict=True):
        # A smaller cloud is repeated: the networks take the maximum over its points.
        cloud[:] = rng.permutation(rows_of(shard.cloud))[np.arange(width) % len(shard.cloud)]
    counts = [len(shard.grasps) for shard in used]
    aside = [shard.source.family in held_out for shard in used]
    return Examples(
        clouds=torch.as_tensor(clouds),
        region=torch.as_tensor(np.repeat(np.arange(len(used)), counts)),
        poses=_floats([shard.grasps.T_cloud_gripper for shard in used]),
        joints=_floats([shard.grasps.joints for shard in used]),
        parts=posed_parts(effector, np.concatenate([shard.grasps.joints for shard in used])),
        scores=_floats([shard.grasps.score for shard in used]),
        labels=_floats([labels_of(shard) for shard in used]),
        held_out=torch.as_tensor(np.repeat(aside, counts)),
    )


def labels_of(shard: Shard) -> Bool[np.ndarray, "g 4"]:
    """Return the labels of a shard's grasps; by_part only of those that lifted."""
    grasps = shard.grasps
    return np.column_stack([grasps.free, grasps.lifted, grasps.shaken, grasps.by_part & grasps.lifted])


def _floats(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.as_tensor(np.concatenate(arrays), dtype=torch.float32)
