"""Detection of printed ArUco and AprilTag markers with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError
from point2act.core.types import Frame

_PREFIX = "DICT_"


def open_dictionary(name: str) -> cv2.aruco.Dictionary:
    """Return a dictionary by a name like ``4X4_50``. Raises ``CaptureError``, with all names, if unknown."""
    known = {attribute.lower(): attribute for attribute in dir(cv2.aruco) if attribute.startswith(_PREFIX)}
    found = known.get((_PREFIX + name.upper().removeprefix(_PREFIX)).lower())
    if found is None:
        raise CaptureError(
            f"--scale-from: OpenCV has no markers {name}: use one of "
            f"{', '.join(sorted(attribute.removeprefix(_PREFIX) for attribute in known.values()))}"
        )
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, found))


def find_markers(
    frames: Sequence[Frame], dictionary: str
) -> list[tuple[Frame, dict[int, Float[np.ndarray, "4 2"]]]]:
    """Detect markers: the corners of each by its number, in pixels of the distorted image.

    A number that an image shows twice is omitted there. Raises ``CaptureError`` for an unknown dictionary.
    """
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(open_dictionary(dictionary), parameters)
    return [(frame, _found(detector, frame)) for frame in frames]


def _found(detector: cv2.aruco.ArucoDetector, frame: Frame) -> dict[int, Float[np.ndarray, "4 2"]]:
    picture = cv2.imread(str(frame.image_path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise CaptureError(f"{frame.image_path} cannot be read: copy or export it again")
    squares, numbers, _ = detector.detectMarkers(picture)
    numbers = [] if numbers is None else [int(number) for number in numbers.ravel()]
    # cv2 puts pixel centres at whole numbers.
    return {
        number: square.reshape(4, 2).astype(float) + 0.5
        for number, square in zip(numbers, squares, strict=True)
        if numbers.count(number) == 1
    }
