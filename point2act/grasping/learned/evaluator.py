"""Probability that grasps hold, from a network that was trained on grasps in physics."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from point2act.core.errors import LearningError
from point2act.grasping.end_effector import EndEffector
from point2act.grasping.learned.cloud import LocalCloud
from point2act.grasping.learned.embodiment import embodiment_of
from point2act.grasping.learned.features import context_of, points_near, rows_of, with_distances
from point2act.grasping.learned.networks import LABELS, GraspEvaluator
from point2act.grasping.learned.parts import PosedParts, posed_parts

# Seed of the choice among the points around a gripper.
_SEED = 0


def hold_probability(
    evaluator: GraspEvaluator,
    effector: EndEffector,
    cloud: LocalCloud,
    T_cloud_gripper: Float[np.ndarray, "g 4 4"],
    joints: Float[np.ndarray, "g j"],
    scores: Float[np.ndarray, " g"],
    *,
    batch: int = 64,
) -> Float[np.ndarray, "g 4"]:
    """Return the probabilities that grasps are free, lift, hold when shaken, and lift by the part.

    The same cloud and grasps give the same numbers, also when both are moved, or turned about the vertical.

    Args:
        evaluator: The network, see ``load_evaluator``.
        effector: The gripper or hand that it is for.
        cloud: The surface around the action point.
        T_cloud_gripper: Poses of the gripper or palm.
        joints: Joint positions at the grasp, radians; a gripper's width, metres.
        scores: The planner's scores.
        batch: Grasps that are judged at once.

    Returns:
        A column for each of ``LABELS``.

    Raises:
        LearningError: The network is of another gripper or hand, or the cloud has no points.
    """
    if evaluator.embodiment != embodiment_of(effector):
        raise LearningError(
            f"the evaluator is of another gripper or hand than {effector.name}: use the weights of this one"
        )
    if not len(cloud):
        raise LearningError("there are no points around the action point to judge grasps on: ask nearer")
    device = next(evaluator.parameters()).device
    parts = posed_parts(effector, joints).to(device)
    # In double precision, such that the same points are chosen wherever a cloud is.
    poses, points, planned = (
        torch.as_tensor(one, dtype=torch.float64, device=device)
        for one in (T_cloud_gripper, rows_of(cloud), scores)
    )
    found = [
        _probability(evaluator, points, poses[rows], parts.only(rows), planned[rows])
        for rows in torch.arange(len(joints), device=device).split(batch)
        if len(rows)
    ]
    return np.concatenate([np.zeros((0, len(LABELS))), *found])


@torch.no_grad()
def _probability(
    evaluator: GraspEvaluator,
    rows: Float[Tensor, "n 9"],
    poses: Float[Tensor, "g 4 4"],
    parts: PosedParts,
    scores: Float[Tensor, " g"],
) -> Float[np.ndarray, "g 4"]:
    keys = torch.as_tensor(np.random.default_rng(_SEED).random(len(rows))).to(rows)
    rotation, center = poses[:, :3, :3], poses.new_tensor(evaluator.embodiment.center)
    origin = poses[:, :3, 3] + rotation @ center
    clouds = rows.expand(len(poses), -1, -1)
    points = points_near(
        clouds,
        rotation,
        origin,
        keys.expand(len(poses), -1),
        radius=evaluator.config.radius,
        count=evaluator.config.num_points,
    )
    context = context_of(clouds, rotation, origin, scores)
    logits = evaluator(with_distances(points.float(), parts), context.float())
    return torch.sigmoid(logits).double().cpu().numpy()
