"""Regions of a plan's queries that are likely together: different objects are in different places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from point2act.core.types import NoAnswer, Region
from point2act.pipeline.query import Localization

# Probability of two different objects to be segmented as one piece of the scene, as a lid and its pot are,
# relative to two pieces; and the number of rivals that are considered. Both chosen.
_ONE_PIECE = 0.05
_RIVALS = 3


def distinct_things(located: Sequence[Localization], objects: Mapping[str, str]) -> list[Localization]:
    """Return queries with the regions that are most probable together.

    Each query means its region or one of its rivals, with their confidences; two queries for different
    objects rarely mean one piece of the scene: where the answers for a bowl that are wrong all name the jug
    beside it, the jug is taken already.

    Args:
        located: Queries with a region.
        objects: Name of the object that each query is about, by the query's name.
    """
    choices = [_regions(one)[: 1 + _RIVALS] for one in located]
    pieces = [
        [_piece(one, region) for region in regions] for one, regions in zip(located, choices, strict=True)
    ]
    apart = [
        (a, b)
        for a, b in combinations(range(len(located)), 2)
        if objects.get(located[a].query.name) != objects.get(located[b].query.name)
    ]

    def joint(chosen: tuple[int, ...]) -> float:
        confidence = np.prod([choices[query][number].confidence for query, number in enumerate(chosen)])
        shared = sum(pieces[a][chosen[a]] == pieces[b][chosen[b]] >= 0 for a, b in apart)
        return float(confidence * _ONE_PIECE**shared)

    best = max(product(*(range(len(regions)) for regions in choices)), key=joint)
    return [_with(one, number) for one, number in zip(located, best, strict=True)]


def _piece(one: Localization, region: Region) -> int:
    """Return the object of the scene's segmentation that a region is on, -1 for none."""
    parts = one.context.segmentation.parts
    away = np.linalg.norm(parts.points - region.action_point, axis=1)
    return int(parts.objects[away.argmin()])


def _regions(one: Localization) -> list[Region]:
    """Return the region of a query that has one, and its rivals."""
    assert not isinstance(one.region, NoAnswer)
    return [one.region, *one.rivals]


def _with(one: Localization, number: int) -> Localization:
    """Return a query with one of its regions as the first."""
    regions = _regions(one)
    region = regions.pop(number)
    return replace(one, region=region, rivals=tuple(regions))
