"""From a robot's camera to grasps in memory: 24 views of 320x240 at 5 a second, then a question.

The robot's program is a process of its own, see ``live_camera``; its result is compared with that of
``follow`` on a folder of the same views.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import point2act
from benchmarks import Metric, Plan
from benchmarks.common.capture import capture, workspace
from benchmarks.common.timing import python
from benchmarks.robots.live_camera import one_query, told
from point2act.core.types import PointSet
from point2act.data.capture import load_views, read_capture, write_capture

RATE = 5.0
"""Views per second."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds from the question to grasps, and what else was promised."""
    points = capture() / "points.json"
    name = json.loads(points.read_text(encoding="utf-8"))["queries"][0]["name"]
    arguments = (str(capture()), name, str(RATE), str(max(2, plan.rounds // 2)))
    output = python("-m", "benchmarks.robots.live_camera", *arguments).output
    rounds = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    yield Metric("robots.memory_s", min(one["seconds"] for one in rounds), "s")
    yield Metric("robots.memory_first_s", rounds[0]["seconds"], "s")
    yield Metric("robots.memory_add_ms", 1e3 * max(one["longest_add"] for one in rounds), "ms")
    yield Metric(
        "robots.memory_views_per_s", max(one["views_per_second"] for one in rounds), "1/s", better="higher"
    )
    yield Metric("robots.memory_peak_gb", rounds[0]["peak_gb"], "GB")
    views = read_capture(capture()).frames
    yield Metric("robots.memory_dropped", len(views) - min(one["kept"] for one in rounds), "views")
    theirs = followed(one_query(points, name))
    yield Metric("robots.memory_differs", sum(one["result"] != theirs for one in rounds), "rounds")


def followed(points: PointSet) -> object:
    """Return the result of ``follow`` on the same views, written as a robot's program writes them."""
    folder: Path = workspace() / "robot"
    write_capture(folder, load_views(read_capture(capture())))
    point2act.write_points(folder / "points.json", points)
    return told(point2act.follow(folder).results[0])
