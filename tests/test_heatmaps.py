import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.core.types import Camera
from point2act.localization.heatmaps import HeatmapConfig, heatmap, pixel_sigma

CAMERA = Camera(fx=100.0, fy=100.0, cx=20.0, cy=15.0, height=30, width=40)


@given(st.floats(0, 40), st.floats(0, 30))
def test_the_peak_is_the_pixel_that_holds_the_point(x, y):
    heat = heatmap(CAMERA, np.array([[x, y]]))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(column + 0.5 - x) <= 0.5 + 1e-6
    assert abs(row + 0.5 - y) <= 0.5 + 1e-6
    assert 0.9 < heat.max() <= 1.0


def test_a_heatmap_is_what_the_formula_says_pixel_by_pixel():
    points = np.array([[12.3, 7.9], [35.0, 29.5]])
    expected = [
        [
            max(np.exp(-0.5 * ((x + 0.5 - u) ** 2 + (y + 0.5 - v) ** 2) / 16) for u, v in points)
            for x in range(40)
        ]
        for y in range(30)
    ]
    np.testing.assert_allclose(heatmap(CAMERA, points), expected, rtol=1e-5, atol=4e-6)


def test_no_points_say_no_everywhere():
    assert not heatmap(CAMERA, np.zeros((0, 2))).any()


def test_two_points_are_the_union_of_each():
    a, b = np.array([[5.0, 5.0]]), np.array([[30.0, 20.0]])
    both = heatmap(CAMERA, np.concatenate([a, b]))
    np.testing.assert_array_equal(both, np.maximum(heatmap(CAMERA, a), heatmap(CAMERA, b)))


def test_the_width_is_an_angle():
    assert pixel_sigma(CAMERA) == pytest.approx(4.0)
    heat = heatmap(CAMERA, np.array([[20.5, 15.5]]), config=HeatmapConfig(sigma=0.05))
    assert heat[15, 25] == pytest.approx(np.exp(-0.5), abs=1e-6)
