"""The simplest ways to follow a click: a pixel carried by the flow, and the peak of its colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float

from point2act.acting.tracking.frame import TrackedFrame, optical_flow
from point2act.acting.tracking.thing import Thing
from point2act.core.types import View


def follow_flow(views: Sequence[View], thing: Thing, click: tuple[float, float]) -> Float[np.ndarray, "n 3"]:
    """Carry the clicked pixel along with dense optical flow; the depth read there gives its place.

    Args:
        views: All frames.
        thing: Not used: the pixel is all that this way knows.
        click: Pixel of the first frame.

    Returns:
        The place in each frame, camera frame, metres; the last known one where there is no reading.
    """
    del thing
    frames = [TrackedFrame.of(view) for view in views]
    pixel = np.array(click)
    places = [_place(frames[0], pixel, np.zeros(3))]
    for before, now in pairwise(frames):
        size = np.array([now.camera.width, now.camera.height]) - 0.51
        column, row = np.clip(pixel, 0.0, size).astype(int)
        pixel = np.clip(pixel + optical_flow(before, now).motion[row, column], 0.0, size)
        places.append(_place(now, pixel, places[-1]))
    return np.array(places)


def follow_color(views: Sequence[View], thing: Thing, click: tuple[float, float]) -> Float[np.ndarray, "n 3"]:
    """Follow the colours of the thing by mean shift over their likelihood (Comaniciu et al. 2000; OpenCV).

    Args:
        views: All frames.
        thing: The thing, for its colours and its extent in the first frame.
        click: Pixel of the first frame.

    Returns:
        The place in each frame, camera frame, metres; the last known one where there is no reading.
    """
    first = TrackedFrame.of(views[0])
    pixels = first.pixels(thing.surface.points)
    hue = cv2.cvtColor(thing.surface.colors[None], cv2.COLOR_RGB2HSV)
    histogram = cv2.calcHist([hue], [0, 1], None, [30, 16], [0, 180, 0, 256])
    cv2.normalize(histogram, histogram, 0, 255, cv2.NORM_MINMAX)
    low, size = pixels.min(axis=0), np.maximum(np.ptp(pixels, axis=0), 4)
    window = (int(low[0]), int(low[1]), int(size[0]), int(size[1]))
    offset = np.array(click) - (low + size / 2)
    places = [_place(first, np.array(click), np.zeros(3))]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1)
    for view in views[1:]:
        frame = TrackedFrame.of(view)
        image = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2HSV)
        likely = cv2.calcBackProject([image], [0, 1], histogram, [0, 180, 0, 256], 1)
        _, window = cv2.meanShift(likely, window, stop)
        middle = np.array([window[0] + window[2] / 2, window[1] + window[3] / 2])
        places.append(_place(frame, middle + offset, places[-1]))
    return np.array(places)


def _place(
    frame: TrackedFrame, pixel: Float[np.ndarray, " 2"], last: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"]:
    reading = frame.readings(pixel[None])
    return frame.points(pixel[None], reading)[0] if reading[0] > 0 else last
