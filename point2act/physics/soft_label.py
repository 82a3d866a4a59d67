"""Grasps that are executed a little off, and shares of such copies that succeed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from point2act.core.types import Grasp
from point2act.grasping.hands.hand import Hand
from point2act.physics.hand_trial import HandTrialConfig, try_hand_grasp
from point2act.physics.scene import Scene


@dataclass(frozen=True)
class SoftLabel:
    """Shares of noisy copies of a grasp that succeed, from 0 to 1."""

    free: float
    """Without a collision on the approach."""
    lifted: float
    shaken: float


def soft_label(
    scene: Scene,
    query: str,
    grasp: Grasp,
    hand: Hand,
    *,
    copies: int,
    rng: np.random.Generator,
    shift: float = 0.005,
    turn: float = 0.05,
    config: HandTrialConfig = HandTrialConfig(),
) -> SoftLabel:
    """Try noisy copies of a grasp, and return the shares that succeed (Get a Grip, Lum et al. 2024).

    Args:
        scene: The scene at rest.
        query: Name of the query that the grasp answers.
        grasp: Grasp in the world frame with ``joints``.
        hand: The hand.
        copies: Number of copies.
        rng: Draws the noise.
        shift: Standard deviation of the palm's position along each axis, metres.
        turn: Standard deviation of its rotation about each axis, radians.
        config: Parameters of the trials.
    """
    config = replace(config, pictures=False)
    executed = [displaced(grasp, rng, shift=shift, turn=turn) for _ in range(copies)]
    tried = [try_hand_grasp(scene, query, copy, hand, config) for copy in executed]
    return SoftLabel(
        float(np.mean([trial.outcome != "collision" for trial in tried])),
        float(np.mean([trial.lifted for trial in tried])),
        float(np.mean([trial.shaken for trial in tried])),
    )


def displaced(grasp: Grasp, rng: np.random.Generator, *, shift: float, turn: float) -> Grasp:
    """Return a grasp at a pose that is off by normal noise.

    Args:
        grasp: Planned grasp.
        rng: Draws the noise.
        shift: Standard deviation of the position along each axis, metres.
        turn: Standard deviation of the rotation about each axis, radians.
    """
    T = grasp.T_world_gripper.copy()
    T[:3, 3] += shift * rng.standard_normal(3)
    T[:3, :3] = T[:3, :3] @ Rotation.from_rotvec(turn * rng.standard_normal(3)).as_matrix()
    return replace(grasp, T_world_gripper=T)
