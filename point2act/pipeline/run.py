"""A run: capture → points → {relevancy of the Gaussians, posterior over parts} → region → grasps → files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from point2act.core.errors import CaptureError, PointsError, SceneError
from point2act.core.open3d_import import open3d
from point2act.core.types import Capture, PointSet, Query, View
from point2act.data.points import find_points
from point2act.pipeline.adaptive import EarlyFrames, adaptive_asking
from point2act.pipeline.answering import AnswerSource
from point2act.pipeline.planning import Planner
from point2act.pipeline.question_rounds import AdaptiveConfig
from point2act.pipeline.run_config import RunConfig, RunResult
from point2act.pipeline.session import Session
from point2act.pipeline.steps import Reconstructed, RunContext
from point2act.pipeline.stream import CaptureFollower, FollowConfig
from point2act.splatting.incremental import IncrementalConfig, IncrementalReconstruction
from point2act.vlm.pointing.ask import PointingJob, Questions
from point2act.vlm.pointing.mark_selector import MarkSelector
from point2act.vlm.pointing.point import Pointer, PointFunction
from point2act.vlm.pointing.questions import given_questions
from point2act.vlm.segmenters.segmenter import Segmenter, SegmentFunction


def run(
    capture: Path | str,
    output: Path | str | None = None,
    *,
    points: PointSet | Path | str | None = None,
    queries: Sequence[Query | str] | None = None,
    pointer: Pointer | PointFunction | None = None,
    questions: Questions | None = None,
    mark_selector: MarkSelector | None = None,
    adaptive: AdaptiveConfig | None = None,
    planner: Planner | None = None,
    segmenter: Segmenter | SegmentFunction | None = None,
    config: RunConfig = RunConfig(),
    resume: bool = False,
    show: bool = False,
) -> RunResult:
    """Turn a capture and points, recorded or asked for now, into grasps.

    Give one of ``points``, ``queries`` with ``pointer``, or ``questions``. Without any, the points.json in
    the capture is read; without that, only the scene is made.

    Args:
        capture: Folder with ``transforms.json``.
        output: Folder for ``grasps.json``, ``scene.ply``, ``geometry.ply``, ``relevancy.ply``,
            ``report.html``, ``timings.json``, ``run.json`` and, if a model was asked, ``points.json``. None
            writes nothing.
        points: Recorded queries and answers, or the path of a points.json.
        queries: What to find. Plain text, such as ``"the mug's handle"``, is to be grasped.
        pointer: Where a query is in an image: a function that takes the RGB image (h, w, 3) uint8 and the
            query's text and returns pixels ``(x, y)``, none if the thing is not visible; or a ``Pointer``.
        questions: Queries for a vision-language model, see ``open_questions`` and ``open_task``; asked
            while the images are loaded and placed in the scene.
        mark_selector: Model that also selects among numbered regions (set-of-mark prompting).
        adaptive: Ask one question at a time, until a query is sure; None asks about every image.
        planner: Grasp planner in place of the antipodal one: called with the region, the surface around it
            (points and normals in the world frame, metres) and the gripper; returns grasps, best first.
        segmenter: Where things end: a function of the RGB image (h, w, 3) uint8, pixels of the thing (p, 2)
            and pixels of other things (n, 2) that returns masks (m, h, w) and their scores (m,) in [0, 1]; or
            a ``Segmenter``, see ``open_segmenter``. Regions then end where the masks do.
        config: All options.
        resume: Go on with an interrupted run in ``output``, if the capture and the options of the
            reconstruction have not changed.
        show: Draw progress bars on a terminal, and log stages at level INFO in place of DEBUG.

    Returns:
        Results in the capture's world frame.

    Raises:
        Point2ActError: The message says what to fix.
    """
    questions = given_questions(queries, pointer, questions)
    if questions is not None and points is not None:
        raise PointsError("points are answers already: give either points or queries")
    asker = adaptive_asking(questions, mark_selector, adaptive)
    context = RunContext.create(
        config, output, resume=resume, planner=planner, segmenter=segmenter, show=show
    )
    asked = questions if asker is None else asker.questions
    with PointingJob(asked) if asked is not None else nullcontext() as asking:
        with context.stages.stage("read the capture") as bar:
            source = context.loader.read(capture)
            known = _known(source, points) if asking is None else None
            used = context.select_views(source, known, bar)
            if asking is not None:
                asking.add(used.frames if asker is None else asker.first(used.frames))
            views = context.load_views(used, bar)
        if asking is not None:
            asking.finish(used.frames, views)
        answers = AnswerSource(known, asking, asker or mark_selector)
        context.load_dependencies(grasps=answers.exists and context.metric(source))
        return context.finish(source, context.reconstruct(source, views, answers), answers)


def build(capture: Path | str, *, config: RunConfig = RunConfig(), show: bool = False) -> Session:
    """Make a capture's scene and return it as a session, without asking anything yet.

    Args:
        capture: Folder with ``transforms.json``.
        config: All options.
        show: Draw progress bars on a terminal.

    Raises:
        Point2ActError: The message says what to fix.
    """
    context = RunContext.create(config, None, show=show)
    source, views = _read(context, capture)
    context.load_dependencies(grasps=context.metric(source))
    built = context.reconstructor(source).reconstruct(views)
    metric, device = context.metric(source), context.device
    return Session(source, built.views, built.scene, metric, device, geometry=built.geometry)


def _read(context: RunContext, capture: Path | str) -> tuple[Capture, tuple[View, ...]]:
    """Read a capture and load the views of it that are used."""
    with context.stages.stage("read the capture") as bar:
        source = context.loader.read(capture)
        return source, context.load_views(context.select_views(source, None, bar), bar)


def place(capture: Path | str, *, config: RunConfig = RunConfig()) -> Session:
    """Make a session on Gaussians that are placed on the depth of a capture and not fitted to its colours.

    Queries and grasps are the same as after a fit, which is for pictures.

    Args:
        capture: Folder with ``transforms.json``.
        config: All options.

    Raises:
        Point2ActError: The message says what to fix.
    """
    context = RunContext.create(config, None, show=False)
    source, views = _read(context, capture)
    reconstructor = context.reconstructor(source)
    placed = reconstructor.place(views, reconstructor.refine(views))
    return Session(
        source,
        placed.views,
        placed.initial.scene,
        context.metric(source),
        context.device,
        geometry=placed.geometry,
    )


def follow(
    capture: Path | str,
    output: Path | str | None = None,
    *,
    queries: Sequence[Query | str] | None = None,
    pointer: Pointer | PointFunction | None = None,
    questions: Questions | None = None,
    mark_selector: MarkSelector | None = None,
    adaptive: AdaptiveConfig | None = None,
    planner: Planner | None = None,
    segmenter: Segmenter | SegmentFunction | None = None,
    config: RunConfig = RunConfig(),
    following: FollowConfig = FollowConfig(),
    grow: IncrementalConfig = IncrementalConfig(),
    show: bool = False,
) -> RunResult:
    """Turn a capture that is still being made into grasps soon after its last image.

    Images are asked about as they arrive, and the scene is extended with their depth. The capture is complete
    when its ``transforms.json`` says ``"complete": true``, as ``CaptureWriter`` writes it, or when no image
    has come for ``following.quiet`` seconds. The result depends on the images and their order alone, not on
    when they came: starting again after an interruption gives the same, and asks nothing again.

    Args:
        capture: Folder with ``transforms.json``, or where it will appear.
        output: Folder to write to, as ``run`` does.
        queries: What to find, as for ``run``.
        pointer: Where a query is in an image, as for ``run``.
        questions: Queries for a vision-language model, as for ``run``.
        mark_selector: Model that also selects among numbered regions.
        adaptive: Ask one question at a time once the scene is made, as ``run`` does.
        planner: Grasp planner in place of the antipodal one.
        segmenter: Where things end, as for ``run``.
        config: All options of a run.
        following: Time limits.
        grow: How the scene is extended.
        show: Draw progress bars on a terminal.

    Raises:
        Point2ActError: The message says what to fix.
    """
    questions = given_questions(queries, pointer, questions)
    asker = adaptive_asking(questions, mark_selector, adaptive)
    context = RunContext.create(
        config, output, incremental=True, planner=planner, segmenter=segmenter, show=show
    )
    scene: IncrementalReconstruction | None = None
    asked = questions if asker is None else asker.questions
    with (
        PointingJob(asked) if asked is not None else nullcontext() as asking,
        CaptureFollower(capture, context.loader, config=following) as follower,
    ):
        early = None if asking is None else asking.add if asker is None else EarlyFrames(asking.add, asker)
        follower.start(early or (lambda frames: None))
        context.load_dependencies(grasps=False)
        # While there is nothing else to do. If it is missing, that is an error only once it is needed.
        with suppress(SceneError):
            open3d()
        for source, views in follower.arrivals(context.stages):
            if scene is None:
                if context.metric(source):
                    open3d()
                scene = IncrementalReconstruction(context.reconstructor(source), grow)
            scene.add(views)
            while scene.due:
                scene.extend()
        source, views = follower.capture, follower.views
        if source is None or scene is None:
            raise CaptureError(f"{capture} has no images: none arrived in time")
        known = find_points(source) if asking is None else None
        if asking is not None:
            asking.finish(source.frames, views)
        answers = AnswerSource(known, asking, asker or mark_selector)
        last = scene.place()
        early = context.answer_placed(source, last.placed, answers)
        return context.finish(source, Reconstructed(scene.build(last), early), answers)


def _known(source: Capture, points: PointSet | Path | str | None) -> PointSet | None:
    """Return recorded points, if there are any."""
    return points if isinstance(points, PointSet) else find_points(source, points)
