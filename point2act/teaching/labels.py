"""What the consensus of all views says about one view: where the target is in it, or that it is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

from point2act.core.geometry import back_project, distance_to_box, pixel_centers
from point2act.core.types import OrientedBox, View
from point2act.localization.support import SupportConfig, visible_at


@dataclass(frozen=True)
class LabelConfig:
    """When a view shows a region, and when an answer in it is wrong."""

    # Twice the error of a depth camera at a metre.
    margin: float = 0.01
    """Distance from the region's box up to which a surface belongs to it, as a fraction of its depth."""
    # An object of 2 cm at a metre, at 480 pixels.
    visible: float = 1e-4
    """Fraction of the image from which a target whose action point is hidden counts as partly visible."""
    # A region is where to act, and may be a small part of what the words mean. Chosen.
    possible: float = 0.1
    """Relevancy from which a pixel may show the target."""
    # As parse_reply allows for rounding.
    wrong: float = 0.01
    """Distance from the region at which an answer is wrong, as a fraction of the image's longer side."""


@dataclass(frozen=True, eq=False)
class Place:
    """One thing that a query means."""

    action_point: Float[np.ndarray, " 3"]
    """World."""
    box: OrientedBox
    confidence: float


@dataclass(frozen=True, eq=False)
class Label:
    """The answer that a view should get. Pixels are those of the view."""

    points: Float[np.ndarray, "p 2"]
    """Action points, none if the target is not visible."""
    region: tuple[float, float, float, float] | None
    """Left, top, right and bottom of what is visible of it."""
    hard: bool
    """Whether the model's own answer is wrong."""


def surface_points(view: View, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Return the world point that each pixel of a view shows, NaN where the depth is 0."""
    pixels = pixel_centers(*depth.shape).reshape(-1, 2)
    z = np.where(depth > 0, depth, np.nan).reshape(-1).astype(float)
    return back_project(view.camera, view.T_world_cam, pixels, z).reshape(*depth.shape, 3)


def label_view(
    places: Sequence[Place],
    view: View,
    depth: Float[np.ndarray, "h w"],
    surface: Float[np.ndarray, "h w 3"],
    relevancy: Float[np.ndarray, "h w"],
    answer: Float[np.ndarray, "m 2"] | None,
    *,
    config: LabelConfig = LabelConfig(),
) -> Label | None:
    """Project what a query means into a view.

    Args:
        places: Everything that the query means, at least one.
        view: The view.
        depth: z-depth of the surface in it, 0 for none.
        surface: The same as ``surface_points``.
        relevancy: Probability that each pixel shows what the query means.
        answer: Pixels of the model's own answer, none for "not visible"; None if it was not asked.

    Returns:
        The label; None where the view decides nothing: a place is partly hidden, or there is no depth at it.
    """
    points, shown, possible = [], np.zeros(depth.shape, dtype=bool), relevancy >= config.possible
    for place in places:
        mask = _shows(place.box, depth, surface, config)
        pixel = _visible(place, view, depth)
        if pixel is not None and not _has_depth(pixel, depth):
            return None
        if pixel is None and (mask | possible).mean() >= config.visible:
            return None
        if pixel is not None:
            points.append(pixel)
            shown |= mask
    found = np.array(points).reshape(-1, 2)
    return Label(found, _box(shown), answer is not None and _is_wrong(answer, found, shown, config))


def _visible(place: Place, view: View, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "2"] | None:
    """Return the pixel of an action point, None if it is hidden or outside the image."""
    return visible_at(place.action_point, view, depth, config=SupportConfig())


def _has_depth(pixel: Float[np.ndarray, "2"], depth: Float[np.ndarray, "h w"]) -> bool:
    column, row = pixel.astype(int)
    return bool(depth[row, column] > 0)


def _shows(
    box: OrientedBox,
    depth: Float[np.ndarray, "h w"],
    surface: Float[np.ndarray, "h w 3"],
    config: LabelConfig,
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that show a surface in a box."""
    return distance_to_box(surface, box) <= config.margin * depth  # False for NaN.


def _box(shown: Bool[np.ndarray, "h w"]) -> tuple[float, float, float, float] | None:
    if not shown.any():
        return None
    rows, columns = np.nonzero(shown)
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def _is_wrong(
    answer: Float[np.ndarray, "m 2"],
    points: Float[np.ndarray, "p 2"],
    shown: Bool[np.ndarray, "h w"],
    config: LabelConfig,
) -> bool:
    """Return whether an answer misses what is visible, or sees what is hidden."""
    if len(answer) == 0 or len(points) == 0:
        return len(answer) != len(points)
    right = np.concatenate([points, np.argwhere(shown)[:, ::-1] + 0.5])
    return bool(cdist(answer, right).min(axis=1).max() > config.wrong * max(shown.shape))
