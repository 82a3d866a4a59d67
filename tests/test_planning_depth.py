"""Points of the depth that grasps are planned on: on the surface, near the region, from measured depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_run import RED, SmallRun

import point2act
from point2act.core.types import NoAnswer
from point2act.data.points import read_points
from point2act.pipeline.planning_depth import planning_depth
from point2act.pipeline.query import Localization


@pytest.fixture(scope="module")
def red(small_run: SmallRun) -> Localization:
    session = point2act.open_run(small_run.output)
    return session.localize(read_points(session.capture.folder / "points.json", session.capture))[0]


def test_points_lie_near_the_region_on_table_and_box(red: Localization):
    points = planning_depth(red)
    assert len(points) > 500
    distance = np.linalg.norm(points - RED, axis=1)
    assert distance.min() < 0.01
    assert distance.max() < 0.5
    # The table is at height 0, and nothing is under it.
    assert points[:, 2].min() > -0.02
    assert (np.abs(points[:, 2]) < 0.01).mean() > 0.2
    apart = np.linalg.norm(points[:200, None] - points[None, :200], axis=2)
    assert np.median(np.sort(apart, axis=1)[:, 1]) > 5e-4, "not every pixel of every view"


def test_without_a_region_there_are_none(red: Localization):
    nowhere = replace(red, region=NoAnswer("no_points", "none"))
    assert planning_depth(nowhere).shape == (0, 3)
