"""RoboSpatial-Home, its questions about points: JSON files beside images/, as its script writes them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np

from point2act.core.errors import ScoringError
from point2act.core.files import brief, read_json
from point2act.scoring.formats.files import check_folder, check_questions, find_file
from point2act.scoring.formats.format import Format
from point2act.scoring.formats.where2place import instruction
from point2act.scoring.metrics import first_in_polygon
from point2act.scoring.published import read_first_pair, read_tags
from point2act.scoring.questions import Question, Target
from point2act.scoring.replies import PUBLISHED

_SIDES = 3
"""Minimum number of corners."""


def read_robospatial(folder: Path) -> tuple[Question, ...]:
    """Read the questions about points of a folder; those with the answers yes and no are left out.

    Args:
        folder: The data set's folder.

    Returns:
        The questions, called by their positions in the file, or ``FILE/3`` if there are several files.

    Raises:
        ScoringError: A file is missing or malformed.
    """
    check_folder(folder)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ScoringError(f"{folder} has no .json file with questions: check --data")
    questions = tuple(question for path in files for question in _read_file(path, alone=len(files) == 1))
    check_questions(questions, folder)
    return questions


def _read_file(path: Path, *, alone: bool) -> list[Question]:
    from point2act.core.documents import check
    from point2act.scoring.formats.documents import RoboSpatialEntry

    document = read_json(path, ScoringError)
    questions = []
    for number, value in enumerate(document if isinstance(document, list) else [document]):
        place = f"{path}, entry {number}"
        entry = check(RoboSpatialEntry, value, ScoringError, place=place)
        if not entry.question or not entry.answer or entry.answer.strip().lower() in ("yes", "no"):
            continue
        image = entry.img or ""
        own = number if alone else f"{path.stem}/{number}"
        questions.append(
            Question(
                id=own if entry.id is None else entry.id,
                image=find_file(path.parent, image or "img", place=place),
                text=instruction(entry.question),
                category=entry.category or "unknown",
                polygon=_polygon(entry.answer, place),
                prompt=entry.question,
                aliases=(image, Path(image).name, Path(image).stem, str(number)),
            )
        )
    return questions


def _polygon(answer: str, place: str) -> tuple[tuple[float, float], ...]:
    """Return the corners in an answer such as ``[(0.38, 0.87), (0.39, 0.99), …]``."""
    try:
        corners: Any = ast.literal_eval(answer.strip())
        polygon = tuple((float(x), float(y)) for x, y in corners)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, OverflowError):
        polygon = ()
    if len(polygon) < _SIDES or not np.isfinite(polygon).all():
        raise ScoringError(
            f"{place}: 'answer' is {brief(answer)}: write yes, no, or a list of 3 or more corners (x, y)"
        )
    return polygon


def polygon_target(question: Question) -> Target:
    """Return the polygon, in fractions of the image."""
    return Target((1, 1), polygon=np.array(question.polygon))


ROBOSPATIAL = Format(
    name="robospatial",
    title="RoboSpatial-Home, pointing",
    metric="1 if the first point is in the polygon",
    read=read_robospatial,
    target=polygon_target,
    score=first_in_polygon,
    readers={PUBLISHED: read_first_pair, "robopoint": read_first_pair, "molmo": read_tags},
)
