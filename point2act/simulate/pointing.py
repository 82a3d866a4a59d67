"""Recorded answers of a pointing model that errs: near misses, wrong parts, wrong objects, silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from point2act.simulate.camera import Shot
from point2act.simulate.scene import Scene
from point2act.types import Answer, PointSet


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
    """Share of those on the query's one distractor, the same in all views; the rest is on any object."""
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


def answer(
    scene: Scene, shots: Sequence[Shot], config: PointingConfig, rng: np.random.Generator
) -> PointSet:
    """What the model says about every query in every view. Points are pixels of the views' images."""
    answers = []
    for query in scene.queries:
        target = scene.target_parts(query.name)
        same, others = _alternatives(scene, target)
        rivals = _distractor(scene, target, same, others, rng)
        for shot in shots:
            point = _point(shot.part_ids, target, same, others, rivals, config, rng)
            answers.append(
                Answer(
                    image=shot.view.name,
                    query=query.name,
                    points=np.zeros((0, 2)) if point is None else point[None],
                    visible=point is not None,
                    model=f"simulated/{config.name}",
                )
            )
    return PointSet(scene.queries, tuple(answers))


def _alternatives(scene: Scene, target: Sequence[int]) -> tuple[list[int], list[int]]:
    """Other parts of the target's object, and all parts of the other objects."""
    thing = scene.parts[target[0]][0]
    same = [i for i, (name, _) in enumerate(scene.parts) if name == thing and i not in target]
    others = [i for i, (name, _) in enumerate(scene.parts) if name != thing]
    return same, others


def _distractor(
    scene: Scene, target: Sequence[int], same: list[int], others: list[int], rng: np.random.Generator
) -> list[int]:
    """The one wrong place that answers agree on: a part of the same name elsewhere, else any part."""
    names = {scene.parts[i][1] for i in target}
    alike = [i for i in others if scene.parts[i][1] in names]
    return [int(rng.choice(alike or same + others))]


def _point(
    part_ids: Int[np.ndarray, "h w"],
    target: Sequence[int],
    same: list[int],
    others: list[int],
    rivals: list[int],
    config: PointingConfig,
    rng: np.random.Generator,
) -> Float[np.ndarray, "2"] | None:
    """One answer, or None for 'not visible'."""
    mask = np.isin(part_ids, target)
    visible = mask.sum() >= config.min_pixels
    if rng.random() < (config.missed if visible else 1 - config.hallucinated):
        return None
    if not visible or rng.random() < config.wrong:
        kind = rng.choice(3, p=_shares(config))
        orders = ([same, others], [rivals, others], [others])
        mask = next((m for ids in orders[kind] if (m := _one_of(part_ids, ids, config, rng)).any()), mask)
    if not mask.any():
        return None
    return _jittered(_interior_pixel(mask, rng), mask.shape, config.jitter, rng)


def _shares(config: PointingConfig) -> tuple[float, float, float]:
    return config.other_part, config.distractor, 1 - config.other_part - config.distractor


def _one_of(
    part_ids: Int[np.ndarray, "h w"], ids: list[int], config: PointingConfig, rng: np.random.Generator
) -> Bool[np.ndarray, "h w"]:
    """The pixels of one of these parts, drawn among those visible; no pixel when none is."""
    seen = [i for i in ids if np.count_nonzero(part_ids == i) >= config.min_pixels]
    return part_ids == (rng.choice(seen) if seen else -2)


def _interior_pixel(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, "2"]:
    """The centre of a random pixel among the half of the mask that lies deeper inside."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(mask & (depth >= np.median(depth[mask])))
    pick = rng.integers(len(rows))
    return np.array([columns[pick] + 0.5, rows[pick] + 0.5])


def _jittered(
    point: Float[np.ndarray, "2"], shape: tuple[int, int], sigma: float, rng: np.random.Generator
) -> Float[np.ndarray, "2"]:
    """The point with noise, kept inside the image, to a tenth of a pixel as models write it."""
    moved = point + sigma * rng.standard_normal(2)
    return np.round(np.clip(moved, 0.5, np.array(shape[::-1]) - 0.5), 1)
