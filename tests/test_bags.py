"""``point2act capture bag``: what it reads from bags of ROS 1 and 2 and MCAP files, and what it refuses."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ros_recording as material
import synthetic
from mcap.reader import make_reader
from mcap.writer import Writer as McapWriter
from PIL import Image
from ros_recording import Recipe, pose_at, write
from test_cli import assert_one_sentence

from benchmarks.bags.writing import FORMATS, BagWriter, Format
from point2act.cli.main import main
from point2act.core.errors import CaptureError
from point2act.core.types import Capture
from point2act.data.capture import load_views, read_capture
from point2act.data.importers.bag.cameras import camera_from_info
from point2act.data.importers.bag.reader import Topic, open_bag
from point2act.data.importers.bag.recording import BagConfig, extract, scan_bag
from point2act.data.importers.bag.topics import Topics, choose_topics

ALL = ("--max-frames", "1000")


def path_for(folder: Path, kind: Format) -> Path:
    return folder / ("robot.bag" if kind == "ros1" else "robot")


def convert(bag: Path, *more: str) -> Capture:
    capture = bag.parent / "capture"
    main(["capture", "bag", str(bag), *more, "--output", str(capture)])
    return read_capture(capture)


@pytest.mark.parametrize("compressed", ["", "png"])
@pytest.mark.parametrize("kind", FORMATS)
def test_images_and_interpolated_poses_come_back(tmp_path: Path, kind: Format, compressed: str):
    recipe = Recipe(compressed=compressed, depth_delay=0 if compressed else 4_000_000)
    found = convert(write(path_for(tmp_path, kind), kind, recipe), *ALL)
    times, shown = material.image_times(recipe), material.pictures(recipe)
    assert [frame.name for frame in found.frames] == [f"images/{n:04}.png" for n in range(len(times))]
    for time, picture, view in zip(times, shown, load_views(found), strict=True):
        error = np.linalg.inv(pose_at(time)) @ view.T_world_cam
        assert np.linalg.norm(error[:3, 3]) < 1e-4
        assert np.linalg.norm(error[:3, :3] - np.eye(3)) < 5e-4
        np.testing.assert_array_equal(view.rgb, picture.rgb)
        np.testing.assert_allclose(view.depth, np.round(picture.depth, 3), atol=1e-6)
        assert view.camera.cx == pytest.approx(material.PINHOLE.cx)
    np.testing.assert_array_equal(found.T_base_world, np.eye(4))
    assert found.metric


@pytest.mark.parametrize(
    ("change", "rgb"),
    [
        ({"encoding": "bgr8"}, lambda rgb: rgb),
        ({"encoding": "mono8"}, lambda rgb: np.repeat(rgb[..., :1], 3, axis=2)),
        ({"depth_encoding": "32FC1"}, lambda rgb: rgb),
    ],
)
def test_encodings(tmp_path: Path, change: dict, rgb):
    recipe = Recipe(seconds=0.2, **change)
    found = convert(write(tmp_path / "robot.bag", "ros1", recipe), *ALL)
    for picture, view in zip(material.pictures(recipe), load_views(found), strict=True):
        np.testing.assert_array_equal(view.rgb, rgb(picture.rgb))
        np.testing.assert_allclose(view.depth, picture.depth, atol=6e-4)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: Path):
    recipe = Recipe(seconds=0.2, compressed="jpeg", depth_delay=0)
    found = convert(write(tmp_path / "robot", "mcap", recipe), *ALL)
    for picture, view in zip(material.pictures(recipe), load_views(found), strict=True):
        read = np.asarray(Image.open(BytesIO(material.packed(picture.rgb, "jpeg"))))
        np.testing.assert_array_equal(view.rgb, read)


def test_a_file_of_a_folder_is_read_alone(tmp_path: Path):
    for kind, suffix in (("mcap", "mcap"), ("sqlite3", "db3")):
        folder = write(tmp_path / kind / "robot", kind, Recipe(seconds=0.2))
        assert len(convert(folder / f"robot.{suffix}").frames) == 6


def test_an_mcap_file_without_chunks_is_read(tmp_path: Path):
    write(tmp_path / "robot", "mcap", Recipe(seconds=0.2))
    plain = tmp_path / "plain.mcap"
    with (tmp_path / "robot/robot.mcap").open("rb") as source, plain.open("wb") as target:
        reader, writer = make_reader(source), McapWriter(target, use_chunking=False)
        writer.start(profile="ros2")
        channels: dict[str, int] = {}
        for schema, channel, message in reader.iter_messages():
            if channel.topic not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.topic] = writer.register_channel(channel.topic, "cdr", number)
            writer.add_message(channels[channel.topic], message.log_time, message.data, message.publish_time)
        writer.finish()
    assert len(convert(plain).frames) == 6


def test_several_files_of_ros_1_are_one_recording(tmp_path: Path):
    whole = Recipe(seconds=0.4)
    write(tmp_path / "all.bag", "ros1", replace(whole, tf=()))
    with BagWriter(tmp_path / "tf.bag", "ros1") as bag:
        for tick in range(-10, 60):
            time = material.START + tick * 10**7
            bag.tf(time, [(material.ARM, material.TOOL, material.tool_at(time))])
    assert len(convert(tmp_path / "all.bag", str(tmp_path / "tf.bag")).frames) == 12


# ── choice of topics and images ────────────────────────────────────────────────────────────────
def test_topics_are_listed_with_what_would_be_used(tmp_path: Path, capsys):
    main(["capture", "bag", str(write(tmp_path / "robot", "sqlite3", Recipe(seconds=0.2))), "--list"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [material.COLOR, "sensor_msgs/msg/Image", "6", "--color"] in rows
    assert [material.DEPTH, "sensor_msgs/msg/Image", "6", "--depth"] in rows
    assert [material.INFO, "sensor_msgs/msg/CameraInfo", "6", "--info"] in rows
    assert [material.DEPTH_INFO, "sensor_msgs/msg/CameraInfo", "6", "--depth-info"] in rows
    assert ["/tf_static", "tf2_msgs/msg/TFMessage", "1", "tf"] in rows


def topic(name: str, kind: str = "sensor_msgs/msg/Image") -> Topic:
    return Topic(name, kind, 10)


@pytest.mark.parametrize(
    ("names", "color", "depth"),
    [
        (["/camera/depth/image_rect_raw", "/camera/color/image_raw", "/camera/infra1/image_rect_raw"], 1, 0),
        (["/kinect/rgb/image_rect_color", "/kinect/depth_registered/image", "/kinect/depth/image"], 0, 1),
        (["/a/image_raw", "/b/depth/image_raw", "/a/depth/image_raw"], 0, 2),
        (["/image", "/segmentation_mask"], 0, None),
        (["/depth/image"], None, 0),
    ],
)
def test_guesses(names: list[str], color: int | None, depth: int | None):
    found = choose_topics([topic(name) for name in names], Topics())
    assert found.color == (None if color is None else names[color])
    assert found.depth == (None if depth is None else names[depth])


def test_raw_images_come_before_compressed_ones():
    packed = topic("/camera/color/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    info = topic("/camera/color/camera_info", "sensor_msgs/msg/CameraInfo")
    assert choose_topics([packed, info], Topics()).info == info.name
    found = choose_topics([packed, topic("/camera/color/image_raw"), info], Topics())
    assert (found.color, found.info) == ("/camera/color/image_raw", info.name)


def test_images_at_rest_are_chosen_all_around(tmp_path: Path):
    """The camera rests once a second: the images are from these moments."""
    recipe = Recipe(seconds=14)
    found = convert(write(tmp_path / "robot.bag", "ros1", recipe), "--max-frames", "16")
    times = np.array(material.image_times(recipe))
    poses = np.array([pose_at(int(time)) for time in times])
    chosen = [np.abs(poses - frame.T_world_cam).max(axis=(1, 2)).argmin() for frame in found.frames]
    phases = ((times[chosen] - material.START) / 1e9 + 0.5) % 1 - 0.5
    assert len(chosen) >= 12
    assert np.abs(phases).max() < 0.15
    assert len(np.unique(np.round((times[chosen] - material.START) / 1e9))) >= 12


def test_every_and_an_interval(tmp_path: Path):
    bag = write(tmp_path / "robot.bag", "ros1", Recipe(seconds=1))
    assert len(convert(bag, "--every", "3").frames) == 10
    main(["capture", "bag", str(bag), "--output", str(tmp_path / "part"), "--start", "0.5", "--end", "0.8"])
    assert 7 <= len(read_capture(tmp_path / "part").frames) <= 10


def test_a_gap_in_tf_is_reported_and_left_out(tmp_path: Path, capsys):
    recipe = Recipe(seconds=2, tf=((-0.1, 0.7), (1.3, 100.0)))
    found = convert(write(tmp_path / "robot.bag", "ros1", recipe))
    printed = capsys.readouterr().out
    assert "images are omitted because tf does not cover their time; tool0 has none for 0.6 s" in printed
    assert 38 <= len(found.frames) <= 44
    times = material.image_times(recipe)
    truth = np.array([pose_at(time) for time in times])
    for frame in found.frames:
        assert np.linalg.norm(truth[:, :3, 3] - frame.T_world_cam[:3, 3], axis=1).min() < 1e-4


# ── cameras ────────────────────────────────────────────────────────────────────────────────────
def with_two_cameras(path: Path, *, info: bool = True, link: bool = True) -> Path:
    """A depth camera of another size beside the colour camera, and a lens before the latter."""
    T_color_depth = material.rigid(0.03, 0.005, 0.0, 0.01, -0.02, 0.0)
    sensor, static = synthetic.pinhole(60, 90), [*material.STATIC]
    if link:
        static += [(material.OPTICAL, material.DEPTH_OPTICAL, T_color_depth)]
    with BagWriter(path, "ros1") as bag:
        bag.tf(material.START, static, static=True)
        for number in range(-2, 5):
            time = material.START + number * 10**8
            bag.tf(time, [(material.ARM, material.TOOL, material.tool_at(time))])
            if not 0 <= number < 3:
                continue
            color = synthetic.render(pose_at(time), synthetic.rays(material.PINHOLE))
            depth = synthetic.render(pose_at(time) @ T_color_depth, synthetic.rays(sensor)).depth
            bag.info(material.INFO, time, material.OPTICAL, material.PINHOLE, (0.05, -0.02, 0.001, 0.0, 0.01))
            bag.image(material.COLOR, time, material.OPTICAL, color.rgb, "rgb8")
            if info:
                bag.info("/camera/depth/camera_info", time, material.DEPTH_OPTICAL, sensor)
            bag.image("/camera/depth/image_raw", time, material.DEPTH_OPTICAL, depth, "32FC1")
    return path


def test_depth_of_another_camera_is_registered_and_lenses_are_straightened(tmp_path: Path):
    found = convert(with_two_cameras(tmp_path / "robot.bag"))
    for number, view in enumerate(load_views(found)):
        truth = synthetic.render(pose_at(material.START + number * 10**8), synthetic.rays(view.camera))
        seen = (view.depth > 0) & (truth.depth > 0)
        assert seen.mean() > 0.8
        assert np.median(np.abs(view.depth - truth.depth)[seen]) < 2e-3
    assert found.frames[0].lens.coefficients == ()


@pytest.mark.parametrize(
    ("info", "link", "says"),
    [(False, True, "has no camera_info"), (True, False, "no frame camera_depth_optical_frame")],
)
def test_what_registering_lacks_is_reported(tmp_path: Path, refuses, info: bool, link: bool, says: str):
    bag = with_two_cameras(tmp_path / "robot.bag", info=info, link=link)
    refuses(bag, says=says)


def test_a_rectified_image_has_the_camera_of_the_projection():
    bag = SimpleNamespace(
        width=64, height=48, distortion_model="plumb_bob", binning_x=0, binning_y=0,
        roi=SimpleNamespace(width=0), D=np.array([0.1, 0, 0, 0, 0]),
        K=np.array([50.0, 0, 31.5, 0, 50, 23.5, 0, 0, 1]),
        P=np.array([45.0, 0, 30.5, 0, 0, 45, 22.5, 0, 0, 0, 1, 0]),
    )  # fmt: skip
    raw, straight = (camera_from_info(bag, "/info", rectified=rectified) for rectified in (False, True))
    assert (raw.camera.fx, raw.camera.cx, raw.lens.coefficients[0]) == (50.0, 32.0, 0.1)
    assert (straight.camera.fx, straight.camera.cx, straight.lens.coefficients) == (45.0, 31.0, ())


def test_a_described_camera_replaces_camera_info(tmp_path: Path):
    camera = material.PINHOLE
    fields = {
        "width": camera.width,
        "height": camera.height,
        "fx": 70.0,
        "fy": 70.0,
        "ppx": 31.5,
        "ppy": 23.5,
    }
    (tmp_path / "camera.json").write_text(json.dumps(fields))
    bag = write(tmp_path / "robot.bag", "ros1", Recipe(seconds=0.2, infos=False))
    found = convert(bag, "--calibration", str(tmp_path / "camera.json"))
    assert found.frames[0].camera.fx == 70.0


# ── broken bags ────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def refuses(tmp_path: Path, capsys):
    """Exit code 2, one sentence on standard error that names the trouble, and no capture."""

    def check(bag: Path, *more: str, says: str) -> None:
        with pytest.raises(SystemExit) as stop:
            main(["capture", "bag", str(bag), "--output", str(tmp_path / "capture"), *more])
        assert stop.value.code == 2
        assert_one_sentence(capsys.readouterr().err, says)
        assert not (tmp_path / "capture").exists()

    return check


BROKEN = [
    pytest.param({"tf": (), "static": ()}, [], "has no tf", id="no tf"),
    pytest.param({"tf": ((-0.5, -0.1),)}, [], "does not cover the time of any image", id="tf ends before"),
    pytest.param({"tf": ((-0.5, -0.1), (1.05, 9.0)), "seconds": 1.0}, [], "tool0 for 1.", id="tf has a gap"),
    pytest.param({}, ["--base", "world"], "tf has no frame world: name one of arm_mount", id="wrong base"),
    pytest.param({"frame": "left_eye"}, [], "tf has no frame left_eye", id="wrong camera"),
    pytest.param({"static": material.STATIC[1:]}, ["--base", "arm_mount"], None, id="another base"),
    pytest.param({"static": material.STATIC[:1]}, [], "tf has no frame camera_color", id="no camera in tf"),
    pytest.param(
        {"static": (*material.STATIC[1:], ("map", "base_link", np.eye(4)))},
        [], "does not connect base_link with camera_color_optical_frame", id="two trees",
    ),
    pytest.param(
        {"static": (*material.STATIC, ("map", "tool0", np.eye(4)))}, [], "two parents", id="two parents"
    ),
    pytest.param({}, ["--color", "/nothing"], "--color /nothing is not in the bag", id="unknown topic"),
    pytest.param({}, ["--color", "/tf"], "holds tf2_msgs/msg/TFMessage", id="another type"),
    pytest.param({"infos": False}, [], "has no camera_info beside", id="no camera_info"),
    pytest.param({"encoding": "bayer_rggb8"}, [], "'bayer_rggb8', not as one of rgb8", id="encoding"),
    pytest.param({"depth_encoding": "32FC1", "depth_scale": 1000}, [], "--depth-unit", id="millimetres"),
    pytest.param({"depth_scale": 0.01}, [], "with 0.001 m for one unit", id="centimetres"),
    pytest.param({"depth_scale": 0.0}, [], "has no reading in any of the images", id="no depth"),
    pytest.param({"depth_delay": 10**9}, [], "within 0.02 s", id="depth later"),
    pytest.param({"jump": 3.0}, [], "goes back by", id="clock jump"),
    pytest.param({"stamped": False}, [], "no time in their headers", id="no times"),
    pytest.param({"compressed": "gif"}, [], None, id="another format of images"),
    pytest.param({}, ["--max-frames", "0"], "--max-frames is 0", id="no frames"),
    pytest.param({}, ["--start", "50"], "in this part of", id="nothing there"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "more", "says"), BROKEN)
def test_a_broken_bag_gives_one_sentence(tmp_path: Path, refuses, change: dict, more: list[str], says):
    bag = write(tmp_path / "robot.bag", "ros1", Recipe(**{"seconds": 0.3, **change}))
    if says is None:
        assert convert(bag, *more).frames
    else:
        refuses(bag, *more, says=says)


def test_the_unit_of_depth_may_be_given(tmp_path: Path):
    recipe = Recipe(seconds=0.2, depth_encoding="32FC1", depth_scale=1000)
    found = convert(write(tmp_path / "robot.bag", "ros1", recipe), "--depth-unit", "0.001")
    views = load_views(found)
    np.testing.assert_allclose(views[0].depth, material.pictures(recipe)[0].depth, atol=6e-4)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_file_is_refused(tmp_path: Path, refuses, kind: Format, share: float):
    path = write(path_for(tmp_path, kind), kind, Recipe(seconds=0.3))
    file = path if kind == "ros1" else next(path.glob("robot.*"))
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    refuses(path, says="cannot be read")


def test_what_is_no_bag_is_refused(tmp_path: Path, refuses):
    refuses(tmp_path / "nothing.bag", says="there is no")
    (tmp_path / "text.bag").write_text("no bag")
    refuses(tmp_path / "text.bag", says="cannot be read")
    (tmp_path / "notes.txt").write_text("no bag")
    refuses(tmp_path / "notes.txt", says="cannot be read")
    (tmp_path / "folder").mkdir()
    refuses(tmp_path / "folder", says="has no metadata.yaml")


def test_an_empty_topic_is_refused(tmp_path: Path, refuses):
    with BagWriter(tmp_path / "robot.bag", "ros1") as bag:
        bag.tf(material.START, material.STATIC, static=True)
        bag.empty(material.COLOR, "sensor_msgs/msg/Image")
    refuses(tmp_path / "robot.bag", "--color", material.COLOR, says=f"--color {material.COLOR} is empty")
    refuses(tmp_path / "robot.bag", says="no topic that is clearly for --color")


def test_without_rosbags_the_extra_is_named(tmp_path: Path, refuses, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    refuses(tmp_path, says='pip install "point2act[bags]"')


def test_an_output_is_needed_and_must_be_free(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        main(["capture", "bag", str(tmp_path / "robot.bag")])
    assert "needs --output" in capsys.readouterr().err
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture/precious").write_text("x")
    with pytest.raises(SystemExit):
        main(["capture", "bag", str(tmp_path / "robot.bag"), "--output", str(tmp_path / "capture")])
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_bytes_never_end_in_a_traceback(tmp_path: Path, kind: Format):
    path = write(path_for(tmp_path, kind), kind, Recipe(seconds=0.1))
    file = path if kind == "ros1" else next(path.glob("robot.*"))
    whole, rng = np.frombuffer(file.read_bytes(), dtype=np.uint8), np.random.default_rng(0)
    for number in range(40):
        damaged = whole.copy()
        # Half of the damage is in what is not pixels, at the start and at the end.
        places = rng.integers(0, len(whole), 20)
        places[:10] = np.r_[rng.integers(0, 8000, 5), len(whole) - 1 - rng.integers(0, 8000, 5)]
        damaged[places[number % 2 :: 2]] ^= rng.integers(1, 256, 10, dtype=np.uint8)
        file.write_bytes(damaged.tobytes())
        (tmp_path / f"{number}").mkdir()
        with suppress(CaptureError), open_bag([path]) as bag:
            extract(bag, scan_bag(bag, BagConfig()), BagConfig(), tmp_path / f"{number}")
