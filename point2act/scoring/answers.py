"""Stored answers: a file of JSON lines with a question's id and a model's reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from point2act.core.errors import ScoringError
from point2act.core.files import brief, read_json_lines, write_text
from point2act.scoring.questions import Question, QuestionId, Size, index_questions

_NAMED = 3
"""Number of ids that a message lists."""


@dataclass(frozen=True)
class Answer:
    """A model's reply to a question."""

    reply: str
    seconds: float | None = None
    """Duration of the request; None if unknown."""
    tokens: tuple[int, int] | None = None
    """Number of tokens read and written; None if unknown."""
    shown: Size | None = None
    """Height and width of the image that was shown, pixels; None for the image on disk."""
    input: Size | None = None
    """Height and width of the processor's image, pixels; None if unknown."""
    cost: float | None = None
    """US dollars; None if unknown."""
    dialect: str | None = None
    """How the reply writes points; None for the dialect of all answers."""


def read_answers(path: Path, questions: Sequence[Question]) -> dict[QuestionId, Answer]:
    """Read stored answers to the questions of a data set.

    A line is ``{"id": 7, "reply": "[(0.4, 0.6)]"}``; RoboPoint's names ``question_id`` and ``text`` will do.

    Args:
        path: File to read.
        questions: The questions. An id may be a number or text, and any of a question's aliases.

    Returns:
        The answers by the ids of their questions; questions without an answer are left out.

    Raises:
        ScoringError: The file is malformed, or has an unknown or ambiguous id, or one id twice.
    """
    from point2act.core.documents import check
    from point2act.scoring.formats.documents import AnswerEntry

    index = index_questions(questions)
    answers: dict[QuestionId, Answer] = {}
    for place, value in read_json_lines(path, ScoringError):
        entry = check(AnswerEntry, _renamed(value), ScoringError, place=place)
        question = _find(index, entry.id, entry.category, questions, place)
        if question.id in answers:
            raise ScoringError(f"{place}: there are two answers to question {brief(entry.id)}: keep one")
        given = entry.model_dump(exclude={"id", "category"})
        answers[question.id] = Answer(**given)
    return answers


def write_answers(path: Path, answers: Mapping[QuestionId, Answer]) -> None:
    """Write answers as lines that ``read_answers`` reads, atomically."""
    lines = []
    for name, answer in answers.items():
        entry = {"id": name, **asdict(answer)}
        given = {key: value for key, value in entry.items() if value is not None}
        lines.append(json.dumps(given, allow_nan=False))
    write_text(path, "".join(f"{line}\n" for line in lines))


def _renamed(value: Any) -> Any:
    """Return an entry with RoboPoint's keys renamed."""
    if not isinstance(value, dict):
        return value
    names = {"question_id": "id", "text": "reply"}
    known = {names[key]: found for key, found in value.items() if key in names}
    return known | {key: found for key, found in value.items() if key not in names}


def _find(
    index: Mapping[str, tuple[Question, ...]],
    name: QuestionId,
    category: str | None,
    questions: Sequence[Question],
    place: str,
) -> Question:
    found = index.get(f"{category}/{name}", ()) or index.get(str(name), ()) or _of_folders(questions, name)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(question.id) for question in found[:_NAMED])
        raise ScoringError(f"{place}: 'id' {brief(name)} may be any of {names}: write one of these")
    examples = ", ".join(brief(question.id) for question in questions[:_NAMED])
    raise ScoringError(
        f"{place}: there is no question {brief(name)} in the data set: its ids are such as {examples}"
    )


def _of_folders(questions: Sequence[Question], name: QuestionId) -> tuple[Question, ...]:
    """Return the questions that have an id in different folders of a data set."""
    return tuple(question for question in questions if str(question.id).endswith(f"/{name}"))
