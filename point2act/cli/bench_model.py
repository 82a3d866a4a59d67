"""``point2act bench-model --format where2place --data DIR --answers FILE``: scores of pointing models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from point2act.cli.options import Texts, parse
from point2act.core.errors import ScoringError
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.vlm.clients.factory import ClientConfig

if TYPE_CHECKING:
    from rich.table import Table

    from point2act.scoring.formats import Format
    from point2act.scoring.questions import Question
    from point2act.scoring.report import ModelSummary
    from point2act.scoring.scores import Answers, Baselines, Mean
else:
    Format = Question = ModelSummary = Answers = Baselines = Mean = Table = Any

Kind = Literal["where2place", "refspatial", "pointbench", "robospatial", "reasoning"]


@dataclass(frozen=True)
class Input:
    """The data set, and stored answers to it."""

    format: Kind
    """Format of the data set: Where2Place, RefSpatial-Bench, Point-Bench (PointArena), RoboSpatial-Home, or
    reasoning-tables of point2act."""
    data: Path
    """Folder of the data set, as its authors publish it. reasoning-tables is rendered there, unless it exists
    (needs MuJoCo)."""
    split: str | None = None
    """Only questions of one split: development or test, for reasoning-tables."""
    answers: Texts = ()
    """FILE or NAME=FILE with stored answers, a line {"id": …, "reply": "…"} for each question. Repeatable."""


@dataclass(frozen=True)
class ModelOptions(ClientConfig):
    """The model to ask."""

    dialect: str | None = None
    """Format in which points are written, such as molmo or gemini; by default the model's own, and for stored
    answers what the evaluation of the data set's authors reads."""


@dataclass(frozen=True)
class Output:
    """What to write."""

    output: Path
    """Folder for scores.json, report.html and, with --model, the answers."""
    pictures: int = 24
    """Maximum number of failures of each model in the report."""
    seed: int = 0
    """Seed of the random points that the scores are compared with, and of scenes to render."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score pointing models on a published benchmark, by stored answers or by asking.

      point2act bench-model --format where2place --data where2place/ --output out/ \\
          --answers own=answers.jsonl --answers molmo=molmo.jsonl

    The metrics are those of the data sets' authors; the data sets are not included. With --model, a model is
    asked every question; replies are cached, so that an interrupted run continues.
    """

    input: Annotated[Input, tyro.conf.arg(name="")]
    model: Annotated[ModelOptions, tyro.conf.arg(name="")] = field(default_factory=ModelOptions)
    output: Annotated[Output, tyro.conf.arg(name="")]


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, score the answers, and write scores.json and report.html."""
    arguments = parse(Arguments, argv, "bench-model")
    nothing = not arguments.input.answers and arguments.model.model is None
    if nothing and arguments.input.format != "reasoning":
        raise ScoringError("there is nothing to score: give --answers FILE, or a --model to ask")
    # Late, as in the other commands: --help is quick.
    from point2act.scoring.formats import FORMATS
    from point2act.scoring.report import write_report
    from point2act.scoring.scores import score_answers
    from point2act.scoring.scores_json import write_scores

    form, data, output = FORMATS[arguments.input.format], arguments.input.data, arguments.output.output
    _check_dialect(arguments.model.dialect, form, f"--dialect {arguments.model.dialect}")
    stages = Stages(show=True)
    if form.name == "reasoning":
        _render_once(data, arguments.output.seed, stages)
    with stages.stage("read the data set"):
        everything = form.read(data)
        questions = _of_split(everything, arguments.input.split)
    if nothing:
        print(f"questions: {len(questions)} in {data}\nscore a model with --answers FILE or --model")
        return
    with stages.stage("read the answers"):
        answers = _stored(arguments.input.answers, arguments.model.dialect, everything, form)
    if arguments.model.model is not None:
        answers.append(_asked(arguments.model, questions, output, stages))
    _check_names(answers)
    with stages.stage("score the answers") as tick:
        scores, baselines = score_answers(answers, questions, form, seed=arguments.output.seed, progress=tick)
    write_scores(output / "scores.json", answers, scores, baselines, form=form, data=data)
    with stages.stage("draw the failures") as tick:
        rows = write_report(
            output / "report.html",
            answers,
            scores,
            baselines,
            form=form,
            data=data,
            pictures=arguments.output.pictures,
            progress=tick,
        )
    _print(form, rows, baselines, len(questions))
    print(f"scores: {output / 'scores.json'}\nreport: {output / 'report.html'}")


def _render_once(folder: Path, seed: int, stages: Stages) -> None:
    """Render reasoning-tables into a folder, unless it is there."""
    from point2act.scoring.formats.reasoning import QUESTIONS

    if (folder / QUESTIONS).exists():
        return
    from point2act.simulation.reasoning import write_reasoning_tables

    with stages.stage("render the scenes") as tick:
        write_reasoning_tables(folder, seed=seed, progress=tick)


def _of_split(questions: Sequence[Question], split: str | None) -> tuple[Question, ...]:
    chosen = tuple(question for question in questions if split in (None, question.split))
    if not chosen:
        known = sorted({question.split for question in questions if question.split})
        raise ScoringError(f"--split {split}: no question is of it: use {' or '.join(known) or 'no --split'}")
    return chosen


def _check_dialect(dialect: str | None, form: Format, place: str) -> None:
    from point2act.scoring.replies import dialects

    known = dialects(form.readers)
    if dialect is not None and dialect not in known:
        raise ScoringError(f"{place}: there is no dialect {dialect!r}: use one of {', '.join(known)}")


def _stored(
    texts: Sequence[str], dialect: str | None, questions: Sequence[Question], form: Format
) -> list[Answers]:
    """Read files of stored answers, each with its name."""
    from point2act.scoring.answers import read_answers
    from point2act.scoring.scores import Answers

    stored = []
    for text in texts:
        name, path = _named(text)
        found = read_answers(path, questions)
        for answer in found.values():
            _check_dialect(answer.dialect, form, str(path))
        stored.append(Answers(name, dialect or form.dialect, found))
    return stored


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


def _print(form: Format, rows: Sequence[ModelSummary], baselines: Baselines, count: int) -> None:
    """Print the scores of the models and of the baselines, per cent."""
    from rich.console import Console

    print(f"{form.title}: {count} questions, per cent, with intervals of 95 %")
    recalled = any(row.recall is not None for row in rows)
    means = ["score", "all", *(["best of 3"] if recalled else [])]
    categories = [name or "no category" for name in rows[0].categories]
    table = _table("", *means, *categories, "unreadable", "unanswered")
    for row in rows:
        means = [
            _percent(mean) for mean in (row.overall, row.overall_all, *([row.recall] if recalled else []))
        ]
        means += ["–" if mean is None else f"{100 * mean.value:.1f}" for mean in row.categories.values()]
        table.add_row(printable(row.name), *means, str(row.unreadable), str(row.unanswered))
    table.add_row("middle of the image", _percent(baselines.middle))
    table.add_row("random point", _percent(baselines.random))
    table.add_row("expected of it", f"{100 * baselines.area:.1f}")
    # Wide enough for all columns: a table that is cut is of no use in a file.
    Console(width=max(80, 110 + 14 * len(rows[0].categories))).print(table)
    for row in rows:
        costs = _costs({"s": row.seconds, "USD": row.cost})
        if costs:
            print(f"{printable(row.name)}: {costs} per question")


def _costs(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{value:.3g} {unit}" for unit, value in values.items() if value is not None)


def _percent(mean: Mean | None) -> str:
    return "–" if mean is None else f"{100 * mean.value:.1f} ({100 * mean.low:.1f} to {100 * mean.high:.1f})"


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(printable(heading), justify="right", no_wrap=True)
    return table
