"""Planners of hands that are compared: ours, with each head, the same energies without the region, and a
simple power grasp."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from benchmarks.grasps.cases import Case
from benchmarks.grasps.clouds import measured, table_height
from point2act.core.types import Grasp, HandJoints
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.plan import plan_hand_grasps
from point2act.grasping.hands.task import HandConfig
from point2act.grasping.learned.weights import load_flow
from point2act.grasping.tsdf import fuse_local
from point2act.pipeline.hand_planning import executor_of

HandPlanner = Callable[[Case, Hand], tuple[Grasp, ...]]

# Without a region palms start anywhere on the object.
_ANYWHERE = 10.0
# Angle by which a simple power grasp bends every joint beyond the pre-grasp pose, and with which it squeezes,
# radians. Chosen: the fingers of an Allegro Hand then meet the thumb.
_BEND, _SQUEEZE = 0.25, 0.35
# Free height of the fingertips over the table, metres.
_FREE = 0.004


def ours(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Plan on the region as by default, and execute what is planned on the measured surface."""
    return _planned(case, hand, HandConfig())


def analytic(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Plan as ours without networks."""
    return _planned(case, hand, HandConfig(head="analytic"))


def closure_only(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Plan with force closure on the region, without networks, and execute nothing."""
    return _planned(case, hand, HandConfig(head="analytic", executions=0))


def learned(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Refine what a network proposes, in the order of another network, and execute nothing: for seconds."""
    return _planned(case, hand, HandConfig(head="learned", executions=0))


def learned_executed(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Refine what a network proposes, and execute the best on the measured surface, as ours."""
    return _planned(case, hand, HandConfig(head="learned"))


def without_region(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Plan with the same energies for the whole object, as Get a Grip does (Lum et al. 2024)."""
    return _planned(case, hand, HandConfig(head="analytic", use_region=False, start_sigma=_ANYWHERE))


def power(case: Case, hand: Hand) -> tuple[Grasp, ...]:
    """Close the whole hand from above at the action point, across the narrowest extent there."""
    goal = case.region.action_point
    points, _ = measured(case, 0.12)
    near = points[np.linalg.norm(points - goal, axis=1) < 0.05]
    closing = _narrowest(near, goal)
    down = np.array([0.0, 0.0, -1.0])
    T = np.eye(4)
    T[:3, :3] = np.stack([closing, np.cross(down, closing), down], axis=1)
    T[:3, 3] = goal - T[:3, :3] @ hand.grasp_center
    grasp = hand.clipped(hand.joints.pregrasp + _BEND * _bending(hand))
    tips = max(float((box.center + np.abs(box.axes.T) @ box.half_extents)[2]) for box in hand.boxes_at(grasp))
    T[2, 3] = max(T[2, 3], table_height(points) + tips + _FREE)
    joints = HandJoints(
        names=hand.joints.names,
        pregrasp=hand.joints.rest,
        grasp=grasp,
        squeeze=hand.clipped(grasp + _SQUEEZE * _bending(hand)),
        contacts=np.stack([goal, goal]),
        links=(hand.links[-1], hand.links[-1]),
    )
    return (
        Grasp(
            T_world_gripper=T,
            width=0.0,
            score=1.0,
            relevancy=1.0,
            quality=1.0,
            contacts=np.stack([goal, goal]),
            approach_clearance=0.0,
            joints=joints,
        ),
    )


PLANNERS: dict[str, HandPlanner] = {
    "ours": ours,
    "analytic": analytic,
    "closure_only": closure_only,
    "learned": learned,
    "learned_executed": learned_executed,
    "without_region": without_region,
    "power": power,
}
_LEARNED = ("analytic", "learned", "learned_executed")


def planners_for(hand: Hand) -> list[str]:
    """Return the planners of a hand: where weights ship, those with networks and ours without as well."""
    shipped = load_flow(hand.name) is not None
    return [name for name in PLANNERS if shipped or name not in _LEARNED]


def _planned(case: Case, hand: Hand, config: HandConfig) -> tuple[Grasp, ...]:
    volume = fuse_local(case.views, case.depths, case.region.action_point)
    executor = executor_of(config)
    return plan_hand_grasps(volume, case.region, hand, config=config, executor=executor, seed=case.seed)[0]


def _narrowest(near: Float[np.ndarray, "n 3"], goal: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Return the level direction in which points extend least."""
    angles = np.arange(18) * np.pi / 18
    ways = np.stack([np.cos(angles), np.sin(angles), np.zeros(18)], axis=1)
    if not len(near):
        return ways[0]
    return ways[int(np.ptp((near - goal) @ ways.T, axis=0).argmin())]


def _bending(hand: Hand) -> Float[np.ndarray, " j"]:
    """Return 1 for joints that bend from the rest to the pre-grasp pose, 0 for the others."""
    return (hand.joints.pregrasp > hand.joints.rest).astype(float)
