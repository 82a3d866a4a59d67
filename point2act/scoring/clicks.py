"""A person's clicks, as the viewer saves them in points.json, as answers to the questions of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from point2act.core import types
from point2act.core.errors import ScoringError
from point2act.core.files import brief
from point2act.data.capture.images import image_size
from point2act.data.points import PERSON, read_points
from point2act.data.run_manifest import NAME as RUN
from point2act.data.run_manifest import read_run
from point2act.scoring.answers import Answer
from point2act.scoring.questions import Question, QuestionId

_DIALECT = "robopoint"
"""Fractions of the image, which every format reads."""


def read_clicks(path: Path, questions: Sequence[Question]) -> dict[QuestionId, Answer]:
    """Read a person's clicks from a points.json.

    A click answers the question whose words the query has, about the image that was clicked. Images are those
    of the capture in the run.json beside the file, else of the file's folder.

    Args:
        path: File to read.
        questions: The questions.

    Returns:
        The answers by the ids of their questions; questions without a click are left out.

    Raises:
        ScoringError: There is no click in it, or one that answers no question.
        Point2ActError: The file or the run.json is malformed.
    """
    points = read_points(path)
    clicks = [answer for answer in points.answers if answer.model == PERSON]
    if not clicks:
        raise ScoringError(
            f"{path} has no clicks of a person: click in the page, or give the models' replies"
        )
    folder = read_run(path.parent).capture if (path.parent / RUN).is_file() else path.parent
    texts = {query.name: query.text for query in points.queries}
    asked: dict[tuple[Path, str], list[Question]] = {}
    for question in questions:
        asked.setdefault((question.image.resolve(), _plain(question.text)), []).append(question)
    answers: dict[QuestionId, Answer] = {}
    for click in clicks:
        text = texts[click.query]
        found = asked.get(((folder / click.image).resolve(), _plain(text)), [])
        if not found:
            raise ScoringError(
                f"{path}: no question of the data set asks {brief(text)} about {folder / click.image}: write "
                "the query in the words of the question, and leave points.json beside its run.json"
            )
        answers |= {question.id: _reply(click, question) for question in found}
    return answers


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _reply(click: types.Answer, question: Question) -> Answer:
    height, width = image_size(question.image)
    pairs = ", ".join(f"({x / width:.9f}, {y / height:.9f})" for x, y in click.points)
    return Answer(f"[{pairs}]", dialect=_DIALECT, shown=(height, width))
