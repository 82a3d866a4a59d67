"""Reading of the files of data sets and stored answers."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from point2act.core.errors import ScoringError
from point2act.core.files import brief, parse_json, read_bytes
from point2act.scoring.questions import Question


def read_lines(path: Path) -> list[tuple[str, Any]]:
    """Read a file with one JSON value a line; empty lines are skipped.

    Args:
        path: File to read.

    Returns:
        For each value its place, as ``FILE, line 3``, and the value.

    Raises:
        ScoringError: The file cannot be read, or a line is not JSON.
    """
    try:
        text = read_bytes(path, ScoringError).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ScoringError(f"{path} is not UTF-8 text ({err.reason}): save it as UTF-8") from err
    values = []
    # Not splitlines: JSON strings may hold other separators of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number}"
            values.append((place, _parse(line, place)))
    return values


def _parse(line: str, place: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as err:
        raise ScoringError(f"{place} is not valid JSON ({err}): write one JSON object a line") from err


def find_file(folder: Path, *names: str, place: str) -> Path:
    """Return the first existing file of a data set among some names.

    Args:
        folder: The data set's folder; links in it may lead anywhere, as those of downloads do.
        names: Paths relative to the folder, in the order of trying.
        place: Where the name is written, for messages.

    Raises:
        ScoringError: A name leads out of the folder, or there is no such file.
    """
    for name in names:
        path = posixpath.normpath(name.replace("\\", "/"))
        if path.startswith(("..", "/")) or PurePosixPath(path).is_absolute() or "\0" in path:
            raise ScoringError(f"{place}: {brief(name)} leads out of {folder}: write a path inside it")
        if _is_file(folder / path):
            return folder / path
    raise ScoringError(f"{place}: {folder / names[0]} does not exist: download the whole data set again")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # A name longer than a file can have.
        return False


def check_folder(folder: Path) -> None:
    """Raise ``ScoringError`` if there is no such folder."""
    if not folder.is_dir():
        raise ScoringError(f"--data {folder}: there is no such folder: give the data set's folder")


def check_questions(questions: Sequence[Question], folder: Path) -> None:
    """Raise ``ScoringError`` if a data set has no questions, or two with one id."""
    if not questions:
        raise ScoringError(f"{folder} has no questions about points: check --format and --data")
    name, uses = Counter(str(question.id) for question in questions).most_common(1)[0]
    if uses > 1:
        raise ScoringError(f"{folder} has {uses} questions with the id {brief(name)}: give each its own")
