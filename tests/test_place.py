"""The place of a thing by its depth: what stands still and what has moved, whatever the light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from moving_boxes import BLUE, EYE, RED, Box, box, frame
from synthetic import look_at

from point2act.acting.tracking.place import place_of
from point2act.core.geometry import transform_points
from point2act.core.types import View

NOISE = 0.001
"""Of depth, metres, at .4 m: as much as good depth cameras have."""
COASTER = box(0.02, 0.0, (0.1, 0.09, 0.006), (0.3, 0.35, 0.6))
PAPER = box(0.02, 0.0, (0.1, 0.09, 0.0005), (0.9, 0.9, 0.9))
ASIDE = look_at(np.array([0.33, -0.06, 0.40]), np.array([0.0, 0.0, 0.03]))


def surface(one: Box) -> np.ndarray:
    """Points on the sides of a box that a camera sees."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (4000, 3))
    side = np.abs(points).argmax(axis=1)
    points[np.arange(len(points)), side] = np.sign(points[np.arange(len(points)), side])
    return transform_points(one.T_world_box, points * one.half_extents)


def seen(*boxes: Box, seed: int = 1, T_world_cam: np.ndarray = EYE) -> View:
    return frame(*boxes, T_world_cam=T_world_cam, noise=NOISE, seed=seed)


@pytest.mark.parametrize("thing", [RED, COASTER], ids=["box", "coaster"])
@pytest.mark.parametrize("seed", range(3))
def test_what_stands_still_is_unchanged_also_in_a_shadow_and_from_aside(thing: Box, seed: int):
    place = place_of(seen(thing, BLUE, seed=10 + seed), surface(thing))
    assert place is not None
    view = seen(thing, BLUE, seed=seed)
    assert place.is_unchanged(view)
    assert place.is_unchanged(replace(view, rgb=view.rgb // 3))
    assert place.is_unchanged(seen(thing, BLUE, seed=seed, T_world_cam=ASIDE))


@pytest.mark.parametrize("thing", [RED, COASTER], ids=["box", "coaster"])
@pytest.mark.parametrize("angle", np.arange(0, 360, 45).tolist())
def test_what_has_moved_by_two_centimetres_has_not_stayed(thing: Box, angle: float):
    place = place_of(seen(thing, seed=10), surface(thing))
    assert place is not None
    way = 0.02 * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), 0.0])
    assert not place.is_unchanged(seen(thing.moved(way.tolist())))
    assert not place.is_unchanged(seen())


def test_what_leaves_beside_it_does_not_count():
    place = place_of(seen(RED, BLUE, seed=10), surface(RED))
    assert place is not None
    assert place.is_unchanged(seen(RED))


def test_a_place_that_is_mostly_hidden_is_not_known_to_be_unchanged():
    first = seen(RED, seed=10)
    place = place_of(first, surface(RED))
    assert place is not None
    assert first.depth is not None
    near = replace(first, depth=np.full_like(first.depth, 0.15))
    assert not place.is_unchanged(near)


def test_depth_does_not_show_where_a_sheet_of_paper_is():
    assert place_of(seen(PAPER, seed=10), surface(PAPER)) is None


def test_what_is_not_in_the_image_has_no_place():
    assert place_of(seen(RED), surface(RED.moved((5, 0, 0)))) is None
