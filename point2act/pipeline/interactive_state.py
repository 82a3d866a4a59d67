"""What an interactive session knows at one moment: points, gripper or hand, regions and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from point2act.core.types import Answer, NoAnswer, PointSet, Query, QueryResult, View
from point2act.data.points import effective_answers
from point2act.grasping.end_effector import EndEffector
from point2act.pipeline.query import Localization


@dataclass(frozen=True, eq=False)
class State:
    """Immutable state of an interactive session: points, gripper or hand, and what was computed for them."""

    points: PointSet
    gripper: EndEffector
    localized: dict[str, Localization] = field(default_factory=dict)
    """Regions by the query's name, as far as they are computed."""
    results: dict[str, QueryResult] = field(default_factory=dict)
    """Results by the query's name, as far as they are planned with this gripper or hand."""

    def query(self, name: str) -> Query:
        """Return the query of this name."""
        return next(query for query in self.points.queries if query.name == name)

    def result(self, name: str) -> QueryResult | None:
        """Return a query's planned result, else one with its region alone; None if it is not localized."""
        if name in self.results or name not in self.localized:
            return self.results.get(name)
        one = self.localized[name]
        if isinstance(one.region, NoAnswer):
            return QueryResult(one.query, None, (), one.rivals, one.region.reason, one.region.detail)
        return QueryResult(one.query, one.region, (), one.rivals)

    def counted(self, query: str, image: str) -> bool:
        """Return whether any answer to a query in an image counts."""
        return (query, image) in self._counted

    @cached_property
    def _counted(self) -> frozenset[tuple[str, str]]:
        """Pairs of query and image with an answer that counts."""
        return frozenset((answer.query, answer.image) for answer in effective_answers(self.points.answers))

    def answers(self, query: str, image: str) -> tuple[Answer, ...]:
        """Return all answers to a query in one image."""
        return tuple(a for a in self.points.answers if a.query == query and a.image == image)


@dataclass(frozen=True, eq=False)
class Photo:
    """A captured image at a large size, with the answers to one query in it."""

    view: View
    pixels: Float[np.ndarray, "n 2"] | None
    """Answers as pixels of the view; None if the image was not queried."""
    heat: Float[np.ndarray, "h w"] | None
