"""What a learned order of grasps could gain for a parallel gripper, and how long proposals for a hand take.

For the gripper no network ships. Instead the best planned grasps of each table are executed until one holds:
no order of these grasps, learned or not, lifts on more tables than that. With ``pose_error`` each is executed
off by 3 mm and 3 degrees. For a hand whose weights ship the planner with ``--head learned`` is timed.
``python -m benchmarks.learned.suite --help`` lists the options; ``POINT2ACT_BENCHMARK_CACHE`` names a folder
to keep cases in.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import QUICK, Metric, Plan
from benchmarks.grasps.cases import CONDITIONS, SEEDS, Case, Condition, case, for_trial
from benchmarks.grasps.records import percent
from benchmarks.grasps.tables import QUERY
from benchmarks.grasps.trials import executed
from benchmarks.hands import suite as hands
from point2act.core.threads import configure_threads
from point2act.core.types import Grasp
from point2act.grasping.antipodal.plan import plan_grasps
from point2act.grasping.grippers import Gripper, load_gripper
from point2act.grasping.hands.load import load_hand
from point2act.grasping.learned.weights import load_flow
from point2act.grasping.tsdf import fuse_local
from point2act.simulation import TrialConfig, try_grasp

ROWS = {"execution": "pose_error", "clutter": "clutter"}
"""Conditions of the grasp benchmark, by the name of their metric."""
COUNT, QUICK_COUNT = 60, 3
_TRIED = 8
"""Number of grasps of a table that are executed at most."""


@dataclass(frozen=True)
class Record:
    """The grasps of one table."""

    condition: str
    seed: int
    first: bool
    """Whether the first one lifted by the part."""
    any: bool
    """Whether one of the best ones did."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield shares of a Panda's tables and the time of an Allegro Hand; a quick plan uses tuning seeds."""
    quick = plan.every == QUICK.every
    first, count = (SEEDS["tune"], QUICK_COUNT) if quick else (SEEDS["report"], COUNT)
    seeds = range(first, first + count)
    records = list(trials(load_gripper("panda"), list(ROWS), seeds))
    print(f"{table(records)}\n", flush=True)
    yield from metrics(records)
    if load_flow("allegro") is not None:
        timed = list(hands.trials(load_hand("allegro"), ["single"], seeds, ["learned"]))
        yield Metric("learned.seconds", float(np.median([one.seconds for one in timed])), "s")


def metrics(records: Sequence[Record]) -> Iterator[Metric]:
    """Yield the share of first grasps that lift, and the most that another order could add to it."""
    for row, condition in ROWS.items():
        here = [one for one in records if one.condition == condition]
        if here:
            first, best = (float(np.mean([getattr(one, name) for one in here])) for name in ("first", "any"))
            yield Metric(f"learned.{row}_first", first, "of 1", "higher")
            yield Metric(f"learned.{row}_gain_bound", best - first, "of 1", "higher")


def trials(gripper: Gripper, rows: Sequence[str], seeds: Sequence[int]) -> Iterator[Record]:
    """Execute the best grasps of every table until one lifts by the part."""
    for seed in seeds:
        for row in rows:
            condition = CONDITIONS[ROWS[row]]
            yield _record(case(condition.setting, seed), condition, gripper)


def _record(opened: Case, condition: Condition, gripper: Gripper) -> Record:
    volume = fuse_local(opened.views, opened.depths, opened.region.action_point)
    grasps, _ = plan_grasps(volume, opened.region, gripper, rng=np.random.default_rng(opened.seed))
    held = (_holds(opened, condition, grasp, gripper) for grasp in grasps[:_TRIED])
    first = next(held, False)
    return Record(condition.name, opened.seed, first, first or any(held))


def _holds(opened: Case, condition: Condition, grasp: Grasp, gripper: Gripper) -> bool:
    pose = grasp.T_world_gripper
    placed = replace(grasp, T_world_gripper=executed(pose, opened.seed) if condition.off else pose)
    scene = for_trial(opened, condition)
    return try_grasp(scene, QUERY, placed, gripper, TrialConfig(pictures=False)).by_part


def table(records: Sequence[Record]) -> str:
    """Return a Markdown table of shares in percent, with 95 % Wilson intervals."""
    lines = [f"| tables | n | first grasp | best of {_TRIED} |", "|---|---|---|---|"]
    for condition in dict.fromkeys(one.condition for one in records):
        here = [one for one in records if one.condition == condition]
        shares = (percent([getattr(one, name) for one in here]) for name in ("first", "any"))
        lines.append(f"| {condition} | {len(here)} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the trials of a gripper, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learned.suite", description=main.__doc__)
    parser.add_argument("--gripper", default="panda", help="name of a gripper")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--count", type=int, default=COUNT, help="tables of each row")
    arguments = parser.parse_args(argv)
    configure_threads()
    first = SEEDS[arguments.seeds]
    records = []
    for record in trials(
        load_gripper(arguments.gripper), arguments.rows, range(first, first + arguments.count)
    ):
        records.append(record)
        print(record, file=sys.stderr, flush=True)
    print(table(records))


if __name__ == "__main__":
    main()
