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
from jaxtyping import UInt8

from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.core.types import Capture, Frame, Lens, PointSet, Query, QueryResult, View
from point2act.data.capture import shrink_view
from point2act.data.crops import resize_image
from point2act.data.view_loader import MAX_SIDE
from point2act.pipeline.image_input import (
    MILLIMETRES,
    Pixel,
    check_depth,
    check_points,
    given_points,
    metres,
    view_of_arrays,
)
from point2act.pipeline.planning import Planner
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.session import Session
from point2act.pipeline.session_result import SessionResult
from point2act.splatting.gaussians import choose_device
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.visualization.drawing import PALETTE, draw_box, draw_gripper, draw_marker, draw_points
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import Pointer, PointFunction, point_at
from point2act.vlm.pointing.questions import pointer_questions
from point2act.vlm.segmenters.factory import as_segmenter
from point2act.vlm.segmenters.segmenter import Segmenter, SegmentFunction


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
    segmenter: Segmenter | SegmentFunction | None = None,
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
        segmenter: Where things end, as for ``run``.
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
    return grasp_view(capture, view, given, planner=planner, segmenter=segmenter, config=config)


def grasp_view(
    capture: Capture,
    view: View,
    points: PointSet,
    *,
    planner: Planner | None = None,
    segmenter: Segmenter | SegmentFunction | None = None,
    config: ImageConfig = ImageConfig(),
    stages: Stages | None = None,
) -> ImageResult:
    """Plan grasps on one view with depth.

    Args:
        capture: Capture of one frame.
        view: The frame at full size.
        points: Queries, and answers in pixels of the frame.
        planner: Grasp planner in place of the antipodal one.
        segmenter: Where things end, as for ``run``.
        config: All options.
        stages: Times and shows the stages.

    Raises:
        CaptureError: The depth has no reading, or another unit.
        PointsError: A point of ``given_points`` lies outside the image or has no depth near it.
    """
    stages = stages or Stages(show=False)
    check_depth(view)
    check_points(capture, view, points)
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
        capture,
        (small,),
        initial.scene,
        metric=True,
        device=device,
        recorded={view.name: view},
        segmenter=as_segmenter(segmenter),
    )
    answered = session.ask(points, config=config.answer, planner=planner, stages=stages)
    return ImageResult(answered, session, points, view)


def _asked(view: View, questions: Questions) -> PointSet:
    """Ask a pointer about the image."""
    crop = resize_image(view.rgb, max_side=questions.side)
    ask = partial(point_at, questions.pointer, image=view.name, crop=crop)
    with ThreadPoolExecutor(max(1, questions.pointer.concurrency)) as threads:
        answers = [answer for answer, _ in threads.map(lambda query: ask(query=query), questions.queries)]
    return PointSet(questions.queries, tuple(answers))
