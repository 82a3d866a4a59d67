"""Loose Gaussians for what no depth explains: holes of shiny things, backgrounds out of range.

They let the fit explain the colours there instead of bending the measured surfaces. numpy and scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from point2act.geometry import back_project, inside, project
from point2act.splat.surfels import Surfels, join, usable_depth, votes
from point2act.types import View

_RIM_SHARE = 0.9
"""Quantile of the depths around a hole that counts as the farthest of them; one stray may be farther."""


def fill_holes(
    surfels: Surfels, views: Sequence[View], *, budget: int, tolerance: float, rng: np.random.Generator
) -> tuple[Surfels, Float[np.ndarray, " n"]]:
    """Surfels along the rays that meet no surfel and have no depth, and the width each has to cover.

    Each view is looked at in cells, as many as the budget. Where a patch of empty cells is surrounded by
    surfels, it is put at the farthest of their depths: what is seen through a hole may stand behind it,
    and nothing must appear in the free space before it. Surfels that another view looks through
    (``tolerance`` as in :func:`point2act.splat.surfels.votes`) are dropped.
    """
    parts, widths, known = [], [], surfels.points
    for view in views:
        part, width = _fill_view(known, view, budget)
        parts.append(part)
        widths.append(width)
        known = np.concatenate([known, part.points])
    filled, width = join(parts), np.concatenate([np.zeros(0), *widths])
    _, crossed = votes(filled.points, views, tolerance)
    (chosen,) = np.nonzero(crossed == 0)
    if len(chosen) > budget:
        width = width * math.sqrt(len(chosen) / max(budget, 1))
        chosen = np.sort(rng.choice(chosen, budget, replace=False))
    return filled[chosen], width[chosen]


def _fill_view(
    known: Float[np.ndarray, "n 3"], view: View, budget: int
) -> tuple[Surfels, Float[np.ndarray, " m"]]:
    camera = view.camera
    side = max(1, round(math.sqrt(camera.height * camera.width / max(budget, 1))))
    depth = _nearest_in_cells(known, view, side)
    allowed = np.ones(view.rgb.shape[:2]) if view.mask is None else view.mask.astype(float)
    blank = (_means_of_cells(usable_depth(view) > 0, side) < 0.5) & (_means_of_cells(allowed, side) > 0.5)
    rows, columns, z = _behind_holes(depth, blank & (depth == 0))
    color = _means_of_cells(view.rgb * allowed[..., None], side)[rows, columns]
    color = color / np.maximum(_means_of_cells(allowed, side)[rows, columns], 1e-12)[:, None]
    pixels = np.stack(
        [
            np.minimum((columns + 0.5) * side, camera.width - 0.5),
            np.minimum((rows + 0.5) * side, camera.height - 0.5),
        ],
        axis=1,
    )
    points = back_project(camera, view.T_world_cam, pixels, z)
    normals = np.tile(-view.T_world_cam[:3, 2], (len(points), 1))
    return Surfels(points, normals, color / 255.0), side * z / camera.fx


def _nearest_in_cells(
    points: Float[np.ndarray, "n 3"], view: View, side: int
) -> Float[np.ndarray, "rows columns"]:
    """The z-depth of the nearest point in each cell of ``side`` pixels, 0 where there is none."""
    camera = view.camera
    pixels, z = project(camera, view.T_world_cam, points)
    seen = (z > 0) & inside(camera, pixels)
    columns, rows = (pixels[seen] // side).astype(int).T
    nearest = np.full((-(-camera.height // side), -(-camera.width // side)), np.inf)
    np.minimum.at(nearest, (rows, columns), z[seen])
    return np.where(np.isfinite(nearest), nearest, 0.0)


def _means_of_cells(image: np.ndarray, side: int) -> Float[np.ndarray, "rows columns *c"]:
    """Means over cells of ``side`` pixels; those at the right and lower border may be smaller."""
    rows, columns = (np.arange(0, size, side) for size in image.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(image.astype(float), rows, axis=0), columns, axis=1)
    heights, widths = (np.minimum(side, size - np.arange(0, size, side)) for size in image.shape[:2])
    areas = heights[:, None] * widths[None, :]
    return sums / areas.reshape(areas.shape + (1,) * (image.ndim - 2))


def _behind_holes(
    depth: Float[np.ndarray, "rows columns"], holes: Bool[np.ndarray, "rows columns"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Rows, columns and depths of the hole cells; holes without any surroundings are left out."""
    labels, count = ndimage.label(holes, np.ones((3, 3)))
    far = np.zeros(count + 1)
    for index, window in enumerate(ndimage.find_objects(labels), start=1):
        wider = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in window)
        rim = ndimage.binary_dilation(labels[wider] == index, np.ones((3, 3))) & (depth[wider] > 0)
        if rim.any():
            far[index] = np.quantile(depth[wider][rim], _RIM_SHARE)
    rows, columns = np.nonzero(far[labels] > 0)
    return rows, columns, far[labels[rows, columns]]
