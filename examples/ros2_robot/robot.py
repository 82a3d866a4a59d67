"""The robot: what point2act asks of it, by topics and an action of ROS 2."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import numpy as np

from point2act.acting.execution.robot import RobotState
from point2act.core.errors import RobotError
from point2act.core.types import View
from point2act.data.capture.validators import rigid

from .images import camera_of, color_of, depth_of

if TYPE_CHECKING:
    from .topics import Topics

PARAMETERS = "ros2_robot.yaml"


class Ros2Robot:
    """Joint states and images in, trajectories of one point and goals of the gripper out.

    Contacts are not measured: the force is 0.
    """

    period, real_time = 0.01, True
    timeout, max_age, stop_seconds = 5.0, 0.3, 0.2
    """Time to wait for a first message, age at which it is too old, and duration of a stop, seconds."""

    def __init__(self, topics: Topics):
        """Read the names and the pose of the camera from the node's parameters."""
        self.topics = topics
        self.arm, self.fingers = list(topics.value("joints")), list(topics.value("fingers"))
        pose = list(topics.value("T_base_cam"))
        rows = [pose[start : start + 4] for start in range(0, len(pose), 4)]
        self.T_base_cam = rigid(rows, f"{PARAMETERS}: T_base_cam")
        self.scale, self.force = topics.value("gripper_scale"), topics.value("gripper_force")
        self._width, self._next = np.nan, monotonic()

    def state(self) -> RobotState:
        """Return the latest joint states; their time is that of their arrival."""
        times, values = self.topics.joints.read([*self.arm, *self.fingers], self.timeout)
        age = monotonic() - min(times)
        if age > self.max_age:
            raise RobotError(f"the joint states are {age:.1f} s old: the driver has stopped, or is too slow")
        count = len(self.arm)
        return RobotState(min(times[:count]), np.array(values[:count]), float(sum(values[count:])), 0.0)

    def command(self, joints: np.ndarray, width: float) -> None:
        """Be at the joints when the next control step starts."""
        self.topics.move(self.arm, joints.tolist(), self.period)
        if width != self._width:
            self._width = width
            self.topics.grip(width * self.scale, self.force)
        now = monotonic()
        self._next = max(self._next + self.period, now)
        sleep(self._next - now)

    def view(self) -> View:
        """Return the latest image; an old one has no depth, so that the arm waits."""
        times, (color, depth, info) = self.topics.images.read(("color", "depth", "camera_info"), self.timeout)
        rgb, metres = color_of(color), depth_of(depth)
        if not rgb.shape[:2] == metres.shape == (info.height, info.width):
            raise RobotError("colour, depth and CameraInfo differ in size: register depth to colour")
        if monotonic() - min(times[:2]) > self.max_age:
            metres = np.zeros_like(metres)
        return View("camera", camera_of(info), self.T_base_cam, rgb, metres)

    def stop(self) -> None:
        """Hold the measured joints."""
        if self.topics.joints.has(self.arm):
            _, joints = self.topics.joints.read(self.arm, 0.0)
            self.topics.move(self.arm, joints, self.stop_seconds)

    def close(self) -> None:
        """End the node."""
        self.topics.close()


def make_robot() -> Ros2Robot:
    """Connect to the robot that the file of parameters in the current folder describes.

    Raises:
        RobotError: The file or ROS 2 is missing, or the gripper does not answer.
    """
    if not Path(PARAMETERS).is_file():
        raise RobotError(f"there is no {PARAMETERS} here: copy that of the example, and write your names")
    try:
        from .topics import Topics
    except ModuleNotFoundError as err:
        raise RobotError(f"'{err.name}' is not installed: source ROS 2's setup file, or install it") from err
    topics = Topics(PARAMETERS)
    try:
        topics.connect(Ros2Robot.timeout)
        return Ros2Robot(topics)
    except BaseException:
        topics.close()
        raise
