"""Accuracy and calibration of the fusion of answers, beside simpler methods.

Simulated tables with seeds that nothing was tuned on, 24 noisy RGB-D views each, pointing models with
increasing error rates, and families of errors of other kinds, beside the best of the simple methods.
``POINT2ACT_BENCHMARK_CACHE`` names a folder in which captured and fitted tables are kept; each takes 20 s to
make. With ``--plot FILE`` the reliability diagram is drawn into ``localisation.png`` beside that file. For
tuning tables, and fewer levels or methods: ``python -m benchmarks.localization.suite --seeds tune --levels
hard few --methods ours``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import Metric, Plan
from benchmarks.common.tables import FRESH, REPORT, SPARSE, TUNE, Table
from benchmarks.localization.adaptive import measure_asking
from benchmarks.localization.baselines import ONE_BY_ONE, TOGETHER
from benchmarks.localization.ceiling import known_parts_and_errors
from benchmarks.localization.levels import (
    FAMILY_LEVELS,
    LEVELS,
    Method,
    all_at_once,
    compare,
    one_by_one,
    ours,
)
from benchmarks.localization.measures import (
    Record,
    Summary,
    calibration_error,
    confidences,
    roc_area,
    summarise,
)
from benchmarks.localization.result_tables import reliability_table, tables
from point2act.core.threads import configure_threads

DRAWS = 3
"""Draws of answers for each table and level."""
ON_OTHER_CAPTURES = 12
"""Tables for the levels on captures of their own: without depth a fit takes 40 s."""
TRAINED = 4
"""Tables for the baseline that trains, with one draw each."""
ASKED_TABLES = 16
"""Tables for adaptive asking, with one draw each: a query takes a second."""
QUICK = 4
"""Tables for ``--quick``."""

SEEDS = {"tune": TUNE, "report": REPORT, "sparse": SPARSE, "fresh": FRESH}
OURS = "ours"
UPPER_BOUND = "known parts and errors"
ADAM = "trained by Adam"
SIMPLE = ("mean-shift mode", "mean with prior (A)")
"""Simple methods that stand beside ours for every family."""


def methods() -> dict[str, Method]:
    """Return our method, the upper bound and the baselines by name."""
    others = {name: one_by_one(method) for name, method in ONE_BY_ONE.items()}
    together = {name: all_at_once(method) for name, method in TOGETHER.items()}
    return {OURS: ours(), UPPER_BOUND: known_parts_and_errors, **others, **together}


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the metrics of our method by level; those of the others are printed."""
    quick = plan.every > 1
    chosen = [name for name, level in LEVELS.items() if not quick or level.variant == "rgbd"]
    records = gather(chosen, REPORT[:QUICK] if quick else REPORT, 1 if quick else DRAWS, methods())
    ours = [record for record in records if record.method == OURS]
    print(f"{tables(records)}\n\n{reliability_table(ours)}\n", flush=True)
    if plan.plot is not None:
        from benchmarks.localization.plot import draw_reliability

        draw_reliability(ours, plan.plot.with_name("localisation.png"))
    for level in chosen:
        yield from _figures(level, summarise([record for record in ours if record.level == level]))
    yield Metric("localisation.ece", _overall(ours), "of 1")
    yield from _sparse(quick)
    yield from _families(quick)
    yield from measure_asking(REPORT[:QUICK] if quick else REPORT[:ASKED_TABLES], 1)


def _sparse(quick: bool) -> Iterator[Metric]:
    """Yield the metrics of scenes of two or three objects, and the best simple method's share."""
    simple = {name: one_by_one(ONE_BY_ONE[name]) for name in SIMPLE}
    levels = ("clean", "typical", "hard", "few", "absent")
    scenes, draws = (SPARSE[:QUICK], 1) if quick else (SPARSE, DRAWS)
    records = gather(levels, scenes, draws, {OURS: ours(), **simple})
    print(f"{tables(records)}\n", flush=True)
    for level in levels:
        here = [record for record in records if record.level == level]
        yield from _figures(
            f"sparse_{level}", summarise([record for record in here if record.method == OURS])
        )
        if level != "absent":
            of_others = (summarise([record for record in here if record.method == name]) for name in SIMPLE)
            best = max(summary.inside.value for summary in of_others)
            yield Metric(f"localisation.sparse_{level}.inside_simple", 100 * best, "%")


def _families(quick: bool) -> Iterator[Metric]:
    """Yield the metrics of families of errors, and the best simple method's share of right places."""
    simple = {name: one_by_one(ONE_BY_ONE[name]) for name in SIMPLE}
    scenes, draws = (REPORT[:QUICK], 1) if quick else (REPORT, DRAWS)
    records = gather(list(FAMILY_LEVELS), scenes, draws, {OURS: ours(), **simple})
    print(f"{tables(records)}\n", flush=True)
    for family in FAMILY_LEVELS:
        here = [record for record in records if record.level == family]
        by_method = {
            name: summarise([record for record in here if record.method == name]) for name in (OURS, *SIMPLE)
        }
        own = by_method[OURS]
        best = max(by_method[name].right.value for name in SIMPLE)
        yield Metric(f"field.{family}.inside", 100 * own.right.value, "%", "higher")
        yield Metric(f"field.{family}.inside_simple", 100 * best, "%")
        yield Metric(f"field.{family}.top2", 100 * own.top2.value, "%", "higher")
        yield Metric(f"field.{family}.refused", 100 * own.refused.value, "%", "lower")
        yield Metric(f"field.{family}.ece", own.ece, "of 1")
        yield Metric(f"field.{family}.auc", own.roc_area, "of 1")
    confidence, right = confidences([record for record in records if record.method == OURS])
    yield Metric("field.ece", calibration_error(confidence, right), "of 1")
    yield Metric("field.auc", roc_area(confidence, right), "of 1")


def gather(
    levels: Sequence[str], scenes: Sequence[Table], draws: int, compared: Mapping[str, Method]
) -> list[Record]:
    """Return the records of all comparisons; slow methods and captures use fewer tables."""
    quick = {name: method for name, method in compared.items() if name != ADAM}
    slow = {name: method for name, method in compared.items() if name == ADAM}
    known = LEVELS | FAMILY_LEVELS
    own = [name for name in levels if known[name].variant == "rgbd"]
    other = [name for name in levels if known[name].variant != "rgbd"]
    records = list(compare(own, scenes, draws, quick)) if quick else []
    records += compare(other, scenes[:ON_OTHER_CAPTURES], draws, quick) if quick else []
    records += compare(own, scenes[:TRAINED], 1, slow) if slow else []
    return records


def _figures(level: str, summary: Summary) -> Iterator[Metric]:
    name = f"localisation.{level}"
    if not level.endswith("absent"):
        yield Metric(f"{name}.inside", 100 * summary.inside.value, "%", "higher")
        yield Metric(f"{name}.inside_error", 100 * summary.inside.error, "%")
        yield Metric(f"{name}.inside_by_scene", 100 * summary.inside_scenes, "%", "higher")
        yield Metric(f"{name}.inside_1cm", 100 * summary.inside_1cm.value, "%", "higher")
        yield Metric(f"{name}.top2", 100 * summary.top2.value, "%", "higher")
        yield Metric(f"{name}.center_mm", 1000 * summary.center_error, "mm")
    yield Metric(f"{name}.refused", 100 * summary.refused.value, "%", _refusing(level))
    yield Metric(f"{name}.ece", summary.ece, "of 1")


def _refusing(level: str):
    return "higher" if level.endswith("absent") else "lower"


def _overall(records: Sequence[Record]) -> float:
    """Return the calibration error over all levels together."""
    return calibration_error(*confidences(records))


def main() -> None:
    """Compare some methods at some levels."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.localization.suite", description=main.__doc__)
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--count", type=int, help="maximum number of tables")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--levels", nargs="+", choices=[*LEVELS, *FAMILY_LEVELS], default=list(LEVELS))
    parser.add_argument("--methods", nargs="+", choices=list(methods()), default=[OURS])
    parser.add_argument(
        "--plot", type=Path, help="draw the first method's reliability diagram into this file"
    )
    arguments = parser.parse_args()
    configure_threads()
    scenes = SEEDS[arguments.seeds][: arguments.count]
    compared = {name: method for name, method in methods().items() if name in arguments.methods}
    records = gather(arguments.levels, scenes, arguments.draws, compared)
    print(tables(records))
    for name in compared:
        of_it = [record for record in records if record.method == name]
        print(f"\n{name}: calibration error {_overall(of_it):.3f}\n{reliability_table(of_it)}")
    if arguments.plot is not None:
        from benchmarks.localization.plot import draw_reliability

        first = next(iter(compared))
        draw_reliability([record for record in records if record.method == first], arguments.plot)


if __name__ == "__main__":
    main()
