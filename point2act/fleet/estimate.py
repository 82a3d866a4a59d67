"""What a batch will take, from what its store has measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from point2act.core.progress import Stages
from point2act.data.capture.view_selection import select_views
from point2act.fleet.asking import Asker, AskingCost, costs
from point2act.fleet.batch import identify
from point2act.fleet.identity import Task
from point2act.fleet.manifest import Job
from point2act.fleet.store import Outcome, Store


@dataclass(frozen=True)
class Estimate:
    """Expected work of a batch; what is not known is None."""

    jobs: int
    unreadable: int
    """Jobs that fail, because a file of theirs cannot be read."""
    known: int
    """Jobs whose result is in the store."""
    scenes: int
    """Scenes to make."""
    tasks: int
    """Different jobs to do."""
    questions: int
    """Questions to ask a model, one for each image and query."""
    seconds: float | None
    tokens: tuple[int, int] | None
    """Tokens that a model reads and writes."""
    money: float | None
    """US dollars."""


def estimate(
    jobs: Sequence[Job], store: Store, *, asker: Asker | None, workers: int, stages: Stages
) -> Estimate:
    """Return what is to be done and what it will take; nothing is asked, solved or written.

    Args:
        jobs: The jobs of a manifest.
        store: Where results are, and what earlier ones took.
        asker: The model; None if no job has queries.
        workers: Number of processes.
        stages: Times and shows the reading.

    Raises:
        FleetError: A job has queries, and no model is named.
    """
    with stages.stage("read the captures") as bar:
        identified = identify(jobs, store, asker, bar)
    groups = identified.groups(store)
    unasked = {
        task.points: len(select_views(identified.captures.capture(job).frames, job.options.max_views))
        * len(job.queries)
        for group in groups
        for job, task in group
        if job.queries and not task.points.is_file()
    }
    unreadable = sum(isinstance(task, Outcome) for task in identified.tasks)
    ahead = {task.name for group in groups for _, task in group}
    tasks, questions = sum(map(len, groups)), sum(unasked.values())
    asked = sum(costs(store.answers), AskingCost())
    return Estimate(
        jobs=len(jobs),
        unreadable=unreadable,
        known=sum(isinstance(task, Task) and task.name not in ahead for task in identified.tasks),
        scenes=len(groups),
        tasks=tasks,
        questions=questions,
        seconds=_seconds(store, len(groups), tasks, questions, asked, workers),
        tokens=_tokens(questions, asked),
        money=_money(_tokens(questions, asked), asker),
    )


def _seconds(
    store: Store, scenes: int, tasks: int, questions: int, asked: AskingCost, workers: int
) -> float | None:
    done = [outcome for outcome in store.records() if outcome.status == "done" and outcome.stages]
    made = [outcome.scene_seconds for outcome in done if outcome.scene_seconds > 0]
    if (tasks and not made) or (questions and not asked.questions):
        return None
    total = 0.0
    if tasks:
        alone = sum(outcome.seconds - outcome.scene_seconds for outcome in done) / len(done)
        total = (scenes * sum(made) / len(made) + tasks * alone) / workers
    asking = questions * asked.seconds / asked.questions if questions else 0.0
    # Both go on at the same time.
    return max(total, asking)


def _tokens(questions: int, asked: AskingCost) -> tuple[int, int] | None:
    if not questions:
        return 0, 0
    if not asked.questions or asked.tokens_read == 0:
        return None
    each = (asked.tokens_read / asked.questions, asked.tokens_written / asked.questions)
    return round(questions * each[0]), round(questions * each[1])


def _money(tokens: tuple[int, int] | None, asker: Asker | None) -> float | None:
    if tokens == (0, 0):
        return 0.0
    price = None if asker is None else asker.price
    if tokens is None or price is None:
        return None
    return sum(count * each for count, each in zip(tokens, price, strict=True)) / 1e6
