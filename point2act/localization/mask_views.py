"""Which views of a place are segmented. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from point2act.core.types import View, ViewAnswers
from point2act.localization.likelihood import Visibility
from point2act.localization.part_tree import Parts


@dataclass(frozen=True)
class MaskViewsConfig:
    """Views to segment. Angles are seen from the cameras, radians."""

    count: int = 5
    """Maximum number of views that are segmented for a query."""
    shared: int = 8
    """Number of views, spread over the capture, that are preferred: encoding an image takes 20 times as long
    as a prompt in it, and all queries share what is encoded."""
    preference: float = 3.0
    """Weight of these views relative to the others."""
    separation: float = 0.5
    """Angle between two views of a place at which they are counted in full."""
    min_area: float = 2.2e-4
    """Minimum area of a place in a view without an answer there, square radians."""
    unconfirmed: float = 0.3
    """Weight of a view without an answer at the place, relative to one with such an answer."""
    agree: float = 0.02
    """Maximum angle between an answer and the place's surface for agreement."""


def choose_views(
    body: Int[np.ndarray, " b"],
    parts: Parts,
    visibility: Visibility,
    views: Sequence[View],
    answers: ViewAnswers,
    *,
    config: MaskViewsConfig = MaskViewsConfig(),
) -> list[int]:
    """Return the views to segment, best first: those that see most of a place, from several sides.

    Args:
        body: The place's points, indices.
        visibility: What every view sees of the points.
        answers: Tangents of the points in every view; empty for "not visible", None if not asked.
    """
    area = visibility.area[:, body].sum(axis=1)
    middle = parts.points[body].mean(axis=0)
    rays = np.stack([view.T_world_cam[:3, 3] - middle for view in views])
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
    confirmed = np.array(
        [
            answer is not None and agreeing_point(visibility, view, body, answer, config=config) is not None
            for view, answer in enumerate(answers)
        ]
    )
    worth = area * np.where(confirmed, 1.0, np.where(area < config.min_area, 0.0, config.unconfirmed))
    worth[_spread(views, config.shared)] *= config.preference
    chosen: list[int] = []
    while len(chosen) < config.count and worth.max(initial=0.0) > 0:
        best = int(worth.argmax())
        chosen.append(best)
        angle = np.arccos(np.clip(rays @ rays[best], -1.0, 1.0))
        worth = worth * (1 - np.exp(-0.5 * (angle / config.separation) ** 2))
        worth[best] = 0.0
    return chosen


def _spread(views: Sequence[View], count: int) -> list[int]:
    """Return views that are far from one another (farthest-point sampling, Gonzalez 1985)."""
    eyes = np.stack([view.T_world_cam[:3, 3] for view in views])
    chosen = [0]
    away = np.linalg.norm(eyes - eyes[0], axis=1)
    while len(chosen) < min(count, len(views)):
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(eyes - eyes[chosen[-1]], axis=1))
    return chosen


def agreeing_point(
    visibility: Visibility,
    view: int,
    body: Int[np.ndarray, " b"],
    answer: Float[np.ndarray, "m 2"],
    *,
    config: MaskViewsConfig = MaskViewsConfig(),
) -> int | None:
    """Return which point of an answer is at a place as a view sees it; None if none is."""
    shown = body[visibility.area[view, body] > 0]
    if len(answer) == 0 or len(shown) == 0:
        return None
    away = np.linalg.norm(visibility.tangents[view, shown][:, None] - answer[None], axis=2).min(axis=0)
    return int(away.argmin()) if away.min() < config.agree else None
