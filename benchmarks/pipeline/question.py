"""Time of a new query on a saved scene, from points.json to grasps.json, and of a report of all queries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import point2act
from benchmarks import Metric, Plan
from benchmarks.common.capture import capture, workspace
from benchmarks.common.timing import best, python
from benchmarks.common.whole_run import environment, later, output
from point2act.core.types import PointSet
from point2act.grasping.grasps_json import write_grasps
from point2act.pipeline.outputs import RunSummary, publish_report
from point2act.pipeline.session import Session


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds in a process that has the scene open, from the third query on, and of a fresh command.

    Also the seconds and the size of the report of all queries.
    """
    later(0)
    session = point2act.open_run(output())
    asked = one_by_one()
    # The first queries include imports, compilation and caching.
    seconds = [ask(session, path) for path in asked[:2] + asked * (plan.rounds // 2)]
    yield Metric("question.warm_s", median(seconds[2:]), "s")
    yield from report(session, plan)
    yield Metric("question.cold_s", min(_command(path) for path in asked[: plan.rounds // 2]), "s")


def report(session: Session, plan: Plan) -> Iterator[Metric]:
    """Yield the seconds until the report of all queries is written, and its megabytes."""
    answered, path = session.ask(capture() / "points.json"), workspace() / "report.html"
    summary = RunSummary(session, answered, {})
    yield Metric("report.seconds", best(lambda: publish_report(path, summary), plan.seconds), "s")
    yield Metric("report.megabytes", path.stat().st_size / 1e6, "MB")


def one_by_one() -> list[Path]:
    """Write a points.json for each query of the capture."""
    source = point2act.read_capture(capture())
    points = point2act.read_points(source.folder / "points.json", source)
    paths = []
    for query in points.queries:
        answers = tuple(answer for answer in points.answers if answer.query == query.name)
        paths.append(workspace() / f"{query.name}.json")
        point2act.write_points(paths[-1], PointSet((query,), answers))
    return paths


def ask(session: Session, path: Path) -> float:
    """Return the seconds from a file of points to a file of grasps."""
    start = time.perf_counter()
    answered = session.ask(path)
    written = workspace() / "grasps.json"
    write_grasps(written, answered.results, capture=session.capture, gripper=answered.gripper)
    return time.perf_counter() - start


def _command(points: Path) -> float:
    run, written = output() / "run.json", workspace() / "cold" / "grasps.json"
    arguments = ("--load-config", str(run), "--points", str(points), "--output", str(written))
    return python("-m", "point2act.cli", "grasp", *arguments, environment=environment()).seconds
