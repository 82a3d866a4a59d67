"""Success of grasps in physics: planners under increasingly difficult conditions.

Every planner is given the true region of a part and the same measured depth; a free-flying gripper executes
its first grasp: approach, close, lift 15 cm, shake, hold. ``python -m benchmarks.grasps.suite --help`` lists
the options; ``POINT2ACT_BENCHMARK_CACHE`` names a folder to keep cases in.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import QUICK, Metric, Plan
from benchmarks.grasps.cases import CONDITIONS, SEEDS
from benchmarks.grasps.planners import PLANNERS, WITH_TRUE_REGION
from benchmarks.grasps.records import Record, groups, summarise, table
from benchmarks.grasps.trials import run_task, tasks
from point2act.core.processes import results
from point2act.core.threads import configure_threads

QUICK_COUNT = 4
COUNT = 60


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield success rates and times by condition and planner; a quick plan uses a few of the tuning seeds."""
    quick = plan.every == QUICK.every
    conditions = ("easy", "clutter") if quick else tuple(CONDITIONS)
    planners = ("ours", "straight_down") if quick else WITH_TRUE_REGION
    # A quick run is for tuning a planner and must not use the published seeds.
    first, count = (SEEDS["tune"], QUICK_COUNT) if quick else (SEEDS["report"], COUNT)
    seeds = range(first, first + count)
    todo = tasks(conditions, seeds, planners) + ([] if quick else tasks(["easy"], seeds, ["whole_pipeline"]))
    records = [record for task in todo for record in run_task(task)]
    for (condition, planner), here in groups(records).items():
        summary, name = summarise(here), f"grasps.{condition}.{planner}"
        yield Metric(f"{name}_lift_percent", 100 * summary.lifted, "%", "higher")
        yield Metric(f"{name}_by_part_percent", 100 * summary.by_part, "%", "higher")
        if planner == "ours":
            yield Metric(f"{name}_slip_percent", 100 * summary.shares["slip"], "%")
            yield Metric(f"{name}_seconds", summary.seconds[0], "s")
            yield Metric(f"{name}_seconds_p95", summary.seconds[1], "s")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the chosen trials, write every record as it comes, and print the table."""
    arguments = _parse(argv)
    configure_threads()
    seeds = [
        SEEDS[arguments.seeds] + number
        for number in range(arguments.first, arguments.first + arguments.count)
    ]
    todo = tasks(arguments.conditions, seeds, arguments.planners)
    records: list[Record] = []
    start_time = time.perf_counter()
    for done, found in enumerate(results(run_task, todo, arguments.jobs), start=1):
        records += found
        if arguments.json is not None:
            _write(arguments.json, records)
        _progress(found, done, len(todo), time.perf_counter() - start_time)
    order = {name: place for place, name in enumerate([*CONDITIONS, *PLANNERS])}
    records.sort(key=lambda record: (order[record.condition], order[record.planner], record.seed))
    if arguments.json is not None:
        _write(arguments.json, records)
    print(table(records))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grasps.suite", description=main.__doc__)
    parser.add_argument("--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--planners", nargs="+", choices=list(PLANNERS), default=list(WITH_TRUE_REGION))
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--first", type=int, default=0, help="start at this case of the seeds")
    parser.add_argument("--count", type=int, default=COUNT, help="cases per condition")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there, as they come")
    parser.add_argument("--jobs", type=int, default=1, help="processes; with one, seconds are comparable")
    return parser.parse_args(argv)


def _write(path: Path, records: Sequence[Record]) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(json.dumps([asdict(record) for record in records], indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _progress(found: Sequence[Record], done: int, all_of: int, seconds: float) -> None:
    for r in found:
        print(
            f"{r.condition:<9} {r.seed:>4} {r.planner:<13} {r.outcome:<12} {r.object} {r.part} ({r.detail})",
            file=sys.stderr,
        )
    print(f"{done}/{all_of} cases in {seconds:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
