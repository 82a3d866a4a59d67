"""Grasps on real readings: found, collision-free and closing on something.

Four RGB-D frames of a table and two point clouds, recorded by others, go through ``point2act run`` one by
one; nine more frames with a click on each of 48 things as through ``point2act grasp-image``, see ``frames``;
and two recordings with one, three, eight and all of their views, see ``recordings``. Each grasp is then
checked against the depth readings themselves. Depth that is not registered to colour is registered and
compared with the truth, see ``registration``. The data is not part of the repository:
``POINT2ACT_BENCHMARK_DATA`` names its folder, by default ``../shared/data`` beside the repository. ``python
-m benchmarks.real.suite`` prints each query of frames and recordings, with ``--output FOLDER`` also those of
the scenes, and keeps their captures and reports in that folder.
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
from benchmarks.real.frames import FOLDER as FRAMES
from benchmarks.real.frames import Judged, judge_frame
from benchmarks.real.recordings import (
    RECORDINGS,
    JudgedQuery,
    judge_recording,
    never_falls,
)
from benchmarks.real.registration import RECORDING as UNREGISTERED
from benchmarks.real.registration import registration_metrics
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
    needed = ("mug_frames", "clouds", FRAMES, *RECORDINGS, UNREGISTERED)
    missing = [name for name in needed if not (folder / name).is_dir()]
    if missing:
        raise CannotMeasureError(
            f"{folder} has no {' and no '.join(missing)}: let {DATA} name the folder with the real captures"
        )
    return folder


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the metrics over all scenes; never shortened."""
    data, gripper = data_folder(), load_gripper(GRIPPER)
    folders = sorted(folder for folder in (data / FRAMES).iterdir() if folder.is_dir())
    yield from frame_metrics([one for folder in folders for one in judge_frame(folder, gripper)])
    yield from recording_metrics(
        [one for name in RECORDINGS for one in judge_recording(data / name, gripper)]
    )
    yield from registration_metrics(data)
    with tempfile.TemporaryDirectory() as folder:
        records = [run_scene(scene, Path(folder) / scene.name) for scene in scenes(data)]
    yield from scene_metrics(records)


def frame_metrics(judged: Sequence[Judged]) -> Iterator[Metric]:
    """Yield the metrics of the frames with clicks."""
    yield Metric("real.things", len(judged), "things", "higher")
    yield Metric("real.things_with_grasps", sum(one.grasp is not None for one in judged), "things", "higher")
    yield Metric("real.sound_share", _percent([one.sound for one in judged]), "%", "higher")
    yield Metric("real.sound_open_share", _percent([one.sound_open for one in judged]), "%", "higher")


def recording_metrics(judged: Sequence[JudgedQuery]) -> Iterator[Metric]:
    """Yield the metrics of recordings, each query with more and more views."""
    by_query: dict[tuple[str, str], list[JudgedQuery]] = {}
    for one in judged:
        by_query.setdefault((one.recording, one.query), []).append(one)
    for recording in dict.fromkeys(name for name, _ in by_query):
        with_all = [steps[-1] for (name, _), steps in by_query.items() if name == recording]
        sound = sum(one.sound for one in with_all)
        grasps = sum(one.grasp is not None for one in with_all)
        yield Metric(f"real.{recording}.queries", len(with_all), "queries", "higher")
        yield Metric(f"real.{recording}.with_grasps", grasps, "queries", "higher")
        yield Metric(f"real.{recording}.sound", sound, "queries", "higher")
    steady = [never_falls([step.sound for step in steps]) for steps in by_query.values()]
    yield Metric("real.monotone", float(np.mean(steady)), "", "higher")
    steady = [never_falls([step.sound_in_all for step in steps]) for steps in by_query.values()]
    yield Metric("real.monotone_in_all_views", float(np.mean(steady)), "", "higher")


def scene_metrics(records: Sequence[Record]) -> Iterator[Metric]:
    """Yield the metrics of the scenes that are run from captures."""
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
    parser.add_argument("--output", type=Path, help="run the scenes, keep captures and reports there")
    parser.add_argument("--scenes", nargs="*", help="only these scenes, frames and recordings")
    arguments = parser.parse_args(argv)
    configure_threads()
    data, gripper = data_folder(), load_gripper(GRIPPER)

    def chosen(name: str) -> bool:
        return not arguments.scenes or name in arguments.scenes

    for folder in sorted((data / FRAMES).iterdir()):
        if chosen(folder.name):
            print("\n".join(one.line() for one in judge_frame(folder, gripper)), flush=True)
    for name in filter(chosen, RECORDINGS):
        print("\n".join(one.line() for one in judge_recording(data / name, gripper)), flush=True)
    if arguments.output is None:
        return
    for scene in filter(lambda scene: chosen(scene.name), scenes(data)):
        record = run_scene(scene, arguments.output / scene.name)
        print("\n".join(line(asked) for asked in record.asked), f"\n  {record.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
