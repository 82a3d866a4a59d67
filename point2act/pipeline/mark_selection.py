"""Set-of-mark prompting: a model names one of several numbered regions, then a cell of a grid over it."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
from jaxtyping import Float, Int, UInt8

from point2act.core.errors import ModelError
from point2act.core.progress import Stages
from point2act.core.types import Answer, PointSet, Query
from point2act.data.capture import read_image
from point2act.data.crops import Crop, Window, crop_image, window_around
from point2act.grasping.end_effector import EndEffector
from point2act.pipeline.mark_candidates import (
    Candidate,
    MarksConfig,
    find_candidates,
    map_candidates,
    map_points,
    select_views_to_ask,
    to_disk_pixels,
)
from point2act.pipeline.mark_questions import ShownView, Vote, added, ask_all, number_question
from point2act.pipeline.planning import Planner
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import SessionResult
from point2act.visualization.drawing.set_of_mark import Cells, draw_cells
from point2act.vlm.pointing.executor import RequestCounts
from point2act.vlm.pointing.mark_selector import MarkQuestion, MarkSelector, reply_instruction

_log = logging.getLogger(__name__)

_CELL = """\
The photograph is a close-up with a grid over the middle of it. Each cell has its name in its upper left
corner: the letter of its column, from left to right, and the number of its row, from top to bottom.
Which cell shows the middle of {query}?
"""


# All chosen, except where benchmarks/choose says otherwise.
@dataclass(frozen=True)
class MarkSelectionConfig:
    """Set-of-mark prompting."""

    views: int = 6
    """Maximum number of views that are asked about a query, each of them twice."""
    cells: int = 4
    """Number of grid cells along the longer side of the grid."""
    side: int = 1024
    """Longer side of the images that the model is shown, pixels; smaller images are enlarged, for legible
    numbers."""
    context: float = 0.3
    """Minimum size of the close-up, as a fraction of the image's longer side: a part is recognised by the
    object that it belongs to."""
    margin: float = 0.15
    """Margin of the grid around the visible part, as a fraction of the part's size."""
    seed: int = 0
    """Seed of the order of the numbers."""
    marks: MarksConfig = field(default_factory=MarksConfig)


@dataclass(frozen=True, eq=False)
class Decision:
    """What was selected for one query."""

    query: str
    candidates: tuple[Candidate, ...]
    """Most confident first."""
    votes: tuple[int, ...]
    """Number of votes for each candidate."""
    none: int
    """Number of votes for none of them."""
    winner: int | None
    """Index of the candidate that won; None if none did."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What was selected for all queries."""

    points: PointSet
    """The points with the selected cells in place of the answers of the views that were asked."""
    decisions: tuple[Decision, ...]
    """One per query."""
    count: RequestCounts
    error: str
    """The first error; empty if there was none."""


# ── the interface ──────────────────────────────────────────────────────────────────────────────
def ask_with_marks(
    session: Session,
    points: PointSet,
    mark_selector: MarkSelector | None,
    *,
    config: AnswerConfig,
    choosing: MarkSelectionConfig,
    gripper: EndEffector | None = None,
    planner: Planner | None = None,
    stages: Stages,
) -> tuple[SessionResult, PointSet]:
    """Ask a session, and ask it again with the regions that a model selects, if there is such a model.

    Returns:
        The results, and the points that they come from.
    """
    answered = session.ask(points, config=config, gripper=gripper, planner=planner, stages=stages)
    if mark_selector is None:
        return answered, points
    with stages.stage("select marks") as bar:
        selected = select_marks(session, answered, points, mark_selector, config=choosing)
        bar.note(str(selected.count))
    if selected.error:
        stages.warn(f"not every mark was selected: {selected.error}")
    again = session.ask(selected.points, config=config, gripper=gripper, planner=planner, stages=stages)
    return again, selected.points


def select_marks(
    session: Session,
    answered: SessionResult,
    points: PointSet,
    mark_selector: MarkSelector,
    *,
    config: MarkSelectionConfig = MarkSelectionConfig(),
) -> Selection:
    """Have a model that points badly select a region instead, part first, then cell (ReSem3D).

    The regions found for a query, and other parts of the same objects, are numbered in the views that show
    them best (set-of-mark prompting, Yang et al. 2023), and the model names the number that is meant. Views
    vote. Over the winner each of these views then shows a grid, enlarged; the centre of the cell that the
    model names becomes the view's answer. The numbers are permuted from view to view, and winning takes more
    votes than any fixed number would get. A single candidate needs no vote; without a candidate or a winner
    the query's answers stay.

    A part that is no candidate cannot be selected, candidates that are one object share its votes, and no
    answer is more exact than a cell. A model's preference for a place in the image is not detected.

    Args:
        session: The scene.
        answered: What the session answered to ``points``.
        points: Queries and answers.
        mark_selector: The model.
        config: How the marks are drawn and counted.

    Returns:
        The new points. Views whose questions fail keep their answers.

    Raises:
        ModelError: All questions failed.
    """
    cases = _cases(session, answered, config)
    votes, vote_count, error = ask_all(
        mark_selector,
        {
            (case, shown): partial(number_question, case.query, shown, config.side)
            for case in cases
            for shown in case.shown
            if len(shown.numbers) > 1
        },
    )
    decisions = tuple(_decide(case, votes) for case in cases)
    cells, cell_count, cell_error = ask_all(
        mark_selector,
        {
            (case, shown): partial(_cell_question, case.query, shown, decision.winner, config)
            for case, decision in zip(cases, decisions, strict=True)
            for shown in case.shown
            if decision.winner in shown.numbers.values()
        },
    )
    count, error = added(vote_count, cell_count), error or cell_error
    if count.total and count.failed == count.total:
        raise ModelError(f"none of {count.total} questions was answered: {error}")
    return Selection(_replaced(points, votes, cells, mark_selector.name), decisions, count, error)


# ── questions ──────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True, eq=False)
class _Case:
    """A query, its candidates and the views that are asked."""

    query: Query
    candidates: tuple[Candidate, ...]
    shown: tuple[ShownView, ...]


_Votes = Mapping[tuple[_Case, ShownView], Vote]


def _cases(session: Session, answered: SessionResult, config: MarkSelectionConfig) -> list[_Case]:
    hypotheses = session.segmentation(answered.config.segmentation)
    frames = {frame.name: frame for frame in session.capture.frames}

    @cache
    def points_of(number: int) -> Int[np.ndarray, "_h _w"]:
        return map_points(hypotheses.parts, session.views[number], session.surfaces[number])

    cases = []
    for result in answered.results:
        if result.query.instances == "all":
            continue  # All candidates may be meant: there is nothing to choose.
        rng = np.random.default_rng([config.seed, zlib.crc32(result.query.name.encode())])
        candidates = find_candidates(hypotheses, result, config=config.marks)
        order = rng.permutation(len(candidates))
        asked = select_views_to_ask(
            hypotheses, session.views, candidates, count=config.views, config=config.marks
        )
        shown = []
        for shift, number in enumerate(asked):
            view = session.views[number]
            image = map_candidates(hypotheses.parts, candidates, points_of(number))
            pixels = np.bincount(image[image >= 0], minlength=len(candidates))
            seen = pixels > config.marks.min_area * view.camera.fx * view.camera.fy
            numbers = {str(1 + (order[c] + shift) % len(order)): int(c) for c in np.flatnonzero(seen)}
            numbers = dict(sorted(numbers.items()))
            masks = {label: image == index for label, index in numbers.items()}
            shown.append(ShownView(frames[view.name], view, numbers, masks))
        cases.append(_Case(result.query, candidates, tuple(shown)))
    return cases


def _cell_question(
    query: Query, shown: ShownView, candidate: int | None, config: MarkSelectionConfig
) -> MarkQuestion:
    """Show a close-up of a candidate under a grid."""
    image = read_image(shown.frame)
    (mask,) = (shown.masks[label] for label, index in shown.numbers.items() if index == candidate)
    pixels = to_disk_pixels(shown.frame, shown.view, mask)
    window, low, high = _close_up(image, pixels, config)
    crop = crop_image(image, window, side=config.side)
    low, high = crop.from_disk(np.stack([low, high]))
    cells = Cells.over(low, high, along=config.cells)
    centers = crop.to_disk(cells.centers)
    places = {label: center[None] for label, center in zip(cells.labels, centers, strict=True)}
    drawn = Crop(draw_cells(crop.image, cells), crop.window)
    prompt = _CELL.format(query=query.text) + reply_instruction(cells.labels)
    return MarkQuestion(query, shown.frame.name, drawn, places, prompt)


def _close_up(
    image: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], config: MarkSelectionConfig
) -> tuple[Window, Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """Return the window of the close-up and the two corners of the grid, in pixels on disk."""
    size = np.array([image.shape[1], image.shape[0]])
    # Quantiles leave out single stray pixels.
    low, high = np.quantile(pixels, [0.02, 0.98], axis=0)
    margin = np.maximum(config.margin * (high - low), 1.0)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, size)
    side = max(config.context * size.max(), 1.5 * (high - low).max())
    return window_around((low + high) / 2, int(np.ceil(side)), size=size), low, high


# ── votes ──────────────────────────────────────────────────────────────────────────────────────
def _decide(case: _Case, votes: _Votes) -> Decision:
    """Count the votes for each candidate, and compare with what naming one number always would have given."""
    count = len(case.candidates)
    counted, always, none = np.zeros(count, int), np.zeros((count, count), int), 0
    for shown in case.shown:
        vote = votes.get((case, shown))
        if vote is None:
            continue
        for number, candidate in shown.numbers.items():
            always[candidate, int(number) - 1] += 1
        if vote.choice.label is None:
            none += 1
        else:
            counted[shown.numbers[vote.choice.label]] += 1
    won = counted > np.maximum(always.max(axis=1, initial=0), none)
    # The most confident candidate comes first, so it wins a tie.
    winner = 0 if count == 1 else int(np.where(won, counted, 0).argmax()) if won.any() else None
    return Decision(case.query.name, case.candidates, tuple(counted.tolist()), none, winner)


def _replaced(points: PointSet, votes: _Votes, cells: _Votes, model: str) -> PointSet:
    """Return the points with the centres of the named cells in place of these views' answers."""
    new = {}
    for (case, shown), cell in cells.items():
        if cell.choice.label is not None:
            image, query = shown.frame.name, case.query.name
            choices = [vote.choice for vote in (votes.get((case, shown)), cell) if vote is not None]
            raw, seconds = "\n".join(one.raw for one in choices), sum(one.seconds for one in choices)
            place = cell.places[cell.choice.label]
            new[image, query] = Answer(image, query, place, model=model, raw=raw, seconds=seconds)
    kept = tuple(answer for answer in points.answers if (answer.image, answer.query) not in new)
    return replace(points, answers=(*kept, *new.values()))
