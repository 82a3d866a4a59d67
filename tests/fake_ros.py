"""The part of ROS 2 that a driver needs, without ROS: messages are recorded and delivered."""

from __future__ import annotations

import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import yaml


# ── messages: fields as in their .msg files; another name is an error ─────────────────────────
@dataclass(slots=True)
class Time:
    sec: int = 0
    nanosec: int = 0


@dataclass(slots=True)
class Header:
    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass(slots=True)
class JointState:
    header: Header = field(default_factory=Header)
    name: list[str] = field(default_factory=list)
    position: array.array = field(default_factory=lambda: array.array("d"))
    velocity: array.array = field(default_factory=lambda: array.array("d"))
    effort: array.array = field(default_factory=lambda: array.array("d"))


@dataclass(slots=True)
class Image:
    header: Header = field(default_factory=Header)
    height: int = 0
    width: int = 0
    encoding: str = ""
    is_bigendian: int = 0
    step: int = 0
    data: array.array = field(default_factory=lambda: array.array("B"))


@dataclass(slots=True)
class CameraInfo:
    header: Header = field(default_factory=Header)
    height: int = 0
    width: int = 0
    distortion_model: str = ""
    d: array.array = field(default_factory=lambda: array.array("d"))
    k: list[float] = field(default_factory=lambda: [0.0] * 9)
    r: list[float] = field(default_factory=lambda: [0.0] * 9)
    p: list[float] = field(default_factory=lambda: [0.0] * 12)


@dataclass(slots=True)
class JointTrajectoryPoint:
    positions: list[float] = field(default_factory=list)
    velocities: list[float] = field(default_factory=list)
    accelerations: list[float] = field(default_factory=list)
    effort: list[float] = field(default_factory=list)
    time_from_start: Time = field(default_factory=Time)


@dataclass(slots=True)
class JointTrajectory:
    header: Header = field(default_factory=Header)
    joint_names: list[str] = field(default_factory=list)
    points: list[JointTrajectoryPoint] = field(default_factory=list)


@dataclass(slots=True)
class Command:
    position: float = 0.0
    max_effort: float = 0.0


class GripperCommand:
    @dataclass(slots=True)
    class Goal:
        command: Command = field(default_factory=Command)


# ── rclpy ──────────────────────────────────────────────────────────────────────────────────────
@dataclass
class Duration:
    seconds: float

    def __init__(self, *, seconds: float):
        self.seconds = seconds

    def to_msg(self) -> Time:
        return Time(*divmod(int(self.seconds * 1e9), 10**9))


class Ros:
    """What a node has done, and messages for it."""

    def __init__(self) -> None:
        self.running = False
        self.subscribed: dict[str, tuple[type, Callable[[Any], None]]] = {}
        self.published: dict[str, list[Any]] = {}
        self.goals: dict[str, list[Any]] = {}
        self.gripper_answers = True
        self.signals: object = None
        self.spun = self.destroyed = False

    def deliver(self, topic: str, message: Any) -> None:
        """Have a message arrive."""
        kind, callback = self.subscribed[topic]
        assert isinstance(message, kind)
        callback(message)

    def modules(self) -> dict[str, ModuleType]:
        """All modules, by their names."""
        named: dict[str, dict[str, Any]] = {
            "rclpy": {"init": self._init, "shutdown": self._shutdown},
            "rclpy.action": {"ActionClient": self._client},
            "rclpy.duration": {"Duration": Duration},
            "rclpy.executors": {"SingleThreadedExecutor": self._executor},
            "rclpy.node": {"Node": self._node},
            "rclpy.qos": {"qos_profile_sensor_data": "sensor data"},
            "rclpy.signals": {"SignalHandlerOptions": SimpleNamespace(NO="none")},
            "control_msgs": {},
            "control_msgs.action": {"GripperCommand": GripperCommand},
            "sensor_msgs": {},
            "sensor_msgs.msg": {"CameraInfo": CameraInfo, "Image": Image, "JointState": JointState},
            "trajectory_msgs": {},
            "trajectory_msgs.msg": {
                "JointTrajectory": JointTrajectory,
                "JointTrajectoryPoint": JointTrajectoryPoint,
            },
        }
        made = {}
        for name, content in named.items():
            made[name] = ModuleType(name)
            vars(made[name]).update(content)
        return made

    def _init(self, *, args: list[str], signal_handler_options: object) -> None:
        self.running, self.signals = True, signal_handler_options

    def _shutdown(self) -> None:
        assert self.destroyed
        self.running = False

    def _node(self, name: str, *, cli_args: list[str], automatically_declare_parameters_from_overrides: bool):
        assert self.running
        assert automatically_declare_parameters_from_overrides
        assert cli_args[:2] == ["--ros-args", "--params-file"]
        given = yaml.safe_load(Path(cli_args[2]).read_text(encoding="utf-8"))["/**"]["ros__parameters"]
        for value in given.values():
            assert not isinstance(value, list) or len({type(one) for one in value}) == 1
        return SimpleNamespace(
            has_parameter=lambda name: name in given,
            get_parameter=lambda name: SimpleNamespace(value=given[name]),
            create_subscription=self._subscribe,
            create_publisher=self._publisher,
            destroy_node=self._destroy,
        )

    def _destroy(self) -> None:
        self.destroyed = True

    def _subscribe(self, kind: type, topic: str, callback: Callable[[Any], None], qos: object) -> None:
        # Of any publisher: a reliable subscription gets nothing from one that is not.
        assert qos == "sensor data"
        self.subscribed[topic] = kind, callback

    def _publisher(self, kind: type, topic: str, depth: int):
        sent = self.published.setdefault(topic, [])

        def publish(message: Any) -> None:
            assert self.running
            assert isinstance(message, kind)
            sent.append(message)

        return SimpleNamespace(publish=publish)

    def _client(self, node: object, kind: type, name: str):
        sent = self.goals.setdefault(name, [])
        return SimpleNamespace(
            wait_for_server=lambda timeout_sec: self.gripper_answers, send_goal_async=sent.append
        )

    def _executor(self):
        def spin() -> None:
            self.spun = True

        return SimpleNamespace(add_node=lambda node: None, spin=spin, shutdown=lambda: None)
