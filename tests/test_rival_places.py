"""Rival places: disjoint ones, a part and its whole, and the crops about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planar_scene import PlanarScene, disc, planar_scene

from point2act.core.types import Camera, Frame, Lens
from point2act.localization.likelihood import PartPosterior
from point2act.localization.segmentation import Segmentation
from point2act.pipeline.rival_places import RivalsConfig, find_rivals

FIRST, SECOND, THIRD = 0, 1, 2
SHAPES = (disc(0.05, 0.0), disc(-0.1, 0.05), disc(-0.02, -0.1))


@pytest.fixture(scope="module")
def world() -> PlanarScene:
    return planar_scene(SHAPES, 6)


@pytest.fixture(scope="module")
def segmentation(world) -> Segmentation:
    return Segmentation(world.parts, world.visibility, np.arange(len(world.parts.points)))


def posterior(world, absent: float = 0.0, **shares: float) -> PartPosterior:
    """Probabilities by the names of patches; the rest of 1 is on nothing."""
    values = np.zeros(len(world.parts))
    for name, share in shares.items():
        values[{"first": FIRST, "second": SECOND, "third": THIRD}[name]] = share
    return PartPosterior(values, absent)


def test_rivals_are_the_likely_parts_likeliest_first(world, segmentation):
    found = find_rivals(segmentation, posterior(world, first=0.3, second=0.6), 5)
    middles = [world.parts.points[world.parts.members(c.part)].mean(axis=0) for c in found.candidates[:2]]
    np.testing.assert_allclose(middles[0], world.middle(SECOND), atol=0.01)
    np.testing.assert_allclose(middles[1], world.middle(FIRST), atol=0.01)
    assert found.belief.rivals[0] > found.belief.rivals[1]
    assert found.belief.meanings.sum() == pytest.approx(1)


def test_pieces_of_one_place_add_up(world, segmentation):
    values = np.zeros(len(world.parts))
    values[[FIRST, len(SHAPES) + FIRST, SECOND]] = 0.3, 0.3, 0.4
    found = find_rivals(segmentation, PartPosterior(values, 0.0), 5)
    np.testing.assert_allclose(
        world.parts.points[world.parts.members(found.candidates[0].part)].mean(axis=0),
        world.middle(FIRST),
        atol=0.01,
    )


def test_few_views_expect_what_none_of_them_named(world, segmentation):
    open_ = posterior(world, first=0.5, second=0.5)
    few, many = (find_rivals(segmentation, open_, views).belief.rivals.sum() for views in (2, 20))
    assert few < many
    sure = find_rivals(segmentation, posterior(world, first=1.0), 2).belief.rivals[0]
    assert sure > 0.8


def test_absence_stays_a_meaning(world, segmentation):
    found = find_rivals(segmentation, posterior(world, absent=0.7, first=0.3), 5)
    assert found.belief.meanings[-1] > 0.4
    nothing = find_rivals(segmentation, posterior(world, absent=1.0), 5)
    assert nothing.candidates == ()
    assert nothing.belief.meanings[-1] > 0.5


def test_a_crop_shows_what_it_is_about_and_is_smaller_than_the_image(world, segmentation):
    config = RivalsConfig()
    found = find_rivals(segmentation, posterior(world, first=0.6, second=0.4), 5)
    for number, view in enumerate(world.views):
        whole = np.sqrt(world.visibility.image_area[number])
        assert found.side[number] < config.max_fraction * whole
        if found.side[number] == 0:
            continue
        camera = Camera(
            2 * view.camera.fx,
            2 * view.camera.fy,
            2 * view.camera.cx,
            2 * view.camera.cy,
            2 * view.camera.height,
            2 * view.camera.width,
        )
        frame = Frame("f", Path("f.png"), None, None, camera, Lens(), view.T_world_cam)
        window = found.window(number, frame, view)
        (pixel,) = 2 * world.pixel(number, world.middle(FIRST))
        assert window.left <= pixel[0] <= window.left + window.width
        assert window.top <= pixel[1] <= window.top + window.height


def test_hidden_rivals_are_not_visible(world):
    hidden = world.hide(FIRST, [0, 1])
    segmentation = Segmentation(hidden.parts, hidden.visibility, np.arange(len(hidden.parts.points)))
    found = find_rivals(segmentation, posterior(hidden, first=0.6, second=0.4), 5)
    assert found.belief.visible[0, 0] < 0.1
    assert found.belief.visible[3, 0] > 0.5
