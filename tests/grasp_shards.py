"""Small shards with known labels: balls that a gripper holds where its pads are beside the centre."""

from __future__ import annotations

import numpy as np

from point2act.grasp_learning.shards import LabelledGrasps, Shard, Source
from point2act.grasping.learned.cloud import LocalCloud

REACH = 0.02
"""Distance of the gripper to the ball's centre up to which it holds, metres."""


def ball(rng: np.random.Generator, *, points: int = 200, radius: float = 0.025) -> LocalCloud:
    """Return the cloud of a ball at the origin, whose upper half is the region."""
    normals = rng.standard_normal((points, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    flags = np.ones(points, dtype=bool)
    return LocalCloud(radius * normals, normals, flags, flags, (normals[:, 2] > 0).astype(float))


def poses(rng: np.random.Generator, positions: np.ndarray) -> np.ndarray:
    """Return random rotations at positions."""
    T = np.tile(np.eye(4), (len(positions), 1, 1))
    T[:, :3, :3] = np.linalg.qr(rng.standard_normal((len(positions), 3, 3)))[0]
    T[:, :3, :3] *= np.linalg.det(T[:, :3, :3])[:, None, None]
    T[:, :3, 3] = positions
    return T


def ball_shard(
    seed: int, *, grasps: int = 40, family: str = "ball", effector: str = "panda", joints: int = 1
) -> Shard:
    """Return a shard in which grasps lift if they are near the centre, whatever their score."""
    rng = np.random.default_rng(seed)
    cloud = ball(rng)
    directions = rng.standard_normal((grasps, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    positions = directions * rng.uniform(0, 2 * REACH, (grasps, 1))
    lifted = np.linalg.norm(positions, axis=1) < REACH
    width = np.full((grasps, joints), 0.05)
    labelled = LabelledGrasps(
        T_cloud_gripper=poses(rng, positions),
        pregrasp=width + 0.02,
        joints=width,
        score=rng.random(grasps),
        free=np.ones(grasps, dtype=bool),
        lifted=lifted,
        shaken=lifted & (rng.random(grasps) < 0.8),
        by_part=lifted & (positions[:, 2] > 0),
    )
    return Shard(Source(effector, family, seed, "upper half"), cloud, labelled)
