"""Labels of views: points and regions that they show, hidden targets, wrong answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.geometry import project
from point2act.core.types import OrientedBox
from point2act.teaching.labels import Place, label_view, surface_points

VIEWS = synthetic.views(6, height=96, width=128)
BLOCK = synthetic.TABLETOP[0]
TOP = np.array([0.0, 0.0, 0.1])
NOTHING = np.zeros((0, 2))


def place(block=BLOCK, point=TOP) -> Place:
    box = OrientedBox(np.array(block.center), np.eye(3), np.array(block.half_extents))
    return Place(np.asarray(point, dtype=float), box, 0.9)


def label(view, places, answer=None, relevancy=0.0):
    depth = view.depth.astype(float)
    likely = np.full(depth.shape, relevancy)
    return label_view(places, view, depth, surface_points(view, depth), likely, answer)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_the_point_and_the_region_are_where_the_picture_shows_the_block(view):
    found = label(view, [place()])
    assert found is not None
    np.testing.assert_allclose(found.points, project(view.camera, view.T_world_cam, TOP[None])[0])
    rows, columns = np.nonzero(synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids == 0)
    truth = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    # The margin about the box reaches the table beside it.
    assert np.abs(np.array(found.region) - truth).max() <= 3
    assert not found.hard


def test_behind_something_it_is_not_visible_and_half_behind_it_is_undecided():
    wall = synthetic.Block((0.0, -0.12, 0.1), (0.2, 0.01, 0.1), (0.5, 0.5, 0.5))
    camera = synthetic.pinhole(96, 128)
    eye = synthetic.look_at(np.array([0.0, -0.5, 0.06]), np.array([0.0, 0.0, 0.06]))
    picture = synthetic.render(eye, synthetic.rays(camera), (*synthetic.TABLETOP, wall))
    view = replace(VIEWS[0], camera=camera, T_world_cam=eye, rgb=picture.rgb, depth=picture.depth)
    hidden = label(view, [place()])
    assert hidden is not None
    assert len(hidden.points) == 0
    assert hidden.region is None
    # From above only the action point is hidden, if it is on the far side.
    far_side = place(point=(0.0, 0.04, 0.02))
    assert label(view, [far_side]) is not None
    assert label(VIEWS[4], [far_side]) is None


def test_where_more_of_it_may_be_visible_than_the_region_nothing_is_decided():
    away = VIEWS[0].T_world_cam.copy()
    away[:3, 3] += 5 * away[:3, 0]
    elsewhere = replace(VIEWS[0], T_world_cam=away)
    assert label(elsewhere, [place()], relevancy=0.05) is not None
    assert label(elsewhere, [place()], relevancy=0.3) is None
    assert len(label(VIEWS[0], [place()], relevancy=0.3).points) == 1


def test_outside_the_image_it_is_not_visible():
    away = VIEWS[0].T_world_cam.copy()
    away[:3, 3] += 5 * away[:3, 0]
    found = label(replace(VIEWS[0], T_world_cam=away), [place()])
    assert found is not None
    assert len(found.points) == 0


def test_without_depth_at_the_point_nothing_is_decided():
    assert label(replace(VIEWS[0], depth=np.zeros_like(VIEWS[0].depth)), [place()]) is None


@given(st.integers(0, 5), st.floats(0, 127.9), st.floats(0, 95.9))
def test_an_answer_is_hard_if_it_is_away_from_the_region(number, x, y):
    view = VIEWS[number]
    found = label(view, [place()], np.array([[x, y]]))
    left, top, right, bottom = found.region
    outside = max(left - x, x - right, top - y, y - bottom)
    if outside > 1.28:
        assert found.hard
    on = synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids[int(y), int(x)]
    if on == 0:
        assert not found.hard


def test_missing_what_is_visible_and_seeing_what_is_hidden_are_hard():
    assert label(VIEWS[0], [place()], NOTHING).hard
    away = VIEWS[0].T_world_cam.copy()
    away[:3, 3] += 5 * away[:3, 0]
    elsewhere = replace(VIEWS[0], T_world_cam=away)
    assert label(elsewhere, [place()], np.array([[3.0, 3.0]])).hard
    assert not label(elsewhere, [place()], NOTHING).hard


def test_all_instances_are_listed_and_one_that_is_undecided_leaves_the_view_out():
    other = synthetic.TABLETOP[1]
    second = place(other, (0.12, 0.05, 0.06))
    found = label(VIEWS[0], [place(), second])
    assert len(found.points) == 2
    single = [label(VIEWS[0], [each]).points[0] for each in (place(), second)]
    np.testing.assert_allclose(found.points, single)
    assert label(VIEWS[4], [second, place(point=(0.0, 0.04, 0.02))]) is None
