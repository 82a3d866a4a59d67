"""``point2act bench-model --format where2place --data DIR --answers FILE``: scores of pointing models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.cli.bench_answers import check_dialect, collect_answers
from point2act.cli.bench_options import Arguments
from point2act.cli.bench_tables import print_scores
from point2act.cli.options import parse
from point2act.core.errors import ScoringError
from point2act.core.files import new_folder
from point2act.core.progress import Stages

if TYPE_CHECKING:
    from point2act.scoring.formats import Format
    from point2act.scoring.measures import Found
    from point2act.scoring.questions import Question, QuestionId
    from point2act.scoring.scores import Answers
else:
    Format = Found = Question = QuestionId = Answers = Any


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, score the answers, and write scores.json and report.html."""
    arguments = parse(Arguments, argv, "bench-model")
    # Late, as in the other commands: --help is quick.
    from point2act.scoring.formats import FORMATS

    form, data = FORMATS[arguments.input.format], arguments.input.data
    nothing = not arguments.input.answers and arguments.model.model is None
    _check_wanted(arguments, form, nothing)
    stages = Stages(show=True)
    if form.name == "reasoning":
        _render_once(data, arguments.output.seed, stages)
    with stages.stage("read the data set"):
        everything = form.read(data)
        questions = _of_split(everything, arguments.input.split)
    if nothing:
        print(f"questions: {len(questions)} in {data}\nscore a model with --answers FILE or --model")
        return
    answers, person = collect_answers(arguments, everything, questions, form, stages)
    _score(arguments, answers, person, questions, form, stages)


def _check_wanted(arguments: Arguments, form: Format, nothing: bool) -> None:
    """Raise ``ScoringError`` for options that do not go together."""
    if nothing and form.name != "reasoning":
        raise ScoringError("there is nothing to score: give --answers FILE, or a --model to ask")
    check_dialect(arguments.model.dialect, form, f"--dialect {arguments.model.dialect}")
    if arguments.scoring.score != "view" and form.name != "reasoning":
        raise ScoringError(
            f"--score {arguments.scoring.score}: only reasoning-tables has scenes: use --score view"
        )

    for name in ("seed", "pictures"):
        if getattr(arguments.output, name) < 0:
            raise ScoringError(
                f"--{name} {getattr(arguments.output, name)}: give a number that is not negative"
            )
    if not form.of_points and (arguments.model.model is not None or arguments.input.clicks is not None):
        raise ScoringError(f"--format {form.name}: points are no answers to it: give --answers FILE alone")


def _score(
    arguments: Arguments,
    answers: Sequence[Answers],
    person: Answers | None,
    questions: Sequence[Question],
    form: Format,
    stages: Stages,
) -> None:
    """Score the answers, and write and print the scores."""
    from point2act.scoring.report import write_report
    from point2act.scoring.scores import score_answers
    from point2act.scoring.scores_json import write_scores

    output, data = arguments.output, arguments.input.data
    with stages.stage("score the answers") as tick:
        scores, baselines = score_answers(
            answers, questions, form, person=person, seed=output.seed, progress=tick
        )
    places = [_places(given, questions, form, arguments, stages) for given in answers]
    places = [found for found in places if found is not None]
    path, page = output.output / "scores.json", output.output / "report.html"
    write_scores(path, answers, scores, baselines, form=form, data=data, places=places)
    with stages.stage("draw the failures") as tick:
        rows = write_report(
            page,
            answers,
            scores,
            baselines,
            form=form,
            data=data,
            places=places,
            pictures=output.pictures,
            progress=tick,
        )
    print_scores(form, rows, baselines, len(questions))
    print(f"scores: {path}\nreport: {page}")


def _places(
    given: Answers, questions: Sequence[Question], form: Format, arguments: Arguments, stages: Stages
) -> Mapping[QuestionId, Found] | None:
    """Localize the questions from the answers in all views, and try grasps; None where that is not wanted."""
    if arguments.scoring.score == "view":
        return None
    from point2act.scoring.views import ask_all_views
    from point2act.simulation.reasoning_places import PlacesConfig, find_places

    grasps = arguments.scoring.score == "grasp"
    with stages.stage("plan and try grasps" if grasps else "localize the questions") as tick:
        return find_places(
            given,
            questions,
            ask_all_views(questions),
            form,
            arguments.output.output / f"places_{given.name}.jsonl",
            config=PlacesConfig(grasps=grasps, gripper=arguments.scoring.gripper),
            progress=tick,
        )


def _render_once(folder: Path, seed: int, stages: Stages) -> None:
    """Render reasoning-tables into a folder, unless it is there."""
    from point2act.scoring.formats.reasoning import QUESTIONS

    if (folder / QUESTIONS).exists():
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ScoringError(
            f"--data {folder} is not a folder of reasoning-tables, which has a {QUESTIONS}: give another, or "
            "a new folder to render them into"
        )
    from point2act.simulation.reasoning import write_reasoning_tables

    with stages.stage("render the scenes") as tick, new_folder(folder, ScoringError) as draft:
        write_reasoning_tables(draft, seed=seed, progress=tick)


def _of_split(questions: Sequence[Question], split: str | None) -> tuple[Question, ...]:
    chosen = tuple(question for question in questions if split in (None, question.split))
    if not chosen:
        known = sorted({question.split for question in questions if question.split})
        raise ScoringError(f"--split {split}: no question is of it: use {' or '.join(known) or 'no --split'}")
    return chosen
