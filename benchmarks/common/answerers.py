"""Simulated models that also answer about crops and choose among marked regions.

It was never measured how a model's errors in an image carry over to a crop of it, or to regions marked in it.
This is assumed, on the cautious side of the simulated models of the benchmarks ``zoom`` (errors shrink with
apparent size) and ``choose`` (one choice in five is wrong, independently):

* An error persists. Where the answer about the whole image is wrong, so is that about any crop of it, and
  every choice in it, with a probability that is drawn once for each query: a model that insists on its
  favourite insists in most images. The wrong place is of the same kind: the favourite, the rest of the
  object, the middle of the image that is shown.
* A right answer rarely turns wrong: a fraction of the family's rate of errors.
* Asking the same kind of question in the same image again brings the same answer.
* In a crop, points scatter less, but at least half as much as in the whole image; "not visible" is as
  frequent, where the target shows as many pixels.
* Who chooses wrongly names the mark at the wrong place, or if there is none, any mark or none of them.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from benchmarks.common.error_families import (
    ErrorFamily,
    Pixel,
    QueryDraw,
    QueryViews,
    WrongPoint,
    draw_errors,
    draw_point,
)
from point2act.core.types import Query
from point2act.data.crops import Crop
from point2act.physics.scene import Scene
from point2act.simulation.camera import SimView
from point2act.simulation.pointing import (
    PartChoices,
    PointingConfig,
    error_shares,
    interior_pixel,
    part_choices,
)
from point2act.vlm.pointing.mark_selector import MarkChoice, MarkQuestion
from point2act.vlm.pointing.point import PointerReply

# Distance from a wrong point within which a mark is taken for it, pixels: a mark that is near is seen first.
_NEAR = 12.0
# Points scatter in a crop at least by this fraction of what they do in the whole image.
_MIN_JITTER = 0.5


@dataclass(frozen=True)
class PersistenceConfig:
    """How errors carry over to further questions."""

    crop: tuple[float, float] = (0.3, 0.9)
    """Range of the probability that a wrong answer stays wrong in a crop; uniform over queries."""
    choice: tuple[float, float] = (0.1, 0.8)
    """Likewise for choices among marks."""
    new_in_crop: float = 0.25
    """Probability that a right answer turns wrong in a crop, as a fraction of the family's rate."""
    new_in_choice: float = 0.2
    """Likewise for choices among marks."""
    missed: float = 0.5
    """Probability of "none of them" though the target is marked, as a fraction of the family's rate."""


def level_family(config: PointingConfig) -> ErrorFamily:
    """Return a level of ``pointing`` as a family: wrong points are on other parts, drawn for each view."""

    def wrong_points(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
        choices = query.choices
        orders = (
            (choices.same, choices.others),
            (choices.distractor, choices.others),
            (choices.others,),
        )

        def point(view: int, rng: np.random.Generator) -> Pixel | None:
            pixels = np.bincount(query.part_ids[view].reshape(-1) + 1)[1:]
            seen = set(np.flatnonzero(pixels >= config.min_pixels).tolist())
            kind = rng.choice(3, p=error_shares(config))
            shown = (sorted(seen & set(order)) for order in orders[kind])
            part = next((int(rng.choice(parts)) for parts in shown if parts), None)
            return None if part is None else interior_pixel(query.visible(view, [part]), rng)

        return point

    return ErrorFamily(
        config.name,
        wrong_points,
        wrong=config.wrong,
        jitter=config.jitter,
        missed=config.missed,
        hallucinated=config.hallucinated,
        min_pixels=config.min_pixels,
    )


@dataclass(frozen=True, eq=False)
class SimulatedAnswerer:
    """A ``Pointer`` and ``MarkSelector`` for one scene; the same question has the same answer.

    The images on disk have the size of the shots, and no distortion.

    Args:
        scene: Simulated scene with its queries; ``mug/2`` is the query ``mug``, drawn anew.
        shots: Views with the part of every pixel.
        family: Errors.
        seed: Another seed has other errors.
        persistence: How they carry over to further questions.
    """

    scene: Scene
    shots: Sequence[SimView]
    family: ErrorFamily
    seed: int = 0
    persistence: PersistenceConfig = field(default_factory=PersistenceConfig)
    concurrency: int = 1

    @property
    def name(self) -> str:
        """Name that points.json gives as the answers' model."""
        return f"simulated/{self.family.name}"

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        """Return the answer about a whole image, or about a crop of it."""
        known, view = self._known(query.name), self._numbers[image]
        height, width = self.shots[view].part_ids.shape
        window = crop.window
        if (window.width, window.height) == (width, height):
            point = known.draw.points[view]
        else:
            point = self._in_crop(known, view, crop)
        return PointerReply(np.zeros((0, 2)) if point is None else crop.from_disk(point[None]))

    def select(self, question: MarkQuestion) -> MarkChoice:
        """Return the chosen mark: the one most like the target, or where the model goes wrong."""
        known, view = self._known(question.query.name), self._numbers[question.image]
        rng = self._random(question.query.name, view, "choice")
        truth = known.views.visible(view, known.views.choices.target)
        right = _most_alike(question, truth) if truth.sum() >= self.family.min_pixels else None
        wrong = self._errs(known, view, known.choice_stays, self.persistence.new_in_choice, rng)
        if wrong:
            return MarkChoice(self._wrong_mark(known, view, question, rng))
        if rng.random() < self.persistence.missed * self.family.missed:
            return MarkChoice(None)
        return MarkChoice(right)

    def _in_crop(self, known: _Known, view: int, crop: Crop) -> Pixel | None:
        """Return the answer about a crop, in pixels of the image on disk."""
        window, (height, width) = crop.window, self.shots[view].part_ids.shape
        rows = slice(window.top, window.top + window.height)
        shown = QueryViews(
            known.views.part_ids[:, rows, window.left : window.left + window.width], known.views.choices
        )
        rng = self._random(known.name, view, "crop")
        wrong = self._errs(known, view, known.crop_stays, self.persistence.new_in_crop, rng)
        wrong_point = self.family.wrong_points(shown, copy.deepcopy(known.start))
        smaller = max(window.width, window.height) / max(width, height)
        jitter = self.family.jitter * max(smaller, _MIN_JITTER)
        point = draw_point(shown, self.family, view, wrong, wrong_point, jitter, rng)
        if point is None:
            return None
        point = known.draw.scale * point + max(smaller, _MIN_JITTER) * known.draw.shift
        inside = np.clip(point, 0.5, [window.width - 0.5, window.height - 0.5])
        corner = np.array([window.left, window.top])
        return (corner + inside).round(1)

    def _errs(self, known: _Known, view: int, stays: float, new: float, rng: np.random.Generator) -> bool:
        """Return whether the answer to a further question in a view is wrong."""
        visible = known.views.visible(view, known.views.choices.target).sum() >= self.family.min_pixels
        wrong = known.draw.wrong[view] if visible else known.draw.points[view] is not None
        return bool(rng.random() < (stays if wrong else new * self.family.wrong))

    def _wrong_mark(
        self, known: _Known, view: int, question: MarkQuestion, rng: np.random.Generator
    ) -> str | None:
        first = known.draw.points[view]
        place = first if first is not None else known.wrong_point(view, rng)
        if place is not None:
            away = {
                label: float(np.linalg.norm(pixels - place, axis=1).min())
                for label, pixels in question.places.items()
            }
            nearest = min(away, key=lambda label: away[label])
            if away[nearest] < _NEAR:
                return nearest
        labels = [*question.places, None]
        return labels[rng.integers(len(labels))]

    def _known(self, name: str) -> _Known:
        if name not in self._drawn:
            rng = self._random(name, -1, "query")
            choices = self._choices(name, rng)
            views = QueryViews(self._part_ids, choices)
            start = copy.deepcopy(rng)
            wrong_point = self.family.wrong_points(views, copy.deepcopy(start))
            draw = draw_errors(views, self.family, rng)
            stays = (rng.uniform(*self.persistence.crop), rng.uniform(*self.persistence.choice))
            self._drawn[name] = _Known(name, views, start, wrong_point, draw, *stays)
        return self._drawn[name]

    def _choices(self, name: str, rng: np.random.Generator) -> PartChoices:
        return part_choices(self.scene, name.split("/")[0], rng)

    def _random(self, query: str, view: int, kind: str) -> np.random.Generator:
        words = f"{self.scene.parts} {self.family.name} {query} {view} {kind}"
        return np.random.default_rng([zlib.crc32(words.encode()), self.seed])

    @cached_property
    def _drawn(self) -> dict[str, _Known]:
        return {}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {shot.view.name: number for number, shot in enumerate(self.shots)}

    @cached_property
    def _part_ids(self) -> Int[np.ndarray, "v h w"]:
        return np.stack([shot.part_ids for shot in self.shots])


@dataclass(frozen=True, eq=False)
class AbsentAnswerer(SimulatedAnswerer):
    """A model that is asked for what is not in the scene; ``absent_family`` has its errors."""

    def _choices(self, name: str, rng: np.random.Generator) -> PartChoices:
        parts = list(range(len(self.scene.parts)))
        return PartChoices([], [], parts, [int(rng.choice(parts))])


def absent_family(*, hallucinated: float, look_alike: float, jitter: float = 6.0) -> ErrorFamily:
    """Return the errors of a model that is asked for what is not in the scene.

    Args:
        hallucinated: Fraction of views with a point.
        look_alike: Fraction of points on the query's one look-alike where it is visible.
        jitter: Standard deviation of a point, pixels.
    """
    errs = PointingConfig("absent", jitter, other_part=0.0, distractor=look_alike, hallucinated=hallucinated)
    # Where there is no right answer, an error that stays is all that there is.
    return replace(level_family(errs), wrong=hallucinated)


@dataclass(frozen=True, eq=False)
class _Known:
    """What all answers to one query share."""

    name: str
    views: QueryViews
    start: np.random.Generator
    """Source of the draws that fix the favourite."""
    wrong_point: WrongPoint
    draw: QueryDraw
    crop_stays: float
    """Probability that a wrong answer stays wrong in a crop; likewise ``choice_stays``."""
    choice_stays: float


def _most_alike(question: MarkQuestion, truth: Bool[np.ndarray, "h w"]) -> str | None:
    """Return the mark with the highest intersection over union; None if no mark overlaps the target."""
    shares = {}
    for label, pixels in question.places.items():
        shared = _on(truth, pixels)
        shares[label] = shared / (len(pixels) + truth.sum() - shared)
    best = max(shares, key=lambda label: shares[label])
    return best if shares[best] > 0 else None


def _on(mask: Bool[np.ndarray, "h w"], pixels: Float[np.ndarray, "n 2"]) -> int:
    height, width = mask.shape
    column, row = np.clip(pixels, 0, [width - 1, height - 1]).astype(int).T
    return int(mask[row, column].sum())
