"""reasoning-tables of point2act itself: questions.jsonl, captures and masks/, as the simulator has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from point2act.core.errors import ScoringError
from point2act.data.capture.images import image_size, read_mask
from point2act.data.capture.read import NAME as TRANSFORMS
from point2act.scoring.formats.files import check_folder, check_questions, find_file
from point2act.scoring.formats.format import Format
from point2act.scoring.metrics import first_in_mask, three_in_mask
from point2act.scoring.questions import Question, Target

QUESTIONS = "questions.jsonl"


def read_reasoning(folder: Path) -> tuple[Question, ...]:
    """Read the questions of a folder.

    Args:
        folder: Folder that the simulator wrote.

    Returns:
        The questions; those without a mask ask for what is not there.

    Raises:
        ScoringError: A file is missing or malformed.
    """
    from point2act.core.documents import check_lines
    from point2act.scoring.formats.documents import ReasoningEntry

    check_folder(folder)
    questions = []
    for place, entry in check_lines(ReasoningEntry, folder / QUESTIONS, ScoringError):
        questions.append(
            Question(
                id=entry.id,
                image=find_file(folder, entry.image, place=place),
                text=entry.text,
                category=entry.category,
                mask=None if entry.mask is None else find_file(folder, entry.mask, place=place),
                absent=entry.mask is None,
                split=entry.split,
                capture=None if entry.capture is None else _capture(folder, entry.capture, place),
                object=entry.object,
                part=entry.part,
                objects=None if entry.objects is None else find_file(folder, entry.objects, place=place),
            )
        )
    check_questions(questions, folder)
    return tuple(questions)


def _capture(folder: Path, name: str, place: str) -> Path:
    return find_file(folder, f"{name}/{TRANSFORMS}", place=place).parent


def visible_target(question: Question) -> Target:
    """Read the mask of a question, all 0 for what is not there."""
    if question.mask is None:
        return Target.of_mask(np.zeros(image_size(question.image)))
    return Target.of_mask(read_mask(question.mask).astype(np.float64))


REASONING = Format(
    name="reasoning",
    title="reasoning-tables",
    metric="1 if the first point is in the mask, or if it is answered that what is not there is not there",
    read=read_reasoning,
    target=visible_target,
    score=first_in_mask,
    recall=three_in_mask,
    readers={},
    dialect="auto",
    unanswered_counts=True,
)
