"""Reading and writing of points.json: the queries, and the answers in each image."""

from __future__ import annotations

import difflib
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from point2act.core.errors import PointsError
from point2act.core.files import brief, is_text, read_json, schema_problem, write_json
from point2act.core.types import Answer, Capture, Choice, Frame, Plan, PointSet, Query
from point2act.data.task_plan import plan_document, read_plan_document

PERSON = "person"
"""The ``model`` of an answer that a person gave by a click."""

# Models that answer on a grid of 0 to 100 or 1000 round onto the border and slightly over it.
_TOLERANCE = 1.0
# Clipped points stay this far inside, in pixels: still inside as float32, for images up to 8192 wide.
_EDGE = 1e-3
# Of queries: each takes a second and more. Chosen.
_MAX_QUERIES = 1000
# Characters of an image's name, as in transforms.json; of a query's name and its text. Chosen.
_MAX_LENGTH = 1000
_LISTED = 10


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
    document = read_json(path, PointsError)
    problem = schema_problem(document, "points")
    if problem is not None:
        raise PointsError(f"{path} is not a points.json: {problem}")
    queries = tuple(
        Query(entry["name"], entry["text"], entry.get("role", "grasp")) for entry in document["queries"]
    )
    _check_queries(path, queries)
    answers = tuple(_answer(entry, f"{path}: answers[{i}]") for i, entry in enumerate(document["answers"]))
    _check_answers(path, answers, queries)
    choices = tuple(
        _choice(entry, f"{path}: choices[{i}]") for i, entry in enumerate(document.get("choices", ()))
    )
    _check_choices(path, choices, queries)
    if capture is not None:
        frames = {_plain(frame.name): frame for frame in capture.frames}
        answers = tuple(_in_frame(answer, frames, path) for answer in answers)
        choices = tuple(replace(choice, image=_frame(choice.image, frames, path).name) for choice in choices)
    return PointSet(queries, answers, _plan(document, queries, path), choices)


def points_file(path: Path | str | None, *folders: Path) -> Path | None:
    """Return the given path, else the points.json in the first folder that has one, else None."""
    beside = (folder / "points.json" for folder in folders)
    return Path(path) if path is not None else next((file for file in beside if file.is_file()), None)


def write_points(path: Path | str, points: PointSet) -> None:
    """Write a points.json atomically. Raises ``PointsError`` for content that could not be read back."""
    _check_queries(path, points.queries)
    _check_answers(path, points.answers, points.queries)
    document: dict[str, Any] = {
        "version": 1,
        "queries": [{"name": q.name, "text": q.text, "role": q.role} for q in points.queries],
        "answers": [_entry(answer) for answer in points.answers],
    }
    if points.choices:
        _check_choices(path, points.choices, points.queries)
        document["choices"] = [
            _shortened({**vars(choice), "marks": [mark.tolist() for mark in choice.marks]})
            for choice in points.choices
        ]
    if points.plan is not None:
        document["plan"] = plan_document(points.plan)
    problem = schema_problem(document, "points")
    if problem is not None:
        raise PointsError(f"{path} would not be a points.json: {problem}")
    _plan(document, points.queries, path)
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


def _plan(document: dict[str, Any], queries: Iterable[Query], path: Path | str) -> Plan | None:
    if document.get("plan") is None:
        return None
    return read_plan_document(document["plan"], queries, place=f"{path}: plan", error=PointsError)


def _answer(entry: dict[str, Any], place: str) -> Answer:
    try:
        points = np.array(entry["points"], dtype=np.float64).reshape(-1, 2)
        seconds = None if entry.get("seconds") is None else float(entry["seconds"])
    except OverflowError as err:
        raise PointsError(f"{place} holds a number that is too large: write pixels") from err
    image, query, visible = entry["image"], entry["query"], entry["visible"]
    window = None
    if entry.get("window") is not None:
        left, top, width, height = map(int, entry["window"])
        window = left, top, width, height
    return Answer(image, query, points, visible, entry.get("model", ""), entry.get("raw"), seconds, window)


def _choice(entry: dict[str, Any], place: str) -> Choice:
    try:
        marks = tuple(np.array(mark, dtype=np.float64).reshape(-1, 2) for mark in entry["marks"])
        seconds = None if entry.get("seconds") is None else float(entry["seconds"])
    except OverflowError as err:
        raise PointsError(f"{place} holds a number that is too large: write pixels") from err
    image, query, chosen = entry["image"], entry["query"], entry["chosen"]
    return Choice(image, query, marks, chosen, entry.get("model", ""), entry.get("raw"), seconds)


def _entry(answer: Answer) -> dict[str, Any]:
    window = None if answer.window is None else list(answer.window)
    return _shortened({**vars(answer), "points": answer.points.tolist(), "window": window})


def _shortened(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without the optional fields that it does not fill."""
    optional = ("raw", "seconds", "window")
    return {key: value for key, value in entry.items() if value is not None or key not in optional}


def _check_queries(path: Path | str, queries: Sequence[Query]) -> None:
    if len(queries) > _MAX_QUERIES:
        raise PointsError(f"{path} has {len(queries)} queries: ask {_MAX_QUERIES} at most")
    for index, query in enumerate(queries):
        _check_text(query.name, f"{path}: queries[{index}].name")
        _check_text(query.text, f"{path}: queries[{index}].text", allowed="\n\t")
    twice = [name for name, count in Counter(query.name for query in queries).items() if count > 1]
    if twice:
        raise PointsError(f"{path} has two queries named {twice[0]!r}: give each its own name")


def _check_text(words: str, place: str, *, allowed: str = "") -> None:
    """Check a text that is printed and written to other files."""
    if len(words) > _MAX_LENGTH or not is_text(words, allowed=allowed):
        raise PointsError(
            f"{place} is {brief(words)}: write at most {_MAX_LENGTH} characters, and no control characters"
        )


def _check_answers(path: Path | str, answers: Iterable[Answer], queries: Iterable[Query]) -> None:
    """Check answers as far as that is possible without a capture."""
    names = {query.name for query in queries}
    for index, answer in enumerate(answers):
        place = f"{path}: answers[{index}]"
        _check_text(answer.image, f"{place}.image")
        if answer.query not in names:
            known = ", ".join(sorted(names)[:_LISTED])
            raise PointsError(
                f"{place} is to the query {brief(answer.query)}, which is not asked: use one of {known}"
            )
        if not np.isfinite(answer.points).all() or not np.isfinite(answer.seconds or 0.0):
            raise PointsError(f"{place} ({answer.image}) holds a number that is not finite: write pixels")
        if len(answer.points) and not answer.visible:
            raise PointsError(
                f"{place} ({answer.image}, {answer.query}) has points but says visible: false: "
                "remove the points, or write visible: true"
            )


def _check_choices(path: Path | str, choices: Iterable[Choice], queries: Iterable[Query]) -> None:
    """Check choices as far as that is possible without a capture."""
    names = {query.name for query in queries}
    for index, choice in enumerate(choices):
        place = f"{path}: choices[{index}]"
        _check_text(choice.image, f"{place}.image")
        if choice.query not in names:
            raise PointsError(f"{place} is for the query {brief(choice.query)}, which is not asked")
        if choice.chosen is not None and choice.chosen >= len(choice.marks):
            raise PointsError(
                f"{place} chooses mark {choice.chosen} of {len(choice.marks)}: write its index, from 0"
            )
        if not all(np.isfinite(mark).all() for mark in choice.marks) or not np.isfinite(
            choice.seconds or 0.0
        ):
            raise PointsError(f"{place} ({choice.image}) holds a number that is not finite: write pixels")


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
