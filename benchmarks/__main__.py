"""Run suites by name, print their metrics, and compare them with the committed baseline.

argparse and not tyro, because ``python -m benchmarks gpu`` has to run where little but torch is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

from benchmarks import QUICK, CannotMeasureError, Metric, Plan
from benchmarks.gate import read_baseline, verdicts
from benchmarks.suites import LONG, QUALITY, SUITES
from point2act.core.errors import SimulationError
from point2act.core.threads import configure_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each metric; return 1 if a gated metric is too bad, 2 for an unknown suite."""
    arguments = parse(argv)
    unknown = sorted(set(arguments.suites) - set(SUITES))
    if unknown:
        print(f"no suite is named {', '.join(unknown)}: choose from {', '.join(SUITES)}", file=sys.stderr)
        return 2
    chosen = arguments.suites or [name for name in SUITES if name not in LONG]
    plan = replace(QUICK if arguments.quick else Plan(), plot=arguments.plot)
    configure_threads()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start", file=sys.stderr)
    figures, measured = run_suites(chosen, plan)
    if arguments.json is not None:
        arguments.json.write_text(as_json(figures), encoding="utf-8")
    return gate(figures, measured) if arguments.gate else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure point2act.")
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="suite",
        help=f"{', '.join(SUITES)}; by default all but {', '.join(LONG)}; "
        f"checks of quality: {', '.join(QUALITY)}",
    )
    parser.add_argument("--quick", action="store_true", help="measure less, in about three minutes")
    parser.add_argument("--gate", action="store_true", help="fail when a metric is worse than its baseline")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the metrics to this file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the plot of growth to this PNG file")
    return parser.parse_args(argv)


def run_suites(chosen: Sequence[str], plan: Plan) -> tuple[list[Metric], list[str]]:
    """Return the metrics of the suites, each printed as it is measured, and the suites that were measured."""
    figures: list[Metric] = []
    measured: list[str] = []
    for name in chosen:
        try:
            for metric in import_module(SUITES[name]).measure(plan):
                line = f"{metric.name:<38} {metric.value:>10.4g} {metric.unit:<8} {metric.better} is better"
                print(line, flush=True)
                figures.append(metric)
            measured.append(name)
        except (CannotMeasureError, SimulationError) as err:
            print(f"{name} is skipped: {err}", flush=True)
    return figures, measured


def as_json(figures: Sequence[Metric]) -> str:
    """Return a JSON list of objects with the fields of ``Metric``."""
    return json.dumps([asdict(metric) for metric in figures], indent=1, allow_nan=False) + "\n"


def gate(figures: Sequence[Metric], measured: Sequence[str]) -> int:
    """Print the metrics that are too bad; return 1 if there are any."""
    checked, failures = verdicts(figures, read_baseline(), measured)
    for failure in failures:
        print(f"gate: {failure}")
    print(f"gate: {checked - len(failures)} of {checked} metrics hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
