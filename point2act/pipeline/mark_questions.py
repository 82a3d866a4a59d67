"""Numbered regions in one image: drawn, asked about, and the replies (set-of-mark prompting)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.errors import Point2ActError
from point2act.core.types import Frame, Query, View
from point2act.data.capture import read_image
from point2act.data.crops import Crop, Window, crop_image
from point2act.pipeline.mark_candidates import make_mark, to_disk_pixels
from point2act.visualization.drawing.set_of_mark import draw_marks
from point2act.vlm.pointing.executor import RequestCounts
from point2act.vlm.pointing.mark_selector import MarkChoice, MarkQuestion, MarkSelector, reply_instruction

_log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)

_WHICH = """\
The photograph shows {count} outlined regions. Each has a number in a dark disc, which stands on the region or
is tied to it by a line of the outline's colour.
Which number marks {query}? It may be marked in part only, or be a part of what is marked. Where one region
lies within another, choose the one that fits better: the part alone, or the whole.
"""


@dataclass(frozen=True, eq=False)
class ShownView:
    """One view that is asked about a query."""

    frame: Frame
    view: View
    numbers: Mapping[str, int]
    """The visible candidates by the numbers they have in this view."""
    masks: Mapping[str, Bool[np.ndarray, "h w"]]
    """Pixels of each of them; one may lie within another."""


@dataclass(frozen=True, eq=False)
class Vote:
    """A reply, and the pixels on disk that each label stands for."""

    choice: MarkChoice
    places: Mapping[str, Float[np.ndarray, "_ 2"]]


def number_question(query: Query, shown: ShownView, side: int) -> MarkQuestion:
    """Show the whole image with a number on every candidate.

    Args:
        query: What is looked for.
        shown: The view and its candidates.
        side: Longer side of the image that is shown, pixels.
    """
    image = read_image(shown.frame)
    crop = crop_image(image, Window(0, 0, image.shape[1], image.shape[0]), side=side)
    masks = shown.masks
    marks = [
        make_mark(shown.frame, shown.view, crop, number, mask, at=_own_pixels(mask, masks))
        for number, mask in masks.items()
    ]
    places = {number: to_disk_pixels(shown.frame, shown.view, mask) for number, mask in masks.items()}
    drawn = Crop(draw_marks(crop.image, marks), crop.window)
    prompt = _WHICH.format(count=len(marks), query=query.text) + reply_instruction(list(places))
    return MarkQuestion(query, shown.frame.name, drawn, places, prompt)


def _own_pixels(
    mask: Bool[np.ndarray, "h w"], masks: Mapping[str, Bool[np.ndarray, "h w"]]
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of a mask that lie in no smaller one; all of them if there are none."""
    smaller = [other for other in masks.values() if other.sum() < mask.sum()]
    own = mask & ~np.logical_or.reduce([np.zeros_like(mask), *smaller])
    return own if own.any() else mask


def ask_all(
    mark_selector: MarkSelector, questions: Mapping[K, Callable[[], MarkQuestion]]
) -> tuple[dict[K, Vote], RequestCounts, str]:
    """Ask several questions at once, each drawn when its turn comes.

    Returns:
        The answers of those that got one, the counts and the first error.
    """

    def ask(question: Callable[[], MarkQuestion]) -> Vote | Point2ActError:
        try:
            drawn = question()
            return Vote(mark_selector.select(drawn), drawn.places)
        except Point2ActError as err:
            _log.debug("no mark was selected: %s", err)
            return err

    with ThreadPoolExecutor(mark_selector.concurrency, thread_name_prefix="marks") as pool:
        outcomes = list(pool.map(ask, questions.values()))
    votes = {key: vote for key, vote in zip(questions, outcomes, strict=True) if isinstance(vote, Vote)}
    errors = [str(error) for error in outcomes if not isinstance(error, Vote)]
    cached = sum(vote.choice.cached for vote in votes.values())
    count = RequestCounts(len(outcomes), len(votes) - cached, cached, len(errors))
    return votes, count, next(iter(errors), "")


def added(a: RequestCounts, b: RequestCounts) -> RequestCounts:
    """Return the sum of two counts."""
    return RequestCounts(a.total + b.total, a.asked + b.asked, a.cached + b.cached, a.failed + b.failed)
