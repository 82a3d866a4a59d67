"""What every view sees of the points and parts of a scene. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from point2act.core.geometry import project, to_tangents
from point2act.core.types import View
from point2act.localization.part_tree import Parts

MIN_AREA = 1e-12
"""Solid angle that counts as nothing, square radians; far below a pixel."""


@dataclass(frozen=True, eq=False)
class Visibility:
    """Visibility of points and parts in every view. Angles are tangents: x/z and y/z."""

    image_area: Float[np.ndarray, " v"]
    """Solid angle of the image, square radians."""
    area: Float[np.ndarray, "v n"]
    """Solid angle that every point covers, square radians."""
    tangents: Float[np.ndarray, "v n 2"]
    """Position of every point; zero behind the camera."""
    part_area: Float[np.ndarray, "v k"]
    part_tangents: Float[np.ndarray, "v k 2"]
    """Mean position of the visible part."""
    part_covariance: Float[np.ndarray, "v k 3"]
    """Covariance of the visible part: xx, xy, yy."""


def part_visibility(parts: Parts, views: Sequence[View], covered: Float[np.ndarray, "v n"]) -> Visibility:
    """Compute what every view sees of a surface's points and parts.

    Args:
        covered: Number of pixels that each point covers in each view.
    """
    pixel = np.array([1 / (view.camera.fx * view.camera.fy) for view in views])
    sizes = np.array([view.camera.width * view.camera.height for view in views])
    pixels, depth = zip(
        *(project(view.camera, view.T_world_cam, parts.points) for view in views), strict=True
    )
    ahead = np.stack(depth) > 0
    tangents = np.stack([to_tangents(view.camera, at) for at, view in zip(pixels, views, strict=True)])
    tangents = np.where(ahead[:, :, None], tangents, 0.0)
    area = np.where(ahead, covered * pixel[:, None], 0.0)
    moments = [_moments(parts, weight, where) for weight, where in zip(area, tangents, strict=True)]
    part_area, middle, covariance = (np.stack(column) for column in zip(*moments, strict=True))
    return Visibility(sizes * pixel, area, tangents, part_area, middle, covariance)


def _moments(
    parts: Parts, weight: Float[np.ndarray, " n"], where: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k 2"], Float[np.ndarray, "k 3"]]:
    """Return total weight, mean and covariance of image positions for every part."""
    x, y = where.T
    sums = parts.sums(weight[:, None] * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    total = sums[:, 0]
    mean = sums[:, 1:] / np.maximum(total, MIN_AREA)[:, None]
    products = np.stack([mean[:, 0] ** 2, mean[:, 0] * mean[:, 1], mean[:, 1] ** 2], axis=1)
    return total, mean[:, :2], mean[:, 2:] - products


def restrict(
    parts: Parts,
    visibility: Visibility,
    view: int,
    low: Float[np.ndarray, "2"],
    high: Float[np.ndarray, "2"],
    *,
    gain: float,
) -> Visibility:
    """Return the one row of what a window of a view shows.

    Args:
        view: Index of the view.
        low: Upper left corner of the window, tangents; likewise ``high``, the lower right one.
        gain: Factor on all solid angles, for a window that is shown enlarged.
    """
    where = visibility.tangents[view]
    inside = ((where >= low) & (where <= high)).all(axis=1)
    area = gain * visibility.area[view] * inside
    columns = (column[None] for column in _moments(parts, area, where))
    image = np.array([gain * float(np.prod(high - low))])
    return Visibility(image, area[None], where[None], *columns)


def stack(rows: Sequence[Visibility]) -> Visibility:
    """Return the rows of several visibilities of the same parts as one."""
    names = [field.name for field in fields(Visibility)]
    return Visibility(*(np.concatenate([getattr(row, name) for row in rows]) for name in names))
