from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic

from point2act.core.geometry import back_project, project
from point2act.core.types import Support, View
from point2act.localization.support import count_support, rejected_places

VIEWS = synthetic.views(8, height=48, width=64)
DEPTHS = [view.depth for view in VIEWS]


def seen(point: np.ndarray, view: View) -> np.ndarray:
    return project(view.camera, view.T_world_cam, point[None])[0]


def surface_point(index: int) -> np.ndarray:
    """A point of the surface near the middle of a view's image."""
    view = VIEWS[index]
    pixel = np.array([[view.camera.width / 2, view.camera.height / 2]])
    depth = np.array([view.depth[view.camera.height // 2, view.camera.width // 2]])
    return back_project(view.camera, view.T_world_cam, pixel, depth)[0]


def test_answers_elsewhere_are_grouped_by_place():
    here, there = surface_point(0), surface_point(0) + np.array([0.4, 0.0, 0.0])
    points = [here, here, here, there, None, None, here, here]
    answers = [
        np.zeros((0, 2)) if point is None else seen(point, view)
        for point, view in zip(points, VIEWS, strict=True)
    ]
    # Depth in which every answer lies on its own point.
    depths = [
        depth
        if point is None
        else np.full(depth.shape, project(view.camera, view.T_world_cam, point[None])[1])
        for depth, point, view in zip(DEPTHS, points, VIEWS, strict=True)
    ]
    rejected = Support(2, 6, 0, tuple(view.name for view in VIEWS[:6]))
    assert rejected_places(rejected, VIEWS, depths, answers) == (3, 1)
    nothing = [np.zeros_like(depth) for depth in depths]
    assert rejected_places(rejected, VIEWS, nothing, answers) == ()
    assert rejected_places(replace(rejected, rejected_images=()), VIEWS, depths, answers) == ()


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_the_order_of_views_does_not_matter(order: slice):
    rng = np.random.default_rng(3)
    answers = [rng.uniform((5, 5), (60, 43), size=(1, 2)) for _ in VIEWS]
    rejected = Support(0, 8, 0, tuple(view.name for view in VIEWS))
    places = rejected_places(rejected, VIEWS[order], DEPTHS[order], answers[order])
    assert places == rejected_places(rejected, VIEWS, DEPTHS, answers)
    assert sum(places) <= 8


def test_every_view_is_counted_once():
    body = surface_point(0)[None]
    answers = [seen(body[0], view) if k % 2 else None for k, view in enumerate(VIEWS)]
    spent = np.zeros(len(VIEWS), dtype=bool)
    support, agree = count_support(body[0], body, VIEWS, DEPTHS, answers, spent)
    assert (support.agree, support.disagree, support.unseen) == (4, 0, 4)
    again, _ = count_support(body[0], body, VIEWS, DEPTHS, answers, agree)
    assert (again.agree, again.disagree) == (0, 4)
    assert again.rejected_images == tuple(view.name for view in VIEWS[1::2])
