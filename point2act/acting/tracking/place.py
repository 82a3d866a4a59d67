"""The place where a thing stands, by its depth alone: shadows and lights do not change it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation, maximum_filter, median, minimum_filter

from point2act.core.geometry import (
    at_pixels,
    back_project,
    inside,
    pixel_centers,
    project,
)
from point2act.core.types import View

# Side of the cells whose median depth is compared, pixels, and their smallest number of pixels: noise of
# single pixels may be larger than a coaster is thick. Chosen.
_CELL, _MIN_OF_CELL = 8, 12
# Largest difference of it on a surface that is unchanged, as a fraction of the depth. Chosen.
_TOLERANCE = 0.003
# Difference from which on something nearer hides a point, as a fraction of its depth. Chosen.
_HIDES = 0.01
# Range of the depth of neighbouring pixels from which on they are at an edge: there it is unsteady. Chosen.
_EDGE = 0.02
# Width of the surroundings along which a thing would move, as a fraction of the image's width. Chosen.
_RING = 0.02
# A motion along its surroundings that must change a place, metres: else depth does not show where it is.
# Chosen.
_SHIFT = 0.02
# Smallest share of a place that is seen, and smallest share of it that is unchanged. Chosen: where a disc has
# moved by an eighth of its width, a sixth of its place is changed.
_SEEN, _UNCHANGED = 0.3, 0.9
_MIN_PIXELS = 30


@dataclass(frozen=True, eq=False)
class Place:
    """Surface points of a thing where it stands.

    What is around it does not count: something else may leave or come there.
    """

    points: Float[np.ndarray, "n 3"]
    """World frame, metres."""
    cells: Int[np.ndarray, " n"]
    """For every point, the number of its cell of the image."""

    def is_unchanged(self, view: View) -> bool:
        """Return whether a view shows enough of the place, and shows it as it was.

        Args:
            view: A view with depth.
        """
        assert view.depth is not None
        pixels, depth = project(view.camera, view.T_world_cam, self.points)
        reading = np.where(inside(view.camera, pixels), at_pixels(view.depth, pixels), 0.0)
        beyond = (reading - depth) / depth
        seen = (reading > 0) & (beyond > -_HIDES)
        if seen.mean() < _SEEN:
            return False
        change = median(beyond[seen], self.cells[seen], np.unique(self.cells[seen]))
        return bool((np.abs(change) < _TOLERANCE).mean() >= _UNCHANGED)


def place_of(view: View, points: Float[np.ndarray, "n 3"]) -> Place | None:
    """Return the place of a thing; None if its depth does not stand out, as that of a sheet of paper.

    Args:
        view: A view with depth that shows the thing.
        points: Surface points of the thing, world, metres.
    """
    assert view.depth is not None
    steady = (view.depth > 0) & ~_at_edges(view.depth)
    mask = _mask(view, points)
    around = binary_dilation(mask, iterations=max(1, round(_RING * mask.shape[1])))
    on_thing, ring = mask & steady, _surface(view, around & ~mask & steady)
    if min(on_thing.sum(), len(ring)) < _MIN_PIXELS:
        return None
    row, column = np.nonzero(on_thing)
    _, cells, sizes = np.unique(
        row // _CELL * view.camera.width + column // _CELL, return_inverse=True, return_counts=True
    )
    enough = sizes[cells] >= _MIN_OF_CELL
    if not enough.any():
        return None
    place = Place(_surface(view, on_thing)[enough], cells[enough])
    return place if _is_distinct(place, ring, view) else None


def _is_distinct(place: Place, ring: Float[np.ndarray, "n 3"], view: View) -> bool:
    """Return whether a view would show that a place has moved along the plane of what is around the thing."""
    along = np.linalg.svd(ring - ring.mean(axis=0), full_matrices=False)[2][:2]
    shifts = _SHIFT * np.vstack([along, -along])
    return not any(replace(place, points=place.points + shift).is_unchanged(view) for shift in shifts)


def _mask(view: View, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that points are projected to, and those between them."""
    pixels, depth = project(view.camera, view.T_world_cam, points)
    column, row = pixels[inside(view.camera, pixels) & (depth > 0)].astype(int).T
    mask = np.zeros((view.camera.height, view.camera.width), dtype=bool)
    mask[row, column] = True
    return binary_dilation(mask, iterations=2)


def _at_edges(depth: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    return maximum_filter(depth, 3) - minimum_filter(depth, 3) > _EDGE * depth


def _surface(view: View, mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n 3"]:
    assert view.depth is not None
    pixels = pixel_centers(*mask.shape)[mask]
    return back_project(view.camera, view.T_world_cam, pixels, view.depth[mask].astype(float))
