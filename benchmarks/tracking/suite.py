"""Tracking of a clicked thing in simulated sequences, beside the two simplest ways.

A D435-like camera moves about a shipped scene for four seconds; within them a thing is moved, hidden or taken
elsewhere (``sequences.py``). A frame counts where a third of the thing is seen of what the first one shows,
but for the first five after it was hidden. The truth is where the true motion carries each method's own first
place. ``python -m benchmarks.tracking.suite`` prints each sequence; ``--jobs 2`` uses two processes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from benchmarks import QUICK, Metric, Plan
from benchmarks.common.tables import KINDS
from benchmarks.tracking.sequences import EVENTS, SimulatedSequence, simulate_sequence
from benchmarks.tracking.simple_trackers import follow_color, follow_flow
from point2act.acting import Tracker, thing_at
from point2act.core.geometry import project, transform_points
from point2act.core.processes import results
from point2act.core.threads import configure_threads

SEED, COUNT = 3200, 2
"""First seed, and seeds of every scene and event; nothing is tuned on them."""
TUNING_SEED = 3100
PIXELS, METRES = 15.0, 0.015
"""Largest error of a frame that is right."""
_SETTLING = 5
"""Frames after a thing was hidden in which it may be sought: half a second."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """How one method follows one sequence."""

    event: str
    method: str
    pixels: float
    """Share of the frames that count with an error below 15 pixels."""
    metres: float
    """Share of them with an error below 15 mm."""
    at_end: float
    """1 if the last frame is right, 0 if not; nan if the thing is not seen in it."""
    wrong: float
    """Share of all frames in which the thing counts as tracked with an error above 3 cm."""
    noticed: float
    """Share of the frames in which it is hidden that are lost; nan where it never is."""
    rate: float
    """Frames per second."""


def measure(plan: Plan) -> Iterator[Metric]:
    """Yield shares of frames by event and method; a quick plan uses one tuning scene."""
    quick = plan.every == QUICK.every
    tasks = [
        (kind, TUNING_SEED if quick else SEED + number, event)
        for number in range(1 if quick else COUNT)
        for kind in (KINDS[:1] if quick else KINDS)
        for event in EVENTS
    ]
    outcomes = [outcome for task in tasks for outcome in run(task)]
    for method in ("ours", "flow", "color"):
        for event in EVENTS:
            here = [one for one in outcomes if (one.method, one.event) == (method, event)]
            for figure in ("pixels", "metres", "at_end"):
                share = _mean([getattr(one, figure) for one in here])
                yield Metric(f"tracking.{event}.{method}_{figure}", share, "of 1", "higher")
    ours = [one for one in outcomes if one.method == "ours"]
    yield Metric("act.tracking_hz", float(np.median([one.rate for one in ours])), "Hz", "higher")


def run(task: tuple[str, int, str]) -> list[Outcome]:
    """Simulate a sequence, and follow the thing with each method."""
    sequence = simulate_sequence(*task)
    return [_ours(sequence), *_simple(sequence)]


def _ours(sequence: SimulatedSequence) -> Outcome:
    first, *rest = sequence.views
    thing = thing_at(first, sequence.click, sequence.thing)
    tracker = Tracker(first, [thing])
    tracks = [tracker.tracks[0]]
    start = time.perf_counter()
    for view in rest:
        tracks.append(tracker.update(view)[0])
    rate = len(rest) / (time.perf_counter() - start)
    places = np.array([track.position for track in tracks])
    lost = np.array([track.state == "lost" for track in tracks])
    return _judged(sequence, "ours", places, lost, rate)


def _simple(sequence: SimulatedSequence) -> Iterator[Outcome]:
    thing = thing_at(sequence.views[0], sequence.click, sequence.thing)
    for name, follow in (("flow", follow_flow), ("color", follow_color)):
        start = time.perf_counter()
        places = follow(sequence.views, thing, sequence.click)
        rate = len(places) / (time.perf_counter() - start)
        yield _judged(sequence, name, places, np.zeros(len(places), dtype=bool), rate)


def _judged(
    sequence: SimulatedSequence,
    method: str,
    places: Float[np.ndarray, "n 3"],
    lost: Bool[np.ndarray, " n"],
    rate: float,
) -> Outcome:
    truth = np.array([transform_points(T, places[0]) for T in sequence.motions])
    camera = sequence.views[0].camera
    error = np.linalg.norm(places - truth, axis=1)
    away = np.linalg.norm(
        project(camera, np.eye(4), places)[0] - project(camera, np.eye(4), truth)[0], axis=1
    )
    hidden = sequence.hidden
    settling = np.convolve(hidden, np.ones(_SETTLING + 1), "full")[: len(hidden)] > 0
    counts = ~settling
    return Outcome(
        sequence.event,
        method,
        float((away[counts] < PIXELS).mean()),
        float((error[counts] < METRES).mean()),
        float(error[-1] < METRES) if counts[-1] else float("nan"),
        float((~lost & (error > 2 * METRES)).mean()),
        float(lost[hidden].mean()) if hidden.any() else float("nan"),
        rate,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print each sequence as it comes, then a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking.suite", description=main.__doc__)
    parser.add_argument("--events", nargs="+", choices=EVENTS, default=EVENTS)
    parser.add_argument(
        "--first", type=int, default=TUNING_SEED, help="first seed; 3200 for published figures"
    )
    parser.add_argument("--count", type=int, default=1, help="seeds of every scene and event")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args(argv)
    configure_threads()
    seeds = range(arguments.first, arguments.first + arguments.count)
    tasks = [(kind, seed, event) for seed in seeds for event in arguments.events for kind in KINDS]
    outcomes: list[Outcome] = []
    for found in results(_named, tasks, arguments.jobs):
        (kind, seed, event), each = found
        outcomes += each
        shown = "  ".join(f"{one.method} {one.pixels:.2f} {one.metres:.2f} {one.at_end:.0f}" for one in each)
        print(f"{kind:<10} {seed} {event:<8} {shown}  wrong {each[0].wrong:.2f}", flush=True)
    print(summary(outcomes))


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return a Markdown table: means over sequences, in percent."""
    rows = [
        "| | sequences | within 15 px | within 15 mm | right at the end | wrong unnoticed | hidden noticed |",
        "|---|---|---|---|---|---|---|",
    ]
    for event in EVENTS:
        for method in ("ours", "flow", "color"):
            here = [one for one in outcomes if (one.event, one.method) == (event, method)]
            if not here:
                continue
            shares = [
                100 * _mean([getattr(one, name) for one in here])
                for name in ("pixels", "metres", "at_end", "wrong", "noticed")
            ]
            cells = " | ".join("–" if np.isnan(share) else f"{share:.0f}" for share in shares)
            rows.append(f"| {event}, {method} | {len(here)} | {cells} |")
    ours = [one.rate for one in outcomes if one.method == "ours"]
    rows.append(f"\n{np.median(ours):.1f} frames a second")
    return "\n".join(rows)


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the known values, nan if there is none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _named(task: tuple[str, int, str]) -> tuple[tuple[str, int, str], list[Outcome]]:
    return task, run(task)


if __name__ == "__main__":
    main()
