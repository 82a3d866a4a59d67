"""Questions to a pointing model while a plan runs: about what is lost, and about what it named wrongly."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from point2act.acting.execution.control_loop import Aside, ControlLoop
from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.shown_point import ShownPoint, is_hidden, shown_point
from point2act.core.errors import Point2ActError
from point2act.core.geometry import distance_to_box
from point2act.core.types import OrientedBox, Query, View
from point2act.data.crops import resize_image
from point2act.vlm.pointing.point import Pointer, point_at

_log = logging.getLogger(__name__)

Ask = Callable[[Query, View], Float[np.ndarray, " 2"] | None]
"""Returns the pixel of what a query means in an image of the robot's camera; None where it is not visible."""

Locate = Callable[[str, Sequence[Float[np.ndarray, " 3"]]], PreparedTask | None]
"""Returns the task with a query located anew by its name and its fresh answers, base frame, metres; None
where that is not possible, see ``locate_again``."""

Answers = Mapping[str, Sequence[ShownPoint | None]]
"""Answers to queries, by their names; None for "not visible"."""


@dataclass(frozen=True)
class AskConfig:
    """When a pointing model is asked again, and what its answers say."""

    lost_seconds: float = 1.0
    """Time for which a thing is lost before it is asked for, and between two questions about it, seconds. The
    tracker, five times a second, finds most things again by itself within two images; who moves a thing
    hides it for about this time."""
    answer_seconds: float = 1.5
    """Time from a question to its answers, seconds, where the robot's clock does not run on by itself. That
    of a model of eight billion parameters on a GPU."""
    locate_seconds: float = 5.0
    """Time to locate a query anew, likewise. Measured with a capture of 24 images on two cores: 4.8 s."""
    beside: float = 0.03
    """Distance from the regions on a thing within which an answer means it, metres: 8 mm for the scatter of
    answers, and the parts of the thing that no query names."""
    past: float = 0.012
    """Distance from them at which its ray may pass them, metres: an answer that misses a thin thing, of up to
    four times that width, by its scatter is on what stands behind it."""
    together: float = 0.08
    """Distance within which two answers mean the same thing, metres: answers scatter over the whole of it."""
    agreeing: int = 2
    """Number of answers to the first question and to one about a lost thing; of fresh answers that confirm a
    localization, or refute it if they agree on another place: in a scene of few objects one in six is on the
    wrong thing as well."""
    most: int = 5
    """Largest number of answers to one query in a row."""
    to_locate: int = 8
    """Number of further answers with which a query is located anew, all asked at once: the middle of a thing
    that lies flat on the table is known by the spread of its answers alone."""
    failures: int = 2
    """Number of failures of a stage after which its queries are asked again: one may be chance."""


class Inquiry:
    """Asks a pointing model beside the control loop, and draws conclusions from its answers.

    Every query of a plan is asked again while the robot starts to move, until two answers confirm the thing
    that is followed, or two that agree are elsewhere in an image in which nothing hides the thing.
    """

    def __init__(self, loop: ControlLoop, ask: Ask | None, locate: Locate, config: AskConfig):
        """Have no answers yet.

        Args:
            loop: Connects to the robot, and to what is known of the scene.
            ask: Asks a pointing model; None to ask nothing.
            locate: Locates a query anew.
            config: When is asked.
        """
        self._loop, self._ask, self._locate, self._config = loop, ask, locate, config
        self._queries: dict[str, Query] = {}
        self._fresh: dict[str, list[ShownPoint | None]] = {}
        self._running: Aside[Answers] | None = None
        self._seeking: Aside[Answers] | None = None
        self._lost_since: dict[str, float] = {}
        self._refuted: dict[str, list[Float[np.ndarray, " 3"]]] = {}
        self.needed: frozenset[str] = frozenset()
        """Queries that the running stage and the coming ones need."""

    # ── whether the first answers were right ───────────────────────────────────────────────────
    def start(self, queries: Iterable[Query]) -> None:
        """Ask about every query of a plan; the answers are awaited by ``refuted``."""
        if self._ask is None:
            return
        self._queries = {query.name: query for query in queries}
        self.ask_again(self._queries)
        # At once: the arm does not hide anything yet.
        self._running = self._question(self._fresh, self._config.agreeing)

    def ask_again(self, names: Iterable[str]) -> None:
        """Ask queries again that were confirmed, since what they mean does not behave as expected."""
        again = self._queries.keys() & set(names)
        self._fresh |= {name: [] for name in again - self._fresh.keys()}

    def refuted(self) -> Mapping[str, Sequence[Float[np.ndarray, " 3"]]]:
        """Return the queries whose localization fresh answers refute, with the places that they mean instead.

        The arm holds still until there are enough answers.
        """
        while self._fresh:
            self._running = self._running or self._question(self._fresh)
            self._take(self._loop.result(self._running))
        return self._refuted

    def put_right(self) -> frozenset[str]:
        """Locate anew what is refuted, and follow it there; return the queries with another meaning."""
        changed, loop, config = set(), self._loop, self._config
        further = loop.result(self._question(self._refuted, config.to_locate))
        for name, first in self._refuted.items():
            there = [point for point in further[name] if point is not None]
            again = [point.place for point in there if _near(point.place, first, config.together)]
            places = [*first, *again]
            if len(there) - len(self._away(name, there)) >= len(again):
                # The answers that refuted it agreed by chance; chosen for that, they do not count here.
                continue
            job = partial(self._locate, name, places)
            prepared = loop.result(loop.start(job, config.locate_seconds))
            if prepared is None:
                loop.note("asked", f"fresh answers have the {name} elsewhere, but it cannot be located there")
                continue
            thing = loop.memory.relocate(name, prepared.scene)
            loop.follow(thing, prepared.things)
            loop.note("found", f"the {name} elsewhere, where fresh answers have it")
            changed.add(name)
        self._refuted = {}
        return frozenset(changed)

    def _take(self, answers: Answers) -> None:
        """Take answers over, and ask about what they leave unclear."""
        self._running = None
        for name in [one for one in answers if one in self._fresh]:
            self._fresh[name].extend(answers[name])
            self._judge(name)
        if self._fresh:
            self._running = self._question(self._fresh)

    def _judge(self, name: str) -> None:
        """Close a question to which the answers are clear, or of which there are enough."""
        config, fresh = self._config, self._fresh[name]
        pointed = [point for point in fresh if point is not None]
        # Where the region is hidden a model points at something else, twice at the same: that says nothing.
        shown = [point for point in pointed if not point.region_hidden]
        away = self._away(name, shown)
        agreeing = max((_near(place, away, config.together) for place in away), key=len, default=[])
        on_it = len(shown) - len(away)
        if on_it >= config.agreeing and on_it > len(agreeing):
            del self._fresh[name]
        elif len(agreeing) >= config.agreeing and len(agreeing) > on_it:
            self._refuted[name] = agreeing
            del self._fresh[name]
        elif len(fresh) >= config.most or (len(pointed) >= config.agreeing and not shown):
            # Without a majority the first answers, which are more, count.
            del self._fresh[name]

    def _away(self, name: str, shown: Sequence[ShownPoint]) -> list[Float[np.ndarray, " 3"]]:
        """Return the places that are neither on a query's region nor on others of its thing beside it.

        What is seen just past one of these may be an answer that means it, and misses it.
        """
        memory, config = self._loop.memory, self._config
        things, state = memory.scene.things, memory.state_at(0.0, {})(self._loop.T_base_gripper)
        own = state.box(name)
        boxes = [state.box(other) for other, thing in things.items() if thing == things[name]]
        # Of two regions on one thing, one may be the wrong one.
        beside = [box for box in boxes if distance_to_box(box.center[None], own)[0] <= config.together]
        return [
            point.place
            for point in shown
            if not any(
                distance_to_box(point.place[None], box)[0] <= config.beside
                or (_is_thin(box, config.past) and point.passes(box, config.past))
                for box in (own, *beside)
            )
        ]

    # ── what is lost ───────────────────────────────────────────────────────────────────────────
    def tend(self) -> None:
        """Take over answers, and ask for what has been lost for a while; called in every control step."""
        if self._running is not None and self._loop.ended(self._running):
            self._take(self._loop.result(self._running))
        loop, now = self._loop, self._loop.seconds
        things = {name: loop.memory.scene.things[name] for name in self.needed & self._queries.keys()}
        lost = loop.memory.lost & set(things.values())
        self._lost_since = {thing: self._lost_since.get(thing, now) for thing in lost}
        if self._seeking is None:
            late = {thing for thing in lost if now - self._lost_since[thing] > self._config.lost_seconds}
            if late:
                asked = [name for name, thing in things.items() if thing in late]
                self._seeking = self._question(asked, self._config.agreeing)
        elif loop.ended(self._seeking):
            answers, self._seeking = loop.result(self._seeking), None
            for name, shown in answers.items():
                for point in shown:
                    if point is not None and things.get(name) in lost:
                        loop.point_at(things[name], point.place)
            self._lost_since |= dict.fromkeys(lost, now)

    def _question(self, names: Iterable[str], times: int = 1) -> Aside[Answers]:
        """Ask about queries in the present image."""
        named, look = set(names), self._loop.look()
        asked = [query for name, query in self._queries.items() if name in named]
        self._loop.note("asked", ", ".join(query.name for query in asked))
        state = self._loop.memory.state_at(0.0, {})(self._loop.T_base_gripper)
        boxes = {query.name: state.box(query.name) for query in asked}

        def answers() -> Answers:
            view = look()
            hidden = {name: is_hidden(view, box) for name, box in boxes.items()}
            return {
                query.name: [self._answer(query, view, hidden[query.name]) for _ in range(times)]
                for query in asked
            }

        return self._loop.start(answers, self._config.answer_seconds)

    def _answer(self, query: Query, view: View, region_hidden: bool) -> ShownPoint | None:
        """Return what the view shows where an answer points."""
        assert self._ask is not None
        pixel = self._ask(query, view)
        return None if pixel is None else shown_point(view, pixel, region_hidden)


def answers_of(pointer: Pointer, side: int) -> Ask:
    """Return a function that asks a pointer; where it does not answer, nothing is visible.

    Args:
        pointer: A model, or a plain function.
        side: Longer side of the images that it is shown, pixels; smaller ones are shown as they are.
    """

    def ask(query: Query, view: View) -> Float[np.ndarray, " 2"] | None:
        try:
            answer, _ = point_at(pointer, query, view.name, resize_image(view.rgb, max_side=side))
        except Point2ActError as err:
            _log.warning("'%s' is not answered: %s", query.text, err)
            return None
        return answer.points[0] if len(answer.points) else None

    return ask


def _is_thin(box: OrientedBox, past: float) -> bool:
    """Return whether a box is so thin along two axes that an answer misses it by its scatter."""
    return float(np.median(box.half_extents)) < 2 * past


def _near(
    place: Float[np.ndarray, " 3"], places: Sequence[Float[np.ndarray, " 3"]], reach: float
) -> list[Float[np.ndarray, " 3"]]:
    return [other for other in places if float(np.linalg.norm(other - place)) <= reach]
