"""Messages of ROS and arrays of point2act: integrations/ros2 without a node."""

from __future__ import annotations

import array
import ast
import importlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import fields
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import fake_ros_graph as fake
import numpy as np
import pytest
import synthetic
import yaml
from fake_ros import CameraInfo, Header, Image, Time
from fake_ros_graph import INTEGRATION, importable
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from point2act.core.errors import CaptureError
from point2act.core.geometry import invert, transform
from point2act.core.types import Grasp, OrientedBox, Query, QueryResult, Region, Support

PACKAGE = INTEGRATION / "point2act_ros"


@pytest.fixture(scope="module")
def package() -> Iterator[SimpleNamespace]:
    """The modules of point2act_ros."""
    with pytest.MonkeyPatch.context() as patch, importable(patch):
        names = ("frames", "images", "moveit", "node", "poses", "results")
        yield SimpleNamespace(**{name: importlib.import_module(f"point2act_ros.{name}") for name in names})


@pytest.fixture
def images(package: SimpleNamespace) -> ModuleType:
    return package.images


@pytest.fixture
def results(package: SimpleNamespace) -> ModuleType:
    return package.results


# ── images ─────────────────────────────────────────────────────────────────────────────────────
RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
METRES = np.array([[0.5, 0.75, 0.0], [1.0, 1.5, 2.0]], dtype=np.float32)


def image(pixels: np.ndarray, encoding: str, *, padding: int = 0, is_bigendian: int = 0) -> Image:
    """A message whose rows are padded by some bytes."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    made = Image(height=len(pixels), width=pixels.shape[1], encoding=encoding, is_bigendian=is_bigendian)
    made.step, made.data = rows.shape[1], array.array("B", rows.tobytes())
    return made


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "stored"), [("rgb8", RGB), ("bgr8", RGB[..., ::-1])])
def test_colours(images: ModuleType, encoding: str, stored: np.ndarray, padding: int) -> None:
    np.testing.assert_array_equal(images.color_of(image(stored, encoding, padding=padding)), RGB)


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize(
    ("encoding", "stored", "is_bigendian"),
    [
        ("16UC1", (METRES * 1000).astype("<u2"), 0),
        ("16UC1", (METRES * 1000).astype(">u2"), 1),
        ("32FC1", METRES.astype("<f4"), 0),
        ("32FC1", np.where(METRES > 0, METRES, np.nan).astype("<f4"), 0),
        ("32FC1", np.where(METRES > 0, METRES, np.inf).astype(">f4"), 1),
        ("32FC1", np.where(METRES > 0, METRES, -1.0).astype("<f4"), 0),
    ],
)
def test_depth(
    images: ModuleType, encoding: str, stored: np.ndarray, is_bigendian: int, padding: int
) -> None:
    depth = images.depth_of(image(stored, encoding, padding=padding, is_bigendian=is_bigendian))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, METRES, rtol=1e-6)


@given(st.integers(0, 3), st.integers(0, 4), st.integers(0, 12), st.integers(0, 40))
def test_an_image_of_any_size_is_decoded_or_an_error(
    package: SimpleNamespace, height: int, width: int, step: int, length: int
) -> None:
    data = array.array("B", [1] * length)
    message = Image(height=height, width=width, encoding="rgb8", step=step, data=data)
    if height * width > 0 and step >= 3 * width and length == height * step:
        assert package.images.color_of(message).shape == (height, width, 3)
    else:
        with pytest.raises(CaptureError, match="repair its driver"):
            package.images.color_of(message)


def info_of(camera: Any, **changes: Any) -> CameraInfo:
    """The calibration of a camera; P is that of another one."""
    k = [camera.fx, 0.0, camera.cx - 0.5, 0.0, camera.fy, camera.cy - 0.5, 0.0, 0.0, 1.0]
    p = [600.0, 0.0, 1.0, 0.0, 0.0, 601.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(**({"height": camera.height, "width": camera.width, "k": k, "p": p} | changes))


def test_intrinsics_are_those_of_raw_or_of_rectified_images(images: ModuleType) -> None:
    camera = synthetic.pinhole()
    raw = images.camera_of(info_of(camera), rectified=False)
    np.testing.assert_allclose(raw.K, camera.K)
    assert (raw.height, raw.width) == (camera.height, camera.width)
    rectified = images.camera_of(info_of(camera), rectified=True)
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy) == (600.0, 601.0, 1.5, 1.0)
    for name in "kp":
        broken = info_of(camera, **{name: [0.0] * 12})
        with pytest.raises(CaptureError, match=f"no focal length in {name.upper()}: calibrate"):
            images.camera_of(broken, rectified=name == "p")


LENSES = [
    ("plumb_bob", [0.3, -0.1, 0.004, -0.006, 0.05]),
    ("plumb_bob", [-0.25, 0.05, 0.0, 0.0]),
    ("rational_polynomial", [0.3, -0.1, 0.002, -0.003, 0.05, 0.1, 0.02, 0.01]),
    ("equidistant", [0.05, -0.02, 0.01, 0.002]),
]


@pytest.mark.parametrize(("model", "numbers"), LENSES)
def test_a_distorted_image_becomes_that_of_a_pinhole(
    images: ModuleType, model: str, numbers: list[float]
) -> None:
    """A picture that is rendered through the lens is, undistorted, that of the pinhole."""
    camera, pose = synthetic.pinhole(96, 128), synthetic.orbit(8)[0]
    K = camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    grid = np.stack(np.meshgrid(np.arange(128.0), np.arange(96.0)), axis=-1).reshape(-1, 1, 2)
    undistort = cv2.fisheye.undistortPoints if model == "equidistant" else cv2.undistortPoints
    rays = undistort(grid, K, np.array(numbers)).reshape(96, 128, 2)
    through_lens = synthetic.render(pose, rays)
    pinhole = synthetic.render(pose, synthetic.rays(camera))
    depth = np.round(through_lens.depth * 1000).astype("<u2")
    view = images.view_of(
        image(through_lens.rgb, "rgb8"),
        image(depth, "16UC1"),
        info_of(camera, distortion_model=model, d=array.array("d", numbers)),
        pose,
        rectified=False,
    )
    measured = (view.depth > 0) & (pinhole.depth > 0)
    assert measured.mean() > 0.6
    before, after = (np.abs(one.depth - pinhole.depth)[measured] for one in (through_lens, view))
    assert np.median(after) < 0.003
    assert after.mean() < before.mean() / 2
    colors = [np.abs(one.rgb.astype(int) - pinhole.rgb)[measured].mean() for one in (through_lens, view)]
    assert colors[1] < colors[0] / 2


@pytest.mark.parametrize(("changes", "rectified"), [({"d": array.array("d", [0.0] * 5)}, False), ({}, True)])
def test_without_distortion_pixels_stay(images: ModuleType, changes: dict[str, Any], rectified: bool) -> None:
    info = info_of(synthetic.pinhole(2, 3), **({"d": array.array("d", [0.1] * 5)} | changes))
    T = synthetic.orbit(3)[1]
    view = images.view_of(image(RGB, "rgb8"), image(METRES, "32FC1"), info, T, rectified=rectified)
    np.testing.assert_array_equal(view.rgb, RGB)
    np.testing.assert_array_equal(view.depth, METRES)
    np.testing.assert_array_equal(view.T_world_cam, T)


@pytest.mark.parametrize(
    ("color", "depth", "changes", "complaint"),
    [
        (image(RGB, "mono8"), None, {}, "the colour images are encoded as 'mono8': publish rgb8 or bgr8"),
        (None, image(METRES, "64FC1"), {}, "the depth images are encoded as '64FC1': publish 16UC1 or 32FC1"),
        (None, image(METRES[:1], "32FC1"), {}, r"differ in size \(3x2, 3x1, 3x2\): register the depth"),
        (None, None, {"width": 4}, r"differ in size \(3x2, 3x2, 4x2\)"),
        (
            None,
            None,
            {"d": [0.1] * 5, "distortion_model": "thin"},
            "the distortion model 'thin' with 5 numbers",
        ),
        (None, None, {"d": [0.1] * 5, "distortion_model": "equidistant"}, "'equidistant' with 5 numbers"),
    ],
)
def test_messages_that_cannot_be_used_are_an_error(
    images: ModuleType, color: Image | None, depth: Image | None, changes: dict[str, Any], complaint: str
) -> None:
    info = info_of(synthetic.pinhole(2, 3), **changes)
    color, depth = color or image(RGB, "rgb8"), depth or image(METRES, "32FC1")
    with pytest.raises(CaptureError, match=complaint):
        images.view_of(color, depth, info, np.eye(4), rectified=False)


# ── poses ──────────────────────────────────────────────────────────────────────────────────────
@st.composite
def poses(draw: st.DrawFn) -> np.ndarray:
    numbers = draw(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
    return transform(Rotation.from_rotvec(numbers[:3]).as_matrix(), np.array(numbers[3:]))


@given(poses())
def test_poses_survive_messages(package: SimpleNamespace, T: np.ndarray) -> None:
    message = package.results.pose(T)
    np.testing.assert_allclose(package.poses.matrix_of(message.position, message.orientation), T, atol=1e-12)


def test_motion_is_a_translation_or_a_rotation(package: SimpleNamespace) -> None:
    def moved(T: np.ndarray) -> bool:
        before = synthetic.orbit(5)[2]
        return package.poses.moved(before, before @ T, min_translation=0.03, min_rotation=0.15)

    turns = {angle: Rotation.from_rotvec([0.0, angle, 0.0]).as_matrix() for angle in (0.14, 0.16, -0.16, 3.1)}
    assert not moved(np.eye(4))
    assert not moved(transform(turns[0.14], (0.0, 0.029, 0.0)))
    assert moved(transform(np.eye(3), (0.0, 0.031, 0.0)))
    assert all(moved(transform(turns[angle], (0.0, 0.0, 0.0))) for angle in (0.16, -0.16, 3.1))


# ── pairs ──────────────────────────────────────────────────────────────────────────────────────
def at(seconds: float, number: int = 0) -> Image:
    return Image(header=Header(Time(*divmod(round(seconds * 1e9), 10**9)), str(number)))


def test_pairs_are_of_nearly_the_same_time(package: SimpleNamespace) -> None:
    frames = package.frames.Frames(0.02)
    assert frames.missing() == "no message on color_topic and depth_topic and info_topic"
    assert frames.take(0.0) is None
    frames.add("color", at(1.0))
    frames.add("depth", at(1.5))
    assert frames.missing() == "no message on info_topic"
    frames.add("info", CameraInfo())
    assert frames.take(0.0) is None
    assert "max_time_difference" in frames.missing()
    frames.add("color", at(1.515))
    color, depth, info = frames.take(0.0)
    assert (color.header.stamp, depth.header.stamp, info) == (
        at(1.515).header.stamp,
        at(1.5).header.stamp,
        CameraInfo(),
    )
    assert frames.take(0.0) is None, "a pair is taken once"


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["color", "depth"]), st.integers(0, 20)), max_size=40))
def test_no_image_is_in_two_pairs(package: SimpleNamespace, arrivals: list[tuple[str, int]]) -> None:
    frames, used = package.frames.Frames(0.02), set()
    frames.add("info", CameraInfo())
    for number, (kind, ticks) in enumerate(arrivals):
        frames.add(kind, at(ticks * 0.01, number))
        pair = frames.take(0.0)
        if pair is not None:
            times = [package.frames.seconds(one.header.stamp) for one in pair[:2]]
            assert abs(times[0] - times[1]) <= 0.02 + 1e-9
            names = {one.header.frame_id for one in pair[:2]}
            assert not names & used
            used |= names


# ── results ────────────────────────────────────────────────────────────────────────────────────
HEADER = Header(Time(7, 8), "base_link")


def grasp(score: float, T: np.ndarray | None = None, *, opening: float | None = 0.07) -> Grasp:
    T = synthetic.orbit(3)[1] if T is None else T
    return Grasp(
        T,
        0.05,
        approach_width=opening,
        score=score,
        relevancy=1.0,
        quality=1.0,
        contacts=np.zeros((2, 3)),
        approach_clearance=0.01,
    )


def found(*grasps: Grasp, name: str = "mug", axes: np.ndarray | None = None) -> QueryResult:
    box = OrientedBox(
        np.array([0.1, 0.2, 0.3]), np.eye(3) if axes is None else axes, np.array([0.01, 0.02, 0.03])
    )
    region = Region(np.array([0.1, 0.2, 0.35]), 0.9, Support(3, 0, 1), box)
    return QueryResult(Query(name, f"the {name}"), region, grasps)


NOTHING = QueryResult(Query("cap", "the cap"), None, reason="no_points", detail="no view shows the cap")


def test_grasps_of_all_instances_are_sorted(results: ModuleType) -> None:
    lower = grasp(0.4, transform(np.eye(3), (1.0, 2.0, 3.0)), opening=None)
    message = results.to_grasps([found(lower), NOTHING, found(grasp(0.8), grasp(0.1))], HEADER)
    np.testing.assert_allclose(message.scores, [0.8, 0.4, 0.1])
    np.testing.assert_allclose(message.openings, [0.07, 0.05, 0.07], rtol=1e-6)
    assert message.poses.header.frame_id == "base_link"
    position = message.poses.poses[1].position
    assert (position.x, position.y, position.z) == (1.0, 2.0, 3.0)
    assert (message.reason, message.detail) == ("", "")


def test_no_grasps_have_the_reason(results: ModuleType) -> None:
    message = results.to_grasps([NOTHING], HEADER)
    assert (message.reason, message.detail, list(message.poses.poses)) == (
        "no_points",
        "no view shows the cap",
        [],
    )
    markers = results.to_markers([NOTHING], HEADER).markers
    assert [one.action for one in markers] == [3]
    assert results.to_detections([NOTHING], HEADER).detections == []


@pytest.mark.parametrize("axes", [np.eye(3), np.diag([1.0, 1.0, -1.0]), np.eye(3)[[1, 2, 0]]])
def test_a_box_has_the_corners_of_the_region(package: SimpleNamespace, axes: np.ndarray) -> None:
    (detection,) = package.results.to_detections([found(axes=axes)], HEADER).detections
    center, size = detection.bbox.center, detection.bbox.size
    T = package.poses.matrix_of(center.position, center.orientation)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    corners = signs * np.array([size.x, size.y, size.z]) / 2 @ T[:3, :3].T + T[:3, 3]
    expected = signs * [0.01, 0.02, 0.03] @ axes + [0.1, 0.2, 0.3]
    distances = np.linalg.norm(corners[:, None] - expected, axis=-1)
    assert distances.min(axis=0).max() < 1e-9
    assert detection.id == "mug"


def test_markers_draw_the_gripper_that_is_open(results: ModuleType) -> None:
    clear, box, best, other = results.to_markers([found(grasp(0.2), grasp(0.8))], HEADER).markers
    assert (clear.action, box.ns, best.ns, (best.id, other.id)) == (3, "regions", "grasps", (0, 1))
    assert best.scale.x > other.scale.x > 0
    ends = np.array([[one.x, one.y, one.z] for one in best.points])
    assert len(ends) % 2 == 0
    np.testing.assert_allclose(np.ptp(ends[:, 1]), 0.07)
    assert ends[:, 2].max() == 0, "the fingers end at the pads"
    assert best.color.g > other.color.g


def test_the_best_grasp_is_a_frame(results: ModuleType) -> None:
    one = results.pose(synthetic.orbit(3)[2])
    message = results.to_transform(one, HEADER, "point2act_grasp")
    assert (message.header.frame_id, message.child_frame_id) == ("base_link", "point2act_grasp")
    assert message.transform.translation.y == one.position.y
    assert message.transform.rotation == one.orientation


# ── MoveIt ─────────────────────────────────────────────────────────────────────────────────────
FORWARD_IS_X = transform(np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]), (0.15, 0.0, 0.0))
"""A gripper on a link whose approach is +x, and whose fingers close along y, 15 cm before the pads."""


def test_the_link_of_a_franka_hand_is_103_mm_behind_the_pads_along_its_z(package: SimpleNamespace) -> None:
    """With the gripper pointing down at (0.5, 0, 0.1), closing along the base's y."""
    down = transform(np.diag([1.0, -1.0, -1.0]), (0.5, 0.0, 0.1))
    effector = package.moveit.EndEffector()
    message = package.results.to_grasps([found(grasp(0.5, down))], HEADER)
    (goal,) = package.moveit.link_poses(message, effector)
    assert goal.header.frame_id == "base_link"
    T_base_link = package.poses.matrix_of(goal.pose.position, goal.pose.orientation)
    np.testing.assert_allclose(T_base_link[:3, 3], [0.5, 0.0, 0.2034], atol=1e-9)
    np.testing.assert_allclose(T_base_link[:3, 2], [0, 0, -1], atol=1e-9)
    (before,) = package.moveit.link_poses(message, effector, back=0.1)
    assert before.pose.position.z == pytest.approx(0.3034)


@given(poses(), poses())
def test_the_gripper_on_the_link_is_at_the_grasp(
    package: SimpleNamespace, T_base_gripper: np.ndarray, T_link_gripper: np.ndarray
) -> None:
    effector = package.moveit.EndEffector(T_link_gripper=T_link_gripper)
    message = package.results.to_grasps([found(grasp(0.5, T_base_gripper))], HEADER)
    for back in (0.0, 0.1):
        (goal,) = package.moveit.link_poses(message, effector, back=back)
        reached = package.poses.matrix_of(goal.pose.position, goal.pose.orientation) @ T_link_gripper
        expected = T_base_gripper @ transform(np.eye(3), (0.0, 0.0, -back))
        np.testing.assert_allclose(reached, expected, atol=1e-9)


@pytest.mark.parametrize(("T_link_gripper", "forward"), [(None, [0, 0, 1]), (FORWARD_IS_X, [1, 0, 0])])
def test_moveit_grasps(
    package: SimpleNamespace, T_link_gripper: np.ndarray | None, forward: list[float]
) -> None:
    given = {} if T_link_gripper is None else {"T_link_gripper": T_link_gripper}
    effector = package.moveit.EndEffector(link="wrist", **given)
    message = package.results.to_grasps([found(grasp(0.8), grasp(0.3, opening=0.04))], HEADER)
    first, second = package.moveit.moveit_grasps(message, effector)
    assert first.grasp_pose == package.moveit.link_poses(message, effector)[0]
    assert (first.id, second.id) == ("point2act_0", "point2act_1")
    assert first.grasp_quality == pytest.approx(0.8)
    approach, lift = first.pre_grasp_approach, first.post_grasp_retreat
    assert (approach.direction.header.frame_id, lift.direction.header.frame_id) == ("wrist", "base_link")
    vector = approach.direction.vector
    np.testing.assert_allclose([vector.x, vector.y, vector.z], forward, atol=1e-12)
    # Along the vector in the link's frame the gripper moves along its own +z.
    pose = first.grasp_pose.pose
    T_base_link = package.poses.matrix_of(pose.position, pose.orientation)
    T_base_gripper = T_base_link @ invert(invert(effector.T_link_gripper))
    np.testing.assert_allclose(T_base_link[:3, :3] @ forward, T_base_gripper[:3, 2], atol=1e-9)
    assert 0 < approach.min_distance <= approach.desired_distance
    assert lift.direction.vector.z == 1.0
    assert second.pre_grasp_posture.joint_names == ["panda_finger_joint1", "panda_finger_joint2"]
    np.testing.assert_allclose(second.pre_grasp_posture.points[0].positions, [0.02, 0.02], rtol=1e-6)
    np.testing.assert_allclose(second.grasp_posture.points[0].positions, [0.0, 0.0])


# ── the packages ───────────────────────────────────────────────────────────────────────────────
def definition(path: str) -> list[list[str]]:
    """The names of the fields in each part of a .msg, .srv or .action file."""
    text = (INTEGRATION / "point2act_msgs" / path).read_text(encoding="utf-8")
    parts = re.split(r"^---$", text, flags=re.MULTILINE)
    return [re.findall(r"^[\w/]+(?:\[\])? (\w+)$", part, re.MULTILINE) for part in parts]


def test_the_interfaces_are_those_that_the_tests_use() -> None:
    def names(*kinds: Any) -> list[list[str]]:
        return [[one.name for one in fields(kind)] for kind in kinds]

    assert definition("msg/Grasps.msg") == names(fake.Grasps)
    find, again = fake.FindGrasp, fake.FindGrasps
    assert definition("action/FindGrasp.action") == names(find.Goal, find.Result, find.Feedback)
    assert definition("srv/FindGrasps.srv") == names(again.Request, again.Response)
    listed = (INTEGRATION / "point2act_msgs" / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in (INTEGRATION / "point2act_msgs").rglob("*.*"):
        if path.suffix in (".msg", ".srv", ".action"):
            assert f'"{path.parent.name}/{path.name}"' in listed


def test_the_file_of_parameters_has_all_with_their_defaults(package: SimpleNamespace) -> None:
    text = (PACKAGE / "config" / "point2act.yaml").read_text(encoding="utf-8")
    given = yaml.safe_load(text)["point2act"]["ros__parameters"]
    defaults = package.node.Settings()
    assert given == {one.name: getattr(defaults, one.name) for one in fields(defaults)}
    assert [type(value) for value in given.values()] == [type(getattr(defaults, name)) for name in given]


def test_the_manifest_names_every_package_that_is_imported() -> None:
    root = ElementTree.parse(PACKAGE / "package.xml").getroot()
    named = {one.text for one in root.iter("exec_depend")}
    imported = set()
    for path in [*(PACKAGE / "point2act_ros").glob("*.py"), *(PACKAGE / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                imported.add(node.module.partition(".")[0])
    of_ros = {name for name in imported if re.search("_msgs$|^rclpy|^tf2|^launch", name)}
    assert of_ros == named
    versions = {
        ElementTree.parse(path).getroot().findtext("version") for path in INTEGRATION.glob("*/package.xml")
    }
    project = (INTEGRATION.parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert versions == set(re.findall(r'^version = "(.*)"$', project, re.MULTILINE))


def test_the_launch_file_starts_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    record: dict[str, Any] = {}

    def keep(kind: str) -> Any:
        return lambda *words, **options: record.setdefault(kind, (words, options)) and kind

    for name, kinds in (
        ("launch", ["LaunchDescription"]),
        ("launch.actions", ["DeclareLaunchArgument"]),
        ("launch.substitutions", ["LaunchConfiguration", "PathJoinSubstitution"]),
        ("launch_ros", []),
        ("launch_ros.actions", ["Node"]),
        ("launch_ros.substitutions", ["FindPackageShare"]),
    ):
        module = ModuleType(name)
        vars(module).update({kind: keep(kind) for kind in kinds})
        monkeypatch.setitem(sys.modules, name, module)
    text = (PACKAGE / "launch" / "point2act.launch.py").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(text, "point2act.launch.py", "exec"), names)
    assert names["generate_launch_description"]() == "LaunchDescription"
    _, options = record["Node"]
    setup = (PACKAGE / "setup.py").read_text(encoding="utf-8")
    assert f"{options['executable']} = " in setup
    assert (options["package"], options["name"]) == ("point2act_ros", "point2act")
    (path,), _ = record["PathJoinSubstitution"]
    assert (PACKAGE / "/".join(path[1:])).is_file()
    assert f'["{"/".join(path[1:])}"]' in setup
