"""Triangulation of world points from pixels in several photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.geometry import from_tangents, line_intersection_equations, project
from point2act.core.types import Frame
from point2act.data.capture.distortion import ray_tangents

_NARROW = np.cos(np.radians(2.0))
"""Cosine of the smallest angle between rays: below one or two degrees depth is undetermined. Chosen."""

_MAX_ERROR = 0.01
"""Largest RMS reprojection error in longer image sides, for marks that a person set. Chosen."""


@dataclass(frozen=True, eq=False)
class Observation:
    """A pixel of a distorted image that shows a point."""

    frame: Frame
    pixel: tuple[float, float]


def triangulate_point(observations: Sequence[Observation], what: str) -> Float[np.ndarray, " 3"]:
    """Return the point nearest to the rays of two observations or more, by least squares.

    Raises ``CaptureError``, which calls the point ``what``, for rays that are nearly parallel or do not meet.
    """
    origins = np.array([observation.frame.T_world_cam[:3, 3] for observation in observations])
    tangents = [ray_tangents(o.frame.camera, o.frame.lens, np.array([o.pixel]))[0] for o in observations]
    rays = np.array(
        [o.frame.T_world_cam[:3, :3] @ [*xy, 1.0] for o, xy in zip(observations, tangents, strict=True)]
    )
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    if len(rays) < 2 or (rays @ rays.T).min() > _NARROW:
        raise CaptureError(
            f"{what} is marked from one direction only ({len(rays)} photographs): mark it in others, "
            "taken from different sides"
        )
    point = np.linalg.solve(*line_intersection_equations(origins, rays))
    errors = [_reprojection_error(o, xy, point) for o, xy in zip(observations, tangents, strict=True)]
    if np.sqrt(np.mean(np.square(errors))) > _MAX_ERROR:
        raise CaptureError(
            f"{what} is not one point: its marks in {len(observations)} photographs do not meet, "
            f"least of all in {observations[int(np.argmax(errors))].frame.name}: mark the same spot in each"
        )
    return point


def _reprojection_error(
    observation: Observation, tangent: Float[np.ndarray, " 2"], point: Float[np.ndarray, " 3"]
) -> float:
    """Return the distance in longer image sides, infinite behind the camera."""
    camera = observation.frame.camera
    pixels, depth = project(camera, observation.frame.T_world_cam, point[None])
    error = np.linalg.norm(pixels[0] - from_tangents(camera, tangent[None])[0]) if depth[0] > 0 else np.inf
    return float(error) / max(camera.height, camera.width)
