"""How long a metre is in photographs: a known distance, or printed markers of a known size."""

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
"""Examples of what ``--scale-from`` takes."""

_SPREAD = 0.1
"""Relative. Chosen: sides of printed squares that differ by more are not all of the size that was said."""

_FLAT = 0.1
"""Of a side. Chosen: markers lie in a plane if their corners leave it by less, root mean square."""

_PIXEL = re.compile(r"(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class MarkedPair:
    """Two points in one photograph, pixels of the original as a viewer shows it."""

    photo: str
    first: tuple[float, float]
    second: tuple[float, float]


@dataclass(frozen=True)
class KnownDistance:
    """Two points that are so many metres apart."""

    metres: float
    marks: tuple[MarkedPair, ...]


@dataclass(frozen=True)
class PrintedMarkers:
    """Printed ArUco or AprilTag markers, all of one size."""

    dictionary: str
    """OpenCV's name without ``DICT_``: ``4X4_50``, ``APRILTAG_36h11``."""
    side: float
    """Of the black square, metres."""


@dataclass(frozen=True, eq=False)
class MetricScale:
    """The unit of a structure in metres, and what else its reference tells."""

    metres: float
    """For one unit."""
    spread: float | None = None
    """Relative standard deviation of several lengths; None for a single one."""
    T_structure_board: Float[np.ndarray, "4 4"] | None = None
    """The plane that markers lie in: +z towards the cameras, origin and x those of the first marker."""


def parse_scale(text: str) -> KnownDistance | PrintedMarkers:
    """Read ``aruco:DICTIONARY:SIDE`` or ``distance:METRES:PHOTO:x,y:x,y:PHOTO:x,y:x,y…``.

    Raises ``CaptureError`` with an example for anything else.
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
        raise CaptureError(f"--scale-from: {text!r} is no pixel: write x,y as in {EXAMPLES}")
    return float(match[1]), float(match[2])


def check_marked_photos(known: KnownDistance, photos: Collection[str]) -> None:
    """Raise ``CaptureError`` where a distance is marked in a photograph that is none of these."""
    unknown = [mark.photo for mark in known.marks if mark.photo not in photos]
    if unknown:
        raise CaptureError(
            f"--scale-from: {unknown[0]} is not among the {len(photos)} photographs that can be used: mark "
            "the points in others"
        )


def scale_from_distance(structure: SfmModel, known: KnownDistance) -> MetricScale:
    """The scale from two points that were marked in two photographs or more.

    Raises ``CaptureError`` for photographs that were not placed and for marks that do not meet.
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
    """The scale, and the plane, from the corners of markers that two photographs or more show.

    ``seen`` has for every photograph the markers in it by number, corners in OpenCV's order (clockwise from
    the marker's upper left). A marker whose corners do not meet is left out. Raises ``CaptureError``
    where none is left, and where sides differ.
    """
    squares = {}
    for number in sorted({number for _, found in seen for number in found}):
        sightings = [(frame, found[number]) for frame, found in seen if number in found]
        # One that was mistaken for another, or printed twice.
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
    if spread > _SPREAD:
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
    """The frame of the plane through all corners; None where they lie in none."""
    points = corners.reshape(-1, 3)
    _, lengths, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    if lengths[2] / np.sqrt(len(points)) > _FLAT * side:
        return None
    z = axes[2] if (eyes.mean(axis=0) - points.mean(axis=0)) @ axes[2] > 0 else -axes[2]
    return frame_from_axes(corners[0].mean(axis=0), z, corners[0, 1] - corners[0, 0])
