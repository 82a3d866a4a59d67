"""Accuracy after one, two or three clicks of a simulated person on whole objects and on parts.

Simulated tables with seeds that nothing was tuned on, 24 noisy RGB-D views each, and a simulated person
(``simulated_person.py``). Each click is evaluated with the likelihood of a person, and for comparison with
that of a model. An action point is right inside the true box of the target, with zero margin; a refusal is
not. ``POINT2ACT_BENCHMARK_CACHE`` as for ``localisation``. For tuning, on other tables: ``python -m
benchmarks.clicks.suite --seeds tune``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from benchmarks import Metric, Plan
from benchmarks.clicks.simulated_person import clicks
from benchmarks.common.tables import FRESH, REPORT, TUNE, Simulated, Table, simulated
from benchmarks.localization.measures import Record, confidences, judge, summarise
from benchmarks.localization.result_tables import reliability_table, tables
from benchmarks.zoom.trials import with_all_queries
from point2act.core.threads import configure_threads
from point2act.core.types import PointSet
from point2act.data.points import PERSON
from point2act.pipeline.query import AnswerConfig
from point2act.simulation import part_box

TABLES = 8
"""Number of tables, one of every kind."""
DRAWS = 2
"""Draws of clicks for each object and part."""
COUNTS = (1, 2, 3)
QUICK = 2
"""Tables for ``--quick``, with one draw each."""
TABLES_WITH_GRASPS = 4
"""Tables on which grasps are planned as well, after one click."""
SEEDS = {"tune": TUNE, "report": REPORT, "fresh": FRESH}
AUTHORS = {"person": PERSON, "model": "simulated/clean"}
"""Author that is recorded with the clicks, which chooses the likelihood."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the percentage of action points inside the box, and their confidence."""
    count, draws = (QUICK, 1) if plan.every > 1 else (TABLES, DRAWS)
    records = [record for table in REPORT[:count] for record in compare(simulated(table), draws)]
    print(f"{report(records)}\n", flush=True)
    for level in dict.fromkeys(record.level for record in records):
        for author in AUTHORS:
            here = [record for record in records if (record.level, record.method) == (level, author)]
            summary, (confidence, _) = summarise(here), confidences(here)
            name = f"clicks.{level.replace(' ', '_')}.{author}"
            yield Metric(f"{name}.inside", 100 * summary.inside.value, "%", "higher")
            yield Metric(f"{name}.inside_error", 100 * summary.inside.error, "%")
            yield Metric(f"{name}.confidence", 100 * float(confidence.mean()), "%", "higher")
            yield Metric(f"{name}.refused", 100 * summary.refused.value, "%")
    grasped = [
        found for table in REPORT[: min(count, TABLES_WITH_GRASPS)] for found in has_grasps(simulated(table))
    ]
    yield Metric("clicks.grasped", 100 * float(np.mean(grasped)), "%", "higher")


def compare(
    opened: Simulated,
    draws: int,
    *,
    counts: Sequence[int] = COUNTS,
    author: Iterable[str] = tuple(AUTHORS),
    config: AnswerConfig = AnswerConfig(),
) -> Iterator[Record]:
    """Yield a record for every object and part of a table, number of clicks, draw and recorded author."""
    opened = replace(opened, scene=with_all_queries(opened.scene))
    for draw in range(draws):
        for count in counts:
            asked = clicked(opened, draw, count)
            for name in author:
                answers = tuple(replace(answer, model=AUTHORS[name]) for answer in asked.answers)
                located = opened.session.localize(replace(asked, answers=answers), config=config)
                for one in located:
                    target = opened.scene.target(one.query.name)
                    level = f"{count} {'part' if target.part else 'object'}"
                    verdict = judge((one.region, one.rivals), part_box(opened.scene, one.query.name))
                    yield Record(level, name, opened.table.name, one.query.name, draw, verdict)


def clicked(opened: Simulated, draw: int, count: int) -> PointSet:
    """Return ``count`` clicks on everything in a scene that is well visible in that many images."""
    found = {query: tuple(islice(clicks(opened, query.name, draw), count)) for query in opened.scene.queries}
    found = {query: answers for query, answers in found.items() if len(answers) == count}
    return PointSet(tuple(found), sum(found.values(), ()))


def has_grasps(opened: Simulated, *, config: AnswerConfig = AnswerConfig()) -> list[bool]:
    """Return for each query to grasp of a table whether one click leads to a grasp."""
    answered = opened.session.ask(clicked(opened, 0, 1), config=config)
    wanted = [result for result in answered.results if result.query.role == "grasp"]
    for result in wanted:
        if not result.grasps:
            print(f"{opened.table.name}, {result.query.name}: {result.reason}, {result.detail}", flush=True)
    return [len(result.grasps) > 0 for result in wanted]


def report(records: Sequence[Record]) -> str:
    """Return results by number of clicks and kind of target, with reliability tables."""
    blocks = [tables(sorted(records, key=lambda record: (record.level[2:], record.level)))]
    for author in dict.fromkeys(record.method for record in records):
        for level in dict.fromkeys(record.level for record in records):
            here = [record for record in records if (record.level, record.method) == (level, author)]
            confidence, right = confidences(here)
            blocks.append(
                f"{author}, {level}: mean confidence {confidence.mean():.3f}, right {right.mean():.3f}\n"
                + reliability_table(here)
            )
    return "\n\n".join(blocks)


def main() -> None:
    """Compare clicks evaluated as a person's and as a model's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clicks.suite", description=main.__doc__)
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--count", type=int, default=TABLES, help="maximum number of tables")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument(
        "--grasps", action="store_true", help="count the queries for which one click leads to grasps"
    )
    arguments = parser.parse_args()
    configure_threads()
    chosen: Sequence[Table] = SEEDS[arguments.seeds][: arguments.count]
    if arguments.grasps:
        grasped = [found for table in chosen for found in has_grasps(simulated(table))]
        print(f"{sum(grasped)} of {len(grasped)} queries have grasps")
        return
    print(report([record for table in chosen for record in compare(simulated(table), arguments.draws)]))


if __name__ == "__main__":
    main()
