"""Surfels where nothing was measured: holes of shiny surfaces, distant backgrounds, scenes without depth.

They let the fit explain the colours there without deforming the measured surfaces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from point2act.core.errors import SceneError
from point2act.core.geometry import back_project, inside, line_intersection_equations, project
from point2act.core.types import View
from point2act.splatting.surfels import Surfels, concatenate, count_votes, spacing, usable_depth

_RIM_QUANTILE = 0.9
"""Quantile of the depths around a hole that is taken as the farthest, robust to outliers."""
_PARALLEL = 1e-3
"""Mean squared sine between the optical axes below which they count as parallel: a spread of 2 degrees."""


def fill_holes(
    surfels: Surfels, views: Sequence[View], *, budget: int, tolerance: float, rng: np.random.Generator
) -> tuple[Surfels, Float[np.ndarray, " n"]]:
    """Return surfels on rays without depth that meet no surfel, and the width that each has to cover.

    Each view is divided into about ``budget`` cells. A connected patch of empty cells is placed at the
    farthest depth around it: what is seen through a hole may be behind it, and nothing must appear in the
    free space before it. Surfels that another view contradicts (``tolerance`` as in ``count_votes``) are
    dropped.
    """
    parts, widths, known = [], [], surfels.points
    for view in views:
        part, width = _fill_view(known, view, budget)
        parts.append(part)
        widths.append(width)
        known = np.concatenate([known, part.points])
    filled, width = concatenate(parts), np.concatenate([np.zeros(0), *widths])
    _, crossed = count_votes(filled.points, views, tolerance)
    (chosen,) = np.nonzero(crossed == 0)
    if len(chosen) > budget:
        width = width * math.sqrt(len(chosen) / max(budget, 1))
        chosen = np.sort(rng.choice(chosen, budget, replace=False))
    return filled[chosen], width[chosen]


def random_surfels(views: Sequence[View], count: int, rng: np.random.Generator) -> Surfels:
    """Return points on the rays of random pixels, with their colours, around the point that cameras look at.

    Raises:
        SceneError: If the masks exclude every pixel.
    """
    allowed = [_allowed_pixels(view) for view in views]
    total = sum(len(pixels) for pixels in allowed)
    if total == 0:
        raise SceneError("the masks exclude every pixel of every view: fix or remove them")
    counts = rng.multinomial(count, [len(pixels) / total for pixels in allowed])
    parts = []
    for view, pixels, share, depth in zip(views, allowed, counts, _focus_depths(views), strict=True):
        rows, columns = (
            np.divmod(rng.choice(pixels, share), view.rgb.shape[1]) if share else (pixels[:0],) * 2
        )
        z = depth * 2.0 ** rng.uniform(-1.0, 1.0, share)
        uv = np.stack([columns, rows], axis=1) + rng.uniform(0.0, 1.0, (share, 2))
        points = back_project(view.camera, view.T_world_cam, uv, z)
        parts.append(Surfels(points, _facing(view, len(points)), view.rgb[rows, columns] / 255.0))
    return concatenate(parts)


def _allowed_pixels(view: View) -> Int[np.ndarray, " n"]:
    allowed = np.ones(view.rgb.shape[:2], dtype=bool) if view.mask is None else view.mask
    return np.flatnonzero(allowed)


def _focus_depths(views: Sequence[View]) -> list[float]:
    """Return the depth in each view of the point nearest to all optical axes.

    If the axes are parallel or the point is behind a camera, the depth is ten times the distance between
    neighbouring cameras, or one unit of length if that is unknown or zero.
    """
    eyes = np.array([view.T_world_cam[:3, 3] for view in views])
    axes = np.array([view.T_world_cam[:3, 2] for view in views])
    baseline = float(np.median(spacing(eyes, neighbours=1)))
    usual = 10.0 * baseline if 0.0 < baseline < np.inf else 1.0
    matrix, right = line_intersection_equations(eyes, axes)
    if np.linalg.eigvalsh(matrix)[0] < _PARALLEL:
        return [usual] * len(views)
    depths = np.einsum("ni,ni->n", axes, np.linalg.solve(matrix, right) - eyes)
    return [float(depth) if depth > 0 else usual for depth in depths]


def _facing(view: View, count: int) -> Float[np.ndarray, "n 3"]:
    """Return normals towards the camera."""
    return np.tile(-view.T_world_cam[:3, 2], (count, 1))


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
    return Surfels(points, _facing(view, len(points)), color / 255.0), side * z / camera.fx


def _nearest_in_cells(
    points: Float[np.ndarray, "n 3"], view: View, side: int
) -> Float[np.ndarray, "rows columns"]:
    """Return the z-depth of the nearest point in each cell of ``side`` pixels, 0 without any."""
    camera = view.camera
    pixels, z = project(camera, view.T_world_cam, points)
    seen = (z > 0) & inside(camera, pixels)
    columns, rows = (pixels[seen] // side).astype(int).T
    nearest = np.full((-(-camera.height // side), -(-camera.width // side)), np.inf)
    np.minimum.at(nearest, (rows, columns), z[seen])
    return np.where(np.isfinite(nearest), nearest, 0.0)


def _means_of_cells(image: np.ndarray, side: int) -> Float[np.ndarray, "rows columns *c"]:
    """Return means over cells of ``side`` pixels; cells at the right and lower border may be smaller."""
    rows, columns = (np.arange(0, size, side) for size in image.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(image.astype(float), rows, axis=0), columns, axis=1)
    heights, widths = (np.minimum(side, size - np.arange(0, size, side)) for size in image.shape[:2])
    areas = heights[:, None] * widths[None, :]
    return sums / areas.reshape(areas.shape + (1,) * (image.ndim - 2))


def _behind_holes(
    depth: Float[np.ndarray, "rows columns"], holes: Bool[np.ndarray, "rows columns"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return rows, columns and depths of the hole cells; holes without surroundings are left out."""
    labels = np.zeros(holes.shape, dtype=np.int64)
    ndimage.label(holes, np.ones((3, 3)), output=labels)
    far = np.zeros(labels.max(initial=0) + 1)
    for index, window in enumerate(ndimage.find_objects(labels), start=1):
        wider = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in window)
        around = np.asarray(ndimage.binary_dilation(labels[wider] == index, np.ones((3, 3))), dtype=bool)
        rim = depth[wider][around & (depth[wider] > 0)]
        if len(rim):
            far[index] = np.quantile(rim, _RIM_QUANTILE)
    rows, columns = np.nonzero(far[labels] > 0)
    return rows, columns, far[labels[rows, columns]]
