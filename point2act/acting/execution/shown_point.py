"""What an image shows where an answer points, and whether it shows what was meant before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.errors import PointsError
from point2act.core.geometry import at_pixels, back_project, box_points, distance_to_box, inside, project
from point2act.core.types import OrientedBox, View
from point2act.pipeline.image_input import nearest_reading

# Number of points of a ray whose distance from a region is computed. Chosen: 1 cm apart.
_ON_RAY = 100
# Number of points along each side of a box, share of them that is hidden of a hidden box, and distance from
# which on what is in front of it hides it, metres. Chosen: noise of depth.
_ALONG, _HIDDEN, _IN_FRONT = 5, 0.8, 0.01
# Distance from an answer within which what stands in front is meant, as a fraction of the image's width: a
# model that misses a thin thing by its scatter points at what is behind. Between them are at least these
# metres. Chosen.
_MISSED, _BEHIND = 0.01, 0.03
# Smallest number of pixels of what stands in front: single ones are noise. Chosen.
_MIN_PIXELS = 4


@dataclass(frozen=True, eq=False)
class ShownPoint:
    """What the camera shows at the pixel of an answer, base frame, metres."""

    camera: Float[np.ndarray, " 3"]
    """The centre of the camera."""
    place: Float[np.ndarray, " 3"]
    """The surface point."""
    region_hidden: bool
    """Whether something hides the region that the query is taken to mean in the image."""

    def passes(self, box: OrientedBox, reach: float) -> bool:
        """Return whether the ray to the point passes a box within a distance, metres."""
        ray = np.linspace(self.camera, self.place, _ON_RAY)
        return bool(distance_to_box(ray, box).min() <= reach)


def shown_point(view: View, pixel: Float[np.ndarray, " 2"], region_hidden: bool) -> ShownPoint | None:
    """Return the surface point that an answer means; None without depth there, as on the arm.

    Args:
        view: A view with depth, 0 where it is unknown.
        pixel: The answer.
        region_hidden: See ``ShownPoint``.
    """
    try:
        depth = nearest_reading(view, pixel, "the answer")
    except PointsError:
        return None
    pixel, depth = _in_front(view, pixel, depth)
    place = back_project(view.camera, view.T_world_cam, pixel[None], np.array([depth]))[0]
    return ShownPoint(view.T_world_cam[:3, 3], place, region_hidden)


def _in_front(
    view: View, pixel: Float[np.ndarray, " 2"], depth: float
) -> tuple[Float[np.ndarray, " 2"], float]:
    """Return the pixel and depth of what stands in front beside an answer, or those of the answer."""
    assert view.depth is not None
    row, column = np.nonzero((view.depth > 0) & (view.depth < depth - _BEHIND))
    away = np.hypot(column + 0.5 - pixel[0], row + 0.5 - pixel[1])
    if (away <= _MISSED * view.camera.width).sum() < _MIN_PIXELS:
        return pixel, depth
    first = int(away.argmin())
    found = np.array([column[first], row[first]]) + 0.5
    return found, float(view.depth[row[first], column[first]])


def is_hidden(view: View, box: OrientedBox) -> bool:
    """Return whether something in front of all of a box hides it, or the view does not reach it.

    A view of nothing at the box does not: what was there has left.

    Args:
        view: A view with depth, 0 where it is unknown or on the arm.
        box: A box in the frame of the view's pose, metres.
    """
    assert view.depth is not None
    pixels, depth = project(view.camera, view.T_world_cam, box_points(box, _ALONG))
    reached = inside(view.camera, pixels) & (depth > 0)
    reading = np.where(reached, at_pixels(view.depth, pixels), 0.0)
    # The arm's depth is left out of the image: what is unknown may be behind it.
    return float((reading < depth.min() - _IN_FRONT).mean()) >= _HIDDEN
