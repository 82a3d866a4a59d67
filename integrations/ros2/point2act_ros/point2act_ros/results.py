"""Results of point2act as messages of ROS, in the frame of the robot's base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, TransformStamped
from jaxtyping import Float
from point2act_msgs.msg import Grasps
from std_msgs.msg import Header
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import Marker, MarkerArray

from point2act.core.types import Grasp, OrientedBox, QueryResult

from .poses import fill

_FINGER, _STEM = 0.045, 0.06
"""Lengths of the drawn fingers, and of the line behind them, metres."""


def grasps_of(results: Sequence[QueryResult]) -> list[Grasp]:
    """Return the grasps of all results, best first."""
    return sorted((grasp for one in results for grasp in one.grasps), key=lambda grasp: -grasp.score)


def pose(T: Float[np.ndarray, "4 4"]) -> Pose:
    """Return a rigid transform as a pose."""
    message = Pose()
    fill(T, message.position, message.orientation)
    return message


def to_grasps(results: Sequence[QueryResult], header: Header) -> Grasps:
    """Return the grasps of all results, or the reason why there is none.

    Args:
        results: Results whose world frame is that of the header.
        header: Base frame, and the time.
    """
    message = Grasps()
    message.poses.header = header
    found = grasps_of(results)
    message.poses.poses = [pose(grasp.T_world_gripper) for grasp in found]
    message.scores = [float(grasp.score) for grasp in found]
    message.widths = [float(grasp.width) for grasp in found]
    message.openings = [_opening(grasp) for grasp in found]
    without = next((one for one in results if one.reason is not None), None)
    if not found and without is not None:
        message.reason, message.detail = without.reason, without.detail or ""
    return message


def to_failure(reason: str, detail: str, header: Header) -> Grasps:
    """Return no grasps, and a reason of the node."""
    message = Grasps(reason=reason, detail=detail)
    message.poses.header = header
    return message


def to_detections(results: Sequence[QueryResult], header: Header) -> Detection3DArray:
    """Return the box of each region, with the query's text as its hypothesis, at the action point."""
    message = Detection3DArray(header=header)
    for one in results:
        if one.region is None:
            continue
        detection = Detection3D(header=header, id=one.query.name)
        detection.bbox.center = pose(_box_pose(one.region.box))
        sides = (2 * one.region.box.half_extents).tolist()
        detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z = sides
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = one.query.text
        hypothesis.hypothesis.score = float(one.region.confidence)
        hypothesis.pose.pose.position = _point(one.region.action_point)
        detection.results = [hypothesis]
        message.detections.append(detection)
    return message


def to_markers(results: Sequence[QueryResult], header: Header) -> MarkerArray:
    """Return drawings for RViz: boxes of the regions, and grippers, coloured by score, the best one wide.

    The first marker deletes those of before.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for number, one in enumerate(one for one in results if one.region is not None):
        assert one.region is not None
        box = _marker(header, "regions", number, Marker.CUBE, (0.2, 0.5, 1.0, 0.3))
        box.pose = pose(_box_pose(one.region.box))
        box.scale.x, box.scale.y, box.scale.z = np.maximum(2 * one.region.box.half_extents, 1e-3).tolist()
        markers.append(box)
    for number, grasp in enumerate(grasps_of(results)):
        color = (1.0 - float(grasp.score), float(grasp.score), 0.0, 1.0 if number == 0 else 0.5)
        drawn = _marker(header, "grasps", number, Marker.LINE_LIST, color)
        drawn.pose = pose(grasp.T_world_gripper)
        drawn.points = [_point(point) for point in _gripper_lines(_opening(grasp))]
        drawn.scale.x = 0.006 if number == 0 else 0.002
        markers.append(drawn)
    return MarkerArray(markers=markers)


def to_transform(grasp: Pose, header: Header, frame: str) -> TransformStamped:
    """Return a pose as a frame of tf."""
    message = TransformStamped(header=header, child_frame_id=frame)
    translation, position = message.transform.translation, grasp.position
    translation.x, translation.y, translation.z = position.x, position.y, position.z
    message.transform.rotation = grasp.orientation
    return message


def _opening(grasp: Grasp) -> float:
    return float(grasp.width if grasp.approach_width is None else grasp.approach_width)


def _box_pose(box: OrientedBox) -> Float[np.ndarray, "4 4"]:
    """Return the pose of a box, whose axes may be left-handed."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = box.axes.T, box.center
    if np.linalg.det(T[:3, :3]) < 0:
        T[:3, 2] *= -1
    return T


def _gripper_lines(opening: float) -> Float[np.ndarray, "8 3"]:
    """Return the ends of lines that draw a gripper in its own frame."""
    tips = np.array([[0.0, side * opening / 2, 0.0] for side in (-1, 1)])
    roots = tips - [0.0, 0.0, _FINGER]
    stem = np.array([[0.0, 0.0, -_FINGER], [0.0, 0.0, -_FINGER - _STEM]])
    return np.concatenate([[tips[0], roots[0], tips[1], roots[1], *roots], stem])


def _marker(
    header: Header, namespace: str, number: int, kind: int, color: tuple[float, float, float, float]
) -> Marker:
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD)
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = color
    return marker


def _point(at: Float[np.ndarray, "3"]) -> Point:
    x, y, z = at.tolist()
    return Point(x=x, y=y, z=z)
