"""Carry out a simulated task in closed loop, also disturbed. Needs pip install "point2act[act]"."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro

import point2act
from point2act.acting.execution.own_robot import prepare_captured, read_task
from point2act.acting.execution.simulated_task import SimulatedRun, run_simulated
from point2act.grasping.reachability.arm import load_arm
from point2act.simulation.disturbances import Disturbance
from point2act.simulation.record import CaptureConfig, capture_scene
from point2act.simulation.task import Task, load_task


def capture_task(task: Task, folder: Path, seed: int) -> None:
    """Write the capture of a task's scene with simulated answers, and the task's plan in points.json."""
    capture_scene(task.scene, folder, CaptureConfig(), np.random.default_rng(seed))
    answers = point2act.read_points(folder / "points.json")
    point2act.write_points(folder / "points.json", replace(answers, plan=task.plan))


def print_time_line(run: SimulatedRun) -> None:
    """Print what happened when, and what physics says of the end."""
    for event in run.outcome.events:
        moved = run.disturbed_at is not None and event.time > run.disturbed_at
        print(f"{event.time:6.2f} s {'*' if moved else ' '} {event.kind:8} {event.detail}")
    print("done" if run.succeeded else "not done", f"({run.reason})")


def main(capture: Path, task: str = "mug_on_coaster", seed: int = 1) -> None:
    """Capture the scene of a shipped task into a folder and act on it; a star: after the disturbance."""
    arm = load_arm("panda", point2act.load_gripper("panda"))
    simulated = load_task(task, seed)
    capture_task(simulated, capture, seed)
    prepared = prepare_captured(read_task(capture), arm.gripper)
    disturbances: tuple[Disturbance | None, ...] = (None, "target_moved")
    for disturbance in disturbances:
        print(f"{simulated.instruction} ({disturbance or 'undisturbed'})")
        print_time_line(run_simulated(simulated, arm, prepared, disturbance=disturbance, seed=seed))


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
