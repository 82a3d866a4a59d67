"""Points of the world from pixels of several photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.geometry import line_intersection_equations, project, to_tangents
from point2act.core.types import Frame
from point2act.data.capture import distortion

_NARROW = np.cos(np.radians(2.0))
"""Chosen: rays of one degree or two meet anywhere along themselves."""

_MISS = 0.01
"""Of the longer side, root mean square. Chosen: ten pixels in a thousand is more than an unsteady hand."""


@dataclass(frozen=True, eq=False)
class Observation:
    """Where a photograph shows a point; the pixel is of the picture as the lens drew it."""

    frame: Frame
    pixel: tuple[float, float]


def triangulate_point(sightings: Sequence[Observation], what: str) -> Float[np.ndarray, " 3"]:
    """The point nearest to the rays of two photographs or more, by least squares, in the unit of their poses.

    ``what`` names it in errors. Raises ``CaptureError`` for rays that nearly coincide or that miss.
    """
    origins = np.array([sighting.frame.T_world_cam[:3, 3] for sighting in sightings])
    tangents = [_undistorted(sighting) for sighting in sightings]
    rays = np.array(
        [
            s.frame.T_world_cam[:3, :3] @ [*tangent, 1.0]
            for s, tangent in zip(sightings, tangents, strict=True)
        ]
    )
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    if len(rays) < 2 or (rays @ rays.T).min() > _NARROW:
        raise CaptureError(
            f"{what} is marked from one direction only ({len(rays)} photographs): mark it in others, "
            "taken from different sides"
        )
    point = np.linalg.solve(*line_intersection_equations(origins, rays))
    _check(sightings, tangents, point, what)
    return point


def _undistorted(sighting: Observation) -> Float[np.ndarray, " 2"]:
    tangent = to_tangents(sighting.frame.camera, np.array([sighting.pixel]))
    if not distortion.is_pinhole(sighting.frame.lens):
        tangent = distortion.undistort(sighting.frame.lens, tangent)
    return tangent[0]


def _check(
    sightings: Sequence[Observation],
    tangents: Sequence[Float[np.ndarray, " 2"]],
    point: Float[np.ndarray, " 3"],
    what: str,
) -> None:
    misses = []
    for sighting, tangent in zip(sightings, tangents, strict=True):
        camera = sighting.frame.camera
        pixels, depth = project(camera, sighting.frame.T_world_cam, point[None])
        there = tangent * [camera.fx, camera.fy] + [camera.cx, camera.cy]
        miss = np.linalg.norm(pixels[0] - there) if depth[0] > 0 else np.inf
        misses.append(miss / max(camera.height, camera.width))
    if np.sqrt(np.mean(np.square(misses))) > _MISS:
        worst = int(np.argmax(misses))
        raise CaptureError(
            f"{what} is not one point: its marks in {len(sightings)} photographs do not meet, least of all "
            f"in {sightings[worst].frame.name}: mark the same spot in each"
        )
