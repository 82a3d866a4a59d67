"""What is given to plan grasps on one image: arrays and pixels, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from point2act.core.errors import CaptureError, PointsError
from point2act.core.geometry import frame_from_axes, inside, invert
from point2act.core.types import Answer, Camera, Capture, PointSet, Query, View
from point2act.data.capture import disk_to_view
from point2act.data.importers.calibration import camera_from_intrinsics

MILLIMETRES = 1e-3
"""Depth unit of most cameras, metres."""
GIVEN = "pixel"
"""What points.json would name as the model of the points that ``given_points`` makes."""
_NAME = "image.png"
# Distance from a point within which depth is needed, as a fraction of the longer side. Chosen: 13 pixels of
# 640, the width of a mug's handle half a metre away.
_REACH = 0.02
# Range of the median depth, metres, beyond which the unit is taken to be wrong. Chosen: table-top cameras
# measure 0.1 to 10 m.
_PLAUSIBLE = (0.05, 20.0)
# Angle of `up` to the image's x axis, radians, below which the z axis gives the world's x axis. Chosen.
_PARALLEL = 0.1

Pixel = tuple[float, float]


def view_of_arrays(
    rgb: np.ndarray,
    depth: Float[np.ndarray, "_h _w"],
    K: np.ndarray | Sequence[float],
    up: Sequence[float] | None = None,
) -> View:
    """Return a view of arrays in memory.

    Args:
        rgb: 8-bit colours, (h, w, 3).
        depth: z-depth, (h, w), metres, 0 without a reading.
        K: Intrinsic matrix or ``(fx, fy, cx, cy)``, with the centre of the first pixel at 0.
        up: Direction that is up, camera frame; None for a world frame that is the camera frame.

    Raises:
        CaptureError: Sizes, types or intrinsics are wrong.
    """
    check_images(rgb, depth)
    camera = camera_of(K, (rgb.shape[0], rgb.shape[1]))
    return View(_NAME, camera, camera_pose(up), rgb, depth)


def check_images(rgb: np.ndarray, depth: np.ndarray) -> None:
    """Raise ``CaptureError`` for colours that are not 8-bit RGB, or depth of another shape."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise CaptureError(f"rgb is {rgb.dtype} of shape {rgb.shape}: give 8-bit colours (height, width, 3)")
    if depth.shape != rgb.shape[:2]:
        raise CaptureError(
            f"depth has the shape {depth.shape} and rgb {rgb.shape[:2]}: register the depth to the colours, "
            "so that both show the same pixels"
        )


def camera_of(K: np.ndarray | Sequence[float], size: tuple[int, int]) -> Camera:
    """Return the camera of an intrinsic matrix or ``(fx, fy, cx, cy)``, first pixel at 0.

    Raises:
        CaptureError: The numbers are no intrinsics of an image of this size (height, width).
    """
    numbers = np.asarray(K, dtype=np.float64)
    if numbers.shape == (3, 3):
        numbers = numbers[[0, 1, 0, 1], [0, 1, 2, 2]]
    height, width = size
    if (
        numbers.shape != (4,)
        or not np.isfinite(numbers).all()
        or not (numbers[:2] > 0).all()
        or not (0 < numbers[2] < width and 0 < numbers[3] < height)
    ):
        raise CaptureError(
            f"the intrinsics {np.asarray(K).tolist()} are not those of an image of {width}x{height} pixels: "
            "give fx, fy, cx, cy in its pixels, or the 3x3 matrix"
        )
    return camera_from_intrinsics(numbers.tolist(), size).camera


def camera_pose(up: Sequence[float] | None) -> Float[np.ndarray, "4 4"]:
    """Return ``T_world_cam`` of a world frame at the camera with z up; the identity for None.

    The world's x axis is the image's, projected to be horizontal; for a camera that lies on its side, the
    optical axis.

    Raises:
        CaptureError: ``up`` is not a direction.
    """
    if up is None:
        return np.eye(4)
    z = np.asarray(up, dtype=np.float64)
    length = float(np.linalg.norm(z)) if z.shape == (3,) else 0.0
    if not 0.0 < length < np.inf:
        raise CaptureError(f"up is {np.asarray(up).tolist()}: give three numbers, such as 0,-1,0")
    z = z / length
    x = np.array([1.0, 0.0, 0.0])
    if np.linalg.norm(np.cross(x, z)) < _PARALLEL:
        x = np.array([0.0, 0.0, 1.0])
    return invert(frame_from_axes(np.zeros(3), z, x))


def metres(depth: np.ndarray, unit: float) -> Float[np.ndarray, "_h _w"]:
    """Return depth in metres, 0 without a reading: integers times a unit, floats as they are."""
    if not 0.0 < unit < np.inf:
        raise CaptureError(f"the depth unit is {unit}: give metres for one unit, such as 0.001")
    if depth.dtype.kind not in "iuf":
        raise CaptureError(f"depth is {depth.dtype}: give integers in units of depth, or metres as floats")
    values = depth.astype(np.float64) * (1.0 if depth.dtype.kind == "f" else unit)
    return np.where(np.isfinite(values) & (values > 0), values, 0.0).astype(np.float32)


def given_points(points: Sequence[Pixel] | Mapping[str, Pixel], image: str) -> PointSet:
    """Return one query to grasp for each pixel that a person or a detector gives.

    It counts as the answer of a model would, which means a thing; a click in the viewer means a place on it.

    Raises:
        PointsError: There is no point, or one is not two numbers.
    """
    named = points if isinstance(points, Mapping) else {f"{x:g},{y:g}": (x, y) for x, y in points}
    if not named:
        raise PointsError("there is no point: give at least one pixel (x, y)")
    queries, answers = [], []
    for number, (text, point) in enumerate(named.items(), start=1):
        pixel = np.asarray(point, dtype=np.float64)
        if pixel.shape != (2,) or not np.isfinite(pixel).all():
            raise PointsError(f"the point of {text!r} is {point!r}: give a pixel (x, y)")
        queries.append(Query(f"point_{number}", text))
        answers.append(Answer(image, f"point_{number}", pixel[None], model=GIVEN))
    return PointSet(tuple(queries), tuple(answers))


def check_depth(view: View) -> None:
    """Raise ``CaptureError`` for depth without a reading or in another unit."""
    assert view.depth is not None
    readings = view.depth[view.depth > 0]
    if not len(readings):
        raise CaptureError("the depth image has no reading: every pixel is 0 or not finite")
    median = float(np.median(readings))
    if not _PLAUSIBLE[0] < median < _PLAUSIBLE[1]:
        raise CaptureError(
            f"the median depth is {median:.3g} m: give the depth unit, metres for one unit of the image "
            "(0.001 for millimetres)"
        )


def check_points(capture: Capture, view: View, points: PointSet) -> None:
    """Raise ``PointsError`` for a given point outside the image or far from any depth."""
    frame = capture.frames[0]
    for answer in points.answers:
        if answer.model != GIVEN:
            continue
        for given, pixel in zip(answer.points, disk_to_view(frame, view, answer.points), strict=True):
            nearest_reading(view, pixel, f"the point {given[0]:g},{given[1]:g}")


def nearest_reading(view: View, pixel: Float[np.ndarray, " 2"], place: str) -> float:
    """Return the reading of depth that is nearest to a pixel, metres.

    Args:
        view: A view with depth.
        pixel: ``(x, y)`` in the view.
        place: What the error calls it.

    Raises:
        PointsError: The pixel is outside the image or far from any depth.
    """
    assert view.depth is not None
    camera = view.camera
    if not inside(camera, pixel[None])[0]:
        raise PointsError(f"{place} is outside the image, {camera.width}x{camera.height} pixels")
    row, column = np.nonzero(view.depth)
    away = np.hypot(column + 0.5 - pixel[0], row + 0.5 - pixel[1])
    nearest = away.min(initial=np.inf)
    if nearest > _REACH * max(camera.width, camera.height):
        raise PointsError(
            f"{place} has no depth, the nearest reading is {nearest:.0f} pixels away: choose a pixel "
            "of the object that the camera measured"
        )
    return float(view.depth[row[away.argmin()], column[away.argmin()]])
