"""Metrics and the table of the benchmark of hands, from records that are known."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.hands.planners import planners_for
from benchmarks.hands.suite import Record, metrics, table
from point2act.grasping.hands.load import load_hand

HELD = Record("allegro", "single", "ours", 1, "mug", "handle", "success", True, True, 6, True, 16, 30.0)
LOST = replace(
    HELD, seed=2, outcome="slip", lifted=False, shaken=False, directions=0, by_part=False, seconds=50.0
)
HEAP = replace(HELD, setting="clutter", shaken=False, directions=0, outcome="slip")
OTHER = replace(HELD, planner="power", by_part=False, seconds=1.0)


def test_metrics_are_shares_from_0_to_1() -> None:
    found = {one.name: one.value for one in metrics([HELD, LOST, HEAP, OTHER])}
    assert found["hands.lift"] == 0.5
    assert found["hands.shake"] == 0.5
    assert found["hands.by_part"] == 1.0
    assert found["hands.clutter_lift"] == 1.0
    assert found["hands.seconds"] == 40.0
    assert found["hands.power.by_part"] == 0.0
    assert "hands.power.clutter_lift" not in found


def test_shares_by_part_need_a_lift() -> None:
    assert "hands.by_part" not in {one.name for one in metrics([LOST])}


def test_planners_with_a_network_are_left_out_where_no_weights_ship() -> None:
    hand = load_hand("leap")
    assert planners_for(replace(hand, name="none")) == ["ours", "closure_only", "without_region", "power"]


def test_table_has_intervals() -> None:
    text = table([HELD, LOST, OTHER])
    assert "| allegro | single | ours | 2 | 50 (9 to 91) |" in text
    assert len(text.splitlines()) == 4
    assert "–" in table([LOST])
