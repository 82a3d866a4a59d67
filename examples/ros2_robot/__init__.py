"""A robot in ROS 2: point2act act CAPTURE --robot ros2_robot:make_robot.

Copy this folder to where you are, and its ros2_robot.yaml beside it: write the names and the camera's pose of
your robot there.
"""

from .robot import Ros2Robot, make_robot

__all__ = ["Ros2Robot", "make_robot"]
