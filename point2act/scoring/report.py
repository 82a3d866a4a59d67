"""Report of scores as one HTML file: a table of the models, and their failures as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from point2act.core.files import write_text
from point2act.core.types import ProgressCallback
from point2act.data.capture.images import read_rgb
from point2act.scoring.formats.format import Format
from point2act.scoring.measures import TITLES, Found, Measure, measures
from point2act.scoring.questions import Mark, Question, QuestionId
from point2act.scoring.scores import (
    Answers,
    Baselines,
    Mean,
    Score,
    by_category,
    mean_difference,
    mean_of,
    overall,
    overall_all,
    overall_recall,
)
from point2act.visualization.drawing import PALETTE, dim_grey, draw_points
from point2act.visualization.drawing.canvas import Canvas
from point2act.visualization.report.rendering import asset, render

_FAILED = 0.5
"""Score below which a question is shown as a failure. Chosen."""
_SIDE = 640
"""Longer side of the pictures, pixels."""
_MAX_TEXT = 300
"""Characters of a question on the page."""


@dataclass(frozen=True)
class Failure:
    """A question that was answered wrongly, for the page."""

    id: str
    category: str
    text: str
    score: float
    image: UInt8[np.ndarray, "h w 3"]
    remark: str


@dataclass(frozen=True)
class ModelSummary:
    """A row of the table, and the failures below it."""

    name: str
    overall: Mean | None
    overall_all: Mean | None
    recall: Mean | None
    categories: dict[str, Mean | None]
    unreadable: int
    unanswered: int
    seconds: float | None
    cost: float | None
    failed: int
    failures: tuple[Failure, ...]
    measures: tuple[Measure, ...]
    """Scores in 3D, if there are any."""


def write_report(
    path: Path,
    answers: Sequence[Answers],
    scores: Sequence[Sequence[Score]],
    baselines: Baselines,
    *,
    form: Format,
    data: Path,
    places: Sequence[Mapping[QuestionId, Found]] = (),
    pictures: int = 24,
    progress: ProgressCallback | None = None,
) -> list[ModelSummary]:
    """Write the report atomically; pictures and styles are inside the file. Return the rows of its table.

    Args:
        path: HTML file to write.
        answers: Answers of each model, at least one.
        scores: The scores of each model's answers.
        baselines: Scores of the baselines.
        form: Format of the data set.
        data: Its folder.
        places: For each model what was found in 3D; empty if nothing was.
        pictures: Maximum number of failures of each model that are shown.
        progress: Called with the number of models that were drawn, and of all.
    """
    models = []
    for number, (given, found) in enumerate(zip(answers, scores, strict=True)):
        in_3d = measures(places[number], [score.question for score in found]) if places else ()
        models.append(_summarise(given, found, in_3d, form, pictures))
        if progress is not None:
            progress(number + 1, len(answers))
    names = [given.name for given in answers]
    compared = [mean_difference(scores[0], found) for found in scores]
    page = render(
        "model_scores.html",
        title=f"{form.title}: {', '.join(model.name for model in models)}",
        style=asset("report.css"),
        data=data.name,
        count=len(scores[0]),
        metric=form.metric,
        models=models,
        categories=list(models[0].categories),
        titles=TITLES,
        baselines=baseline_rows(baselines),
        differences=list(zip(names, compared, strict=True))[1:],
    )
    write_text(path, page)
    return models


def baseline_rows(baselines: Baselines) -> list[tuple[str, Mean]]:
    """Return the baselines that there are, with their names."""
    rows = [("the middle of the image", baselines.middle), ("a random point", baselines.random)]
    if baselines.thing is not None:
        rows.append(("a random thing", baselines.thing))
    if baselines.person is not None:
        rows.append((f"a person, {baselines.person.count} questions", baselines.person))
    return rows


def _summarise(
    given: Answers, scores: Sequence[Score], in_3d: tuple[Measure, ...], form: Format, pictures: int
) -> ModelSummary:
    """Return a model's means, and the given number of its failures as pictures."""
    failed = sorted((score for score in scores if score.score < _FAILED), key=lambda score: score.score)
    return ModelSummary(
        name=given.name,
        overall=overall(scores),
        overall_all=overall_all(scores),
        recall=overall_recall(scores),
        categories={name: overall(group) for name, group in by_category(scores).items()},
        unreadable=sum(bool(score.problem) for score in scores),
        unanswered=sum(score.answer is None for score in scores),
        seconds=mean_of(scores, lambda answer: answer.seconds),
        cost=mean_of(scores, lambda answer: answer.cost),
        failed=len(failed),
        failures=tuple(_failure(score, form) for score in failed[:pictures]),
        measures=in_3d,
    )


def _failure(score: Score, form: Format) -> Failure:
    question = score.question
    return Failure(
        id=str(question.id),
        category=question.category,
        text=question.text[:_MAX_TEXT],
        score=score.score,
        image=draw_score(score, form),
        remark=_remark(score),
    )


def _remark(score: Score) -> str:
    """Say what is wrong with an answer."""
    if score.answer is None:
        return "Not answered."
    if score.problem:
        return f"Not readable: {score.problem}."
    found = "1 point" if len(score.marks) == 1 else f"{len(score.marks)} points"
    return f"{found}." if score.question.count is None else f"{found}, expected {score.question.count}."


def draw_score(score: Score, form: Format) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the target in colour on a dim image, and the answer's points and boxes."""
    rgb, _ = read_rgb(score.question.image)
    inside = _target_pixels(score.question, form, (rgb.shape[0], rgb.shape[1]))
    picture = np.where(inside[..., None], rgb, dim_grey(rgb)).astype(np.uint8)
    picture, scale = _reduced(picture)
    boxes = [np.array(_outline(mark)) * scale for mark in score.marks if len(mark) > 2]
    points = [np.array(mark) * scale for mark in score.marks if len(mark) == 2]
    canvas = Canvas(picture)
    for corners in boxes:
        canvas.line(np.clip(corners, 0, picture.shape[1::-1]), PALETTE[1], 2.0)
    height, width = picture.shape[:2]
    shown = [point for point in points if 0 <= point[0] <= width and 0 <= point[1] <= height]
    return draw_points(canvas.merged(), np.array(shown).reshape(-1, 2), PALETTE[1])


def _outline(mark: Mark) -> list[tuple[float, float]]:
    """Return the closed outline of a box or a grasp rectangle."""
    if len(mark) == 4:
        left, top, right, bottom = mark
        mark = (left, top, right, top, right, bottom, left, bottom)
    corners = list(zip(mark[0::2], mark[1::2], strict=True))
    return [*corners, corners[0]]


def _target_pixels(question: Question, form: Format, size: tuple[int, int]) -> np.ndarray:
    """Return where a target is in an image of a size."""
    target = form.target(question)
    if target.values is not None:
        mask = Image.fromarray((255 * target.values).astype(np.uint8))
        return np.asarray(mask.resize(size[::-1], Image.Resampling.NEAREST)) > 127
    scale = [size[1] / target.frame[1], size[0] / target.frame[0]]
    canvas = Canvas(np.zeros((*size, 3), np.uint8))
    polygons = target.rectangles if target.polygon is None else target.polygon[None]
    assert polygons is not None
    for corners in polygons:
        canvas.polygon(corners * scale, (255, 255, 255))
    return canvas.merged()[..., 0] > 127


def _reduced(picture: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """Return a picture of the page's size, and its scale."""
    scale = min(1.0, _SIDE / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)), scale
