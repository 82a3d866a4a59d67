"""Probability that grasps hold, from a network that was trained on grasps in physics."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from point2act.core.errors import LearningError
from point2act.grasping.learned.cloud import LocalCloud
from point2act.grasping.learned.features import points_near, rows_of
from point2act.grasping.learned.networks import LABELS, GraspEvaluator

# Seed of the choice among the points around a gripper.
_SEED = 0


def hold_probability(
    evaluator: GraspEvaluator,
    cloud: LocalCloud,
    T_cloud_gripper: Float[np.ndarray, "g 4 4"],
    joints: Float[np.ndarray, "g j"],
    *,
    batch: int = 64,
) -> Float[np.ndarray, "g 4"]:
    """Return the probabilities that grasps are free, lift, hold when shaken, and lift by the part.

    The same cloud and grasps give the same numbers, also when both are moved together.

    Args:
        evaluator: The network, see ``load_evaluator``.
        cloud: The surface around the action point.
        T_cloud_gripper: Poses of the gripper or palm.
        joints: Joint positions at the grasp, radians; a gripper's width, metres.
        batch: Grasps that are judged at once.

    Returns:
        A column for each of ``LABELS``.

    Raises:
        LearningError: The network is of another gripper or hand, or the cloud has no points.
    """
    expected = len(evaluator.embodiment.low)
    if joints.shape[1] != expected:
        raise LearningError(
            f"the evaluator is for {expected} joints, the grasps have {joints.shape[1]}: "
            "use the weights of this gripper or hand"
        )
    if not len(cloud):
        raise LearningError("there are no points around the action point to judge grasps on: ask nearer")
    found = [
        _probability(evaluator, cloud, T_cloud_gripper[start : start + batch], joints[start : start + batch])
        for start in range(0, len(joints), batch)
    ]
    return np.concatenate([np.zeros((0, len(LABELS))), *found])


@torch.no_grad()
def _probability(
    evaluator: GraspEvaluator,
    cloud: LocalCloud,
    T_cloud_gripper: Float[np.ndarray, "g 4 4"],
    joints: Float[np.ndarray, "g j"],
) -> Float[np.ndarray, "g 4"]:
    device = next(evaluator.parameters()).device
    keys = np.random.default_rng(_SEED).random(len(cloud))
    # In double precision, such that the same points are chosen wherever a cloud is.
    rows, keys = (torch.as_tensor(values).to(device) for values in (rows_of(cloud), keys))
    poses = torch.as_tensor(T_cloud_gripper, dtype=torch.float64, device=device)
    rotation, center = poses[:, :3, :3], poses.new_tensor(evaluator.embodiment.center)
    points = points_near(
        rows.expand(len(poses), -1, -1),
        rotation,
        poses[:, :3, 3] + rotation @ center,
        keys.expand(len(poses), -1),
        radius=evaluator.config.radius,
        count=evaluator.config.num_points,
    )
    logits = evaluator(points.float(), torch.as_tensor(joints, dtype=torch.float32, device=device))
    return torch.sigmoid(logits).double().cpu().numpy()
