"""Families of objects and the tables that grasp networks learn from."""

from __future__ import annotations

import numpy as np
import pytest

from point2act.grasp_learning.families import FAMILIES, draw_object
from point2act.grasp_learning.tables import TableConfig, draw_table
from point2act.physics.scene import extent


@pytest.mark.parametrize("family", FAMILIES)
def test_objects_of_a_family_differ_and_a_gripper_spans_a_part_of_each(family):
    drawn = [draw_object(family, "object", np.random.default_rng(seed)) for seed in range(3)]
    sizes = [np.subtract(*extent(thing.parts)[::-1]) for thing in drawn]
    assert not np.allclose(sizes[0], sizes[1])
    for thing, size in zip(drawn, sizes, strict=True):
        assert 0.02 < size.max() < 0.45
        narrowest = [np.subtract(*extent([part])[::-1]).min() for part in thing.parts]
        assert min(narrowest) < 0.08
        assert 0.05 < thing.mass < 0.7


@pytest.mark.parametrize("family", FAMILIES)
def test_a_table_stands_and_can_be_asked_for_every_part(family):
    scene = draw_table(family, 5)
    thing = scene.layout.things[0]
    assert [query.name for query in scene.queries] == [part.name for part in thing.parts]
    low, _ = extent(thing.parts)
    assert scene.T_world_thing["object"][2, 3] + low[2] == pytest.approx(scene.layout.table.height, abs=3e-3)


def test_a_table_depends_on_its_family_and_seed_alone():
    first, again, other = draw_table("jug", 3), draw_table("jug", 3), draw_table("jug", 4)
    np.testing.assert_array_equal(first.T_world_thing["object"], again.T_world_thing["object"])
    assert not np.allclose(first.T_world_thing["object"], other.T_world_thing["object"])


def test_neighbours_stand_beside_the_object():
    scene = draw_table("jar", 1, TableConfig(alone=0.0))
    places = [T[:2, 3] for name, T in scene.T_world_thing.items() if name != "object"]
    assert places
    assert all(0.08 < np.linalg.norm(place) < 0.2 for place in places)
