"""Results file scores.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from point2act.core.errors import ScoringError
from point2act.core.files import write_json
from point2act.scoring.formats.format import Format
from point2act.scoring.measures import Found, Recall, measures
from point2act.scoring.questions import QuestionId
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
    overall_readable,
    overall_recall,
)


def write_scores(
    path: Path,
    answers: Sequence[Answers],
    scores: Sequence[Sequence[Score]],
    baselines: Baselines,
    *,
    form: Format,
    data: Path,
    places: Sequence[Mapping[QuestionId, Found]] = (),
) -> None:
    """Write scores.json, checked against its schema, atomically.

    Args:
        path: File to write.
        answers: Answers of each model, at least one.
        scores: The scores of each model's answers.
        baselines: Scores of the baselines.
        form: Format of the data set.
        data: Its folder.
        places: For each model what was found in 3D; empty if nothing was.
    """
    from point2act.core.documents import check
    from point2act.scoring.scores_document import ScoresDocument

    models = {given.name: _model(given, found) for given, found in zip(answers, scores, strict=True)}
    for given, found in zip(answers, places, strict=False):
        _add_places(models[given.name], found, scores[0])
    content = {"version": 1, "format": form.name, "data": data.resolve().as_posix(), "metric": form.metric}
    content |= models[answers[0].name] | {"baselines": _baselines(baselines)}
    if len(models) > 1:
        content |= {"models": models, "differences": _differences(answers, scores)}
    place = f"{path} was not written, its scores are wrong (please report it)"
    document = check(ScoresDocument, content, ScoringError, place=place)
    write_json(path, document.model_dump(exclude_unset=True))


def _model(given: Answers, scores: Sequence[Score]) -> dict[str, Any]:
    theirs, everything, readable = overall(scores), overall_all(scores), overall_readable(scores)
    assert everything is not None
    recall = overall_recall(scores)
    details = {name: _category(group) for name, group in by_category(scores).items()}
    parts = [detail["score"] for detail in details.values() if detail["score"] is not None]
    return {
        "name": given.name,
        "dialect": given.dialect,
        "overall": None if theirs is None else theirs.value,
        "overall_interval": _interval(theirs),
        "overall_all": everything.value,
        "overall_all_interval": _interval(everything),
        "overall_readable": None if readable is None else readable.value,
        "recall_at_3": None if recall is None else recall.value,
        "recall_at_3_interval": _interval(recall),
        "mean_of_categories": sum(parts) / len(parts) if parts else None,
        "categories": {name: detail["score"] for name, detail in details.items()},
        "category_details": details,
        "unreadable": sum(bool(score.problem) for score in scores),
        "unanswered": sum(score.answer is None for score in scores),
        "skipped": sum(not score.counted for score in scores),
        "seconds": mean_of(scores, lambda answer: answer.seconds),
        "cost": mean_of(scores, lambda answer: answer.cost),
        "questions": [_question(score) for score in scores],
    }


def _add_places(model: dict[str, Any], found: Mapping[QuestionId, Found], scores: Sequence[Score]) -> None:
    """Add what was found in 3D to the scores of a model."""
    for measure in measures(found, [score.question for score in scores]):
        categories = {name: _recall(recall) for name, recall in measure.categories.items()}
        model[measure.name] = _recall(measure.overall) | {"categories": categories}
        for question in model["questions"]:
            question[measure.name] = list(found[question["id"]].hits(measure.name))


def _recall(recall: Recall) -> dict[str, Any]:
    return {
        "recall_at_1": recall.at_1.value,
        "recall_at_1_interval": _interval(recall.at_1),
        "recall_at_3": recall.at_3.value,
        "recall_at_3_interval": _interval(recall.at_3),
    }


def _category(scores: Sequence[Score]) -> dict[str, Any]:
    theirs, everything = overall(scores), overall_all(scores)
    assert everything is not None
    return {
        "questions": len(scores),
        "score": None if theirs is None else theirs.value,
        "interval": _interval(theirs),
        "score_all": everything.value,
        "interval_all": _interval(everything),
    }


def _question(score: Score) -> dict[str, Any]:
    answer = score.answer
    return {
        "id": score.question.id,
        "category": score.question.category,
        "score": score.score,
        "points": [list(mark) for mark in score.marks],
        "counted": score.counted,
        "problem": score.problem or None,
        "reply": None if answer is None else answer.reply,
        "seconds": None if answer is None else answer.seconds,
        "cost": None if answer is None else answer.cost,
    }


def _baselines(baselines: Baselines) -> dict[str, Any]:
    return {
        "middle": baselines.middle.value,
        "middle_interval": _interval(baselines.middle),
        "random": baselines.random.value,
        "random_interval": _interval(baselines.random),
        "area": baselines.area,
        "thing": None if baselines.thing is None else baselines.thing.value,
        "thing_interval": _interval(baselines.thing),
        "person": None if baselines.person is None else baselines.person.value,
        "person_interval": _interval(baselines.person),
        "person_questions": 0 if baselines.person is None else baselines.person.count,
    }


def _differences(answers: Sequence[Answers], scores: Sequence[Sequence[Score]]) -> dict[str, Any]:
    found = {
        given.name: mean_difference(scores[0], other) for given, other in zip(answers, scores, strict=True)
    }
    return {
        name: {"difference": mean.value, "interval": _interval(mean)}
        for name, mean in found.items()
        if mean is not None and name != answers[0].name
    }


def _interval(mean: Mean | None) -> list[float] | None:
    return None if mean is None else [mean.low, mean.high]
