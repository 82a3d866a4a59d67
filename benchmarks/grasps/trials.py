"""Trials of one case: each planner plans once, and its first grasp is executed in every condition."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from benchmarks.common.tables import perturbed
from benchmarks.grasps.arm import arm, reachable, reached
from benchmarks.grasps.baselines import Found
from benchmarks.grasps.cases import CONDITIONS, Case, Condition, case, for_trial
from benchmarks.grasps.planners import PLANNERS
from benchmarks.grasps.records import Record, verdict
from benchmarks.grasps.tables import QUERY
from benchmarks.localization.measures import distance
from point2act.core.types import Grasp
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.simulation import Scene, Trial, TrialConfig, try_grasp, try_grasp_on_arm

OFF = (0.003, np.deg2rad(3.0))
"""Error of the gripper's pose in the condition ``pose_error``, metres and radians."""
AIMED = 0.02
"""Maximum distance of a grasp's middle from the part's box for a grasp of the part, metres."""
_warm: set[str] = set()
"""Planners that this process has used: the first use compiles and imports, which is not timed."""


@dataclass(frozen=True)
class Task:
    """One case with its planners and conditions, which share one setting."""

    conditions: tuple[str, ...]
    seed: int
    planners: tuple[str, ...]
    gripper: str = "panda"


def run_task(task: Task) -> list[Record]:
    """Return the records of a task by condition and planner."""
    conditions = [CONDITIONS[name] for name in task.conditions]
    opened, gripper = case(conditions[0].setting, task.seed), load_gripper(task.gripper)
    planned = {planner: _plan(planner, opened, gripper) for planner in task.planners}
    return [
        _try(opened, condition, planner, found, seconds, gripper)
        for condition in conditions
        if not condition.arm or reachable(opened, gripper)
        for planner, (found, seconds) in planned.items()
    ]


def tasks(conditions: Sequence[str], seeds: Sequence[int], planners: Sequence[str]) -> list[Task]:
    """Return a task for every setting and seed; settings alternate, so that early results cover all."""
    settings: dict[str, list[str]] = {}
    for condition in conditions:
        settings.setdefault(CONDITIONS[condition].setting.name, []).append(condition)
    return [Task(tuple(names), seed, tuple(planners)) for seed in seeds for names in settings.values()]


def executed(T_world_gripper: Float[np.ndarray, "4 4"], seed: int) -> Float[np.ndarray, "4 4"]:
    """Return the gripper's actual pose: off by 3 mm and 3 degrees in directions that depend on the seed."""
    return perturbed(T_world_gripper, np.random.default_rng([seed, 3]), shift=OFF[0], turn=OFF[1])


def _plan(planner: str, opened: Case, gripper: Gripper) -> tuple[Found, float]:
    if planner not in _warm:
        PLANNERS[planner](opened, gripper, np.random.default_rng(opened.seed))
        _warm.add(planner)
    start = time.perf_counter()
    found = PLANNERS[planner](opened, gripper, np.random.default_rng(opened.seed))
    return found, time.perf_counter() - start


def _try(
    opened: Case, condition: Condition, planner: str, found: Found, seconds: float, gripper: Gripper
) -> Record:
    if condition.arm:
        found = reached(opened, found, gripper)
    grasps, why = found
    record = Record(
        condition=condition.name,
        seed=opened.seed,
        planner=planner,
        outcome="not_found",
        lifted=False,
        by_part=False,
        object=opened.target.thing,
        part=opened.target.part,
        n_grasps=len(grasps),
        seconds=seconds,
        detail=why,
    )
    if not grasps:
        return record
    pose = grasps[0].T_world_gripper
    grasp = replace(grasps[0], T_world_gripper=executed(pose, opened.seed) if condition.off else pose)
    trial = _trial(for_trial(opened, condition), grasp, gripper)
    return replace(
        record,
        outcome=verdict(trial, aimed=distance(grasps[0].contacts.mean(axis=0), opened.region.box) < AIMED),
        lifted=trial.success,
        by_part=trial.by_part,
        detail=", ".join("/".join(part) for part in trial.parts),
    )


def _trial(scene: Scene, grasp: Grasp, gripper: Gripper) -> Trial:
    config = TrialConfig(pictures=False)
    if grasp.joint_path is None:
        return try_grasp(scene, QUERY, grasp, gripper, config)
    return try_grasp_on_arm(scene, QUERY, grasp, grasp.joint_path, arm(gripper), config)
