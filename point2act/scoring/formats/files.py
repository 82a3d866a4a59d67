"""Reading of the files of data sets and stored answers."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from point2act.core.errors import ScoringError
from point2act.core.files import brief
from point2act.scoring.questions import Question


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
