"""How long bringing answers to the Gaussians takes, and whether more questions take longer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

import numpy as np

from benchmarks import Metric, Plan
from benchmarks._capture import capture, views
from benchmarks._scenes import look_at_all
from benchmarks._timing import Work, best_of_each
from point2act.capture import read_capture
from point2act.points import read_points
from point2act.relevancy import lift, locate
from point2act.splat.start import start


def measure(plan: Plan) -> Iterator[Metric]:
    """Seconds for 24 views, the 30 000 Gaussians of a start from depth, and 4 queries; and 8 over 1.

    Looking at the Gaussians from all views is part of it, but where it is said that it was done before.
    """
    scene = start(views(), point_cloud_path=None, rng=np.random.default_rng(0)).scene
    kept = look_at_all(scene, views())
    asked = {count: questions(count) for count in (1, 4, 8)}
    works: dict[str, Work] = {
        f"{count}": lambda q=queries: lift(look_at_all(scene, views()), *q)
        for count, queries in asked.items()
    }
    works |= {f"{count} kept": lambda q=queries: lift(kept, *q) for count, queries in asked.items()}
    times = best_of_each(works, 2 * plan.rounds)
    yield Metric("lift.seconds", times["4"], "s")
    yield Metric("lift.again_s", times["4 kept"], "s")
    yield Metric("lift.growth_queries", times["8"] / times["1"], "x")
    yield Metric("lift.growth_queries_again", times["8 kept"] / times["1 kept"], "x")


def questions(count: int) -> tuple[list, list]:
    """Answers in all views to so many queries of the capture, some twice where it has fewer; the queries."""
    source = read_capture(capture())
    points = read_points(source.folder / "points.json", source)
    said = list(islice(cycle(locate(points, source, views())), count))
    return said, list(islice(cycle(points.queries), count))
