"""Levels of pointing errors, and a comparison of fusion methods on the same draws of answers."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.common.error_families import (
    ABSENT,
    ADVERSARIAL,
    FAMILIES,
    AbsentConfig,
    ErrorFamily,
    family_answers,
    simulate_absent_answers,
)
from benchmarks.common.tables import Simulated, Table, simulated
from benchmarks.localization.measures import Outcome, Record, judge
from point2act.core.types import NoAnswer, PointSet, Query, QueryResult, ViewAnswers
from point2act.localization.relevancy import answers_in_views
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session
from point2act.simulation import CLEAN, HARD, TYPICAL, PointingConfig, part_box
from point2act.simulation.pointing import answer

Method = Callable[[Simulated, "Level", PointSet], list[Outcome]]
"""Answers all queries of a point set in order; only the upper bound uses the ground truth."""
AnswerOne = Callable[[Session, ViewAnswers, Query], Outcome]
"""Answers one query; ``ViewAnswers`` are the pixels named in each view of the session."""


@dataclass(frozen=True)
class Level:
    """Rates of pointing errors on one kind of capture."""

    name: str
    pointing: PointingConfig | AbsentConfig | ErrorFamily
    views: int | None = None
    """Number of views asked, evenly spaced along the camera's path; None asks all."""
    variant: str = "rgbd"


LEVELS = {
    level.name: level
    for level in (
        Level("clean", CLEAN),
        Level("typical", TYPICAL),
        Level("hard", HARD),
        Level("adversarial", ADVERSARIAL),
        Level("few", TYPICAL, views=5),
        Level("absent", ABSENT),
        Level("perturbed", TYPICAL, variant="perturbed"),
        Level("rgb", TYPICAL, variant="rgb"),
    )
}
FAMILY_LEVELS = {family.name: Level(family.name, family) for family in FAMILIES}
"""Errors of other kinds than those of ``LEVELS``, which the likelihood was tuned on."""


def evaluate(
    levels: Iterable[str], scenes: Iterable[Table], draws: int, answer_fn: AnswerOne
) -> list[Record]:
    """Return the records of one method for every query of some scenes at some levels.

    The answers depend on the arguments but not on the method. ``scenes`` of the variant ``rgbd`` stand for
    all variants: a level takes the one that it needs.
    """
    return list(compare(levels, scenes, draws, {"": one_by_one(answer_fn)}))


def compare(
    levels: Iterable[str], scenes: Iterable[Table], draws: int, methods: Mapping[str, Method]
) -> Iterator[Record]:
    """Yield a record for every method, level, scene, query and draw; each scene is opened once."""
    chosen = [(LEVELS | FAMILY_LEVELS)[name] for name in levels]
    for table in scenes:
        for variant in dict.fromkeys(level.variant for level in chosen):
            opened = simulated(replace(table, variant=variant))
            for level in (level for level in chosen if level.variant == variant):
                yield from _compare_level(opened, level, draws, methods)


def ours(config: AnswerConfig = AnswerConfig()) -> Method:
    """Return our method, as in the program up to the region."""

    def ask(opened: Simulated, level: Level, points: PointSet) -> list[Outcome]:
        # Nothing is planned for queries to avoid.
        places = tuple(replace(query, role="avoid") for query in points.queries)
        answered = opened.session.ask(replace(points, queries=places), config=config)
        return [_outcome(result) for result in answered.results]

    return ask


def one_by_one(answer_fn: AnswerOne) -> Method:
    """Return a method that handles one query after the other."""

    def ask(opened: Simulated, level: Level, points: PointSet) -> list[Outcome]:
        session = opened.session
        located = answers_in_views(points, session.capture, session.views)
        return [
            answer_fn(session, pixels, query) for pixels, query in zip(located, points.queries, strict=True)
        ]

    return ask


def all_at_once(answer_all: Callable[[Session, Sequence[ViewAnswers]], list[Outcome]]) -> Method:
    """Return a method that handles all queries of a scene together."""

    def ask(opened: Simulated, level: Level, points: PointSet) -> list[Outcome]:
        session = opened.session
        return answer_all(session, answers_in_views(points, session.capture, session.views))

    return ask


def drawn(opened: Simulated, level: Level, draws: int) -> PointSet:
    """Draw the answers of one scene at one level; query ``mug`` of draw 2 is called ``mug/2``."""
    queries, answers = [], []
    for number in range(draws):
        # Levels of one model share its answers: only their use differs.
        seed = zlib.crc32(f"{opened.table.name} {level.pointing.name}".encode())
        rng = np.random.default_rng([seed, number])
        if isinstance(level.pointing, ErrorFamily):
            points = family_answers(opened.scene, opened.shots, level.pointing, rng)
        elif isinstance(level.pointing, AbsentConfig):
            points = simulate_absent_answers(opened.scene, opened.shots, level.pointing, rng)
        else:
            points = answer(opened.scene, opened.shots, level.pointing, rng)
        asked = _asked_views(opened, level.views, rng)
        queries += [replace(query, name=f"{query.name}/{number}") for query in points.queries]
        answers += [replace(a, query=f"{a.query}/{number}") for a in points.answers if a.image in asked]
    return PointSet(tuple(queries), tuple(answers))


def _asked_views(opened: Simulated, count: int | None, rng: np.random.Generator) -> set[str]:
    """Return the names of ``count`` views, evenly spaced from a random one on."""
    names = [shot.view.name for shot in opened.shots]
    if count is None:
        return set(names)
    first = rng.uniform(0, len(names))
    return {names[int(first + step * len(names) / count) % len(names)] for step in range(count)}


def _compare_level(
    opened: Simulated, level: Level, draws: int, methods: Mapping[str, Method]
) -> Iterator[Record]:
    points = drawn(opened, level, draws)
    absent = isinstance(level.pointing, AbsentConfig)
    for name, method in methods.items():
        outcomes = method(opened, level, points)
        for query, outcome in zip(points.queries, outcomes, strict=True):
            asked, draw = query.name.split("/")
            box = None if absent else part_box(opened.scene, asked)
            yield Record(level.name, name, opened.table.name, asked, int(draw), judge(outcome, box))


def _outcome(result: QueryResult) -> Outcome:
    if result.region is None:
        assert result.reason is not None
        return NoAnswer(result.reason, result.detail or ""), result.alternatives
    return result.region, result.alternatives
