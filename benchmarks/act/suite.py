"""Simulated tasks from the sentence to physics, in closed loop and in open loop.

Every task of ``configs/tasks`` is captured, a typical pointing model answers, the plan's queries are
localized, and a simulated arm carries the plan out; conditions in physics judge the end. Open loop is the
same without the tracker, and without asking again. A disturbance whose moment never comes leaves its run out.
The gripper is kept out of the table.
``python -m benchmarks.act.suite --tasks lid_on_pot --jobs 2`` prints each run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import QUICK, Metric, Plan
from point2act.acting.execution.preparation import PreparedTask
from point2act.acting.execution.simulated_task import (
    SimulatedRun,
    SimulatedTaskConfig,
    prepare_mistaken,
    prepare_simulated,
    run_simulated,
)
from point2act.core.config_files import available
from point2act.core.errors import PlanError
from point2act.core.processes import results
from point2act.core.threads import configure_threads
from point2act.core.types import OrientedBox
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import load_arm
from point2act.simulation.disturbances import DISTURBANCES, Disturbance
from point2act.simulation.task import load_task

TASKS = tuple(available("tasks"))
SEED, COUNT = 9000, 20
"""First seed, and seeds of every task; nothing is tuned on them."""
TUNING_SEED = 0
# All that is below the table's top, base frame, metres: half a centimetre, as things are set down on it.
_TABLE = OrientedBox(np.array([0.5, 0.0, -0.255]), np.eye(3), np.array([1.0, 1.0, 0.25]))
# Time between images in open loop, seconds: they say nothing there, but without any the arm would wait.
_OPEN_LOOP_PERIOD = 0.4


@dataclass(frozen=True)
class Run:
    """How one run ended."""

    task: str
    seed: int
    disturbance: Disturbance | None
    closed_loop: bool
    long: bool
    succeeded: bool
    disturbed: bool
    """Whether the disturbance took place."""
    reason: str
    seconds: float
    """On the robot's clock."""
    control_hz: float
    """Control steps that could be computed in a second: median."""
    slowest: float
    """99th percentile of the time of a control step, seconds."""
    violations: int
    """Control steps with a joint beyond its limits of position or velocity, or the gripper in the table."""
    image_seconds: float = np.nan
    """Time to follow things to an image: median."""
    reaction: float = np.nan
    """Time from the start of a motion of something to the first command that takes it into account."""
    asked: bool = False
    """Whether a pointing model was asked where it is meanwhile, since it was lost."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield shares of successes; a quick plan uses two tasks and a tuning seed."""
    quick = plan.every == QUICK.every
    names = ("lid_on_pot", "press_button") if quick else TASKS
    seeds = [TUNING_SEED] if quick else range(SEED, SEED + COUNT)
    kinds = (None, "target_moved") if quick else (None, *DISTURBANCES)
    runs = [one for name in names for seed in seeds for one in run((name, seed, kinds))]
    for label, closed_loop in (("", True), ("_open_loop", False)):
        here = [one for one in runs if one.closed_loop == closed_loop]
        yield Metric(
            f"act.undisturbed{label}", _share([one for one in here if not one.disturbance]), "of 1", "higher"
        )
        disturbed = [one for one in here if one.disturbance and one.disturbed]
        yield Metric(f"act.disturbed{label}", _share(disturbed), "of 1", "higher")
        wrong = [one for one in disturbed if one.disturbance == "wrong_first_answer"]
        if wrong:
            yield Metric(f"act.wrong_first_answer{label}", _share(wrong), "of 1", "higher")
        long = [one for one in here if one.long and not one.disturbance]
        yield Metric(f"act.long{label}", _share(long), "of 1", "higher")
    ran = [one for one in runs if one.seconds > 0]
    yield Metric("act.control_hz", float(np.median([one.control_hz for one in ran])), "Hz", "higher")
    yield Metric("act.control_p99_ms", 1e3 * float(np.median([one.slowest for one in ran])), "ms", "lower")
    rates = [1 / one.image_seconds for one in ran if one.closed_loop]
    yield Metric("act.tracking_hz", _median(rates), "Hz", "higher")
    moved = [one for one in ran if one.disturbance in ("target_moved", "goal_moved") and one.closed_loop]
    tracked = [one.reaction for one in moved if not one.asked]
    yield Metric("act.reaction_s", _median(tracked), "s", "lower")
    asked = [one.reaction for one in moved if one.asked and np.isfinite(one.reaction)]
    if asked:
        yield Metric("act.reaction_asked_s", _median(asked), "s", "lower")
    yield Metric("act.violations", float(sum(one.violations for one in ran)), "steps", "lower")


def run(task: tuple[str, int, Sequence[Disturbance | None]]) -> list[Run]:
    """Localize once, and carry the plan out with every disturbance, in closed and in open loop."""
    name, seed, disturbances = task
    ordinary = [kind for kind in disturbances if kind != "wrong_first_answer"]
    runs = _run(name, seed, prepare_simulated, ordinary) if ordinary else []
    if "wrong_first_answer" in disturbances:
        runs += _run(name, seed, prepare_mistaken, ("wrong_first_answer",))
    return runs


def _run(
    name: str,
    seed: int,
    preparing: Callable[..., PreparedTask],
    disturbances: Sequence[Disturbance | None],
) -> list[Run]:
    """Localize once, and carry the plan out with disturbances."""
    arm, loaded = load_arm("panda", load_gripper("panda")), load_task(name, seed)
    config = SimulatedTaskConfig(keep_out=(_TABLE,))
    try:
        prepared = preparing(loaded, arm, config, seed=seed)
    except PlanError as err:
        return [
            Run(name, seed, kind, closed, loaded.long, False, True, str(err), 0.0, 0.0, 0.0, 0)
            for kind in disturbances
            for closed in (True, False)
        ]
    runs = []
    for kind in disturbances:
        for closed in (True, False):
            period = config.tracking_period if closed else _OPEN_LOOP_PERIOD
            ended = run_simulated(
                loaded,
                arm,
                prepared,
                replace(config, tracking_period=period),
                closed_loop=closed,
                disturbance=kind,
                seed=seed,
            )
            reaction, asked = _reaction(ended)
            steps = np.array(ended.outcome.step_seconds)
            runs.append(
                Run(
                    name,
                    seed,
                    kind,
                    closed,
                    loaded.long,
                    ended.succeeded,
                    ended.disturbed_at is not None,
                    ended.reason,
                    ended.outcome.seconds,
                    float(1 / np.median(steps)),
                    float(np.quantile(steps, 0.99)),
                    ended.outcome.violations,
                    _median(ended.outcome.image_seconds),
                    reaction,
                    asked,
                )
            )
    return runs


def _reaction(run: SimulatedRun) -> tuple[float, bool]:
    """Return the time from a disturbance to the first note of what has moved, NaN without any.

    And whether the thing was lost in between, and a pointing model asked where it is.
    """
    start = np.inf if run.disturbed_at is None else run.disturbed_at
    later = [event for event in run.outcome.events if event.time > start]
    noted = next((event.time for event in later if event.kind == "moved"), np.nan)
    lost = next((event.time for event in later if event.kind == "lost"), np.inf)
    return noted - start, any(event.kind == "asked" and lost <= event.time < noted for event in later)


def _median(values: Sequence[float]) -> float:
    """Return the median of numbers that are known, NaN without any."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else np.nan


def main(argv: Sequence[str] | None = None) -> None:
    """Print each run as it comes, then a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.act.suite", description=main.__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--disturbances", nargs="*", choices=DISTURBANCES, default=DISTURBANCES)
    parser.add_argument(
        "--first", type=int, default=TUNING_SEED, help="first seed; 9000 for published figures"
    )
    parser.add_argument("--count", type=int, default=1, help="seeds of every task")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args(argv)
    configure_threads()
    kinds = (None, *arguments.disturbances)
    seeds = range(arguments.first, arguments.first + arguments.count)
    tasks = [(name, seed, kinds) for seed in seeds for name in arguments.tasks]
    runs: list[Run] = []
    for found in results(run, tasks, arguments.jobs):
        runs += found
        for one in found:
            loop, what = "closed" if one.closed_loop else "open", one.disturbance or "undisturbed"
            done = "done" if one.succeeded else "not done"
            print(f"{one.task:<18} {one.seed} {what:<18} {loop:<7} {done}: {one.reason}", flush=True)
    print(summary(runs))


def summary(runs: Sequence[Run]) -> str:
    """Return a Markdown table: successes of runs, by task and in closed and in open loop."""
    rows = ["| | undisturbed | open loop | disturbed | open loop |", "|---|---|---|---|---|"]
    for name in [*dict.fromkeys(one.task for one in runs), "all"]:
        cells = []
        for disturbed in (False, True):
            for closed in (True, False):
                here = [
                    one
                    for one in runs
                    if name in (one.task, "all")
                    and one.closed_loop == closed
                    and (one.disturbance is not None) == disturbed
                    and (not disturbed or one.disturbed)
                ]
                cells.append(f"{sum(one.succeeded for one in here)} of {len(here)}")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _share(runs: Sequence[Run]) -> float:
    return float(np.mean([one.succeeded for one in runs])) if runs else float("nan")


if __name__ == "__main__":
    main()
