"""Grasp rectangles: questions.jsonl, images, and files of rectangles as Cornell's or Jacquard's data have."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import ScoringError
from point2act.core.files import read_bytes
from point2act.data.capture.images import image_size
from point2act.scoring.formats.files import check_folder, check_questions, find_file
from point2act.scoring.formats.format import Format
from point2act.scoring.questions import Mark, Question, Target
from point2act.scoring.rectangles import from_center, is_convex, rectangles_match
from point2act.scoring.replies import PUBLISHED, Frame

_QUESTIONS = "questions.jsonl"
_CENTERS = re.compile(r"[-+.\deE]+(?:\s*;\s*[-+.\deE]+){4}")
"""A line of Jacquard's files: x, y, degrees, opening and jaw."""
_GUESS = (0.2, 0.1)
"""Opening and jaw of a guessed rectangle, as fractions of the image's shorter side. Chosen."""


def read_rectangles(folder: Path) -> tuple[Question, ...]:
    """Read the questions of a folder.

    Args:
        folder: Folder with questions.jsonl, its images and its files of rectangles.

    Returns:
        The questions.

    Raises:
        ScoringError: A file is missing or malformed.
    """
    from point2act.core.documents import check_lines
    from point2act.scoring.formats.documents import RectanglesEntry

    check_folder(folder)
    questions = []
    for place, entry in check_lines(RectanglesEntry, folder / _QUESTIONS, ScoringError):
        path = find_file(folder, entry.grasps, place=place)
        questions.append(
            Question(
                id=entry.id,
                image=find_file(folder, entry.image, place=place),
                text=entry.text,
                category=entry.category,
                rectangles=tuple(_mark(each) for each in read_rectangle_file(path)),
            )
        )
    check_questions(questions, folder)
    return tuple(questions)


def read_rectangle_file(path: Path) -> list[Float[np.ndarray, "4 2"]]:
    """Read a file of grasp rectangles in pixels of its image.

    Cornell's files (``pcd0100cpos.txt``) have four lines ``x y`` for each rectangle, the first two along the
    opening; rectangles with a NaN are left out, as there are some. Jacquard's (``…_grasps.txt``) have a line
    ``x;y;degrees;opening;jaw``.

    Args:
        path: File to read.

    Raises:
        ScoringError: The file is malformed, or has no rectangle.
    """
    text = read_bytes(path, ScoringError).decode("utf-8", errors="replace")
    lines = [line.replace(";", " ").split() for line in text.splitlines() if line.strip()]
    try:
        found = _rectangles(np.array(lines, dtype=np.float64))
    except ValueError:
        found = []
    if not found:
        raise ScoringError(
            f"{path} has no grasp rectangles: write four lines 'x y' for each, or a line "
            "'x;y;degrees;opening;jaw'"
        )
    return found


def _rectangles(numbers: Float[np.ndarray, "..."]) -> list[Float[np.ndarray, "4 2"]]:
    """Return the finite rectangles of a table with two or with five columns, none of another."""
    if numbers.ndim != 2 or numbers.shape[1] not in (2, 5):
        return []
    if numbers.shape[1] == 2:
        return [corners for corners in numbers.reshape(-1, 4, 2) if np.isfinite(corners).all()]
    values = numbers[np.isfinite(numbers).all(axis=1)].tolist()
    return [from_center(x, y, np.deg2rad(degrees), opening, jaw) for x, y, degrees, opening, jaw in values]


def read_corner_lists(text: str, frame: Frame) -> list[Mark]:
    """Read rectangles in pixels: four corners ``[[x, y], …]``, a list of such, or Jacquard's lines.

    What is no convex quadrilateral is left out.
    """
    found = [_center_mark(line) for line in _CENTERS.findall(text)] or _listed(text)
    return [mark for mark in found if mark and is_convex(np.reshape(mark, (4, 2)))]


def _center_mark(line: str) -> Mark:
    """Return the corners of one of Jacquard's lines; nothing if its numbers are none."""
    try:
        x, y, degrees, opening, jaw = (float(number) for number in line.split(";"))
    except ValueError:
        return ()
    return _mark(from_center(x, y, np.deg2rad(degrees), opening, jaw))


def _listed(text: str) -> list[Mark]:
    try:
        values: Any = json.loads(text[text.find("[") : text.rfind("]") + 1])
        corners = np.array(values, dtype=np.float64)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return []
    return [_mark(each) for each in corners.reshape(-1, 4, 2)] if corners.shape[-2:] == (4, 2) else []


def _mark(corners: Float[np.ndarray, "4 2"]) -> Mark:
    return tuple(float(number) for number in corners.reshape(-1))


def first_rectangle(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return 1 if the first rectangle matches one of the target's."""
    return _best(marks[:1], target)


def three_rectangles(marks: Sequence[Mark], question: Question, target: Target) -> float:
    """Return 1 if one of the first three rectangles matches one of the target's."""
    return _best(marks[:3], target)


def _best(marks: Sequence[Mark], target: Target) -> float:
    assert target.rectangles is not None
    given = [np.reshape(mark, (4, 2)) for mark in marks if len(mark) == 8]
    return float(any(rectangles_match(own, right) for own in given for right in target.rectangles))


def rectangles_target(question: Question) -> Target:
    """Return the rectangles, in pixels of the image."""
    corners = np.array(question.rectangles, dtype=np.float64).reshape(-1, 4, 2)
    return Target(image_size(question.image), rectangles=corners)


def level_rectangle(x: float, y: float, target: Target) -> Mark:
    """Return a level rectangle at a point, a fifth of the image's shorter side wide and a tenth high."""
    opening, jaw = (share * min(target.frame) for share in _GUESS)
    return _mark(from_center(x, y, 0.0, opening, jaw))


RECTANGLES = Format(
    name="rectangles",
    title="Grasp rectangles",
    metric="1 if the first rectangle has an IoU over 0.25 with one of the question's, within 30 degrees",
    read=read_rectangles,
    target=rectangles_target,
    score=first_rectangle,
    recall=three_rectangles,
    readers={PUBLISHED: read_corner_lists},
    guess=level_rectangle,
    of_points=False,
)
