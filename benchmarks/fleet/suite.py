"""Batches of simulated captures with three jobs each: speed, stages, Ray, kills, and growth of the store.

``python -m benchmarks.fleet.suite --scenes 200`` measures a night's work; a number of 0 leaves a part out.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import psutil

from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.common.timing import REPOSITORY
from benchmarks.fleet.asking import IMAGES, ask_much
from benchmarks.fleet.clients import JOBS, serve_clients
from benchmarks.fleet.growth import growth
from benchmarks.fleet.jobs import small_capture, write_jobs
from benchmarks.fleet.schedule import makespan
from point2act.core.processes import available_cores
from point2act.fleet.store import Store

# Scenes, and kills, for each round of the plan.
_SCENES, _KILLS = 2, 1
# Machines of the simulated clusters, of 16 cores each.
_CORES, _MACHINES = 16, 4
# Scenes of the simulation: the measured ones, repeated.
_SIMULATED = 1000
_VARYING = r'"(created|seconds|scene_seconds)": [^,\n}]*|"stages": \{[^}]*\}'


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the metrics of batches whose size follows the rounds of the plan."""
    yield from measure_scenes(_SCENES * plan.rounds, _KILLS * plan.rounds)
    yield from growth(100_000 // plan.every**3)
    yield from serve_clients(small_capture(), jobs=JOBS // plan.every**3)
    yield from ask_much(IMAGES // plan.every**3)


def measure_scenes(scenes: int, kills: int, *, width: int = 160) -> Iterator[Metric]:
    """Yield the metrics of batches.

    Args:
        scenes: Number of captures, with three jobs each.
        kills: Number of kills of a batch that is started again after each.
        width: Width of the images, pixels.
    """
    manifest = write_jobs(workspace() / "fleet", scenes, width=width)
    _batch(_first_lines(manifest, 3), "warm")  # compiles the kernels
    cores = available_cores()
    one = _batch(manifest, "one", "--workers", "1")
    seconds = _batch(manifest, "all")
    store = workspace() / "all"
    yield Metric("fleet.scenes_per_hour", 3600 * scenes / seconds, "1/h", "higher")
    yield Metric("fleet.scenes_per_minute_1", 60 * scenes / one, "1/min", "higher")
    yield Metric(f"fleet.scenes_per_minute_{cores}", 60 * scenes / seconds, "1/min", "higher")
    yield Metric("fleet.other_results", _differences(workspace() / "one", store), "")
    yield from _shares(Store(workspace() / "one"), "1")
    yield from _shares(Store(store), str(cores))
    groups = _groups(Store(workspace() / "one"), manifest) * -(-_SIMULATED // scenes)
    for name, workers in (("16_cores", _CORES), ("4_machines", _CORES * _MACHINES)):
        rate = 3600 * len(groups) / makespan(groups, workers)
        yield Metric(f"fleet.simulated_scenes_per_hour_{name}", rate, "1/h", "higher")
    yield from _measure_ray(manifest, seconds, cores)
    if kills:
        lost, repeated = _kill(manifest, kills, seconds)
        yield Metric("fleet.lost", lost + _differences(workspace() / "killed", store), "")
        yield Metric("fleet.repeated", repeated, "")


def _measure_ray(manifest: Path, seconds: float, cores: int) -> Iterator[Metric]:
    """Yield what Ray takes more than processes; say why nothing is measured where it does not start."""
    if find_spec("ray") is None:
        print("fleet.ray_overhead is not measured: Ray is not installed", flush=True)
        return
    options = ("--executor", "ray", "--workers", str(cores))
    try:
        # Of one job, whose result is known: Ray's start and end.
        idle = _batch(_first_lines(manifest, 1), "warm", *options) - _batch(_first_lines(manifest, 1), "warm")
        ray = _batch(manifest, "ray", *options)
    except subprocess.CalledProcessError as err:
        reason = err.stderr.decode(errors="replace").strip().splitlines()
        print(f"fleet.ray_overhead is not measured: {reason[-1] if reason else err}", flush=True)
        return
    yield Metric("fleet.ray_overhead", 100 * (ray / seconds - 1), "%")
    yield Metric("fleet.ray_start", idle, "s")
    yield Metric("fleet.ray_other_results", _differences(workspace() / "ray", workspace() / "all"), "")


def _first_lines(manifest: Path, count: int) -> Path:
    some = manifest.with_name("some.jsonl")
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    some.write_text("".join(lines[:count]), encoding="utf-8")
    return some


def _command(manifest: Path, store: str, *options: str) -> list[str]:
    output = str(workspace() / store)
    return [sys.executable, "-m", "point2act.cli", "batch", str(manifest), "--output", output, *options]


def _batch(manifest: Path, store: str, *options: str) -> float:
    """Return the duration of a whole batch, from the start of its command to the list of its results."""
    start = time.perf_counter()
    subprocess.run(_command(manifest, store, *options), cwd=REPOSITORY, capture_output=True, check=True)
    return time.perf_counter() - start


def _shares(store: Store, cores: str) -> Iterator[Metric]:
    """Yield the share of each stage in the time of all jobs."""
    stages: Counter[str] = Counter()
    for outcome in store.records():
        stages.update(outcome.stages)
    for name, seconds in stages.most_common():
        share = 100 * seconds / stages.total()
        yield Metric(f"fleet.share_{name.lower().replace(' ', '_')}_{cores}", share, "%")


def _groups(store: Store, manifest: Path) -> list[float]:
    """Return the seconds of the work on each scene."""
    results = (store.folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    lines = manifest.read_text(encoding="utf-8").splitlines()
    seconds: Counter[str] = Counter()
    for result, line in zip(results, lines, strict=True):
        seconds[json.loads(line)["capture"]] += json.loads(result)["seconds"]
    return list(seconds.values())


def _differences(first: Path, second: Path) -> int:
    """Return the number of files that differ in more than dates and durations, or that one store lacks."""
    contents = []
    for folder in (first, second):
        files = [*folder.glob("jobs/*/*/*.json"), folder / "results.jsonl"]
        contents.append(
            {f.relative_to(folder): re.sub(_VARYING, "", f.read_text(encoding="utf-8")) for f in files}
        )
    one, other = contents
    return sum(one.get(name) != other.get(name) for name in one.keys() | other.keys())


def _kill(manifest: Path, kills: int, usual: float) -> tuple[int, int]:
    """Kill a batch at random moments; return the number of records that were lost and written again."""
    rng, folder = np.random.default_rng(kills), workspace() / "killed"
    known: dict[Path, int] = {}
    lost = repeated = 0
    for moment in rng.uniform(0.1, 0.9, kills) * usual:
        batch = subprocess.Popen(
            _command(manifest, "killed"), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            batch.wait(moment)
        except subprocess.TimeoutExpired:
            _kill_one(batch, rng)
        now = _records(folder)
        lost, repeated = lost + len(known.keys() - now.keys()), repeated + _rewritten(known, now)
        known = now
    _batch(manifest, "killed")
    now = _records(folder)
    return lost + len(known.keys() - now.keys()), repeated + _rewritten(known, now)


def _kill_one(batch: subprocess.Popen[bytes], rng: np.random.Generator) -> None:
    """Kill the parent alone, or a worker some seconds before it."""
    children = psutil.Process(batch.pid).children()
    if children and rng.random() < 0.5:
        children[-1].kill()
        time.sleep(2.0)
    batch.send_signal(signal.SIGKILL)
    batch.wait()
    psutil.wait_procs(children, timeout=60)


def _records(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("jobs/*/*/job.json")}


def _rewritten(before: dict[Path, int], now: dict[Path, int]) -> int:
    return sum(now.get(path, written) != written for path, written in before.items())


def main() -> None:
    """Measure as many scenes, rows and jobs as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--width", type=int, default=160, help="width of the images, pixels")
    parser.add_argument("--growth", type=int, default=100_000, help="jobs with synthetic results")
    parser.add_argument("--jobs", type=int, default=JOBS, help="jobs of each client of the service")
    parser.add_argument("--images", type=int, default=IMAGES, help="images to ask a model about")
    arguments = parser.parse_args()
    parts = [
        measure_scenes(arguments.scenes, arguments.kills, width=arguments.width) if arguments.scenes else (),
        growth(arguments.growth) if arguments.growth else (),
        serve_clients(small_capture(), jobs=arguments.jobs) if arguments.jobs else (),
        ask_much(arguments.images) if arguments.images else (),
    ]
    for metric in chain(*parts):
        print(f"{metric.name:<44} {metric.value:>10.4g} {metric.unit}", flush=True)


if __name__ == "__main__":
    main()
