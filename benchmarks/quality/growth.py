"""Growth of time with Gaussians, pixels, views and queries: a table, exponents, and an optional plot.

Rasterisation is forward and backward with RGB, depth and one channel for each query; lifting projects the
Gaussians into each view and gathers. One quantity is varied at a time. The exponent is the slope of a
straight line through the logarithms: 1 is linear growth.
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
    poses,
    project_all,
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
    """Size of a job."""

    gaussians: int = 30_000
    side: int = 320
    """Width of the images, pixels; the height is three quarters of it."""
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
    """Yield the exponent of each job along each axis; rasterisation takes one view and has none for views."""
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
        from benchmarks.quality.growth_plot import draw_growth  # Imported late because of matplotlib.

        draw_growth(curves, plan.plot)


def follow(job: str, prepare: Callable[[Size], Work], axis: str, sizes: Sequence[Size], plan: Plan) -> Curve:
    """Time a job at each size; the sizes take turns."""
    works = {str(along(axis, size)): prepare(size) for size in sizes}
    times = best_of_each(works, max(2, plan.rounds - 2))
    return Curve(job, axis, tuple(map(int, times)), tuple(times.values()))


def along(axis: str, size: Size) -> int:
    """Return the value of a size along an axis."""
    return size.side * size.side * 3 // 4 if axis == "pixels" else getattr(size, axis)


def table_line(curve: Curve) -> str:
    """Return the milliseconds of a curve as one line."""
    times = ", ".join(f"{n}: {1000 * s:.0f}" for n, s in zip(curve.sizes, curve.seconds, strict=True))
    return f"  {curve.job} over {curve.axis}, ms: {times}"


def drawing(size: Size) -> Work:
    """Return a function that rasterises one image forward and backward."""
    rng = np.random.default_rng(0)
    gaussians = leaves(tabletop(size.gaussians, rng))
    features = torch.rand(size.gaussians, 3 + size.queries, requires_grad=True)
    (pose,) = poses(1)
    lens = camera(size.side * 3 // 4, size.side)

    def work() -> None:
        image = render(*gaussians, features, pose, lens)
        (image.features.sum() + image.depth.sum()).backward()

    return work


def lifting(size: Size) -> Work:
    """Return a function that projects into all views and lifts the answers."""
    rng = np.random.default_rng(0)
    scene = tabletop(size.gaussians, rng)
    seen = views(size.views, size.side * 3 // 4, size.side)
    answered, asked = answers(seen, size.queries, rng), questions(size.queries)
    return lambda: lift(project_all(scene, seen), answered, asked)
