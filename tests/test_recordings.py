"""Recordings for Rerun and Foxglove, read again with their own readers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import foxglove
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, message_factory
from mcap.reader import McapReader, make_reader
from scipy.spatial.transform import Rotation

import point2act
from point2act.cli.main import main
from point2act.core.geometry import transform_points
from point2act.core.types import Grasp, HandJoints, Query, QueryResult
from point2act.data.capture import read_capture
from point2act.grasping.end_effector import boxes_at
from point2act.grasping.grasps_json import read_grasps, write_grasps
from point2act.grasping.hands.load import load_hand


@pytest.fixture(scope="module")
def rerun() -> Any:
    return pytest.importorskip("rerun", reason='no Rerun: pip install "point2act[rerun]"')


@pytest.fixture(scope="module")
def recording(rerun: Any, small_run, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("recording") / "run.rrd"
    main(["export", str(small_run.output), "--rerun", str(path)])
    assert [entry.name for entry in path.parent.iterdir()] == ["run.rrd"], "no draft is left behind"
    return rerun.dataframe.load_recording(str(path))


def entities(recording: Any) -> set[str]:
    return {column.entity_path for column in recording.schema().component_columns()}


def test_everything_is_in_it(recording: Any, small_run):
    found = entities(recording)
    assert {"/world/gaussians", "/world/camera/image/color", "/world/camera/image/depth"} <= found
    for result in read_grasps(small_run.output / "grasps.json")["results"]:
        name = result["query"]["name"]
        assert f"/world/relevancy/{name}" in found
        drawn = {path for path in found if path.startswith(f"/world/results/{name}/grasps/")}
        assert len({path.split("/")[5] for path in drawn}) == len(result["grasps"])
        assert (f"/world/results/{name}/action_point" in found) == (result["action_point"] is not None)


def test_each_view_is_a_step_with_its_pose(recording: Any, small_run):
    table = recording.view(index="view", contents="/world/camera").select().read_all()
    column = next(name for name in table.column_names if "Translation" in name)
    positions = np.array([row[0] for row in table[column].to_pylist()])
    views = point2act.open_run(small_run.output).views
    np.testing.assert_allclose(positions, [view.T_world_cam[:3, 3] for view in views], atol=1e-5)


# ── Foxglove ───────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def mcap(small_run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[McapReader]:
    path = tmp_path_factory.mktemp("foxglove") / "run.mcap"
    main(["export", str(small_run.output), "--mcap", str(path)])
    assert [entry.name for entry in path.parent.iterdir()] == ["run.mcap"], "no draft is left behind"
    with path.open("rb") as file:
        yield make_reader(file)


def test_every_topic_has_its_messages(mcap: McapReader, small_run):
    summary = mcap.get_summary()
    assert summary is not None
    assert summary.statistics is not None
    counts = summary.statistics.channel_message_counts
    found = {
        channel.topic: (summary.schemas[channel.schema_id].name, counts[number])
        for number, channel in summary.channels.items()
    }
    views = len(point2act.open_run(small_run.output).views)
    assert found["/gaussians"] == ("foxglove.PointCloud", 1)
    assert found["/camera/image"] == ("foxglove.CompressedImage", views)
    assert found["/camera/depth"] == ("foxglove.RawImage", views)
    assert found["/camera/answers"] == ("foxglove.ImageAnnotations", views)
    for result in read_grasps(small_run.output / "grasps.json")["results"]:
        assert found[f"/results/{result['query']['name']}"] == ("foxglove.SceneUpdate", 1)
        assert found[f"/relevancy/{result['query']['name']}"] == ("foxglove.PointCloud", 1)


def test_each_view_is_a_second_with_its_pose(mcap: McapReader, small_run):
    messages = [(message.log_time, message.data) for _, _, message in mcap.iter_messages(topics=["/tf"])]
    expected = []
    for number, view in enumerate(point2act.open_run(small_run.output).views):
        x, y, z = view.T_world_cam[:3, 3].tolist()
        qx, qy, qz, qw = Rotation.from_matrix(view.T_world_cam[:3, :3]).as_quat().tolist()
        transform = foxglove.messages.FrameTransform(
            timestamp=foxglove.messages.Timestamp(number),
            parent_frame_id="world",
            child_frame_id="camera",
            translation=foxglove.messages.Vector3(x=x, y=y, z=z),
            rotation=foxglove.messages.Quaternion(x=qx, y=qy, z=qz, w=qw),
        )
        expected.append((number * 10**9, transform.encode()))
    assert messages == expected


def test_a_hand_is_recorded_where_it_touches(small_run, tmp_path: Path):
    hand, query = load_hand("leap"), Query("red", "the red box")
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[:3, 3] = [0.1, -0.2, 0.3]
    opened, touching = hand.joints.pregrasp, hand.clipped(hand.joints.pregrasp + 0.2)
    joints = HandJoints(hand.joints.names, opened, touching, touching, np.zeros((2, 3)), hand.links[:2])
    grasp = Grasp(T, 0.04, 0.5, 0.5, 0.5, np.zeros((2, 3)), 0.01, joints=joints)
    capture = read_capture(small_run.capture)
    region = small_run.result().results[0].region
    result = QueryResult(query, region, (grasp,))
    write_grasps(tmp_path / "grasps.json", (result,), capture=capture, gripper=hand)
    path = tmp_path / "run.mcap"
    main(["export", str(small_run.output), "--mcap", str(path), "--grasps", str(tmp_path / "grasps.json")])
    with path.open("rb") as file:
        ((schema, _, message),) = make_reader(file).iter_messages(topics=["/results/red"])
    files = descriptor_pb2.FileDescriptorSet.FromString(schema.data)
    update = message_factory.GetMessages(files.file)[schema.name].FromString(message.data)
    (cubes,) = [entity.cubes for entity in update.entities if entity.id == "grasp 1"]
    boxes = boxes_at(hand, touching)
    assert len(cubes) == len(boxes)
    for cube, box in zip(cubes, boxes, strict=True):
        at, turn, size = cube.pose.position, cube.pose.orientation, cube.size
        np.testing.assert_allclose([at.x, at.y, at.z], transform_points(T, box.center[None])[0], atol=1e-6)
        rotation = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
        np.testing.assert_allclose(rotation, T[:3, :3] @ box.axes.T, atol=1e-6)
        np.testing.assert_allclose([size.x, size.y, size.z], 2 * box.half_extents)


# ── what is missing ────────────────────────────────────────────────────────────────────────────
def test_missing_points_are_reported(small_run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_info:
        main(["export", str(small_run.output), "--points", str(tmp_path / "none.json")])
    assert exit_info.value.code == 2
    assert "none.json" in capsys.readouterr().err


@pytest.mark.parametrize(("library", "option"), [("rerun", "--rerun"), ("foxglove", "--mcap")])
def test_without_the_library_the_error_names_the_extra(
    small_run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    library: str,
    option: str,
):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit) as exit_info:
        main(["export", str(small_run.output), option, str(tmp_path / "recording")])
    assert exit_info.value.code == 2
    assert f"point2act[{library}]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
