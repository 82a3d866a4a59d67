"""Metric scale of a reconstruction from a known distance or from printed markers of known size."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.geometry import frame_from_axes
from point2act.core.types import Frame
from point2act.data.capture.validators import positive
from point2act.data.importers.sfm import SfmModel
from point2act.data.importers.triangulation import Observation, triangulate_point

EXAMPLES = "aruco:4X4_50:0.04, or distance:0.31:a.jpg:412,233:518,240:b.jpg:80,300:190,310"
"""Examples of values of ``--scale-from``."""

_MAX_SPREAD = 0.1
"""Largest relative standard deviation of the measured sides of markers of one size. Chosen."""

_FLAT = 0.1
"""Largest RMS distance of corners from the common plane of markers, in sides. Chosen."""

_PIXEL = re.compile(r"(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class MarkedPair:
    """Two points in one photograph, in pixels of the original file turned upright."""

    photo: str
    first: tuple[float, float]
    second: tuple[float, float]


@dataclass(frozen=True)
class KnownDistance:
    """Two points at a known distance."""

    metres: float
    """Distance of the two points, metres."""
    marks: tuple[MarkedPair, ...]


@dataclass(frozen=True)
class PrintedMarkers:
    """Printed ArUco or AprilTag markers, all of one size."""

    dictionary: str
    """OpenCV's name of the dictionary without ``DICT_``, such as ``4X4_50`` or ``APRILTAG_36h11``."""
    side: float
    """Side of the black square, metres."""


@dataclass(frozen=True, eq=False)
class MetricScale:
    """The metric scale of a model, and the plane of the markers."""

    metres: float
    """Metres per unit of the model."""
    spread: float | None = None
    """Relative standard deviation of the measured lengths; None for a single one."""
    T_structure_board: Float[np.ndarray, "4 4"] | None = None
    """Frame of the markers' plane: +z towards the cameras, origin and x of the first marker."""


def parse_scale(text: str) -> KnownDistance | PrintedMarkers:
    """Parse ``aruco:DICTIONARY:SIDE`` or ``distance:METRES:PHOTO:x,y:x,y:PHOTO:x,y:x,y…``.

    Raises ``CaptureError`` with examples for anything else.
    """
    kind, *words = text.split(":")
    if kind == "aruco" and len(words) == 2 and words[0]:
        return PrintedMarkers(words[0], positive(words[1], "--scale-from: the side of a marker in metres"))
    if kind == "distance" and len(words) >= 7 and len(words) % 3 == 1:
        metres = positive(words[0], "--scale-from: the distance in metres")
        names, firsts, seconds = words[1::3], words[2::3], words[3::3]
        marks = zip(names, map(_pixel, firsts), map(_pixel, seconds), strict=True)
        return KnownDistance(metres, tuple(MarkedPair(*mark) for mark in marks))
    raise CaptureError(
        f"--scale-from {text} cannot be read: write something like {EXAMPLES} (two photographs or more)"
    )


def _pixel(text: str) -> tuple[float, float]:
    match = _PIXEL.fullmatch(text)
    if match is None:
        raise CaptureError(f"--scale-from: {text!r} is not a pixel: write x,y as in {EXAMPLES}")
    return float(match[1]), float(match[2])


def check_marked_photos(known: KnownDistance, photos: Collection[str]) -> None:
    """Raise ``CaptureError`` if a distance is marked in a photograph that is not among ``photos``."""
    unknown = [mark.photo for mark in known.marks if mark.photo not in photos]
    if unknown:
        raise CaptureError(
            f"--scale-from: {unknown[0]} is not among the {len(photos)} photographs that can be used: mark "
            "the points in others"
        )


def scale_from_distance(structure: SfmModel, known: KnownDistance) -> MetricScale:
    """Compute the scale from two points that are marked in two photographs or more.

    Raises ``CaptureError`` for photographs without a pose and for marks whose rays do not meet.
    """
    places = {
        photo.name: (frame, photo.scale)
        for frame, photo in zip(structure.frames, structure.photos, strict=True)
    }
    check_marked_photos(known, places)
    seen = [(*places[mark.photo], mark) for mark in known.marks]
    first = [Observation(frame, _scaled(mark.first, scale)) for frame, scale, mark in seen]
    second = [Observation(frame, _scaled(mark.second, scale)) for frame, scale, mark in seen]
    a, b = triangulate_point(first, "the first point"), triangulate_point(second, "the second point")
    distance = positive(np.linalg.norm(a - b), "--scale-from: the distance between the two points")
    return MetricScale(known.metres / distance)


def _scaled(pixel: tuple[float, float], scale: float) -> tuple[float, float]:
    return pixel[0] * scale, pixel[1] * scale


Corners = Float[np.ndarray, "4 2"]


def scale_from_markers(
    seen: Sequence[tuple[Frame, Mapping[int, Corners]]], markers: PrintedMarkers
) -> MetricScale:
    """Compute the scale and the plane from markers that two photographs or more show.

    Args:
        seen: For every photograph its markers by number, corners clockwise from the marker's upper left
            (OpenCV's order); markers whose rays do not meet are ignored.
        markers: Their dictionary and size.

    Raises:
        CaptureError: No marker is left, or their sides differ.
    """
    squares = {}
    for number in sorted({number for _, found in seen for number in found}):
        sightings = [(frame, found[number]) for frame, found in seen if number in found]
        # A marker may be misread, or printed twice.
        with suppress(CaptureError):
            squares[number] = _square(sightings, f"marker {number}")
    if not squares:
        raise CaptureError(
            f"--scale-from: no marker of {markers.dictionary} is seen at one place in two photographs: check "
            "the dictionary, and photograph the markers larger"
        )
    corners = np.array(list(squares.values()))
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    spread = float(sides.std() / sides.mean())
    if spread > _MAX_SPREAD:
        raise CaptureError(
            f"--scale-from: sides of the markers {', '.join(map(str, squares))} differ by "
            f"{100 * spread:.0f} %: print all of one size, each number once, and lay them flat"
        )
    eyes = np.array([frame.T_world_cam[:3, 3] for frame, _ in seen])
    return MetricScale(
        markers.side / float(np.median(sides)), spread, _board(corners, eyes, float(sides.mean()))
    )


def _square(sightings: Sequence[tuple[Frame, Corners]], what: str) -> Float[np.ndarray, "4 3"]:
    corners = [
        [Observation(frame, (float(found[k, 0]), float(found[k, 1]))) for frame, found in sightings]
        for k in range(4)
    ]
    return np.array([triangulate_point(corner, what) for corner in corners])


def _board(
    corners: Float[np.ndarray, "m 4 3"], eyes: Float[np.ndarray, "n 3"], side: float
) -> Float[np.ndarray, "4 4"] | None:
    """Return the frame of the plane through all corners, None if they are not coplanar."""
    points = corners.reshape(-1, 3)
    _, lengths, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    if lengths[2] / np.sqrt(len(points)) > _FLAT * side:
        return None
    z = axes[2] if (eyes.mean(axis=0) - points.mean(axis=0)) @ axes[2] > 0 else -axes[2]
    return frame_from_axes(corners[0].mean(axis=0), z, corners[0, 1] - corners[0, 0])
