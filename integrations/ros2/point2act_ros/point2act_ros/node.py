"""The node: an action that collects views and finds grasps, and a service that asks again."""

from __future__ import annotations

import pkgutil
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Pose, PoseArray
from jaxtyping import Float
from point2act_msgs.action import FindGrasp
from point2act_msgs.msg import Grasps
from point2act_msgs.srv import FindGrasps
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.duration import Duration
from rclpy.executors import MultiThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_ros import Buffer, TransformBroadcaster, TransformException, TransformListener
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

import point2act
from point2act.core.errors import CaptureError, ModelError, Point2ActError
from point2act.core.types import Camera, QueryResult, View
from point2act.pipeline.live_session import LiveSession
from point2act.pipeline.query import AnswerConfig
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import PointFunction
from point2act.vlm.pointing.questions import pointer_questions

from .frames import Frames
from .images import view_of
from .poses import matrix_of, moved
from .results import to_detections, to_failure, to_grasps, to_markers, to_transform
from .watched import WatchedPointer

_POLL = 0.05
"""Longest time between two checks for a cancellation while views are collected, seconds."""
_PERIOD = 0.1
"""Time between two messages of the best grasp to tf, seconds."""


@dataclass(frozen=True)
class Settings:
    """The node's parameters, see config/point2act.yaml."""

    color_topic: str = "/camera/color/image_raw"
    depth_topic: str = "/camera/aligned_depth_to_color/image_raw"
    info_topic: str = "/camera/color/camera_info"
    rectified: bool = False
    base_frame: str = "base_link"
    camera_frame: str = ""
    model: str = ""
    server: str = ""
    pointer: str = ""
    gripper: str = "panda"
    arm: str = ""
    min_translation: float = 0.03
    min_rotation: float = 0.15
    max_views: int = 20
    duration: float = 30.0
    max_time_difference: float = 0.02
    tf_timeout: float = 0.2
    start_timeout: float = 5.0
    grasp_frame: str = "point2act_grasp"


class CanceledError(Exception):
    """The client does not want the result any more."""


class GraspNode(Node):
    """Finds grasps for one client at a time; another one is answered at once that the node is busy.

    Topics: ``~/grasps``, ``~/detections`` and ``~/markers`` with the last results; tf has the best grasp.
    """

    def __init__(self) -> None:
        """Declare the parameters, and offer the action ``~/find_grasp`` and the service ``~/ask_again``.

        Raises:
            Point2ActError: The parameters name no model or pointer, or one that does not exist.
        """
        super().__init__("point2act")
        self.settings = settings = Settings(
            **{one.name: self.declare_parameter(one.name, one.default).value for one in fields(Settings)}
        )
        self._questions = _question_factory(settings)
        point2act.load_gripper(settings.gripper)
        self._working, self._stopping = Lock(), False
        self._session: LiveSession | None = None
        self._best: Pose | None = None
        self._tf, self._broadcaster = Buffer(), TransformBroadcaster(self)
        self._listener = TransformListener(self._tf, self)
        last = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._grasps = self.create_publisher(PoseArray, "~/grasps", last)
        self._detections = self.create_publisher(Detection3DArray, "~/detections", last)
        self._markers = self.create_publisher(MarkerArray, "~/markers", last)
        group = ReentrantCallbackGroup()
        self._action = ActionServer(
            self,
            FindGrasp,
            "~/find_grasp",
            execute_callback=self._find,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=group,
        )
        self.create_service(FindGrasps, "~/ask_again", self._ask_again, callback_group=group)
        self.create_timer(_PERIOD, self._send_best, callback_group=group)

    def stop(self) -> None:
        """Have a goal that is being executed end soon."""
        self._stopping = True

    def close(self) -> None:
        """End the node."""
        self._action.destroy()
        self.destroy_node()

    # ── the action and the service ──────────────────────────────────────────────────────────
    def _find(self, goal: Any) -> FindGrasp.Result:
        """Execute a goal; its end always has a result with grasps or a reason."""
        with self._for_one_client() as free:
            if not free:
                goal.abort()
                return FindGrasp.Result(
                    grasps=self._failure("busy", "another client's goal is being executed")
                )
            try:
                grasps = self._collect_and_ask(goal)
            except CanceledError:
                goal.canceled()
                grasps = self._failure("canceled", "the client has canceled the goal")
            except Exception as err:
                goal.abort()
                grasps = self._failed(err)
            else:
                goal.succeed()
            return FindGrasp.Result(grasps=grasps)

    def _ask_again(self, request: FindGrasps.Request, response: FindGrasps.Response) -> FindGrasps.Response:
        with self._for_one_client() as free:
            if not free:
                response.grasps = self._failure("busy", "another client's goal is being executed")
            elif self._session is None:
                response.grasps = self._failure(
                    "no_scene", "there is no scene yet: send a goal to find_grasp first"
                )
            else:
                try:
                    response.grasps = self._ask(self._session, request.query, lambda stage: None)
                except Exception as err:
                    response.grasps = self._failed(err)
        return response

    @contextmanager
    def _for_one_client(self) -> Iterator[bool]:
        free = self._working.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._working.release()

    # ── from views to grasps ────────────────────────────────────────────────────────────────
    def _collect_and_ask(self, goal: Any) -> Grasps:
        views = 0

        def enter(stage: str) -> None:
            self._check(goal)
            goal.publish_feedback(FindGrasp.Feedback(views=views, stage=stage))

        if not goal.request.query.strip():
            raise CaptureError("the query is empty: say in words what is to be found")
        enter("collect the views")
        session: LiveSession | None = None
        with closing(self._collect(goal)) as collected:
            for view in collected:
                session = session or self._start(view.camera)
                assert view.depth is not None
                session.add_view(view.rgb, view.depth, view.T_world_cam)
                views += 1
                enter("collect the views")
        assert session is not None
        found = self._ask(session, goal.request.query, enter)
        self._session = session
        return found

    def _start(self, camera: Camera) -> LiveSession:
        answer = AnswerConfig(gripper=self.settings.gripper, arm=self.settings.arm or None)
        return point2act.Session.start(
            camera, T_base_world=np.eye(4), config=point2act.RunConfig(answer=answer)
        )

    def _check(self, goal: Any) -> None:
        if goal.is_cancel_requested:
            raise CanceledError
        if self._stopping:
            raise Point2ActError("the node is being stopped")

    def _collect(self, goal: Any) -> Generator[View, None, None]:
        """Yield views while the camera moves, until there are enough or the time is over.

        Raises:
            CanceledError: The client has canceled.
            CaptureError: There is no view soon, or an image cannot be used.
        """
        settings, wanted = self.settings, goal.request
        if not (np.isfinite(wanted.duration) and wanted.duration >= 0):
            raise CaptureError(
                f"the duration is {wanted.duration:g} s: give a positive number, or 0 for the parameter"
            )
        max_views, duration = wanted.max_views or settings.max_views, wanted.duration or settings.duration
        end, count, problem = monotonic() + settings.start_timeout, 0, ""
        T_last: Float[np.ndarray, "4 4"] | None = None
        with self._subscribed() as frames:
            while count < max_views and monotonic() < end:
                self._check(goal)
                taken = frames.take(_POLL)
                if taken is None:
                    continue
                color, depth, info = taken
                try:
                    T_base_cam = self._camera_pose(color.header)
                except TransformException as err:
                    problem = self._no_transform(color.header, err)
                    continue
                if T_last is not None and not moved(
                    T_last,
                    T_base_cam,
                    min_translation=settings.min_translation,
                    min_rotation=settings.min_rotation,
                ):
                    continue
                view = view_of(color, depth, info, T_base_cam, rectified=settings.rectified)
                if view.depth is None or not view.depth.any():
                    problem = "the depth images have no reading: nothing is within the camera's range"
                    continue
                yield view
                T_last, count = T_base_cam, count + 1
                if count == 1:
                    # Only now: the session has started, which takes seconds once.
                    end = monotonic() + duration
            if count == 0:
                raise CaptureError(
                    f"no view within {settings.start_timeout:g} s: {problem or frames.missing()}"
                )

    @contextmanager
    def _subscribed(self) -> Iterator[Frames]:
        """Subscribe to the camera for a while: nothing is received in between."""
        settings, group = self.settings, ReentrantCallbackGroup()
        frames = Frames(settings.max_time_difference)
        topics = [
            ("color", Image, settings.color_topic),
            ("depth", Image, settings.depth_topic),
            ("info", CameraInfo, settings.info_topic),
        ]
        subscriptions = [
            self.create_subscription(
                kind, topic, partial(frames.add, name), qos_profile_sensor_data, callback_group=group
            )
            for name, kind, topic in topics
        ]
        try:
            yield frames
        finally:
            for one in subscriptions:
                self.destroy_subscription(one)

    def _camera_pose(self, header: Header) -> Float[np.ndarray, "4 4"]:
        found = self._tf.lookup_transform(
            self.settings.base_frame,
            self.settings.camera_frame or header.frame_id,
            Time.from_msg(header.stamp),
            timeout=Duration(seconds=self.settings.tf_timeout),
        )
        return matrix_of(found.transform.translation, found.transform.rotation)

    def _no_transform(self, header: Header, err: TransformException) -> str:
        camera = self.settings.camera_frame or header.frame_id
        return (
            f"tf does not lead from '{camera}' to '{self.settings.base_frame}' at the images' time ({err}): "
            "correct base_frame or camera_frame, or publish what is missing"
        )

    def _ask(self, session: LiveSession, text: str, on_stage: Callable[[str], None]) -> Grasps:
        """Ask about every view, find the grasps and publish them; ``on_stage`` may raise to end this."""
        asked = self._questions(text)
        watched = WatchedPointer(asked.pointer, lambda: on_stage("ask about the views"))
        answers = point2act.ask(session.capture, replace(asked, pointer=watched))
        on_stage("find the grasps")
        results = session.ask(answers).results
        on_stage("publish the grasps")
        return self._publish(results)

    # ── results ─────────────────────────────────────────────────────────────────────────────
    def _publish(self, results: Sequence[QueryResult]) -> Grasps:
        header = self._header()
        grasps = to_grasps(results, header)
        self._grasps.publish(grasps.poses)
        self._detections.publish(to_detections(results, header))
        self._markers.publish(to_markers(results, header))
        self._best = grasps.poses.poses[0] if grasps.poses.poses else None
        return grasps

    def _send_best(self) -> None:
        best = self._best
        if best is not None:
            self._broadcaster.sendTransform(to_transform(best, self._header(), self.settings.grasp_frame))

    def _header(self) -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=self.settings.base_frame)

    def _failure(self, reason: str, detail: str) -> Grasps:
        return to_failure(reason, detail, self._header())

    def _failed(self, err: Exception) -> Grasps:
        """Report an error: what a user can fix as its sentence, anything else in full in the log."""
        if isinstance(err, Point2ActError):
            detail = str(err)
            self.get_logger().error(detail)
        else:
            detail = f"{type(err).__name__}: {err}"
            self.get_logger().error("".join(traceback.format_exception(err)))
        return self._failure("failed", detail)


def _question_factory(settings: Settings) -> Callable[[str], Questions]:
    """Return what makes questions for a text: of the model, or of the function, that the parameters name."""
    if bool(settings.model) == bool(settings.pointer):
        raise ModelError("the parameters name no model and no pointer, or both: give one of them")
    if settings.pointer:
        function = _named_function(settings.pointer)
        return lambda text: pointer_questions([text], function)
    client = point2act.ClientConfig(model=settings.model, server=settings.server or None)

    def ask_model(text: str) -> Questions:
        return point2act.open_questions([text], config=point2act.AskConfig(client=client))

    ask_model("anything")  # A wrong name is an error now.
    return ask_model


def _named_function(name: str) -> PointFunction:
    try:
        function = pkgutil.resolve_name(name)
    except (ValueError, ImportError, AttributeError) as err:
        raise ModelError(
            f"the parameter pointer is '{name}' ({err}): write MODULE:FUNCTION, in a folder of PYTHONPATH"
        ) from err
    if not callable(function):
        raise ModelError(f"the parameter pointer names '{name}', which is no function: write MODULE:FUNCTION")
    return function


def main() -> None:
    """Run the node until Ctrl-C or SIGTERM."""
    # ROS must go on until a goal has ended and its files are deleted.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        node = GraspNode()
    except Point2ActError as err:
        get_logger("point2act").fatal(str(err))
        rclpy.shutdown()
        raise SystemExit(2) from err
    # Of the threads, one executes the goal; others receive images, transforms and further goals meanwhile.
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)
    try:
        executor.spin()
    except KeyboardInterrupt:
        node.stop()
    finally:
        executor.shutdown()
        node.close()
        rclpy.shutdown()
