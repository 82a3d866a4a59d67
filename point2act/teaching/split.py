"""Scenes of runs, the scenes that are held out, and duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from point2act.teaching.documents import Example
else:
    Example = Any


def merge_scenes(names: Sequence[str], contents: Sequence[frozenset[str]]) -> list[str]:
    """Return the name of each run's scene: runs that share anything are runs of one scene.

    Args:
        names: Name of each run's capture; a scene has that of its first run, numbered if it is taken.
        contents: What identifies each run's scene, such as the images and the folder of its capture.
    """
    pairs = [pair for pair in combinations(range(len(names)), 2) if contents[pair[0]] & contents[pair[1]]]
    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(names), len(names)))
    _, members = connected_components(graph, directed=False)
    found: dict[int, str] = {}
    for name, member in zip(names, members.tolist(), strict=True):
        if member not in found:
            found[member] = _free(name, set(found.values()))
    return [found[member] for member in members.tolist()]


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def held_out_scenes(examples: Sequence[Example], *, share: float, seed: int) -> frozenset[str]:
    """Draw the scenes that are not trained on.

    Whatever the order of the examples, the same scenes are drawn. Of two scenes and more at least one is
    trained on, and at least one held out unless ``share`` is 0.

    Args:
        examples: All examples.
        share: Fraction of the scenes.
        seed: Seed of the draw.
    """
    first: dict[str, str] = {}
    for example in examples:
        first[example.scene] = min(example.image, first.get(example.scene, example.image))
    scenes = sorted(first, key=lambda scene: first[scene])
    count = min(max(round(share * len(scenes)), int(share > 0)), len(scenes) - 1)
    chosen = np.random.default_rng(seed).permutation(len(scenes))[: max(count, 0)]
    return frozenset(scenes[number] for number in chosen)


def without_duplicates(examples: Sequence[Example]) -> list[Example]:
    """Return one example for each question about an image, the one with the largest weight, in order."""
    best: dict[str, Example] = {}
    for example in examples:
        if example.id not in best or example.weight > best[example.id].weight:
            best[example.id] = example
    return [example for example in examples if best[example.id] is example]
