"""Grasps from one RGB-D image: arrays in, results out.

A single image needs no fit: its depth is the surface, and Gaussians placed on the depth are enough to find
what a point means. Nothing is read from or written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.errors import CaptureError, PointsError
from point2act.core.geometry import frame_from_axes, inside, invert
from point2act.core.progress import Stages
from point2act.core.types import Answer, Camera, Capture, Frame, Lens, PointSet, Query, QueryResult, View
from point2act.data.capture import disk_to_view, shrink_view
from point2act.data.crops import resize_image
from point2act.data.importers.calibration import camera_from_intrinsics
from point2act.data.view_loader import MAX_SIDE
from point2act.pipeline.planning import Planner
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session, SessionResult, choose_device
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.visualization.drawing import PALETTE, draw_box, draw_gripper, draw_marker, draw_points
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import Pointer, PointFunction, point_at
from point2act.vlm.pointing.questions import pointer_questions

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


@dataclass(frozen=True)
class ImageConfig:
    """From one RGB-D image to grasps."""

    max_side: int = MAX_SIDE
    """The image in which things are located is reduced until its longer side is at most this many pixels;
    surfaces near a region are fused at full size."""
    # Of 48 things on nine real frames the best grasp is sound for 42, 45 and 44 with 15, 20 and 30 thousand.
    start: StartConfig = field(default_factory=lambda: StartConfig(target_count=20_000))
    """Gaussians on the depth."""
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    device: str | None = None
    """``cpu`` or ``cuda``; by default CUDA if there is one."""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The results of one image, and what they were planned on."""

    answered: SessionResult
    session: Session
    """The session that answered; ask it about further points of the image."""
    points: PointSet
    """The queries and the points, in pixels of the image as it was given."""
    view: View
    """The image at full size, with its depth in metres."""

    @property
    def results(self) -> tuple[QueryResult, ...]:
        """One result for each query, in the world frame."""
        return self.answered.results

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Draw each query's points, region and best gripper pose on the image."""
        image, view, gripper = self.view.rgb, self.view, self.answered.gripper
        shown = self.session.views[0].camera
        scale = np.array([view.camera.width / shown.width, view.camera.height / shown.height])
        for number, (result, pixels) in enumerate(zip(self.results, self.answered.pixels, strict=True)):
            color = PALETTE[number % len(PALETTE)]
            region = result.region
            if region is not None:
                image = draw_box(image, view.camera, view.T_world_cam, region.box, (255, 255, 255))
            for grasp in result.grasps[:1]:
                image = draw_gripper(image, view.camera, view.T_world_cam, grasp, gripper, color)
            if region is not None:
                image = draw_marker(image, view.camera, view.T_world_cam, region.action_point, color)
            if pixels[0] is not None:
                image = draw_points(image, pixels[0] * scale, color)
        return image


def grasp_image(
    rgb: np.ndarray,
    depth: np.ndarray,
    K: np.ndarray | Sequence[float],
    *,
    points: Sequence[Pixel] | Mapping[str, Pixel] | None = None,
    queries: Sequence[Query | str] | None = None,
    pointer: Pointer | PointFunction | None = None,
    depth_unit: float = MILLIMETRES,
    up: Sequence[float] | None = None,
    planner: Planner | None = None,
    config: ImageConfig = ImageConfig(),
) -> ImageResult:
    """Plan grasps on one RGB-D image, without fitting anything.

    Give either ``points``, or ``queries`` with a ``pointer``. The first call takes some seconds longer, as
    libraries are imported and kernels are compiled or read.

    Args:
        rgb: Undistorted 8-bit colours, (h, w, 3).
        depth: z-depth of every pixel, (h, w), registered to the colours: integers in units of ``depth_unit``,
            or metres as floats. 0 and values that are not finite are missing readings.
        K: Intrinsic matrix, or ``(fx, fy, cx, cy)``, in pixels, with the centre of the first pixel at 0 as in
            OpenCV, ROS and librealsense.
        points: Pixels ``(x, y)``, one on each thing to grasp; a mapping also gives their names.
        queries: What to find; plain text is to be grasped.
        pointer: Where a query is in the image, as for ``run``.
        depth_unit: Metres per unit of integer depth.
        up: Direction that is up, in the camera frame (x right, y down, z forward), any length: it becomes the
            z axis of the world frame, whose origin is the camera. By default the world frame is the camera
            frame.
        planner: Grasp planner in place of the antipodal one.
        config: All options.

    Returns:
        Results in the world frame, metres.

    Raises:
        CaptureError: Sizes, types, intrinsics or depth are wrong.
        PointsError: A point lies outside the image or has no depth near it.
        ModelError: The pointer has no answer.
    """
    if (points is None) == (queries is None):
        raise PointsError("give either points, or queries with a pointer")
    view = view_of_arrays(rgb, metres(depth, depth_unit), K, up)
    if points is not None:
        given = given_points(points, view.name)
    else:
        if queries is None or pointer is None:
            raise PointsError("queries need a pointer, which says where they are in the image")
        given = _asked(view, pointer_questions(queries, pointer))
    frame = Frame(view.name, Path(view.name), None, None, view.camera, Lens(), view.T_world_cam)
    capture = Capture(Path(), (frame,), depth_unit, None, None, metric=True)
    return grasp_view(capture, view, given, planner=planner, config=config)


def grasp_view(
    capture: Capture,
    view: View,
    points: PointSet,
    *,
    planner: Planner | None = None,
    config: ImageConfig = ImageConfig(),
    stages: Stages | None = None,
) -> ImageResult:
    """Plan grasps on one view with depth.

    Args:
        capture: Capture of one frame.
        view: The frame at full size.
        points: Queries, and answers in pixels of the frame.
        planner: Grasp planner in place of the antipodal one.
        config: All options.
        stages: Times and shows the stages.

    Raises:
        CaptureError: The depth has no reading, or another unit.
        PointsError: A point of ``given_points`` lies outside the image or has no depth near it.
    """
    stages = stages or Stages(show=False)
    _check_depth(view)
    _check_points(capture, view, points)
    with stages.stage("initialise the Gaussians"):
        small = shrink_view(view, config.max_side)
        initial = initialize_gaussians(
            [small],
            point_cloud_path=None,
            config=config.start,
            rng=np.random.default_rng(config.answer.seed),
        )
    device = choose_device(config.device)
    session = Session(
        capture, (small,), initial.scene, metric=True, device=device, recorded={view.name: view}
    )
    answered = session.ask(points, config=config.answer, planner=planner, stages=stages)
    return ImageResult(answered, session, points, view)


# ── what is given ──────────────────────────────────────────────────────────────────────────────
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
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise CaptureError(f"rgb is {rgb.dtype} of shape {rgb.shape}: give 8-bit colours (height, width, 3)")
    if depth.shape != rgb.shape[:2]:
        raise CaptureError(
            f"depth has the shape {depth.shape} and rgb {rgb.shape[:2]}: register the depth to the colours, "
            "so that both show the same pixels"
        )
    camera = camera_of(K, (rgb.shape[0], rgb.shape[1]))
    return View(_NAME, camera, camera_pose(up), rgb, depth)


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


def _asked(view: View, questions: Questions) -> PointSet:
    """Ask a pointer about the image."""
    crop = resize_image(view.rgb, max_side=questions.side)
    ask = partial(point_at, questions.pointer, image=view.name, crop=crop)
    with ThreadPoolExecutor(max(1, questions.pointer.concurrency)) as threads:
        answers = [answer for answer, _ in threads.map(lambda query: ask(query=query), questions.queries)]
    return PointSet(questions.queries, tuple(answers))


def _check_depth(view: View) -> None:
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


def _check_points(capture: Capture, view: View, points: PointSet) -> None:
    """Raise ``PointsError`` for a given point outside the image or far from any depth."""
    assert view.depth is not None
    frame, camera = capture.frames[0], view.camera
    row, column = np.nonzero(view.depth)
    for answer in points.answers:
        if answer.model != GIVEN:
            continue
        for given, (x, y) in zip(answer.points, disk_to_view(frame, view, answer.points), strict=True):
            place = f"the point {given[0]:g},{given[1]:g}"
            if not inside(camera, np.array([[x, y]]))[0]:
                raise PointsError(f"{place} is outside the image, {camera.width}x{camera.height} pixels")
            nearest = np.hypot(column + 0.5 - x, row + 0.5 - y).min()
            if nearest > _REACH * max(camera.width, camera.height):
                raise PointsError(
                    f"{place} has no depth, the nearest reading is {nearest:.0f} pixels away: choose a pixel "
                    "of the object that the camera measured"
                )
