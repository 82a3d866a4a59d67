"""Detection of faults in captures by ``point2act check``, and its false alarms.

Tables of several kinds, 24 noisy RGB-D views each, with seeds that no threshold was chosen on; each gets
every fault of ``faults.py``, one at a time. A fault is detected if a finding of the right kind names at least
one faulty image, where there is one. A false alarm is a warning or an error about an unchanged capture;
warnings and errors of another kind about a faulty one are counted as well.

``python -m benchmarks.check.suite --seeds tune`` prints the same for the tables on which thresholds were
chosen, and ``--capture FOLDER`` for a capture on disk (RGB-D, or photographs without the faults of depth).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import Metric, Plan
from benchmarks.check.faults import FAULTS, ORIGINAL, Fault
from point2act.calibration.checks import Finding, run_checks
from point2act.core.types import View
from point2act.data.capture import load_views, read_capture

TUNE = (("tabletop", 0), ("desk", 1), ("kitchen", 2))
REPORT = (("tabletop", 500), ("workbench", 501), ("breakfast", 502), ("washstand", 503))
QUICK = 1
"""Tables for ``--quick``."""
SIDE = 640


@dataclass(frozen=True)
class Outcome:
    """Findings in one capture with one fault."""

    capture: str
    fault: Fault
    detected: bool
    others: tuple[str, ...]
    """Codes of warnings and errors of another kind."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the percentage of detected faults, and the number of false findings."""
    tables = REPORT[:QUICK] if plan.every > 1 else REPORT
    outcomes = []
    for name, seed in tables:
        outcomes += list(outcomes_of(f"{name}-{seed}", _simulated(name, seed)))
    print(f"{table(outcomes)}\n", flush=True)
    faulty = [outcome for outcome in outcomes if outcome.fault is not ORIGINAL]
    clean = [outcome for outcome in outcomes if outcome.fault is ORIGINAL]
    yield Metric("check.detected", 100 * float(np.mean([o.detected for o in faulty])), "%", "higher")
    yield Metric("check.false_alarms", float(np.mean([len(o.others) for o in clean])), "findings")
    yield Metric("check.misleading", float(np.mean([len(o.others) for o in faulty])), "findings")


def outcomes_of(capture: str, views: Sequence[View]) -> Iterator[Outcome]:
    """Yield outcomes of the unchanged capture and of every fault that its views can have."""
    deep = all(view.depth is not None for view in views)
    for number, fault in enumerate((ORIGINAL, *FAULTS)):
        if not deep and "depth" in fault.name:
            continue
        faulty, at_fault = fault.inject(list(views), np.random.default_rng(number))
        findings = run_checks(faulty).findings
        yield Outcome(capture, fault, _detected(fault, findings, at_fault), _others(fault, findings))


def _detected(fault: Fault, findings: Sequence[Finding], at_fault: Sequence[str]) -> bool:
    named = [finding for finding in findings if finding.code in fault.codes]
    return any(not at_fault or not f.images or set(f.images) & set(at_fault) for f in named)


def _others(fault: Fault, findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(f.code for f in findings if f.severity != "remark" and f.code not in fault.codes)


def _simulated(name: str, seed: int) -> list[View]:
    # Imported late: only this function needs the simulator.
    from point2act.simulation import WristConfig, load_scene
    from point2act.simulation.camera import render_views

    shots = render_views(load_scene(name, seed), WristConfig(), np.random.default_rng(seed))
    return [shot.view for shot in shots]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a line for each fault: in how many captures it was detected, and other findings there."""
    lines = [f"{'injected':<34} {'detected':>7}  other findings"]
    for fault in (ORIGINAL, *FAULTS):
        here = [outcome for outcome in outcomes if outcome.fault is fault]
        if not here:
            continue
        detected = "" if fault is ORIGINAL else f"{sum(o.detected for o in here)}/{len(here)}"
        others = [code for outcome in here for code in outcome.others]
        words = ", ".join(f"{code} {others.count(code)}" for code in dict.fromkeys(others))
        lines.append(f"{fault.name:<34} {detected:>7}  {words or '-'}")
    return "\n".join(lines)


def main() -> None:
    """Print the table for tuning or report seeds, or for captures on disk."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check.suite", description=main.__doc__)
    parser.add_argument("--seeds", choices=("tune", "report"), default="tune")
    parser.add_argument("--capture", type=Path, help="folder of a capture, instead of simulated tables")
    parser.add_argument("--count", type=int, help="maximum number of tables")
    arguments = parser.parse_args()
    if arguments.capture is not None:
        views = load_views(read_capture(arguments.capture), max_side=SIDE)
        print(table(list(outcomes_of(arguments.capture.name, views))))
        return
    chosen = (TUNE if arguments.seeds == "tune" else REPORT)[: arguments.count]
    outcomes = [o for name, seed in chosen for o in outcomes_of(f"{name}-{seed}", _simulated(name, seed))]
    print(table(outcomes))


if __name__ == "__main__":
    main()
