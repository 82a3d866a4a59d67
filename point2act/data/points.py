"""Reading and writing of points.json: the queries, and the answers in each image."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import PointsError
from point2act.core.files import brief, read_json, write_json
from point2act.core.types import Answer, Capture, Frame, PointSet, Query
from point2act.data.task_plan import plan_document, query_document

PERSON = "person"
"""The ``model`` of an answer that a person gave by a click."""

# Models that answer on a grid of 0 to 100 or 1000 round onto the border and slightly over it.
_TOLERANCE = 1.0
# Clipped points stay this far inside, in pixels: still inside as float32, for images up to 8192 wide.
_EDGE = 1e-3


def read_points(path: Path | str, capture: Capture | None = None) -> PointSet:
    """Read a points.json and check it against its schema and, if given, against a capture.

    Args:
        path: The file.
        capture: If given, image names (``./`` and backslashes aside) must be those of its frames, and are
            returned as its frames write them; points must lie inside the image on disk, where up to one pixel
            outside is clipped.

    Raises:
        PointsError: The file is invalid; the message gives the place and the fix.
    """
    from point2act.core.documents import check
    from point2act.data.documents import PointsDocument

    document = read_json(path, PointsError)
    found = check(PointsDocument, document, PointsError, place=f"{path} is not a points.json")
    answers = tuple(answer.answer() for answer in found.answers)
    choices = tuple(choice.choice() for choice in found.choices)
    if capture is not None:
        frames = {_plain(frame.name): frame for frame in capture.frames}
        answers = tuple(_in_frame(answer, frames, path) for answer in answers)
        choices = tuple(replace(choice, image=_frame(choice.image, frames, path).name) for choice in choices)
    queries = tuple(Query(**vars(query)) for query in found.queries)
    return PointSet(queries, answers, None if found.plan is None else found.plan.plan(), choices)


def points_file(path: Path | str | None, *folders: Path) -> Path | None:
    """Return the given path, else the points.json in the first folder that has one, else None."""
    beside = (folder / "points.json" for folder in folders)
    return Path(path) if path is not None else next((file for file in beside if file.is_file()), None)


def find_points(capture: Capture, path: Path | str | None = None, *folders: Path) -> PointSet | None:
    """Read the points at a path, else the points.json in the first folder that has one, else the capture's.

    Returns None if there is none.
    """
    found = points_file(path, *folders, capture.folder)
    return None if found is None else read_points(found, capture)


def write_points(path: Path | str, points: PointSet) -> None:
    """Write a points.json atomically. Raises ``PointsError`` for content that could not be read back."""
    from point2act.core.documents import check
    from point2act.data.documents import PointsDocument

    document: dict[str, Any] = {
        "version": 1,
        "queries": [query_document(query) for query in points.queries],
        "answers": [_entry(answer) for answer in points.answers],
    }
    if points.choices:
        document["choices"] = [
            _shortened({**vars(choice), "marks": [mark.tolist() for mark in choice.marks]})
            for choice in points.choices
        ]
    if points.plan is not None:
        document["plan"] = plan_document(points.plan)
    check(PointsDocument, document, PointsError, place=f"{path} would not be a points.json")
    write_json(path, document)


def effective_answers(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """Return the answers that count as evidence, in order: a person's overrule a model's.

    Where a person (``PERSON``) has pointed at a query's target, in any image, the models' answers to that
    query are dropped. Where a person has only answered "not visible", that replaces the models' answers in
    the same image.
    """
    answers = tuple(answers)
    pointed = pointed_by_person(answers)
    by_person = {(answer.query, answer.image) for answer in answers if answer.model == PERSON}
    return tuple(
        answer
        for answer in answers
        if answer.model == PERSON
        or (answer.query not in pointed and (answer.query, answer.image) not in by_person)
    )


def pointed_by_person(answers: Iterable[Answer]) -> set[str]:
    """Return the names of the queries for which a person has given a point."""
    return {answer.query for answer in answers if answer.model == PERSON and len(answer.points) > 0}


def _entry(answer: Answer) -> dict[str, Any]:
    window = None if answer.window is None else list(answer.window)
    return _shortened({**vars(answer), "points": answer.points.tolist(), "window": window})


def _shortened(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without the optional fields that it does not fill."""
    optional = ("raw", "seconds", "window")
    return {key: value for key, value in entry.items() if value is not None or key not in optional}


def _frame(image: str, frames: dict[str, Frame], path: Path | str) -> Frame:
    frame = frames.get(_plain(image))
    if frame is None:
        raise PointsError(f"{path}: {_unknown_image(image, frames)}")
    return frame


def _in_frame(answer: Answer, frames: dict[str, Frame], path: Path | str) -> Answer:
    """Return an answer under its frame's own name, with its points inside the image."""
    frame = _frame(answer.image, frames, path)
    size = np.array([frame.camera.width, frame.camera.height], dtype=np.float64)
    outside = ((answer.points < -_TOLERANCE) | (answer.points > size + _TOLERANCE)).any(axis=1)
    if outside.any():
        x, y = answer.points[outside][0]
        raise PointsError(
            f"{path}: the point ({x:g}, {y:g}) of query {answer.query!r} lies outside {answer.image}, "
            f"which is {frame.camera.width}x{frame.camera.height}: write pixels of the image on disk"
        )
    return replace(answer, image=frame.name, points=_clip(answer.points, size))


def _clip(points: Float[np.ndarray, "n 2"], size: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "n 2"]:
    """Move points into the image; those already inside are unchanged."""
    inside = (points >= 0) & (points < size)
    return np.where(inside, points, np.clip(points, 0.0, size - _EDGE))


def _unknown_image(name: str, frames: dict[str, Frame]) -> str:
    names = {plain: frame.name for plain, frame in frames.items()}
    base = posixpath.basename(_plain(name))
    close = [plain for plain in names if posixpath.basename(plain) == base]
    close = close or difflib.get_close_matches(_plain(name), names, n=3, cutoff=0.6)
    hint = "did you mean" if close else "its images are named like"
    listed = ", ".join(names[plain] for plain in (close or list(names))[:3])
    return f"the capture has no image {brief(name)}: {hint} {listed}"


def _plain(name: str) -> str:
    """Return an image name with forward slashes and without ``./``."""
    return posixpath.normpath(name.replace("\\", "/"))
