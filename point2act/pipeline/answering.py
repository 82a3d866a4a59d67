"""From a session and the answers to its queries, recorded or asked for, to results."""

from __future__ import annotations

from dataclasses import dataclass, replace

from point2act.core.progress import Stages
from point2act.core.types import PointSet
from point2act.grasping.end_effector import EndEffector
from point2act.pipeline.adaptive import AdaptiveAsking
from point2act.pipeline.mark_questions import added
from point2act.pipeline.mark_selection import MarkSelectionConfig, ask_with_marks
from point2act.pipeline.planning import Planner
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import SessionResult
from point2act.vlm.pointing.ask import Answers, PointingJob, wait_for_answers
from point2act.vlm.pointing.mark_selector import MarkSelector


@dataclass(frozen=True, eq=False)
class AnswerSource:
    """Where the answers to a run's queries come from."""

    known: PointSet | None
    """Recorded points; None if a model is asked, or if there are none."""
    job: PointingJob | None
    """Questions that a model is being asked; None if it is not."""
    further: AdaptiveAsking | MarkSelector | None
    """Asks on adaptively, or selects among numbered regions, see ``ask_with_marks``."""

    @property
    def exists(self) -> bool:
        """Whether there are any queries."""
        return self.known is not None or self.job is not None


@dataclass(frozen=True, eq=False)
class Answered:
    """Results, the session that they come from, and the answers that they rest on."""

    session: Session
    results: SessionResult
    points: PointSet
    replies: Answers | None
    """What a model answered, if one was asked."""


def answer(
    session: Session,
    asked: AnswerSource,
    *,
    config: AnswerConfig,
    choosing: MarkSelectionConfig,
    gripper: EndEffector,
    planner: Planner | None,
    stages: Stages,
) -> Answered | None:
    """Wait for the answers, ask on if that is wanted, and localize and plan for every query.

    Args:
        session: The scene.
        asked: Where the answers come from.
        config: How to localize and plan.
        choosing: How a model selects among numbered regions.
        gripper: The gripper or the hand to plan for.
        planner: Replaces the antipodal grasp planner.
        stages: Times and shows the stages.

    Returns:
        The results; None if nothing is asked.
    """
    points, replies, selector = asked.known, None, asked.further
    if asked.job is not None:
        replies = wait_for_answers(asked.job, stages)
        points = replies.points
    if isinstance(selector, AdaptiveAsking):
        if replies is not None:
            more = selector.ask(session, replies.points.answers, answer=config, stages=stages)
            points = more.points
            replies = replace(replies, points=points, count=added(replies.count, more.count))
        selector = None
    if points is None:
        return None
    results, points = ask_with_marks(
        session,
        points,
        selector,
        config=config,
        choosing=choosing,
        gripper=gripper,
        planner=planner,
        stages=stages,
    )
    return Answered(session, results, points, replies)
