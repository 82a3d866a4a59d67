"""Which views agree with a region, which disagree, and which cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from point2act.core.geometry import at_pixels, back_project, inside, project
from point2act.core.types import DepthImages, Support, View, ViewAnswers


@dataclass(frozen=True)
class SupportConfig:
    """When a view agrees with a region."""

    agree: float = 0.06
    """Maximum angle between an answer and the region's surface for agreement, radians."""
    # 1.5 times the width of heatmaps.
    occlusion_margin: float = 0.03
    """Distance behind the visible surface at which a point is hidden, as a fraction of its depth."""


def count_support(
    point: Float[np.ndarray, "3"],
    body: Float[np.ndarray, "b 3"],
    views: Sequence[View],
    depths: DepthImages,
    answers: ViewAnswers,
    spent: Bool[np.ndarray, " v"],
    *,
    config: SupportConfig = SupportConfig(),
) -> tuple[Support, Bool[np.ndarray, " v"]]:
    """Count the views that agree and disagree with a region.

    Args:
        point: Action point, world.
        body: Surface points of the region, world.
        depths: z-depth of the surface in every view, 0 for none.
        answers: Pixels answered in every view; empty for "not visible", None if not asked.
        spent: Views that already agree with a more probable region; each agrees with one only.

    Returns:
        The support, and a mask of the views that agree.
    """
    verdicts = [
        None if answer is None else _agrees(point, body, view, depth, answer, config)
        for view, depth, answer in zip(views, depths, answers, strict=True)
    ]
    backed = np.array([verdict is True for verdict in verdicts], dtype=bool) & ~spent
    against = np.array([verdict is not None for verdict in verdicts], dtype=bool) & ~backed
    agree, disagree = int(backed.sum()), int(against.sum())
    names = tuple(view.name for view, no in zip(views, against, strict=True) if no)
    return Support(agree, disagree, len(views) - agree - disagree, names), backed


def rejected_places(
    support: Support,
    views: Sequence[View],
    depths: DepthImages,
    answers: ViewAnswers,
    *,
    config: SupportConfig = SupportConfig(),
) -> tuple[int, ...]:
    """Group the answers that disagree with a region by the place that they point at.

    Two answers point at one place if their surface points are closer than the tolerance for agreement, seen
    from the cameras; places are the connected components (single linkage).

    Args:
        support: Support of the region: ``rejected_images`` are the views that disagree.
        views: All views.
        depths: z-depth of the surface in every view, 0 for none.
        answers: Pixels answered in every view; empty for "not visible", None if not asked.

    Returns:
        The number of views that name each place, most first; answers without a surface are left out.
    """
    points, tolerances = [], []
    for view, depth, answer in zip(views, depths, answers, strict=True):
        if view.name not in support.rejected_images or answer is None or len(answer) == 0:
            continue
        z = at_pixels(depth, answer[:1])
        if z[0] > 0:
            points.append(back_project(view.camera, view.T_world_cam, answer[:1], z)[0])
            tolerances.append(config.agree * z[0])
    if not points:
        return ()
    near = cdist(points, points) < np.add.outer(tolerances, tolerances) / 2
    _, places = connected_components(near, directed=False)
    return tuple(sorted(np.bincount(places).tolist(), reverse=True))


def _agrees(
    point: Float[np.ndarray, "3"],
    body: Float[np.ndarray, "b 3"],
    view: View,
    depth: Float[np.ndarray, "h w"],
    answer: Float[np.ndarray, "m 2"],
    config: SupportConfig,
) -> bool | None:
    """Return whether a view's answer agrees; None if it rightly answers "not visible"."""
    if len(answer) == 0:
        return None if visible_at(point, view, depth, config=config) is None else False
    return bool(np.linalg.norm(_angles(body, view, answer)) < config.agree)


def visible_at(
    point: Float[np.ndarray, " 3"],
    view: View,
    depth: Float[np.ndarray, "h w"],
    *,
    config: SupportConfig = SupportConfig(),
) -> Float[np.ndarray, "2"] | None:
    """Return the pixel at which a view sees a point; None if it is outside the image or behind its surface.

    Args:
        point: World point.
        view: The view.
        depth: z-depth of the surface in the view, 0 for none.
    """
    pixels, z = project(view.camera, view.T_world_cam, point[None])
    if z[0] <= 0 or not inside(view.camera, pixels)[0]:
        return None
    column, row = pixels[0].astype(int)
    surface = depth[row, column]
    return pixels[0] if surface <= 0 or z[0] < surface * (1 + config.occlusion_margin) else None


def _angles(
    points: Float[np.ndarray, "n 3"], view: View, answer: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, " 2"]:
    """Return the shortest offset from the points' projections to an answer, as tangents of angles.

    Infinite if every point is behind the camera.
    """
    pixels, z = project(view.camera, view.T_world_cam, points)
    offsets = (answer[None] - pixels[z > 0][:, None]).reshape(-1, 2) / [view.camera.fx, view.camera.fy]
    if len(offsets) == 0:
        return np.full(2, np.inf)
    return offsets[np.linalg.norm(offsets, axis=1).argmin()]
