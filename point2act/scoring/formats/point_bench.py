"""Point-Bench of PointArena: data.json, images/CATEGORY/, masks/ and pixmo_metadata.csv.

The released archives call the folders selected_images and selected_masks.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from point2act.core.errors import ScoringError
from point2act.core.files import brief, read_bytes, read_json
from point2act.data.capture.images import image_size, read_channels
from point2act.scoring.formats.files import check_folder, check_questions, find_file
from point2act.scoring.formats.format import Format
from point2act.scoring.metrics import all_in_mask
from point2act.scoring.published import read_molmo_forms, read_point_bench, read_tuples
from point2act.scoring.questions import Question, Target
from point2act.scoring.replies import PUBLISHED

_FILE = "data.json"
_METADATA = "pixmo_metadata.csv"
_COUNTING, _STEERABLE = "counting", "steerable"
_THRESHOLD = 127
"""Grey value above which a pixel is in the mask: ``load_mask`` of PointArena."""


def read_point_bench_data(folder: Path) -> tuple[Question, ...]:
    """Read the questions of a folder that have a mask.

    Args:
        folder: The data set's folder.

    Returns:
        The questions, called as their images; where two have the same image, by their positions in the file.

    Raises:
        ScoringError: A file is missing or malformed.
    """
    check_folder(folder)
    files = sorted(folder.glob("*.json"))
    path = files[0] if len(files) == 1 else folder / _FILE
    entries = read_json(path, ScoringError)
    if not isinstance(entries, list):
        raise ScoringError(f"{path} is {brief(entries)}: it should be a list of questions")
    used = Counter(entry.get("image_filename") for entry in entries if _has_mask(entry))
    points = _existing_points(folder)
    questions = tuple(
        _question(folder, f"{path}, entry {number}", number, entry, used, points)
        for number, entry in enumerate(entries)
        if _has_mask(entry) or not isinstance(entry, dict)
    )
    check_questions(questions, folder)
    return questions


def _has_mask(entry: Any) -> bool:
    return isinstance(entry, dict) and "mask_filename" in entry


def _question(
    folder: Path,
    place: str,
    number: int,
    value: Any,
    used: Counter[Any],
    points: dict[str, list[tuple[float, float]]],
) -> Question:
    from point2act.core.documents import check
    from point2act.scoring.formats.documents import PointBenchEntry

    entry = check(PointBenchEntry, value, ScoringError, place=place)
    image, mask, category = entry.image_filename, entry.mask_filename, entry.category
    found = find_file(folder, *_places("images", category, image), place=place)
    own = image if used[image] == 1 else number
    text = entry.user_input
    if category == _STEERABLE:
        text += _about(points.get(image, []), found)
    return Question(
        id=own if entry.id is None else entry.id,
        image=found,
        text=text,
        category=category,
        mask=find_file(folder, *_places("masks", category, mask), place=place),
        count=(1 if entry.count is None else entry.count) if category == _COUNTING else None,
        aliases=(image, f"{category}/{image}", Path(image).stem, str(number)),
    )


def _places(kind: str, category: str, name: str) -> list[str]:
    """Return where a file may be."""
    inner = f"{category}/{name}" if category else name
    return [
        f"{folder}/{path}" for folder in (kind, f"selected_{kind}") for path in dict.fromkeys((inner, name))
    ]


def _existing_points(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the points, in per cent of the image, that steerable questions refer to, by image."""
    path = folder / _METADATA
    if not path.is_file():
        return {}
    try:
        rows = csv.DictReader(io.StringIO(read_bytes(path, ScoringError).decode("utf-8-sig")))
        return {
            row["image_filename"]: [(float(p["x"]), float(p["y"])) for p in json.loads(row["points"] or "[]")]
            for row in rows
        }
    except (ValueError, KeyError, TypeError, csv.Error) as err:
        raise ScoringError(
            f"{path} does not have image_filename and points in every row ({err}): download it again"
        ) from err


def _about(points: list[tuple[float, float]], image: Path) -> str:
    """Say in pixels where the points are that a question refers to."""
    height, width = image_size(image)
    where = ", ".join(f"[{x * width / 100:.1f}, {y * height / 100:.1f}]" for x, y in points)
    return f" (There is a marked point at the pixels {where}, to which this refers.)" if where else ""


def read_thresholded_mask(question: Question) -> Target:
    """Read a mask whose pixels above 127 in any channel are the target."""
    assert question.mask is not None
    values = np.any(read_channels(question.mask) > _THRESHOLD, axis=-1).astype(np.float64)
    return Target(image_size(question.image), values)


POINT_BENCH = Format(
    name="pointbench",
    title="Point-Bench",
    metric="1 if the first point is in the mask; for counting, if all are and their number is right",
    read=read_point_bench_data,
    target=read_thresholded_mask,
    score=all_in_mask,
    readers={PUBLISHED: read_point_bench, "molmo": read_molmo_forms, "robopoint": read_tuples},
    unanswered_counts=True,
)
