"""Interactive session: points, queries and grippers of one scene change, and results follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.errors import Point2ActError
from point2act.core.types import (
    Answer,
    Plan,
    PointSet,
    ProgressCallback,
    Query,
    Role,
    View,
)
from point2act.data.capture import disk_to_view, load_view, view_to_disk
from point2act.data.points import PERSON, write_points
from point2act.grasping.end_effector import EndEffector, load_end_effector
from point2act.localization.heatmaps import heatmap
from point2act.localization.support import visible_at
from point2act.pipeline.adaptive import ask_adaptively
from point2act.pipeline.fused_surface import SurfaceCloud, fused_surface
from point2act.pipeline.interactive_state import Photo, State
from point2act.pipeline.planning import Robot, chosen_end_effector, find_robot, planned_for
from point2act.pipeline.query import AnswerConfig, Localization
from point2act.pipeline.question_rounds import AdaptiveConfig
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import SessionResult
from point2act.splatting.intersection import intersect_ray
from point2act.vlm.pointing.ask import PointingJob, Questions
from point2act.vlm.pointing.mark_selector import ModelMarkSelector
from point2act.vlm.pointing.point import ModelPointer
from point2act.vlm.pointing.questions import name_queries

# Longer side of the photos that are shown, pixels, and how many are kept in memory. Chosen: a screen's worth.
_PHOTO_SIDE = 1280
_KEPT_PHOTOS = 8
# Number of changes of answers that can be taken back. Chosen.
_MAX_UNDO = 50

QuestionFactory = Callable[[Sequence[Query]], Questions]
"""Makes questions for a model that is configured."""


class InteractiveSession:
    """Queries to one scene whose points, gripper and results change over time.

    ``point``, ``retract``, ``add`` and ``ask`` change the points, which are written to a points.json at once;
    ``localize`` then computes a query again and ``plan`` plans for it. Only one thread may call methods;
    any thread may read ``state``.

    Args:
        session: The scene.
        points: Queries and answers to start with; nothing is computed yet.
        keep: The points.json that is written when points change.
        config: How to localize and plan.
        make_questions: Makes questions for a model; None if there is no model.
        adaptive: Ask one question at a time, until a query is sure; None asks about every image.
    """

    def __init__(
        self,
        session: Session,
        points: PointSet,
        *,
        keep: Path,
        config: AnswerConfig = AnswerConfig(),
        make_questions: QuestionFactory | None = None,
        adaptive: AdaptiveConfig | None = None,
    ):
        self.session, self.keep, self.config, self.make_questions = session, keep, config, make_questions
        self.adaptive = adaptive
        self.state = State(points, chosen_end_effector(config))
        self._frames = {frame.name: frame for frame in session.capture.frames}
        self._poses = {view.name: view.T_world_cam for view in session.views}
        self._photos: dict[str, View] = {}
        self._fused: tuple[Localization | None, SurfaceCloud | None] = (None, None)
        self._earlier: list[tuple[Answer, ...]] = []
        self._robot: tuple[EndEffector | None, Robot | None] = (None, None)

    @property
    def images(self) -> tuple[str, ...]:
        """Names of all images that can be pointed at."""
        return tuple(view.name for view in self.session.views)

    @property
    def robot(self) -> Robot | None:
        """The arm that grasps are planned for, and where it stands; loaded once for each gripper.

        None for a hand, which no arm is modelled with.
        """
        gripper = self.state.gripper
        if self._robot[0] is not gripper:
            self._robot = gripper, find_robot(self.session.capture, gripper, config=_modelled(self.config))
        return self._robot[1]

    # ── queries and answers ─────────────────────────────────────────────────────────────────
    def add(self, text: str, role: Role) -> Query:
        """Add a query without answers.

        Raises:
            PointsError: The text is empty.
        """
        (query,) = name_queries([(text, role)], taken=[other.name for other in self.state.points.queries])
        self._keep(replace(self.state.points, queries=(*self.state.points.queries, query)))
        return query

    def point(self, query: str, image: str, pixel: Float[np.ndarray, "2"] | None) -> None:
        """Record a person's answer: a pixel of the image on disk, or None for "not visible"."""
        others = _without(self.state.points.answers, query, image)
        self._keep(replace(self.state.points, answers=(*others, _by_person(query, image, pixel))))

    def point_in_scene(
        self, query: str, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]
    ) -> int:
        """Record a person's answer: a point of the surface, seen along a ray.

        It becomes an answer in every image that sees the point.

        Args:
            query: Name of the query.
            origin: Start of the ray, world.
            direction: Direction of the ray, world.

        Returns:
            The number of images that got the answer.

        Raises:
            Point2ActError: The ray meets no surface, or no camera sees the point. Nothing changes.
        """
        point = intersect_ray(self.session.scene, origin, direction)
        if point is None:
            raise Point2ActError("there is nothing under this click: click on a surface")
        views, surfaces = self.session.views, self.session.surfaces
        seen = [
            (view, pixel)
            for view, surface in zip(views, surfaces, strict=True)
            if (pixel := visible_at(point, view, surface.depth)) is not None
        ]
        if not seen:
            raise Point2ActError("no camera saw this point: click on another one, or open a photograph")
        answers = self.state.points.answers
        for view, pixel in seen:
            at = self.on_disk(view.name, view, pixel)
            answers = (*_without(answers, query, view.name), _by_person(query, view.name, at))
        self._keep(replace(self.state.points, answers=answers))
        return len(seen)

    def undo(self) -> bool:
        """Take back the last change of a person's answers, and return whether there was one."""
        if not self._earlier:
            return False
        answers = self._earlier.pop()
        known = {query.name for query in self.state.points.queries}
        self._write(replace(self.state.points, answers=tuple(a for a in answers if a.query in known)))
        return True

    def retract(self, query: str, image: str) -> bool:
        """Remove a person's answer to a query in an image, and return whether there was one."""
        left = _without(self.state.points.answers, query, image)
        changed = len(left) < len(self.state.points.answers)
        if changed:
            self._keep(replace(self.state.points, answers=left))
        return changed

    def ask(self, query: Query, progress: ProgressCallback | None = None) -> list[str]:
        """Ask the model about a query; its answers replace those of earlier models.

        Returns:
            A sentence for each reason why images have no answer.

        Raises:
            Point2ActError: There is no model, or it does not answer at all.
        """
        if self.make_questions is None:
            raise Point2ActError("there is no model to ask: start the viewer with --model")
        session, questions = self.session, self.make_questions([query])
        if self.adaptive is None:
            with PointingJob(questions) as asking:
                asking.add(session.frames)
                asking.finish(session.frames, session.views)
                update = None if progress is None else lambda count: progress(count.done, count.total)
                answers = asking.answers(update)
            found, warnings = answers.points, answers.warnings()
        else:
            found, warnings = self._ask_adaptively(questions, self.adaptive, progress)
        others = [a for a in self.state.points.answers if a.query != query.name or a.model == PERSON]
        choices = [choice for choice in self.state.points.choices if choice.query != query.name]
        self._keep(
            replace(
                self.state.points,
                answers=(*others, *found.answers),
                choices=(*choices, *found.choices),
            )
        )
        return warnings

    def _ask_adaptively(
        self, questions: Questions, config: AdaptiveConfig, progress: ProgressCallback | None
    ) -> tuple[PointSet, list[str]]:
        pointer = questions.pointer
        found = ask_adaptively(
            self.session,
            PointSet(questions.queries, ()),
            pointer,
            ModelMarkSelector.of(pointer) if isinstance(pointer, ModelPointer) else None,
            side=questions.side,
            answer=self.config,
            config=config,
            progress=progress,
        )
        return found.points, [f"not answered: {error}" for error in found.errors]

    def _keep(self, points: PointSet) -> None:
        """Write changed points; answers that differ can be taken back."""
        if points.answers != self.state.points.answers:
            self._earlier = [*self._earlier[-_MAX_UNDO + 1 :], self.state.points.answers]
        self._write(points)

    def _write(self, points: PointSet) -> None:
        write_points(self.keep, points)
        self.state = replace(self.state, points=points)

    def photo(self, query: str | None, image: str) -> Photo:
        """Return an image, undistorted, at its refined pose, with the answers to a query."""
        view = self._large(image)
        answers = () if query is None else self.state.answers(query, image)
        if not answers:
            return Photo(view, None, None)
        points = np.concatenate([answer.points for answer in answers])
        pixels = disk_to_view(self._frames[image], view, points)
        heat = heatmap(view.camera, pixels, config=self.config.heatmap).astype(np.float64)
        return Photo(view, pixels, heat)

    def surface(self, query: str | None) -> SurfaceCloud | None:
        """Return the surface that a query's grasps are planned on; None if it is not localized."""
        localization = self.state.localized.get(query or "")
        if localization is not self._fused[0]:
            surface = None if localization is None else fused_surface(localization, config=self.config)
            self._fused = localization, surface
        return self._fused[1]

    def _large(self, image: str) -> View:
        """Return an image's large view; the least recently used one is dropped for it."""
        view = self._photos.get(image)
        if view is None:
            large = load_view(self.session.capture, self._frames[image], max_side=_PHOTO_SIDE)
            view = replace(large, T_world_cam=self._poses[image])
        others = [(name, other) for name, other in self._photos.items() if name != image]
        self._photos = {**dict(others[-_KEPT_PHOTOS + 1 :]), image: view}
        return view

    def on_disk(self, image: str, view: View, pixel: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        """Return a pixel of a ``Photo`` as a pixel of the image on disk, clipped to it."""
        camera = self._frames[image].camera
        (at,) = view_to_disk(self._frames[image], view, pixel[None])
        return np.clip(at, 0.0, np.array([camera.width, camera.height]) - 1e-3)

    # ── results ─────────────────────────────────────────────────────────────────────
    def localize(self, *names: str) -> None:
        """Compute relevancy and region of queries, by default all; no grasps yet."""
        now = self.state
        queries = tuple(query for query in now.points.queries if not names or query.name in names)
        wanted = {query.name for query in queries}
        answers = tuple(answer for answer in now.points.answers if answer.query in wanted)
        if not queries:
            return
        choices = tuple(choice for choice in now.points.choices if choice.query in wanted)
        found = self.session.localize(PointSet(queries, answers, choices=choices), config=self.config)
        stale = {query.name for query in queries}
        if any(query.role == "avoid" for query in queries):
            # The gripper keeps away from other regions now.
            stale |= {query.name for query in now.points.queries if query.role == "grasp"}
        self.state = replace(
            now,
            localized=now.localized | {one.query.name: one for one in found},
            results={name: result for name, result in now.results.items() if name not in stale},
        )

    def unlocalized(self) -> tuple[str, ...]:
        """Return the names of queries that are not localized, in their order."""
        return tuple(q.name for q in self.state.points.queries if q.name not in self.state.localized)

    def unplanned(self) -> tuple[str, ...]:
        """Return the names of queries that are localized but not planned for, in their order."""
        now = self.state
        return tuple(
            query.name
            for query in now.points.queries
            if query.name in now.localized and query.name not in now.results
        )

    def plan(self, name: str, progress: ProgressCallback | None = None) -> None:
        """Plan for a query that is localized: grasps, or what its role wants.

        Args:
            name: Name of the query.
            progress: Called with the steps of a hand's planning done and all steps; what it raises ends the
                planning, and nothing changes.
        """
        now = self.state
        (result,) = self.session.plan(
            [now.localized[name]],
            among=list(now.localized.values()),
            config=_modelled(self.config),
            gripper=now.gripper,
            progress=progress,
        )
        self.state = replace(now, results=now.results | {name: result})

    def set_gripper(self, gripper: str) -> None:
        """Use another gripper or hand, by its name or path; no query is planned for any more.

        Raises:
            Point2ActError: There is none, or the arm cannot carry the gripper. Nothing changes.
        """
        loaded = load_end_effector(gripper)
        config = planned_for(self.config, gripper, loaded)
        find_robot(self.session.capture, loaded, config=_modelled(config))
        self.config = config
        self.state = replace(self.state, gripper=loaded, results={})

    @property
    def answered(self) -> SessionResult | None:
        """All queries that are planned for, as the result of a run; None if there is none."""
        now = self.state
        done = [query for query in now.points.queries if query.name in now.results]
        if not done:
            return None
        return SessionResult.of(
            [now.localized[query.name] for query in done],
            [now.results[query.name] for query in done],
            now.gripper,
            _modelled(self.config),
            _plan_of(now.points.plan, done),
        )


def _modelled(config: AnswerConfig) -> AnswerConfig:
    """Return a configuration without its arm if it is for a hand, which no arm is modelled with."""
    return config if config.hand is None else replace(config, arm=None)


def _without(answers: tuple[Answer, ...], query: str, image: str) -> tuple[Answer, ...]:
    """Return all answers but a person's to this query in this image."""
    return tuple(a for a in answers if (a.query, a.image, a.model) != (query, image, PERSON))


def _by_person(query: str, image: str, pixel: Float[np.ndarray, "2"] | None) -> Answer:
    """Return a person's answer: a pixel of the image on disk, or None for "not visible"."""
    points = np.zeros((0, 2)) if pixel is None else np.asarray(pixel, dtype=float)[None]
    return Answer(image, query, points, visible=pixel is not None, model=PERSON)


def _plan_of(plan: Plan | None, done: Sequence[Query]) -> Plan | None:
    """Return a task plan if all its queries are there."""
    names = {query.name for query in done}
    return plan if plan is not None and all(query.name in names for query in plan.queries) else None
