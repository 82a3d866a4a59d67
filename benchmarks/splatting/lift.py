"""Time of lifting answers to the Gaussians, and its growth with the number of queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import torch

from benchmarks import Metric, Plan
from benchmarks.common.capture import capture, views
from benchmarks.common.synthetic_gaussians import project_all
from benchmarks.common.timing import Work, best_of_each
from point2act.core.types import GaussianScene, PointSet
from point2act.data.capture import read_capture
from point2act.data.points import read_points
from point2act.localization.relevancy import answers_in_views, lift
from point2act.pipeline.session import Session
from point2act.splatting.initialization import initialize_gaussians


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield seconds for 24 views, 30 000 initial Gaussians and 4 queries; and the ratio of 8 queries to 1.

    Projection into all views is included, except for ``again``, where projections are cached.
    """
    scene = initialize_gaussians(views(), point_cloud_path=None, rng=np.random.default_rng(0)).scene
    kept = project_all(scene, views())
    asked = {count: questions(count) for count in (1, 4, 8)}
    works: dict[str, Work] = {
        f"{count}": lambda q=queries: lift(project_all(scene, views()), *q)
        for count, queries in asked.items()
    }
    works |= {f"{count} kept": lambda q=queries: lift(kept, *q) for count, queries in asked.items()}
    times = best_of_each(works, 2 * plan.rounds)
    yield Metric("lift.seconds", times["4"], "s")
    yield Metric("lift.again_s", times["4 kept"], "s")
    yield Metric("lift.growth_queries", times["8"] / times["1"], "x")
    yield Metric("lift.growth_queries_again", times["8 kept"] / times["1 kept"], "x")
    yield from _with_regions(scene, plan)


def _with_regions(scene: GaussianScene, plan: Plan) -> Iterator[Metric]:
    """Yield seconds for 4 queries up to their regions, likelihood, alternatives and confidences included.

    The first query on a scene also renders all views and segments the scene into parts.
    """
    points = read_points(capture() / "points.json", read_capture(capture()))
    # Regions to avoid are localized like all others, and nothing is planned for them.
    queries = tuple(replace(query, role="avoid") for query in points.queries[:4])
    names = {query.name for query in queries}
    asked = PointSet(queries, tuple(answer for answer in points.answers if answer.query in names))

    def session() -> Session:
        return Session(read_capture(capture()), views(), scene, True, torch.device("cpu"))

    kept = session()
    kept.ask(asked)
    works: dict[str, Work] = {"first": lambda: session().ask(asked), "again": lambda: kept.ask(asked)}
    times = best_of_each(works, plan.rounds)
    yield Metric("lift.regions_first_s", times["first"], "s")
    yield Metric("lift.regions_s", times["again"], "s")


def questions(count: int) -> tuple[list, list]:
    """Return ``count`` of the capture's queries, repeated if fewer, and answers to them in all views."""
    source = read_capture(capture())
    points = read_points(source.folder / "points.json", source)
    answered = list(islice(cycle(answers_in_views(points, source, views())), count))
    return answered, list(islice(cycle(points.queries), count))
