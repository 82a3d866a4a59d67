"""The documented ways from a phone video and from a robot's RealSense recording to grasps.

Recordings of simulated tables (``recordings.py``), one for each seed, with known ground truth: the commands
get neither poses nor scale from the phone, and from the robot inaccurate poses and noisy depth of another
camera. Points are the answers of a simulated pointing model on the same images. A simulated gripper then
executes the best grasp of each query on the true table.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.common.timing import REPOSITORY, once
from point2act.core.geometry import distance_to_box, transform_points
from point2act.core.types import Grasp
from point2act.data.capture import read_capture
from point2act.data.points import write_points
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import load_gripper

if TYPE_CHECKING:  # Only needed for the simulator.
    from point2act.physics.scene import Scene
    from point2act.simulation.camera import SimView

SEEDS = (510, 511)
"""Seeds of tables on which nothing was tuned."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds from the recording to grasps, errors of scale and position, and the fraction lifted."""
    seeds = SEEDS[: 1 if plan.rounds < Plan().rounds else None]
    for name, walk in (("phone", _phone), ("robot", _robot)):
        walks = [walk(seed, workspace() / f"{name}-{seed}") for seed in seeds]
        seconds, scales, off, lifted, asked = (np.array(values) for values in zip(*walks, strict=True))
        yield Metric(f"own_data.{name}_s", float(np.median(seconds)), "s")
        yield Metric(f"own_data.{name}_scale_error", float(np.max(np.abs(scales - 1))), "")
        yield Metric(f"own_data.{name}_place_mm", float(1000 * np.max(off)), "mm")
        yield Metric(f"own_data.{name}_lifted", float(lifted.sum() / asked.sum()), "", "higher")


_Walk = tuple[float, float, float, int, int]
"""Seconds; scale of the capture; position error, metres; objects lifted, and queries."""


def _phone(seed: int, folder: Path) -> _Walk:
    from benchmarks.own_data.recordings import SIDE, T_world_board, film
    from point2act.simulation import load_scene

    folder.mkdir(parents=True)
    scene, rng = load_scene("tabletop", seed), np.random.default_rng(seed)
    shots = film(scene, folder / "turn.mp4", rng)
    scale = f"aruco:4X4_50:{SIDE}"
    seconds = once(
        lambda: _command(folder, "capture video turn.mp4 --output capture --frames 40 --scale-from", scale)
    )
    kept = []
    for frame in read_capture(folder / "capture").frames:
        number = int(PurePosixPath(frame.name).stem.rpartition("_")[2])
        kept.append(replace(shots[number], view=replace(shots[number].view, name=frame.name)))
    _answered(folder / "capture", scene, kept, rng)
    seconds += once(lambda: _command(folder, "check capture"))
    seconds += once(lambda: _command(folder, "run capture --output out"))
    return seconds, *_judged(folder / "capture", folder / "out", scene, kept, T_world_board(scene))


def _robot(seed: int, folder: Path) -> _Walk:
    from benchmarks.own_data.recordings import record
    from point2act.simulation import load_scene

    folder.mkdir(parents=True)
    scene, rng = load_scene("tabletop", seed), np.random.default_rng(seed)
    shots = record(scene, folder / "recording", rng)
    seconds = once(lambda: _command(folder, "capture rgbd recording --output capture"))
    _answered(folder / "capture", scene, shots, rng)
    seconds += once(lambda: _command(folder, "check capture --refine refined"))
    seconds += once(lambda: _command(folder, "run refined --output out"))
    return seconds, *_judged(folder / "refined", folder / "out", scene, shots, np.eye(4))


def _command(folder: Path, words: str, *more: str) -> None:
    """Run a command in the folder; a warning of ``check`` is no failure."""
    done = subprocess.run(
        [sys.executable, "-m", "point2act.cli", *words.split(), *more],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode > (1 if words.startswith("check") else 0):
        raise RuntimeError(f"point2act {words} ended with {done.returncode}:\n{done.stdout[-2000:]}")


def _answered(folder: Path, scene: Scene, shots: Sequence[SimView], rng: np.random.Generator) -> None:
    """Write a simulated model's answers beside the capture."""
    from point2act.simulation.pointing import PointingConfig, answer

    write_points(folder / "points.json", answer(scene, shots, PointingConfig(), rng))


def _judged(
    capture: Path,
    out: Path,
    scene: Scene,
    shots: Sequence[SimView],
    T_world_capture: Float[np.ndarray, "4 4"],
) -> tuple[float, float, int, int]:
    """Return the scale of the capture, the largest distance of action points, objects lifted, and queries."""
    from point2act.simulation import part_box, try_grasp
    from point2act.simulation.record import grasp_from_json

    made = np.array([frame.T_world_cam[:3, 3] for frame in read_capture(capture).frames])
    true = np.array([shot.view.T_world_cam[:3, 3] for shot in shots])
    gripper, off, lifted = load_gripper("panda"), 0.0, 0
    results = [
        result for result in read_grasps(out / "grasps.json")["results"] if result["query"]["role"] == "grasp"
    ]
    for result in results:
        name = result["query"]["name"]
        if result["action_point"] is not None:
            place = transform_points(T_world_capture, np.array([result["action_point"]], dtype=float))
            off = max(off, float(distance_to_box(place, part_box(scene, name))[0]))
        for best in result["grasps"][:1]:
            lifted += try_grasp(scene, name, _moved(grasp_from_json(best), T_world_capture), gripper).success
    return float(_extent(made) / _extent(true)), off, lifted, len(results)


def _extent(places: Float[np.ndarray, "n 3"]) -> float:
    return float(np.linalg.norm(places - places.mean(axis=0)))


def _moved(grasp: Grasp, T: Float[np.ndarray, "4 4"]) -> Grasp:
    """Return a grasp in another frame."""
    contacts = transform_points(T, grasp.contacts)
    return replace(grasp, T_world_gripper=T @ grasp.T_world_gripper, contacts=contacts)
