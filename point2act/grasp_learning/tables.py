"""Simulated tables to plan grasps on: one object of a family, often with neighbours."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from point2act.core.errors import SimulationError
from point2act.core.types import Query
from point2act.grasp_learning.families import draw_object
from point2act.physics.layout import Jitter, QueryTarget, SceneLayout, SceneObject, Table
from point2act.physics.scene import Scene, settled

_OBJECT = "object"
# Shapes that are only in the way; none of them is held out.
_NEIGHBOURS = ("block", "bottle", "can")


@dataclass(frozen=True)
class TableConfig:
    """Random tables."""

    alone: float = 0.5
    """Share of tables without neighbours."""
    neighbours: int = 3
    """Largest number of neighbours."""
    distance: tuple[float, float] = (0.09, 0.18)
    """Smallest and largest distance of neighbours from the object's origin, metres."""
    attempts: int = 20
    """Tables that are drawn until one is found on which all stands."""


def draw_table(family: str, seed: int, config: TableConfig = TableConfig()) -> Scene:
    """Draw a table with an object of a family; it has a query for each part, called like the part.

    Raises:
        SimulationError: No table was found on which all stands.
    """
    rng = np.random.default_rng([seed, zlib.crc32(family.encode())])
    for _ in range(config.attempts):
        thing = draw_object(family, _OBJECT, rng)
        queries = tuple(
            QueryTarget(Query(part.name, f"the {part.name} of the {family}"), _OBJECT, part.name)
            for part in thing.parts
        )
        things = (thing, *_neighbours(rng, config))
        layout = SceneLayout(
            f"{family}-{seed}", "", Table(size=(1.2, 1.1)), Jitter(yaw=180.0), things, queries
        )
        try:
            return settled(layout, seed)
        except SimulationError:
            continue
    raise SimulationError(f"no table with an object '{family}' and the seed {seed} stands")


def _neighbours(rng: np.random.Generator, config: TableConfig) -> list[SceneObject]:
    if rng.random() < config.alone:
        return []
    count = int(rng.integers(1, config.neighbours + 1))
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / count
    found = []
    for index, angle in enumerate(angles):
        away = rng.uniform(*config.distance)
        thing = draw_object(str(rng.choice(_NEIGHBOURS)), f"neighbour{index}", rng)
        found.append(replace(thing, position=(away * np.cos(angle), away * np.sin(angle))))
    return found
