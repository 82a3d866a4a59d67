"""What a session answers to a set of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from point2act.core.types import Plan, QueryResult, RelevancyField, ViewAnswers
from point2act.grasping.end_effector import EndEffector
from point2act.pipeline.query import AnswerConfig, Localization


@dataclass(frozen=True, eq=False)
class SessionResult:
    """The results of a set of points, with everything needed to explain them."""

    results: tuple[QueryResult, ...]
    """One per query, in the capture's world frame."""
    relevancy: RelevancyField
    pixels: tuple[ViewAnswers, ...]
    """Per query and view: the answers, as pixels of the view."""
    gripper: EndEffector
    config: AnswerConfig
    plan: Plan | None = None
    """The task plan that the queries belong to, if any."""

    @staticmethod
    def of(
        localized: Sequence[Localization],
        results: Sequence[QueryResult],
        gripper: EndEffector,
        config: AnswerConfig,
        plan: Plan | None = None,
    ) -> SessionResult:
        """Put together the results of at least one query."""
        pixels = tuple(one.context.pixels for one in localized)
        return SessionResult(tuple(results), join_relevancy(localized), pixels, gripper, config, plan)


def join_relevancy(localized: Sequence[Localization]) -> RelevancyField:
    """Return the relevancy of at least one localized query as one field."""
    values = np.stack([one.relevancy for one in localized], axis=1)
    return RelevancyField(tuple(one.query for one in localized), values)
