"""What is tracked: the surface of one rigid thing, and the place on it that was named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation, distance_transform_edt
from scipy.spatial import KDTree

from point2act.acting.tracking.frame import TrackedFrame
from point2act.acting.tracking.surface import Surface
from point2act.core.geometry import pixel_centers
from point2act.core.types import View
from point2act.localization.part_tree import Parts
from point2act.localization.segmentation import segment_view
from point2act.pipeline.image_input import Pixel, nearest_reading

# Largest extent of what is tracked as one rigid piece, metres: what one gripper moves. Chosen: larger
# branches of the tree of parts often join things that stand beside one another.
_MAX_EXTENT = 0.15
# Radius of what is tracked about a place on a plane, metres. Chosen.
_PATCH = 0.02
# Largest distance of a pixel from the sampled points of its part, as a fraction of its depth.
_NEAR = 0.01
_MAX_POINTS = 1500
"""Largest number of points of a thing: more are slower and no better."""
_MAX_BESIDE = 400
"""Largest number of points beside it."""
# Width of the ring about a thing that shows what is behind it, as a fraction of the image's width.
_RING = 0.02


@dataclass(frozen=True, eq=False)
class Thing:
    """The surface of one rigid thing, in the frame of the camera that saw it first, metres."""

    name: str
    surface: Surface
    """What is seen of it."""
    beside: Surface
    """Points beyond its outline, where its surface would go on if it were larger."""
    middle: Float[np.ndarray, " 3"]
    """The place that is reported: beneath the named surface point, in the middle of the thing."""


def thing_at(view: View, pixel: Pixel, name: str = "thing", parts: Parts | None = None) -> Thing:
    """Find the thing that a pixel shows.

    It is the largest part of the tree of parts that contains the pixel and is no larger than 15 cm; on a
    table, what is within 2 cm.

    Args:
        view: A view with depth, metres; its pose is not used.
        pixel: ``(x, y)`` in the view.
        name: Its name.
        parts: ``segment_view(view)``, if it is known.

    Raises:
        PointsError: The pixel is outside the image, or has no depth near it.
    """
    reading = nearest_reading(view, np.asarray(pixel, float), f"the click {pixel[0]:g},{pixel[1]:g}")
    frame = TrackedFrame.of(view)
    parts = segment_view(view) if parts is None else parts
    (named,) = frame.points(np.array([pixel], float), np.array([reading]))
    return _thing(frame, _mask(frame, parts, named), named, name)


def thing_of(view: View, points: Float[np.ndarray, "n 3"], pixel: Pixel, name: str = "thing") -> Thing:
    """Return the thing whose surface points are known.

    Args:
        view: A view with depth, metres; its pose is not used.
        points: Points all over the surface, camera frame, metres.
        pixel: ``(x, y)`` of the place on it that is named, in the view.
        name: Its name.

    Raises:
        PointsError: The pixel is outside the image, or has no depth near it.
    """
    reading = nearest_reading(view, np.asarray(pixel, float), f"the {name}")
    frame = TrackedFrame.of(view)
    (named,) = frame.points(np.array([pixel], float), np.array([reading]))
    pixels = pixel_centers(*frame.depth.shape).reshape(-1, 2)
    own, _ = KDTree(points).query(
        frame.points(pixels, frame.depth.reshape(-1)), distance_upper_bound=_NEAR * reading
    )
    mask = np.isfinite(own) & (frame.depth.reshape(-1) > 0)
    return _thing(frame, mask.reshape(frame.depth.shape), named, name)


def _thing(
    frame: TrackedFrame, mask: Bool[np.ndarray, "h w"], named: Float[np.ndarray, " 3"], name: str
) -> Thing:
    """Return the thing that a mask shows."""
    rows = np.flatnonzero(mask)
    rows = rows[:: max(1, len(rows) // _MAX_POINTS)]
    pixels = pixel_centers(*mask.shape).reshape(-1, 2)
    depth, colors = frame.depth.reshape(-1), frame.rgb.reshape(-1, 3)
    beyond, edge = _beyond(mask)
    return Thing(
        name,
        Surface(frame.points(pixels[rows], depth[rows]), colors[rows]),
        Surface(frame.points(pixels[beyond], depth[edge]), colors[edge]),
        _middle(frame, mask, named),
    )


def _mask(frame: TrackedFrame, parts: Parts, named: Float[np.ndarray, " 3"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels with depth that show the thing at a surface point."""
    members = _members(parts, named)
    low, high = parts.points[members].min(axis=0), parts.points[members].max(axis=0)
    pixels = pixel_centers(*frame.depth.shape).reshape(-1, 2)
    points = frame.points(pixels, frame.depth.reshape(-1))
    reach = _NEAR * named[2]
    near = np.flatnonzero(
        (frame.depth.reshape(-1) > 0) & ((points > low - reach) & (points < high + reach)).all(axis=1)
    )
    others = np.setdiff1d(np.arange(len(parts.points)), members)
    own, _ = KDTree(parts.points[members]).query(points[near])
    rest = KDTree(parts.points[others]).query(points[near])[0] if len(others) else np.inf
    mask = np.zeros(frame.depth.size, dtype=bool)
    mask[near[(own < reach) & (own <= rest)]] = True
    return mask.reshape(frame.depth.shape)


def _members(parts: Parts, named: Float[np.ndarray, " 3"]) -> Int[np.ndarray, " m"]:
    """Return the points of the thing at a surface point."""
    away = np.linalg.norm(parts.points - named, axis=1)
    nearest = int(away.argmin())
    patch = np.flatnonzero(away <= max(_PATCH, away[nearest]))
    if not parts.things[nearest]:
        return patch
    fitting = [
        members
        for members in map(parts.members, range(len(parts)))
        if nearest in members and np.ptp(parts.points[members], axis=0).max() <= _MAX_EXTENT
    ]
    return max(fitting, key=len, default=patch)


def _beyond(mask: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return pixels beyond the outline of a mask, and the nearest pixel of the mask to each."""
    nearest = np.asarray(distance_transform_edt(~mask, return_distances=False, return_indices=True))
    rows, columns = np.indices(mask.shape)
    away = np.hypot(rows - nearest[0], columns - nearest[1])
    width = _RING * mask.shape[1]
    beyond = np.flatnonzero((away > width / 2) & (away <= width))
    beyond = beyond[:: max(1, len(beyond) // _MAX_BESIDE)]
    row, column = nearest.reshape(2, -1)[:, beyond]
    return beyond, row * mask.shape[1] + column


def _middle(
    frame: TrackedFrame, mask: Bool[np.ndarray, "h w"], named: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"]:
    """Return the point halfway from the surface to what is behind the thing.

    A place on the surface of a ball that rolls turns away from the camera; one in its middle does not. The
    way back is half of the smaller of two lengths: the depth of what is around the thing in the image beyond
    that of the named point, and the thing's smaller width in the image.
    """
    ring = binary_dilation(mask, iterations=max(1, round(_RING * mask.shape[1]))) & ~mask & (frame.depth > 0)
    behind = np.median(frame.depth[ring]) - named[2] if ring.any() else 0.0
    row, column = np.nonzero(mask)
    width = 0.0
    if len(row) > 2:
        # A disc of radius r has a standard deviation of r / 2 along each axis.
        spread = np.linalg.eigvalsh(np.cov(np.stack([column, row])))[0]
        width = 4 * float(np.sqrt(max(spread, 0.0))) * named[2] / frame.camera.fx
    back = np.clip(behind, 0.0, width) / 2
    return named * (1 + back / named[2])
