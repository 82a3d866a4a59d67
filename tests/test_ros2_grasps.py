"""The node of integrations/ros2: a camera that moves, clients of the action and the service, what they get.

ROS is replaced by a stand-in in one process. With POINT2ACT_REAL_ROS=1 it is not: rclpy, the middleware, the
generated messages and the actions are then those on the path, and only tf2_ros is replaced.
"""

from __future__ import annotations

import array
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import fake_tf2
import numpy as np
import pytest
import synthetic
from fake_ros_graph import importable
from scipy.spatial.transform import Rotation

from point2act.core.errors import ModelError, Point2ActError

PATIENCE = 60.0
VIEWS = synthetic.views(8, height=96, width=128)
RED = synthetic.TABLETOP[0]


def reddest(image: np.ndarray, text: str) -> list[tuple[float, float]]:
    """Point at what is red; a unicorn is not there."""
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    rows, columns = np.nonzero(red > 60 + 1.6 * np.maximum(green, blue))
    if "unicorn" in text or len(rows) < 20:
        return []
    return [(float(np.median(columns)) + 0.5, float(np.median(rows)) + 0.5)]


POINTING = threading.Event()
POINTED_BEFORE = threading.Event()
ASKED: list[str] = []
"""The texts that ``slow`` was asked for."""


def slow(image: np.ndarray, text: str) -> list[tuple[float, float]]:
    """Wait until the test goes on, or for a while, before pointing."""
    ASKED.append(text)
    POINTED_BEFORE.set()
    assert POINTING.wait(PATIENCE)
    return reddest(image, text)


def broken(image: np.ndarray, text: str) -> list[tuple[float, float]]:
    """A function with a mistake."""
    raise ZeroDivisionError("a mistake")


# ── the graph ──────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ROS and the node's package importable."""
    for event in (POINTING, POINTED_BEFORE):
        event.clear()
    ASKED.clear()
    with importable(monkeypatch):
        yield
    POINTING.set()


class Client:
    """A client with a camera that moves."""

    def __init__(self) -> None:
        import rclpy
        from point2act_msgs.action import FindGrasp
        from point2act_msgs.srv import FindGrasps
        from rclpy.action import ActionClient
        from rclpy.callback_groups import ReentrantCallbackGroup
        from rclpy.node import Node
        from sensor_msgs.msg import CameraInfo, Image

        self.node = Node("robot")
        self.publishers = {
            name: self.node.create_publisher(kind, topic, 10)
            for name, kind, topic in (
                ("color", Image, "/camera/color/image_raw"),
                ("depth", Image, "/camera/aligned_depth_to_color/image_raw"),
                ("info", CameraInfo, "/camera/color/camera_info"),
            )
        }
        self.broadcaster = fake_tf2.TransformBroadcaster(self.node)
        group = ReentrantCallbackGroup()
        self.action = ActionClient(self.node, FindGrasp, "/point2act/find_grasp", callback_group=group)
        self.service = self.node.create_client(FindGrasps, "/point2act/ask_again", callback_group=group)
        self.feedback: list[Any] = []
        self.ok = rclpy.ok
        self._moving = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self) -> None:
        """Wait for the node."""
        assert self.action.wait_for_server(timeout_sec=PATIENCE)
        assert self.service.wait_for_service(timeout_sec=PATIENCE)

    @contextmanager
    def moving(self, *, still: bool = False, **changes: Any) -> Iterator[None]:
        """Publish view after view meanwhile, or the same one."""
        self._moving.set()

        def move() -> None:
            number = 0
            while self._moving.is_set():
                self.publish(VIEWS[0 if still else number % len(VIEWS)], **changes)
                number += 1
                time.sleep(0.04)

        thread = threading.Thread(target=move)
        thread.start()
        try:
            yield
        finally:
            self._moving.clear()
            thread.join()

    def publish(
        self,
        view: Any,
        *,
        encoding: str = "rgb8",
        frame: str = "optical",
        base: str = "base_link",
        blind: bool = False,
    ) -> None:
        """Publish a view and the camera's pose of its time."""
        from geometry_msgs.msg import TransformStamped
        from sensor_msgs.msg import CameraInfo, Image

        stamp = self.node.get_clock().now().to_msg()
        message = TransformStamped(child_frame_id="optical")
        message.header.stamp, message.header.frame_id = stamp, base
        transform = message.transform
        translation, rotation = transform.translation, transform.rotation
        translation.x, translation.y, translation.z = view.T_world_cam[:3, 3].tolist()
        quaternion = Rotation.from_matrix(view.T_world_cam[:3, :3]).as_quat().tolist()
        rotation.x, rotation.y, rotation.z, rotation.w = quaternion
        self.broadcaster.sendTransform(message)
        height, width = view.rgb.shape[:2]
        camera = view.camera
        k = [camera.fx, 0.0, camera.cx - 0.5, 0.0, camera.fy, camera.cy - 0.5, 0.0, 0.0, 1.0]
        info = CameraInfo(height=height, width=width, k=k, distortion_model="plumb_bob", d=[0.0] * 5)
        color = Image(height=height, width=width, encoding=encoding, step=3 * width)
        color.data = array.array("B", view.rgb.tobytes())
        depth = Image(height=height, width=width, encoding="16UC1", step=2 * width)
        millimetres = np.round(view.depth * (0 if blind else 1000)).astype("<u2")
        depth.data = array.array("B", millimetres.tobytes())
        for name, one in (("info", info), ("color", color), ("depth", depth)):
            one.header.stamp, one.header.frame_id = stamp, frame
            self.publishers[name].publish(one)

    def send(self, query: str = "the red box", *, max_views: int = 8, duration: float = 20.0) -> Any:
        """Send a goal; return its handle."""
        from point2act_msgs.action import FindGrasp

        goal = FindGrasp.Goal(query=query, max_views=max_views, duration=duration)
        handle = done(self.action.send_goal_async(goal, self.feedback.append))
        assert handle.accepted
        return handle

    def find(self, *words: Any, **options: Any) -> tuple[int, Any]:
        """Send a goal and wait for its status and its grasps."""
        return end(self.send(*words, **options))

    def ask(self, query: str) -> Any:
        """Call the service."""
        from point2act_msgs.srv import FindGrasps

        return done(self.service.call_async(FindGrasps.Request(query=query))).grasps


def done(future: Any) -> Any:
    """Wait for a future that the executor completes."""
    finished = threading.Event()
    future.add_done_callback(lambda _: finished.set())
    assert finished.wait(PATIENCE)
    return future.result()


def end(handle: Any) -> tuple[int, Any]:
    """Wait for a goal's status and grasps."""
    found = done(handle.get_result_async())
    return found.status, found.result.grasps


def until(true: Callable[[], object]) -> None:
    """Wait until something holds."""
    stop = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < stop
        time.sleep(0.01)


class Graph:
    """The node and a client, each in an executor."""

    def __init__(self, node: Any, client: Client, module: ModuleType):
        self.node, self.client, self.module = node, client, module


@contextmanager
def running(**parameters: object) -> Iterator[Graph]:
    """The node with parameters, and a client."""
    import rclpy
    from rclpy.executors import MultiThreadedExecutor

    given = {"pointer": "test_ros2_grasps:reddest", "start_timeout": 1.0} | parameters
    words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    rclpy.init(args=["--ros-args", *words])
    try:
        from point2act_ros import node as module

        node, client = module.GraspNode(), Client()
        executors = []
        for one in (node, client.node):
            executors.append(MultiThreadedExecutor(num_threads=4))
            executors[-1].add_node(one)
        threads = [threading.Thread(target=one.spin) for one in executors]
        for thread in threads:
            thread.start()
        try:
            client.wait()
            yield Graph(node, client, module)
        finally:
            for one in executors:
                one.shutdown()
            for thread in threads:
                thread.join()
            node.close()
            client.action.destroy()
            client.node.destroy_node()
    finally:
        rclpy.try_shutdown()


def scenes() -> int:
    """The number of threads of scenes."""
    gc.collect()
    return sum(thread.name.startswith("scene") for thread in threading.enumerate())


def matrices(grasps: Any) -> np.ndarray:
    """(n, 4, 4) poses of the gripper."""
    from point2act_ros.poses import matrix_of

    return np.array([matrix_of(one.position, one.orientation) for one in grasps.poses.poses])


SUCCEEDED, CANCELED, ABORTED = 4, 5, 6


# ── capture to grasps ──────────────────────────────────────────────────────────────────────────
def test_a_moving_camera_gives_grasps_in_the_base_frame(ros: None) -> None:
    with running() as graph:
        client, latest = graph.client, subscribe(graph.client)
        with client.moving():
            status, grasps = client.find()
        assert status == SUCCEEDED
        assert (grasps.reason, grasps.detail) == ("", "")
        assert grasps.poses.header.frame_id == "base_link"
        T = matrices(grasps)
        assert len(T) == len(grasps.scores) == len(grasps.widths) == len(grasps.openings) > 0
        assert list(grasps.scores) == sorted(grasps.scores, reverse=True)
        # The red box: 6 cm by 8 cm, 10 cm high. The pads are beside it, and come from above or from a side.
        assert np.all(np.linalg.norm(T[:, :2, 3], axis=1) < 0.06)
        assert np.all((T[:, 2, 3] > 0) & (T[:, 2, 3] < 0.12))
        assert np.all(T[:, 2, 2] < 0.3)
        np.testing.assert_allclose(grasps.widths[0], 0.06, atol=0.012)
        assert np.all(np.array(grasps.openings) > np.array(grasps.widths))
        stages = [one.feedback.stage for one in client.feedback]
        assert list(dict.fromkeys(stages))[:3] == [
            "collect the views",
            "ask about the views",
            "find the grasps",
        ]
        assert [one.feedback.views for one in client.feedback][-1] == 8

        until(lambda: len(latest) == 4)
        assert latest["grasps"].poses == grasps.poses.poses
        (detection,) = latest["detections"].detections
        (hypothesis,) = detection.results
        assert hypothesis.hypothesis.class_id == "the red box"
        assert 0 < hypothesis.hypothesis.score <= 1
        at = hypothesis.pose.pose.position
        assert np.all(np.abs(np.array([at.x, at.y, at.z]) - RED.center) < np.array(RED.half_extents) + 0.01)
        assert {one.header.frame_id for one in latest["markers"].markers} == {"base_link"}
        assert len(latest["markers"].markers) == 2 + len(T)
        best, first = latest["tf"].transform, grasps.poses.poses[0]
        assert (best.translation.x, best.rotation) == (first.position.x, first.orientation)

        # The scene of before answers other questions; one without an answer has a reason.
        again = client.ask("the red box")
        np.testing.assert_allclose(matrices(again), T, atol=1e-6)
        nothing = client.ask("the unicorn")
        assert (len(nothing.poses.poses), nothing.reason) == (0, "no_points")
        assert nothing.detail
        assert client.ask("  ").reason == "failed"


def subscribe(client: Client) -> dict[str, Any]:
    """Keep the last message of what the node publishes."""
    from geometry_msgs.msg import PoseArray
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3DArray
    from visualization_msgs.msg import MarkerArray

    latest: dict[str, Any] = {}
    last = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    for name, kind in (("grasps", PoseArray), ("detections", Detection3DArray), ("markers", MarkerArray)):
        client.node.create_subscription(
            kind, f"/point2act/{name}", lambda message, name=name: latest.update({name: message}), last
        )

    def keep(message: Any) -> None:
        for one in message.transforms:
            if one.child_frame_id == "point2act_grasp":
                assert one.header.frame_id == "base_link"
                latest["tf"] = one

    client.node.create_subscription(TFMessage, "/tf", keep, 100)
    return latest


def test_a_query_without_grasps_succeeds_with_a_reason(ros: None) -> None:
    with running() as graph, graph.client.moving():
        status, grasps = graph.client.find("the unicorn", max_views=3)
        assert (status, len(grasps.poses.poses), grasps.reason) == (SUCCEEDED, 0, "no_points")
        assert grasps.detail


def test_a_camera_at_rest_gives_one_view(ros: None) -> None:
    with running() as graph, graph.client.moving(still=True):
        status, grasps = graph.client.find(duration=0.6)
        assert status == SUCCEEDED, grasps.detail
        assert graph.client.feedback[-1].feedback.views == 1


# ── cancel, busy ───────────────────────────────────────────────────────────────────────────────
def test_cancel_while_views_are_collected_leaves_nothing(ros: None) -> None:
    with running() as graph:
        client = graph.client
        until(lambda: scenes() == 0)
        with client.moving():
            handle = client.send(max_views=1000)
            until(lambda: client.feedback and client.feedback[-1].feedback.views >= 2)
            assert scenes() == 1
            done(handle.cancel_goal_async())
            status, grasps = end(handle)
        assert (status, grasps.reason, len(grasps.poses.poses)) == (CANCELED, "canceled", 0)
        until(lambda: scenes() == 0)
        assert {one.topic_name for one in graph.node.subscriptions if "camera" in one.topic_name} == set()
        assert client.ask("the red box").reason == "no_scene"
        with client.moving():
            assert client.find(max_views=3)[0] == SUCCEEDED


def test_cancel_while_the_model_answers_leaves_the_scene_of_before(ros: None) -> None:
    with running(pointer="test_ros2_grasps:slow") as graph, graph.client.moving():
        client = graph.client
        POINTING.set()
        assert client.find(max_views=3)[0] == SUCCEEDED
        for event in (POINTING, POINTED_BEFORE):
            event.clear()
        ASKED.clear()
        handle = client.send(max_views=3)
        assert POINTED_BEFORE.wait(PATIENCE)
        done(handle.cancel_goal_async())
        POINTING.set()
        assert end(handle)[0] == CANCELED
        assert len(ASKED) == 1, "the other images are still asked about"
        until(lambda: scenes() == 1)
        assert client.ask("the red box").reason == ""


def test_a_second_client_gets_busy_as_the_reason(ros: None) -> None:
    with running(pointer="test_ros2_grasps:slow") as graph, graph.client.moving():
        first = graph.client.send(max_views=3)
        assert POINTED_BEFORE.wait(PATIENCE)
        status, grasps = graph.client.find("something else")
        assert (status, grasps.reason) == (ABORTED, "busy")
        assert "another client's goal" in grasps.detail
        assert graph.client.ask("something else").reason == "busy"
        POINTING.set()
        assert end(first)[0] == SUCCEEDED


# ── errors ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("parameters", "published", "complaint"),
    [
        (
            {"base_frame": "bass_link"},
            {},
            "tf does not lead from 'optical' to 'bass_link' at the images' time",
        ),
        ({"camera_frame": "lens"}, {}, "tf does not lead from 'lens' to 'base_link'"),
        ({"depth_topic": "/depth"}, {}, "no view within 1 s: no message on depth_topic"),
        ({}, {"encoding": "mono8"}, "encoded as 'mono8': publish rgb8 or bgr8"),
    ],
)
def test_what_is_wrong_aborts_with_a_sentence(
    ros: None, parameters: dict[str, object], published: dict[str, Any], complaint: str
) -> None:
    with running(**parameters) as graph, graph.client.moving(**published):
        status, grasps = graph.client.find()
        assert (status, grasps.reason, len(grasps.poses.poses)) == (ABORTED, "failed", 0)
        assert complaint in grasps.detail


def test_a_goal_that_cannot_be_is_aborted_with_a_sentence(ros: None) -> None:
    with running() as graph:
        for options, complaint in (
            ({"query": "  "}, "the query is empty"),
            ({"duration": float("nan")}, "the duration is nan s"),
            ({"duration": -1.0}, "the duration is -1 s"),
        ):
            status, grasps = graph.client.find(**options)
            assert (status, grasps.reason) == (ABORTED, "failed")
            assert complaint in grasps.detail


def test_a_mistake_in_a_pointer_aborts_and_the_node_goes_on(ros: None) -> None:
    with running(pointer="test_ros2_grasps:broken") as graph, graph.client.moving():
        for _ in range(2):
            status, grasps = graph.client.find(max_views=1)
            assert (status, grasps.reason, grasps.detail) == (
                ABORTED,
                "failed",
                "ZeroDivisionError: a mistake",
            )


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"pointer": '""'}, "no model and no pointer, or both"),
        ({"model": "molmo_7b"}, "no model and no pointer, or both"),
        ({"pointer": "test_ros2_grasps:nothing"}, "has no attribute 'nothing'"),
        ({"pointer": "no_such_module:nothing"}, "No module named 'no_such_module'"),
        ({"pointer": "test_ros2_grasps:VIEWS"}, "which is no function"),
        ({"pointer": '""', "model": "no_such_model"}, "no_such_model"),
        ({"gripper": "no_such_gripper"}, "no_such_gripper"),
    ],
)
def test_wrong_parameters_are_an_error_at_the_start(
    ros: None, parameters: dict[str, object], complaint: str
) -> None:
    with pytest.raises(Point2ActError, match=complaint), running(**parameters):
        raise ModelError("the node has started")


def test_images_without_a_reading_are_skipped(ros: None) -> None:
    with running() as graph, graph.client.moving(blind=True):
        status, grasps = graph.client.find()
        assert (status, grasps.reason) == (ABORTED, "failed")
        assert "the depth images have no reading" in grasps.detail
