"""The part of ROS 2 that a node with topics, a service and an action needs, in one process and without ROS.

Messages have the fields of their .msg files, and another name is an error. Callbacks of topics, services and
actions are called from threads, so that they meet each other as they do in ROS.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future as _Future
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import fake_tf2
import pytest
import yaml
from fake_ros import CameraInfo, Header, Image, JointTrajectory, JointTrajectoryPoint, Time

INTEGRATION = Path(__file__).resolve().parent.parent / "integrations" / "ros2"
REAL = os.environ.get("POINT2ACT_REAL_ROS") == "1"
"""Whether ROS is the one on the path: its middleware, messages and actions. tf2_ros is replaced even then."""


@contextmanager
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have ROS and the package point2act_ros be importable."""
    if not REAL:
        for name, module in modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "tf2_ros", fake_tf2.module())
    monkeypatch.syspath_prepend(INTEGRATION / "point2act_ros")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "point2act_ros"]:
        del sys.modules[name]


# ── messages ───────────────────────────────────────────────────────────────────────────────────
def _message(name: str, **defaults: Any) -> type:
    """A message type: each field's default is a value, or a type or function that makes it."""
    made = [
        (key, Any, field(default_factory=value) if callable(value) else field(default=value))
        for key, value in defaults.items()
    ]
    return make_dataclass(name, made, kw_only=True, slots=True)


Point = _message("Point", x=0.0, y=0.0, z=0.0)
Vector3 = _message("Vector3", x=0.0, y=0.0, z=0.0)
Quaternion = _message("Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
Pose = _message("Pose", position=Point, orientation=Quaternion)
PoseArray = _message("PoseArray", header=Header, poses=list)
PoseStamped = _message("PoseStamped", header=Header, pose=Pose)
PoseWithCovariance = _message("PoseWithCovariance", pose=Pose, covariance=lambda: [0.0] * 36)
Transform = _message("Transform", translation=Vector3, rotation=Quaternion)
TransformStamped = _message("TransformStamped", header=Header, child_frame_id="", transform=Transform)
Vector3Stamped = _message("Vector3Stamped", header=Header, vector=Vector3)
TFMessage = _message("TFMessage", transforms=list)
ColorRGBA = _message("ColorRGBA", r=0.0, g=0.0, b=0.0, a=0.0)
ObjectHypothesis = _message("ObjectHypothesis", class_id="", score=0.0)
ObjectHypothesisWithPose = _message(
    "ObjectHypothesisWithPose", hypothesis=ObjectHypothesis, pose=PoseWithCovariance
)
BoundingBox3D = _message("BoundingBox3D", center=Pose, size=Vector3)
Detection3D = _message("Detection3D", header=Header, results=list, bbox=BoundingBox3D, id="")
Detection3DArray = _message("Detection3DArray", header=Header, detections=list)
MarkerArray = _message("MarkerArray", markers=list)
GripperTranslation = _message(
    "GripperTranslation", direction=Vector3Stamped, desired_distance=0.0, min_distance=0.0
)
MoveItGrasp = _message(
    "Grasp",
    id="",
    pre_grasp_posture=JointTrajectory,
    grasp_posture=JointTrajectory,
    grasp_pose=PoseStamped,
    grasp_quality=0.0,
    pre_grasp_approach=GripperTranslation,
    post_grasp_retreat=GripperTranslation,
    post_place_retreat=GripperTranslation,
    max_contact_force=0.0,
    allowed_touch_objects=list,
)
Grasps = _message("Grasps", poses=PoseArray, scores=list, widths=list, openings=list, reason="", detail="")


@dataclass(kw_only=True, slots=True)
class Marker:
    CUBE: ClassVar[int] = 1
    LINE_LIST: ClassVar[int] = 5
    ADD: ClassVar[int] = 0
    DELETEALL: ClassVar[int] = 3
    header: Header = field(default_factory=Header)
    ns: str = ""
    id: int = 0
    type: int = 0
    action: int = 0
    pose: Any = field(default_factory=Pose)
    scale: Any = field(default_factory=Vector3)
    color: Any = field(default_factory=ColorRGBA)
    points: list[Any] = field(default_factory=list)


class FindGrasp:
    Goal = _message("Goal", query="", max_views=0, duration=0.0)
    Result = _message("Result", grasps=Grasps)
    Feedback = _message("Feedback", views=0, stage="")


class FindGrasps:
    Request = _message("Request", query="")
    Response = _message("Response", grasps=Grasps)


# ── rclpy ──────────────────────────────────────────────────────────────────────────────────────
class Future(_Future):
    """A future; its callbacks are called by the thread that completes it."""


@dataclass
class Duration:
    nanoseconds: int

    def __init__(self, *, seconds: float):
        self.nanoseconds = round(seconds * 1e9)


@dataclass
class RosTime:
    nanoseconds: int

    @staticmethod
    def from_msg(message: Time) -> RosTime:
        return RosTime(message.sec * 10**9 + message.nanosec)

    def to_msg(self) -> Time:
        return Time(*divmod(self.nanoseconds, 10**9))


class Graph:
    """All nodes of the process, and the parameters given to them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.parameters: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.running = False
        self.threads = ThreadPoolExecutor(16, thread_name_prefix="ros")

    def init(self, args: list[str] | None = None) -> None:
        assert not self.running
        given = [word for word in args or [] if word not in ("--ros-args", "-p")]
        self.parameters = {
            name: yaml.safe_load(text) for name, _, text in (word.partition(":=") for word in given)
        }
        self.running, self.nodes, self.last = True, [], {}

    def shutdown(self) -> None:
        self.running = False

    def call(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call a callback in a thread of the executors."""
        if self.running:
            self.threads.submit(callback, *arguments)

    def find(self, kind: str, name: str) -> Any:
        return next((node.__dict__[kind][name] for node in self.nodes if name in node.__dict__[kind]), None)


GRAPH = Graph()


class Node:
    """A node."""

    def __init__(self, name: str) -> None:
        assert GRAPH.running
        self.name = name
        self.subscribers: list[SimpleNamespace] = []
        self.services: dict[str, Any] = {}
        self.actions: dict[str, Any] = {}
        self.stopped = threading.Event()
        self.timers: list[threading.Thread] = []
        GRAPH.nodes.append(self)

    def resolve(self, name: str) -> str:
        return name.replace("~", f"/{self.name}")

    @property
    def subscriptions(self) -> list[SimpleNamespace]:
        return list(self.subscribers)

    def declare_parameter(self, name: str, default: Any) -> SimpleNamespace:
        value = GRAPH.parameters.get(name, default)
        assert type(value) is type(default), f"parameter {name} of another type"
        return SimpleNamespace(value=value)

    def create_publisher(self, kind: type, topic: str, qos: Any) -> SimpleNamespace:
        topic = self.resolve(topic)
        latched = getattr(qos, "durability", None) == "transient local"

        def publish(message: Any) -> None:
            assert type(message) is kind
            if latched:
                GRAPH.last[topic] = message
            for node in GRAPH.nodes:
                for one in node.subscriptions:
                    if one.topic_name == topic:
                        assert one.kind is kind
                        GRAPH.call(one.callback, message)

        return SimpleNamespace(publish=publish)

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: Any, *, callback_group: Any = None
    ) -> SimpleNamespace:
        made = SimpleNamespace(kind=kind, topic_name=self.resolve(topic), callback=callback)
        self.subscribers.append(made)
        if made.topic_name in GRAPH.last:
            GRAPH.call(callback, GRAPH.last[made.topic_name])
        return made

    def destroy_subscription(self, subscription: SimpleNamespace) -> None:
        self.subscribers.remove(subscription)

    def create_service(
        self, kind: Any, name: str, callback: Callable[..., Any], *, callback_group: Any
    ) -> None:
        self.services[self.resolve(name)] = lambda request: callback(request, kind.Response())

    def create_client(self, kind: Any, name: str, *, callback_group: Any) -> SimpleNamespace:
        def call_async(request: Any) -> Future:
            assert type(request) is kind.Request
            future = Future()
            GRAPH.call(lambda: future.set_result(GRAPH.find("services", name)(request)))
            return future

        return SimpleNamespace(
            call_async=call_async,
            wait_for_service=lambda timeout_sec: GRAPH.find("services", name) is not None,
        )

    def create_timer(self, period: float, callback: Callable[[], None], *, callback_group: Any) -> None:
        def tick() -> None:
            while not self.stopped.wait(period):
                callback()

        self.timers.append(threading.Thread(target=tick))
        self.timers[-1].start()

    def get_clock(self) -> SimpleNamespace:
        return SimpleNamespace(now=lambda: RosTime(time.time_ns()))

    def get_logger(self) -> SimpleNamespace:
        return SimpleNamespace(error=lambda text: None)

    def destroy_node(self) -> None:
        self.stopped.set()
        for thread in self.timers:
            thread.join()
        GRAPH.nodes.remove(self)


class ServerGoal:
    """The handle of a goal for the server."""

    def __init__(self, request: Any, feedback: Callable[[Any], None] | None) -> None:
        self.request, self.status, self.is_cancel_requested = request, 2, False
        self._feedback = feedback

    def publish_feedback(self, feedback: Any) -> None:
        assert type(feedback) is FindGrasp.Feedback
        assert self.status == 2
        if self._feedback is not None:
            self._feedback(SimpleNamespace(feedback=feedback))

    def succeed(self) -> None:
        self._end(4)

    def canceled(self) -> None:
        assert self.is_cancel_requested
        self._end(5)

    def abort(self) -> None:
        self._end(6)

    def _end(self, status: int) -> None:
        assert self.status == 2, "the goal has ended"
        self.status = status


class ActionServer:
    """An action."""

    def __init__(
        self,
        node: Node,
        kind: Any,
        name: str,
        *,
        execute_callback: Any,
        cancel_callback: Any,
        callback_group: Any,
    ) -> None:
        self.kind, self.execute, self.cancel = kind, execute_callback, cancel_callback
        self._node, self._name = node, node.resolve(name)
        node.actions[self._name] = self

    def destroy(self) -> None:
        del self._node.actions[self._name]


class ActionClient:
    """A client of an action."""

    def __init__(self, node: Node, kind: Any, name: str, *, callback_group: Any) -> None:
        self._kind, self._name = kind, name

    def wait_for_server(self, timeout_sec: float) -> bool:
        return GRAPH.find("actions", self._name) is not None

    def send_goal_async(self, request: Any, feedback: Callable[[Any], None] | None = None) -> Future:
        assert type(request) is self._kind.Goal
        server, goal, finished = GRAPH.find("actions", self._name), ServerGoal(request, feedback), Future()

        def execute() -> None:
            result = server.execute(goal)
            assert type(result) is self._kind.Result
            finished.set_result(SimpleNamespace(status=goal.status, result=result))

        def cancel() -> Future:
            future = Future()
            goal.is_cancel_requested = server.cancel(goal) == "accept"
            future.set_result(None)
            return future

        GRAPH.call(execute)
        accepted = Future()
        accepted.set_result(
            SimpleNamespace(accepted=True, get_result_async=lambda: finished, cancel_goal_async=cancel)
        )
        return accepted

    def destroy(self) -> None:
        pass


class MultiThreadedExecutor:
    """Waits: callbacks have threads of their own."""

    def __init__(self, num_threads: int) -> None:
        assert num_threads >= 2, "an action that waits would keep images from arriving"
        self._stopped = threading.Event()

    def add_node(self, node: Node) -> None:
        assert node in GRAPH.nodes

    def spin(self) -> None:
        self._stopped.wait()

    def shutdown(self) -> None:
        self._stopped.set()


def modules() -> dict[str, ModuleType]:
    """All modules, by their names."""
    durability = SimpleNamespace(TRANSIENT_LOCAL="transient local")
    named: dict[str, dict[str, Any]] = {
        "rclpy": {"init": GRAPH.init, "try_shutdown": GRAPH.shutdown, "ok": lambda: GRAPH.running},
        "rclpy.action": {
            "ActionClient": ActionClient,
            "ActionServer": ActionServer,
            "CancelResponse": SimpleNamespace(ACCEPT="accept"),
        },
        "rclpy.callback_groups": {"ReentrantCallbackGroup": SimpleNamespace},
        "rclpy.duration": {"Duration": Duration},
        "rclpy.executors": {"MultiThreadedExecutor": MultiThreadedExecutor},
        "rclpy.logging": {"get_logger": lambda name: Node.get_logger(None)},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {
            "DurabilityPolicy": durability,
            "QoSProfile": SimpleNamespace,
            "qos_profile_sensor_data": "sensor data",
        },
        "rclpy.signals": {"SignalHandlerOptions": SimpleNamespace(NO="none")},
        "rclpy.time": {"Time": RosTime},
        "geometry_msgs": {},
        "geometry_msgs.msg": _listed(Point, Pose, PoseArray, PoseStamped, TransformStamped),
        "moveit_msgs": {},
        "moveit_msgs.msg": {"Grasp": MoveItGrasp, "GripperTranslation": GripperTranslation},
        "point2act_msgs": {},
        "point2act_msgs.action": _listed(FindGrasp),
        "point2act_msgs.msg": _listed(Grasps),
        "point2act_msgs.srv": _listed(FindGrasps),
        "sensor_msgs": {},
        "sensor_msgs.msg": _listed(CameraInfo, Image),
        "std_msgs": {},
        "std_msgs.msg": _listed(Header),
        "tf2_msgs": {},
        "tf2_msgs.msg": _listed(TFMessage),
        "trajectory_msgs": {},
        "trajectory_msgs.msg": _listed(JointTrajectory, JointTrajectoryPoint),
        "vision_msgs": {},
        "vision_msgs.msg": _listed(Detection3D, Detection3DArray, ObjectHypothesisWithPose),
        "visualization_msgs": {},
        "visualization_msgs.msg": _listed(Marker, MarkerArray),
    }
    made = {}
    for name, content in named.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(content)
    return made


def _listed(*types: Any) -> dict[str, Any]:
    return {one.__name__: one for one in types}
