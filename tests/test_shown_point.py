"""What an image shows where an answer points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.acting.execution.shown_point import is_hidden, shown_point
from point2act.core.geometry import transform
from point2act.core.types import Camera, OrientedBox, View

CAMERA = Camera(600.0, 600.0, 320.0, 240.0, 480, 640)
# A metre above the table, down on it.
T_BASE_CAM = transform(np.diag([1.0, -1.0, -1.0]), (0.45, 0.0, 1.0))


def view_of(depth: np.ndarray) -> View:
    return View("camera", CAMERA, T_BASE_CAM, np.zeros((480, 640, 3), np.uint8), depth.astype(np.float32))


def with_rod(height: float = 0.3, width: int = 6) -> np.ndarray:
    """Depth of a table with a rod that is as many pixels wide, from column 320 on."""
    depth = np.ones((480, 640))
    depth[100:400, 320 : 320 + width] = 1.0 - height
    return depth


@given(st.floats(1.0, 638.9), st.floats(1.0, 478.9))
def test_an_answer_on_a_surface_is_its_point(x: float, y: float):
    point = shown_point(view_of(np.ones((480, 640))), np.array([x, y]), False)
    assert point is not None
    np.testing.assert_allclose(point.camera, T_BASE_CAM[:3, 3])
    np.testing.assert_allclose(point.place, [0.45 + (x - 320) / 600, -(y - 240) / 600, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("column", "height"), [(322.0, 0.3), (315.0, 0.3), (331.0, 0.3), (311.0, 0.0), (336.0, 0.0)]
)
def test_an_answer_that_misses_a_thin_thing_by_its_scatter_means_it(column: float, height: float):
    point = shown_point(view_of(with_rod()), np.array([column, 240.0]), False)
    assert point is not None
    assert point.place[2] == pytest.approx(height, abs=1e-6)


@pytest.mark.parametrize("height", [0.02, -0.3])
def test_what_is_hardly_in_front_or_behind_changes_nothing(height: float):
    point = shown_point(view_of(with_rod(height)), np.array([316.0, 240.0]), False)
    assert point is not None
    assert point.place[2] == pytest.approx(0.0, abs=1e-6)


def test_single_pixels_in_front_are_noise():
    depth = np.ones((480, 640))
    depth[240, 320] = 0.5
    point = shown_point(view_of(depth), np.array([319.5, 240.5]), False)
    assert point is not None
    assert point.place[2] == pytest.approx(0.0, abs=1e-6)


def test_without_depth_there_is_no_point():
    assert shown_point(view_of(np.zeros((480, 640))), np.array([320.0, 240.0]), False) is None


@pytest.mark.parametrize(
    ("height", "share", "hidden"),
    [
        (0.0, 1.0, False),
        (0.005, 1.0, False),  # its own surface, with noise
        (0.2, 1.0, True),
        (0.2, 0.5, False),  # half of it shows
        (-0.3, 1.0, False),  # nothing is there any more
        (1.0, 1.0, True),  # the arm, whose depth is left out
    ],
)
def test_what_stands_in_front_of_all_of_a_box_hides_it(height: float, share: float, hidden: bool) -> None:
    box = OrientedBox(np.array([0.45, 0.0, 0.0]), np.eye(3), np.array([0.04, 0.04, 0.03]))
    depth = np.full((480, 640), 0.97, np.float32)
    depth[:, : 320 if share < 1 else None] = 0.97 - height if height < 1 else 0.0
    view = View("camera", CAMERA, T_BASE_CAM, np.zeros((480, 640, 3), np.uint8), depth)
    assert is_hidden(view, box) == hidden
    beyond = OrientedBox(np.array([5.0, 0.0, 0.0]), np.eye(3), box.half_extents)
    assert is_hidden(view, beyond)


@pytest.mark.parametrize(("angle", "hidden"), [(0.5, True), (-0.5, False)])
def test_a_turned_box_is_hidden_where_it_is(angle: float, hidden: bool) -> None:
    """By a bar above it, and not by one above its mirror image."""
    along = np.array([np.cos(0.5), np.sin(0.5), 0.0])
    axes = np.stack([along, np.cross([0.0, 0.0, 1.0], along), [0.0, 0.0, 1.0]])
    box = OrientedBox(np.array([0.45, 0.0, 0.0]), axes, np.array([0.15, 0.005, 0.005]))
    row, column = np.mgrid[:480, :640]
    x, y = (column + 0.5 - 320) / 600, -(row + 0.5 - 240) / 600
    depth = np.where(np.abs(y * np.cos(angle) - x * np.sin(angle)) < 0.03, 0.8, 1.0)
    assert is_hidden(view_of(depth), box) == hidden
