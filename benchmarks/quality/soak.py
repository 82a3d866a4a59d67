"""Soak test of one process: 200 queries on one scene, then 20 scenes; growth of memory and open resources.

Resident set, open files and threads are recorded after each query and each scene. Growth is from the maximum
of the first tenth to the maximum of the last tenth. Each query has new words and new answers: a point of the
scene, projected into every view with an error of some pixels.
"""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

import point2act
from benchmarks import Metric, Plan
from benchmarks.common.capture import capture, workspace
from point2act.core.geometry import project
from point2act.core.types import Answer, PointSet, Query
from point2act.pipeline.run_config import RunConfig
from point2act.pipeline.session import Session

QUESTIONS, SCENES = 200, 20
SEED = 710
_PIXELS = 3.0
"""Standard deviation of each coordinate of the simulated answers, pixels."""


@dataclass(frozen=True)
class Resources:
    """Resources of the process at one moment."""

    megabytes: float
    files: int
    threads: int


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield growth in percent, and the files and threads left open."""
    rng = np.random.default_rng(SEED)
    quick = plan.rounds < Plan().rounds
    out = workspace() / "soaked"
    point2act.run(capture(), out)
    session = point2act.open_run(out)
    asked = _repeat(lambda: _ask(session, rng), QUESTIONS // (10 if quick else 1))
    yield from _metrics("questions", asked)
    made = _repeat(lambda: _reconstruct(rng), max(4, SCENES // (5 if quick else 1)))
    yield from _metrics("scenes", made)
    if plan.plot is not None:
        _draw(plan.plot.with_name("soak.png"), {"questions": asked, "scenes": made})


def _ask(session: Session, rng: np.random.Generator) -> None:
    """Ask one query with new words about a random point of the scene."""
    place = session.scene.means[rng.integers(len(session.scene))]
    answers = []
    for view in session.views:
        pixel = project(view.camera, view.T_world_cam, place[None])[0] + rng.normal(0, _PIXELS, (1, 2))
        size = np.array([view.camera.width, view.camera.height])
        seen = bool(((pixel > 0) & (pixel < size)).all())
        answers.append(Answer(view.name, "thing", pixel if seen else np.zeros((0, 2)), visible=seen))
    words = f"thing number {rng.integers(10**9)}"
    session.ask(PointSet((Query("thing", words),), tuple(answers)))


def _reconstruct(rng: np.random.Generator) -> None:
    """Reconstruct one scene with its grasps, write it and delete it."""
    folder = workspace() / "scene"
    config = RunConfig()
    answer = replace(config.answer, seed=int(rng.integers(10**6)))
    point2act.run(capture(), folder, config=replace(config, answer=answer))
    shutil.rmtree(folder)


def _repeat(work: Callable[[], None], times: int) -> list[Resources]:
    """Return the resources of the process after each call."""
    process, found = psutil.Process(), []
    for _ in range(times):
        work()
        gc.collect()
        megabytes = process.memory_info().rss / 1e6
        found.append(Resources(megabytes, process.num_fds(), threading.active_count()))
    return found


def _metrics(name: str, left: Sequence[Resources]) -> Iterator[Metric]:
    tenth = max(1, len(left) // 10)
    first, last = left[:tenth], left[-tenth:]
    before, after = (max(one.megabytes for one in some) for some in (first, last))
    yield Metric(f"soak.{name}", len(left), "", "higher")
    yield Metric(f"soak.{name}_megabytes", before, "MB")
    yield Metric(f"soak.{name}_growth_percent", 100 * (after / before - 1), "%")
    yield Metric(f"soak.{name}_files_left", last[-1].files - first[-1].files, "")
    yield Metric(f"soak.{name}_threads_left", last[-1].threads - first[-1].threads, "")


def _draw(path: Path, found: dict[str, list[Resources]]) -> None:
    """Plot the resident set over the calls."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(9, 3), sharey=True)
    for axis, (name, left) in zip(axes, found.items(), strict=True):
        axis.plot(range(1, len(left) + 1), [one.megabytes for one in left])
        axis.set_xlabel(name)
    axes[0].set_ylabel("resident set, MB")
    axes[0].set_ylim(0, 1.1 * max(one.megabytes for left in found.values() for one in left))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
