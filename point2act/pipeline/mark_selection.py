"""Part, then region: which of several numbered parts is meant, then which cell of a grid over that."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np
from jaxtyping import Float, Int, UInt8

from point2act.core.errors import ModelError, Point2ActError
from point2act.core.progress import Stages
from point2act.core.types import Answer, Frame, PointSet, Query, View
from point2act.data.capture import read_image
from point2act.data.crops import Crop, Window, crop_image, window_around
from point2act.pipeline.mark_candidates import (
    Candidate,
    MarksConfig,
    candidates_in_sight,
    find_candidates,
    mark,
    on_disk,
    points_in_sight,
    views_to_ask,
)
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session, SessionResult
from point2act.visualization.drawing.set_of_mark import Cells, draw_cells, draw_marks
from point2act.vlm.pointing.executor import RequestCounts
from point2act.vlm.pointing.mark_selector import MarkChoice, MarkQuestion, MarkSelector, reply_instruction

_log = logging.getLogger(__name__)

_WHICH = """\
The photograph shows {count} outlined regions. Each has a number in a dark disc, which stands on the region or
is tied to it by a line of the outline's colour.
Which number marks {query}? It may be marked in part only, or be a part of what is marked.
"""
_CELL = """\
The photograph is a close-up with a grid over the middle of it. Each cell has its name in its upper left
corner: the letter of its column, from left to right, and the number of its row, from top to bottom.
Which cell shows the middle of {query}?
"""


@dataclass(frozen=True)
class MarkSelectionConfig:
    """How choices are put to a model. All chosen, but for what the benchmark ``choose`` says."""

    views: int = 6
    """So many views are asked about a query, each of them twice."""
    cells: int = 4
    """The longer side of the grid has so many cells."""
    side: int = 1024
    """Longer side of what is shown, pixels; smaller images are enlarged, for the numbers to be legible."""
    context: float = 0.3
    """The close-up is at least this share of the image's longer side: a part is known by what it is of."""
    margin: float = 0.15
    """The grid reaches beyond what is seen of the part by this share of that."""
    seed: int = 0
    """Of the numbers' order."""
    marks: MarksConfig = field(default_factory=MarksConfig)


# ── what is asked about a query, and what is made of it ────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class Decision:
    """What was chosen for one query."""

    query: str
    candidates: tuple[Candidate, ...]
    """The most confident first."""
    votes: tuple[int, ...]
    """For each candidate ..."""
    none: int
    """... and for none of them."""
    winner: int | None
    """By its place among the candidates; None where nothing was decided."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """What came of it."""

    points: PointSet
    decisions: tuple[Decision, ...]
    """One per query."""
    count: RequestCounts
    why: str
    """The first error; empty where there was none."""


def choose(
    session: Session,
    answered: SessionResult,
    points: PointSet,
    mark_selector: MarkSelector,
    *,
    config: MarkSelectionConfig = MarkSelectionConfig(),
) -> Chosen:
    """Have a model that points badly choose instead: part, then region, as ReSem3D does.

    For each query the regions that were found for it, and other parts of the same objects, get numbers in
    the views that see them best (set-of-mark prompting, Yang et al. 2023), and the model says which is meant.
    Views vote. Over the winner each of these views then gets a grid, enlarged; the middle of the cell that
    the model names becomes the view's answer, in pixels of the image on disk. ``points`` are what
    ``answered`` was made from. Numbers go round from view to view: to win takes more votes than any one
    number would give. One candidate needs no vote; without any, or a winner, the query's answers stay.

    What nobody proposed cannot be chosen: a part that is no region's, nor of the same object as one, has no
    number. Where a thing is cut into several candidates they share its votes. No answer is more exact than
    a cell. A preference for a place in the image is not found out.

    Questions that fail are counted, and their views keep their answers. Raises
    ``ModelError`` where all failed.
    """
    asking, cases = _Asking(mark_selector), _cases(session, answered, config)
    said = asking.all(
        {
            (case, sight): partial(_which, case.query, sight, config)
            for case in cases
            for sight in case.sights
            if len(sight.numbers) > 1
        }
    )
    decisions = tuple(_decide(case, said) for case in cases)
    cells = asking.all(
        {
            (case, sight): partial(_cell, case.query, sight, decision.winner, config)
            for case, decision in zip(cases, decisions, strict=True)
            for sight in case.sights
            if decision.winner in sight.numbers.values()
        }
    )
    if asking.count.total and asking.count.failed == asking.count.total:
        raise ModelError(f"none of {asking.count.total} questions was answered: {asking.why}")
    return Chosen(_replaced(points, said, cells, mark_selector.name), decisions, asking.count, asking.why)


def ask_with_marks(
    session: Session,
    points: PointSet,
    mark_selector: MarkSelector | None,
    *,
    config: AnswerConfig,
    choosing: MarkSelectionConfig,
    stages: Stages,
) -> tuple[SessionResult, PointSet]:
    """What a scene answers to points, and the points: other ones, where there is somebody who chooses."""
    answered = session.ask(points, config=config, stages=stages)
    if mark_selector is None:
        return answered, points
    with stages.stage("choose") as bar:
        chosen = choose(session, answered, points, mark_selector, config=choosing)
        bar.note(str(chosen.count))
    if chosen.why:
        stages.warn(f"not all was chosen: {chosen.why}")
    return session.ask(chosen.points, config=config, stages=stages), chosen.points


@dataclass(frozen=True, eq=False)
class _Sight:
    """What a view that is asked shows of the candidates."""

    frame: Frame
    view: View
    where: Int[np.ndarray, "h w"]
    """Which candidate each pixel of the view shows; -1 for none."""
    numbers: Mapping[str, int]
    """The candidates in sight, by the numbers that they have here."""


@dataclass(frozen=True, eq=False)
class _Case:
    """A query, what may be meant by it, and the views that are asked."""

    query: Query
    candidates: tuple[Candidate, ...]
    sights: tuple[_Sight, ...]


def _cases(session: Session, answered: SessionResult, config: MarkSelectionConfig) -> list[_Case]:
    hypotheses = session.hypotheses(answered.config.hypotheses)
    frames = {frame.name: frame for frame in session.capture.frames}

    @cache
    def shown(number: int) -> Int[np.ndarray, "_h _w"]:
        return points_in_sight(hypotheses.parts, session.views[number], session.surfaces[number])

    cases = []
    for result in answered.results:
        rng = np.random.default_rng([config.seed, zlib.crc32(result.query.name.encode())])
        candidates = find_candidates(hypotheses, result, config=config.marks)
        order = rng.permutation(len(candidates))
        asked = views_to_ask(hypotheses, session.views, candidates, count=config.views, config=config.marks)
        sights = []
        for turn, number in enumerate(asked):
            view = session.views[number]
            where = candidates_in_sight(hypotheses.parts, candidates, shown(number))
            pixels = np.bincount(where[where >= 0], minlength=len(candidates))
            seen = pixels > config.marks.smallest * view.camera.fx * view.camera.fy
            numbers = {str(1 + (order[c] + turn) % len(order)): int(c) for c in np.flatnonzero(seen)}
            sights.append(_Sight(frames[view.name], view, where, dict(sorted(numbers.items()))))
        cases.append(_Case(result.query, candidates, tuple(sights)))
    return cases


def _which(query: Query, sight: _Sight, config: MarkSelectionConfig) -> MarkQuestion:
    """The whole image, with a number on every candidate."""
    image = read_image(sight.frame)
    look = crop_image(image, Window(0, 0, image.shape[1], image.shape[0]), side=config.side)
    masks = {number: sight.where == index for number, index in sight.numbers.items()}
    marks = [mark(sight.frame, sight.view, look, number, mask) for number, mask in masks.items()]
    places = {number: on_disk(sight.frame, sight.view, mask) for number, mask in masks.items()}
    drawn = Crop(draw_marks(look.image, marks), look.window)
    prompt = _WHICH.format(count=len(marks), query=query.text) + reply_instruction(list(places))
    return MarkQuestion(query, sight.frame.name, drawn, places, prompt)


def _cell(query: Query, sight: _Sight, candidate: int | None, config: MarkSelectionConfig) -> MarkQuestion:
    """A close-up of a candidate under a grid."""
    image = read_image(sight.frame)
    window, low, high = _close(image, on_disk(sight.frame, sight.view, sight.where == candidate), config)
    look = crop_image(image, window, side=config.side)
    low, high = look.from_disk(np.stack([low, high]))
    cells = Cells.over(low, high, along=config.cells)
    middles = look.to_disk(cells.middles)
    places = {label: middle[None] for label, middle in zip(cells.labels, middles, strict=True)}
    drawn = Crop(draw_cells(look.image, cells), look.window)
    prompt = _CELL.format(query=query.text) + reply_instruction(cells.labels)
    return MarkQuestion(query, sight.frame.name, drawn, places, prompt)


def _close(
    image: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], config: MarkSelectionConfig
) -> tuple[Window, Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """The window to look into at what some pixels show, and the corners of the grid; all on disk."""
    size = np.array([image.shape[1], image.shape[0]])
    # All but strays.
    low, high = np.quantile(pixels, [0.02, 0.98], axis=0)
    margin = np.maximum(config.margin * (high - low), 1.0)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, size)
    side = max(config.context * size.max(), 1.5 * (high - low).max())
    return window_around((low + high) / 2, int(np.ceil(side)), size=size), low, high


def _decide(case: _Case, said: _Heard) -> Decision:
    """RequestCounts the votes. Each number goes to each candidate about as often: see what one number would get."""
    count = len(case.candidates)
    votes, always, none = np.zeros(count, int), np.zeros((count, count), int), 0
    for sight in case.sights:
        told = said.get((case, sight))
        if told is None:
            continue
        for number, candidate in sight.numbers.items():
            always[candidate, int(number) - 1] += 1
        if told.choice.label is None:
            none += 1
        else:
            votes[sight.numbers[told.choice.label]] += 1
    won = votes > np.maximum(always.max(axis=1, initial=0), none)
    # The most confident comes first, so it has the better of equal votes.
    winner = 0 if count == 1 else int(np.where(won, votes, 0).argmax()) if won.any() else None
    return Decision(case.query.name, case.candidates, tuple(votes.tolist()), none, winner)


def _replaced(points: PointSet, said: _Heard, cells: _Heard, model: str) -> PointSet:
    """The answers, with the middles of cells in place of what was said to these queries in these views."""
    new = {}
    for (case, sight), cell in cells.items():
        if cell.choice.label is not None:
            image, query = sight.frame.name, case.query.name
            told = [one.choice for one in (said.get((case, sight)), cell) if one is not None]
            raw, seconds = "\n".join(one.raw for one in told), sum(one.seconds for one in told)
            place = cell.places[cell.choice.label]
            new[image, query] = Answer(image, query, place, model=model, raw=raw, seconds=seconds)
    kept = tuple(answer for answer in points.answers if (answer.image, answer.query) not in new)
    return PointSet(points.queries, (*kept, *new.values()), points.plan)


@dataclass(frozen=True, eq=False)
class _Told:
    choice: MarkChoice
    places: Mapping[str, Float[np.ndarray, "_ 2"]]


_Heard = Mapping[tuple[_Case, _Sight], _Told]
"""What was answered, by whom it was about."""


class _Asking:
    """Asks many questions at once, and counts."""

    def __init__(self, mark_selector: MarkSelector):
        self._selector = mark_selector
        self.count = RequestCounts()
        self.why = ""

    def all(self, questions: Mapping[tuple[_Case, _Sight], Callable[[], MarkQuestion]]) -> _Heard:
        """The answers to those that got one. Pictures are drawn when their turn comes."""
        with ThreadPoolExecutor(self._selector.concurrency, thread_name_prefix="choose") as pool:
            outcomes = list(pool.map(self._ask, questions.values()))
        told = {key: one for key, one in zip(questions, outcomes, strict=True) if isinstance(one, _Told)}
        errors = [str(one) for one in outcomes if not isinstance(one, _Told)]
        cached = sum(one.choice.cached for one in told.values())
        now, self.why = self.count, self.why or next(iter(errors), "")
        self.count = RequestCounts(
            now.total + len(outcomes),
            now.asked + len(told) - cached,
            now.cached + cached,
            now.failed + len(errors),
        )
        return told

    def _ask(self, build: Callable[[], MarkQuestion]) -> _Told | Point2ActError:
        try:
            question = build()
            choice = self._selector.select(question)
        except Point2ActError as err:
            _log.debug("not chosen: %s", err)
            return err
        return _Told(choice, question.places)
