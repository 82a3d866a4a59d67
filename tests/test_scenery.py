"""What stands around the things of a plan: a box around each, and around nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.acting.execution.scenery import find_scenery
from point2act.core.geometry import transform, transform_points
from point2act.core.types import OrientedBox

TABLE = np.array([0.0, 0.0, 1.0, 0.0])
SPACING = 0.005


def box_surface(center: tuple[float, float, float], half: tuple[float, float, float]) -> np.ndarray:
    """Points on the surface of an upright box, a few millimetres apart."""
    sides = [np.linspace(-one, one, round(2 * one / SPACING) + 1) for one in half]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.array(center) + grid[(np.abs(grid) > np.array(half) - 1e-9).any(axis=1)]


def table_surface(half: float) -> np.ndarray:
    x, y = np.meshgrid(*[np.arange(-half, half, SPACING)] * 2)
    return np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)


CUP = box_surface((0.1, 0.1, 0.04), (0.03, 0.03, 0.04))
OTHER = box_surface((-0.1, 0.0, 0.08), (0.04, 0.02, 0.08))
SCENE = np.concatenate([table_surface(0.25), CUP, OTHER])
THINGS = {"cup": CUP}


def contains(box: OrientedBox, points: np.ndarray, margin: float) -> bool:
    beyond = np.abs((points - box.center) @ box.axes.T) - box.half_extents
    return bool((beyond <= margin).all())


@pytest.mark.parametrize("seed", range(3))
def test_of_two_boxes_on_a_table_that_is_found_which_is_not_of_the_plan(seed: int):
    """On any table, whose height its plane gives; the part of it below 1 cm is left to the table."""
    rng = np.random.default_rng(seed)
    T = transform(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-0.5, 0.5, 3))
    things = {"cup": transform_points(T, CUP)}
    (found,) = find_scenery(transform_points(T, SCENE), TABLE @ np.linalg.inv(T), things).boxes
    upper = transform_points(T, OTHER[OTHER[:, 2] > 0.012])
    assert contains(found, upper, 0.003)
    assert np.sort(found.half_extents) == pytest.approx([0.02, 0.04, 0.075], abs=0.005)


def test_both_are_found_if_neither_is_of_the_plan():
    assert len(find_scenery(SCENE, TABLE, {"tray": np.array([[0.0, -0.2, 0.0]])}).boxes) == 2
    assert len(find_scenery(SCENE, TABLE, {}).boxes) == 2


def test_nothing_is_found_if_both_are_of_the_plan():
    found = find_scenery(SCENE, TABLE, {"cup": CUP, "other": OTHER})
    assert (found.boxes, found.rests) == ((), {})


def test_what_is_within_two_centimetres_of_a_thing_is_a_piece_of_it():
    for gap, count in ((0.015, 0), (0.03, 1)):
        handle = box_surface((0.1 + 0.03 + gap + 0.01, 0.1, 0.05), (0.01, 0.01, 0.03))
        assert len(find_scenery(np.concatenate([CUP, handle]), TABLE, THINGS).boxes) == count


def test_things_that_stand_apart_have_a_box_each():
    more = box_surface((-0.1, 0.1, 0.05), (0.02, 0.02, 0.05))
    assert len(find_scenery(np.concatenate([SCENE, more]), TABLE, THINGS).boxes) == 2


BASE = box_surface((0.0, 0.0, 0.02), (0.06, 0.06, 0.006))
POST = box_surface((0.0, 0.0, 0.14), (0.01, 0.01, 0.114))
PEG = box_surface((-0.05, 0.0, 0.22), (0.04, 0.004, 0.004))


def test_a_post_on_its_base_has_a_box_of_its_own():
    """One box around both would be in the way of what is hung on the post."""
    boxes = find_scenery(np.concatenate([BASE, POST]), TABLE, {}).boxes
    assert sum(float(np.prod(2 * box.half_extents)) for box in boxes) < 0.0006
    assert all(any(contains(box, point[None], 0.006) for box in boxes) for point in POST[::9])


def test_what_is_on_a_thing_but_in_none_of_its_regions_belongs_to_it():
    """And is no scenery; within 2 cm of a region nothing is kept away from."""
    found = find_scenery(np.concatenate([BASE, POST, PEG]), TABLE, {"stand": PEG})
    assert found.boxes == ()
    assert set(found.rests) == {"stand"}
    lower = POST[POST[:, 2] < 0.18][::9]
    assert all(any(contains(box, point[None], 0.006) for box in found.rests["stand"]) for point in lower)
    tip = PEG[PEG[:, 0] < -0.06]
    assert not any(contains(box, point[None], 0.0) for box in found.rests["stand"] for point in tip)


def test_single_points_are_no_obstacle():
    strays = np.random.default_rng(0).uniform([-0.2, -0.2, 0.15], [0.2, 0.2, 0.4], (40, 3))
    assert len(find_scenery(np.concatenate([SCENE, strays]), TABLE, THINGS).boxes) == 1


def test_furniture_is_no_obstacle():
    wall = box_surface((0.0, 0.4, 0.2), (0.3, 0.005, 0.1))
    assert len(find_scenery(np.concatenate([SCENE, wall]), TABLE, THINGS).boxes) == 1


def test_without_a_table_everything_is_above_it():
    (found,) = find_scenery(np.concatenate([CUP, OTHER]), None, THINGS).boxes
    assert contains(found, OTHER, 0.003)


@given(st.integers(0, 11))
def test_too_few_points_are_no_obstacle(count: int):
    assert find_scenery(OTHER[-count - 1 : -1], TABLE, THINGS).boxes == ()


def test_a_table_with_nothing_on_it_has_no_scenery():
    assert find_scenery(table_surface(0.1), TABLE, THINGS).boxes == ()
