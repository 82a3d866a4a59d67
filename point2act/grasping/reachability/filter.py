"""Which of a query's grasps an arm reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import transform_points
from point2act.core.types import Grasp, JointPath, NoAnswer
from point2act.grasping.reachability.arm import Arm
from point2act.grasping.reachability.clearance import Surroundings
from point2act.grasping.reachability.joint_path import Reach
from point2act.grasping.reachability.path import ReachConfig, Unreachable


def reach_grasps(
    grasps: Sequence[Grasp],
    T_base_world: Float[np.ndarray, "4 4"],
    arm: Arm,
    *,
    around: Surroundings = Surroundings(),
    approach: float,
    lift_world: Float[np.ndarray, "3"],
    enough: int | None = None,
    config: ReachConfig = ReachConfig(),
    rng: np.random.Generator,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """The grasps that the arm reaches, each with its joint path, in the order given; or why there are none.

    Each is approached along its own +z over ``approach`` metres and then moved along ``lift_world``
    (metres, the world frame). ``around`` is in the world frame too. With ``enough`` the search ends after
    that many.
    """
    reach = Reach(arm, in_base(around, T_base_world), config)
    lift_base = T_base_world[:3, :3] @ lift_world
    found: list[Grasp] = []
    misses: list[Unreachable] = []
    for grasp in grasps:
        T_base_gripper = T_base_world @ grasp.T_world_gripper
        outcome = reach.find(
            T_base_gripper, opening=grasp.width, approach=approach, lift_base=lift_base, rng=rng
        )
        if isinstance(outcome, JointPath):
            found.append(replace(grasp, joint_path=outcome))
            if len(found) == enough:
                break
        else:
            misses.append(outcome)
    if found or not misses:
        return tuple(found), None
    nearest = max(misses, key=lambda miss: miss.nearness)
    return (), NoAnswer(
        "unreachable",
        f"{arm.name} reaches none of {len(grasps)} grasps; in the nearest miss, {nearest.detail}",
    )


def in_base(around: Surroundings, T_base_world: Float[np.ndarray, "4 4"]) -> Surroundings:
    """Surroundings moved from the world frame into the base frame."""
    table, points = around.table, around.obstacles
    if table is not None:
        normal = T_base_world[:3, :3] @ table[:3]
        table = np.append(normal, table[3] - normal @ T_base_world[:3, 3])
    if points is not None:
        points = transform_points(T_base_world, points)
    return Surroundings(table, points)
