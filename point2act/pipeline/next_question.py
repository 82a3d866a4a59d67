"""Which question to ask next about a query: that with the most expected information per cost. numpy only.

What may be meant is one of a few rival places, another place in the scene, or nothing in it. A question has
a reply with some probability if each of them is meant; its worth is the mutual information of reply and
meaning (Lindley 1956), in nats. Pure functions of probabilities and angles: no model, no image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Kind = Literal["view", "crop", "choice"]
OTHERS = 3
"""Number of places that stand for all that are no rivals: a point separates them, a choice cannot."""
MARKED = 0.5
"""Probability of being visible above which a rival is marked in a choice."""


@dataclass(frozen=True)
class QuestionRates:
    """Errors and costs that are expected of replies. All chosen."""

    wrong: float = 0.3
    """Probability of a wrong point in a whole image where the target is visible."""
    wrong_in_crop: float = 0.25
    """Likewise in a crop."""
    wrong_choice: float = 0.2
    """Probability that a wrong mark is chosen, or none although the target is marked."""
    agreeing: float = 0.6
    """Probability that a wrong point is on one of the rivals."""
    missed: float = 0.1
    """Probability of "not visible" where the target is visible."""
    pointed: float = 0.4
    """Probability of a point, or of a chosen mark, where the target is not visible."""
    jitter: float = 0.02
    """Standard deviation of a point, radians; of one in a crop it is ``jitter_in_crop``."""
    jitter_in_crop: float = 0.012
    near: float = 0.5
    """Angle between directions of view below which errors are expected to be shared, radians."""
    shared: float = 0.5
    """Worth of a question from where another one was asked, relative to one from elsewhere."""
    crop_cost: float = 1.0
    """Cost of a question about a crop, relative to one about a whole image."""
    choice_cost: float = 1.0
    """Likewise of a choice."""


@dataclass(frozen=True, eq=False)
class Belief:
    """What is known about one query, and what every view would show of it."""

    rivals: Float[np.ndarray, " m"]
    """Probability of each rival place, likeliest first."""
    absent: float
    """Probability that it is not in the scene; the rest of 1 is other places in it."""
    visible: Float[np.ndarray, "v m"]
    """Probability that each view shows each rival."""
    visible_in_crop: Float[np.ndarray, "v m"]
    """Likewise in a crop about the rivals that each view shows."""
    angle: Float[np.ndarray, "v m m"]
    """Angle between two rivals as each view shows them, radians."""

    @property
    def meanings(self) -> Float[np.ndarray, " h"]:
        """Probabilities of the rivals, of each of ``OTHERS`` other places, and of nothing in the scene."""
        other = max(1 - float(self.rivals.sum()) - self.absent, 0.0)
        every = np.concatenate([self.rivals, np.full(OTHERS, other / OTHERS), [self.absent]])
        return every / max(every.sum(), 1e-12)


@dataclass(frozen=True)
class Question:
    """One question that can be asked."""

    kind: Kind
    view: int


def next_question(
    belief: Belief,
    open_questions: Sequence[Question],
    nearness: Float[np.ndarray, " v"],
    *,
    rates: QuestionRates = QuestionRates(),
) -> Question | None:
    """Return the question with the highest expected information for its cost; None if none has any.

    Args:
        belief: What is known.
        open_questions: Questions to choose from; the first of equals is asked.
        nearness: Angle between every view's direction and the nearest one that was asked before, radians.
        rates: Expected errors and costs.
    """
    cost = {"view": 1.0, "crop": rates.crop_cost, "choice": rates.choice_cost}
    new = rates.shared + (1 - rates.shared) * np.minimum(nearness / rates.near, 1.0)
    worth = [
        float(new[one.view]) * information(belief, one, rates=rates) / cost[one.kind]
        for one in open_questions
    ]
    best = int(np.argmax(worth)) if worth else -1
    return open_questions[best] if worth and worth[best] > 1e-6 else None


def information(belief: Belief, question: Question, *, rates: QuestionRates = QuestionRates()) -> float:
    """Return the mutual information of the reply to a question and what is meant, nats."""
    replies = reply_probabilities(belief, question, rates)
    meanings = belief.meanings
    return max(_entropy(meanings @ replies) - float(meanings @ [_entropy(row) for row in replies]), 0.0)


def _entropy(probabilities: Float[np.ndarray, " n"]) -> float:
    some = probabilities[probabilities > 0]
    return float(-(some * np.log(some)).sum())


def reply_probabilities(belief: Belief, question: Question, rates: QuestionRates) -> Float[np.ndarray, "h r"]:
    """Return the probability of each reply given each meaning: a rival, another place, or nothing."""
    if question.kind == "choice":
        return _choices(belief.visible[question.view], rates)
    cropped = question.kind == "crop"
    return _points(
        belief.rivals,
        (belief.visible_in_crop if cropped else belief.visible)[question.view],
        belief.angle[question.view],
        rates.wrong_in_crop if cropped else rates.wrong,
        rates.jitter_in_crop if cropped else rates.jitter,
        elsewhere=0.1 if cropped else 0.7,
        rates=rates,
    )


def _points(
    rivals: Float[np.ndarray, " m"],
    visible: Float[np.ndarray, " m"],
    angle: Float[np.ndarray, "m m"],
    wrong: float,
    jitter: float,
    *,
    elsewhere: float,
    rates: QuestionRates,
) -> Float[np.ndarray, "h r"]:
    """Return reply probabilities of a point.

    Args:
        rivals: Probability of each rival.
        visible: Probability that each is visible.
        angle: Angle between each two of them.
        wrong: Probability of a wrong point.
        jitter: Standard deviation of points, radians.
        elsewhere: Probability that something else is visible.
        rates: Other errors.
    """
    count = len(rivals)
    # A point on one rival is taken for another one that is near in the image.
    blur = np.exp(-(angle**2) / (4 * jitter**2)) * (visible[None] > 0.05)
    np.fill_diagonal(blur, 1.0)
    blur /= blur.sum(axis=1, keepdims=True)
    seen = np.concatenate([visible, np.full(OTHERS, elsewhere), [0.0]])
    places = count + OTHERS
    pointed = seen * (1 - rates.missed) * wrong + (1 - seen) * rates.pointed
    pull = np.broadcast_to(rivals * visible, (places + 1, count)).copy()
    pull[np.arange(count), np.arange(count)] = 0.0
    total = pull.sum(axis=1, keepdims=True)
    pull = np.divide(pull, total, out=np.zeros_like(pull), where=total > 0)
    on_rivals = rates.agreeing * (total[:, 0] > 0)
    replies = np.zeros((places + 1, places + 1))
    replies[:, :count] = (pointed * on_rivals)[:, None] * (pull @ blur)
    replies[:, count:places] = (pointed * (1 - on_rivals) / OTHERS)[:, None]
    right = seen * (1 - rates.missed) * (1 - wrong)
    replies[:count, :count] += right[:count, None] * blur
    replies[range(count, places), range(count, places)] += right[count:places]
    replies[:, -1] = 1 - replies[:, :-1].sum(axis=1)
    return np.maximum(replies, 0.0)


def _choices(visible: Float[np.ndarray, " m"], rates: QuestionRates) -> Float[np.ndarray, "h r"]:
    """Return reply probabilities of a choice among the rivals that a view shows."""
    count = len(visible)
    marked = visible > MARKED
    if marked.sum() < 2:
        return np.tile(np.append(np.zeros(count), 1.0), (count + OTHERS + 1, 1))
    replies = np.zeros((count + OTHERS + 1, count + 1))
    evenly = marked / marked.sum()
    for rival in range(count):
        if marked[rival]:
            others = np.where(np.arange(count) == rival, 0.0, evenly)
            replies[rival, :count] = 0.75 * rates.wrong_choice * others / others.sum()
            replies[rival, rival] = 1 - rates.wrong_choice
        else:
            replies[rival, :count] = rates.pointed * evenly
    replies[count:, :count] = rates.pointed * evenly
    replies[:, -1] = 1 - replies[:, :-1].sum(axis=1)
    return replies
