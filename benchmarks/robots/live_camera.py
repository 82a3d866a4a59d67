"""A robot's program that feeds a capture into a session in memory: CAPTURE QUERY VIEWS_PER_SECOND ROUNDS.

Prints a line of JSON for each round: seconds of the question, of the longest ``add_view``, views per second
when they come without a pause, views kept, peak memory, and the result.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import point2act
from point2act.core.types import PointSet, QueryResult, View
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points
from point2act.pipeline.live_session import LiveSession


def main() -> None:
    """Feed the capture, and ask."""
    capture, rate, rounds = read_capture(sys.argv[1]), float(sys.argv[3]), int(sys.argv[4])
    points, views = one_query(capture.folder / "points.json", sys.argv[2]), load_views(capture)
    for _ in range(rounds):
        session = point2act.Session.start(views[0].camera)
        longest = feed(session, views, rate)
        start = time.perf_counter()
        result = session.ask(points)
        seconds = time.perf_counter() - start
        kept = len(session.capture.frames)
        del session
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        figures = {"seconds": seconds, "longest_add": longest, "kept": kept, "peak_gb": peak}
        figures |= {"views_per_second": burst(views, points), "result": told(result.results[0])}
        print(json.dumps(figures), flush=True)


def one_query(path: Path, name: str) -> PointSet:
    """Return one query of a points.json with its answers."""
    points = read_points(path)
    queries = tuple(query for query in points.queries if query.name == name)
    return PointSet(queries, tuple(answer for answer in points.answers if answer.query == name))


def feed(session: LiveSession, views: Sequence[View], rate: float) -> float:
    """Add views in millimetres at a rate; return the seconds of the longest call."""
    longest, start = 0.0, time.perf_counter()
    for number, view in enumerate(views):
        assert view.depth is not None
        depth = np.rint(view.depth * 1000).astype(np.uint16)
        time.sleep(max(0.0, start + number / rate - time.perf_counter()))
        before = time.perf_counter()
        session.add_view(view.rgb, depth, view.T_world_cam)
        longest = max(longest, time.perf_counter() - before)
    return longest


def burst(views: Sequence[View], points: PointSet) -> float:
    """Return the views per second when all come at once, from the first to the grasps."""
    session = point2act.Session.start(views[0].camera)
    start = time.perf_counter()
    feed(session, views, np.inf)
    session.ask(points)
    return len(views) / (time.perf_counter() - start)


def told(result: QueryResult) -> dict[str, Any]:
    """Return what has to be the same, to the last digit."""
    point = None if result.action_point is None else result.action_point.tolist()
    grasps = [[grasp.T_world_gripper.tolist(), grasp.score] for grasp in result.grasps]
    return {"point": point, "confidence": result.confidence, "grasps": grasps}


if __name__ == "__main__":
    main()
