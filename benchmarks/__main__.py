"""Run suites by name, print what they measured, and compare it with the committed baseline.

argparse and not tyro, because ``python -m benchmarks gpu`` has to run where there is little but torch.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

import benchmarks
from benchmarks import QUICK, CannotMeasureError, Metric, Plan
from benchmarks._gate import read_baseline, verdicts
from point2act.core.errors import SimulationError
from point2act.core.threads import configure_threads

LONG = (
    "check",
    "choose",
    "clicks",
    "follow",
    "fuzz",
    "grasps",
    "kills",
    "large",
    "localisation",
    "looks",
    "own_data",
    "real",
    "soak",
    "tabletop",
    "view",
)
"""Suites that take many minutes: they run only when they are named."""


def names() -> list[str]:
    """The suites: modules of this package without an underscore."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each figure; 1 when a gated one is worse than it may be, 2 for a wrong call."""
    arguments = parse(argv)
    unknown = sorted(set(arguments.suites) - set(names()))
    if unknown:
        print(f"no suite is named {', '.join(unknown)}: choose from {', '.join(names())}", file=sys.stderr)
        return 2
    chosen = arguments.suites or [name for name in names() if name not in LONG]
    plan = replace(QUICK if arguments.quick else Plan(), plot=arguments.plot)
    configure_threads()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start", file=sys.stderr)
    figures, measured = run_suites(chosen, plan)
    if arguments.json is not None:
        arguments.json.write_text(as_json(figures), encoding="utf-8")
    return gate(figures, measured) if arguments.gate else 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure point2act.")
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="suite",
        help=f"{', '.join(names())}; by default all but {', '.join(LONG)}",
    )
    parser.add_argument("--quick", action="store_true", help="measure less; in about three minutes")
    parser.add_argument("--gate", action="store_true", help="fail when a figure of baseline.json is worse")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw growth there, as PNG")
    return parser.parse_args(argv)


def run_suites(chosen: Sequence[str], plan: Plan) -> tuple[list[Metric], list[str]]:
    """Every figure of the suites, printed when it comes, and the suites that could be measured."""
    figures: list[Metric] = []
    measured: list[str] = []
    for name in chosen:
        try:
            for metric in import_module(f"benchmarks.{name}").measure(plan):
                line = f"{metric.name:<38} {metric.value:>10.4g} {metric.unit:<8} {metric.better} is better"
                print(line, flush=True)
                figures.append(metric)
            measured.append(name)
        except (CannotMeasureError, SimulationError) as err:
            print(f"{name} is skipped: {err}", flush=True)
    return figures, measured


def as_json(figures: Sequence[Metric]) -> str:
    """A list of objects with the fields of ``Metric``."""
    return json.dumps([asdict(metric) for metric in figures], indent=1, allow_nan=False) + "\n"


def gate(figures: Sequence[Metric], measured: Sequence[str]) -> int:
    """Print what is worse than it may be; 1 when anything is."""
    checked, failures = verdicts(figures, read_baseline(), measured)
    for failure in failures:
        print(f"gate: {failure}")
    print(f"gate: {checked - len(failures)} of {checked} figures hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
