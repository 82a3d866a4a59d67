"""What a robot grasps with: a parallel gripper or a hand, by one name, and its boxes at a grasp."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from point2act.core import config_files
from point2act.core.errors import GripperError
from point2act.core.types import Grasp, OrientedBox
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.grippers import Boxes, Gripper, load_gripper
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand

EndEffector = Gripper | Hand


def load_end_effector(name_or_path: str | Path) -> EndEffector:
    """Load a gripper or a hand.

    Args:
        name_or_path: Name of a shipped gripper or hand, or path of the TOML file of either.

    Raises:
        Point2ActError: There is no such file, or it is wrong.
    """
    if str(name_or_path) in config_files.available("hands"):
        return load_hand(name_or_path)
    if Path(name_or_path).suffix == ".toml":
        _, table = config_files.load("grippers", name_or_path, GripperError)
        # A gripper's links are optional; it always has fingers and a body.
        if "link" in table and not {"finger", "body"} & set(table):
            return load_hand(name_or_path)
    return load_gripper(name_or_path)


def palm_boxes(grasp: Grasp, end_effector: EndEffector) -> tuple[OrientedBox, ...]:
    """Return the boxes of the palm at a grasp, in the gripper's frame."""
    if isinstance(end_effector, Hand):
        count = int((end_effector.primitives.link == 0).sum())
        return _hand_boxes(grasp, end_effector)[:count]
    return _oriented(end_effector.body_at(planned_opening(grasp, end_effector, clearance=0.0)))


def finger_boxes(grasp: Grasp, end_effector: EndEffector) -> tuple[OrientedBox, ...]:
    """Return the boxes of the fingers at a grasp, in the gripper's frame.

    A gripper is open as on the approach, a hand touches the object.
    """
    if isinstance(end_effector, Hand):
        count = int((end_effector.primitives.link == 0).sum())
        return _hand_boxes(grasp, end_effector)[count:]
    return _oriented(end_effector.fingers_at(planned_opening(grasp, end_effector, clearance=0.0)))


def radius(end_effector: EndEffector) -> float:
    """Return the radius of a sphere around the frame's origin that holds the palm and the fingers, metres."""
    if isinstance(end_effector, Hand):
        boxes = end_effector.boxes_at(end_effector.joints.pregrasp)
        return max(float(np.linalg.norm(box.center) + np.linalg.norm(box.half_extents)) for box in boxes)
    body = end_effector.body
    return float(np.linalg.norm(np.abs(body.center) + body.half, axis=1).max())


def _hand_boxes(grasp: Grasp, hand: Hand) -> tuple[OrientedBox, ...]:
    return hand.boxes_at(hand.joints.pregrasp if grasp.joints is None else grasp.joints.grasp)


def _oriented(boxes: Boxes) -> tuple[OrientedBox, ...]:
    return tuple(OrientedBox(center, np.eye(3), half) for center, half in boxes)
