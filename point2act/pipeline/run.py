"""The way through: capture → points → heatmaps → relevancy → region → grasps → files."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path

from point2act.core.errors import CaptureError, SceneError
from point2act.core.types import Capture, PointSet
from point2act.data.capture import read_capture
from point2act.grasping.tsdf import open3d
from point2act.pipeline.session import Session, find_points
from point2act.pipeline.steps import RunConfig, RunContext, RunResult
from point2act.pipeline.stream import CaptureFollower, FollowConfig
from point2act.splatting.incremental import IncrementalConfig, IncrementalReconstruction
from point2act.vlm.pointing.ask import PointingJob, Questions, wait_for_answers
from point2act.vlm.pointing.mark_selector import MarkSelector


def run(
    capture: Path | str,
    output: Path | str | None = None,
    *,
    points: PointSet | Path | str | None = None,
    questions: Questions | None = None,
    chooser: MarkSelector | None = None,
    config: RunConfig = RunConfig(),
    resume: bool = False,
    show: bool = False,
) -> RunResult:
    """Turn a captured scene and points, recorded or asked for now, into grasps, in one process.

    ``capture`` is a folder with ``transforms.json``. ``questions`` are asked of a model while the scene
    is made; else ``points`` defaults to ``points.json`` in the capture, and without any only the scene
    is made. A ``chooser`` then says which of the likeliest places is meant. With ``output``, writes
    ``grasps.json``, ``scene.ply``, ``relevancy.ply``, ``report.html``, ``timings.json`` and ``run.json``
    there, for ``open_run`` to ask the scene more, and ``points.json`` where a model
    was asked. ``resume`` goes on with what a run that was cut off left there, if the capture and the ways to
    make a scene are still the same. ``show`` draws progress bars on a terminal; elsewhere stages are logged
    to ``point2act.core.progress``, with ``show`` at level INFO, else DEBUG. Raises a
    ``Point2ActError`` that says what to mend.
    """
    context = RunContext.begin(config, output, resume=resume, show=show)
    with PointingJob(questions) if questions is not None else nullcontext() as asking:
        with context.stages.stage("read the capture") as tick:
            source = read_capture(capture, allow_outside=config.allow_outside)
            known = _known(source, points) if asking is None else None
            used = context.thinned(source, known, tick)
            if asking is not None:
                asking.look(used.frames)
            views = context.load_views(used, tick)
        if asking is not None:
            asking.end(used.frames, views)
        context.load(grasps=(asking is not None or known is not None) and context.metric(source))
        built = context.reconstruct(source, views)
        answers = None if asking is None else wait_for_answers(asking, context.stages)
    return context.conclude(source, built, known, answers, chooser)


def build(capture: Path | str, *, config: RunConfig = RunConfig(), show: bool = False) -> Session:
    """Make a capture's scene, and ask it nothing yet.

    Raises a ``Point2ActError`` that says what to mend.
    """
    context = RunContext.begin(config, None, show=show)
    with context.stages.stage("read the capture") as tick:
        source = read_capture(capture, allow_outside=config.allow_outside)
        views = context.load_views(context.thinned(source, None, tick), tick)
    context.load(grasps=context.metric(source))
    built = context.reconstructor(source).reconstruct(views)
    return Session(source, built.views, built.scene, context.metric(source), context.device)


def follow(
    capture: Path | str,
    output: Path | str | None = None,
    *,
    questions: Questions | None = None,
    chooser: MarkSelector | None = None,
    config: RunConfig = RunConfig(),
    following: FollowConfig = FollowConfig(),
    grow: IncrementalConfig = IncrementalConfig(),
    show: bool = False,
) -> RunResult:
    """Like ``run``, on a capture that is still being made: ready soon after its last image.

    Images are asked about as they come, and the scene grows from their depth. The capture ends when its
    ``transforms.json`` says ``"complete": true``, as ``CaptureWriter`` writes it,
    or when it has been quiet for long enough. What comes out depends on the images alone, not on when they
    came: to begin again after a break gives the same, and asks nothing that was answered.
    """
    context = RunContext.begin(config, output, grown=True, show=show)
    growing: IncrementalReconstruction | None = None
    with (
        PointingJob(questions) if questions is not None else nullcontext() as asking,
        CaptureFollower(
            capture, max_side=config.max_side, allow_outside=config.allow_outside, config=following
        ) as follower,
    ):
        follower.start(seen=asking.look if asking is not None else lambda frames: None)
        context.load(grasps=False)
        # While nothing is there to do. Where it cannot start, that is said when it is needed.
        with suppress(SceneError):
            open3d()
        for source, views in follower.arrivals(context.stages):
            if growing is None:
                if context.metric(source):
                    open3d()
                growing = IncrementalReconstruction(context.reconstructor(source), grow)
            growing.add(views)
            while growing.due:
                growing.extend()
        source, views = follower.capture, follower.views
        if source is None or growing is None:
            raise CaptureError(f"{capture} has no images: nothing came before it was quiet for too long")
        known = _known(source, None) if asking is None else None
        if asking is not None:
            asking.end(source.frames, views)
        built = growing.finish()
        answers = None if asking is None else wait_for_answers(asking, context.stages)
    return context.conclude(source, built, known, answers, chooser)


def _known(source: Capture, points: PointSet | Path | str | None) -> PointSet | None:
    """What was answered before, where there is anything."""
    return points if isinstance(points, PointSet) else find_points(source, points)
