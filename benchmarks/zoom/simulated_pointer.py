"""A simulated pointing model that sees what it is shown, and errs the less the larger that is.

Sizes are in pixels of what is shown: the side of a square of the same area as the target has there.

* The chance to mean the target is ``1 / (1 + (half / size) ** slope)``. ``half`` and ``slope`` make the model
  right on about 85 % of whole objects and 49 % of parts at the first crop, as Molmo-7B is on Point-Bench: on
  tables for tuning, over all views in which they are visible, with all that follows counted in
  (``python -m benchmarks.zoom.suite --calibrate``).
* ``SIZED`` lays all of that gap on size. That makes the most of a second look, so ``CAUTIOUS`` is beside it:
  a quarter of its views parts mean something else at any size, only the rest of the gap is by size.
* Else it means something else that it is shown: half of the time the query's one favourite, which is the same
  in all views (another part of the same object, where that has one), else any other part.
* A point is off by a jitter that is constant in pixels of what is shown.
* The smaller the target is, the oftener it is reported as not visible; and the smaller it would be, the
  oftener something else is pointed at where it is hidden. A share of that remains at any size.
* A share of the queries is misunderstood: the favourite is what is looked for, however large it is shown.

Visibility err independently of one another but for the favourite and what is misunderstood. A model that had
its own way of being wrong with one image would gain less by a second crop.
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
from point2act.simulation.pointing import _interior_pixel, _part_choices
from point2act.vlm.pointing.point import PointerReply

MIN_PIXELS = 20
"""A target of fewer pixels of the image is not visible, as for the other simulated models."""
SHOWN = 320
"""Longer side of what is shown at either look: that of the simulated images, so that what a second look gains
is not by showing more pixels."""


@dataclass(frozen=True)
class SizedConfig:
    """How a model errs by apparent size."""

    half: float = 22.0
    """Size at which every other look means the target."""
    slope: float = 5.0
    """How steeply that changes with the logarithm of the size."""
    jitter: float = 4.0
    """Standard deviation of a point, pixels of what is shown: about one percent of the image. Chosen."""
    favourite: float = 0.5
    """Share of wrong points on the query's favourite; the rest is on anything. Chosen, as TYPICAL has it."""
    misunderstood: float = 0.05
    """Share of queries. Chosen."""
    confused: float = 0.0
    """Share of the views a part of a thing that mean something else, however large it is shown."""
    missed: float = 0.3
    """Share of 'not visible' for a target too small to be seen. Chosen."""
    hallucinated: tuple[float, float] = (0.2, 0.6)
    """Share of points where the target is hidden, were it shown very large and very small. Chosen."""


SIZED = SizedConfig()
"""Parts are harder than objects only because they are small."""
CAUTIOUS = SizedConfig(half=14.0, slope=2.5, confused=0.25)
"""Parts are harder than objects also because they are parts."""


@dataclass(frozen=True, eq=False)
class SizedPointer:
    """A ``Pointer`` for one table; another ``draw`` errs elsewhere."""

    opened: Simulated
    draw: int = 0
    config: SizedConfig = SizedConfig()
    name: str = "simulated/sized"
    concurrency: int = 1

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Point by the truth behind the window, in pixels of what is shown; the same for the same look."""
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
        place = corner + _interior_pixel(np.isin(ids, meant), rng)
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
        """Ids of the parts that the point goes to, -1 for what is no object; None for "not visible"."""
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
        """Ids of the parts that the model searches for, and of the one it takes most easily for them."""
        rng = self._random(query.name)
        places = _part_choices(self.opened.scene, query.name, rng)
        favourite = int(rng.choice(places.same)) if places.same else places.distractor[0]
        if rng.random() < self.config.misunderstood:
            return [favourite], int(rng.choice(places.others))
        return places.target, favourite

    def _usual_pixels(self, parts: list[int]) -> float:
        """How many pixels of the image parts have where they are visible: the median over the views."""
        seen = [np.isin(shot.part_ids, parts).sum() for shot in self.opened.shots]
        seen = [count for count in seen if count >= MIN_PIXELS]
        return float(np.median(seen)) if seen else float(MIN_PIXELS)

    def _random(self, *what: object) -> np.random.Generator:
        seed = zlib.crc32(" ".join(map(str, (self.opened.table.name, *what))).encode())
        return np.random.default_rng([seed, self.draw])

    @cached_property
    def _shots(self) -> dict[str, SimView]:
        return {shot.view.name: shot for shot in self.opened.shots}
