"""A run as a recording for Rerun (https://rerun.io): images, depth, answers, Gaussians, relevancy, grasps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from point2act.core.errors import ResultsError
from point2act.core.files import replacing
from point2act.core.types import GaussianScene, View
from point2act.grasping.end_effector import EndEffector, boxes_at
from point2act.visualization.drawing import PALETTE
from point2act.visualization.recordings.contents import PALE, RecordedQuery, depth_millimetres, scene_points


def write_rerun(
    path: Path,
    scene: GaussianScene,
    views: Sequence[View],
    queries: Sequence[RecordedQuery],
    gripper: EndEffector,
) -> None:
    """Write an .rrd file that Rerun's viewer opens; the timeline ``view`` steps through the views.

    Args:
        path: File to write, atomically.
        scene: Gaussians, world.
        views: Views at their refined poses.
        queries: What was asked and found.
        gripper: Gripper or hand of the grasps.

    Raises:
        ResultsError: Rerun is not installed.
    """
    try:
        import rerun
    except ImportError as err:
        raise ResultsError(f'Rerun cannot be loaded ({err}): pip install "point2act[rerun]"') from err
    with replacing(path) as draft:
        recording = rerun.RecordingStream("point2act", recording_id=path.stem)
        recording.save(draft)
        _log_scene(rerun, recording, scene, queries)
        for number, view in enumerate(views):
            recording.set_time("view", sequence=number)
            _log_view(rerun, recording, view, number, queries)
        recording.reset_time()
        for one in queries:
            _log_grasps(rerun, recording, one, gripper)
        recording.flush(blocking=True)
        recording.disconnect()


def _log_scene(rerun: Any, recording: Any, scene: GaussianScene, queries: Sequence[RecordedQuery]) -> None:
    points = scene_points(scene, queries)
    for name, colors in points.colors.items():
        drawn = rerun.Points3D(points.centers, colors=colors, radii=points.radii)
        recording.log(f"world/{name}", drawn, static=True)


def _log_view(rerun: Any, recording: Any, view: View, number: int, queries: Sequence[RecordedQuery]) -> None:
    """Log a view's camera, images and answers at the present time."""
    camera, T = view.camera, view.T_world_cam
    recording.log("world/camera", rerun.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]))
    pinhole = rerun.Pinhole(
        focal_length=[camera.fx, camera.fy],
        principal_point=[camera.cx, camera.cy],
        resolution=[camera.width, camera.height],
        camera_xyz=rerun.ViewCoordinates.RDF,
    )
    recording.log("world/camera/image", pinhole)
    recording.log("world/camera/image/color", rerun.Image(view.rgb).compress(jpeg_quality=90))
    if view.depth is not None:
        depth = depth_millimetres(view.depth)
        recording.log("world/camera/image/depth", rerun.DepthImage(depth, meter=1000.0))
    for index, one in enumerate(queries):
        answer = one.pixels[number]
        points = np.zeros((0, 2)) if answer is None else answer
        marks = rerun.Points2D(points, colors=PALETTE[index % len(PALETTE)], radii=4.0)
        recording.log(f"world/camera/image/answers/{one.query.name}", marks)
    recording.log("image_name", rerun.TextDocument(view.name))


def _log_grasps(rerun: Any, recording: Any, one: RecordedQuery, gripper: EndEffector) -> None:
    """Log the action point and the gripper at every grasp, the best one in colour."""
    root = f"world/results/{one.query.name}"
    if one.action_point is not None:
        label = one.query.text
        point = rerun.Points3D([one.action_point], colors=PALETTE[4], radii=0.006, labels=[label])
        recording.log(f"{root}/action_point", point, static=True)
    for number, (T_world_gripper, posture, score) in enumerate(one.grasps):
        boxes, name = boxes_at(gripper, posture), f"{root}/grasps/{number:03}"
        pose = rerun.Transform3D(translation=T_world_gripper[:3, 3], mat3x3=T_world_gripper[:3, :3])
        recording.log(name, pose, static=True)
        color = PALE if number else PALETTE[1]
        drawn = rerun.Boxes3D(
            centers=[box.center for box in boxes],
            half_sizes=[box.half_extents for box in boxes],
            quaternions=[Rotation.from_matrix(box.axes.T).as_quat() for box in boxes],
            colors=color,
            fill_mode="majorwireframe" if number else "solid",
            labels=[f"score {score:.2f}"] * len(boxes),
            show_labels=False,
        )
        recording.log(f"{name}/gripper", drawn, static=True)
