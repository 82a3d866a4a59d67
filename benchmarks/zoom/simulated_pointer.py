"""A simulated pointing model whose errors shrink with the apparent size of the target.

The size is the side, in pixels of the shown image, of a square with the same area as the target has there.

* The probability that it points at the target is ``1 / (1 + (half / size) ** slope)``. With ``half`` and
  ``slope`` the model is right on about 85 % of whole objects and 49 % of parts in the full image, as Molmo-7B
  is on Point-Bench: on tuning tables, over all views in which they are visible, with all effects below
  included (``python -m benchmarks.zoom.suite --calibrate``).
* ``SIZED`` attributes all of the gap between objects and parts to size, the best case for a second question.
  ``CAUTIOUS`` points at something else in a quarter of the views of parts at any size, and attributes only
  the rest of the gap to size.
* A wrong point is on something else that is shown: half of the time on the query's preferred wrong part, the
  same in all views (another part of the same object if there is one), else on any other part.
* Points have a jitter that is constant in pixels of the shown image.
* The smaller the target, the more often it is answered "not visible", and the more often there is a point
  although it is hidden. A fraction of that remains at any size.
* A fraction of the queries is misunderstood: there the preferred wrong part is the target, at any size.

Errors in different views are independent except for the preferred wrong part and misunderstood queries. A
model with errors of its own for each image would gain less from a second crop.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from benchmarks.common.tables import Simulated
from point2act.core.types import Query
from point2act.data.crops import Crop
from point2act.simulation.camera import SimView
from point2act.simulation.pointing import interior_pixel, part_choices
from point2act.vlm.pointing.point import PointerReply

MIN_PIXELS = 20
"""Minimum number of pixels of a visible target, as for the other simulated models."""
SHOWN = 320
"""Longer side of the shown image for both questions, pixels: that of the simulated images, so that the second
question gains nothing from more pixels."""


@dataclass(frozen=True)
class SizedConfig:
    """Errors of a model by apparent size."""

    half: float = 22.0
    """Size at which the model points at the target half of the time, pixels."""
    slope: float = 5.0
    """Slope of the probability over the logarithm of the size."""
    jitter: float = 4.0
    """Standard deviation of a point, pixels of the shown image: about one percent of it."""
    favourite: float = 0.5
    """Fraction of wrong points on the query's preferred wrong part; as in TYPICAL."""
    misunderstood: float = 0.05
    """Fraction of queries that are misunderstood."""
    confused: float = 0.0
    """Fraction of views of a part in which something else is pointed at, at any size."""
    missed: float = 0.3
    """Fraction of answers "not visible" for the smallest targets."""
    hallucinated: tuple[float, float] = (0.2, 0.6)
    """Fraction of points where the target is hidden, for very large and for very small targets."""


SIZED = SizedConfig()
"""Parts are harder than objects only because they are smaller."""
CAUTIOUS = SizedConfig(half=14.0, slope=2.5, confused=0.25)
"""Parts are harder than objects also at the same size."""


@dataclass(frozen=True, eq=False)
class SizedPointer:
    """A ``Pointer`` for one table; another ``draw`` has other errors."""

    opened: Simulated
    draw: int = 0
    config: SizedConfig = SizedConfig()
    name: str = "simulated/sized"
    concurrency: int = 1

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Return the answer for a crop, in pixels of the shown image; deterministic for the same crop."""
        looked_for, favourite = self._meaning(query)
        rng = self._random(query.name, image, crop.window)
        window = crop.window
        ids = self._shots[image].part_ids[
            window.top : window.top + window.height, window.left : window.left + window.width
        ]
        chance = 1 - self.config.confused if self.opened.scene.target(query.name).part else 1.0
        meant = self._choose(ids, looked_for, favourite, crop.magnification, chance, rng)
        if meant is None:
            return PointerReply(np.zeros((0, 2)))
        corner = np.array([window.left, window.top])
        place = corner + interior_pixel(np.isin(ids, meant), rng)
        shown = crop.from_disk(place[None]) + self.config.jitter * rng.standard_normal((1, 2))
        height, width = crop.size
        return PointerReply(np.clip(shown, 0.5, [width - 0.5, height - 0.5]))

    def _choose(
        self,
        ids: Int[np.ndarray, "h w"],
        looked_for: list[int],
        favourite: int,
        magnification: float,
        chance: float,
        rng: np.random.Generator,
    ) -> list[int] | None:
        """Return ids of the parts that are pointed at, -1 for no object; None for "not visible"."""
        pixels = int(np.isin(ids, looked_for).sum())
        visible = pixels >= MIN_PIXELS
        size = magnification * np.sqrt(pixels if visible else self._usual_pixels(looked_for))
        clear = 1 / (1 + (self.config.half / size) ** self.config.slope)
        least, most = self.config.hallucinated
        silent = self.config.missed * (1 - clear) if visible else 1 - most + (most - least) * clear
        if rng.random() < silent:
            return None
        if visible and rng.random() < chance * clear:
            return looked_for
        others = sorted(set(np.unique(ids).tolist()) - set(looked_for) - {-1})
        if favourite in others and rng.random() < self.config.favourite:
            return [favourite]
        fallback = [-1] if (ids == -1).any() else looked_for
        return [int(rng.choice(others))] if others else fallback

    def _meaning(self, query: Query) -> tuple[list[int], int]:
        """Return ids of the parts that are the target, and of the preferred wrong part."""
        rng = self._random(query.name)
        places = part_choices(self.opened.scene, query.name, rng)
        favourite = int(rng.choice(places.same)) if places.same else places.distractor[0]
        if rng.random() < self.config.misunderstood:
            return [favourite], int(rng.choice(places.others))
        return places.target, favourite

    def _usual_pixels(self, parts: list[int]) -> float:
        """Return the median number of pixels of the parts over the views in which they are visible."""
        seen = [np.isin(shot.part_ids, parts).sum() for shot in self.opened.shots]
        seen = [count for count in seen if count >= MIN_PIXELS]
        return float(np.median(seen)) if seen else float(MIN_PIXELS)

    def _random(self, *what: object) -> np.random.Generator:
        seed = zlib.crc32(" ".join(map(str, (self.opened.table.name, *what))).encode())
        return np.random.default_rng([seed, self.draw])

    @cached_property
    def _shots(self) -> dict[str, SimView]:
        return {shot.view.name: shot for shot in self.opened.shots}
