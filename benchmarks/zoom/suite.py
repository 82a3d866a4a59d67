"""Pointing with one question per view and with a second one on a crop: right points and right action points.

Simulated tables with seeds that nothing was tuned on, 24 noisy RGB-D views of 320x240 each, and two simulated
models whose errors shrink with apparent size (``simulated_pointer.py``). Both questions show 320 pixels, so
that only the crop can help. ``POINT2ACT_BENCHMARK_CACHE`` names a folder in which fitted tables are kept;
each takes 20 s to make. For tuning, on other tables:
``python -m benchmarks.zoom.suite --min-fraction 0.25 0.33 0.5``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import Metric, Plan
from benchmarks.common.tables import REPORT, TUNE, Table, simulated
from benchmarks.localization.measures import Mean, clustered_mean
from benchmarks.zoom.simulated_pointer import CAUTIOUS, SHOWN, SIZED
from benchmarks.zoom.trials import ONE, Trial, calibration, compare
from point2act.core.threads import configure_threads
from point2act.vlm.pointing.zoom import ZoomConfig

TABLES = 12
DRAWS = 3
"""Draws of answers for each table and model."""
QUICK = 3
"""Tables for ``--quick``, with one draw each."""
TWO = "two questions"
MODELS = {"sized": SIZED, "cautious": CAUTIOUS}
SEEDS = {"tune": TUNE, "report": REPORT}
Z_95 = 1.96
"""Half width of a 95 % interval in standard errors."""


@dataclass(frozen=True)
class Summary:
    """Results of one method with one model; fractions of the views in which the target is visible."""

    right: Mean
    """Fraction of points on the target."""
    spread: float
    """Standard deviation of ``right`` over the draws."""
    parts: Mean
    """The same for queries of parts."""
    hidden: float
    """Fraction of hidden views with a point."""
    actions: Mean
    """Fraction of queries with the action point inside the part's box; a refusal is not inside."""
    actions_spread: float
    corrected: float
    """Fraction of wrong first answers that are right after the second question."""
    spoiled: float
    """Fraction of right first answers that are wrong after the second question."""
    questions: float
    """Number of questions per view."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield the metrics of both methods for both models."""
    count, draws = (QUICK, 1) if plan.every > 1 else (TABLES, DRAWS)
    methods = {TWO: ZoomConfig(side=SHOWN)}
    found = gather(REPORT[:count], methods, draws)
    print(f"{table(found)}\n", flush=True)
    for (model, method), s in found.items():
        name = f"zoom.{model}.{'one' if method == ONE else 'two'}"
        yield Metric(f"{name}.right_points", 100 * s.right.value, "%", "higher")
        yield Metric(f"{name}.right_points_error", 100 * s.right.error, "%")
        yield Metric(f"{name}.right_actions", 100 * s.actions.value, "%", "higher")
        yield Metric(f"{name}.right_actions_error", 100 * s.actions.error, "%")
        yield Metric(f"{name}.questions", s.questions, "a view")


def gather(
    tables: Sequence[Table], methods: Mapping[str, ZoomConfig], draws: int
) -> dict[tuple[str, str], Summary]:
    """Return a summary for every model and method; each table is opened once."""
    trials: dict[tuple[str, str], list[Trial]] = {(m, w): [] for m in MODELS for w in (ONE, *methods)}
    for one in tables:
        opened = simulated(one)
        for model, errs in MODELS.items():
            for trial in compare(opened, methods, draws, errs):
                trials[model, trial.method].append(trial)
    return {key: summarise(found, trials[key[0], ONE]) for key, found in trials.items()}


def summarise(trials: Sequence[Trial], first: Sequence[Trial]) -> Summary:
    """Return the results of one method; ``first`` are the trials with one question, in the same order."""
    seen = np.concatenate([trial.visible for trial in trials])
    right, before = (np.concatenate([trial.right for trial in one])[seen] for one in (trials, first))
    views = [len(trial.visible) for trial in trials]
    scene, draw, part = (
        np.repeat([getattr(trial, name) for trial in trials], views)[seen]
        for name in ("scene", "draw", "part")
    )
    pointed = np.concatenate([trial.pointed for trial in trials])[~seen]
    inside = np.array([trial.verdict.inside for trial in trials])
    return Summary(
        right=clustered_mean(right, scene),
        spread=_spread(right, draw),
        parts=clustered_mean(right[part], scene[part]),
        hidden=_share(pointed),
        actions=clustered_mean(inside, np.array([trial.scene for trial in trials])),
        actions_spread=_spread(inside, np.array([trial.draw for trial in trials])),
        corrected=_share(right[~before]),
        spoiled=_share(~right[before]),
        questions=sum(trial.questions for trial in trials) / sum(views),
    )


def _spread(values: np.ndarray, draws: np.ndarray) -> float:
    return float(np.std([values[draws == draw].mean() for draw in np.unique(draws)]))


def _share(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def table(found: Mapping[tuple[str, str], Summary]) -> str:
    """Return a table by model and method: percent, 95 % intervals, in brackets the spread over draws."""
    rows = [
        "| model | method | right points | of parts | right action points | corrected | spoiled "
        "| pointed though hidden | questions per view |",
        "|---" * 9 + "|",
    ]
    for (model, method), s in found.items():
        change = ("", "") if method == ONE else (f"{100 * s.corrected:.0f}", f"{100 * s.spoiled:.0f}")
        right = f"{_interval(s.right)} ({100 * s.spread:.1f})"
        actions = f"{_interval(s.actions)} ({100 * s.actions_spread:.1f})"
        cells = (model, method, right, _interval(s.parts), actions, *change, f"{100 * s.hidden:.0f}")
        rows.append("| " + " | ".join((*cells, f"{s.questions:.2f}")) + " |")
    return "\n".join(rows)


def _interval(mean: Mean) -> str:
    return f"{100 * mean.value:.1f} ± {100 * Z_95 * mean.error:.1f}"


def main() -> None:
    """Compare sizes of the crop, or show how often the simulated models' first answers are right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoom.suite", description=main.__doc__)
    parser.add_argument("--seeds", choices=list(SEEDS), default="tune")
    parser.add_argument("--count", type=int, default=6, help="maximum number of tables")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--min-fraction", type=float, nargs="+", default=[ZoomConfig().min_fraction])
    parser.add_argument(
        "--calibrate", action="store_true", help="evaluate first answers for all objects and parts"
    )
    arguments = parser.parse_args()
    configure_threads()
    chosen = SEEDS[arguments.seeds][: arguments.count]
    if not arguments.calibrate:
        methods = {
            f"{share:g} of the image": ZoomConfig(side=SHOWN, min_fraction=share)
            for share in arguments.min_fraction
        }
        print(table(gather(chosen, methods, arguments.draws)))
        return
    for model, errs in MODELS.items():
        pairs = [calibration(simulated(one), arguments.draws, errs) for one in chosen]
        things, parts = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
        print(f"{model}: right on {things.mean():.1%} of objects, {parts.mean():.1%} of parts", flush=True)


if __name__ == "__main__":
    main()
