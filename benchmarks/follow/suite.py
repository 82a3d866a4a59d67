"""Time from the last image to grasps: ``--follow`` beside waiting for the capture to end.

A robot writes a view every 1/2.4 s, 24 in 10 s; a server over loopback answers after 0.4 s, up to eight
queries at a time. Three ways to grasps, each with commands of their own and an empty cache of replies:

- ``follow``: ``point2act run --follow``, started with the robot;
- ``run``: ``point2act run``, started at the end of the capture, which asks while it fits;
- ``sequential``: ``point2act ask``, then ``point2act run``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import Metric, Plan
from benchmarks.common.capture import capture, workspace
from benchmarks.common.timing import REPOSITORY

RATE = 2.4
"""Views per second."""
ANSWER = 0.4
"""Seconds per answer."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds from the last image to grasps.json, the best of some rounds, and their ratios."""
    rounds = max(1, plan.rounds // 2)
    with server() as address:
        _whole("warm", address)  # compiles the kernels
        each = [
            (_followed(f"f{n}", address), _whole(f"r{n}", address), _in_turn(f"s{n}", address))
            for n in range(rounds)
        ]
    follow, run, sequential = (min(times) for times in zip(*each, strict=True))
    yield Metric("follow.follow_s", follow, "s")
    yield Metric("follow.run_s", run, "s")
    yield Metric("follow.sequential_s", sequential, "s")
    yield Metric("follow.share_of_run", follow / run, "")
    yield Metric("follow.share_of_sequential", follow / sequential, "")


@contextmanager
def server(log: Path | None = None) -> Iterator[str]:
    """Run a server that answers with the capture's own points.json; yield its address."""
    command = [sys.executable, str(REPOSITORY / "tests" / "model_server.py")]
    command += ["--points", str(capture() / "points.json"), "--capture", str(capture())]
    command += ["--delay", str(ANSWER), *(["--log", str(log)] if log else [])]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def query() -> str:
    """Return the text of the first query in the capture's points.json."""
    return json.loads((capture() / "points.json").read_text(encoding="utf-8"))["queries"][0]["text"]


def asked_of(name: str, address: str) -> list[str]:
    """Return the options that set the query and the model."""
    options = ["--query", query(), "--model", "qwen3_vl_8b", "--server", address]
    return [*options, "--cache", str(workspace() / f"{name}-replies")]


def robot(folder: Path, rate: float = RATE) -> subprocess.Popen[str]:
    """Start a process that writes the capture one view at a time, and prints when it wrote the last."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.follow.simulated_robot",
        str(capture()),
        str(folder),
        str(rate),
    ]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def point2act(*arguments: str) -> subprocess.Popen[str]:
    """Start a point2act command without output."""
    command = [sys.executable, "-m", "point2act.cli", *arguments]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    """Wait for a process that must succeed; return its output."""
    output, _ = process.communicate()
    assert process.returncode == 0, f"{process.args} failed"
    return output or ""


def _followed(name: str, address: str) -> float:
    folder, output = workspace() / f"{name}-live", workspace() / f"{name}-out"
    ours = point2act("run", str(folder), "--output", str(output), "--follow", *asked_of(name, address))
    # As a robot's program would: started and ready before the robot moves.
    time.sleep(5.0)
    last = float(finished(robot(folder)))
    finished(ours)
    return (output / "grasps.json").stat().st_mtime - last


def _whole(name: str, address: str) -> float:
    output, last = workspace() / f"{name}-out", time.time()
    finished(point2act("run", str(capture()), "--output", str(output), *asked_of(name, address)))
    return (output / "grasps.json").stat().st_mtime - last


def _in_turn(name: str, address: str) -> float:
    output, points, last = workspace() / f"{name}-out", workspace() / f"{name}-points.json", time.time()
    finished(point2act("ask", str(capture()), "--output", str(points), *asked_of(name, address)))
    finished(point2act("run", str(capture()), "--output", str(output), "--points", str(points)))
    return (output / "grasps.json").stat().st_mtime - last
