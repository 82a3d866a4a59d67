"""Robot datasets in the published layouts become captures with the same poses, intrinsics and pictures."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import robot_datasets as published
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from point2act.cli.main import main
from point2act.core.types import View
from point2act.data.capture import load_views, read_capture
from point2act.data.importers.episodes.episode import choose_steps
from point2act.data.importers.episodes.lerobot import depth_from_codes
from point2act.data.importers.episodes.mapping import CameraTable, load_mapping
from point2act.data.importers.episodes.poses import PoseFormat, intrinsics, pose_rows, poses_from_rows

STEPS = 8
WRIST = synthetic.views(STEPS, height=72, width=128)
"""A wrist camera that goes around the table, 27 cm a step: every step is chosen."""
OUTER = synthetic.views(3, height=72, width=128)[1:]


def captured(kind: str, *arguments: object, output: Path) -> dict[str, View]:
    main(["capture", kind, *map(str, arguments), "--output", str(output)])
    return {Path(view.name).stem: view for view in load_views(read_capture(output))}


def refused(
    capsys: pytest.CaptureFixture[str], says: str, kind: str, *arguments: object, output: Path
) -> None:
    """The command exits with 2 and one sentence, and writes nothing."""
    before = sorted(output.parent.iterdir())
    with pytest.raises(SystemExit) as stop:
        main(["capture", kind, *map(str, arguments), "--output", str(output)])
    printed = capsys.readouterr().err.strip()
    assert stop.value.code == 2
    assert "\n" not in printed
    assert says in printed, printed
    assert sorted(output.parent.iterdir()) == before


def assert_same(found: View, truth: View, *, color: float, depth: float | None) -> None:
    """Poses to 0.1 mm and 1e-4, intrinsics to 0.01 px; mean colours to levels, depth to metres."""
    np.testing.assert_allclose(found.T_world_cam, truth.T_world_cam, atol=1e-4)
    assert np.linalg.norm(found.T_world_cam[:3, 3] - truth.T_world_cam[:3, 3]) < 1e-4
    np.testing.assert_allclose(found.camera.K, truth.camera.K, atol=1e-2)
    assert np.abs(found.rgb.astype(int) - truth.rgb).mean() <= color
    assert (found.depth is None) == (depth is None)
    if depth is not None:
        np.testing.assert_allclose(found.depth, truth.depth, atol=depth)


# ── DROID ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("depth", [False, True])
def test_a_droid_episode_is_read(tmp_path: Path, depth: bool, capsys: pytest.CaptureFixture[str]):
    published.write_droid(tmp_path / "episode", WRIST, OUTER, closes=6, depth=depth)
    calibration = tmp_path / "episode/calibration"
    found = captured("droid", tmp_path / "episode", "--calibration", calibration, output=tmp_path / "capture")
    assert list(found) == [*(f"wrist_{step:05}" for step in range(6)), "ext1_00000", "ext2_00000"]
    truths = (*WRIST[:6], *OUTER)
    for view, truth in zip(found.values(), truths, strict=True):
        assert_same(view, truth, color=6, depth=6e-4 if depth else None)
    T_base_world = read_capture(tmp_path / "capture").T_base_world
    np.testing.assert_array_equal(T_base_world, np.eye(4))
    printed = capsys.readouterr().out
    assert "the gripper closes at step 6 of 8" in printed
    assert ("there is no depth" in printed) == (not depth)


def test_without_published_extrinsics_the_trajectory_has_them(tmp_path: Path, capsys):
    published.write_droid(tmp_path / "episode", WRIST, OUTER)
    (tmp_path / "episode/calibration/cam2base_extrinsic_superset.json").unlink()
    calibration = tmp_path / "episode/calibration"
    found = captured("droid", tmp_path / "episode", "--calibration", calibration, output=tmp_path / "capture")
    assert len(found) == STEPS + 2
    shift = found["ext1_00000"].T_world_cam[:3, 3] - OUTER[0].T_world_cam[:3, 3]
    np.testing.assert_allclose(shift, [0.02, 0, 0], atol=1e-9)
    assert "which may be centimetres off" in capsys.readouterr().out


def test_the_left_half_of_a_stereo_recording_and_intrinsics_of_the_trajectory(tmp_path: Path):
    episode, serial = tmp_path / "episode", published.SERIALS["wrist"]
    published.write_droid(episode, WRIST, OUTER)
    for path in (episode / "recordings/MP4").iterdir():
        path.unlink()
    pairs = [np.concatenate([view.rgb, 255 - view.rgb], axis=1) for view in WRIST]
    published.write_video(episode / f"recordings/MP4/{serial}-stereo.mp4", pairs, "mp4v")
    with h5py.File(episode / "trajectory.h5", "a") as file:
        K = published.matrix(published.opencv_K(WRIST[0], 10.0))
        file[f"observation/camera_intrinsics/{serial}_left"] = np.array([K] * STEPS)
    found = captured("droid", episode, "--last", 2, output=tmp_path / "capture")
    for view, truth in zip(found.values(), WRIST[:3], strict=True):
        assert_same(view, truth, color=8, depth=None)


def no_mp4(episode: Path) -> None:
    for path in (episode / "recordings/MP4").iterdir():
        path.unlink()
    (episode / "recordings/SVO").mkdir()
    (episode / "recordings/SVO/17225336.svo").write_bytes(b"")


def no_wrist(episode: Path) -> None:
    with h5py.File(episode / "trajectory.h5", "a") as file:
        del file[f"observation/camera_extrinsics/{published.SERIALS['wrist']}_left"]


def wrong_size(episode: Path) -> None:
    path = episode / f"recordings/Depth/{published.SERIALS['wrist']}/0.png"
    path.write_bytes(published.png(np.ones((10, 10), np.uint16)))


SPOILT_DROID: dict[str, tuple[Callable[[Path], object], str]] = {
    "no metadata": (lambda e: (e / f"metadata_{published.IDENTITY}.json").unlink(), "metadata_*.json"),
    "no intrinsics": (lambda e: (e / "calibration/intrinsics.json").unlink(), "--calibration"),
    "no calibration": (
        lambda e: [p.unlink() for p in (e / "calibration").iterdir()],
        "none of intrinsics.json",
    ),
    "no trajectory": (lambda e: (e / "trajectory.h5").unlink(), "there is no file"),
    "broken trajectory": (lambda e: (e / "trajectory.h5").write_bytes(b"HDF"), "cannot be read as HDF5"),
    "only SVO": (no_mp4, "ZED SDK"),
    "no wrist pose": (no_wrist, "the pose of the wrist camera"),
    "broken video": (
        lambda e: (e / "recordings/MP4/17225336.mp4").write_bytes(b"x" * 99),
        "ffmpeg -i 17225336.mp4",
    ),
    "depth of another size": (wrong_size, "in the size of the video"),
}


@pytest.mark.parametrize("name", SPOILT_DROID)
def test_a_droid_episode_with_something_missing_is_one_sentence(tmp_path: Path, name: str, capsys):
    spoil, says = SPOILT_DROID[name]
    episode = tmp_path / "episode"
    published.write_droid(episode, WRIST, OUTER, depth=True)
    spoil(episode)
    calibration = ("--calibration", episode / "calibration")
    refused(capsys, says, "droid", episode, *calibration, output=tmp_path / "capture")


@pytest.mark.parametrize(
    ("options", "says"),
    [(("--last", 99), "0 to 7"), (("--first", 8), "0 to 7"), (("--max-frames", 0), "--max-frames is 0")],
)
def test_steps_that_are_not_there_are_refused(tmp_path: Path, options: tuple, says: str, capsys):
    published.write_droid(tmp_path / "episode", WRIST, OUTER)
    calibration = ("--calibration", tmp_path / "episode/calibration")
    refused(capsys, says, "droid", tmp_path / "episode", *calibration, *options, output=tmp_path / "capture")


# ── LeRobot ────────────────────────────────────────────────────────────────────────────────────
TWO_EPISODES = [{"wrist": WRIST[:5], "top": (OUTER[0],) * 5}, {"wrist": WRIST[4:], "top": (OUTER[1],) * 4}]


@pytest.mark.parametrize("version", ["v2.0", "v2.1", "v3.0"])
@pytest.mark.parametrize("codec", ["libx264", "libsvtav1", "image"])
def test_a_lerobot_episode_is_read(tmp_path: Path, version: str, codec: str):
    published.write_lerobot(tmp_path / "set", TWO_EPISODES, version=version, codec=codec)
    found = captured("lerobot", tmp_path / "set", "--episode", 1, output=tmp_path / "capture")
    assert list(found) == [*(f"wrist_{step:05}" for step in range(4)), "top_00000"]
    for view, truth in zip(found.values(), (*WRIST[4:], OUTER[1]), strict=True):
        # 12 bits from 1 cm to 10 m are steps of 1.3 mm at half a metre, and stored as whole millimetres.
        assert_same(
            view, truth, color=0 if codec == "image" else 4, depth=6e-4 if codec == "image" else 1.5e-3
        )


def test_a_camera_on_the_gripper_moves_with_it(tmp_path: Path):
    """Hand-eye calibration and intrinsics as numbers, of a larger image; a part of the state."""
    T_gripper_cam = np.eye(4)
    T_gripper_cam[:3, :3], T_gripper_cam[:3, 3] = published.fixed_axes(0.1, -0.2, 1.5), [0.03, -0.05, 0.07]
    state = []
    for view in WRIST:
        T_world_gripper = view.T_world_cam @ np.linalg.inv(T_gripper_cam)
        state.append([0.5, *published.six(T_world_gripper), 0.1])
    published.write_lerobot(tmp_path / "set", [{"wrist": WRIST}], columns={"observation.state": [state]})
    K = published.opencv_K(WRIST[0], 10.0)
    (tmp_path / "own.toml").write_text(
        f"""
        [[camera]]
        color = "observation.images.wrist"
        intrinsics = {list(K)}
        intrinsics_size = [720, 1280]
        pose = {T_gripper_cam.tolist()}
        gripper = "observation.state"
        gripper_columns = [1, 7]
        """
    )
    found = captured(
        "lerobot", tmp_path / "set", "--mapping", tmp_path / "own.toml", output=tmp_path / "capture"
    )
    assert len(found) == STEPS
    for view, truth in zip(found.values(), WRIST, strict=True):
        assert_same(view, truth, color=4, depth=None)


def test_names_in_use_for_poses_are_found(tmp_path: Path):
    """DROID's port has six numbers under camera_extrinsics, here with intrinsics beside them."""
    published.write_lerobot(
        tmp_path / "set",
        [{"wrist.left": WRIST}],
        columns={
            "camera_extrinsics.wrist.left": [[published.six(view.T_world_cam) for view in WRIST]],
            "camera_intrinsics.wrist.left": [[list(published.opencv_K(view)) for view in WRIST]],
        },
    )
    info = tmp_path / "set/meta/info.json"
    document = json.loads(info.read_text())
    del document["features"]["observation.extrinsics.wrist.left"]
    info.write_text(json.dumps(document))
    found = captured("lerobot", tmp_path / "set", output=tmp_path / "capture")
    assert list(found) == [f"wrist_left_{step:05}" for step in range(STEPS)]
    for view, truth in zip(found.values(), WRIST, strict=True):
        assert_same(view, truth, color=4, depth=None)


def edit_info(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "meta/info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def without(*endings: str) -> Callable[[Path], None]:
    """Remove features from the description."""

    def edit(folder: Path) -> None:
        path = folder / "meta/info.json"
        document = json.loads(path.read_text())
        kept = {
            key: value for key, value in document["features"].items() if not any(e in key for e in endings)
        }
        path.write_text(json.dumps(document | {"features": kept}))

    return edit


SPOILT_LEROBOT: dict[str, tuple[Callable[[Path], object], str]] = {
    "an older version": (edit_info(codebase_version="v1.6"), "codebase_version 'v1.6'"),
    "a newer version": (edit_info(codebase_version="v4.0"), "codebase_version 'v4.0'"),
    "no poses": (without("extrinsics"), "camera 'wrist' has no observation.extrinsics.wrist"),
    "no intrinsics": (without("intrinsics"), "has no observation.intrinsics.wrist"),
    "no images": (without("images"), "there are no colours under observation.images.{camera}"),
    "another episode": (edit_info(total_episodes=0), "has no episode 0"),
    "no video": (lambda s: [p.unlink() for p in s.glob("videos/**/*.mp4")], "download the videos"),
    "no data": (lambda s: [p.unlink() for p in s.glob("data/**/*.parquet")], "download the episode's files"),
    "broken data": (
        lambda s: [p.write_bytes(b"PAR") for p in s.glob("data/**/*.parquet")],
        "cannot be read as parquet",
    ),
    "a path that leaves": (edit_info(video_path="../{video_key}.mp4"), "leads out of the dataset"),
    "a path that cannot be": (edit_info(data_path="{nothing}"), "cannot be filled in"),
    "no features": (edit_info(features=3), "does not describe its features"),
}


@pytest.mark.parametrize("name", SPOILT_LEROBOT)
def test_a_lerobot_dataset_with_something_missing_is_one_sentence(tmp_path: Path, name: str, capsys):
    spoil, says = SPOILT_LEROBOT[name]
    published.write_lerobot(tmp_path / "set", [{"wrist": WRIST[:3]}])
    spoil(tmp_path / "set")
    refused(capsys, says, "lerobot", tmp_path / "set", output=tmp_path / "capture")


def test_what_is_no_lerobot_dataset_is_reported(tmp_path: Path, capsys):
    refused(capsys, "give the folder of a LeRobot dataset", "lerobot", tmp_path, output=tmp_path / "capture")


@given(st.floats(0.02, 9.9), st.booleans())
def test_depth_survives_its_codes(metres: float, logarithmic: bool):
    info = {
        "video.depth_min": 0.01,
        "video.depth_max": 10.0,
        "video.shift": 3.5,
        "video.use_log": logarithmic,
    }
    linear = np.rint((metres - 0.01) / 9.99 * 4095).astype(np.uint16)
    code = published.codes_of(np.array([[metres]])) if logarithmic else np.array([[linear]])
    assert abs(depth_from_codes(code, info, "x")[0, 0] - metres) < 2.5e-3
    assert depth_from_codes(np.zeros((1, 1), np.uint16), info, "x")[0, 0] == 0


# ── HDF5 ───────────────────────────────────────────────────────────────────────────────────────
def test_a_robomimic_file_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Episodes are in numeric order; a fixed camera gives one image; one on the gripper has no pose."""
    published.write_robomimic(tmp_path / "demo.hdf5", WRIST)
    found = captured("hdf5", tmp_path / "demo.hdf5", "--episode", 1, output=tmp_path / "capture")
    assert list(found) == ["agentview_00000"]
    assert_same(found["agentview_00000"], WRIST[0], color=0, depth=6e-4)
    assert "mapping robomimic" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("write", "camera", "color"),
    [(published.write_maniskill, "hand_camera", 0), (published.write_robotwin, "head_camera", 4)],
)
def test_files_of_simulators_are_read(tmp_path: Path, write: Callable, camera: str, color: float):
    write(tmp_path / "file.h5", WRIST)
    found = captured("hdf5", tmp_path / "file.h5", output=tmp_path / "capture")
    assert list(found) == [f"{camera}_{step:05}" for step in range(STEPS)]
    for view, truth in zip(found.values(), WRIST, strict=True):
        assert_same(view, truth, color=color, depth=6e-4)


def test_a_mapping_of_ones_own_may_have_other_conventions(tmp_path: Path):
    """OpenGL axes, blue first, the last row on top, channels first, a pose in quaternions."""
    flip = np.diag([1.0, -1, -1, 1])
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["rgb"] = np.array([view.rgb[::-1, :, ::-1].transpose(2, 0, 1) for view in WRIST])
        file["z"] = np.array([view.depth[::-1] * 100 for view in WRIST])
        file["T"] = np.array([view.T_world_cam @ flip for view in WRIST])
        file["K"] = np.array(published.opencv_K(WRIST[0]))
    (tmp_path / "own.toml").write_text(
        '[[camera]]\nname = "gripper"\ncolor = "rgb"\ndepth = "z"\ndepth_unit = 0.01\nintrinsics = "K"\n'
        'pose = "T"\n'
        'pose_axes = "opengl"\nbgr = true\nupside_down = true\n'
    )
    found = captured(
        "hdf5", tmp_path / "own.h5", "--mapping", tmp_path / "own.toml", output=tmp_path / "capture"
    )
    for view, truth in zip(found.values(), WRIST, strict=True):
        assert_same(view, truth, color=0, depth=6e-4)


def test_act_has_no_poses_and_the_keys_are_listed(tmp_path: Path, capsys):
    published.write_act(tmp_path / "episode_0.hdf5", WRIST[:2])
    says = "camera 'top' has no observations/intrinsics/top and no observations/extrinsics/top"
    refused(capsys, says, "hdf5", tmp_path / "episode_0.hdf5", output=tmp_path / "capture")
    refused(capsys, "observations/qpos", "hdf5", tmp_path / "episode_0.hdf5", output=tmp_path / "capture")


OWN = '[[camera]]\ncolor = "rgb"\nintrinsics = [100, 100, 63.5, 35.5]\npose = "T"\n'
BAD_MAPPINGS = {
    "an unknown key": (OWN + 'colour = "x"', "unknown keys colour"),
    "an absent array": (OWN.replace('"rgb"', '"missing"'), "camera 'missing' has no missing"),
    "absent depth": (OWN + 'depth = "z"', "has no z"),
    "three numbers": (OWN.replace('"T"', "[1, 2, 3]"), "a pose is a 4x4 or 3x4 matrix"),
    "another format": (OWN + 'pose_format = "xyz_rotvec"', "name their format"),
    "of another image": (OWN + "intrinsics_size = [100, 100]", "not a scaled one of"),
    "not intrinsics": (OWN.replace("100, 100, 63.5", "100, 100, 6300.5"), "are not those of an image"),
    "no camera": ("episodes = 'x'", "'camera' is missing"),
    "no episodes": ("episodes = 'x_*'\n" + OWN, "has no episode 0"),
    "not images": (OWN.replace('"rgb"', '"T"'), "three channels of 8 bits"),
    "text": (OWN.replace('"T"', '"words"'), "does not hold numbers"),
    "sheared": (OWN.replace('"T"', '"S"'), "not rigid"),
}


@pytest.mark.parametrize("name", BAD_MAPPINGS)
def test_a_bad_mapping_is_one_sentence(tmp_path: Path, name: str, capsys):
    text, says = BAD_MAPPINGS[name]
    (tmp_path / "own.toml").write_text(text)
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["rgb"] = np.array([view.rgb for view in WRIST[:2]])
        file["T"] = np.array([view.T_world_cam for view in WRIST[:2]])
        file["S"] = np.array([view.T_world_cam * 2 for view in WRIST[:2]])
        file["words"] = ["a", "b"]
    refused(
        capsys, says, "hdf5", tmp_path / "own.h5", "--mapping", tmp_path / "own.toml", output=tmp_path / "c"
    )


def test_the_mapping_in_the_documentation_is_valid(tmp_path: Path):
    page = (Path(__file__).resolve().parent.parent / "docs/robot_datasets.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "page.toml").write_text(block)
    wrist, top = load_mapping(tmp_path / "page.toml").camera
    assert (wrist.gripper, top.gripper) == ("observation.state", None)
    fields = set(CameraTable.model_fields) | {"episodes"}
    assert all(f"`{name}`" in page for name in fields)


def test_arrays_in_other_files_are_not_read(tmp_path: Path, capsys):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["rgb"] = np.array([view.rgb for view in WRIST[:2]])
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["rgb"] = h5py.ExternalLink("secret.h5", "rgb")
        file["T"] = np.array([view.T_world_cam for view in WRIST[:2]])
    (tmp_path / "own.toml").write_text(OWN)
    refused(
        capsys,
        "has no rgb",
        "hdf5",
        tmp_path / "own.h5",
        "--mapping",
        tmp_path / "own.toml",
        output=tmp_path / "c",
    )


@pytest.mark.parametrize(
    ("library", "kind"), [("h5py", "droid"), ("h5py", "hdf5"), ("pyarrow", "lerobot"), ("av", "lerobot")]
)
def test_without_the_library_the_error_names_the_extra(
    tmp_path: Path, monkeypatch, capsys, library: str, kind: str
):
    published.write_droid(tmp_path / "droid", WRIST[:2], OUTER)
    published.write_lerobot(tmp_path / "lerobot", [{"wrist": WRIST[:2]}])
    published.write_maniskill(tmp_path / "hdf5", WRIST[:2])
    monkeypatch.setitem(sys.modules, library, None)
    refused(capsys, "point2act[datasets]", kind, tmp_path / kind, output=tmp_path / "capture")


# ── laws ───────────────────────────────────────────────────────────────────────────────────────
angles = st.floats(-3.1, 3.1)
positions = st.tuples(*(st.floats(-2.0, 2.0),) * 3)


def posed(position: tuple[float, float, float], x: float, y: float, z: float) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = published.fixed_axes(x, y, z), position
    return T


@given(positions, angles, angles, angles)
def test_six_numbers_are_a_position_and_turns_about_fixed_axes(position, x, y, z):
    rows = np.array([[*position, x, y, z]])
    np.testing.assert_allclose(poses_from_rows(rows, "auto", "x")[0], posed(position, x, y, z), atol=1e-12)


@given(
    positions,
    angles,
    st.integers(0, 2),
    st.sampled_from(["xyz_rotvec", "xyz_quaternion_wxyz", "xyz_quaternion_xyzw"]),
)
def test_a_turn_about_one_axis_is_the_same_in_every_format(position, angle, axis, form: PoseFormat):
    one = np.eye(3)[axis]
    w, v = np.cos(angle / 2), np.sin(angle / 2) * one
    numbers = {"xyz_rotvec": angle * one, "xyz_quaternion_wxyz": [w, *v], "xyz_quaternion_xyzw": [*v, w]}[
        form
    ]
    found = poses_from_rows(np.array([[*position, *numbers]]), form, "x")[0]
    np.testing.assert_allclose(found, posed(position, *(angle * one)), atol=1e-12)


@given(st.lists(st.tuples(positions, angles), min_size=1, max_size=6), st.sampled_from([3, 4]), st.booleans())
def test_matrices_may_be_flat_or_not(given_poses, height: int, flat: bool):
    truth = np.array([posed(position, 0.1, angle, 0.2) for position, angle in given_poses])
    values = truth[:, :height]
    rows = pose_rows(values.reshape(len(truth), -1) if flat else values)
    assert rows is not None
    np.testing.assert_array_equal(poses_from_rows(rows, "auto", "x"), truth)


def test_a_pose_that_is_not_known_stays_so():
    rows = np.array([[0.0] * 6, [np.nan] * 6])
    found = poses_from_rows(rows, "xyz_euler", "x")
    assert np.isfinite(found[0]).all()
    assert not np.isfinite(found[1]).any()


@given(st.tuples(*(st.floats(10, 1000),) * 4), st.booleans(), st.integers(0, 3))
def test_intrinsics_are_the_same_in_every_form(K, square: bool, steps: int):
    one = published.matrix(K) if square else np.array(K)
    assert intrinsics(np.array([one] * steps) if steps else one, "x") == pytest.approx(K)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0, 0.05), st.floats(0, 0.1), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_chosen_steps_are_few_ascending_and_posed(moves, count: int):
    poses = np.tile(np.eye(4), (len(moves), 1, 1))
    poses[:, 0, 3] = np.cumsum([shift for shift, _, _ in moves])
    poses[:, :3, :3] = [published.turn(2, angle) for angle in np.cumsum([turn for _, turn, _ in moves])]
    lost = np.array([gone for _, _, gone in moves])
    poses[lost] = np.nan
    chosen = choose_steps(poses, count)
    assert len(chosen) <= count
    assert list(chosen) == sorted(set(chosen))
    assert not lost[list(chosen)].any()
    assert bool(chosen) == (not lost.all())


def test_a_camera_that_stands_still_gives_one_image_and_pauses_are_preferred():
    still = np.tile(np.eye(4), (30, 1, 1))
    assert choose_steps(still, 10) == (0,)
    moving = still.copy()
    # 5 cm forwards in five steps, then a pause of five, three times.
    moving[:, 0, 3] = np.repeat([0.0, 0.05, 0.10], 10) + np.tile(
        [0.01, 0.02, 0.03, 0.04, 0.05] + [0.05] * 5, 3
    )
    chosen = choose_steps(moving, 3)
    assert len(chosen) == 3
    assert all(step % 10 >= 4 for step in chosen)


@pytest.mark.parametrize("depth", [True, False])
def test_a_capture_of_an_episode_passes_its_check(tmp_path: Path, depth: bool, capsys):
    """Also without depth: the poses of a robot are in metres."""
    views = synthetic.views(24, height=144, width=256)
    published.write_droid(tmp_path / "episode", views[:22], views[22:], depth=depth)
    calibration = tmp_path / "episode/calibration"
    captured("droid", tmp_path / "episode", "--calibration", calibration, output=tmp_path / "capture")
    assert read_capture(tmp_path / "capture").metric
    main(["check", str(tmp_path / "capture")])
    printed = capsys.readouterr().out
    assert "fine: 24 views around the scene" in printed
    assert "--metric" not in printed


def test_cameras_need_not_have_the_same_size(tmp_path: Path):
    small = synthetic.views(STEPS)
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name, views in (("a", WRIST), ("b", small)):
            file[f"observation/{name}/rgb"] = np.array([view.rgb for view in views])
            file[f"observation/{name}/extrinsic_cv"] = np.array(
                [np.linalg.inv(view.T_world_cam) for view in views]
            )
            file[f"observation/{name}/intrinsic_cv"] = np.array([view.camera.K for view in views])
    found = captured("hdf5", tmp_path / "two.h5", output=tmp_path / "capture")
    for name, view in found.items():
        truth = (WRIST if name.startswith("a") else small)[int(name[-5:])]
        assert_same(view, replace(truth, depth=None), color=0, depth=None)
