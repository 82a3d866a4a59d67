"""Scores of answers: of each question, and their means with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from point2act.core.types import ProgressCallback
from point2act.data.capture.images import image_size, read_channels
from point2act.scoring.answers import Answer
from point2act.scoring.formats.format import Format
from point2act.scoring.questions import Mark, Question, QuestionId, Target
from point2act.scoring.replies import Frame, Reading, read_reply

_Z = 1.959964
"""Quantile of the normal distribution for intervals of 95 %."""


@dataclass(frozen=True)
class Mean:
    """A mean score with its interval of 95 %."""

    value: float
    low: float
    high: float
    count: int
    """Number of questions."""


@dataclass(frozen=True)
class Score:
    """Score of one answer."""

    question: Question
    score: float
    marks: tuple[Mark, ...]
    """Points and boxes in pixels of the image."""
    counted: bool
    """Whether the evaluation of the data set's authors has it in its mean."""
    answer: Answer | None = None
    problem: str = ""
    """Why the reply could not be read."""
    recall: float | None = None
    """Score of the best of the first three points; None if there are none, and in formats without it."""


@dataclass(frozen=True)
class Answers:
    """Answers of one model or person."""

    name: str
    dialect: str
    by_question: Mapping[QuestionId, Answer]


@dataclass(frozen=True)
class Baselines:
    """Scores of pointing without looking at the image."""

    middle: Mean
    """Of the middle of the image."""
    random: Mean
    """Of one random point in each image."""
    area: float | None
    """Expected score of a random point: the target's share of the image; None for grasp rectangles."""
    thing: Mean | None = None
    """Of a random visible object of each image; None where a format has no images of objects."""
    person: Mean | None = None
    """Of a person's clicks, over the questions that were clicked; None without any."""


def mean_score(scores: Sequence[float]) -> Mean | None:
    """Return the mean of scores in [0, 1] with Wilson's interval; None without scores.

    For scores between 0 and 1 the interval is too wide rather than too narrow, because their variance is at
    most that of zeros and ones with the same mean.

    Source: Wilson (1927), equation 6.
    """
    if not scores:
        return None
    count = len(scores)
    value = math.fsum(scores) / count
    middle = (value + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    return Mean(value, min(max(0.0, middle - half), value), max(min(1.0, middle + half), value), count)


def mean_difference(first: Sequence[Score], second: Sequence[Score]) -> Mean | None:
    """Return the mean difference of two models on the same questions; None without questions.

    The interval is the normal one of paired differences.
    """
    differences = np.array([b.score - a.score for a, b in zip(first, second, strict=True)])
    if len(differences) == 0:
        return None
    value = float(differences.mean())
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 1.0
    half = _Z * spread / math.sqrt(len(differences))
    return Mean(value, value - half, value + half, len(differences))


def score_answers(
    answers: Sequence[Answers],
    questions: Sequence[Question],
    form: Format,
    *,
    person: Answers | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> tuple[list[tuple[Score, ...]], Baselines]:
    """Score the answers of several models to the same questions, and the baselines.

    Args:
        answers: Answers of each model.
        questions: The questions of a data set, at least one.
        form: Its format.
        person: A person's clicks, for the baseline.
        seed: Seed of the random points and objects.
        progress: Called with the number of questions that were scored, and of all.

    Returns:
        For each model the score of each question, and the scores of the baselines.

    Raises:
        CaptureError: An image or mask cannot be read.
    """
    rng, choice = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    found: list[list[Score]] = [[] for _ in answers]
    guesses: dict[str, list[float]] = {"middle": [], "random": [], "thing": [], "person": []}
    areas = []
    for number, question in enumerate(questions):
        target = form.target(question)
        height, width = target.frame
        for scores, given in zip(found, answers, strict=True):
            scores.append(_score(given, question, target, form))
        guesses["middle"].append(form.score([form.guess(width / 2, height / 2, target)], question, target))
        x, y = rng.random(2) * [width, height]
        place = form.guess(float(x), float(y), target)
        guesses["random"].append(form.score([place], question, target))
        thing = random_thing(question, choice)
        if thing is not None:
            guesses["thing"].append(form.score([thing], question, target))
        if person is not None and question.id in person.by_question:
            guesses["person"].append(_score(person, question, target, form).score)
        area = target.area()
        if area is not None:
            areas.append(area if question.count in (None, 1) else 0.0)
        if progress is not None:
            progress(number + 1, len(questions))
    middle, random, thing, person_mean = (mean_score(scores) for scores in guesses.values())
    assert middle is not None
    assert random is not None
    baselines = Baselines(middle, random, float(np.mean(areas)) if areas else None, thing, person_mean)
    return [tuple(scores) for scores in found], baselines


def random_thing(question: Question, rng: np.random.Generator) -> Mark | None:
    """Return the innermost pixel of a random object that can be seen in an image, in pixels.

    Returns None without an image that numbers the objects, or without an object in it.
    """
    if question.objects is None:
        return None
    numbers = read_channels(question.objects)[..., 0]
    seen = np.unique(numbers[numbers > 0])
    if not len(seen):
        return None
    depth = np.asarray(distance_transform_edt(np.pad(numbers == rng.choice(seen), 1)))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(column) + 0.5, float(row) + 0.5


def _score(given: Answers, question: Question, target: Target, form: Format) -> Score:
    answer = given.by_question.get(question.id)
    if answer is None:
        return Score(question, 0.0, (), form.unanswered_counts)
    size = image_size(question.image)
    frame = Frame(target.frame, answer.shown or size, answer.input)
    reading = read_reply(answer.reply, answer.dialect or given.dialect, frame, form.readers)
    nothing = "" if reading.marks or question.absent else "it says that there is nothing"
    problem = reading.problem or nothing
    return Score(
        question,
        0.0 if problem else form.score(reading.marks, question, target),
        _on_image(reading, target, size),
        counted=not reading.skipped,
        answer=answer,
        problem=problem,
        recall=None if form.recall is None or problem else form.recall(reading.marks, question, target),
    )


def _on_image(reading: Reading, target: Target, size: tuple[int, int]) -> tuple[Mark, ...]:
    """Return points and boxes in pixels of an image."""
    across, down = size[1] / target.frame[1], size[0] / target.frame[0]
    return tuple(
        tuple(float(number * (down if axis % 2 else across)) for axis, number in enumerate(mark))
        for mark in reading.marks
    )


def by_category(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Group scores by the categories of their questions, in the order of the data set."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.question.category, []).append(score)
    return groups


def overall(scores: Sequence[Score]) -> Mean | None:
    """Return the mean as the data set's authors compute it; None if nothing counts."""
    return mean_score([score.score for score in scores if score.counted])


def overall_all(scores: Sequence[Score]) -> Mean | None:
    """Return the mean over all questions, 0 for each without an answer that can be read."""
    return mean_score([score.score for score in scores])


def overall_readable(scores: Sequence[Score]) -> Mean | None:
    """Return the mean over the answers that can be read; None without any."""
    return mean_score([score.score for score in scores if score.answer is not None and not score.problem])


def overall_recall(scores: Sequence[Score]) -> Mean | None:
    """Return the mean R@3 over all questions; None in formats without it."""
    known = [score.recall for score in scores if score.recall is not None]
    return mean_score([*known, *[0.0] * (len(scores) - len(known))]) if known else None


def mean_of(scores: Sequence[Score], value: Callable[[Answer], float | None]) -> float | None:
    """Return the mean of a property of the answers; None where no answer has it."""
    values = [value(score.answer) for score in scores if score.answer is not None]
    known = [number for number in values if number is not None]
    return math.fsum(known) / len(known) if known else None
