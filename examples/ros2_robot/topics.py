"""Topics of a robot in ROS 2, and the action of its gripper."""

from collections.abc import Sequence
from threading import Thread
from typing import Any

import rclpy
from control_msgs.action import GripperCommand
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from point2act.core.errors import RobotError

from .latest import Latest

IMAGES = {"color": Image, "depth": Image, "camera_info": CameraInfo}


class Topics:
    """A node that keeps what arrives, and sends set points."""

    def __init__(self, parameters: str):
        """Start it with the parameters of a file."""
        # Ctrl-C must not end ROS before the robot holds still.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        given = ["--ros-args", "--params-file", parameters]
        self.node = Node("point2act", cli_args=given, automatically_declare_parameters_from_overrides=True)
        self.joints, self.images = Latest("joint states"), Latest("messages")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def connect(self, timeout: float) -> None:
        """Subscribe and advertise, and wait for the gripper: its goals are lost before it answers."""
        self._subscribe(JointState, "joint_states", self._keep_joints)
        for name, kind in IMAGES.items():
            self._subscribe(kind, name, lambda message, name=name: self.images.keep({name: message}))
        self._arm = self.node.create_publisher(JointTrajectory, self.value("trajectory"), 1)
        self._gripper = ActionClient(self.node, GripperCommand, self.value("gripper"))
        if not self._gripper.wait_for_server(timeout_sec=timeout):
            raise RobotError(
                f"the action {self.value('gripper')} does not answer within {timeout:g} s: start its driver"
            )

    def value(self, name: str) -> Any:
        """Return a parameter."""
        if not self.node.has_parameter(name):
            raise RobotError(f"the parameters do not give '{name}': compare with those of the example")
        return self.node.get_parameter(name).value

    def _subscribe(self, kind: Any, name: str, callback: Any) -> None:
        self.node.create_subscription(kind, self.value(name), callback, qos_profile_sensor_data)

    def _keep_joints(self, message: Any) -> None:
        self.joints.keep(dict(zip(message.name, message.position, strict=False)))

    def move(self, names: Sequence[str], positions: Sequence[float], seconds: float) -> None:
        """Have the trajectory controller be at joint positions after a time."""
        point = JointTrajectoryPoint()
        point.positions, point.time_from_start = list(positions), Duration(seconds=seconds).to_msg()
        message = JointTrajectory()  # without a time stamp it starts at once
        message.joint_names, message.points = list(names), [point]
        self._arm.publish(message)

    def grip(self, position: float, force: float) -> None:
        """Have the gripper move; what it says of the end shows in the joint states."""
        goal = GripperCommand.Goal()
        goal.command.position, goal.command.max_effort = position, force
        self._gripper.send_goal_async(goal)

    def close(self) -> None:
        """End the node and ROS."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown()
