"""A scene that grows in memory with the views of a robot's camera, ready for questions at any time.

Nothing is read from or written to disk. The views of a camera callback become Gaussians on measured surfaces
as ``follow`` makes them of a folder, and give the same results; for pictures they would also be fitted, which
is left out here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError, PointsError
from point2act.core.geometry import opengl_to_opencv
from point2act.core.progress import Stages
from point2act.core.types import (
    Camera,
    Capture,
    Frame,
    GaussianScene,
    Lens,
    PointSet,
    Query,
    QueryResult,
    View,
)
from point2act.data.capture import load_view
from point2act.data.capture.validators import positive, rigid
from point2act.data.capture.view_selection import most_redundant
from point2act.data.capture.write import check_camera
from point2act.data.points import read_points
from point2act.grasping.end_effector import EndEffector
from point2act.pipeline.adaptive import adaptive_asking
from point2act.pipeline.answering import AnswerSource
from point2act.pipeline.image_input import MILLIMETRES, check_depth, check_images, metres
from point2act.pipeline.planning import Planner
from point2act.pipeline.question_rounds import AdaptiveConfig
from point2act.pipeline.run_config import RunConfig, RunResult
from point2act.pipeline.session import Session
from point2act.pipeline.steps import RunContext
from point2act.splatting.incremental import GrowingSurface, IncrementalConfig
from point2act.vlm.pointing.ask import Answers, PointingJob, Questions
from point2act.vlm.pointing.mark_selector import MarkSelector
from point2act.vlm.pointing.point import Pointer, PointFunction
from point2act.vlm.pointing.questions import given_questions
from point2act.vlm.segmenters.segmenter import Segmenter, SegmentFunction


class LiveSession:
    """A scene in memory, made by ``Session.start``.

    ::

        session = point2act.Session.start(camera)
        name = session.add_view(rgb, depth, T_world_cam)  # from the camera's callback, as often as it comes
        result = session.ask(queries=["the mug's handle"], pointer=pointer)

    Every method may be called from any thread. ``add_view`` returns at once; the scene grows in one thread of
    its own, which also answers the questions, one after the other. A result depends on the views that were
    kept and their order alone, and is that of ``follow`` on them.

    At most ``config.max_views`` views are kept. Beyond that each new view displaces the one that the others
    miss least, often itself: of the two that are nearest to each other by camera position and direction, the
    one that is nearer to a third. A scene that has lost a view is made anew at the next question.
    """

    def __init__(self, context: RunContext, camera: Camera, empty: Capture, grow: IncrementalConfig):
        self._context, self._camera, self._empty, self._grow = context, camera, empty, grow
        self._lock = threading.Lock()
        # Replaced under the lock and never changed, so that who reads them has a state of one moment.
        self._frames: tuple[Frame, ...] = ()
        self._count = 0
        self._growing: Future[None] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scene")
        # Of the worker alone.
        self._surface: GrowingSurface | None = None
        self._session: Session | None = None

    @property
    def capture(self) -> Capture:
        """The views that are kept, in the order in which they came."""
        return replace(self._empty, frames=self._frames)

    @property
    def gripper(self) -> EndEffector:
        """The gripper or the hand that grasps are planned for."""
        return self._context.gripper

    def add_view(self, rgb: np.ndarray, depth: np.ndarray, T_world_cam: np.ndarray) -> str:
        """Add a view; the arrays are copied.

        Args:
            rgb: Undistorted 8-bit colours, (h, w, 3), of the camera's size.
            depth: z-depth of every pixel, (h, w), registered to the colours: integers in units of
                ``depth_unit`` (millimetres by default), or metres as floats. 0 and values that are not finite
                are missing readings.
            T_world_cam: Rigid transform from the camera (x right, y down, z forward) to the world, metres.

        Returns:
            The name of the view, ``images/0000.png`` and so on, by which answers refer to it.

        Raises:
            CaptureError: A size, a type, the pose or the unit of depth is wrong, or depth has no reading; the
                session is as before.
        """
        view = self._checked(np.asarray(rgb), np.asarray(depth), T_world_cam)
        with self._lock:
            name = _name(self._count)
            self._count += 1
            view = replace(view, name=name)
            frame = Frame(name, Path(name), None, None, view.camera, Lens(), view.T_world_cam, view)
            frames = (*self._frames, frame)
            if len(frames) > self._context.config.max_views:
                lost = most_redundant(frames)
                frames = frames[:lost] + frames[lost + 1 :]
            self._frames = frames
            if self._growing is None or self._growing.done():
                self._growing = self._worker.submit(self._extend)
        return name

    def ask(
        self,
        points: PointSet | Answers | Path | str | None = None,
        *,
        queries: Sequence[Query | str] | None = None,
        pointer: Pointer | PointFunction | None = None,
        questions: Questions | None = None,
        mark_selector: MarkSelector | None = None,
        adaptive: AdaptiveConfig | None = None,
    ) -> RunResult:
        """Localize queries in the views so far and plan for them; views may be added meanwhile.

        Give one of ``points``, ``queries`` with ``pointer``, or ``questions``.

        Args:
            points: Queries and answers, in pixels of the views that ``add_view`` named, or the path of a
                points.json. Answers in views that were not kept do not count.
            queries: What to find, as for ``run``.
            pointer: Where a query is in an image, as for ``run``.
            questions: Queries for a vision-language model, see ``open_questions``.
            mark_selector: Model that also selects among numbered regions.
            adaptive: Ask one question at a time, until a query is sure; None asks about every view.

        Returns:
            Results in the world frame of the poses. Before the first view they are empty, with the reason
            ``no_geometry``. The scene is not fitted, and there is no ``psnr``.

        Raises:
            Point2ActError: The points do not belong to the views, or a model has no answer.
        """
        asked = given_questions(queries, pointer, questions)
        if (points is None) == (asked is None):
            raise PointsError("give either points, or queries with a pointer")
        capture = self.capture
        known = None if points is None else self._known(points, capture)
        if not capture.frames:
            return _nothing_seen(known or PointSet(asked.queries if asked else (), ()))
        asker = adaptive_asking(asked, mark_selector, adaptive)
        first = asked if asker is None else asker.questions
        with PointingJob(first) if first is not None else nullcontext() as asking:
            if asking is not None:
                asking.add(capture.frames if asker is None else asker.first(capture.frames))
                asking.finish(capture.frames, self._views(capture))
            answers = AnswerSource(known, asking, asker or mark_selector)
            return self._worker.submit(self._answer, answers).result()

    def _known(self, points: PointSet | Answers | Path | str, capture: Capture) -> PointSet:
        """Return given points, whose images have to be views that were added."""
        if isinstance(points, Answers):
            points = points.points
        if not isinstance(points, PointSet):
            return read_points(points, capture)
        for answer in (*points.answers, *points.choices):
            if not self._added(answer.image):
                raise PointsError(
                    f"an answer is about the image {answer.image!r}, and no view has that name: use the "
                    "names that add_view returns"
                )
        return points

    def _added(self, name: str) -> bool:
        """Return whether a view of this name was added, kept or not."""
        digits = name[len("images/") : -len(".png")]
        return digits.isdecimal() and int(digits) < self._count and name == _name(int(digits))

    def _checked(self, rgb: np.ndarray, depth: np.ndarray, T_world_cam: object) -> View:
        """Return a copy of a view that can be used, still without a name."""
        camera = self._camera
        check_images(rgb, depth)
        if rgb.shape[:2] != (camera.height, camera.width):
            raise CaptureError(
                f"the images have {rgb.shape[1]}x{rgb.shape[0]} pixels and the camera has "
                f"{camera.width}x{camera.height}: start the session with the camera of these images"
            )
        measured = metres(depth, self._empty.depth_unit)
        rigid(T_world_cam, "T_world_cam")
        # As CaptureWriter writes a pose and read_capture reads it, to the last bit.
        pose = opengl_to_opencv(
            rigid(opengl_to_opencv(np.array(T_world_cam, dtype=np.float64)), "T_world_cam")
        )
        view = View("", camera, pose, rgb.copy(), measured)
        check_depth(view)
        return view

    def _views(self, capture: Capture) -> tuple[View, ...]:
        """Return the views of frames in memory, reduced as ``follow`` reduces them."""
        max_side = self._context.config.max_side
        return tuple(load_view(capture, frame, max_side=max_side) for frame in capture.frames)

    # ── in the worker ──────────────────────────────────────────────────────────────────────────
    def _extend(self) -> None:
        """Extend the surface by the views that are due."""
        capture = self.capture
        if self._surface is not None and not _is_prefix(self._surface.views, capture):
            return  # With views that keep being displaced, it would be made anew for each of them.
        surface = self._surface_of(capture, self._fresh_context())
        while surface.due:
            surface.extend()

    def _answer(self, asked: AnswerSource) -> RunResult:
        """Answer on the views so far; those that have come since the question was asked are among them."""
        context = self._fresh_context()
        session = self._session_of(self.capture, context)
        answered = context.answer(session, asked)
        assert answered is not None, "nothing is asked"
        return RunResult(
            results=answered.results.results,
            points=answered.points,
            scene=session.scene,
            relevancy=answered.results.relevancy,
            psnr=None,
            timings=dict(context.stages.seconds),
        )

    def _fresh_context(self) -> RunContext:
        """Return the context with a timer of its own, as a session may last for days."""
        return replace(self._context, stages=Stages(show=False))

    def _session_of(self, capture: Capture, context: RunContext) -> Session:
        """Return a session on a capture's views, the last one if they are the same."""
        if self._session is None or self._session.capture.frames != capture.frames:
            self._session = None
            placed = self._surface_of(capture, context).place().placed
            self._session = context.session(capture, placed.views, placed.initial.scene)
        return self._session

    def _surface_of(self, capture: Capture, context: RunContext) -> GrowingSurface:
        """Return the surface with all views of a capture, made anew if it has others."""
        surface = self._surface
        if surface is None or not _is_prefix(surface.views, capture):
            surface = GrowingSurface(context.reconstructor(capture), self._grow)
        surface.reconstructor = context.reconstructor(capture)
        new = capture.frames[len(surface.views) :]
        surface.add(self._views(replace(capture, frames=new)))
        self._surface = surface
        return surface


def start_session(
    camera: Camera,
    *,
    T_base_world: Float[np.ndarray, "4 4"] | None = None,
    depth_unit: float = MILLIMETRES,
    planner: Planner | None = None,
    segmenter: Segmenter | SegmentFunction | None = None,
    config: RunConfig | None = None,
    grow: IncrementalConfig | None = None,
) -> LiveSession:
    """Start a session in memory, see ``Session.start``."""
    config = config or RunConfig()
    check_camera("the session", camera)
    if config.max_views < 1:
        raise CaptureError(f"max_views is {config.max_views}: give 1 or more")
    if config.answer.arm is not None and T_base_world is None:
        raise CaptureError(
            f"grasps for the arm '{config.answer.arm}' need its pose: give T_base_world, a 4x4 matrix from "
            "the world frame to its base"
        )
    base = None if T_base_world is None else rigid(T_base_world, "T_base_world")
    empty = Capture(Path(), (), positive(depth_unit, "depth_unit"), None, base, metric=True)
    context = RunContext.create(
        config, None, incremental=True, planner=planner, segmenter=segmenter, show=False
    )
    context.load_dependencies(grasps=True)
    return LiveSession(context, camera, empty, grow or IncrementalConfig())


def _name(number: int) -> str:
    """Return the name of a view, as ``CaptureWriter`` would name its image."""
    return f"images/{number:04}.png"


def _is_prefix(views: Sequence[View], capture: Capture) -> bool:
    """Return whether these views are a capture's first ones."""
    return [frame.name for frame in capture.frames[: len(views)]] == [view.name for view in views]


def _nothing_seen(points: PointSet) -> RunResult:
    """Return the result of queries before the first view."""
    detail = "no view was added yet: add views of the thing, then ask again"
    results = tuple(QueryResult(query, None, reason="no_geometry", detail=detail) for query in points.queries)
    none = np.zeros((0, 3))
    scene = GaussianScene(none, np.zeros((0, 4)), none, np.zeros(0), np.zeros((0, 1, 3)))
    return RunResult(results, points, scene, None, None, {})
