"""A scene in conversation: people point, models are asked, grippers are tried, and everything is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.errors import Point2ActError
from point2act.core.types import (
    Answer,
    NoAnswer,
    Plan,
    PointSet,
    ProgressCallback,
    Query,
    QueryResult,
    Role,
    View,
)
from point2act.data.capture import disk_to_view, load_view, view_to_disk
from point2act.data.points import PERSON, effective_answers, write_points
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.localization.heatmaps import heatmap
from point2act.pipeline.query import AnswerConfig, Localization, find_robot
from point2act.pipeline.session import Session, SessionResult
from point2act.vlm.pointing.ask import PointingJob, Questions
from point2act.vlm.pointing.questions import name_queries

# Photographs are shown at most this large, pixels, and so many are kept. Chosen: a screen's worth.
_PHOTO = 1280
_PHOTOS = 8

QuestionFactory = Callable[[Sequence[Query]], Questions]
"""Makes questions of queries: someone is configured who can be asked."""


@dataclass(frozen=True, eq=False)
class State:
    """What is known at one moment. It never changes; the next moment has one of its own."""

    points: PointSet
    gripper: Gripper
    located: dict[str, Localization] = field(default_factory=dict)
    """By the query's name; only what was worked out so far ..."""
    results: dict[str, QueryResult] = field(default_factory=dict)
    """... and, with this gripper, acted on."""

    def query(self, name: str) -> Query:
        """The query of that name."""
        return next(query for query in self.points.queries if query.name == name)

    def result(self, name: str) -> QueryResult | None:
        """What is known about a query: acted on, else only its place; None where it is not even located."""
        if name in self.results or name not in self.located:
            return self.results.get(name)
        one = self.located[name]
        if isinstance(one.region, NoAnswer):
            return QueryResult(one.query, None, (), one.rivals, one.region.reason, one.region.detail)
        return QueryResult(one.query, one.region, (), one.rivals)

    def counted(self, query: str, image: str) -> bool:
        """Whether anything that was said about a query in an image is evidence."""
        return (query, image) in self._counted

    @cached_property
    def _counted(self) -> frozenset[tuple[str, str]]:
        """Queries and images of which something that was said is evidence."""
        return frozenset((answer.query, answer.image) for answer in effective_answers(self.points.answers))

    def said(self, query: str, image: str) -> tuple[Answer, ...]:
        """All that was said about a query in one image."""
        return tuple(a for a in self.points.answers if a.query == query and a.image == image)


@dataclass(frozen=True, eq=False)
class Photo:
    """A captured image, large, and what was said about one query in it."""

    view: View
    pixels: Float[np.ndarray, "n 2"] | None
    """Of the view; None where nobody was asked."""
    heat: Float[np.ndarray, "h w"] | None


class InteractiveSession:
    """Questions to one scene and what became of them.

    Points change by ``point``, ``retract``, ``add`` and ``ask``; then ``localize`` lifts
    a query again, and ``plan`` plans for it. Changed points are kept in a points.json at once. Not to be
    used by two threads at a time; ``state`` may be read by any.
    """

    def __init__(
        self,
        session: Session,
        points: PointSet,
        *,
        keep: Path,
        config: AnswerConfig = AnswerConfig(),
        make_questions: QuestionFactory | None = None,
    ):
        """Nothing is worked out yet. ``keep`` is the points.json that is written when points change."""
        self.session, self.keep, self.config, self.make_questions = session, keep, config, make_questions
        self.state = State(points, load_gripper(config.gripper))
        self._frames = {frame.name: frame for frame in session.capture.frames}
        self._poses = {view.name: view.T_world_cam for view in session.views}
        self._photos: dict[str, View] = {}

    @property
    def images(self) -> tuple[str, ...]:
        """The names of all images that may be pointed at."""
        return tuple(view.name for view in self.session.views)

    # ── what is asked and said ─────────────────────────────────────────────────────────────────
    def add(self, text: str, role: Role) -> Query:
        """A new thing to find, about which nobody has said anything yet.

        Raises ``PointsError`` where the words are empty.
        """
        (query,) = name_queries([(text, role)], taken=[other.name for other in self.state.points.queries])
        self._keep(replace(self.state.points, queries=(*self.state.points.queries, query)))
        return query

    def point(self, query: str, image: str, pixel: Float[np.ndarray, "2"] | None) -> None:
        """A person points at a pixel of an image on disk, or says that the thing is not visible there."""
        points = np.zeros((0, 2)) if pixel is None else np.asarray(pixel, dtype=float)[None]
        said = Answer(image, query, points, visible=pixel is not None, model=PERSON)
        self._keep(replace(self.state.points, answers=(*self._without(query, image), said)))

    def retract(self, query: str, image: str) -> bool:
        """Forget what a person said about a query in an image; whether there was anything."""
        left = self._without(query, image)
        changed = len(left) < len(self.state.points.answers)
        if changed:
            self._keep(replace(self.state.points, answers=left))
        return changed

    def ask(self, query: Query, progress: ProgressCallback | None = None) -> list[str]:
        """Have whoever is configured point at a query's thing in all images.

        Replaces what was said about it by others than persons. Returns sentences about images without an
        answer. Raises ``Point2ActError`` where nobody answers at all.
        """
        if self.make_questions is None:
            raise Point2ActError("nobody can be asked: start the viewer with --model")
        session = self.session
        with PointingJob(self.make_questions([query])) as asking:
            asking.add(session.frames)
            asking.end(session.frames, session.views)
            tell = None if progress is None else lambda count: progress(count.done, count.total)
            answers = asking.answers(tell)
        others = [a for a in self.state.points.answers if a.query != query.name or a.model == PERSON]
        self._keep(replace(self.state.points, answers=(*others, *answers.points.answers)))
        return answers.troubles()

    def _without(self, query: str, image: str) -> tuple[Answer, ...]:
        """All answers but a person's to this."""
        return tuple(
            answer
            for answer in self.state.points.answers
            if (answer.query, answer.image, answer.model) != (query, image, PERSON)
        )

    def _keep(self, points: PointSet) -> None:
        write_points(self.keep, points)
        self.state = replace(self.state, points=points)

    def photo(self, query: str | None, image: str) -> Photo:
        """An image as a pinhole camera at its pose in the run would have seen it."""
        view = self._large(image)
        said = () if query is None else self.state.said(query, image)
        if not said:
            return Photo(view, None, None)
        points = np.concatenate([answer.points for answer in said])
        pixels = disk_to_view(self._frames[image], view, points)
        heat = heatmap(view.camera, pixels, config=self.config.relevancy.heatmap).astype(np.float64)
        return Photo(view, pixels, heat)

    def _large(self, image: str) -> View:
        """An image's large view; what was looked at longest ago makes room for it."""
        view = self._photos.get(image)
        if view is None:
            large = load_view(self.session.capture, self._frames[image], max_side=_PHOTO)
            view = replace(large, T_world_cam=self._poses[image])
        others = [(name, other) for name, other in self._photos.items() if name != image]
        self._photos = {**dict(others[-_PHOTOS + 1 :]), image: view}
        return view

    def on_disk(self, image: str, view: View, pixel: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        """A pixel of a ``Photo`` as a pixel of the image on disk, always inside it."""
        camera = self._frames[image].camera
        (at,) = view_to_disk(self._frames[image], view, pixel[None])
        return np.clip(at, 0.0, np.array([camera.width, camera.height]) - 1e-3)

    # ── what becomes of it ─────────────────────────────────────────────────────────────────────
    def localize(self, *names: str) -> None:
        """Lift queries anew, by default all: relevancy and region, no grasps yet."""
        now = self.state
        queries = tuple(query for query in now.points.queries if not names or query.name in names)
        answers = tuple(a for a in now.points.answers if a.query in {query.name for query in queries})
        if not queries:
            return
        found = self.session.localize(PointSet(queries, answers), config=self.config)
        stale = {query.name for query in queries}
        if any(query.role == "avoid" for query in queries):
            # Hands keep away from other places now.
            stale |= {query.name for query in now.points.queries if query.role == "grasp"}
        self.state = replace(
            now,
            located=now.located | {one.query.name: one for one in found},
            results={name: result for name, result in now.results.items() if name not in stale},
        )

    def unlocalized(self) -> tuple[str, ...]:
        """Queries that are not located, in their order."""
        return tuple(q.name for q in self.state.points.queries if q.name not in self.state.located)

    def unplanned(self) -> tuple[str, ...]:
        """Queries that are located and not acted on, in their order."""
        now = self.state
        return tuple(
            query.name
            for query in now.points.queries
            if query.name in now.located and query.name not in now.results
        )

    def plan(self, name: str) -> None:
        """Plan for a query that is located: grasps, or whatever its role wants."""
        now = self.state
        (result,) = self.session.plan(
            [now.located[name]], among=list(now.located.values()), config=self.config
        )
        self.state = replace(now, results=now.results | {name: result})

    def set_gripper(self, gripper: str) -> None:
        """Take another gripper: no query is acted on any more.

        Raises a ``Point2ActError``, and changes nothing, where there is no such one or
        the arm cannot carry it.
        """
        loaded, config = load_gripper(gripper), replace(self.config, gripper=gripper)
        find_robot(self.session.capture, loaded, config=config)
        self.config = config
        self.state = replace(self.state, gripper=loaded, results={})

    @property
    def answered(self) -> SessionResult | None:
        """Everything that is acted on, as a run has it; None where nothing is."""
        now = self.state
        done = [query for query in now.points.queries if query.name in now.results]
        if not done:
            return None
        return SessionResult.of(
            [now.located[query.name] for query in done],
            [now.results[query.name] for query in done],
            now.gripper,
            self.config,
            _plan_of(now.points.plan, done),
        )


def _plan_of(plan: Plan | None, done: Sequence[Query]) -> Plan | None:
    """A plan, where all that it needs is there."""
    names = {query.name for query in done}
    return plan if plan is not None and all(query.name in names for query in plan.queries) else None
