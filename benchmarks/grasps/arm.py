"""Trials on an arm: the first planned grasp that a Panda reaches from the scene's base."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from benchmarks import CannotMeasureError
from benchmarks.grasps.baselines import Found
from benchmarks.grasps.cases import Case
from point2act.core.types import Grasp
from point2act.grasping.grippers import Gripper
from point2act.simulation import TrialConfig

_TRIAL = TrialConfig()


def reached(opened: Case, found: Found, gripper: Gripper) -> Found:
    """Return the first grasp that the arm reaches, with its path; the table is an obstacle."""
    grasps, _ = found
    if not grasps:
        return found
    kept, nothing = _reach(opened, grasps, gripper)
    return kept, "" if nothing is None else f"{nothing.reason}: {nothing.detail}"


def reachable(opened: Case, gripper: Gripper) -> bool:
    """Return whether the arm reaches the oracle's grasp; the condition ``arm`` excludes other cases."""
    return bool(_reach(opened, [opened.oracle], gripper)[0])


def _reach(opened: Case, grasps: Sequence[Grasp], gripper: Gripper):
    from point2act.grasping.reachability.clearance import Surroundings
    from point2act.grasping.reachability.joint_path import reach_grasps

    table = np.array([0.0, 0.0, 1.0, -opened.scene.layout.table.height])
    return reach_grasps(
        grasps,
        opened.scene.T_base_world,
        arm(gripper),
        around=Surroundings(table, None),
        approach=_TRIAL.approach,
        lift_world=np.array([0.0, 0.0, _TRIAL.lift]),
        max_grasps=1,
        rng=np.random.default_rng(opened.seed),
    )


@cache
def arm(gripper: Gripper):
    """Return a Panda with the gripper. Raises CannotMeasureError if mink is missing."""
    try:
        from point2act.grasping.reachability.arm import load_arm
    except ImportError as err:
        raise CannotMeasureError(
            f"the condition 'arm' needs mink ({err}): pip install \"point2act[arm]\""
        ) from err
    return load_arm("panda", gripper)
