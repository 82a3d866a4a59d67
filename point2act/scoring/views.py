"""Questions about every view of a capture, whose answers together find a place in 3D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from point2act.data.capture.read import read_capture
from point2act.scoring.questions import Question, QuestionId


@dataclass(frozen=True)
class ViewQuestions:
    """The questions of a data set, each about every view of its capture."""

    questions: tuple[Question, ...]
    """Those of the data set, each followed by the same about the other views: ``ID/0002`` by the image."""
    views: Mapping[QuestionId, Mapping[str, QuestionId]]
    """For each question of the data set the question about each view, by the view's name in the capture."""


def ask_all_views(questions: Sequence[Question]) -> ViewQuestions:
    """Ask questions about every view of their captures; those without a capture stay alone.

    Args:
        questions: Questions of a data set.

    Raises:
        CaptureError: A capture cannot be read.
    """
    images: dict[Path, dict[str, Path]] = {}
    asked: list[Question] = []
    views: dict[QuestionId, dict[str, QuestionId]] = {}
    for question in questions:
        asked.append(question)
        if question.capture is None:
            continue
        if question.capture not in images:
            frames = read_capture(question.capture).frames
            images[question.capture] = {frame.name: frame.image_path for frame in frames}
        own = question.image.resolve()
        names = views[question.id] = {}
        for name, image in images[question.capture].items():
            if image.resolve() == own:
                names[name] = question.id
                continue
            names[name] = f"{question.id}/{image.stem}"
            asked.append(replace(question, id=names[name], image=image, mask=None, aliases=()))
    return ViewQuestions(tuple(asked), views)
