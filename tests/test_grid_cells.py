"""Tests of the cells of a region, seen from above."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from point2act.acting.constraints.grid_cells import with_cells
from point2act.acting.constraints.region_features import RegionFeatures
from point2act.core.constraints import CELLS, CellName, PointName
from point2act.core.geometry import fit_box

UP = np.array([0.0, 0.0, 1.0])


def cells(surface: np.ndarray, up: np.ndarray = UP) -> dict[str, np.ndarray]:
    """Points by the names of cells."""
    features = RegionFeatures({"center": surface.mean(axis=0)}, {"up": up}, fit_box(surface))
    found = with_cells(features, surface, up)
    assert found.axes is features.axes
    assert list(found.points) == ["center", *CELLS]
    return {name: found.points[name] for name in CELLS}


def board(length: float, width: float, height: float = 0.02, step: float = 0.002) -> np.ndarray:
    """A level board: x from the middle, y to the left."""
    x, y = np.arange(-length / 2, length / 2 + 1e-9, step), np.arange(-width / 2, width / 2 + 1e-9, step)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.column_stack([grid, np.full(len(grid), height)])


def test_names_are_those_of_points():
    assert tuple(CELLS) == get_args(CellName)
    assert get_args(PointName)[-8:] == tuple(CELLS)


def test_cells_of_a_board_are_a_third_of_it_apart():
    found = cells(board(0.3, 0.18))
    for name, (forward, left) in CELLS.items():
        np.testing.assert_allclose(found[name], [0.1 * forward, 0.06 * left, 0.02], atol=0.005)


def test_the_height_is_that_of_the_floor_within_walls():
    floor, wall = board(0.3, 0.18, height=0.005), board(0.3, 0.18, height=0.05)
    at_border = (np.abs(wall[:, 0]) > 0.148) | (np.abs(wall[:, 1]) > 0.088)
    walls = np.repeat(wall[at_border], 10, axis=0)
    for place in cells(np.concatenate([floor, walls])).values():
        assert place[2] == 0.005


def test_a_cell_without_surface_has_the_nearest_point():
    square = board(0.2, 0.2, step=0.004)
    cross = square[(np.abs(square[:, :2]) < 0.021).any(axis=1)]
    for name, place in cells(cross).items():
        away = np.linalg.norm(cross - place, axis=1).min()
        assert away == 0.0, name
        assert ((np.sign(place[:2]) * CELLS[name]) >= 0).all(), name


@given(st.floats(0.05, 0.3), st.floats(0.05, 0.3), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_cells_move_with_the_region(length: float, width: float, x: float, y: float):
    surface, shift = board(length, width, step=0.005), np.array([x, y, 0.1])
    here, there = cells(surface), cells(surface + shift)
    for name in CELLS:
        np.testing.assert_allclose(there[name], here[name] + shift, atol=1e-9)


@pytest.mark.parametrize("tilt", [0.2, -0.5])
def test_a_sloping_table_has_cells_in_its_plane(tilt: float):
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    level = cells(board(0.3, 0.18))
    for name, place in cells(board(0.3, 0.18) @ turn.T, turn @ UP).items():
        np.testing.assert_allclose(place, turn @ level[name], atol=1e-9)


def test_a_single_point_is_all_cells():
    point = np.array([[0.4, 0.1, 0.02]])
    for place in cells(point).values():
        np.testing.assert_array_equal(place, point[0])
