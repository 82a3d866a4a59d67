"""Grasps on real readings: found, collision-free and closing on something.

Four RGB-D frames of a table and two point clouds, recorded by others, go through ``point2act run`` one by
one. Each grasp is then checked against the depth readings themselves. The data is not part of the repository:
``POINT2ACT_BENCHMARK_DATA`` names its folder, by default ``../shared/data`` beside the repository. ``python
-m benchmarks.real.suite --output FOLDER`` prints each query and keeps captures and reports in that folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import point2act
from benchmarks import CannotMeasureError, Metric, Plan
from benchmarks.real.check import Verdict, check, measured_cloud
from benchmarks.real.scenes import RealScene, scenes
from point2act.core.threads import configure_threads
from point2act.grasping.grippers import load_gripper

DATA = "POINT2ACT_BENCHMARK_DATA"
GRIPPER = "panda"


@dataclass(frozen=True)
class QueryRecord:
    """Result of one query."""

    scene: str
    query: str
    verdicts: tuple[Verdict, ...]
    """Verdict of each grasp, best first."""
    score: float
    """Score of the best grasp."""
    width: float
    """Width of the best grasp, metres."""
    reason: str


@dataclass(frozen=True)
class Record:
    """One scene from capture to report."""

    asked: tuple[QueryRecord, ...]
    seconds: float


def data_folder() -> Path:
    """Return the folder of the real captures. Raises CannotMeasureError if it does not exist."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get(DATA, beside))
    missing = [name for name in ("mug_frames", "clouds") if not (folder / name).is_dir()]
    if missing:
        raise CannotMeasureError(
            f"{folder} has no {' and no '.join(missing)}: let {DATA} name the folder with the real captures"
        )
    return folder


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the metrics over all scenes; never shortened."""
    with tempfile.TemporaryDirectory() as folder:
        records = [run_scene(scene, Path(folder) / scene.name) for scene in scenes(data_folder())]
    queries = [asked for record in records for asked in record.asked]
    verdicts = [verdict for asked in queries for verdict in asked.verdicts]
    found = sum(any(asked.verdicts for asked in record.asked) for record in records)
    yield Metric("real.scenes", len(records), "scenes", "higher")
    yield Metric("real.scenes_with_grasps", found, "scenes", "higher")
    yield Metric("real.queries", len(queries), "queries", "higher")
    yield Metric("real.queries_with_grasps", sum(bool(a.verdicts) for a in queries), "queries", "higher")
    yield Metric("real.grasps", len(verdicts), "grasps", "higher")
    if verdicts:
        best = [asked.verdicts[0].holds() for asked in queries if asked.verdicts]
        yield Metric("real.free_percent", _percent([v.free() for v in verdicts]), "%", "higher")
        yield Metric("real.holds_percent", _percent([v.holds() for v in verdicts]), "%", "higher")
        yield Metric("real.best_holds_percent", _percent(best), "%", "higher")
        yield Metric("real.clearance_mm", 1e3 * min(v.clearance for v in verdicts), "mm", "higher")
    yield Metric("real.seconds", float(np.median([record.seconds for record in records])), "s")


def _percent(values: Sequence[bool]) -> float:
    return 100 * float(np.mean(values))


def run_scene(scene: RealScene, folder: Path) -> Record:
    """Run the pipeline on a scene, with its capture in the folder ``capture`` and the results in ``out``."""
    scene.write(folder / "capture")
    gripper, cloud = load_gripper(GRIPPER), measured_cloud(scene.views)
    start = time.perf_counter()
    result = point2act.run(folder / "capture", folder / "out")
    seconds = time.perf_counter() - start
    asked = []
    for found in result.results:
        verdicts = tuple(check(grasp, gripper, cloud) for grasp in found.grasps)
        score, width = (found.grasps[0].score, found.grasps[0].width) if found.grasps else (0.0, 0.0)
        why = f"{found.reason}: {found.detail}" if found.reason else ""
        asked.append(QueryRecord(scene.name, found.query.name, verdicts, score, width, why))
    return Record(tuple(asked), seconds)


def line(asked: QueryRecord) -> str:
    """Return a query as a line of text."""
    name = f"{asked.scene:<12} {asked.query:<8}"
    if not asked.verdicts:
        return f"{name} no grasp: {asked.reason}"
    free, holds = sum(v.free() for v in asked.verdicts), sum(v.holds() for v in asked.verdicts)
    nearest, between = min(v.clearance for v in asked.verdicts), asked.verdicts[0].between
    return (
        f"{name} {len(asked.verdicts):>2} grasps, {free} free, {holds} hold, nearest reading "
        f"{1e3 * nearest:.1f} mm; best: {asked.score:.2f}, {1e3 * asked.width:.0f} mm, {between} readings"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the result of each query, scene by scene."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real.suite", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="keep captures and reports there")
    parser.add_argument("--scenes", nargs="*", help="only these")
    arguments = parser.parse_args(argv)
    configure_threads()
    for scene in scenes(data_folder()):
        if not arguments.scenes or scene.name in arguments.scenes:
            record = run_scene(scene, arguments.output / scene.name)
            print("\n".join(line(asked) for asked in record.asked), f"\n  {record.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
