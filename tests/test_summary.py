"""The table that ``run`` and ``grasp`` print."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from point2act.cli.summary import print_summary
from point2act.core.types import Grasp, OrientedBox, Query, QueryResult, Region, Support

COUNTS = {"table": 0, "fingers": 15800}
LONG = "the handle of the large blue mug that stands behind the kettle"


def region(x: float) -> Region:
    box = OrientedBox(np.zeros(3), np.eye(3), np.full(3, 0.01))
    return Region(np.array([x, -0.146, 1.112]), 0.987, Support(14, 7, 3), box)


def grasped(text: str) -> QueryResult:
    grasp = Grasp(np.eye(4), 0.03, 0.93, 0.4, 0.9, np.zeros((2, 3)), 0.01)
    return QueryResult(Query("mug", text, "grasp"), region(-10.25), (grasp,) * 12, (), None, None)


def failed(text: str) -> QueryResult:
    return QueryResult(
        Query("lid", text, "grasp"),
        region(0.5),
        (),
        (),
        "all_collide",
        "a finger is in the way",
        counts=COUNTS,
    )


def test_each_query_has_one_row_of_80_columns(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_summary((grasped(LONG), failed("the lid")))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("the handle"))
    assert row.split()[-6:] == ["-10.250", "-0.146", "1.112", "99%", "12", "0.93"]
    assert [line for line in lines if "a finger" in line] == ["the lid: a finger is in the way"]
    assert "no query has a grasp" not in lines[-1]


def test_advice_follows_if_no_query_has_a_grasp(capsys: pytest.CaptureFixture):
    print_summary((failed("the lid"),))
    assert "no query has a grasp" in capsys.readouterr().out.splitlines()[-1]


def test_support_and_counts_are_logged_for_debugging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
):
    with caplog.at_level(logging.DEBUG, "point2act"):
        print_summary((grasped("the mug"), failed("the lid")))
    assert "the mug: 14 views agree, 7 disagree" in caplog.text
    assert "the lid: candidates removed by fingers 15800" in caplog.text
    assert "15800" not in capsys.readouterr().out


def test_nothing_is_printed_without_queries(capsys: pytest.CaptureFixture):
    print_summary(())
    assert capsys.readouterr().out == ""
