"""Recordings of others: each layout read back as the views it was made of; parsers; registering; scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from point2act.core.errors import CaptureError
from point2act.core.geometry import invert, project, to_tangents
from point2act.core.types import Camera, Frame, Lens, View
from point2act.data.capture import distortion as lenses
from point2act.data.capture import load_views, read_capture
from point2act.data.capture.images import image_size
from point2act.data.importers.alignment import align_model
from point2act.data.importers.calibration import (
    Calibration,
    DepthCamera,
    DistortedCamera,
    inverse_lens,
    read_calibration,
)
from point2act.data.importers.depth_registration import register_depth
from point2act.data.importers.layouts import LAYOUTS, detect_layout, read_recording
from point2act.data.importers.markers import find_markers
from point2act.data.importers.metric_scale import (
    KnownDistance,
    MarkedPair,
    MetricScale,
    PrintedMarkers,
    parse_scale,
    scale_from_distance,
    scale_from_markers,
)
from point2act.data.importers.photos import Photo, extract_sharp_frames, list_photos, prepare_photos
from point2act.data.importers.pose_text import nearest_times, read_poses, read_rows, read_trajectory
from point2act.data.importers.sfm import SfmModel, image_pairs, reconstruct_photos
from point2act.data.importers.write import subsample, write_recording, write_structure

VIEWS = synthetic.views(4)
MILLIMETRES, TUM = 1e-3, 1 / 5000


# ── the same views, written as others do ──────────────────────────────────────────────────────
def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_depth(path: Path, depth: np.ndarray | None, unit: float = MILLIMETRES) -> None:
    assert depth is not None
    save(path, np.round(depth / unit).astype(np.uint16))


def save_matrix(path: Path, matrix: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, matrix)


def described(camera: Camera) -> dict:
    """librealsense's fields; it puts the centre of the first pixel at 0."""
    numbers = {"fx": camera.fx, "fy": camera.fy, "ppx": camera.cx - 0.5, "ppy": camera.cy - 0.5}
    return {"width": camera.width, "height": camera.height, **numbers}


def matrix_of(camera: Camera) -> np.ndarray:
    K = camera.K.copy()
    K[:2, 2] -= 0.5
    return K


def as_plain(folder: Path) -> None:
    for i, view in enumerate(VIEWS):
        save(folder / f"color/{i}.png", view.rgb)
        save_depth(folder / f"depth/{i}.png", view.depth)
        save_matrix(folder / f"pose/{i}.txt", view.T_world_cam)
    (folder / "camera.json").write_text(json.dumps(described(VIEWS[0].camera)))


def as_plain_with_a_list(folder: Path) -> None:
    for i, view in enumerate(VIEWS):
        save(folder / f"rgb/{i:03}.png", view.rgb)
        save_depth(folder / f"depth/{i:03}.png", view.depth, 1e-4)
    save_matrix(folder / "poses.txt", np.array([view.T_world_cam[:3].ravel() for view in VIEWS]))
    camera = {"color": described(VIEWS[0].camera), "depth_scale": 1e-4}
    (folder / "intrinsics.json").write_text(json.dumps(camera))


def as_tum(folder: Path) -> None:
    lines = {
        "rgb": ["# timestamp filename"],
        "depth": [],
        "groundtruth": ["# timestamp tx ty tz qx qy qz qw"],
    }
    for i, view in enumerate(VIEWS):
        time = 1305031102.175304 + i / 30
        save(folder / f"rgb/{time:.6f}.png", view.rgb)
        save_depth(folder / f"depth/{time + 0.007:.6f}.png", view.depth, TUM)
        lines["rgb"].append(f"{time:.6f} rgb/{time:.6f}.png")
        lines["depth"].append(f"{time + 0.007:.6f} depth/{time + 0.007:.6f}.png")
        quaternion = Rotation.from_matrix(view.T_world_cam[:3, :3]).as_quat()
        numbers = " ".join(f"{value:.9f}" for value in (*view.T_world_cam[:3, 3], *quaternion))
        lines["groundtruth"].append(f"{time - 0.004:.4f} {numbers}")
    for name, text in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(text) + "\n")
    (folder / "given.json").write_text(json.dumps(described(VIEWS[0].camera)))


def as_seven_scenes(folder: Path) -> None:
    for i, view in enumerate(VIEWS):
        assert view.depth is not None
        save(folder / f"frame-{i:06}.color.png", view.rgb)
        none = np.where(view.depth > 0, view.depth, 65.535)
        save_depth(folder / f"frame-{i:06}.depth.png", none)
        save_matrix(folder / f"frame-{i:06}.pose.txt", view.T_world_cam)
    (folder / "given.json").write_text(json.dumps(described(VIEWS[0].camera)))


def as_scannet(folder: Path) -> None:
    for i, view in enumerate(VIEWS):
        save(folder / f"color/{i}.png", view.rgb)
        save_depth(folder / f"depth/{i}.png", view.depth)
        save_matrix(folder / f"pose/{i}.txt", view.T_world_cam)
    for name in ("color", "depth"):
        K = np.eye(4)
        K[:3, :3] = matrix_of(VIEWS[0].camera)
        save_matrix(folder / f"intrinsic/intrinsic_{name}.txt", K)
        save_matrix(folder / f"intrinsic/extrinsic_{name}.txt", np.eye(4))


def as_bop(folder: Path) -> None:
    entries = {}
    for i, view in enumerate(VIEWS):
        save(folder / f"rgb/{i:06}.png", view.rgb)
        save_depth(folder / f"depth/{i:06}.png", view.depth, 1e-4)
        T_cam_world = invert(view.T_world_cam)
        entries[str(i)] = {
            "cam_K": matrix_of(view.camera).ravel().tolist(),
            "depth_scale": 0.1,
            "cam_R_w2c": T_cam_world[:3, :3].ravel().tolist(),
            "cam_t_w2c": (1000 * T_cam_world[:3, 3]).tolist(),
        }
    (folder / "scene_camera.json").write_text(json.dumps(entries))


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "plain": ("plain", as_plain),
    "plain with a list": ("plain", as_plain_with_a_list),
    "tum": ("tum", as_tum),
    "7scenes": ("7scenes", as_seven_scenes),
    "scannet": ("scannet", as_scannet),
    "bop": ("bop", as_bop),
}


def given_camera(folder: Path) -> Calibration | None:
    path = folder / "given.json"
    return read_calibration(path) if path.exists() else None


@pytest.mark.parametrize("kind", WRITERS)
def test_a_recording_comes_back_as_the_views_it_was_made_of(tmp_path: Path, kind: str):
    layout, write = WRITERS[kind]
    write(tmp_path / "recording")
    assert detect_layout(tmp_path / "recording") == layout
    recording = read_recording(tmp_path / "recording", calibration=given_camera(tmp_path / "recording"))
    capture = write_recording(tmp_path / "capture", recording)
    assert capture.metric
    assert recording.notes == ()
    for expected, found in zip(VIEWS, load_views(capture), strict=True):
        assert expected.depth is not None
        assert found.depth is not None
        np.testing.assert_allclose(found.T_world_cam, expected.T_world_cam, atol=1e-6)
        for number in ("fx", "fy", "cx", "cy", "height", "width"):
            assert getattr(found.camera, number) == pytest.approx(getattr(expected.camera, number), abs=1e-6)
        np.testing.assert_array_equal(found.rgb, expected.rgb)
        np.testing.assert_allclose(found.depth, expected.depth, atol=0.6e-3)
        assert found.mask is None


def test_images_keep_their_names(tmp_path: Path):
    as_tum(tmp_path)
    recording = read_recording(tmp_path, calibration=given_camera(tmp_path))
    assert recording.frames[0].frame.name == "images/1305031102.175304.png"
    as_seven_scenes(tmp_path / "other")
    recording = read_recording(tmp_path / "other")
    assert recording.frames[0].frame.name == "images/frame-000000.png"


def test_lost_poses_and_missing_depth_are_left_out_and_counted(tmp_path: Path):
    as_scannet(tmp_path / "recording")
    save_matrix(tmp_path / "recording/pose/1.txt", np.full((4, 4), -np.inf))
    (tmp_path / "recording/depth/3.png").unlink()
    recording = read_recording(tmp_path / "recording")
    assert [shot.frame.image_path.stem for shot in recording.frames] == ["0", "2"]
    assert recording.notes == ("1 images without depth are omitted", "1 images without a pose are omitted")


def test_tum_images_too_far_from_a_pose_in_time_are_left_out(tmp_path: Path):
    as_tum(tmp_path)
    text = (tmp_path / "groundtruth.txt").read_text().splitlines()
    (tmp_path / "groundtruth.txt").write_text("\n".join(text[:-1]))
    recording = read_recording(tmp_path, calibration=given_camera(tmp_path))
    assert len(recording.frames) == len(VIEWS) - 1
    assert recording.notes == ("1 images without a pose are omitted",)


def test_numbers_count_as_numbers_in_the_order_of_images(tmp_path: Path):
    for i in range(11):
        save(tmp_path / f"color/{i}.png", VIEWS[0].rgb)
        save_depth(tmp_path / f"depth/{i}.png", VIEWS[0].depth)
    poses = np.tile(np.eye(4), (11, 1, 1))
    poses[:, 0, 3] = np.arange(11)
    save_matrix(tmp_path / "poses.txt", poses.reshape(-1, 4))
    (tmp_path / "camera.json").write_text(json.dumps(described(VIEWS[0].camera)))
    for shot in read_recording(tmp_path).frames:
        assert shot.frame.T_world_cam[0, 3] == int(shot.frame.image_path.stem)


def test_datasets_without_intrinsics_get_the_published_ones_and_say_so(tmp_path: Path):
    as_tum(tmp_path / "rgbd_dataset_freiburg3_desk")
    for path in (tmp_path / "rgbd_dataset_freiburg3_desk/rgb").iterdir():
        save(path, np.zeros((480, 640, 3), np.uint8))
    recording = read_recording(tmp_path / "rgbd_dataset_freiburg3_desk")
    assert (recording.frames[0].frame.camera.fx, recording.frames[0].frame.camera.cx) == (535.4, 320.1 + 0.5)
    assert "535.4" in recording.notes[-1]
    as_seven_scenes(tmp_path / "chess")
    recording = read_recording(tmp_path / "chess")
    assert recording.depth_camera is not None
    assert recording.depth_camera.sensor.camera.fx == 585
    assert "585" in recording.notes[-1]


def test_depth_of_another_camera_is_registered(tmp_path: Path):
    """The depth camera sits 15 mm beside the colour camera and has other pixels; truth is cast from there."""
    depth_camera = Camera(80.0, 82.0, 60.0, 44.0, 88, 116)
    T_color_depth = np.eye(4)
    T_color_depth[:3, :3] = Rotation.from_rotvec([0.0, 0.02, 0.01]).as_matrix()
    T_color_depth[:3, 3] = [0.015, 0.001, 0.002]
    as_plain(tmp_path / "recording")
    for i, view in enumerate(VIEWS):
        picture = synthetic.render(view.T_world_cam @ T_color_depth, synthetic.rays(depth_camera))
        save_depth(tmp_path / f"recording/depth/{i}.png", picture.depth, 1e-4)
    camera = {
        "color": described(VIEWS[0].camera),
        "depth": described(depth_camera),
        "depth_to_color": {
            "rotation": T_color_depth[:3, :3].T.ravel().tolist(),
            "translation": T_color_depth[:3, 3].tolist(),
        },
        "depth_scale": 1e-4,
    }
    (tmp_path / "recording/camera.json").write_text(json.dumps(camera))
    capture = write_recording(tmp_path / "capture", read_recording(tmp_path / "recording"))
    for expected, found in zip(VIEWS, load_views(capture), strict=True):
        assert expected.depth is not None
        assert found.depth is not None
        both = (found.depth > 0) & (expected.depth > 0)
        assert both.mean() > 0.8
        # Silhouettes are a pixel off; slanted surfaces as much as a pixel of depth spans, 6 mm.
        assert (np.abs(found.depth - expected.depth)[both] < 0.01).mean() > 0.93


def test_a_lens_is_straightened_in_colours_and_depth(tmp_path: Path):
    camera = synthetic.pinhole(96, 128)
    lens = Lens("opencv", (-0.2, 0.05, 0.001, -0.002, 0.0))
    rays = lenses.undistort(lens, synthetic.rays(camera).reshape(-1, 2)).reshape(96, 128, 2)
    for i, view in enumerate(VIEWS):
        picture = synthetic.render(view.T_world_cam, rays)
        save(tmp_path / f"recording/color/{i}.png", picture.rgb)
        save_depth(tmp_path / f"recording/depth/{i}.png", picture.depth)
        save_matrix(tmp_path / f"recording/pose/{i}.txt", view.T_world_cam)
    fields = described(camera) | {"coeffs": lens.coefficients, "model": "distortion.brown_conrady"}
    (tmp_path / "recording/camera.json").write_text(json.dumps(fields))
    capture = write_recording(tmp_path / "capture", read_recording(tmp_path / "recording"))
    assert lenses.is_pinhole(capture.frames[0].lens)
    for expected, found in zip(synthetic.views(4, height=96, width=128), load_views(capture), strict=True):
        seen = np.ones((96, 128), bool) if found.mask is None else found.mask
        assert expected.depth is not None
        assert found.depth is not None
        off = np.abs(found.depth - expected.depth)[seen]
        assert (off < 5e-3).mean() > 0.95


# ── registering, and its slow twin ────────────────────────────────────────────────────────────
def register_slowly(depth: np.ndarray, source: DepthCamera, camera: Camera) -> np.ndarray:
    """Pixel by pixel."""
    eye, T = source.sensor.camera, source.T_color_depth
    nearest = np.full((camera.height, camera.width), np.inf)
    for row, column in np.argwhere(depth > 0):
        z = float(depth[row, column])
        xs, ys = [], []
        for across, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
            ray = np.array([(column + across - eye.cx) / eye.fx, (row + down - eye.cy) / eye.fy, 1.0])
            x, y, depth_there = T[:3, :3] @ (z * ray) + T[:3, 3]
            xs.append(camera.fx * x / depth_there + camera.cx)
            ys.append(camera.fy * y / depth_there + camera.cy)
        middle = np.array([(column + 0.5 - eye.cx) / eye.fx, (row + 0.5 - eye.cy) / eye.fy, 1.0])
        there = (T[:3, :3] @ (z * middle) + T[:3, 3])[2]
        for v in range(camera.height):
            for u in range(camera.width):
                if min(xs) <= u + 0.5 < max(xs) and min(ys) <= v + 0.5 < max(ys):
                    nearest[v, u] = min(nearest[v, u], there)
    drawn = np.where(np.isfinite(nearest), nearest, 0.0)
    for du, dv in ((1, 0), (0, 1)):
        before = drawn.copy()
        for v in range(dv, camera.height - dv):
            for u in range(du, camera.width - du):
                a, b = before[v - dv, u - du], before[v + dv, u + du]
                if before[v, u] == 0 and a > 0 and b > 0 and abs(a - b) < 0.02 * (a + b) / 2:
                    drawn[v, u] = (a + b) / 2
    return drawn


@given(st.integers(0, 2**32 - 1))
def test_registering_agrees_with_its_slow_twin(seed: int):
    rng = np.random.default_rng(seed)
    source = Camera(*rng.uniform([8, 8, 3, 2], [12, 12, 5, 4]), 6, 8)
    camera = Camera(*rng.uniform([8, 8, 3, 2], [25, 25, 8, 6]), 9, 12)
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rng.uniform(-0.05, 0.05, 3)).as_matrix()
    T[:3, 3] = rng.uniform(-0.05, 0.05, 3)
    depth = rng.uniform(0.4, 0.6, (6, 8)).astype(np.float32) * (rng.random((6, 8)) > 0.2)
    depth = depth.astype(np.float32)
    beside = DepthCamera(DistortedCamera(source), T)
    found = register_depth(depth, beside, camera)
    np.testing.assert_allclose(found, register_slowly(depth, beside, camera), atol=1e-6)


def test_registering_to_the_same_camera_changes_nothing():
    for view in VIEWS:
        assert view.depth is not None
        same = DepthCamera(DistortedCamera(view.camera), np.eye(4))
        np.testing.assert_allclose(register_depth(view.depth, same, view.camera), view.depth, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_depth_that_is_nowhere_in_the_picture_registers_to_nothing(shift: float):
    camera = synthetic.pinhole(12, 16)
    T = np.eye(4)
    T[2, 3] = shift if shift < 0 else 0.0
    T[0, 3] = max(shift, 0.0)
    depth = np.full((12, 16), 0.5 if shift else 0.0, dtype=np.float32)
    assert not register_depth(depth, DepthCamera(DistortedCamera(camera), T), camera).any()


# ── cameras ───────────────────────────────────────────────────────────────────────────────────
def test_an_inverse_lens_undoes_librealsenses_polynomial():
    # A D455's colours, of the size that such cameras have.
    camera = Camera(384.0, 383.5, 320.0, 241.0, 480, 640)
    backwards = Lens("opencv", (-0.0556, 0.0677, -0.0008, 0.0003, -0.0222))
    lens = inverse_lens(backwards, camera)
    pixels = np.random.default_rng(0).uniform(0, [640, 480], (500, 2))
    rays = lenses.distort(backwards, to_tangents(camera, pixels))
    back = lenses.distort(lens, rays) * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    assert np.abs(back - pixels).max() < 0.05


def test_open3ds_intrinsics_are_by_columns(tmp_path: Path):
    fields = {"width": 640, "height": 480, "intrinsic_matrix": [600, 0, 0, 0, 601, 0, 319.5, 239.5, 1]}
    (tmp_path / "camera_intrinsic.json").write_text(json.dumps(fields))
    camera = read_calibration(tmp_path / "camera_intrinsic.json").color.camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (600, 601, 320, 240)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fx": None}, "fx is None"),
        ({"fx": -3}, "fx is -3"),
        ({"width": "wide"}, "width is 'wide'"),
        ({"coeffs": [0.1, "x"]}, "coeffs"),
        ({"coeffs": [0.1], "model": "distortion.ftheta"}, "ftheta"),
        ({"depth_scale": 0.1}, "0.001 for millimetres"),
        ({"depth": {}}, "depth_to_color is missing"),
        ({"depth_to_color": {"rotation": [1] * 9, "translation": [0] * 3}, "depth": {}}, "singular"),
        ({"color": 3}, "color is not a JSON object"),
    ],
)
def test_a_wrong_camera_names_its_field(tmp_path: Path, change: dict, words: str):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(described(VIEWS[0].camera) | change))
    with pytest.raises(CaptureError, match=words):
        read_calibration(path)


# ── errors are one sentence ────────────────────────────────────────────────────────────────────
def spoil(path: Path, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_text(text)


BROKEN = {
    "no pose at all": (as_plain, lambda f: [p.unlink() for p in (f / "pose").iterdir()], "no pose for any"),
    "words for numbers": (as_plain, spoil(Path("pose/1.txt"), "a b c d\n"), "1.txt: line 1 holds"),
    "three rows of two": (as_plain, spoil(Path("pose/1.txt"), "1 2\n3 4\n5 6\n"), "is not a matrix"),
    "a scaled pose": (as_plain, spoil(Path("pose/1.txt"), "2 0 0 0\n0 2 0 0\n0 0 2 0\n0 0 0 1"), "not rigid"),
    "no camera": (as_plain, lambda f: (f / "camera.json").unlink(), "has none of camera.json"),
    "too few poses": (
        as_plain_with_a_list,
        spoil(Path("poses.txt"), "1 0 0 0 0 1 0 0 0 0 1 0\n"),
        "1 poses for 4",
    ),
    "a list of nothing": (
        as_plain_with_a_list,
        spoil(Path("poses.txt"), "1 2 3\n"),
        "is not a list of poses",
    ),
    "a short trajectory line": (as_tum, spoil(Path("groundtruth.txt"), "1 2 3\n"), "is not a trajectory"),
    "quaternions of no length": (
        as_tum,
        spoil(Path("groundtruth.txt"), "1 0 0 0 0 0 0 0"),
        "not of unit length",
    ),
    "an empty list": (as_tum, spoil(Path("rgb.txt"), "# nothing\n"), "lists no images"),
    "a list without names": (as_tum, spoil(Path("rgb.txt"), "12.5\n"), "not a time and a file name"),
    "no world": (as_bop, spoil(Path("scene_camera.json"), '{"0": {"cam_K": [1]}}'), "no cam_R_w2c"),
    "another sensor": (
        as_scannet,
        spoil(Path("intrinsic/extrinsic_color.txt"), "1 0 0 1\n0 1 0 0\n0 0 1 0\n0 0 0 1"),
        "not the identity",
    ),
    "a negative focal length": (
        as_scannet,
        spoil(Path("intrinsic/intrinsic_color.txt"), "-1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1"),
        "focal length",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_recording_gives_one_sentence(tmp_path: Path, kind: str):
    write, break_it, words = BROKEN[kind]
    write(tmp_path)
    break_it(tmp_path)
    with pytest.raises(CaptureError, match=words) as caught:
        read_recording(tmp_path, detect_layout(tmp_path), given_camera(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "pixels", "words"),
    [
        ("depth/1.png", np.zeros((24, 32), np.uint16), "register the depth"),
        ("color/1.png", np.zeros((24, 32, 3), np.uint8), "what its calibration is for"),
        ("depth/1.png", np.zeros((48, 64), np.uint8), "not 16-bit depth"),
    ],
)
def test_wrong_pixels_leave_no_capture_behind(tmp_path: Path, file: str, pixels: np.ndarray, words: str):
    as_plain(tmp_path / "recording")
    save(tmp_path / "recording" / file, pixels)
    with pytest.raises(CaptureError, match=words):
        write_recording(tmp_path / "capture", read_recording(tmp_path / "recording"))
    assert [path.name for path in tmp_path.iterdir()] == ["recording"]


def test_an_unknown_layout_says_what_was_looked_for(tmp_path: Path):
    with pytest.raises(CaptureError) as caught:
        detect_layout(tmp_path)
    assert all(name in str(caught.value) for name in LAYOUTS)


def test_what_is_in_the_place_of_the_capture_stays(tmp_path: Path):
    as_plain(tmp_path / "recording")
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture/precious").write_text("x")
    with pytest.raises(CaptureError, match="already exists"):
        write_recording(tmp_path / "capture", read_recording(tmp_path / "recording"))
    assert (tmp_path / "capture/precious").read_text() == "x"


# ── parsers ───────────────────────────────────────────────────────────────────────────────────
@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_text_is_rows_of_numbers_or_an_error(tmp_path_factory: pytest.TempPathFactory, lines: list[str]):
    path = tmp_path_factory.mktemp("text") / "some.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    for read in (read_rows, read_poses, read_trajectory):
        with suppress(CaptureError):
            read(path)


@given(st.integers(0, 2**32 - 1), st.sampled_from([12, 16, 4]))
def test_poses_come_back_from_every_kind_of_list(
    tmp_path_factory: pytest.TempPathFactory, seed: int, width: int
):
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, :3] = Rotation.random(3, random_state=rng).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(3, 3))
    path = tmp_path_factory.mktemp("poses") / "poses.txt"
    np.savetxt(path, poses.reshape(-1, 16)[:, :12] if width == 12 else poses.reshape(-1, width))
    for expected, found in zip(poses, read_poses(path), strict=True):
        assert found is not None
        np.testing.assert_allclose(found, expected, atol=1e-12)


@given(st.lists(st.floats(0, 10), max_size=8), st.lists(st.floats(0, 10), max_size=8), st.floats(0, 5))
def test_the_nearest_time_is_nearest(wanted: list[float], offered: list[float], tolerance: float):
    offered = sorted(offered)
    found = nearest_times(np.array(wanted, dtype=float), np.array(offered, dtype=float), tolerance)
    for time, index in zip(wanted, found, strict=True):
        gaps = [abs(time - other) for other in offered]
        if index is None:
            assert not gaps or min(gaps) > tolerance
        else:
            assert gaps[index] == min(gaps) <= tolerance


@given(st.integers(1, 50), st.integers(1, 7), st.integers(1, 60))
def test_thinning_out_keeps_order_ends_and_number(count: int, every: int, at_most: int):
    kept = subsample(range(count), every, at_most)
    offered = list(range(0, count, every))
    assert len(kept) == min(at_most, len(offered))
    assert list(kept) == sorted(set(kept))
    assert set(kept) <= set(offered)
    if len(kept) > 1:
        assert (kept[0], kept[-1]) == (offered[0], offered[-1])


@pytest.mark.parametrize("numbers", [(0, None), (1, 0), (-2, 3)])
def test_subsampling_to_nothing_is_an_error(numbers: tuple[int, int | None]):
    with pytest.raises(CaptureError, match="give 1 or more"):
        subsample((1, 2), *numbers)


# ── photographs ───────────────────────────────────────────────────────────────────────────────
def structure_of(views: tuple[View, ...], lens: Lens | None = None) -> SfmModel:
    """The views' cameras, in a world of another place, turn and unit; see ``elsewhere``."""
    T, scale = elsewhere()
    frames, photos = [], []
    for view in views:
        pose = invert(T) @ view.T_world_cam
        pose[:3, 3] /= scale
        frames.append(Frame(view.name, Path(view.name), None, None, view.camera, lens or Lens(), pose))
        size = (view.camera.height, view.camera.width)
        photos.append(Photo(Path(view.name).name, Path(view.name), *size, 0.5, None))
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (50, 3))
    inside = (points - T[:3, 3]) @ T[:3, :3] / scale
    return SfmModel(tuple(frames), tuple(photos), inside, np.zeros((50, 3), np.uint8), ())


def elsewhere() -> tuple[np.ndarray, float]:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec([0.5, -1.0, 0.3]).as_matrix()
    T[:3, 3] = [3.0, -2.0, 1.0]
    return T, 0.27


def test_two_marked_points_give_the_scale():
    structure = structure_of(VIEWS)
    ends = np.array([[0.03, 0.04, 0.1], [-0.03, -0.04, 0.1]])
    marks = []
    for view in VIEWS[:3]:
        # Photographs are shown at twice the size of what COLMAP saw.
        (a, b), _ = project(view.camera, view.T_world_cam, ends)
        marks.append(MarkedPair(Path(view.name).name, tuple(2 * a), tuple(2 * b)))
    measure = scale_from_distance(structure, KnownDistance(0.1, tuple(marks)))
    assert measure.metres == pytest.approx(elsewhere()[1])
    placed = align_model(structure, measure)
    eyes = np.array([frame.T_world_cam[:3, 3] for frame in placed.frames])
    truth = np.array([view.T_world_cam[:3, 3] for view in VIEWS])
    np.testing.assert_allclose(
        np.linalg.norm(eyes - eyes[0], axis=1), np.linalg.norm(truth - truth[0], axis=1), atol=1e-9
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda marks: marks[:1], "one direction only"),
        (lambda marks: [marks[0], replace(marks[1], first=(1.0, 90.0))], "do not meet"),
        (lambda marks: [marks[0], replace(marks[1], photo="other.png")], "other.png is not among"),
    ],
)
def test_marks_that_give_no_distance_are_refused(change: Callable, words: str):
    marks = []
    for view in VIEWS[:2]:
        (a, b), _ = project(view.camera, view.T_world_cam, np.array([[0.03, 0.0, 0.1], [-0.1, -0.08, 0.04]]))
        marks.append(MarkedPair(Path(view.name).name, tuple(2 * a), tuple(2 * b)))
    with pytest.raises(CaptureError, match=words):
        scale_from_distance(structure_of(VIEWS), KnownDistance(0.1, tuple(change(marks))))


def test_placing_moves_cameras_and_points_together():
    structure = structure_of(VIEWS)
    for measure in (None, MetricScale(2.5)):
        placed = align_model(structure, measure)
        for before, after in zip(structure.frames, placed.frames, strict=True):
            pixels, depth = project(before.camera, before.T_world_cam, structure.points)
            moved, moved_depth = project(after.camera, after.T_world_cam, placed.points)
            np.testing.assert_allclose(moved, pixels, atol=1e-6)
            np.testing.assert_allclose(moved_depth, depth * (1.0 if measure is None else 2.5))


def test_up_is_up_after_placing():
    placed = align_model(structure_of(VIEWS), None)
    ups = -np.array([frame.T_world_cam[:3, 1] for frame in placed.frames])
    np.testing.assert_allclose(ups.mean(axis=0)[:2], 0, atol=1e-9)
    assert ups.mean(axis=0)[2] > 0
    # The cameras stand around the table at one height, so that their mean up is the table's.
    heights = [frame.T_world_cam[2, 3] for frame in placed.frames]
    assert np.ptp(heights) < 1e-9


SIDE = 0.08


def marker_pictures(folder: Path, height: int = 360, width: int = 480) -> tuple[View, ...]:
    """Views of two markers (numbers 3 and 7) that lie on the table, drawn by their homographies."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    corners = np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) * SIDE / 2
    views = []
    folder.mkdir()
    for index, view in enumerate(synthetic.views(6, height=height, width=width)):
        rgb = np.full((height, width, 3), 200, np.uint8)
        for number, center in ((3, [0.08, 0.0, 0.0]), (7, [-0.08, 0.03, 0.0])):
            marker = cv2.aruco.generateImageMarker(dictionary, number, 240)
            there, _ = project(view.camera, view.T_world_cam, corners + center)
            flat = np.array([[0, 0], [240, 0], [240, 240], [0, 240]])
            H = cv2.getPerspectiveTransform((flat - 0.5).astype(np.float32), (there - 0.5).astype(np.float32))
            cv2.warpPerspective(
                np.repeat(marker[..., None], 3, axis=2),
                H,
                (width, height),
                rgb,
                cv2.INTER_AREA,
                cv2.BORDER_TRANSPARENT,
            )
        path = folder / f"{index}.png"
        save(path, rgb)
        views.append(replace(view, name=str(path), rgb=rgb))
    return tuple(views)


def test_markers_give_the_scale_and_the_table(tmp_path: Path):
    structure = structure_of(marker_pictures(tmp_path / "photos"))
    seen = find_markers(structure.frames, "4x4_50")
    assert sum(set(found) == {3, 7} for _, found in seen) >= 5
    measure = scale_from_markers(seen, PrintedMarkers("4X4_50", SIDE))
    assert measure.metres == pytest.approx(elsewhere()[1], rel=0.01)
    assert measure.T_structure_board is not None
    placed = align_model(structure, measure)
    # Marker 3, at (0.08, 0, 0), becomes the origin, the table z = 0, x as it is drawn.
    for frame, view in zip(placed.frames, synthetic.views(6), strict=True):
        expected = view.T_world_cam.copy()
        expected[0, 3] -= 0.08
        np.testing.assert_allclose(frame.T_world_cam, expected, atol=0.01)


def test_markers_that_are_seen_once_give_no_scale(tmp_path: Path):
    structure = structure_of(marker_pictures(tmp_path / "photos"))
    with pytest.raises(CaptureError, match="no marker of 5X5_50"):
        scale_from_markers(find_markers(structure.frames, "5X5_50"), PrintedMarkers("5X5_50", SIDE))
    with pytest.raises(CaptureError, match="OpenCV has no markers 9X9"):
        find_markers(structure.frames, "9X9")


def test_markers_of_different_sizes_are_no_measure():
    corners = np.array([[-1, 1, 0], [1, 1, 0], [1, -1, 0], [-1, -1, 0]]) * SIDE / 2
    structure = structure_of(VIEWS)
    seen = []
    for frame, view in zip(structure.frames, VIEWS, strict=True):
        sizes = {1: corners, 2: 2 * corners + [0.1, 0.0, 0.0]}
        seen.append((frame, {n: project(view.camera, view.T_world_cam, at)[0] for n, at in sizes.items()}))
    with pytest.raises(CaptureError, match="1, 2 differ by 33 %"):
        scale_from_markers(seen, PrintedMarkers("4X4_50", SIDE))


@pytest.mark.parametrize(
    "text",
    ["", "aruco", "aruco:4X4_50", "aruco:4X4_50:-1", "distance:0.3", "distance:0.3:a:1,2:3,4", "aruco:4:x"],
)
def test_a_scale_that_cannot_be_parsed_is_an_error(text: str):
    with pytest.raises(CaptureError, match="--scale-from"):
        parse_scale(text)


@given(st.text(max_size=60))
def test_any_text_is_a_scale_or_an_error(text: str):
    with suppress(CaptureError):
        parse_scale(text)


def test_a_scale_is_read_as_written():
    assert parse_scale("aruco:APRILTAG_36h11:0.05") == PrintedMarkers("APRILTAG_36h11", 0.05)
    known = parse_scale("distance:0.31:a.jpg:412,233.5:518,240:b.jpg:80,300:190,310")
    assert known == KnownDistance(
        0.31,
        (
            MarkedPair("a.jpg", (412.0, 233.5), (518.0, 240.0)),
            MarkedPair("b.jpg", (80.0, 300.0), (190.0, 310.0)),
        ),
    )


def test_photographs_are_turned_and_made_smaller(tmp_path: Path):
    picture = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees to see it upright.
    exif.get_ifd(0x8769)[0xA405] = 27  # FocalLengthIn35mmFilm
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture.save(tmp_path / "in" / name, exif=exif)
    photos = prepare_photos(list_photos(tmp_path / "in"), tmp_path / "out", 30)
    assert [photo.name for photo in photos] == ["a.jpg", "b.jpg", "c.jpg"]
    assert (photos[0].height, photos[0].width, photos[0].scale) == (30, 20, 0.5)
    assert photos[0].focal == pytest.approx(27 / 36 * 30)
    assert image_size(photos[0].path) == (30, 20)


@pytest.mark.parametrize(
    ("names", "words"), [(["a.png", "b.png"], "has 2 photographs"), (["a.png", "A.jpg", "b.png"], "called")]
)
def test_folders_without_photographs_are_an_error(tmp_path: Path, names: list[str], words: str):
    for name in names:
        save(tmp_path / name, VIEWS[0].rgb)
    with pytest.raises(CaptureError, match=words):
        list_photos(tmp_path)


def test_a_broken_photograph_is_named(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(CaptureError, match=r"a\.png cannot be read"):
        prepare_photos([tmp_path / "a.png"], tmp_path / "out", 100)


def test_the_sharpest_picture_of_each_stretch_is_taken(tmp_path: Path):
    """Of 24 pictures all but four are blurred."""
    rng = np.random.default_rng(0)
    sharp = {2, 9, 13, 20}
    writer = cv2.VideoWriter(str(tmp_path / "turn.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for index in range(24):
        picture = cv2.resize(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), (160, 120))
        writer.write(picture if index in sharp else cv2.GaussianBlur(picture, (0, 0), 4))
    writer.release()
    paths = extract_sharp_frames(tmp_path / "turn.avi", 4, tmp_path / "pictures")
    assert {int(path.stem.split("_")[1]) for path in paths} == sharp
    assert all(image_size(path) == (120, 160) for path in paths)


def test_a_file_that_is_not_a_video_is_an_error(tmp_path: Path):
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(CaptureError, match="gives 0 frames"):
        extract_sharp_frames(tmp_path / "no.mp4", 4, tmp_path / "pictures")
    with pytest.raises(CaptureError, match="there is no file"):
        extract_sharp_frames(tmp_path / "none.mp4", 4, tmp_path / "pictures")


def test_few_photographs_are_all_compared_and_many_with_those_after_them():
    assert len(image_pairs(60)) == 60 * 59 // 2
    many = image_pairs(200)
    assert len(set(many)) == len(many) < 200 * 16
    assert {(0, 1), (0, 10), (0, 16), (0, 128), (198, 199)} <= set(many)
    assert all(i < j < 200 for i, j in many)


def test_photographs_without_features_are_an_error(tmp_path: Path):
    for name in "abc":
        save(tmp_path / f"in/{name}.png", np.full((96, 128, 3), 90, np.uint8))
    photos = prepare_photos(list_photos(tmp_path / "in"), tmp_path / "photos", 480)
    with pytest.raises(CaptureError, match="none of the 3 photographs could be placed"):
        reconstruct_photos(photos, tmp_path)


@pytest.mark.slow
def test_photographs_of_a_phone_are_placed_as_published(tmp_path: Path, shared_data: Path):
    truth = read_capture(shared_data / "fox")
    chosen = truth.frames[:7]
    photos = prepare_photos([frame.image_path for frame in chosen], tmp_path / "photos", 480)
    structure = reconstruct_photos(photos, tmp_path)
    assert structure.missing == ()
    assert len({frame.camera.fx for frame in structure.frames}) == 1
    found = np.array([frame.T_world_cam[:3, 3] for frame in structure.frames])
    expected = np.array([frame.T_world_cam[:3, 3] for frame in chosen])
    # Ratios of distances do not know of place, turn and unit.
    far, near = (np.linalg.norm(eyes[:, None] - eyes[None], axis=2) for eyes in (found, expected))
    np.testing.assert_allclose(far / far.max(), near / near.max(), atol=0.02)
    capture = write_structure(tmp_path / "capture", align_model(structure, None), metric=False)
    assert not capture.metric
    assert capture.point_cloud_path is not None
    assert lenses.is_pinhole(capture.frames[0].lens)
    metric = write_structure(tmp_path / "metric", align_model(structure, MetricScale(0.1)), metric=True)
    assert metric.metric


@pytest.mark.slow
def test_photographs_are_placed_the_same_each_time(tmp_path: Path, shared_data: Path):
    paths = sorted((shared_data / "fox/images").iterdir())[:5]
    photos = prepare_photos(paths, tmp_path / "photos", 320)
    found = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        found.append(reconstruct_photos(photos, tmp_path / name))
    once, again = found
    np.testing.assert_array_equal(once.points, again.points)
    for frame, other in zip(once.frames, again.frames, strict=True):
        np.testing.assert_array_equal(frame.T_world_cam, other.T_world_cam)
