"""Success of a hand's grasps in physics: single objects and heaps, beside simpler planners.

Every planner is given the true region of a part and the same measured depth of a simulated camera: nearly
ideal or, for single objects, a stereo camera. A free-flying hand executes its first grasp: approach, close
and squeeze, lift 20 cm, shake 3 cm along each axis. ``python -m benchmarks.hands.suite --help`` lists the
options; ``POINT2ACT_BENCHMARK_CACHE`` names a folder to keep cases in.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import QUICK, Metric, Plan
from benchmarks.grasps.cases import CONDITIONS, SEEDS, Case, case
from benchmarks.grasps.records import percent
from benchmarks.grasps.tables import QUERY, Setting
from benchmarks.hands.planners import PLANNERS, planners_for
from point2act.core.threads import configure_threads
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand
from point2act.physics.hand_trial import HandTrialConfig, try_hand_grasp

SETTINGS = {
    "single": Setting("single", count=(1, 1)),
    "clutter": CONDITIONS["clutter"].setting,
    "stereo": Setting("single_stereo", count=(1, 1), sensor="stereo"),
}
COUNT, QUICK_COUNT = 60, 3


@dataclass(frozen=True)
class Record:
    """The first grasp of one planner on one table."""

    hand: str
    setting: str
    planner: str
    seed: int
    object: str
    part: str
    outcome: str
    lifted: bool
    shaken: bool
    directions: int
    by_part: bool
    grasps: int
    """Number of grasps that were planned."""
    seconds: float
    """Time to plan them."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield shares of an Allegro Hand; a quick plan uses a few of the tuning seeds."""
    quick = plan.every == QUICK.every
    first, count = (SEEDS["tune"], QUICK_COUNT) if quick else (SEEDS["report"], COUNT)
    seeds = range(first, first + count)
    hand = load_hand("allegro")
    records = list(trials(hand, list(SETTINGS), seeds, planners_for(hand)))
    print(f"{table(records)}\n", flush=True)
    yield from metrics(records)


def metrics(records: Sequence[Record]) -> Iterator[Metric]:
    """Yield the metrics of records; those of simpler planners have their names in between."""
    for planner in dict.fromkeys(record.planner for record in records):
        name = "hands" if planner == "ours" else f"hands.{planner}"
        single = [one for one in records if (one.setting, one.planner) == ("single", planner)]
        clutter, stereo = (
            [one.lifted for one in records if (one.setting, one.planner) == (setting, planner)]
            for setting in ("clutter", "stereo")
        )
        held = [one for one in single if one.lifted]
        if single:
            yield Metric(f"{name}.lift", _share([one.lifted for one in single]), "of 1", "higher")
            yield Metric(f"{name}.shake", _share([one.shaken for one in single]), "of 1", "higher")
            yield Metric(f"{name}.seconds", float(np.median([one.seconds for one in single])), "s")
        if held:
            yield Metric(f"{name}.by_part", _share([one.by_part for one in held]), "of 1", "higher")
        if clutter:
            yield Metric(f"{name}.clutter_lift", _share(clutter), "of 1", "higher")
        if stereo:
            yield Metric(f"{name}.stereo_lift", _share(stereo), "of 1", "higher")


def trials(
    hand: Hand, settings: Sequence[str], seeds: Sequence[int], planners: Sequence[str]
) -> Iterator[Record]:
    """Yield the outcome of every planner on every table."""
    for setting in settings:
        for seed in seeds:
            drawn = case(SETTINGS[setting], seed)
            for planner in planners:
                yield _record(hand, setting, planner, drawn)


def _record(hand: Hand, setting: str, planner: str, drawn: Case) -> Record:
    start = time.perf_counter()
    grasps = PLANNERS[planner](drawn, hand)
    seconds = time.perf_counter() - start
    about = (hand.name, setting, planner, drawn.seed, drawn.target.thing, drawn.target.part)
    if not grasps:
        return Record(*about, "no_grasp", False, False, 0, False, 0, seconds)
    tried = try_hand_grasp(drawn.scene, QUERY, grasps[0], hand, HandTrialConfig(pictures=False))
    held = (tried.outcome, tried.lifted, tried.shaken, tried.held_directions, tried.by_part)
    return Record(*about, *held, len(grasps), seconds)


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags))


def table(records: Sequence[Record]) -> str:
    """Return a Markdown table of shares in percent, with 95 % Wilson intervals."""
    lines = [
        "| hand | tables | planner | n | lift | and shake | six directions | by part, of lifts "
        "| by part, of all | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((one.hand, one.setting, one.planner) for one in records):
        here = [one for one in records if (one.hand, one.setting, one.planner) == key]
        held = [one for one in here if one.lifted]
        shares = (
            percent([one.lifted for one in here]),
            percent([one.shaken for one in here]),
            percent([one.directions == 6 for one in here]),
            percent([one.by_part for one in held]),
            percent([one.by_part for one in here]),
        )
        seconds = f"{np.median([one.seconds for one in here]):.0f}"
        lines.append(f"| {' | '.join([*key, str(len(here)), *shares, seconds])} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the chosen trials, write every record as it comes, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hands.suite", description=main.__doc__)
    parser.add_argument("--hands", nargs="+", default=["allegro"], help="names of hands")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--planners", nargs="+", choices=list(PLANNERS), help="by default all that there are")
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--count", type=int, default=COUNT, help="tables of each setting")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there, as they come")
    arguments = parser.parse_args(argv)
    configure_threads()
    first = SEEDS[arguments.seeds]
    seeds = range(first, first + arguments.count)
    records: list[Record] = []
    for name in arguments.hands:
        hand = load_hand(name)
        planners = arguments.planners or planners_for(hand)
        for record in trials(hand, arguments.settings, seeds, planners):
            records.append(record)
            print(record, file=sys.stderr, flush=True)
            if arguments.json is not None:
                arguments.json.write_text(json.dumps([asdict(one) for one in records], indent=1) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
