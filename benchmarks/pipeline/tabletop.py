"""Success of the whole pipeline from text to lifted objects on simulated tables.

Every shipped scene with seeds that nothing was tuned on, and a pointing model that is wrong in a quarter of
the views. Success is an action point inside the part's oriented box, without a margin, and a best grasp that
lifts, shakes and holds the object.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import point2act
from benchmarks import Metric, Plan
from point2act.core.types import OrientedBox
from point2act.grasping.grippers import load_gripper
from point2act.simulation import CaptureConfig, capture_scene, load_scene, part_box, try_grasps_file

SCENES = ("tabletop", "kitchen", "workbench")
SEEDS = (200, 201, 202, 300, 301, 302)


@dataclass(frozen=True)
class Outcome:
    """Result of one query."""

    inside: bool
    distance: float
    """Distance from the action point to the box's centre, metres; infinite for no answer."""
    lifted: bool
    by_part: bool


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield success rates over all queries to grasp, and seconds from capture to grasps; never shortened."""
    outcomes: list[Outcome] = []
    seconds: list[float] = []
    quality: list[float] = []
    for scene in SCENES:
        for seed in SEEDS:
            found, took, psnr = _measure_scene(scene, seed)
            outcomes += found
            seconds.append(took)
            quality.append(psnr)
    yield Metric("tabletop.queries", len(outcomes), "queries", "higher")
    for name, values in {
        "inside": [outcome.inside for outcome in outcomes],
        "lifted": [outcome.lifted for outcome in outcomes],
        "by_part": [outcome.by_part for outcome in outcomes],
    }.items():
        yield Metric(f"tabletop.{name}_percent", 100 * float(np.mean(values)), "%", "higher")
    distances = [outcome.distance for outcome in outcomes]
    yield Metric("tabletop.distance_mm", 1000 * float(np.median(distances)), "mm")
    yield Metric("tabletop.psnr", float(np.mean(quality)), "dB", "higher")
    yield Metric("tabletop.seconds", float(np.median(seconds)), "s")


def _measure_scene(name: str, seed: int) -> tuple[list[Outcome], float, float]:
    scene = load_scene(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        capture, output = Path(folder) / "capture", Path(folder) / "out"
        capture_scene(scene, capture, CaptureConfig(), np.random.default_rng(seed))
        start = time.perf_counter()
        result = point2act.run(capture, output)
        took = time.perf_counter() - start
        trials = try_grasps_file(capture, output / "grasps.json", load_gripper("panda"))
    tried = {trial.query: trial for trial in trials}
    outcomes = []
    for found in result.results:
        if found.query.role == "grasp":
            trial = tried.get(found.query.name)
            lifted, by_part = (trial.success, trial.by_part) if trial is not None else (False, False)
            point = None if found.region is None else found.region.action_point
            box = part_box(scene, found.query.name)
            outcomes.append(Outcome(_inside(point, box), _distance(point, box), lifted, by_part))
    return outcomes, took, result.psnr if result.psnr is not None else float("nan")


def _inside(point: np.ndarray | None, box: OrientedBox) -> bool:
    if point is None:
        return False
    return bool((np.abs(box.axes @ (point - box.center)) <= box.half_extents).all())


def _distance(point: np.ndarray | None, box: OrientedBox) -> float:
    return float("inf") if point is None else float(np.linalg.norm(point - box.center))
