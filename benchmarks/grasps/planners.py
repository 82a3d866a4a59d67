"""The compared planners: ours, the oracle, the baselines and the whole pipeline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.grasps.analytic_baseline import prototype
from benchmarks.grasps.baselines import Found, antipodal, random, straight_down
from benchmarks.grasps.cases import Case
from benchmarks.grasps.whole_pipeline import whole_pipeline
from point2act.grasping.antipodal.plan import plan_grasps
from point2act.grasping.grippers import Gripper
from point2act.grasping.tsdf import fuse_local

Planner = Callable[[Case, Gripper, np.random.Generator], Found]


def ours(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Plan with the program's own planner, from the measured depth."""
    volume = fuse_local(case.views, case.depths, case.region.action_point)
    grasps, none = plan_grasps(volume, case.region, gripper, rng=rng)
    return grasps, "" if none is None else f"{none.reason}: {none.detail}"


def oracle(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Return the grasp from the true shapes for which the case was kept; it must succeed in the trials."""
    return (case.oracle,), ""


WITH_TRUE_REGION = ("ours", "oracle", "random", "straight_down", "antipodal", "prototype")
"""Planners that are given the true region; ``whole_pipeline`` localizes it and needs a fit for each case."""

PLANNERS: dict[str, Planner] = {
    "ours": ours,
    "oracle": oracle,
    "random": random,
    "straight_down": straight_down,
    "antipodal": antipodal,
    "prototype": prototype,
    "whole_pipeline": whole_pipeline,
}
