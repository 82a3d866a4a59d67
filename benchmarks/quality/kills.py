"""Robustness against kills: commands are killed at random moments and started again until they complete.

A robot writes a capture, ``point2act run`` makes grasps of it, ``point2act grasp`` others, and ``run`` writes
over its own output. Each command is killed (SIGKILL, with all its children) after a time drawn uniformly from
0 to 1.1 times its usual duration, and started again until it completes. After each kill every file is read by
its own reader. At the end of a pass the grasps are compared with those of undisturbed commands.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks import Metric, Plan
from benchmarks.common.capture import workspace
from benchmarks.common.timing import REPOSITORY
from benchmarks.common.whole_run import environment
from point2act.core.errors import Point2ActError
from point2act.data.capture import load_views, read_capture
from point2act.data.run_manifest import read_run
from point2act.data.scene_ply import read_splat_ply
from point2act.grasping.grasps_json import read_grasps

SEED = 700
"""Seed of the random moments."""
_KILLS_PER_ROUND = 20
"""Number of kills per round of the plan."""
_RATE = 40.0
"""Views per second that the robot writes."""
_MAX_DURATION = 1.1
_SHORT_FIT = ("--fit.iterations", "60")


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the numbers of kills, passes, broken files, lost files and passes with other results."""
    rng = np.random.default_rng(SEED)
    for command in _commands(workspace() / "first"):
        _run_undisturbed(command)  # compiles the kernels
    undisturbed = workspace() / "undisturbed"
    seconds = [_run_undisturbed(command) for command in _commands(undisturbed)]
    wanted, kills, passes = plan.rounds * _KILLS_PER_ROUND, 0, 0
    broken = gone = other = 0
    while kills < wanted:
        folder = workspace() / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        for command, usual in zip(_commands(folder), seconds, strict=True):
            before = _files(folder)
            while not (
                _is_recorded(folder, command)
                or _completes_in_time(command, rng.uniform(0, _MAX_DURATION * usual))
            ):
                kills += 1
                now = _files(folder)
                gone, broken = gone + len(before - now), broken + len(_broken(folder))
                before = now
        passes += 1
        other += _outcome(folder) != _outcome(undisturbed)
        so_far = f"{kills} kills in {passes} passes: {broken} broken, {gone} lost, {other} other results"
        print(so_far, file=sys.stderr, flush=True)
    yield Metric("kills.kills", kills, "", "higher")
    yield Metric("kills.passes", passes, "", "higher")
    yield Metric("kills.broken_files", broken, "")
    yield Metric("kills.lost_files", gone, "")
    yield Metric("kills.other_results", other, "")


@cache
def _capture() -> Path:
    """Return a small capture, so that many kills fit into the time."""
    # Imported late: only this function needs the simulator.
    from point2act.simulation import CaptureConfig, WristConfig, capture_scene, load_scene

    config = CaptureConfig(WristConfig(views=12, size=(120, 160), focal=150.0))
    capture_scene(load_scene("tabletop", SEED), workspace() / "capture", config, np.random.default_rng(SEED))
    return workspace() / "capture"


def _commands(folder: Path) -> list[tuple[str, ...]]:
    """Return the commands that are run on a folder, in order."""
    run = (
        "-m",
        "point2act.cli",
        "run",
        str(folder / "capture"),
        "--output",
        str(folder / "out"),
        *_SHORT_FIT,
    )
    points = ("--points", str(_capture() / "points.json"))
    grasp = ("-m", "point2act.cli", "grasp", "--load-config", str(folder / "out"), *points)
    return [
        ("-m", "benchmarks.follow.simulated_robot", str(_capture()), str(folder / "capture"), str(_RATE)),
        (*run, *points, "--resume"),
        (*grasp, "--output", str(folder / "grasps.json")),
        (*run, *points),
    ]


def _is_recorded(folder: Path, command: tuple[str, ...]) -> bool:
    """Return whether the robot was killed after it marked the capture complete; it would not write again."""
    path = folder / "capture" / "transforms.json"
    robot = "benchmarks.follow.simulated_robot" in command
    return robot and path.exists() and json.loads(path.read_text(encoding="utf-8")).get("complete") is True


def _run_undisturbed(command: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=os.environ | environment(),
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - start


def _completes_in_time(command: tuple[str, ...], seconds: float) -> bool:
    """Return whether a command completes within the time; kill it otherwise."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=os.environ | environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {errors}")
    return True


def _files(folder: Path) -> set[Path]:
    """Return the visible files: no drafts, and no files that an unfinished run keeps."""
    paths = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path for path in paths if not any(part.startswith(".") for part in path.parts)}


def _broken(folder: Path) -> list[str]:
    """Return an error message for each file that cannot be read."""
    found: list[str] = []
    if (folder / "capture" / "transforms.json").exists():
        found += _errors(lambda: load_views(read_capture(folder / "capture"), max_side=80))
    for path in sorted(_files(folder)):
        place = folder / path
        if path.name == "run.json":
            # read_run may report that a run was interrupted; the file itself must be intact.
            found += _errors(lambda place=place: json.loads(place.read_text(encoding="utf-8")))
        elif path.name == "grasps.json":
            found += _errors(lambda place=place: read_grasps(place))
        elif path.name == "scene.ply":
            found += _errors(lambda place=place: read_splat_ply(place))
        elif path.suffix == ".json":
            found += _errors(lambda place=place: json.loads(place.read_text(encoding="utf-8")))
        elif path.suffix == ".html":
            whole = place.read_text(encoding="utf-8").rstrip().endswith("</html>")
            found += [] if whole else [f"{path} has no end"]
    return found


def _errors(read: object) -> list[str]:
    """Return the reader's error message, if any."""
    assert callable(read)
    try:
        read()
    except (Point2ActError, ValueError) as err:
        return [str(err)]
    return []


def _outcome(folder: Path) -> object:
    """Return the results of both files of grasps."""
    _ = read_run(folder / "out")
    files = (folder / "grasps.json", folder / "out" / "grasps.json")
    return [read_grasps(path)["results"] for path in files]
