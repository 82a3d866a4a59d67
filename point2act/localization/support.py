"""Which views back a place, which contradict it, and which cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import inside, project
from point2act.core.types import Support, View


@dataclass(frozen=True)
class SupportConfig:
    """When a view backs a place."""

    agree: float = 0.06
    """An answer within this angle of the place's surface agrees with it, radians: 1.5 times the heatmaps'
    width."""
    occlusion_margin: float = 0.03
    """A point is hidden when it lies this share of its depth behind the surface: the thickness of
    a small part."""


def count_support(
    point: Float[np.ndarray, "3"],
    body: Float[np.ndarray, "b 3"],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    answers: Sequence[Float[np.ndarray, "_ 2"] | None],
    spent: Bool[np.ndarray, " v"],
    *,
    config: SupportConfig = SupportConfig(),
) -> tuple[Support, Bool[np.ndarray, " v"]]:
    """The views for and against a place with an action point and surface points; and which are for it.

    A view backs one place only: those ``spent`` on a better one are against this.
    """
    verdicts = [
        None if answer is None else _backs(point, body, view, depth, answer, config)
        for view, depth, answer in zip(views, depths, answers, strict=True)
    ]
    backed = np.array([verdict is True for verdict in verdicts], dtype=bool) & ~spent
    against = np.array([verdict is not None for verdict in verdicts], dtype=bool) & ~backed
    agree, disagree = int(backed.sum()), int(against.sum())
    names = tuple(view.name for view, no in zip(views, against, strict=True) if no)
    return Support(agree, disagree, len(views) - agree - disagree, names), backed


def _backs(
    point: Float[np.ndarray, "3"],
    body: Float[np.ndarray, "b 3"],
    view: View,
    depth: Float[np.ndarray, "h w"],
    answer: Float[np.ndarray, "m 2"],
    config: SupportConfig,
) -> bool | None:
    """Whether a view's answer backs a place; None when it rightly says that it cannot see it."""
    if len(answer) == 0:
        return False if _visible(point, view, depth, config) else None
    return bool(np.linalg.norm(_angles(body, view, answer)) < config.agree)


def _visible(
    point: Float[np.ndarray, " 3"], view: View, depth: Float[np.ndarray, "h w"], config: SupportConfig
) -> bool:
    """Whether a point lies in the image and not behind its surface."""
    pixels, z = project(view.camera, view.T_world_cam, point[None])
    if z[0] <= 0 or not inside(view.camera, pixels)[0]:
        return False
    column, row = pixels[0].astype(int)
    surface = depth[row, column]
    return bool(surface <= 0 or z[0] < surface * (1 + config.occlusion_margin))


def _angles(
    points: Float[np.ndarray, "n 3"], view: View, answer: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, " 2"]:
    """The shortest way from the points' projections to an answer, as tangents of angles.

    Infinite where every point is behind the camera.
    """
    pixels, z = project(view.camera, view.T_world_cam, points)
    ways = (answer[None] - pixels[z > 0][:, None]).reshape(-1, 2) / [view.camera.fx, view.camera.fy]
    if len(ways) == 0:
        return np.full(2, np.inf)
    return ways[np.linalg.norm(ways, axis=1).argmin()]
