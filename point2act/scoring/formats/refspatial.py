"""RefSpatial-Bench of RoboRefer: folders Location, Placement and Unseen, each with a question.json."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from point2act.core.errors import ScoringError
from point2act.core.files import brief, read_json
from point2act.data.capture.images import read_channels
from point2act.scoring.formats.files import check_folder, check_questions, find_file
from point2act.scoring.formats.format import Format
from point2act.scoring.metrics import mean_in_mask
from point2act.scoring.published import read_absolute_tuples, read_tags, read_tuples_unclipped
from point2act.scoring.questions import Question, Target
from point2act.scoring.replies import PUBLISHED

_FOLDERS = ("Location", "Placement", "Unseen")
_FILE = "question.json"


def read_refspatial(folder: Path) -> tuple[Question, ...]:
    """Read the questions of all folders, or of one of them.

    Args:
        folder: The data set's folder, or one of its folders.

    Returns:
        The questions. An id that several folders have becomes ``Location/0``.

    Raises:
        ScoringError: A file is missing or malformed.
    """
    check_folder(folder)
    folders = [folder / name for name in _FOLDERS if (folder / name / _FILE).is_file()]
    if (folder / _FILE).is_file():
        folders = [folder]
    if not folders:
        raise ScoringError(
            f"{folder} has no {', '.join(f'{name}/{_FILE}' for name in _FOLDERS)}: check --data"
        )
    questions = [question for one in folders for question in _read_folder(one)]
    uses = Counter(str(question.id) for question in questions)
    named = tuple(
        question if uses[str(question.id)] == 1 else replace(question, id=question.aliases[0])
        for question in questions
    )
    check_questions(named, folder)
    return named


def _read_folder(folder: Path) -> list[Question]:
    from point2act.core.documents import check
    from point2act.scoring.formats.documents import RefSpatialEntry

    path, questions = folder / _FILE, []
    entries = read_json(path, ScoringError)
    if not isinstance(entries, list):
        raise ScoringError(f"{path} is {brief(entries)}: it should be a list of questions")
    for number, value in enumerate(entries):
        place = f"{path}, entry {number}"
        entry = check(RefSpatialEntry, value, ScoringError, place=place)
        names = dict.fromkeys((folder.name, folder.name.lower(), entry.category))
        unseen = folder.name == "Unseen"
        questions.append(
            Question(
                id=entry.id,
                image=find_file(folder, entry.rgb_path, place=place),
                text=entry.prompt,
                # Unseen repeats kinds of questions of the others, and is scored apart.
                category="unseen" if unseen else entry.category or folder.name.lower(),
                mask=find_file(folder, entry.mask_path, place=place),
                target=entry.object,
                prompt=f"{entry.prompt} {entry.suffix}".strip(),
                aliases=tuple(f"{name}{sign}{entry.id}" for sign in "/_-:" for name in names),
            )
        )
    return questions


def read_nonzero_mask(question: Question) -> Target:
    """Read a mask whose pixels above 0 in the first channel are the target."""
    assert question.mask is not None
    values = (read_channels(question.mask)[..., 0] > 0).astype(np.float64)
    return Target.of_mask(values)


REFSPATIAL = Format(
    name="refspatial",
    title="RefSpatial-Bench",
    metric="the share of points in the mask; points outside the image are misses",
    read=read_refspatial,
    target=read_nonzero_mask,
    score=mean_in_mask,
    readers={
        PUBLISHED: read_tuples_unclipped,
        "robopoint": read_tuples_unclipped,
        "robobrain2": read_absolute_tuples,
        "molmo": read_tags,
    },
)
