"""All answers to a query as a scene's views have them: whole images, crops and choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import from_tangents, to_tangents
from point2act.core.types import Answer, Capture, Choice, Frame, PointSet, View, ViewAnswers
from point2act.data.capture import disk_to_view
from point2act.data.points import pointed_by_person
from point2act.localization.further_answers import CropAnswer, FurtherAnswers, MarkVote
from point2act.localization.relevancy import answers_in_views


@dataclass(frozen=True, eq=False)
class QueryAnswers:
    """The answers to one query that count."""

    whole: ViewAnswers
    """Pixels in every view that was shown as a whole; empty for "not visible", None if not asked."""
    further: FurtherAnswers = field(default_factory=FurtherAnswers)

    @property
    def count(self) -> int:
        """Number of answers and choices in all, those that say "not visible" included."""
        whole = sum(pixels is not None for pixels in self.whole)
        return whole + len(self.further.crops) + len(self.further.votes)

    def tangents(self, views: Sequence[View]) -> ViewAnswers:
        """Return the answers about whole views as tangents."""
        return [
            None if pixels is None else to_tangents(view.camera, pixels)
            for pixels, view in zip(self.whole, views, strict=True)
        ]

    def by_view(self, views: Sequence[View]) -> ViewAnswers:
        """Return one answer of every view, in pixels: the points of its crop, else those of the whole view.

        A view that was asked nothing but a choice answers with the middle of the chosen mark.
        """
        found: list[Float[np.ndarray, "_ 2"] | None] = list(self.whole)
        for vote in self.further.votes:
            if vote.chosen is not None and found[vote.view] is None:
                found[vote.view] = from_tangents(views[vote.view].camera, _middle(vote.marks[vote.chosen]))
        for crop in self.further.crops:
            if len(crop.points) or found[crop.view] is None:
                found[crop.view] = from_tangents(views[crop.view].camera, crop.points)
        return found


def query_answers(
    points: PointSet, capture: Capture, views: Sequence[View], known: dict[Choice, MarkVote]
) -> list[QueryAnswers]:
    """Return the answers to every query, in the order of the queries.

    Args:
        points: Queries, answers and choices, in pixels of the images on disk.
        capture: Capture that they refer to.
        views: Loaded views, possibly resized and undistorted.
        known: Choices that were converted before; new ones are added.
    """
    numbers = {view.name: number for number, view in enumerate(views)}
    frames = {frame.name: frame for frame in capture.frames}
    whole = replace(points, answers=tuple(answer for answer in points.answers if answer.window is None))
    by_person = pointed_by_person(points.answers)
    crops: dict[str, list[CropAnswer]] = {}
    votes: dict[str, list[MarkVote]] = {}
    for answer in points.answers:
        if answer.window is not None and answer.image in numbers and answer.query not in by_person:
            number = numbers[answer.image]
            crops.setdefault(answer.query, []).append(
                _crop(answer, frames[answer.image], views[number], number)
            )
    for choice in points.choices:
        if choice.image in numbers and choice.query not in by_person:
            if choice not in known:
                number = numbers[choice.image]
                marks = tuple(_tangents(frames[choice.image], views[number], mark) for mark in choice.marks)
                known[choice] = MarkVote(number, marks, choice.chosen)
            votes.setdefault(choice.query, []).append(known[choice])
    return [
        QueryAnswers(pixels, FurtherAnswers(tuple(crops.get(name, ())), tuple(votes.get(name, ()))))
        for name, pixels in zip(
            (query.name for query in points.queries), answers_in_views(whole, capture, views), strict=True
        )
    ]


def _crop(answer: Answer, frame: Frame, view: View, number: int) -> CropAnswer:
    assert answer.window is not None
    left, top, width, height = answer.window
    corners = _tangents(frame, view, np.array([[left, top], [left + width, top + height]], dtype=float))
    return CropAnswer(number, _tangents(frame, view, answer.points), corners[0], corners[1])


def _middle(mark: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "1 2"]:
    """Return the sample of a mark that is nearest to the mean of all."""
    return mark[[int(np.linalg.norm(mark - mark.mean(axis=0), axis=1).argmin())]]


def _tangents(frame: Frame, view: View, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    return to_tangents(view.camera, disk_to_view(frame, view, pixels))
