"""Lifts with the errors of real depth cameras and of recorded poses, on simulated tables.

Each table has one query with clean answers, so that geometry is measured and not pointing. Grasps are planned
by a session on Gaussians that are not fitted, as for ``real``; beside ours stands the same planner on one
TSDF of all views at the same refined poses, without selection or alignment. A free-flying gripper executes
the best grasp, opened as planned and fully. With errors of poses it does so twice: with the mean of their
motion taken out, see ``common_motion``, and where the recorded poses say. ``python -m
benchmarks.sensors.suite`` prints each table; ``--jobs 2`` uses two processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import binomtest

from benchmarks import QUICK, Metric, Plan
from benchmarks.real.recordings import never_falls
from benchmarks.sensors.tables import CONDITIONS, Condition, Outcome, lifts_by_views, measure_table
from point2act.core.processes import results
from point2act.core.threads import configure_threads

FIRST_SEED, COUNT, QUICK_COUNT = 7000, 60, 2
BY_VIEWS = ("stereo", "structured_light", "structured_light_drift")
"""Conditions in which grasps with 1, 3, 8 and all views are compared."""
TUNING_SEED = 3000
"""First seed of the tables for choosing parameters."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield percentages of lifts by condition and method; a quick plan uses two tuning tables each."""
    quick = plan.every == QUICK.every
    first, count = (TUNING_SEED, QUICK_COUNT) if quick else (FIRST_SEED, COUNT)
    tasks = [(condition.name, seed) for condition in CONDITIONS for seed in range(first, first + count)]
    outcomes = [outcome for task in tasks for outcome in _run(task)]
    for condition in CONDITIONS:
        for method in ("ours", "plain"):
            here = [one for one in outcomes if (one.condition, one.method) == (condition.name, method)]
            name = f"sensors.{condition.name}.{method}"
            for figure in ("lifted", "by_part", "lifted_open", "lifted_as_recorded"):
                share = sum(getattr(one, figure) for one in here) / len(here)
                yield Metric(f"{name}_{figure}_percent", 100 * share, "%", "higher")
    lifts = [
        lifts_by_views(condition, seed)
        for condition in CONDITIONS
        if condition.name in BY_VIEWS
        for seed in range(first, first + count)
    ]
    yield Metric("sensors.monotone", sum(map(never_falls, lifts)) / len(lifts), "of 1", "higher")


def main(argv: Sequence[str] | None = None) -> None:
    """Print each table as it comes, then shares with 95 % Wilson intervals."""
    names = [condition.name for condition in CONDITIONS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensors.suite", description=main.__doc__)
    parser.add_argument("--conditions", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--first", type=int, default=TUNING_SEED, help="first seed; 7000 for published figures"
    )
    parser.add_argument("--count", type=int, default=COUNT, help="tables of each condition")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--by-views", action="store_true", help="compare 1, 3, 8 and all views instead of methods"
    )
    arguments = parser.parse_args(argv)
    configure_threads()
    seeds = range(arguments.first, arguments.first + arguments.count)
    if arguments.by_views:
        _print_by_views([(name, seed) for name in arguments.conditions for seed in seeds], arguments.jobs)
        return
    outcomes: list[Outcome] = []
    tasks = [(name, seed) for name in arguments.conditions for seed in seeds]
    for found in results(_run, tasks, arguments.jobs):
        outcomes += found
        for one in found:
            about = f"{one.condition:<16} {one.seed} {one.query:<24} {one.method:<5}"
            done = f"lifted {one.lifted:d} by part {one.by_part:d} fully open {one.lifted_open:d}"
            where = f"as recorded {one.lifted_as_recorded:d} near {one.near:d}"
            print(f"{about} {done} {where} ({one.detail[:60]})", flush=True)
    print(summary(sorted(outcomes, key=lambda one: (names.index(one.condition), one.seed))))


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return a Markdown table of shares in percent, the intervals of lifts in brackets."""
    rows = [
        "| | tables | in the box / 1 cm | lifted | by the part | fully open | as recorded |",
        "|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((one.condition, one.method) for one in outcomes):
        here = [one for one in outcomes if (one.condition, one.method) == key]
        shares = {
            name: 100 * sum(getattr(one, name) for one in here) / len(here)
            for name in ("inside", "near", "lifted", "by_part", "lifted_open", "lifted_as_recorded")
        }
        interval = binomtest(sum(one.lifted for one in here), len(here)).proportion_ci(method="wilson")
        rows.append(
            f"| {key[0]}, {key[1]} | {len(here)} | {shares['inside']:.0f} / {shares['near']:.0f} | "
            f"{shares['lifted']:.0f} ({100 * interval.low:.0f} to {100 * interval.high:.0f}) | "
            f"{shares['by_part']:.0f} | {shares['lifted_open']:.0f} | {shares['lifted_as_recorded']:.0f} |"
        )
    return "\n".join(rows)


def _print_by_views(tasks: Sequence[tuple[str, int]], jobs: int) -> None:
    """Print which numbers of views lift on each table, and the share of tables where more never lift less."""
    lifts = []
    for task, lifted in results(_run_by_views, tasks, jobs):
        lifts.append(lifted)
        print(
            f"{task[0]:<24} {task[1]} 1, 3, 8, all views: {' '.join(f'{one:d}' for one in lifted)}",
            flush=True,
        )
    print(f"never falls: {sum(map(never_falls, lifts))} of {len(lifts)}; lifts {np.mean(lifts, axis=0)}")


def _run_by_views(task: tuple[str, int]) -> tuple[tuple[str, int], tuple[bool, ...]]:
    return task, lifts_by_views(_condition(task[0]), task[1])


def _condition(name: str) -> Condition:
    return next(condition for condition in CONDITIONS if condition.name == name)


def _run(task: tuple[str, int]) -> list[Outcome]:
    return measure_table(_condition(task[0]), task[1])


if __name__ == "__main__":
    main()
