"""Recorded answers of a pointing model that errs: near misses, wrong parts, wrong objects, silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from point2act.core.types import Answer, PointSet
from point2act.simulation.camera import Shot
from point2act.simulation.scene import Scene


@dataclass(frozen=True)
class PointingConfig:
    """How a simulated pointing model errs. Shares are of 1."""

    name: str = "typical"
    """Written into the answers as the model ``simulated/<name>``."""
    jitter: float = 6.0
    """Standard deviation of a point about the place meant, pixels."""
    wrong: float = 0.25
    """Share of the points that mean something else than the target."""
    other_part: float = 0.5
    """Share of those on another part of the same object."""
    distractor: float = 0.0
    """Share of those on the query's one distractor, the same in all views; the rest is anywhere."""
    missed: float = 0.10
    """Share of 'not visible' where the target is visible."""
    hallucinated: float = 0.3
    """Share of points where the target is not visible."""
    min_pixels: int = 20
    """A target of fewer pixels is not visible."""


CLEAN = PointingConfig("clean", jitter=2.0, wrong=0.0, missed=0.0, hallucinated=0.0)
"""A model that is always right."""
TYPICAL = PointingConfig()
"""About what single answers of good models are today: a quarter wrong."""
HARD = PointingConfig("hard", 10.0, wrong=0.4, other_part=0.0, distractor=0.75, missed=0.15, hallucinated=0.6)
"""Two in five wrong, three quarters of them agreeing on the same wrong place."""
ADVERSARIAL = PointingConfig(
    "adversarial", wrong=0.6, other_part=0.0, distractor=0.5, missed=0.10, hallucinated=0.6
)
"""Three in five wrong, half of them agreeing on the same wrong place: right answers are a minority."""


@dataclass(frozen=True)
class AbsentConfig:
    """How a model answers when asked for what is not in the scene.

    Models are trained to please: they say "not visible" in many views, and in the others they point at
    what comes closest, mostly at the same thing. Our choice, not a measurement: how readily they do
    differs from sentence to sentence, so the share is drawn for each query.
    """

    name: str = "absent"
    """Written into the answers as the model ``simulated/<name>``."""
    jitter: float = 6.0
    """Standard deviation of a point about the place meant, pixels."""
    pointed: tuple[float, float] = (0.3, 0.6)
    """Least and greatest share of the views with a point; the others say 'not visible'."""
    look_alike: float = 0.6
    """Share of the points on the query's one look-alike, where it is in sight; the rest is on any part."""


ABSENT = AbsentConfig()
"""What is asked for is not there."""


def answer(scene: Scene, shots: Sequence[Shot], config: PointingConfig, rng: np.random.Generator) -> PointSet:
    """What the model says about every query in every view. Points are pixels of the views' images."""
    answers = []
    for query in scene.queries:
        answers += _replies(query.name, shots, _places(scene, query.name, rng), config, rng)
    return PointSet(scene.queries, tuple(answers))


def answer_absent(
    scene: Scene, shots: Sequence[Shot], config: AbsentConfig, rng: np.random.Generator
) -> PointSet:
    """What the model would say if none of what the queries ask for were in the scene.

    The queries keep their names, but stand for something else: any part may be taken for it.
    """
    answers = []
    parts = list(range(len(scene.parts)))
    for query in scene.queries:
        places = _Places([], [], parts, [int(rng.choice(parts))])
        errs = PointingConfig(
            config.name,
            config.jitter,
            other_part=0.0,
            distractor=config.look_alike,
            hallucinated=rng.uniform(*config.pointed),
        )
        answers += _replies(query.name, shots, places, errs, rng)
    return PointSet(scene.queries, tuple(answers))


def _replies(
    query: str, shots: Sequence[Shot], places: _Places, config: PointingConfig, rng: np.random.Generator
) -> list[Answer]:
    """One answer for each view."""
    answers = []
    for shot in shots:
        point = _point(shot.part_ids, places, config, rng)
        answers.append(
            Answer(
                image=shot.view.name,
                query=query,
                points=np.zeros((0, 2)) if point is None else point[None],
                visible=point is not None,
                model=f"simulated/{config.name}",
            )
        )
    return answers


@dataclass(frozen=True)
class _Places:
    """Ids of the parts that an answer to one query can mean."""

    target: list[int]
    """None when what is asked for is not there."""
    same: list[int]
    """Other parts of the target's object."""
    others: list[int]
    """All parts of the other objects."""
    distractor: list[int]
    """The one wrong part that many answers agree on."""


def _places(scene: Scene, query: str, rng: np.random.Generator) -> _Places:
    """The distractor is the same part of a like object, else a part of the same name, else any part."""
    target = list(scene.target_parts(query))
    thing, names = scene.parts[target[0]][0], {scene.parts[i][1] for i in target}
    same = [i for i, (name, _) in enumerate(scene.parts) if name == thing and i not in target]
    others = [i for i, (name, _) in enumerate(scene.parts) if name != thing]
    alike = [i for i in others if scene.parts[i][1] in names]
    make = {thing.name: [part.name for part in thing.parts] for thing in scene.layout.things}
    twins = [i for i in alike if make[scene.parts[i][0]] == make[thing]]
    return _Places(target, same, others, [int(rng.choice(twins or alike or same + others))])


def _point(
    part_ids: Int[np.ndarray, "h w"], places: _Places, config: PointingConfig, rng: np.random.Generator
) -> Float[np.ndarray, " 2"] | None:
    """One answer, or None for 'not visible'."""
    pixels = np.bincount(part_ids.reshape(-1) + 1)[1:]
    seen = set(np.flatnonzero(pixels >= config.min_pixels).tolist())
    visible = sum(pixels[part] for part in places.target if part < len(pixels)) >= config.min_pixels
    if rng.random() < (config.missed if visible else 1 - config.hallucinated):
        return None
    meant = places.target
    if not visible or rng.random() < config.wrong:
        kind = rng.choice(3, p=_shares(config))
        orders = ([places.same, places.others], [places.distractor, places.others], [places.others])
        wrong = (sorted(seen & set(order)) for order in orders[kind])
        meant = next(([int(rng.choice(parts))] for parts in wrong if parts), meant if visible else [])
    if not meant:
        return None
    point = _interior_pixel(np.isin(part_ids, meant), rng) + config.jitter * rng.standard_normal(2)
    height, width = part_ids.shape
    # To a tenth of a pixel, as models write it.
    return np.round(np.clip(point, 0.5, [width - 0.5, height - 0.5]), 1)


def _shares(config: PointingConfig) -> tuple[float, float, float]:
    return config.other_part, config.distractor, 1 - config.other_part - config.distractor


def _interior_pixel(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, " 2"]:
    """The centre of a random pixel among the half of the mask that lies deeper inside."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    cut = mask[top : rows.max() + 1, left : columns.max() + 1]
    depth = np.asarray(distance_transform_edt(np.pad(cut, 1)))[1:-1, 1:-1]
    rows, columns = np.nonzero(cut & (depth >= np.median(depth[cut])))
    pick = rng.integers(len(rows))
    return np.array([left + columns[pick] + 0.5, top + rows[pick] + 0.5])
