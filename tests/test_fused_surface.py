"""The surface that grasps are planned on: at the region, the object apart from the table, unseen space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from small_run import RED, SmallRun

import point2act
from point2act.core.types import NoAnswer
from point2act.data.points import read_points
from point2act.pipeline.fused_surface import fused_surface
from point2act.pipeline.query import AnswerConfig, Localization

CONFIG = AnswerConfig()


@pytest.fixture(scope="module")
def red(small_run: SmallRun) -> Localization:
    session = point2act.open_run(small_run.output)
    return session.localize(read_points(session.capture.folder / "points.json", session.capture))[0]


def distance_to(box: synthetic.Block, points: np.ndarray) -> np.ndarray:
    """Distance of points to the surface of a box."""
    away = np.abs(points - box.center) - box.half_extents
    outside = np.linalg.norm(np.maximum(away, 0), axis=1)
    return np.where(outside > 0, outside, -away.max(axis=1))


def test_points_lie_near_the_region_on_the_boxes(red: Localization):
    surface = fused_surface(red, config=CONFIG)
    assert surface is not None
    points = surface.points
    assert len(points) > 500
    distance = np.linalg.norm(points - RED, axis=1)
    assert distance.min() < 0.01
    assert distance.max() < 0.5
    assert points[:, 2].min() > -0.02, "nothing is under the table"
    on_boxes = np.min([distance_to(box, points) for box in synthetic.TABLETOP], axis=0)
    assert np.percentile(on_boxes, 95) < 0.004
    apart = np.linalg.norm(points[:200, None] - points[None, :200], axis=2)
    assert np.median(np.sort(apart, axis=1)[:, 1]) > 5e-4, "not every pixel of every view"
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0, atol=1e-6)


def test_the_object_is_the_box_at_the_action_point(red: Localization):
    surface = fused_surface(red, config=CONFIG)
    assert surface is not None
    own = surface.points[surface.on_object]
    assert 100 < len(own) < len(surface.points)
    assert np.percentile(distance_to(synthetic.TABLETOP[0], own), 95) < 0.004
    assert np.linalg.norm(own - RED, axis=1).min() < 0.01


def test_without_a_region_or_without_metres_there_is_none(red: Localization):
    nowhere = replace(red, region=NoAnswer("no_points", "none"))
    assert fused_surface(nowhere, config=CONFIG) is None
    of_unknown_scale = replace(red, context=replace(red.context, metric=False))
    assert fused_surface(of_unknown_scale, config=CONFIG) is None
