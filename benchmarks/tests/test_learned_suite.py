"""What an order of grasps could gain, from records that are known and from one table."""

from __future__ import annotations

from benchmarks.grasps.cases import SEEDS
from benchmarks.learned.suite import Record, metrics, table, trials
from point2act.grasping.grippers import load_gripper

RECORDS = [
    Record("pose_error", 0, True, True),
    Record("pose_error", 1, False, True),
    Record("pose_error", 2, False, False),
    Record("pose_error", 3, True, True),
    Record("clutter", 0, False, False),
]


def test_the_bound_is_what_the_best_grasp_adds_to_the_first():
    found = {one.name: one.value for one in metrics(RECORDS)}
    assert found == {
        "learned.execution_first": 0.5,
        "learned.execution_gain_bound": 0.25,
        "learned.clutter_first": 0.0,
        "learned.clutter_gain_bound": 0.0,
    }
    assert "| pose_error | 4 | 50 (15 to 85) | 75 (30 to 95) |" in table(RECORDS)


def test_the_first_of_a_tables_grasps_counts_as_one_of_the_best():
    (one,) = trials(load_gripper("panda"), ["execution"], [SEEDS["tune"]])
    assert (one.condition, one.seed) == ("pose_error", SEEDS["tune"])
    assert one.any >= one.first
