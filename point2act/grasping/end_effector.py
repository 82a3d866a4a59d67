"""What a robot grasps with: a parallel gripper or a hand, by one name: its postures and its boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core import config_files
from point2act.core.errors import GripperError
from point2act.core.geometry import transform
from point2act.core.types import Grasp, OrientedBox
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.grippers import Boxes, Gripper, load_gripper
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.load import load_hand

EndEffector = Gripper | Hand

# Sine of the angle between the contacts' line and the approach below which no sketch turns to it. Chosen.
_LEAST_SINE = 0.05


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


# ── postures ───────────────────────────────────────────────────────────────────────────────────
# The posture of a gripper is its opening alone, in metres; that of a hand its joint positions, in radians.
def open_posture(grasp: Grasp, end_effector: EndEffector, *, clearance: float) -> Float[np.ndarray, " p"]:
    """Return the posture on the approach of a grasp.

    Args:
        grasp: Grasp.
        end_effector: Its gripper or hand.
        clearance: Clearance on each side of a gripper's grasp without an ``approach_width``, metres.
    """
    if isinstance(end_effector, Hand):
        return end_effector.joints.pregrasp if grasp.joints is None else grasp.joints.pregrasp
    return np.array([planned_opening(grasp, end_effector, clearance=clearance)])


def closed_posture(grasp: Grasp, end_effector: EndEffector) -> Float[np.ndarray, " p"]:
    """Return the posture in which the fingers touch the object."""
    if isinstance(end_effector, Hand):
        return end_effector.joints.pregrasp if grasp.joints is None else grasp.joints.grasp
    return np.array([max(grasp.width, 0.0)])


def drawn_posture(grasp: Grasp, end_effector: EndEffector) -> Float[np.ndarray, " p"]:
    """Return the posture in a picture of a grasp: a gripper is open as on the approach, a hand touches."""
    if drawn_closed(end_effector):
        return closed_posture(grasp, end_effector)
    return open_posture(grasp, end_effector, clearance=0.0)


def drawn_closed(end_effector: EndEffector) -> bool:
    """Return whether pictures of a grasp show it closed: the fingers of an open hand point anywhere."""
    return isinstance(end_effector, Hand)


def palm_at(end_effector: EndEffector, posture: Float[np.ndarray, " p"]) -> tuple[OrientedBox, ...]:
    """Return the boxes of the palm in a posture, in the gripper's frame."""
    if isinstance(end_effector, Hand):
        return end_effector.boxes_at(posture)[: _palm_count(end_effector)]
    return _oriented(end_effector.body_at(float(posture[0])))


def fingers_at(end_effector: EndEffector, posture: Float[np.ndarray, " p"]) -> tuple[OrientedBox, ...]:
    """Return the boxes of the fingers in a posture, in the gripper's frame."""
    if isinstance(end_effector, Hand):
        return end_effector.boxes_at(posture)[_palm_count(end_effector) :]
    return _oriented(end_effector.fingers_at(float(posture[0])))


def boxes_at(end_effector: EndEffector, posture: Float[np.ndarray, " p"]) -> tuple[OrientedBox, ...]:
    """Return the boxes of the fingers and then of the palm in a posture, in the gripper's frame."""
    return (*fingers_at(end_effector, posture), *palm_at(end_effector, posture))


def palm_boxes(grasp: Grasp, end_effector: EndEffector) -> tuple[OrientedBox, ...]:
    """Return the boxes of the palm in a picture of a grasp, in the gripper's frame."""
    return palm_at(end_effector, drawn_posture(grasp, end_effector))


def finger_boxes(grasp: Grasp, end_effector: EndEffector) -> tuple[OrientedBox, ...]:
    """Return the boxes of the fingers in a picture of a grasp, in the gripper's frame."""
    return fingers_at(end_effector, drawn_posture(grasp, end_effector))


# ── outlines ───────────────────────────────────────────────────────────────────────────────────
def closes_in_plane(end_effector: EndEffector) -> bool:
    """Return whether the fingers close along the y axis; those of a hand close along no common one."""
    return isinstance(end_effector, Gripper)


def two_fingers(grasp: Grasp, end_effector: EndEffector) -> tuple[Float[np.ndarray, "4 4"], float]:
    """Return the pose and the opening of two fingers that hold as a grasp does, for sketches of it.

    Returns:
        ``T_world_gripper`` and the opening in metres; for a hand those of a gripper on its thumb's and its
        opposite finger's contacts.
    """
    if isinstance(end_effector, Hand):
        return _between(grasp), grasp.width
    return grasp.T_world_gripper, planned_opening(grasp, end_effector, clearance=0.0)


def radius(end_effector: EndEffector) -> float:
    """Return the radius of a sphere around the frame's origin that holds the palm and the fingers, metres."""
    if isinstance(end_effector, Hand):
        boxes = end_effector.boxes_at(end_effector.joints.pregrasp)
        return max(float(np.linalg.norm(box.center) + np.linalg.norm(box.half_extents)) for box in boxes)
    body = end_effector.body
    return float(np.linalg.norm(np.abs(body.center) + body.half, axis=1).max())


def _palm_count(hand: Hand) -> int:
    """Return the number of the palm's boxes, which come first."""
    return int((hand.primitives.link == 0).sum())


def _between(grasp: Grasp) -> Float[np.ndarray, "4 4"]:
    """Return the frame of a gripper that closes on both contacts and comes as straight as it can."""
    T, across = grasp.T_world_gripper, np.diff(grasp.contacts, axis=0)[0]
    aside = np.cross(across, T[:3, 2])
    rotation = T[:3, :3]
    if np.linalg.norm(aside) > _LEAST_SINE * np.linalg.norm(across):
        x, y = aside / np.linalg.norm(aside), across / np.linalg.norm(across)
        rotation = np.stack([x, y, np.cross(x, y)], axis=1)
    return transform(rotation, grasp.contacts.mean(axis=0))


def _oriented(boxes: Boxes) -> tuple[OrientedBox, ...]:
    return tuple(OrientedBox(center, np.eye(3), half) for center, half in boxes)
