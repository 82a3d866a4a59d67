"""The driver of examples/ros2_robot, with ROS replaced by a record of messages."""

from __future__ import annotations

import array
import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ros import CameraInfo, Image, JointState, JointTrajectory, Ros, Time

pytest.importorskip("mink")
pytest.importorskip("ruckig")

from button_plan import assert_over_button, hold_over_button

from point2act.acting.execution.own_robot import carry_out, find_factory, opened
from point2act.acting.execution.robot import Robot
from point2act.acting.execution.simulated_robot import SimulatedRobot
from point2act.core.errors import CaptureError, Point2ActError, RobotError
from point2act.core.types import View
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import load_arm
from point2act.simulation.task import load_task

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ARM = [f"panda_joint{k}" for k in range(1, 8)]
FINGERS = ["panda_finger_joint1", "panda_finger_joint2"]
TRAJECTORY, GRIPPER = "/panda_arm_controller/joint_trajectory", "/panda_gripper/gripper_action"
COLOR, DEPTH = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"
INFO = "/camera/color/camera_info"
JOINTS = np.array([0.1, -0.7, 0.2, -2.3, 0.3, 1.6, 0.8])


class Clock:
    """Time that passes only where the driver sleeps, or where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ros]:
    """ROS, and the example importable, with its file of parameters in the current folder."""
    ros = Ros()
    for name, module in ros.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    shutil.copy(EXAMPLES / "ros2_robot" / "ros2_robot.yaml", tmp_path)
    yield ros
    for name in [name for name in sys.modules if name.partition(".")[0] == "ros2_robot"]:
        del sys.modules[name]


@pytest.fixture
def clock(ros: Ros, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The driver's clock."""
    clock = Clock()
    driver, latest = (importlib.import_module(f"ros2_robot.{name}") for name in ("robot", "latest"))
    for module in (driver, latest):
        monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    monkeypatch.setattr(driver, "sleep", clock.sleep)
    return clock


@pytest.fixture
def robot(ros: Ros, clock: Clock) -> Iterator[Any]:
    """The driver, which waits for no message."""
    with opened("ros2_robot:make_robot", find_factory("ros2_robot:make_robot")) as made:
        vars(made)["timeout"] = 0.0
        yield made
    assert ros.destroyed
    assert not ros.running


def _joint_state(names: list[str], positions: Any) -> JointState:
    return JointState(name=list(names), position=array.array("d", positions))


def _all_joints(joints: np.ndarray = JOINTS, finger: float = 0.02) -> JointState:
    return _joint_state([*ARM, *FINGERS], [*joints, finger, finger])


def _image(pixels: np.ndarray, encoding: str, padding: int = 0, is_bigendian: int = 0) -> Image:
    """Return a message whose rows are padded by some bytes."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    data = array.array("B", rows.tobytes())
    return Image(
        height=len(pixels),
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=rows.shape[1],
        data=data,
    )


def _info(height: int = 2, width: int = 3) -> CameraInfo:
    p = [600.0, 0.0, 1.0, 0.0, 0.0, 601.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(height=height, width=width, p=p)


RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
METRES = np.array([[0.5, 0.75, 0.0], [1.0, 1.5, 2.0]], dtype=np.float32)


def _deliver_view(ros: Ros, color: Image | None = None, depth: Image | None = None) -> None:
    ros.deliver(COLOR, color or _image(RGB, "rgb8"))
    ros.deliver(DEPTH, depth or _image(METRES, "32FC1"))
    ros.deliver(INFO, _info())


def test_it_is_a_robot_whose_joints_are_those_of_the_shipped_arm(robot: Any, ros: Ros) -> None:
    assert isinstance(robot, Robot)
    assert len(robot.arm) == len(load_arm("panda", load_gripper("panda")).joints)
    assert ros.signals == "none"
    assert ros.spun


# ── joint states ───────────────────────────────────────────────────────────────────────────────
def test_a_state_before_the_first_message_is_an_error_after_a_while(robot: Any, ros: Ros) -> None:
    with pytest.raises(RobotError, match=r"no joint states of panda_joint1, .*start the driver"):
        robot.state()
    ros.deliver("/joint_states", _joint_state(ARM, JOINTS))
    with pytest.raises(RobotError, match="of panda_finger_joint1, panda_finger_joint2 within"):
        robot.state()


def test_joints_are_ordered_by_name(robot: Any, ros: Ros, clock: Clock) -> None:
    names = [*FINGERS, "wheel", *ARM]
    order = np.random.default_rng(0).permutation(len(names))
    positions = [0.01, 0.03, 9.0, *JOINTS]
    ros.deliver("/joint_states", _joint_state([names[k] for k in order], [positions[k] for k in order]))
    state = robot.state()
    np.testing.assert_array_equal(state.joints, JOINTS)
    assert state.width == pytest.approx(0.04)
    assert state.force == 0
    assert state.time == clock.now


def test_arm_and_fingers_may_come_in_separate_messages(robot: Any, ros: Ros, clock: Clock) -> None:
    ros.deliver("/joint_states", _joint_state(FINGERS, [0.02, 0.02]))
    clock.sleep(0.1)
    ros.deliver("/joint_states", _joint_state(ARM, JOINTS))
    assert robot.state().time == clock.now
    assert robot.state().width == pytest.approx(0.04)


def test_old_joint_states_are_an_error(robot: Any, ros: Ros, clock: Clock) -> None:
    ros.deliver("/joint_states", _all_joints())
    clock.sleep(0.2)
    robot.state()
    clock.sleep(0.2)
    with pytest.raises(RobotError, match=r"the joint states are 0\.4 s old"):
        robot.state()


# ── commands ───────────────────────────────────────────────────────────────────────────────────
def _sent(ros: Ros) -> list[JointTrajectory]:
    return ros.published[TRAJECTORY]


def test_a_command_is_one_point_a_period_ahead(robot: Any, ros: Ros, clock: Clock) -> None:
    robot.command(JOINTS, 0.08)
    (message,) = _sent(ros)
    assert message.joint_names == ARM
    assert message.header.stamp == Time(0, 0)
    (point,) = message.points
    np.testing.assert_array_equal(point.positions, JOINTS)
    assert point.time_from_start == Time(0, 10_000_000)


def test_commands_wait_for_the_next_period(robot: Any, clock: Clock) -> None:
    start = clock.now
    for _ in range(10):
        robot.command(JOINTS, 0.08)
        clock.sleep(0.004)
    assert clock.now - start == pytest.approx(0.104)
    clock.sleep(1.0)
    late = clock.now
    robot.command(JOINTS, 0.08)
    robot.command(JOINTS, 0.08)
    assert clock.now - late == pytest.approx(0.01)


def test_the_gripper_gets_a_goal_where_the_width_changes(robot: Any, ros: Ros) -> None:
    for width in (0.08, 0.08, 0.0, 0.0, 0.04):
        robot.command(JOINTS, width)
    goals = [goal.command for goal in ros.goals[GRIPPER]]
    assert [goal.position for goal in goals] == [0.04, 0.0, 0.02]
    assert {goal.max_effort for goal in goals} == {40.0}


def test_stop_holds_the_measured_joints_however_old(robot: Any, ros: Ros, clock: Clock) -> None:
    robot.stop()
    assert _sent(ros) == []
    ros.deliver("/joint_states", _all_joints())
    robot.command(JOINTS + 0.1, 0.08)
    clock.sleep(10.0)
    robot.stop()
    point = _sent(ros)[-1].points[0]
    np.testing.assert_array_equal(point.positions, JOINTS)
    assert point.time_from_start == Time(0, 200_000_000)


# ── images ─────────────────────────────────────────────────────────────────────────────────────
def test_a_view_before_the_first_images_is_an_error(robot: Any, ros: Ros) -> None:
    ros.deliver(COLOR, _image(RGB, "rgb8"))
    with pytest.raises(RobotError, match="no messages of depth, camera_info within"):
        robot.view()


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "stored"), [("rgb8", RGB), ("bgr8", RGB[..., ::-1])])
def test_colours_are_decoded(robot: Any, ros: Ros, encoding: str, stored: np.ndarray, padding: int) -> None:
    _deliver_view(ros, color=_image(stored, encoding, padding))
    np.testing.assert_array_equal(robot.view().rgb, RGB)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(
    ("encoding", "stored", "is_bigendian"),
    [
        ("16UC1", (METRES * 1000).astype("<u2"), 0),
        ("16UC1", (METRES * 1000).astype(">u2"), 1),
        ("32FC1", METRES.astype("<f4"), 0),
        ("32FC1", np.where(METRES > 0, METRES, np.nan).astype("<f4"), 0),
        ("32FC1", np.where(METRES > 0, METRES, np.inf).astype(">f4"), 1),
    ],
)
def test_depth_is_decoded(
    robot: Any, ros: Ros, encoding: str, stored: np.ndarray, is_bigendian: int, padding: int
) -> None:
    _deliver_view(ros, depth=_image(stored, encoding, padding, is_bigendian))
    depth = robot.view().depth
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, METRES, rtol=1e-6)


def test_a_view_has_the_rectified_camera_and_its_pose(robot: Any, ros: Ros) -> None:
    _deliver_view(ros)
    view = robot.view()
    camera = view.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (600.0, 601.0, 1.5, 1.0)
    assert (camera.height, camera.width) == view.rgb.shape[:2]
    np.testing.assert_allclose(view.T_world_cam[:3, 3], [1.1, 0.0, 0.6])
    # It faces the base, downward.
    assert view.T_world_cam[0, 2] < 0
    assert view.T_world_cam[2, 2] < 0


def test_an_old_image_has_no_depth(robot: Any, ros: Ros, clock: Clock) -> None:
    _deliver_view(ros)
    clock.sleep(0.2)
    assert robot.view().depth.any()
    ros.deliver(COLOR, _image(RGB, "rgb8"))
    clock.sleep(0.2)
    assert not robot.view().depth.any()


@pytest.mark.parametrize(
    ("color", "depth", "complaint"),
    [
        (_image(RGB, "mono8"), None, "an image is encoded as 'mono8': publish rgb8 or bgr8"),
        (None, _image(METRES, "64FC1"), "an image is encoded as '64FC1': publish 16UC1 or 32FC1"),
        (None, _image(METRES[:1], "32FC1"), "colour, depth and CameraInfo differ in size"),
    ],
)
def test_images_that_do_not_fit_are_an_error(
    robot: Any, ros: Ros, color: Image | None, depth: Image | None, complaint: str
) -> None:
    _deliver_view(ros, color, depth)
    with pytest.raises(RobotError, match=complaint):
        robot.view()


def test_a_camera_without_calibration_is_an_error(robot: Any, ros: Ros) -> None:
    _deliver_view(ros)
    ros.deliver(INFO, CameraInfo(height=2, width=3))
    with pytest.raises(RobotError, match="no projection matrix P: calibrate the camera"):
        robot.view()


# ── a run ──────────────────────────────────────────────────────────────────────────────────────
def _deliver_seen(ros: Ros, view: View) -> None:
    """Publish what a simulated camera shows, depth in millimetres."""
    assert view.depth is not None
    camera = view.camera
    ros.deliver(COLOR, _image(view.rgb, "rgb8"))
    ros.deliver(DEPTH, _image(np.round(np.maximum(view.depth, 0) * 1000).astype("<u2"), "16UC1"))
    p = [camera.fx, 0.0, camera.cx - 0.5, 0.0, 0.0, camera.fy, camera.cy - 0.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    ros.deliver(INFO, CameraInfo(height=camera.height, width=camera.width, p=p))


def test_a_plan_is_carried_out_by_messages(ros: Ros, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated arm follows the trajectories and goals, and its state and images come as messages."""
    arm, task = load_arm("panda", load_gripper("panda")), load_task("press_button", 0)
    simulated, prepared = SimulatedRobot(task.scene, arm), hold_over_button(task)

    def move_on(seconds: float) -> None:
        clock.sleep(seconds)
        width = ros.goals[GRIPPER][-1].command.position / 0.5
        simulated.command(np.array(_sent(ros)[-1].points[0].positions), width)
        publish()

    def publish() -> None:
        state = simulated.state()
        ros.deliver("/joint_states", _all_joints(state.joints, state.width / 2))
        if len(_sent(ros)) % 25 == 0:
            _deliver_seen(ros, simulated.view())

    pose = simulated.view().T_world_cam.ravel().tolist()
    path = Path("ros2_robot.yaml")
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text[: text.index('T_base_cam:')]}T_base_cam: {pose}\n", encoding="utf-8")
    monkeypatch.setattr(importlib.import_module("ros2_robot.robot"), "sleep", move_on)
    with opened("ros2_robot:make_robot", find_factory("ros2_robot:make_robot")) as robot:
        publish()
        outcome = carry_out(robot, arm, prepared, closed_loop=False)
    assert outcome.done, outcome.reason
    assert outcome.violations == 0
    assert_over_button(prepared, arm, simulated.state().joints)
    np.testing.assert_array_equal(_sent(ros)[-1].points[0].positions, simulated.state().joints)
    simulated.close()


# ── how it starts ──────────────────────────────────────────────────────────────────────────────
def _changed(old: str, new: str) -> None:
    path = Path("ros2_robot.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "error", "complaint"),
    [
        ("gripper_scale: 0.5", "", RobotError, "do not give 'gripper_scale'"),
        ("joint_states:", "joint_state:", RobotError, "do not give 'joint_states'"),
        ("T_base_cam: [0.0, 0.5", "T_base_cam: [0.0, 9.5", CaptureError, "yaml: T_base_cam is not rigid"),
        ("T_base_cam: [0.0,", "T_base_cam: [", CaptureError, "T_base_cam is not four rows"),
    ],
)
def test_wrong_parameters_are_an_error_and_nothing_keeps_running(
    ros: Ros, old: str, new: str, error: type[Point2ActError], complaint: str
) -> None:
    _changed(old, new)
    factory = find_factory("ros2_robot:make_robot")
    with pytest.raises(error, match=complaint), opened("ros2_robot:make_robot", factory):
        raise AssertionError
    assert not ros.running


def test_a_gripper_that_does_not_answer_is_an_error(ros: Ros) -> None:
    ros.gripper_answers = False
    with pytest.raises(RobotError, match=rf"the action {GRIPPER} does not answer within 5 s"):
        find_factory("ros2_robot:make_robot")()
    assert not ros.running


def test_what_is_missing_is_named(ros: Ros, monkeypatch: pytest.MonkeyPatch) -> None:
    factory = find_factory("ros2_robot:make_robot")
    monkeypatch.setitem(sys.modules, "control_msgs", None)
    monkeypatch.delitem(sys.modules, "control_msgs.action")
    with pytest.raises(RobotError, match=r"'control_msgs.*' is not installed: source ROS 2's setup file"):
        factory()
    Path("ros2_robot.yaml").unlink()
    with pytest.raises(RobotError, match=r"there is no ros2_robot\.yaml here: copy that of the example"):
        factory()
