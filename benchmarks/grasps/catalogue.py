"""Objects of the grasp trials: those of the shipped scenes and of ``shapes.toml``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.physics.layout import Part, SceneLayout, SceneObject, Shape, read_layout

SHAPES = Path(__file__).resolve().parent / "shapes.toml"
SCENES = ("breakfast", "cleaning", "desk", "kitchen", "tabletop", "toolbox", "washstand", "workbench")

LONG = 0.13
"""Minimum extent of a long object, metres."""
LEVER = 0.03
"""Minimum horizontal distance from a long object's centre of mass to a part at one end, metres."""


@dataclass(frozen=True, eq=False)
class Kind:
    """An object of the catalogue and its targets."""

    name: str
    """Names of the scene file and the object: ``toolbox-hammer``."""
    thing: SceneObject
    asked: tuple[tuple[str, str], ...]
    """Part (empty for the whole object) and text of each query."""


@cache
def catalogue() -> tuple[Kind, ...]:
    """Return every object once, in a fixed order; objects of the same shape in a scene count once."""
    return tuple(kind for source in (*SCENES, SHAPES) for kind in _kinds(read_layout(source)))


def digest() -> str:
    """Return eight hexadecimal digits of a hash of the catalogue's files."""
    texts = [read_layout(source).source for source in (*SCENES, SHAPES)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def named(name: str) -> Kind:
    """Return the object with this name."""
    return next(kind for kind in catalogue() if kind.name == name)


def held_at_one_end(kind: Kind, part: str) -> bool:
    """Return whether the object is long, and the part far from its centre of mass."""
    shapes = [shape for piece in kind.thing.parts for shape in piece.shapes]
    longest = float((_high(shapes) - _low(shapes)).max())
    asked = [shape for piece in kind.thing.parts if part in ("", piece.name) for shape in piece.shapes]
    middle = (_high(asked) + _low(asked)) / 2
    lever = np.linalg.norm((middle - _mass_center(kind.thing))[:2])
    return longest >= LONG and bool(lever >= LEVER)


def _kinds(layout: SceneLayout) -> Iterator[Kind]:
    alike: dict[int, list[SceneObject]] = {}
    for thing in layout.things:
        # An object that is "like" another one shares the tuples of its shapes.
        alike.setdefault(id(thing.parts[0].shapes), []).append(thing)
    for things in alike.values():
        names = {thing.name for thing in things}
        asked = {
            target.part: target.query.text
            for target in layout.targets
            if target.thing in names and target.query.role == "grasp"
        }
        name = f"{layout.name}-{things[0].name}"
        yield Kind(name, replace(things[0], name=name), tuple(asked.items()))


def _low(shapes: list[Shape]) -> Float[np.ndarray, " 3"]:
    return np.min([shape.center - shape.reach(np.eye(3)) for shape in shapes], axis=0)


def _high(shapes: list[Shape]) -> Float[np.ndarray, " 3"]:
    return np.max([shape.center + shape.reach(np.eye(3)) for shape in shapes], axis=0)


def _mass_center(thing: SceneObject) -> Float[np.ndarray, " 3"]:
    def weighed(part: Part) -> list[tuple[float, Float[np.ndarray, " 3"]]]:
        return [(part.density * shape.volume, shape.center) for shape in part.shapes]

    pieces = [piece for part in thing.parts for piece in weighed(part)]
    return np.average([center for _, center in pieces], axis=0, weights=[weight for weight, _ in pieces])
