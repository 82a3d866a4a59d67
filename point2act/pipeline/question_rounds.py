"""Rounds of adaptive asking: what is known of every query, what is asked next, and what the replies are."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.errors import ModelError
from point2act.core.geometry import pixel_centers
from point2act.core.types import Choice, Frame, NoAnswer, PointSet, Query
from point2act.data.capture import view_to_disk
from point2act.data.capture.view_selection import select_views
from point2act.data.crops import Window, crop_image, resize_image
from point2act.localization.segmentation import Segmentation
from point2act.pipeline.mark_questions import ShownView, Vote, added, ask_all, number_question
from point2act.pipeline.next_question import MARKED, Kind, Question, QuestionRates, next_question
from point2act.pipeline.query import AnswerConfig, Localization
from point2act.pipeline.rival_places import Rivals, RivalsConfig, find_rivals
from point2act.pipeline.session import Session
from point2act.vlm.pointing.executor import PointingExecutor, PointingTask, RequestCounts
from point2act.vlm.pointing.mark_selector import MarkSelector

# Samples of a mark that are kept as evidence: enough to compare it with parts.
_SAMPLES = 60
# After this many failures and no reply, a kind of question is not asked any more: some models only point.
_GIVE_UP = 2


@dataclass(frozen=True)
class AdaptiveConfig:
    """When to ask what."""

    start: int = 5
    """Number of spread views that are asked first."""
    confidence: float = 0.95
    """Confidence at which a query, or its absence, is sure."""
    budget: int = 24
    """Maximum number of questions about a query."""
    verify: int = 1
    """Minimum number of choices about a sure query, if the model makes any: points that agree may all be
    wrong."""
    batch: int = 2
    """Number of questions about a query that are asked at once while its confidence is below
    ``near_sure``: half the rounds, for a few more questions."""
    near_sure: float = 0.7
    side: int = 1024
    """Longer side of crops and marked images, pixels; smaller ones are enlarged."""
    seed: int = 0
    """Seed of the order of the numbers."""
    rates: QuestionRates = field(default_factory=QuestionRates)
    rivals: RivalsConfig = field(default_factory=RivalsConfig)


@dataclass(frozen=True, eq=False)
class AdaptiveAnswers:
    """What was asked and answered."""

    points: PointSet
    """Queries, answers and choices."""
    count: RequestCounts
    questions: Mapping[str, int]
    """Number of questions about each query, failed ones included."""
    errors: tuple[str, ...]
    """Why questions were not answered, each reason once."""


class QuestionRounds:
    """Rounds of questions about some queries, and all that is known from the replies."""

    def __init__(
        self,
        session: Session,
        points: PointSet,
        executor: PointingExecutor,
        mark_selector: MarkSelector | None,
        side: int,
        answer: AnswerConfig,
        config: AdaptiveConfig,
    ):
        """Start from the answers in ``points``; nothing is asked yet. Arguments as of ``ask_adaptively``."""
        self._session, self._executor, self._selector = session, executor, mark_selector
        self._side, self._config = side, config
        # To ask on, the best region and its rival suffice, at half the time.
        self._answer = replace(answer, region=replace(answer.region, regions=2))
        self._frames = session.frames
        numbers = {frame.name: number for number, frame in enumerate(self._frames)}
        self._points = points
        self._choosing = RequestCounts()
        self._errors: dict[str, None] = {}
        self._failed = {"view": 0, "crop": 0, "choice": 0}
        self._replied = {"view": 0, "crop": 0, "choice": 0}
        self.unsure = points.queries
        self._asked: dict[str, set[Question]] = {query.name: set() for query in points.queries}
        for entry in points.answers:
            if entry.image in numbers:
                kind = "view" if entry.window is None else "crop"
                self._note(entry.query, Question(kind, numbers[entry.image]))
        for choice in points.choices:
            if choice.image in numbers:
                self._note(choice.query, Question("choice", numbers[choice.image]))

    @property
    def count(self) -> RequestCounts:
        """Requests so far."""
        return added(self._executor.count, self._choosing)

    def result(self) -> AdaptiveAnswers:
        """Return all answers."""
        if self.count.total and self.count.failed == self.count.total and not self._points.answers:
            raise ModelError(f"none of {self.count.total} questions was answered: {next(iter(self._errors))}")
        questions = {name: len(asked) for name, asked in self._asked.items()}
        return AdaptiveAnswers(self._points, self.count, questions, tuple(self._errors))

    def ask_round(self) -> bool:
        """Ask the next question about every query that is not sure; return whether there was any."""
        fresh = [query for query in self.unsure if not self._asked[query.name] and query.instances == "one"]
        if fresh:
            first = spread_views(self._frames, min(self._config.start, self._config.budget))
            self._ask([(query, Question("view", number), None) for query in fresh for number in first])
            return True
        if every := [query for query in self.unsure if query.instances == "all"]:
            # No place rivals another one: views are asked until the budget is spent.
            self.unsure = tuple(query for query in self.unsure if query.instances != "all")
            spread = [Question("view", n) for n in spread_views(self._frames, self._config.budget)]
            self._ask([(q, view, None) for q in every for view in spread if view not in self._asked[q.name]])
            return True
        self.unsure = tuple(
            query for query in self.unsure if len(self._asked[query.name]) < self._config.budget
        )
        if not self.unsure:
            return False
        names = {query.name for query in self.unsure}
        localized = self._session.localize(_about(self._points, names), config=self._answer)
        moves = []
        for one in localized:
            sure = self._sure(one)
            if not (sure and self._verified(one.query)):
                moves += self._next(one, verifying=sure)
        self.unsure = tuple({query: None for query, _, _ in moves})
        self._ask(moves)
        return bool(moves)

    def _sure(self, one: Localization) -> bool:
        return max(_confidence(one), one.posterior.absent) >= self._config.confidence

    def _verified(self, query: Query) -> bool:
        chosen = sum(question.kind == "choice" for question in self._asked[query.name])
        return chosen >= self._config.verify or "choice" not in self._kinds()

    def _next(self, one: Localization, *, verifying: bool) -> list[tuple[Query, Question, Rivals]]:
        """Return the next questions about a query: one, or ``batch`` while it is far from sure."""
        config, segmentation = self._config, one.context.segmentation
        asked = self._asked[one.query.name]
        views = sum(question.kind == "view" for question in asked)
        rivals = find_rivals(
            segmentation, one.posterior, views, likelihood=self._answer.evidence, config=config.rivals
        )
        kinds: list[Kind] = ["choice"] if verifying else self._kinds()
        choices = [
            Question(kind, number)
            for kind in kinds
            for number in range(len(self._frames))
            if kind != "crop" or rivals.side[number] > 0
        ]
        left = 1 if _confidence(one) > config.near_sure else config.batch
        left = min(left, config.budget - len(asked))
        moves: list[tuple[Query, Question, Rivals]] = []
        for _ in range(left):
            taken = asked | {question for _, question, _ in moves}
            nearness = self._nearness(segmentation, rivals, [question.view for question in taken])
            open_questions = [question for question in choices if question not in taken]
            question = next_question(rivals.belief, open_questions, nearness, rates=config.rates)
            if question is not None:
                moves.append((one.query, question, rivals))
        return moves

    def _kinds(self) -> list[Kind]:
        """Return the kinds of questions that the model can answer."""
        kinds: tuple[Kind, ...] = (
            ("view", "crop", "choice") if self._selector is not None else ("view", "crop")
        )
        return [kind for kind in kinds if self._replied[kind] or self._failed[kind] < _GIVE_UP]

    def _nearness(
        self, segmentation: Segmentation, rivals: Rivals, asked: Sequence[int]
    ) -> Float[np.ndarray, " v"]:
        """Return the angle at the likeliest rival between every view and the nearest one that was asked."""
        parts = segmentation.parts
        members = parts.members(rivals.candidates[0].part) if rivals.candidates else slice(None)
        ways = np.array([view.T_world_cam[:3, 3] for view in self._session.views])
        ways = ways - parts.points[members].mean(axis=0)
        ways /= np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-12)
        return np.arccos(np.clip(ways @ ways[list(asked)].T, -1, 1)).min(axis=1, initial=np.pi)

    # ── asking ──────────────────────────────────────────────────────────────────────────────
    def _ask(self, moves: Sequence[tuple[Query, Question, Rivals | None]]) -> None:
        """Ask several questions at once and keep the replies."""
        pointing = [move for move in moves if move[1].kind != "choice"]
        self._executor.submit(self._task(*move) for move in pointing)
        marked = {
            (query.name, question): self._shown(query, question, rivals)
            for query, question, rivals in moves
            if question.kind == "choice" and rivals is not None
        }
        queries = {query.name: query for query, _, _ in moves}
        votes: Mapping[tuple[str, Question], Vote] = {}
        if self._selector is not None and marked:
            drawn = {
                key: partial(number_question, queries[key[0]], shown, self._config.side)
                for key, shown in marked.items()
            }
            votes, count, error = ask_all(self._selector, drawn)
            self._choosing = added(self._choosing, count)
            self._errors |= {error: None} if error else {}
        for (query, question, rivals), result in zip(pointing, self._executor.results(), strict=True):
            answer = result.answer
            if answer is not None and question.kind == "crop" and rivals is not None:
                answer = replace(answer, window=_corners(self._window(question, rivals)))
            self._errors |= {result.error: None} if result.error else {}
            self._note(query.name, question, failed=answer is None)
            if answer is not None:
                self._points = replace(self._points, answers=(*self._points.answers, answer))
        for key, shown in marked.items():
            vote = votes.get(key)
            self._note(*key, failed=vote is None)
            if vote is not None and self._selector is not None:
                choice = _choice(key[0], shown, vote, self._selector.name)
                self._points = replace(self._points, choices=(*self._points.choices, choice))

    def _note(self, query: str, question: Question, *, failed: bool = False) -> None:
        if query in self._asked:
            self._asked[query].add(question)
        (self._failed if failed else self._replied)[question.kind] += 1

    def _task(self, query: Query, question: Question, rivals: Rivals | None) -> PointingTask:
        frame = self._frames[question.view]
        if question.kind == "view" or rivals is None:
            return PointingTask(frame, query, partial(resize_image, max_side=self._side))
        window = self._window(question, rivals)
        return PointingTask(frame, query, partial(crop_image, window=window, side=self._config.side))

    def _window(self, question: Question, rivals: Rivals) -> Window:
        number = question.view
        return rivals.window(number, self._frames[number], self._session.views[number])

    def _shown(self, query: Query, question: Question, rivals: Rivals) -> ShownView:
        """Number the rivals that a view shows, in an order that differs from view to view."""
        number, count = question.view, len(rivals.candidates)
        parts = self._session.segmentation(self._answer.segmentation).parts
        shown = self._session.shown_points(number)
        rng = np.random.default_rng([self._config.seed, zlib.crc32(query.name.encode()), number])
        numbers: dict[str, int] = {}
        masks: dict[str, Bool[np.ndarray, "h w"]] = {}
        for index in rng.permutation(count).tolist():
            # One entry more than there are points, for the index -1.
            belongs = np.zeros(len(parts.points) + 1, dtype=bool)
            belongs[parts.members(rivals.candidates[index].part)] = True
            mask = belongs[shown]
            if rivals.belief.visible[number, index] > MARKED and mask.any():
                label = str(len(numbers) + 1)
                numbers[label], masks[label] = index, mask
        return ShownView(self._frames[number], self._session.views[number], numbers, masks)


def _confidence(one: Localization) -> float:
    return 0.0 if isinstance(one.region, NoAnswer) else one.region.confidence


def spread_views(frames: Sequence[Frame], count: int) -> list[int]:
    """Return the indices of a few frames that are spread over the viewpoints."""
    chosen = {frame.name for frame in select_views(frames, count)}
    return [number for number, frame in enumerate(frames) if frame.name in chosen]


def _about(points: PointSet, names: Collection[str]) -> PointSet:
    """Return the part of a point set that is about some queries."""
    return PointSet(
        tuple(query for query in points.queries if query.name in names),
        tuple(answer for answer in points.answers if answer.query in names),
        choices=tuple(choice for choice in points.choices if choice.query in names),
    )


def _corners(window: Window) -> tuple[int, int, int, int]:
    return window.left, window.top, window.width, window.height


def _choice(query: str, shown: ShownView, vote: Vote, model: str) -> Choice:
    """Return a reply as evidence: samples of every mark, and the index of the chosen one."""
    labels = list(shown.numbers)
    marks = tuple(view_to_disk(shown.frame, shown.view, samples(shown.masks[label])) for label in labels)
    label = vote.choice.label
    return Choice(
        shown.frame.name,
        query,
        marks,
        None if label is None else labels.index(label),
        model,
        vote.choice.raw,
        vote.choice.seconds,
    )


def samples(mask: Bool[np.ndarray, "h w"], *, most: int = _SAMPLES) -> Float[np.ndarray, "n 2"]:
    """Return the centres of evenly spaced pixels of a mask, about ``most`` of them and at least one."""
    step = max(int(np.ceil(np.sqrt(mask.sum() / most))), 1)
    grid = np.zeros_like(mask)
    grid[step // 2 :: step, step // 2 :: step] = True
    kept = mask & grid if (mask & grid).any() else mask
    return pixel_centers(*mask.shape)[kept]
