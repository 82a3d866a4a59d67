"""Hand-over to MoveIt: poses of the gripper as poses of the link that MoveIt plans for.

A gripper frame of point2act has its origin half-way between the fingertip pads, +z the direction of approach,
and fingers that close along y. MoveIt plans for a link: ``T_base_link = T_base_gripper T_link_gripper⁻¹``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import PoseStamped
from jaxtyping import Float
from moveit_msgs.msg import Grasp, GripperTranslation
from point2act_msgs.msg import Grasps
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from point2act.core.geometry import invert, transform

from .poses import matrix_of
from .results import pose


@dataclass(frozen=True, eq=False)
class EndEffector:
    """How a gripper is mounted, and moves; the defaults are those of a Franka Hand."""

    link: str = "panda_hand"
    """Link that MoveIt plans for."""
    T_link_gripper: Float[np.ndarray, "4 4"] = field(
        default_factory=lambda: transform(np.eye(3), (0.0, 0.0, 0.1034))
    )
    """Pose of the gripper frame in the frame of the link. The second column is the direction in which the
    fingers close, and the third that of the approach, in the frame of the link: (0, 0, 1) for MoveIt's usual
    end effectors, (1, 0, 0) for some."""
    fingers: tuple[str, ...] = ("panda_finger_joint1", "panda_finger_joint2")
    finger_scale: float = 0.5
    """Position of a finger joint for each metre between the pads."""
    approach: float = 0.10
    """Distance of the straight motion to the grasp, metres; along it the path was checked."""
    lift: float = 0.10
    """Distance of the motion up, along the base's +z, after the fingers have closed, metres."""


def link_poses(grasps: Grasps, effector: EndEffector, *, back: float = 0.0) -> list[PoseStamped]:
    """Return the goals of the link for each grasp, best first.

    Args:
        grasps: Grasps of the node.
        effector: The link, and the gripper on it.
        back: Distance from the grasp against the direction of approach, metres: ``effector.approach`` gives
            the poses before the grasp.
    """
    T_gripper_link = invert(effector.T_link_gripper)
    behind = transform(np.eye(3), (0.0, 0.0, -back))
    goals = []
    for one in grasps.poses.poses:
        T_base_gripper = matrix_of(one.position, one.orientation)
        goal = PoseStamped(header=grasps.poses.header)
        goal.pose = pose(T_base_gripper @ behind @ T_gripper_link)
        goals.append(goal)
    return goals


def moveit_grasps(grasps: Grasps, effector: EndEffector) -> list[Grasp]:
    """Return the grasps as moveit_msgs/Grasp, best first.

    The fingers open to ``openings`` before the approach, and then close until the force stops them.
    """
    base, goals = grasps.poses.header.frame_id, link_poses(grasps, effector)
    forward = effector.T_link_gripper[:3, 2]
    found = []
    for number, goal in enumerate(goals):
        one = Grasp(id=f"point2act_{number}", grasp_pose=goal)
        one.grasp_quality = float(grasps.scores[number])
        one.pre_grasp_posture = _posture(effector, grasps.openings[number])
        one.grasp_posture = _posture(effector, 0.0)
        one.pre_grasp_approach = _translation(effector.link, forward, effector.approach)
        one.post_grasp_retreat = _translation(base, np.array([0.0, 0.0, 1.0]), effector.lift)
        one.post_place_retreat = _translation(effector.link, -forward, effector.approach)
        found.append(one)
    return found


def _posture(effector: EndEffector, opening: float) -> JointTrajectory:
    point = JointTrajectoryPoint(positions=[effector.finger_scale * opening] * len(effector.fingers))
    point.time_from_start.sec = 1
    return JointTrajectory(joint_names=list(effector.fingers), points=[point])


def _translation(frame: str, direction: Float[np.ndarray, "3"], distance: float) -> GripperTranslation:
    message = GripperTranslation(desired_distance=distance, min_distance=0.8 * distance)
    message.direction.header.frame_id = frame
    vector = message.direction.vector
    vector.x, vector.y, vector.z = direction.tolist()
    return message
