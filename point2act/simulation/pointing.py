"""Simulated answers of a pointing model that errs: near misses, wrong parts, wrong objects, "not visible"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from point2act.core.types import Answer, PointSet
from point2act.physics.scene import Scene
from point2act.simulation.camera import SimView


@dataclass(frozen=True)
class PointingConfig:
    """Error model of a simulated pointing model."""

    name: str = "typical"
    """Name of the model in the answers: ``simulated/<name>``."""
    jitter: float = 6.0
    """Standard deviation of a point about the intended place, pixels."""
    wrong: float = 0.25
    """Fraction of points at something else than the target."""
    other_part: float = 0.5
    """Fraction of wrong points on another part of the same object."""
    distractor: float = 0.0
    """Fraction of wrong points on the query's one distractor, the same in all views; the rest is anywhere."""
    missed: float = 0.10
    """Fraction of "not visible" answers where the target is visible."""
    hallucinated: float = 0.3
    """Fraction of points where the target is not visible."""
    min_pixels: int = 20
    """Minimum number of pixels of a visible target."""


CLEAN = PointingConfig("clean", jitter=2.0, wrong=0.0, missed=0.0, hallucinated=0.0)
"""A model that is always right."""
TYPICAL = PointingConfig()
"""About what single answers of good models are today: 25 % wrong."""
HARD = PointingConfig("hard", 10.0, wrong=0.4, other_part=0.0, distractor=0.75, missed=0.15, hallucinated=0.6)
"""40 % wrong, three quarters of them agreeing on the same wrong place."""


def answer(
    scene: Scene, shots: Sequence[SimView], config: PointingConfig, rng: np.random.Generator
) -> PointSet:
    """Simulate answers to every query in every view, in pixels of the views' images."""
    answers = []
    for query in scene.queries:
        answers += answers_to_query(query.name, shots, part_choices(scene, query.name, rng), config, rng)
    return PointSet(scene.queries, tuple(answers))


def answers_to_query(
    query: str,
    shots: Sequence[SimView],
    choices: PartChoices,
    config: PointingConfig,
    rng: np.random.Generator,
) -> list[Answer]:
    """Simulate one answer per view.

    Args:
        query: Name of the query.
        shots: The views.
        choices: Parts that the answers can refer to.
        config: Error model.
        rng: Generator of all noise.
    """
    answers = []
    for shot in shots:
        point = _point(shot.part_ids, choices, config, rng)
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
class PartChoices:
    """Ids of the parts that an answer to one query can refer to."""

    target: list[int]
    """Empty if the queried object is not in the scene."""
    same: list[int]
    """Other parts of the target's object."""
    others: list[int]
    """All parts of the other objects."""
    distractor: list[int]
    """Wrong part that many answers agree on."""


def part_choices(scene: Scene, query: str, rng: np.random.Generator) -> PartChoices:
    """Choose parts; the distractor is the same part of a similar object, else of the same name, else any."""
    target = list(scene.target_parts(query))
    thing, names = scene.parts[target[0]][0], {scene.parts[i][1] for i in target}
    same = [i for i, (name, _) in enumerate(scene.parts) if name == thing and i not in target]
    others = [i for i, (name, _) in enumerate(scene.parts) if name != thing]
    alike = [i for i in others if scene.parts[i][1] in names]
    make = {thing.name: [part.name for part in thing.parts] for thing in scene.layout.bodies}
    twins = [i for i in alike if make[scene.parts[i][0]] == make[thing]]
    return PartChoices(target, same, others, [int(rng.choice(twins or alike or same + others))])


def _point(
    part_ids: Int[np.ndarray, "h w"], choices: PartChoices, config: PointingConfig, rng: np.random.Generator
) -> Float[np.ndarray, " 2"] | None:
    """Draw one answer, or None for "not visible"."""
    pixels = np.bincount(part_ids.reshape(-1) + 1)[1:]
    seen = set(np.flatnonzero(pixels >= config.min_pixels).tolist())
    visible = sum(pixels[part] for part in choices.target if part < len(pixels)) >= config.min_pixels
    if rng.random() < (config.missed if visible else 1 - config.hallucinated):
        return None
    meant = choices.target
    if not visible or rng.random() < config.wrong:
        kind = rng.choice(3, p=error_shares(config))
        orders = ([choices.same, choices.others], [choices.distractor, choices.others], [choices.others])
        wrong = (sorted(seen & set(order)) for order in orders[kind])
        meant = next(([int(rng.choice(parts))] for parts in wrong if parts), meant if visible else [])
    if not meant:
        return None
    point = interior_pixel(np.isin(part_ids, meant), rng) + config.jitter * rng.standard_normal(2)
    height, width = part_ids.shape
    # Models write tenths of a pixel.
    return np.round(np.clip(point, 0.5, [width - 0.5, height - 0.5]), 1)


def error_shares(config: PointingConfig) -> tuple[float, float, float]:
    """Return the fractions of wrong points on the same object, on the distractor and on anything else."""
    return config.other_part, config.distractor, 1 - config.other_part - config.distractor


def interior_pixel(mask: Bool[np.ndarray, "h w"], rng: np.random.Generator) -> Float[np.ndarray, " 2"]:
    """Draw a pixel centre from the half of the mask that lies deeper inside."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    cut = mask[top : rows.max() + 1, left : columns.max() + 1]
    depth = np.asarray(distance_transform_edt(np.pad(cut, 1)))[1:-1, 1:-1]
    rows, columns = np.nonzero(cut & (depth >= np.median(depth[cut])))
    pick = rng.integers(len(rows))
    return np.array([left + columns[pick] + 0.5, top + rows[pick] + 0.5])
