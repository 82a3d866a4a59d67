"""Grasps of a hand that are executed on the measured surface before one is chosen."""

from __future__ import annotations

from dataclasses import replace

from point2act.core.types import Grasp
from point2act.grasping.hands.checks import Execution
from point2act.grasping.hands.execution import Execute
from point2act.grasping.hands.task import HandTask
from point2act.physics.hand_model import add_hand
from point2act.physics.hand_trial import HandTrial, HandTrialConfig, try_mounted_hand
from point2act.physics.measured_scene import LEVELS, OBJECT, QUERY, MeasuredConfig, measured_scene

# The approach was checked already, and only lift and shake decide.
_TRIAL = HandTrialConfig(approach=0.0, gravity_seconds=0.0, pictures=False)


def execute_measured(task: HandTask, config: MeasuredConfig = MeasuredConfig()) -> Execute | None:
    """Return a function that executes grasps of a task on its measured surface in MuJoCo; None in a heap.

    Every grasp starts with the object where it was measured. What it weighs and how rough it is are
    assumptions of ``config``; neither the simulator's truth nor a robot is asked.
    """
    built = measured_scene(task, config)
    if built is None:
        return None
    scene, T_scene_world = built
    mounted = add_hand(scene, task.hand)

    def execute(grasp: Grasp) -> Execution:
        moved = replace(grasp, T_world_gripper=T_scene_world @ grasp.T_world_gripper)
        trial = try_mounted_hand(scene, QUERY, moved, mounted, _TRIAL)
        return Execution(trial.lifted, trial.shaken, _on_part(trial))

    return execute


def _on_part(trial: HandTrial) -> float | None:
    """Return the probability of the region under the hand's force."""
    total = sum(trial.forces)
    if not total:
        return None
    levels = [(int(part) + 0.5) / LEVELS if thing == OBJECT else 0.0 for thing, part in trial.parts]
    return sum(force * level for force, level in zip(trial.forces, levels, strict=True)) / total
