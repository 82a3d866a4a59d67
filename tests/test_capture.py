"""Captures: read, loaded, undistorted, written. Laws of the lens against OpenCV, pictures against rays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from point2act.core.errors import CaptureError
from point2act.core.geometry import back_project, opengl_to_opencv, project
from point2act.core.ply import read_ply
from point2act.core.types import Camera, Frame, Lens, View
from point2act.data.capture import (
    disk_to_view,
    load_view,
    load_views,
    read_capture,
    view_to_disk,
    write_capture,
)
from point2act.data.capture import distortion as lenses

OPENCV = Lens("opencv", (-0.28, 0.09, 0.0011, -0.0007, -0.012, 0.0, 0.0, 0.0))
PINCUSHION = Lens("opencv", (0.25, 0.1, 0.001, -0.002, 0.0, 0.0, 0.0, 0.0))
FISHEYE = Lens("fisheye", (-0.013, 0.021, -0.012, 0.002))


def edit(folder: Path, **changes) -> Path:
    """Change the top level of a transforms.json; None takes a key out."""
    document = json.loads((folder / "transforms.json").read_text())
    document |= changes
    document = {key: value for key, value in document.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


def edit_frame(folder: Path, index: int, **changes) -> Path:
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    frames[index] = {key: value for key, value in (frames[index] | changes).items() if value is not None}
    return edit(folder, frames=frames)


def a_frame(lens: Lens, camera: Camera | None = None) -> Frame:
    camera = camera or synthetic.pinhole(480, 640)
    return Frame("a.png", Path("a.png"), None, None, camera, lens, np.eye(4))


def a_view(camera: Camera) -> View:
    return View("a.png", camera, np.eye(4), np.zeros((camera.height, camera.width, 3), np.uint8))


def cv2_pixels(frame: Frame, points: np.ndarray) -> np.ndarray:
    """OpenCV's own projection; its pixel centres lie at whole numbers, ours at halves."""
    K = frame.camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    coefficients = np.array(frame.lens.coefficients)
    zero = np.zeros(3)
    if frame.lens.model == "fisheye":
        pixels, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, K, coefficients)
    else:
        pixels, _ = cv2.projectPoints(points, zero, zero, K, coefficients)
    return pixels.reshape(-1, 2) + 0.5


# ── reading ────────────────────────────────────────────────────────────────────────────────────
def test_what_is_written_is_read(small_capture: Path):
    capture, truth = read_capture(small_capture), synthetic.views()
    assert [frame.name for frame in capture.frames] == [view.name for view in truth]
    assert capture.metric
    assert capture.depth_unit == 1e-3
    assert capture.T_base_world is None
    assert capture.point_cloud_path is None
    for frame, view in zip(capture.frames, truth, strict=True):
        np.testing.assert_allclose(frame.T_world_cam, view.T_world_cam, atol=1e-12)
        np.testing.assert_allclose(frame.camera.K, view.camera.K)
        assert lenses.is_pinhole(frame.lens)


def test_views_show_what_was_rendered(small_capture: Path):
    calls = []
    views = load_views(read_capture(small_capture), progress=lambda *call: calls.append(call))
    assert calls == [(k, 8) for k in range(1, 9)]
    for view, truth in zip(views, synthetic.views(), strict=True):
        np.testing.assert_array_equal(view.rgb, truth.rgb)
        assert view.depth is not None
        assert view.depth.dtype == np.float32
        np.testing.assert_allclose(view.depth, truth.depth, atol=5.1e-4)
        assert view.mask is None


def test_folder_and_file_are_the_same(small_capture: Path):
    by_folder, by_file = read_capture(small_capture), read_capture(small_capture / "transforms.json")
    assert by_folder.folder == by_file.folder == small_capture
    assert [f.image_path for f in by_folder.frames] == [f.image_path for f in by_file.frames]
    other = small_capture / "wrist.json"
    (small_capture / "transforms.json").rename(other)
    assert len(read_capture(other).frames) == 8


def test_intrinsics_may_be_each_frame_s_own(small_capture: Path):
    document = json.loads((small_capture / "transforms.json").read_text())
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h")
    own = {key: document[key] for key in keys}
    frames = [entry | own for entry in document["frames"]]
    frames[3] |= {"fl_x": 77.0, "k1": 0.1, "p2": 0.01, "camera_model": "OPENCV"}
    edit(small_capture, frames=frames, camera_model=None, **dict.fromkeys(keys))
    capture = read_capture(small_capture)
    assert capture.frames[3].camera.fx == 77.0
    assert capture.frames[3].lens.coefficients == (0.1, 0, 0, 0.01, 0, 0, 0, 0)
    assert capture.frames[2].camera.fx == own["fl_x"]
    assert lenses.is_pinhole(capture.frames[2].lens)


def test_shared_values_win_as_in_nerfstudio(small_capture: Path):
    edit_frame(small_capture, 0, fl_x=99.0, k1=0.5)
    edit(small_capture, k2=0.01)
    frame = read_capture(small_capture).frames[0]
    assert frame.camera.fx == synthetic.pinhole().fx
    assert frame.lens.coefficients == (0, 0.01, 0, 0, 0, 0, 0, 0)


def test_left_out_intrinsics_come_from_the_image_and_the_angle(small_capture: Path):
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_model")
    edit(small_capture, camera_angle_x=np.pi / 2, **dict.fromkeys(keys))
    camera = read_capture(small_capture).frames[0].camera
    assert (camera.cx, camera.cy, camera.width, camera.height) == (32, 24, 64, 48)
    assert camera.fx == camera.fy == pytest.approx(32.0)
    edit(small_capture, camera_angle_y=2 * np.arctan(0.5))
    assert read_capture(small_capture).frames[0].camera.fy == pytest.approx(48.0)


@pytest.mark.parametrize("model", ["OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"])
def test_perspective_models_take_every_coefficient(small_capture: Path, model: str):
    edit(small_capture, camera_model=model, k1=0.1, k2=0.2, k3=0.3, k4=0.4, k5=0.5, k6=0.6, p1=0.01, p2=0.02)
    expected = Lens("opencv", (0.1, 0.2, 0.01, 0.02, 0.3, 0.4, 0.5, 0.6))
    assert read_capture(small_capture).frames[0].lens.coefficients == expected.coefficients


def test_fisheye_and_its_circle(small_capture: Path):
    edit(small_capture, camera_model="OPENCV_FISHEYE", k1=0.1, k4=0.4, fisheye_crop_radius=20)
    lens = read_capture(small_capture).frames[0].lens
    assert (lens.model, lens.coefficients, lens.crop_radius) == ("fisheye", (0.1, 0, 0, 0.4), 20.0)
    mask = load_view(read_capture(small_capture), read_capture(small_capture).frames[0]).mask
    assert mask is not None
    assert mask[24, 32]
    assert not mask[24, 1]


def test_distortion_params_in_nerfstudio_s_order(small_capture: Path):
    edit(small_capture, distortion_params=[0.1, 0.2, 0.3, 0.0, 0.01, 0.02])
    assert read_capture(small_capture).frames[0].lens.coefficients == (0.1, 0.2, 0.01, 0.02, 0.3, 0, 0, 0)


def test_other_keys_change_nothing(small_capture: Path):
    before = read_capture(small_capture)
    names = [frame.name for frame in before.frames]
    scaled = (np.eye(4)[:3] * 3).tolist()
    edit(small_capture, train_filenames=names[:6], val_filenames=names[6:], test_filenames=names[6:])
    edit(
        small_capture, applied_transform=scaled, applied_scale=0.2, aabb_scale=4, orientation_override="none"
    )
    after = read_capture(small_capture)
    assert len(after.frames) == 8
    np.testing.assert_array_equal(after.frames[5].T_world_cam, before.frames[5].T_world_cam)


def test_base_frame_cloud_unit_and_metric(small_capture: Path):
    T_base_world = np.eye(4)
    T_base_world[:3, 3] = 1, 2, 3
    (small_capture / "cloud.ply").write_bytes(b"")
    edit(small_capture, T_base_world=T_base_world.tolist(), ply_file_path="cloud.ply")
    capture = read_capture(edit(small_capture, depth_unit_scale_factor=0.0001))
    np.testing.assert_array_equal(capture.T_base_world, T_base_world)
    assert capture.point_cloud_path == small_capture / "cloud.ply"
    view = load_view(capture, capture.frames[0])
    np.testing.assert_allclose(view.depth, synthetic.views()[0].depth / 10, atol=5.1e-5)


def test_without_depth_the_scale_is_unknown(small_capture: Path):
    for index in range(8):
        edit_frame(small_capture, index, depth_file_path=None)
    assert not read_capture(small_capture).metric
    assert load_view(read_capture(small_capture), read_capture(small_capture).frames[0]).depth is None
    assert read_capture(edit(small_capture, metric=True)).metric


def test_some_frames_may_lack_depth(small_capture: Path):
    edit_frame(small_capture, 0, depth_file_path=None)
    views = load_views(read_capture(small_capture))
    assert views[0].depth is None
    assert views[1].depth is not None


def test_windows_paths_and_3x4_poses(small_capture: Path):
    pose = json.loads((small_capture / "transforms.json").read_text())["frames"][0]["transform_matrix"]
    edit_frame(small_capture, 0, file_path=".\\images\\0000.png", transform_matrix=pose[:3])
    frame = read_capture(small_capture).frames[0]
    assert frame.name == ".\\images\\0000.png"
    assert frame.image_path == small_capture / "images" / "0000.png"
    np.testing.assert_allclose(frame.T_world_cam, opengl_to_opencv(np.array(pose)))


def test_a_pose_with_few_digits_is_made_rigid(small_capture: Path):
    pose = json.loads((small_capture / "transforms.json").read_text())["frames"][0]["transform_matrix"]
    edit_frame(small_capture, 0, transform_matrix=np.round(pose, 4).tolist())
    rotation = read_capture(small_capture).frames[0].T_world_cam[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rotation, opengl_to_opencv(np.array(pose))[:3, :3], atol=2e-4)


def test_all_missing_files_are_named_at_once(small_capture: Path):
    for name in ("images/0002.png", "images/0005.png", "depth/0001.png"):
        (small_capture / name).unlink()
    with pytest.raises(CaptureError, match="3 files") as caught:
        read_capture(small_capture)
    for name in ("0002.png", "0005.png", "0001.png"):
        assert name in str(caught.value)
    for path in (small_capture / "images").iterdir():
        path.unlink()
    for path in (small_capture / "depth").iterdir():
        path.unlink()
    with pytest.raises(CaptureError, match=r"16 files .* and 6 more"):
        read_capture(small_capture)


# ── pixels, as stored ──────────────────────────────────────────────────────────────────────────
def test_exif_orientation_is_not_applied(small_capture: Path):
    path = small_capture / "images" / "0000.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb = synthetic.views()[0].rgb
    Image.fromarray(rgb).save(path, exif=exif, quality=100, subsampling=0)
    edit_frame(small_capture, 0, file_path="images/0000.jpg")
    capture = read_capture(small_capture)
    loaded = load_view(capture, capture.frames[0]).rgb
    assert loaded.shape == rgb.shape
    assert np.abs(loaded.astype(int) - rgb).mean() < 2


def test_alpha_and_mask_both_hide(small_capture: Path):
    rgb = synthetic.views()[0].rgb
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, :10] = 0
    Image.fromarray(np.dstack([rgb, alpha])).save(small_capture / "images" / "0000.png")
    painted = np.full((48, 64), 255, np.uint8)
    painted[:5] = 0
    Image.fromarray(painted).save(small_capture / "mask.png")
    edit_frame(small_capture, 0, mask_path="mask.png")
    capture = read_capture(small_capture)
    view = load_view(capture, capture.frames[0])
    expected = np.ones((48, 64), bool)
    expected[:, :10] = expected[:5] = False
    np.testing.assert_array_equal(view.mask, expected)
    np.testing.assert_array_equal(view.rgb, rgb)


def test_grey_palette_and_black_and_white_images(small_capture: Path):
    grey = synthetic.views()[0].rgb[..., 0]
    for mode in ("L", "P", "1"):
        Image.fromarray(grey).convert(mode).save(small_capture / "images" / "0000.png")
        capture = read_capture(small_capture)
        view = load_view(capture, capture.frames[0])
        assert view.rgb.shape == (48, 64, 3)
        assert view.mask is None


@pytest.mark.parametrize("suffix", [".npy", ".tiff", ".png"])
def test_depth_of_other_types_and_sizes(small_capture: Path, suffix: str):
    depth = np.arange(1, 24 * 32 + 1, dtype=np.float32).reshape(24, 32)
    path = small_capture / f"d{suffix}"
    if suffix == ".npy":
        np.save(path, depth[..., None])
    else:
        Image.fromarray(depth if suffix == ".tiff" else depth.astype(np.uint16)).save(path)
    edit_frame(small_capture, 0, depth_file_path=path.name)
    capture = read_capture(small_capture)
    view = load_view(capture, capture.frames[0])
    np.testing.assert_allclose(view.depth, np.kron(depth, np.ones((2, 2))) * 1e-3, rtol=1e-6)


def test_depth_that_is_no_reading_is_zero(small_capture: Path):
    depth = np.full((48, 64), 0.5)
    depth[0, :4] = np.nan, np.inf, -1.0, -np.inf
    np.save(small_capture / "d.npy", depth)
    edit_frame(small_capture, 0, depth_file_path="d.npy")
    capture = read_capture(edit(small_capture, depth_unit_scale_factor=1.0))
    loaded = load_view(capture, capture.frames[0]).depth
    assert loaded is not None
    np.testing.assert_array_equal(loaded[0, :5], [0, 0, 0, 0, 0.5])


# ── the lens ───────────────────────────────────────────────────────────────────────────────────
small = st.floats(-0.3, 0.3)
tiny = st.floats(-0.01, 0.01)
# Parts of a lens, put together within the tests: the type checker draws random samples of a tuple's
# items, which Hypothesis forbids while it generates.
any_lens = st.one_of(
    st.tuples(st.just("opencv"), st.tuples(small, small, tiny, tiny, tiny, tiny, tiny, tiny)),
    st.tuples(st.just("fisheye"), st.tuples(*[st.floats(-0.05, 0.05)] * 4)),
)


def some_points(lens: Lens, seed: int) -> np.ndarray:
    """Camera-frame points that the lens maps one to one, up to 60 degrees off the axis."""
    rng = np.random.default_rng(seed)
    # Tangential terms move the fold a little, so stay away from its very edge.
    radius = min(0.8 * lenses.max_radius(lens), np.tan(np.pi / 3)) * np.sqrt(rng.uniform(0, 1, 40))
    angle, depth = rng.uniform(0, 2 * np.pi, 40), rng.uniform(0.2, 3, 40)
    rays = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.ones(40)], axis=1)
    return rays * depth[:, None]


@given(any_lens, st.integers(0, 2**31))
def test_distortion_is_opencv_s(parts: tuple, seed: int):
    lens = Lens(*parts)
    frame, points = a_frame(lens), some_points(lens, seed)
    pinhole, _ = project(frame.camera, np.eye(4), points)
    ours = view_to_disk(frame, a_view(frame.camera), pinhole)
    np.testing.assert_allclose(ours, cv2_pixels(frame, points), atol=1e-6)


@given(any_lens, st.integers(0, 2**31), st.floats(0.1, 1.0))
def test_a_distorted_pixel_goes_where_its_point_projects(parts: tuple, seed: int, scale: float):
    """disk_to_view of the projected, distorted point is the projection with the view's camera."""
    lens = Lens(*parts)
    frame, points = a_frame(lens), some_points(lens, seed)
    camera = frame.camera
    f, c = np.array([camera.fx, camera.fy]) * scale, np.array([camera.cx, camera.cy]) * scale
    view = a_view(Camera(*f, *c, round(camera.height * scale), round(camera.width * scale)))
    expected, _ = project(view.camera, np.eye(4), points)
    found = disk_to_view(frame, view, cv2_pixels(frame, points))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(any_lens, st.integers(0, 2**31))
def test_disk_and_view_are_inverse(parts: tuple, seed: int):
    lens = Lens(*parts)
    frame = a_frame(lens)
    view = a_view(frame.camera)
    pixels, _ = project(frame.camera, np.eye(4), some_points(lens, seed))
    np.testing.assert_allclose(
        disk_to_view(frame, view, view_to_disk(frame, view, pixels)), pixels, atol=1e-5
    )


@given(any_lens, st.integers(0, 2**31))
def test_any_pixel_stays_finite(parts: tuple, seed: int):
    lens = Lens(*parts)
    frame = a_frame(lens)
    pixels = np.random.default_rng(seed).uniform(-5000, 5000, size=(50, 2))
    assert np.isfinite(disk_to_view(frame, a_view(frame.camera), pixels)).all()
    assert np.isfinite(view_to_disk(frame, a_view(frame.camera), pixels)).all()


def test_a_pinhole_moves_nothing():
    frame = a_frame(Lens())
    pixels = np.array([[0.0, 0.0], [640.0, 480.0], [1.25, 7.5]])
    np.testing.assert_allclose(disk_to_view(frame, a_view(frame.camera), pixels), pixels, atol=1e-12)
    assert disk_to_view(frame, a_view(frame.camera), np.zeros((0, 2))).shape == (0, 2)


def test_a_folding_lens_is_cut_at_the_fold():
    """r - r^3 rises up to r = 1 / sqrt(3); beyond, the polynomial comes back into the image."""
    lens = Lens("opencv", (-1.0, *(0.0,) * 7))
    assert lenses.max_radius(lens) == pytest.approx(1 / np.sqrt(3), abs=5e-3)
    np.testing.assert_array_equal(lenses.reaches(lens, np.array([[0.5, 0.0], [0.0, 0.7]])), [True, False])
    beyond = lenses.undistort(lens, np.array([[0.6, 0.0], [0.0, 50.0]]))
    np.testing.assert_allclose(np.linalg.norm(beyond, axis=1), lenses.max_radius(lens))
    # A fisheye sees more than a pinhole can show.
    assert lenses.max_radius(Lens("fisheye", (0.0,) * 4)) == pytest.approx(lenses.PINHOLE_LIMIT)


def test_a_tilted_lens_is_cut_at_its_fold():
    """y + 3 p1 y^2, on x = 0, turns at y = -1 / (6 p1), though the radial part never does."""
    lens = Lens("opencv", (0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0))
    assert lenses.max_radius(lens) == lenses.PINHOLE_LIMIT
    np.testing.assert_array_equal(lenses.reaches(lens, np.array([[0.0, -0.5], [0.0, -0.6]])), [True, False])


def distorted_capture(folder: Path, lens: Lens, *, height: int = 96, width: int = 128) -> Path:
    """Render the table through this lens: each pixel on disk has its own ray."""
    camera = synthetic.pinhole(height, width)
    truth = []
    for view in synthetic.views(2, height=height, width=width):
        rays = lenses.undistort(lens, synthetic.rays(camera).reshape(-1, 2)).reshape(height, width, 2)
        picture = synthetic.render(view.T_world_cam, rays)
        truth.append(replace(view, rgb=picture.rgb, depth=picture.depth))
    synthetic.write_capture_files(folder, tuple(truth))
    keys = (
        ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
        if lens.model == "opencv"
        else ("k1", "k2", "k3", "k4")
    )
    model = "OPENCV" if lens.model == "opencv" else "OPENCV_FISHEYE"
    return edit(folder, camera_model=model, **dict(zip(keys, lens.coefficients, strict=True)))


@pytest.mark.parametrize("lens", [OPENCV, PINCUSHION, FISHEYE])
def test_undistorted_pictures_show_straight_rays(tmp_path: Path, lens: Lens):
    capture = read_capture(distorted_capture(tmp_path, lens))
    for view, truth in zip(load_views(capture), synthetic.views(2, height=96, width=128), strict=True):
        assert view.depth is not None
        assert truth.depth is not None
        there = np.ones_like(truth.rgb[..., 0], dtype=bool) if view.mask is None else view.mask
        assert there.mean() > 0.7
        miss = np.abs(view.rgb.astype(int) - truth.rgb).max(axis=2)[there]
        # Resampling softens the texture; only the outlines of the boxes jump.
        assert np.percentile(miss, 90) <= 12
        step = np.abs(view.depth - truth.depth)[there]
        assert np.percentile(step, 90) < 5e-3
        # Without undistortion, the same comparison fails.
        raw = np.asarray(Image.open(capture.folder / view.name)).astype(int)
        assert np.percentile(np.abs(raw - truth.rgb).max(axis=2)[there], 90) > 20


def test_each_picture_is_undistorted_by_its_own_lens(tmp_path: Path):
    views = synthetic.views(4, height=96, width=128)
    synthetic.write_capture_files(tmp_path, views)
    capture = read_capture(tmp_path)
    circle = replace(OPENCV, crop_radius=40.0)
    in_turn = [circle, circle, FISHEYE, OPENCV]
    frames = tuple(replace(frame, lens=lens) for frame, lens in zip(capture.frames, in_turn, strict=True))
    half = replace(frames[3].camera, fx=frames[3].camera.fx / 2)
    frames += (replace(frames[3], camera=half),)
    together = load_views(replace(capture, frames=frames))
    for frame, found in zip(frames, together, strict=True):
        (alone,) = load_views(replace(capture, frames=(frame,)))
        for one, other in ((found.rgb, alone.rgb), (found.depth, alone.depth), (found.mask, alone.mask)):
            np.testing.assert_array_equal(one, other)
    # Views of one lens do not share a mask that one of them could change.
    masks = [view.mask for view in together[:2] if view.mask is not None]
    assert len(masks) == 2
    assert not np.shares_memory(*masks)


def test_what_the_lens_did_not_see_is_masked(tmp_path: Path):
    capture = read_capture(distorted_capture(tmp_path, PINCUSHION))
    frame = capture.frames[0]
    view = load_view(capture, frame)
    assert view.mask is not None
    assert view.depth is not None
    rows, columns = np.nonzero(~view.mask)
    on_disk = view_to_disk(frame, view, np.stack([columns, rows], axis=1) + 0.5)
    size = [frame.camera.width, frame.camera.height]
    assert ((on_disk < 0) | (on_disk >= size)).any(axis=1).all()
    assert (view.depth[~view.mask] == 0).all()
    assert not view.mask[0, 0]
    assert view.mask[48, 64]


def test_a_lens_that_shows_nothing_is_refused(small_capture: Path):
    edit(small_capture, k1=-1e9)
    capture = read_capture(small_capture)
    with pytest.raises(CaptureError, match="distortion coefficients"):
        load_view(capture, capture.frames[0])


# ── size ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(("max_side", "size"), [(32, (24, 32)), (20, (15, 20)), (1, (1, 1)), (64, (48, 64))])
def test_views_shrink_with_their_camera(small_capture: Path, max_side: int, size: tuple[int, int]):
    capture = read_capture(small_capture)
    view = load_view(capture, capture.frames[0], max_side=max_side)
    assert view.depth is not None
    assert view.rgb.shape[:2] == view.depth.shape == size == (view.camera.height, view.camera.width)
    full = capture.frames[0].camera
    scale = np.array([size[1] / 64, size[0] / 48])
    np.testing.assert_allclose([view.camera.fx, view.camera.fy], scale * [full.fx, full.fy])
    np.testing.assert_allclose([view.camera.cx, view.camera.cy], scale * [full.cx, full.cy])
    corner = disk_to_view(capture.frames[0], view, np.array([[64.0, 48.0]]))
    np.testing.assert_allclose(corner, [size[::-1]], atol=1e-9)


def test_colours_are_averaged_and_depth_is_not(small_capture: Path):
    capture = read_capture(small_capture)
    full, half = (load_view(capture, capture.frames[0], max_side=side) for side in (64, 32))
    mean = full.rgb.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(half.rgb, mean, atol=1.01)  # Pillow rounds rows, then columns
    assert full.depth is not None
    assert half.depth is not None
    assert np.isin(half.depth, full.depth).all()


def test_a_shrunk_view_sees_the_same_surface(small_capture: Path):
    """Back-projecting the small depth image lands on the table or on a box."""
    capture = read_capture(small_capture)
    view = load_view(capture, capture.frames[0], max_side=32)
    assert view.depth is not None
    full = load_view(capture, capture.frames[0])
    assert full.depth is not None
    rows, columns = np.nonzero(view.depth)
    # Half the size: the nearest pixel of the full image lies half a full pixel down and to the right.
    pixels = np.stack([columns, rows], axis=1) + 0.75
    points = back_project(view.camera, view.T_world_cam, pixels, view.depth[rows, columns].astype(float))
    table = np.abs(points[:, 2]) < 1e-3
    boxes = [
        (np.abs(points - block.center) < np.array(block.half_extents) + 1e-3).all(axis=1)
        for block in synthetic.TABLETOP
    ]
    assert (table | np.any(boxes, axis=0)).all()


def test_no_pixels_is_no_size(small_capture: Path):
    capture = read_capture(small_capture)
    with pytest.raises(CaptureError, match="max_side"):
        load_view(capture, capture.frames[0], max_side=0)


# ── writing ────────────────────────────────────────────────────────────────────────────────────
def test_a_written_capture_is_read_back(tmp_path: Path):
    views = list(synthetic.views(3))
    mask = np.ones((48, 64), bool)
    mask[:, :7] = False
    views[1] = replace(views[1], mask=mask)
    views[2] = replace(views[2], depth=None, camera=replace(views[2].camera, fx=70.0))
    T_base_world = np.eye(4)
    T_base_world[:3, 3] = 0.5, 0, 1
    points = np.random.default_rng(0).normal(size=(5, 3))
    colors = np.arange(15, dtype=np.uint8).reshape(5, 3)
    write_capture(tmp_path / "c", views, point_cloud=(points, colors), T_base_world=T_base_world)

    capture = read_capture(tmp_path / "c")
    np.testing.assert_array_equal(capture.T_base_world, T_base_world)
    assert capture.point_cloud_path is not None
    cloud = read_ply(capture.point_cloud_path, CaptureError)
    np.testing.assert_allclose(np.stack([cloud[a] for a in "xyz"], axis=1), points, atol=1e-6)
    np.testing.assert_array_equal(np.stack([cloud[c] for c in ("red", "green", "blue")], axis=1), colors)
    for view, truth in zip(load_views(capture), views, strict=True):
        assert view.name == truth.name
        np.testing.assert_array_equal(view.rgb, truth.rgb)
        np.testing.assert_allclose(view.T_world_cam, truth.T_world_cam, atol=1e-12)
        np.testing.assert_allclose(view.camera.K, truth.camera.K)
        if truth.depth is None:
            assert view.depth is None
        else:
            np.testing.assert_allclose(view.depth, truth.depth, atol=5.1e-4)
        if truth.mask is None:
            assert view.mask is None
        else:
            np.testing.assert_array_equal(view.mask, truth.mask)
    assert not list(tmp_path.rglob("*.part"))


def test_depth_out_of_range_is_no_reading(tmp_path: Path):
    view = synthetic.views(1)[0]
    depth = np.full((48, 64), 1.0, np.float32)
    depth[0, :5] = 65.535, 65.6, np.nan, np.inf, -1.0
    write_capture(tmp_path, [replace(view, depth=depth)])
    capture = read_capture(tmp_path)
    loaded = load_view(capture, capture.frames[0]).depth
    assert loaded is not None
    np.testing.assert_allclose(loaded[0, :6], [65.535, 0, 0, 0, 0, 1.0], rtol=1e-6)


def test_a_capture_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    views = synthetic.views(2)
    write_capture(tmp_path, views)

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(Exception, match="no space left"):
        write_capture(tmp_path, views)
    with pytest.raises(CaptureError, match=r"transforms\.json"):
        read_capture(tmp_path)


def test_names_stay_within_the_folder(tmp_path: Path):
    view = synthetic.views(1)[0]
    for name in ("../a.png", "/tmp/a.png"):
        with pytest.raises(CaptureError, match="leaves"):
            write_capture(tmp_path / "c", [replace(view, name=name)])
    with pytest.raises(CaptureError, match="twice"):
        write_capture(tmp_path / "c", [view, replace(view, name="images/0000.jpg")])
    with pytest.raises(CaptureError, match="0 views"):
        write_capture(tmp_path / "c", [])
    assert not (tmp_path / "c").exists()


# ── captures by others ─────────────────────────────────────────────────────────────────────────
def test_a_robot_s_capture(shared_data: Path):
    capture = read_capture(shared_data / "apc_shelf")
    assert len(capture.frames) == 15
    assert capture.metric
    view = load_view(capture, capture.frames[0])
    assert view.depth is not None
    assert view.mask is None
    reading = view.depth[view.depth > 0]
    assert 0.4 < reading.size / view.depth.size < 0.7
    assert 0.2 < np.median(reading) < 1.0


def test_photographs_from_a_telephone(shared_data: Path):
    capture = read_capture(shared_data / "fox")
    assert len(capture.frames) == 50
    assert not capture.metric
    frame = capture.frames[0]
    view = load_view(capture, frame)
    assert view.mask is not None
    assert view.mask.mean() > 0.97
    # The same picture as OpenCV's own undistortion.
    K = frame.camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    theirs = cv2.undistort(np.asarray(Image.open(frame.image_path)), K, np.array(frame.lens.coefficients))
    assert np.abs(theirs.astype(int) - view.rgb)[view.mask].mean() < 0.5
