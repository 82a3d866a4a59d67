"""The suite of acting: which runs it counts."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ruckig")

from benchmarks import QUICK
from benchmarks.act import suite
from point2act.acting.execution.executor import Outcome
from point2act.acting.execution.simulated_task import SimulatedRun
from point2act.acting.execution.timeline import Event, EventKind
from point2act.core.errors import PlanError
from point2act.simulation.task import Success

RUN = suite.Run("a", 0, None, True, False, True, False, "the plan is done", 5.0, 900.0, 0.002, 0)


def test_a_disturbance_that_never_came_is_left_out() -> None:
    runs = [
        RUN,
        replace(RUN, succeeded=False, closed_loop=False),
        replace(RUN, disturbance="pushed", disturbed=True),
        replace(RUN, disturbance="pulled", succeeded=False),
    ]
    assert suite.summary(runs).splitlines()[2:] == [
        "| a | 1 of 1 | 0 of 1 | 1 of 1 | 0 of 0 |",
        "| all | 1 of 1 | 0 of 1 | 1 of 1 | 0 of 0 |",
    ]


def test_the_reaction_is_the_time_until_something_is_seen_to_have_moved() -> None:
    times: tuple[tuple[float, EventKind], ...] = (
        (1.0, "moved"),
        (2.1, "lost"),
        (2.2, "asked"),
        (2.4, "stage"),
        (2.5, "moved"),
        (2.6, "asked"),
    )
    events = tuple(Event(time, kind, "") for time, kind in times)
    outcome, success = Outcome(True, "", events, 5.0, 0, 0, ()), Success(())
    reaction, asked = suite._reaction(SimulatedRun(outcome, success, 2.2))
    assert (reaction, asked) == (pytest.approx(0.3), False)
    assert np.isnan(suite._reaction(SimulatedRun(outcome, success, 3.5))[0])
    assert np.isnan(suite._reaction(SimulatedRun(outcome, success))[0])
    assert suite._reaction(SimulatedRun(outcome, success, 2.0)) == (pytest.approx(0.5), True)
    others = tuple(event for event in events if event.kind != "lost")
    not_lost = SimulatedRun(replace(outcome, events=others), success, 2.0)
    assert suite._reaction(not_lost) == (pytest.approx(0.5), False)
    assert np.isnan(suite._median([np.nan]))
    assert suite._median([1.0, np.nan, 3.0]) == 2.0


def test_every_figure_is_emitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lost thing that was asked for does not count where things are tracked."""
    moved = replace(RUN, disturbance="target_moved", disturbed=True, image_seconds=0.05)
    runs = [
        replace(RUN, image_seconds=0.05, violations=2),
        replace(RUN, closed_loop=False, succeeded=False),
        replace(moved, reaction=0.4),
        replace(moved, reaction=3.5, asked=True),
        replace(moved, disturbance="wrong_first_answer"),
        replace(moved, disturbance="wrong_first_answer", closed_loop=False, succeeded=False),
    ]
    monkeypatch.setattr(suite, "run", lambda task: runs if task[0] == "lid_on_pot" else [])
    found = {metric.name: metric.value for metric in suite.measure(QUICK)}
    assert found["act.control_hz"] == 900.0
    assert found["act.control_p99_ms"] == pytest.approx(2.0)
    assert found["act.tracking_hz"] == pytest.approx(20.0)
    assert found["act.reaction_s"] == pytest.approx(0.4)
    assert found["act.reaction_asked_s"] == pytest.approx(3.5)
    assert found["act.violations"] == 2.0
    assert found["act.wrong_first_answer"] == 1.0
    assert found["act.wrong_first_answer_open_loop"] == 0.0


def test_what_is_not_found_counts_as_a_failure_of_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> None:
        raise PlanError("'the mug' was not found")

    monkeypatch.setattr(suite, "prepare_simulated", nothing)
    runs = suite.run(("press_button", 0, (None, "pushed")))
    assert [(one.disturbance, one.closed_loop) for one in runs] == [
        (None, True),
        (None, False),
        ("pushed", True),
        ("pushed", False),
    ]
    assert not any(one.succeeded for one in runs)
    assert all(one.reason == "'the mug' was not found" for one in runs)
