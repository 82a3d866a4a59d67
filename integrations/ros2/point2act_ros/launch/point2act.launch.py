"""Start the node: ros2 launch point2act_ros point2act.launch.py params_file:=my_robot.yaml."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the node with its file of parameters."""
    default = PathJoinSubstitution([FindPackageShare("point2act_ros"), "config", "point2act.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "params_file", default_value=default, description="Parameters of the node, see the default."
            ),
            Node(
                package="point2act_ros",
                executable="point2act_node",
                name="point2act",
                output="screen",
                parameters=[LaunchConfiguration("params_file")],
            ),
        ]
    )
