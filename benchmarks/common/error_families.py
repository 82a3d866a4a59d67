"""Families of errors of pointing models, each another way to be wrong.

A fusion of answers that is tuned on one family may fail on the next, so figures are reported for families
that took no part in the tuning. ``simulation.pointing`` has the levels of one more: wrong parts, drawn for
each view; here are an adversarial level of it, and answers about objects that are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.types import Answer, PointSet
from point2act.physics.scene import Scene
from point2act.simulation.camera import SimView
from point2act.simulation.pointing import (
    PartChoices,
    PointingConfig,
    answers_to_query,
    interior_pixel,
    part_choices,
)

Pixel = Float[np.ndarray, " 2"]
WrongPoint = Callable[[int, np.random.Generator], Pixel | None]
"""Returns a wrong point in a view, or None if nothing there can be mistaken for the target."""


ADVERSARIAL = PointingConfig(
    "adversarial", wrong=0.6, other_part=0.0, distractor=0.5, missed=0.10, hallucinated=0.6
)
"""60 % wrong, half of them agreeing on the same wrong place: right answers are a minority."""


@dataclass(frozen=True)
class AbsentConfig:
    """Error model for queries about objects that are not in the scene.

    Such a model answers "not visible" in many views and points at the closest match in the others, mostly
    the same one. The rate varies between queries and is drawn for each. Chosen, not measured.
    """

    name: str = "absent"
    """Name of the model in the answers: ``simulated/<name>``."""
    jitter: float = 6.0
    """Standard deviation of a point about the intended place, pixels."""
    pointed: tuple[float, float] = (0.3, 0.6)
    """Range of the fraction of views with a point; the others answer "not visible"."""
    look_alike: float = 0.6
    """Fraction of points on the query's one look-alike where it is visible; the rest is on any part."""


ABSENT = AbsentConfig()
"""The queried objects are not in the scene."""


@dataclass(frozen=True, eq=False)
class QueryViews:
    """What the views show of one query's target and of everything else."""

    part_ids: Int[np.ndarray, "v h w"]
    """Id of the part at every pixel, -1 for none."""
    choices: PartChoices

    def visible(self, view: int, parts: Sequence[int]) -> Bool[np.ndarray, "h w"]:
        """Return the pixels of some parts in a view."""
        return np.isin(self.part_ids[view], list(parts))


@dataclass(frozen=True)
class ErrorFamily:
    """Rates of errors, and where wrong points are."""

    name: str
    wrong_points: Callable[[QueryViews, np.random.Generator], WrongPoint]
    """Fixes what a query's answers share, such as a favourite, and returns where each wrong point is."""
    wrong: float = 0.45
    """Fraction of wrong points where the target is visible."""
    jitter: float = 6.0
    """Standard deviation of a point about the intended place, pixels."""
    missed: float = 0.1
    """Fraction of "not visible" answers where the target is visible."""
    hallucinated: float = 0.5
    """Fraction of points where the target is not visible."""
    run: float = 1.0
    """Mean number of neighbouring views that are wrong together."""
    offset: float = 0.0
    """Length of a shift of all points of a query in a random direction, pixels."""
    stretch: float = 0.0
    """Standard deviation of a scale of all coordinates of a query, as of an image that was resized."""
    min_pixels: int = 20
    """Minimum number of pixels of a visible target."""


# ── where wrong points are ─────────────────────────────────────────────────────────────────────
def rest_of_object(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Spread wrong points over the rest of the target's object."""
    return _on_parts(query, [query.choices.same, query.choices.others], _any_pixel)


def object_middle(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Put wrong points at the middle of the whole object instead of the part."""
    return _on_parts(query, [query.choices.target + query.choices.same], _middle_pixel)


def favourite_pixel(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Put most wrong points at the middle of one wrong part, to the pixel, and the rest on anything."""
    favourite = [int(rng.choice(query.choices.others or query.choices.same or query.choices.target))]
    precise = _on_parts(query, [favourite], _middle_pixel)
    anything = _on_parts(query, [query.choices.others + query.choices.same], _any_pixel)

    def point(view: int, rng: np.random.Generator) -> Pixel | None:
        pixel = precise(view, rng) if rng.random() < 0.8 else None
        return pixel if pixel is not None else anything(view, rng)

    return point


def twin(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Put wrong points on the same part of a like object, or on another part of the same object."""
    return _on_parts(query, [query.choices.distractor], interior_pixel)


def anything(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Put wrong points on any part of anything, the larger the more often."""
    return _on_parts(query, [query.choices.others + query.choices.same], _any_pixel)


def favourite_object(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Spread most wrong points over the rest of the object or, for half of the queries, over another part."""
    return _favourite_area(query, 0.75, rng)


def half_favourite(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Spread half of the wrong points as ``favourite_object`` does; the rest is on anything."""
    return _favourite_area(query, 0.5, rng)


def _favourite_area(query: QueryViews, share: float, rng: np.random.Generator) -> WrongPoint:
    rest = query.choices.same or query.choices.others or query.choices.target
    other = [int(rng.choice(query.choices.others or rest))]
    favoured = _on_parts(query, [rest if rng.random() < 0.5 else other], _any_pixel)
    all_else = _on_parts(query, [query.choices.others + query.choices.same], _any_pixel)

    def point(view: int, rng: np.random.Generator) -> Pixel | None:
        pixel = favoured(view, rng) if rng.random() < share else None
        return pixel if pixel is not None else all_else(view, rng)

    return point


def one_part_at_a_time(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Put the wrong points of a run of views on one part: a part in the foreground of those views."""
    parts = query.choices.others + query.choices.same
    order = rng.permutation(parts).tolist()

    def point(view: int, rng: np.random.Generator) -> Pixel | None:
        first = order[view // 6 % max(len(order), 1) :][:1]
        return _on_parts(query, [first, parts], interior_pixel)(view, rng)

    return point


def image_middle(query: QueryViews, rng: np.random.Generator) -> WrongPoint:
    """Put wrong points near the middle of the image, as a model that goes by its prior."""
    height, width = query.part_ids.shape[1:]
    return lambda view, rng: np.array([width / 2, height / 2])


def _on_parts(
    query: QueryViews,
    orders: Sequence[Sequence[int]],
    draw: Callable[[Bool[np.ndarray, "h w"], np.random.Generator], Pixel],
) -> WrongPoint:
    """Return a point on the first group of parts that a view shows."""

    def point(view: int, rng: np.random.Generator) -> Pixel | None:
        masks = (query.visible(view, parts) for parts in orders)
        mask = next((mask for mask in masks if mask.any()), None)
        return None if mask is None else draw(mask, rng)

    return point


def _any_pixel(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Pixel:
    rows, columns = np.nonzero(mask)
    pick = rng.integers(len(rows))
    return np.array([columns[pick] + 0.5, rows[pick] + 0.5])


def _middle_pixel(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Pixel:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


FAMILIES = (
    ErrorFamily("rest_of_object", rest_of_object),
    ErrorFamily("object_middle", object_middle, jitter=4.0),
    ErrorFamily("favourite_pixel", favourite_pixel),
    ErrorFamily("twin", twin),
    ErrorFamily("favourite_object", favourite_object, jitter=10.0, wrong=0.4),
    ErrorFamily("minority", half_favourite, wrong=0.6),
    ErrorFamily("blocks", one_part_at_a_time, run=4.0),
    ErrorFamily("image_middle", image_middle, wrong=0.4),
    ErrorFamily("offset", anything, wrong=0.2, offset=10.0, stretch=0.03),
    ErrorFamily("silent", anything, wrong=0.25, missed=0.4, hallucinated=0.1),
    ErrorFamily("talkative", anything, wrong=0.3, missed=0.0, hallucinated=1.0),
)
"""Families; rates are chosen so that right answers are a minority in the worst of them."""


# ── answers ─────────────────────────────────────────────────────────────────────────────────────
def family_answers(
    scene: Scene, shots: Sequence[SimView], family: ErrorFamily, rng: np.random.Generator
) -> PointSet:
    """Simulate answers of a family to every query in every view, in pixels of the views' images.

    Args:
        scene: Simulated scene with its queries.
        shots: Views with the part of every pixel, in the order of recording.
        family: Errors.
        rng: Source of all draws.
    """
    part_ids = np.stack([shot.part_ids for shot in shots])
    answers = []
    for query in scene.queries:
        seen = QueryViews(part_ids, part_choices(scene, query.name, rng))
        for shot, point in zip(shots, draw_points(seen, family, rng), strict=True):
            points = np.zeros((0, 2)) if point is None else point[None]
            answers.append(
                Answer(shot.view.name, query.name, points, point is not None, f"simulated/{family.name}")
            )
    return PointSet(scene.queries, tuple(answers))


@dataclass(frozen=True, eq=False)
class QueryDraw:
    """Errors drawn for one query: what all its answers share, and one answer for every view."""

    wrong: Bool[np.ndarray, " v"]
    """Views in which the answer is wrong if the target is visible."""
    shift: Float[np.ndarray, " 2"]
    """Shift of all points, pixels."""
    scale: Float[np.ndarray, " 2"]
    """Scale of all coordinates."""
    points: tuple[Pixel | None, ...]
    """One point in every view, None for "not visible"."""


def draw_errors(query: QueryViews, family: ErrorFamily, rng: np.random.Generator) -> QueryDraw:
    """Draw the errors of one query."""
    wrong_point = family.wrong_points(query, rng)
    wrong = _runs(len(query.part_ids), family.wrong, family.run, rng)
    angle = rng.uniform(0, 2 * np.pi)
    shift = family.offset * np.array([np.cos(angle), np.sin(angle)])
    scale = 1 + family.stretch * rng.standard_normal(2)
    found: list[Pixel | None] = []
    for view in range(len(query.part_ids)):
        point = draw_point(query, family, view, bool(wrong[view]), wrong_point, family.jitter, rng)
        if point is not None:
            height, width = query.part_ids.shape[1:]
            point = np.clip(scale * point + shift, 0.5, [width - 0.5, height - 0.5]).round(1)
        found.append(point)
    return QueryDraw(wrong, shift, scale, tuple(found))


def draw_points(query: QueryViews, family: ErrorFamily, rng: np.random.Generator) -> list[Pixel | None]:
    """Draw one point in every view, None for "not visible"."""
    return list(draw_errors(query, family, rng).points)


def draw_point(
    query: QueryViews,
    family: ErrorFamily,
    view: int,
    wrong: bool,
    wrong_point: WrongPoint,
    jitter: float,
    rng: np.random.Generator,
) -> Pixel | None:
    """Draw one point in a view before it is shifted and scaled, None for "not visible"."""
    mask = query.visible(view, query.choices.target)
    visible = mask.sum() >= family.min_pixels
    if rng.random() < (family.missed if visible else 1 - family.hallucinated):
        return None
    point = interior_pixel(mask, rng) if visible and not wrong else wrong_point(view, rng)
    return None if point is None else point + jitter * rng.standard_normal(2)


def _runs(count: int, share: float, length: float, rng: np.random.Generator) -> Bool[np.ndarray, " v"]:
    """Return which views are wrong: a Markov chain with this share and this mean length of runs."""
    wrong = np.zeros(count, dtype=bool)
    for view in range(count):
        chance = share
        if view > 0 and length > 1:
            chance = 1 - 1 / length if wrong[view - 1] else share / (1 - share) / length
        wrong[view] = rng.random() < chance
    return wrong


def simulate_absent_answers(
    scene: Scene, shots: Sequence[SimView], config: AbsentConfig, rng: np.random.Generator
) -> PointSet:
    """Simulate answers as if none of the queried objects were in the scene.

    The queries keep their names but stand for something else: any part may be mistaken for it.
    """
    answers = []
    parts = list(range(len(scene.parts)))
    for query in scene.queries:
        choices = PartChoices([], [], parts, [int(rng.choice(parts))])
        errs = PointingConfig(
            config.name,
            config.jitter,
            other_part=0.0,
            distractor=config.look_alike,
            hallucinated=rng.uniform(*config.pointed),
        )
        answers += answers_to_query(query.name, shots, choices, errs, rng)
    return PointSet(scene.queries, tuple(answers))
