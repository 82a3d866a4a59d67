"""Tasks on one scene: the scene is made once, and every task is answered on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from point2act.core.errors import FleetError, Point2ActError
from point2act.core.open3d_import import open3d
from point2act.core.types import Capture, PointSet
from point2act.data.points import read_points
from point2act.data.resume import fingerprint
from point2act.data.scene_ply import as_stored, write_relevancy_ply
from point2act.fleet.identity import Task
from point2act.fleet.manifest import JobOptions
from point2act.fleet.store import FIELD, GRASPS, Outcome, Store
from point2act.grasping.grasps_json import write_grasps
from point2act.pipeline.answering import AnswerSource
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.run_config import RunConfig
from point2act.pipeline.session import Session
from point2act.pipeline.steps import RunContext
from point2act.splatting.cpu.compile_kernels import warm_up
from point2act.splatting.reconstruct import ReconstructionConfig

_log = logging.getLogger(__name__)


@cache
def prepare() -> None:
    """Import what every task needs, and compile the kernels or read them from their cache."""
    open3d()
    warm_up(compiling=lambda: None)


def attempt(store: Store, tasks: Sequence[Task], scenes: Scenes) -> str | None:
    """Solve tasks as ``solve`` does; return why that ended early, if it did."""
    try:
        solve(store, tasks, scenes)
    except Point2ActError as err:
        return str(err)
    return None


def solve(store: Store, tasks: Sequence[Task], scenes: Scenes) -> None:
    """Solve tasks on the same scene that are not solved yet, and write how each of them ended.

    Args:
        store: Where results are written.
        tasks: Tasks with the same ``scene``, whose answers are known.
        scenes: Keeps the scene for the next tasks.

    Raises:
        Point2ActError: The store cannot be written, or a capture has changed.
    """
    with store.working():
        for task in tasks:
            if store.find(task) is None and not store.copy_equal(task):
                store.record(task, _solved(store, task, scenes))


def _solved(store: Store, task: Task, scenes: Scenes) -> Outcome:
    """Return how a task ended, whose grasps are written."""
    start, scene_seconds = time.perf_counter(), 0.0
    stages: dict[str, float] = {}
    error = None
    try:
        context = RunContext.create(run_config(task.options), None, show=False)
        stages = context.stages.seconds
        capture, points = _read(task, context)
        before = time.perf_counter()
        session = scenes.session(task, context, capture, points)
        scene_seconds = time.perf_counter() - before
        answered = context.answer(session, AnswerSource(points, None, None))
        assert answered is not None
        write_grasps(
            store.job(task) / GRASPS,
            answered.results.results,
            capture=capture,
            gripper=answered.results.gripper,
            plan=answered.results.plan,
        )
        if task.options.fields:
            write_relevancy_ply(store.job(task) / FIELD, session.scene, answered.results.relevancy)
    except FleetError:
        raise
    except Point2ActError as err:
        error = str(err)
    except Exception as err:
        _log.debug("%s", task.capture, exc_info=True)
        error = f"{type(err).__name__}: {err} (please report it)"
    seconds = time.perf_counter() - start
    rounded = {name: round(value, 3) for name, value in stages.items()}
    status = "done" if error is None else "failed"
    return Outcome(status, round(seconds, 3), error, rounded, round(scene_seconds, 3))


def _read(task: Task, context: RunContext) -> tuple[Capture, PointSet]:
    with context.stages.stage("read the capture"):
        capture = context.loader.read(task.capture)
        if fingerprint(capture) != task.files:
            raise FleetError(f"{task.capture} has changed since the batch has started: start it again")
        return capture, read_points(task.points, capture)


@dataclass
class Scenes:
    """The scene that was made last, or why it cannot be made."""

    _of: tuple[object, ...] = ()
    _made: Session | Exception | None = None

    def session(self, task: Task, context: RunContext, capture: Capture, points: PointSet) -> Session:
        """Return the scene of the views that a run with these points uses."""
        with context.stages.stage("read the capture") as bar:
            used = context.select_views(capture, points, bar)
        of = (task.scene, task.files, *(frame.name for frame in used.frames))
        if self._made is None or of != self._of:
            # The former scene is freed before the next one is made.
            self._of, self._made = of, None
            try:
                self._made = _session(context, capture, used)
            except Exception as err:
                self._made = err
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


def _session(context: RunContext, capture: Capture, used: Capture) -> Session:
    """Make a scene as a run does: with depth, queries are answered on the Gaussians before a fit."""
    with context.stages.stage("read the capture") as bar:
        views = context.load_views(used, bar)
    reconstructor = context.reconstructor(capture)
    placed = reconstructor.place(views, reconstructor.refine(views))
    if placed.geometry is not None:
        return context.session(capture, placed.views, placed.geometry)
    built = reconstructor.build(placed)
    return context.session(capture, built.views, as_stored(built.scene))


def run_config(options: JobOptions) -> RunConfig:
    """Return the configuration of ``point2act run`` with the options of a job."""
    answer = AnswerConfig(
        gripper=options.gripper,
        arm=options.arm,
        metric=options.metric,
        sensor=options.sensor,
        seed=options.seed,
    )
    config = RunConfig(max_side=options.max_side, max_views=options.max_views, device=options.device)
    build = replace(ReconstructionConfig(), refine_poses=options.refine_poses)
    return replace(config, answer=answer, build=build, allow_outside=options.allow_outside)
