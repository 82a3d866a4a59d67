"""Adaptive asking: a few spread views first, then one question at a time until a query is sure enough.

Each round asks one question about every query that is not sure yet, at once: another view, an enlarged crop
about the rivals, or a choice between them, numbered in one image. Every reply is evidence in the posterior
over parts that also decides the result; ``next_question`` says which question is worth most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from point2act.core.progress import Stages
from point2act.core.types import Answer, Frame, PointSet, ProgressCallback
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.question_rounds import AdaptiveAnswers, AdaptiveConfig, QuestionRounds, spread_views
from point2act.pipeline.session import Session
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.executor import PointingExecutor
from point2act.vlm.pointing.mark_selector import MarkSelector
from point2act.vlm.pointing.point import Pointer


def ask_adaptively(
    session: Session,
    points: PointSet,
    pointer: Pointer,
    mark_selector: MarkSelector | None,
    *,
    side: int,
    answer: AnswerConfig = AnswerConfig(),
    config: AdaptiveConfig = AdaptiveConfig(),
    progress: ProgressCallback | None = None,
) -> AdaptiveAnswers:
    """Ask about every query until it is sure or its budget is spent.

    The questions depend on the replies alone, so that going on with cached replies asks nothing again.

    Args:
        session: The scene.
        points: Queries, and the answers so far, such as those of the first views.
        pointer: What points.
        mark_selector: What chooses among numbered regions; None asks no such questions.
        side: Longer side of whole images that are shown, pixels.
        answer: How queries are localized.
        config: When to ask what.
        progress: Called with the number of questions so far and the budget of all queries.

    Raises:
        ModelError: No question was answered at all.
    """
    with PointingExecutor(pointer) as executor:
        asking = QuestionRounds(session, points, executor, mark_selector, side, answer, config)
        while asking.ask_round():
            if progress is not None:
                progress(asking.count.done, config.budget * len(points.queries))
        return asking.result()


@dataclass(frozen=True, eq=False)
class AdaptiveAsking:
    """Questions for a model that are asked adaptively."""

    questions: Questions
    mark_selector: MarkSelector | None
    """What chooses among numbered regions, usually the same model."""
    config: AdaptiveConfig

    def first(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return the frames that are asked about before there is a scene."""
        count = min(self.config.start, self.config.budget)
        return [frames[number] for number in spread_views(frames, count)]

    def ask(
        self,
        session: Session,
        first: Sequence[Answer] = (),
        *,
        answer: AnswerConfig,
        stages: Stages,
    ) -> AdaptiveAnswers:
        """Ask a session's queries until they are sure, and warn about what was not answered.

        Args:
            session: The scene.
            first: Answers that exist.
            answer: How queries are localized.
            stages: Where progress and warnings are reported.

        Raises:
            ModelError: No question was answered at all.
        """
        questions = self.questions
        points = PointSet(questions.queries, tuple(first), questions.plan)
        with stages.stage("ask until sure") as bar:
            found = ask_adaptively(
                session,
                points,
                questions.pointer,
                self.mark_selector,
                side=questions.side,
                answer=answer,
                config=self.config,
                progress=bar,
            )
            bar.note(str(found.count))
        for error in found.errors:
            stages.warn(f"not every question was answered: {error}")
        return found


def adaptive_asking(
    questions: Questions | None, mark_selector: MarkSelector | None, config: AdaptiveConfig | None
) -> AdaptiveAsking | None:
    """Return what asks adaptively, if anything does; crops are among its questions then."""
    if questions is None or config is None:
        return None
    return AdaptiveAsking(replace(questions, zoom=None), mark_selector, config)


class EarlyFrames:
    """Passes on few of the frames that arrive one after the other: the first, third, seventh, and so on.

    How many will come is unknown, so those that are asked about grow apart.
    """

    def __init__(self, ask: Callable[[Sequence[Frame]], None], asking: AdaptiveAsking):
        """Pass frames on to ``ask``."""
        self._ask, self._left, self._arrived = ask, asking.config.start, 0

    def __call__(self, frames: Sequence[Frame]) -> None:
        """Take the next frames."""
        for frame in frames:
            self._arrived += 1
            if self._left and (self._arrived & (self._arrived + 1)) == 0:
                self._left -= 1
                self._ask([frame])
