"""A simulated person who clicks on an object in captured images.

* The person selects images in which the object is well visible: of the three views with most of its pixels,
  one for each click.
* The click is meant for one of the visible pixels of the object, drawn from the half of them that lies deeper
  inside.
* It has a normal error of 1.5 px of an image 480 px wide; one click in fifty has three times that.

These are assumptions, not measurements. The person never confuses objects, and clicks on the part itself if a
part is the target.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.common.tables import Simulated
from point2act.core.types import Answer
from point2act.data.points import PERSON
from point2act.simulation.pointing import interior_pixel


@dataclass(frozen=True)
class PersonConfig:
    """Errors of a simulated person."""

    images: int = 3
    """Number of images with most pixels of the object among which one is selected."""
    jitter: float = 1.5
    """Standard deviation of a click, pixels of an image of ``width``."""
    width: float = 480.0
    """Width of the image to which ``jitter`` refers, pixels."""
    slips: float = 0.02
    """Fraction of clicks with a larger error."""
    slip: float = 3.0
    """Factor of the larger error."""
    least: int = 20
    """Minimum number of pixels of a clicked object, as for the simulated models."""


def clicks(
    opened: Simulated, query: str, draw: int, *, config: PersonConfig = PersonConfig()
) -> Iterator[Answer]:
    """Yield clicks, each in another image; none if the object is not well visible anywhere.

    The same table, query and draw give the same clicks.
    """
    rng = np.random.default_rng([zlib.crc32(f"{opened.table.name} {query}".encode()), draw])
    parts = list(opened.scene.target_parts(query))
    masks = [np.isin(shot.part_ids, parts) for shot in opened.shots]
    most = sorted(range(len(masks)), key=lambda view: -masks[view].sum())[: config.images]
    for view in rng.permutation([view for view in most if masks[view].sum() >= config.least]):
        height, width = masks[view].shape
        off = config.jitter * width / config.width * (config.slip if rng.random() < config.slips else 1.0)
        point = interior_pixel(masks[view], rng) + off * rng.standard_normal(2)
        point = np.clip(point, 0.5, [width - 0.5, height - 0.5])
        yield Answer(opened.shots[view].view.name, query, point[None], model=PERSON)
