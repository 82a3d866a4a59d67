"""Answers for ``bench-model``: stored ones, a person's clicks, and those of a model that is asked now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.cli.bench_options import Arguments, ModelOptions
from point2act.core.errors import ScoringError
from point2act.core.progress import Stages

if TYPE_CHECKING:
    from point2act.scoring.formats import Format
    from point2act.scoring.questions import Question
    from point2act.scoring.scores import Answers
else:
    Format = Question = Answers = Any


def collect_answers(
    arguments: Arguments,
    everything: Sequence[Question],
    questions: Sequence[Question],
    form: Format,
    stages: Stages,
) -> tuple[list[Answers], Answers | None]:
    """Return the answers of every model, and a person's to compare them with.

    Args:
        arguments: Options of the command.
        everything: All questions of the data set, which stored answers may be about.
        questions: Those that are scored.
        form: Format of the data set.
        stages: Times and shows the stages.

    Raises:
        Point2ActError: A file is malformed, or no question got an answer.
    """
    from point2act.scoring.views import ask_all_views

    with stages.stage("read the answers"):
        known = ask_all_views(everything).questions
        answers = _stored(arguments.input.answers, arguments.model.dialect, known, form)
        person = _person(arguments.input.clicks, known, form)
    if arguments.model.model is not None:
        in_3d = arguments.scoring.score != "view"
        asked = ask_all_views(questions).questions if in_3d else questions
        answers.append(_asked(arguments.model, asked, arguments.output.output, stages))
    _check_names(answers)
    return answers, person


def check_dialect(dialect: str | None, form: Format, place: str) -> None:
    """Raise ``ScoringError``, which starts with a place, for a dialect that a format does not have."""
    from point2act.scoring.replies import dialects

    known = dialects(form.readers)
    if dialect is not None and dialect not in known:
        raise ScoringError(f"{place}: there is no dialect {dialect!r}: use one of {', '.join(known)}")


def _stored(
    texts: Sequence[str], dialect: str | None, questions: Sequence[Question], form: Format
) -> list[Answers]:
    """Read files of stored answers, each with its name."""
    from point2act.scoring.answers import read_answers
    from point2act.scoring.clicks import read_clicks
    from point2act.scoring.scores import Answers

    stored = []
    for text in texts:
        name, path = _named(text)
        found = (read_clicks if path.suffix == ".json" else read_answers)(path, questions)
        for answer in found.values():
            check_dialect(answer.dialect, form, str(path))
        stored.append(Answers(name, dialect or form.dialect, found))
    return stored


def _person(path: Path | None, questions: Sequence[Question], form: Format) -> Answers | None:
    """Read a person's clicks, to compare models with."""
    if path is None:
        return None
    from point2act.data.points import PERSON
    from point2act.scoring.clicks import read_clicks
    from point2act.scoring.scores import Answers

    return Answers(PERSON, form.dialect, read_clicks(path, questions))


def _named(text: str) -> tuple[str, Path]:
    """Return the name and the file of NAME=FILE or FILE."""
    name, equals, path = text.partition("=")
    if not equals or not name or "/" in name or Path(text).exists():
        return Path(text).stem, Path(text)
    return name, Path(path)


def _asked(config: ModelOptions, questions: Sequence[Question], output: Path, stages: Stages) -> Answers:
    """Ask the model all questions, and write its answers."""
    from point2act.scoring.answers import write_answers
    from point2act.scoring.asking import ask_model, unanswered_sentences
    from point2act.scoring.scores import Answers
    from point2act.vlm.clients.factory import open_model

    opened = open_model(config)
    with stages.stage("ask the model") as tick:
        outcome = ask_model(opened, questions, progress=tick)
    for sentence in unanswered_sentences(outcome.errors):
        stages.warn(sentence)
    path = output / f"answers_{opened.model.name}.jsonl"
    write_answers(path, outcome.answers)
    print(f"answers: {path}")
    return Answers(opened.model.name, opened.model.dialect, outcome.answers)


def _check_names(answers: Sequence[Answers]) -> None:
    names = [given.name for given in answers]
    for name in names:
        if names.count(name) > 1:
            raise ScoringError(
                f"two answers are called {name!r}: give each its own, as in --answers NAME=FILE"
            )
