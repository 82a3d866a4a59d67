"""A simulated person who clicks on a thing in captured images.

* A person who wants one thing picks images in which it is well visible: of the three views that see most of
  its pixels, the same number as there are clicks, one click in each.
* The click is meant for one of the visible pixels of the thing, by chance among the half of them that lies
  deeper inside, so towards its middle.
* It is off by a normal deviation of 1.5 px of an image 480 px wide; one click in fifty by one three times as
  large.

These are our choices, not measurements. The person never takes one thing for another, and means the part
itself where a part is wanted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.common.tables import Simulated
from point2act.core.types import Answer
from point2act.data.points import PERSON
from point2act.simulation.pointing import _interior_pixel


@dataclass(frozen=True)
class PersonConfig:
    """How a person clicks. Chosen."""

    images: int = 3
    """One of that many images that see most of the thing is picked."""
    jitter: float = 1.5
    """Standard deviation of a click about the pixel meant, in pixels ..."""
    width: float = 480.0
    """... of an image this wide."""
    slips: float = 0.02
    """Share of the clicks ..."""
    slip: float = 3.0
    """... that are that many times as far off."""
    least: int = 20
    """No one clicks on what has fewer pixels, as for the simulated models."""


def clicks(
    opened: Simulated, query: str, draw: int, *, config: PersonConfig = PersonConfig()
) -> Iterator[Answer]:
    """One click after the other, each in another image; none where the thing is nowhere well visible.

    The same table, query and draw give the same clicks.
    """
    rng = np.random.default_rng([zlib.crc32(f"{opened.table.name} {query}".encode()), draw])
    parts = list(opened.scene.target_parts(query))
    masks = [np.isin(shot.part_ids, parts) for shot in opened.shots]
    most = sorted(range(len(masks)), key=lambda view: -masks[view].sum())[: config.images]
    for view in rng.permutation([view for view in most if masks[view].sum() >= config.least]):
        height, width = masks[view].shape
        off = config.jitter * width / config.width * (config.slip if rng.random() < config.slips else 1.0)
        point = _interior_pixel(masks[view], rng) + off * rng.standard_normal(2)
        point = np.clip(point, 0.5, [width - 0.5, height - 0.5])
        yield Answer(opened.shots[view].view.name, query, point[None], model=PERSON)
