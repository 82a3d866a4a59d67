"""Coloured surface points, and how they agree with a frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from point2act.acting.tracking.frame import TrackedFrame
from point2act.core.geometry import at_pixels

# Cube root of the least light in a shadow, relative to that before. Chosen: a tenth of light is indirect.
_DARKEST = 0.45


@dataclass(frozen=True, eq=False)
class Surface:
    """Coloured points, metres."""

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"]

    def every(self, step: int) -> Surface:
        """Return every n-th point."""
        return Surface(self.points[::step], self.colors[::step])

    @cached_property
    def lab(self) -> Float32[np.ndarray, "n 3"]:
        """Colours in CIELAB."""
        return cv2.cvtColor(self.colors[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]


@dataclass(frozen=True)
class Tolerances:
    """Differences of points that agree with a frame."""

    depth: float = 0.02
    """Largest difference of depth, as a fraction of the depth, as errors of sensors are."""
    lightness: float = 25.0
    """Largest difference of lightness (CIELAB): shadows and exposure change it."""
    color: float = 14.0
    """Largest difference of colour without lightness (CIELAB)."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """How points compare with a frame."""

    agree: Bool[np.ndarray, " n"]
    """Points that the frame shows, with their depth and colour."""
    hidden: Bool[np.ndarray, " n"]
    """Points behind what the frame shows, outside it, or without a reading."""
    difference: Float[np.ndarray, "m 3"]
    """Difference of colour of the points that agree in depth, CIELAB."""


def compare(
    points: Float[np.ndarray, "n 3"],
    lab: Float[np.ndarray, "n 3"],
    frame: TrackedFrame,
    tolerances: Tolerances,
) -> Agreement:
    """Compare coloured points with a frame, each with the pixel that it projects to.

    Args:
        points: Points in the camera frame, metres.
        lab: Their colours, CIELAB.
        frame: The frame.
        tolerances: Differences of points that agree.
    """
    near, hidden, difference = _compared(points, lab, frame, tolerances)
    alike = np.abs(difference[:, 0]) < tolerances.lightness
    alike &= np.hypot(difference[:, 1], difference[:, 2]) < tolerances.color
    return Agreement(near & alike, hidden, difference[near])


def shaded(
    points: Float[np.ndarray, "n 3"],
    lab: Float[np.ndarray, "n 3"],
    frame: TrackedFrame,
    tolerances: Tolerances,
) -> Bool[np.ndarray, " n"]:
    """Return which points a frame shows with their depth, and with their colour in a shadow.

    With k times the light XYZ is multiplied by k, and L + 16, a and b by its cube root (CIE 15:2004, but for
    the linear part near black).

    Args:
        points: Points in the camera frame, metres.
        lab: Their colours in the light, CIELAB.
        frame: The frame.
        tolerances: Differences of points that agree.
    """
    near, _, difference = _compared(points, lab, frame, tolerances)
    share = (lab[:, 0] + difference[:, 0] + 16) / np.maximum(lab[:, 0] + 16, 1)
    hue = difference[:, 1:] - (share - 1)[:, None] * lab[:, 1:]
    return near & (share > _DARKEST) & (share < 1) & (np.linalg.norm(hue, axis=1) < tolerances.color)


def _compared(
    points: Float[np.ndarray, "n 3"],
    lab: Float[np.ndarray, "n 3"],
    frame: TrackedFrame,
    tolerances: Tolerances,
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Return which points are at their depth, which are hidden, and how the frame's colours differ."""
    pixels = frame.pixels(points)
    reading, depth = frame.readings(pixels), points[:, 2]
    reach = tolerances.depth * np.abs(depth)
    hidden = (reading == 0) | (depth <= 0) | (reading < depth - reach)
    near = (np.abs(reading - depth) < reach) & ~hidden
    return near, hidden, at_pixels(frame.lab, pixels) - lab
