"""Scores in 3D beside those of single images: of places and of grasps, by their ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from point2act.core.errors import ScoringError
from point2act.core.files import parse_json, read_bytes, write_text
from point2act.scoring.questions import Question, QuestionId
from point2act.scoring.scores import Mean, mean_score

BEST = 3
"""Number of places or grasps that R@3 counts."""

MeasureName = Literal["region", "grasp"]

TITLES: Mapping[MeasureName, str] = {
    "region": "the action point from the answers in all views is in the part",
    "grasp": "the grasp lifts the object by the part",
}
"""What a hit is."""


@dataclass(frozen=True)
class Found:
    """What was found for a question from the answers in all views."""

    region: tuple[bool, ...]
    """Whether each place is right, likeliest first; one entry where nothing is to be found, or was found."""
    grasp: tuple[bool, ...] | None = None
    """Whether each grasp holds by the part, best first, up to the first that does; None if not tried."""

    def hits(self, name: MeasureName) -> tuple[bool, ...]:
        """Return the hits of a measure, best first."""
        return self.region if name == "region" else self.grasp or ()


@dataclass(frozen=True)
class Recall:
    """R@1 and R@3 of one measure."""

    at_1: Mean
    at_3: Mean


@dataclass(frozen=True)
class Measure:
    """One measure of one model."""

    name: MeasureName
    overall: Recall
    categories: Mapping[str, Recall]


def measures(found: Mapping[QuestionId, Found], questions: Sequence[Question]) -> tuple[Measure, ...]:
    """Return the means of what was found.

    Args:
        found: What was found for each of the questions.
        questions: The questions, at least one.

    Returns:
        The measure of places and, where grasps were tried, that of grasps.
    """
    names: list[MeasureName] = ["region"]
    if any(one.grasp is not None for one in found.values()):
        names.append("grasp")
    return tuple(_measure(name, found, questions) for name in names)


def _measure(name: MeasureName, found: Mapping[QuestionId, Found], questions: Sequence[Question]) -> Measure:
    groups: dict[str, list[tuple[bool, ...]]] = {}
    for question in questions:
        groups.setdefault(question.category, []).append(found[question.id].hits(name))
    everything = [hits for group in groups.values() for hits in group]
    return Measure(name, _recall(everything), {key: _recall(group) for key, group in groups.items()})


def _recall(hits: Sequence[tuple[bool, ...]]) -> Recall:
    first, best = (mean_score([float(any(one[:count])) for one in hits]) for count in (1, BEST))
    assert first is not None
    assert best is not None
    return Recall(first, best)


class FoundFile:
    """What was found so far, in a file, so that an interrupted evaluation continues."""

    def __init__(self, path: Path):
        """Read the file, if there is one.

        Raises:
            ScoringError: The file is not one of these.
        """
        self._path = path
        self._found: dict[str, Found] = {}
        if path.exists():
            self._read()

    def get(self, key: str) -> Found | None:
        """Return what was found under a key, which stands for a question and all that its result rests on."""
        return self._found.get(key)

    def add(self, key: str, found: Found) -> None:
        """Add what was found, and write the file."""
        self._found[key] = found
        lines = (json.dumps({"key": key, **vars(one)}) for key, one in self._found.items())
        write_text(self._path, "".join(f"{line}\n" for line in lines))

    def _read(self) -> None:
        try:
            for line in read_bytes(self._path, ScoringError).decode("utf-8").splitlines():
                entry = parse_json(line)
                grasp = entry["grasp"]
                self._found[str(entry["key"])] = Found(
                    _flags(entry["region"]), None if grasp is None else _flags(grasp)
                )
        except (ValueError, TypeError, KeyError) as err:
            raise ScoringError(f"{self._path} was not written by bench-model ({err}): delete it") from err


def _flags(values: Sequence[bool]) -> tuple[bool, ...]:
    if not all(isinstance(value, bool) for value in values):
        raise ValueError("it has other values than true and false")
    return tuple(values)
