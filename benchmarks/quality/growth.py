"""How time grows with Gaussians, pixels, views and queries: a table, exponents, and a plot where asked for.

Drawing is forward and backward with RGB, depth and one channel for each query; lifting views the Gaussians
from each view and gathers. One quantity is varied at a time. An exponent is the slope of a straight
line through the logarithms: 1 is linear growth, less is slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks import Metric, Plan
from benchmarks.common.synthetic_gaussians import (
    answers,
    camera,
    leaves,
    look_at_all,
    poses,
    questions,
    tabletop,
    views,
)
from benchmarks.common.timing import Work, best_of_each
from benchmarks.quality.growth_curve import Curve
from point2act.localization.relevancy import lift
from point2act.splatting.render import render


@dataclass(frozen=True)
class Size:
    """What a job is made of."""

    gaussians: int = 30_000
    side: int = 320
    """Pixels along the picture's width; its height is three quarters of that."""
    views: int = 6
    queries: int = 1


AXES: dict[str, list[Size]] = {
    "gaussians": [Size(gaussians=n) for n in (7_500, 15_000, 30_000, 60_000, 120_000)],
    "pixels": [Size(side=side) for side in (160, 224, 320, 640, 1280)],
    "views": [Size(views=n) for n in (6, 9, 12, 24, 48)],
    "queries": [Size(queries=n) for n in (1, 2, 4, 8, 16)],
}
"""Sizes along each axis."""


def measure(plan: Plan) -> Iterator[Metric]:
    """The exponent of each job along each axis. Drawing takes one view at a time, so it has none there."""
    curves = []
    for axis, sizes in AXES.items():
        jobs: dict[str, Callable[[Size], Work]] = {"lift": lifting}
        if axis != "views":
            jobs["draw"] = drawing
        for job, prepare in jobs.items():
            curve = follow(job, prepare, axis, sizes[:: plan.every], plan)
            print(table_line(curve), flush=True)
            yield Metric(f"growth.{job}_over_{axis}", curve.exponent, "exponent")
            curves.append(curve)
    if plan.plot is not None:
        from benchmarks.quality.growth_plot import draw_growth  # late: matplotlib

        draw_growth(curves, plan.plot)


def follow(job: str, prepare: Callable[[Size], Work], axis: str, sizes: Sequence[Size], plan: Plan) -> Curve:
    """Time a job at each size; the sizes take turns."""
    works = {str(along(axis, size)): prepare(size) for size in sizes}
    times = best_of_each(works, max(2, plan.rounds - 2))
    return Curve(job, axis, tuple(map(int, times)), tuple(times.values()))


def along(axis: str, size: Size) -> int:
    """Where a size lies on an axis."""
    return size.side * size.side * 3 // 4 if axis == "pixels" else getattr(size, axis)


def table_line(curve: Curve) -> str:
    """The milliseconds of a curve on one line."""
    times = ", ".join(f"{n}: {1000 * s:.0f}" for n, s in zip(curve.sizes, curve.seconds, strict=True))
    return f"  {curve.job} over {curve.axis}, ms: {times}"


def drawing(size: Size) -> Work:
    """Draw one picture, and go back."""
    rng = np.random.default_rng(0)
    gaussians = leaves(tabletop(size.gaussians, rng))
    features = torch.rand(size.gaussians, 3 + size.queries, requires_grad=True)
    (pose,) = poses(1)
    lens = camera(size.side * 3 // 4, size.side)

    def work() -> None:
        picture = render(*gaussians, features, pose, lens)
        (picture.features.sum() + picture.depth.sum()).backward()

    return work


def lifting(size: Size) -> Work:
    """Look from all views and lift the answers."""
    rng = np.random.default_rng(0)
    scene = tabletop(size.gaussians, rng)
    seen = views(size.views, size.side * 3 // 4, size.side)
    printed, asked = answers(seen, size.queries, rng), questions(size.queries)
    return lambda: lift(look_at_all(scene, seen), printed, asked)
