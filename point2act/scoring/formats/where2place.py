"""Where2Place of RoboPoint: point_questions.jsonl, images/ and masks/00.jpg, masks/01.jpg and so on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from point2act.core.errors import ScoringError
from point2act.data.capture.images import read_channels
from point2act.scoring.formats.files import check_folder, check_questions, find_file
from point2act.scoring.formats.format import Format
from point2act.scoring.metrics import mean_in_mask
from point2act.scoring.published import read_absolute_tuples, read_tags, read_tuples
from point2act.scoring.questions import Question, Target
from point2act.scoring.replies import PUBLISHED

_QUESTIONS = "point_questions.jsonl"
_FORM = "Your answer should be formatted"
"""Start of the sentences about the form of the answer, in the questions of RoboPoint and others."""


def instruction(text: str) -> str:
    """Return a question without the sentences about the form of the answer."""
    return text.partition(_FORM)[0].strip() or text


def read_where2place(folder: Path) -> tuple[Question, ...]:
    """Read the questions of a folder.

    Args:
        folder: The data set's folder.

    Returns:
        The questions in the order of the file, which is that of the masks' numbers.

    Raises:
        ScoringError: A file is missing or malformed.
    """
    from point2act.core.documents import check_lines
    from point2act.scoring.formats.documents import Where2PlaceEntry

    check_folder(folder)
    questions = []
    entries = check_lines(Where2PlaceEntry, folder / _QUESTIONS, ScoringError)
    for number, (place, entry) in enumerate(entries):
        questions.append(
            Question(
                id=entry.question_id,
                image=find_file(folder, f"images/{entry.image}", place=place),
                text=instruction(entry.text),
                category=entry.category,
                mask=find_file(folder, f"masks/{number:02d}.jpg", place=place),
                prompt=entry.text,
            )
        )
    check_questions(questions, folder)
    return tuple(questions)


def read_grey_mask(question: Question) -> Target:
    """Read a mask whose grey values, of 255, are the scores of its pixels."""
    assert question.mask is not None
    values = read_channels(question.mask)[..., 0] / np.float64(255)
    return Target.of_mask(values)


WHERE2PLACE = Format(
    name="where2place",
    title="Where2Place",
    metric="the mean grey value of the mask, of 255, at the points; points outside the image are 0",
    read=read_where2place,
    target=read_grey_mask,
    score=mean_in_mask,
    readers={
        PUBLISHED: read_tuples,
        "robopoint": read_tuples,
        "robobrain2": read_absolute_tuples,
        "molmo": read_tags,
    },
)
