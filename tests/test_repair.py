"""Depth of another camera is laid on the colours, moved cameras go back, and the copy is else the same."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import synthetic
from PIL import Image
from scipy.spatial.transform import Rotation

from point2act.calibration.checks.depth_edges import border_maps, border_points
from point2act.calibration.checks.depth_extrinsics import DepthExtrinsics
from point2act.calibration.checks.repair import Repaired, common_correction, pose_corrections, repair
from point2act.cli.check import main
from point2act.cli.refine import PICTURE
from point2act.core.errors import CaptureError
from point2act.core.geometry import invert, pixel_centers
from point2act.core.types import Camera, View
from point2act.data.capture import load_view, load_views, read_capture, write_capture
from point2act.data.capture.rewrite import depth_on_disk, rewrite_capture
from point2act.visualization.drawing.borders import registration_picture
from point2act.visualization.drawing.canvas import PALETTE

OTHER = DepthExtrinsics(
    zoom=0.85, axis_shift=(0.02, -0.015), offset=(-0.02, 0.012, 0.0), before=0.0, after=0.0
)


@cache
def as_seen() -> tuple[View, ...]:
    """Views as a camera gives them that does not register: depth from a camera beside the colours."""
    found = []
    for view in synthetic.textured():
        source = OTHER.depth_camera(view.camera)
        eye = view.T_world_cam @ source.T_color_depth
        found.append(replace(view, depth=synthetic.render(eye, synthetic.rays(source.sensor.camera)).depth))
    return tuple(found)


@cache
def repaired() -> Repaired:
    return repair(as_seen(), metric=False)


def away(view: View, rng: np.random.Generator, shift: float, turn: float) -> View:
    """The view with a wrong pose: metres, degrees."""
    step = np.eye(4)
    step[:3, :3] = Rotation.from_rotvec(rng.normal(scale=np.radians(turn) / 3**0.5, size=3)).as_matrix()
    step[:3, 3] = rng.normal(scale=shift / 3**0.5, size=3)
    return replace(view, T_world_cam=view.T_world_cam @ step)


# ── borders ────────────────────────────────────────────────────────────────────────────────────
def test_border_points_lie_where_the_maps_have_borders():
    depth = synthetic.views(1)[0].depth
    assert depth is not None
    for points, borders in zip(border_points(depth), border_maps(depth), strict=True):
        drawn = np.zeros(depth.shape, bool)
        for x, y, z in points:
            # Between two pixels along one axis: both count.
            pair = [(y, x - 0.5), (y, x + 0.5)] if y % 1 else [(y - 0.5, x), (y + 0.5, x)]
            cells = [(int(row), int(column)) for row, column in pair]
            assert any(depth[cell] == np.float32(z) for cell in cells)
            for cell in cells:
                drawn[cell] = True
        assert len(points) > 0
        np.testing.assert_array_equal(drawn, borders > 0)


# ── the depth camera ───────────────────────────────────────────────────────────────────────────
def test_the_depth_camera_is_found_where_it_is():
    found = repaired().depth_extrinsics
    assert found is not None
    assert found.zoom == pytest.approx(OTHER.zoom, abs=0.01)
    np.testing.assert_allclose(found.offset, OTHER.offset, atol=0.004)
    np.testing.assert_allclose(found.axis_shift, OTHER.axis_shift, atol=0.012)
    assert found.after > 2 * found.before


def test_its_depth_is_laid_on_the_colours():
    assert "not known to be metres" in repaired().poses
    for true, seen, new in zip(synthetic.textured(), as_seen(), repaired().views, strict=True):
        assert true.depth is not None
        assert seen.depth is not None
        assert new.depth is not None
        there = new.depth > 0
        assert there.mean() > 0.5
        off, was = (np.abs(depth - true.depth)[there] for depth in (new.depth, seen.depth))
        assert np.mean(off > 0.01) < 0.06
        assert np.mean(off > 0.01) < 0.5 * np.mean(was > 0.01)


def test_depth_that_lies_on_the_colours_is_left():
    done = repair(synthetic.textured(), metric=False)
    assert done.depth_extrinsics is None
    assert "it is registered to the colours" in done.depth
    assert all(a.depth is b.depth for a, b in zip(done.views, synthetic.textured(), strict=True))


@pytest.mark.parametrize("count", [0, 2, 3])
def test_few_views_are_left(count: int):
    done = repair(synthetic.textured()[:count], metric=True)
    assert done.depth_extrinsics is None
    assert not done.poses_changed
    assert "four or more" in done.depth


def test_plain_views_are_left_with_a_reason():
    views = [replace(view, rgb=np.full_like(view.rgb, 90)) for view in synthetic.views(6)]
    done = repair(views, metric=True)
    assert "nowhere clearly" in done.depth
    assert not done.poses_changed


def test_the_picture_shows_the_borders_before_and_after():
    picture = registration_picture(as_seen(), repaired().views)
    height, width = 180, 240
    assert picture.shape[1] >= 2 * width
    drawn = (picture == PALETTE[1]).all(axis=2)
    assert drawn[:, : picture.shape[1] // 2].sum() > 100
    assert drawn[:, picture.shape[1] // 2 :].sum() > 100
    assert picture.shape[0] < 2 * height


# ── how far everything moved ───────────────────────────────────────────────────────────────────
def test_moves_are_reported_along_the_axes_of_the_robots_base():
    before = synthetic.views(3)
    T_base_world = synthetic.look_at(np.array([1.0, 2.0, 0.5]), np.zeros(3))
    turn = Rotation.from_rotvec(np.radians([0.0, 0.0, 2.0]))
    after = []
    for view in before:
        T = view.T_world_cam.copy()
        T[:3, :3] = turn.as_matrix() @ T[:3, :3]
        T[:3, 3] += [0.001, 0.002, 0.003]
        after.append(replace(view, T_world_cam=T))
    for row, view in zip(pose_corrections(before, after, T_base_world), before, strict=True):
        assert row["image"] == view.name
        np.testing.assert_allclose(row["shift_mm"], T_base_world[:3, :3] @ [1, 2, 3], atol=1e-2)
        np.testing.assert_allclose(row["turn_deg"], T_base_world[:3, :3] @ [0, 0, 2], atol=1e-3)
    np.testing.assert_allclose(pose_corrections(before, after, None)[0]["shift_mm"], [1, 2, 3], atol=1e-2)


def test_what_all_cameras_have_in_common_is_reported_and_only_that():
    before = synthetic.views(6)
    step = np.eye(4)
    step[:3, 3] = 0.004, 0.0, -0.002
    step[:3, :3] = Rotation.from_rotvec(np.radians([1.0, 0.0, 0.5])).as_matrix()
    alike = common_correction(before, [replace(view, T_world_cam=view.T_world_cam @ step) for view in before])
    assert alike is not None
    np.testing.assert_allclose(alike[0], step[:3, 3], atol=1e-9)
    np.testing.assert_allclose(alike[1], [1.0, 0.0, 0.5], atol=1e-6)
    rng = np.random.default_rng(0)
    assert common_correction(before, [away(view, rng, 0.004, 0.5) for view in before]) is None


# ── the copy ───────────────────────────────────────────────────────────────────────────────────
def test_a_copy_without_changes_is_the_same(small_capture: Path, tmp_path: Path):
    rewrite_capture(small_capture, tmp_path / "copy", poses={})
    for path in sorted(path for path in small_capture.rglob("*") if path.is_file()):
        copy = tmp_path / "copy" / path.relative_to(small_capture)
        if path.name == "transforms.json":
            assert json.loads(copy.read_text()) == json.loads(path.read_text())
        else:
            assert copy.read_bytes() == path.read_bytes()


def test_a_copy_has_the_poses_and_the_depth_it_is_given(small_capture: Path, tmp_path: Path):
    source = read_capture(small_capture)
    rng = np.random.default_rng(1)
    poses = {view.name: away(view, rng, 0.01, 1.0).T_world_cam for view in load_views(source)[:3]}
    rewrite_capture(
        small_capture, tmp_path / "copy", poses=poses, depth=lambda name: np.full((48, 64), 0.5, np.float32)
    )
    for view, old in zip(load_views(read_capture(tmp_path / "copy")), load_views(source), strict=True):
        np.testing.assert_allclose(view.T_world_cam, poses.get(view.name, old.T_world_cam), atol=1e-12)
        np.testing.assert_array_equal(view.rgb, old.rgb)
        np.testing.assert_array_equal(view.depth, np.full((48, 64), np.float32(0.5)))


def test_files_elsewhere_are_not_copied(small_capture: Path, tmp_path: Path):
    path = small_capture / "transforms.json"
    document = json.loads(path.read_text())
    document["frames"][2]["file_path"] = str(small_capture / document["frames"][2]["file_path"])
    path.write_text(json.dumps(document))
    with pytest.raises(CaptureError, match=r"frame 2.*outside the capture's folder: copy the file"):
        rewrite_capture(small_capture, tmp_path / "copy", poses={})


def test_depth_goes_back_into_the_pixels_of_a_lens(tmp_path: Path):
    lens = {"k1": -0.12, "k2": 0.02}
    synthetic.write_capture_files(tmp_path, synthetic.views(1))
    document = json.loads((tmp_path / "transforms.json").read_text())
    (tmp_path / "transforms.json").write_text(json.dumps(document | lens))
    source = read_capture(tmp_path)
    frame = source.frames[0]
    assert frame.lens.coefficients[:2] == (-0.12, 0.02)
    view = load_view(source, frame)
    # Depth that encodes its pixel: there and back it moves by less than two roundings to a pixel.
    grid = pixel_centers(view.camera.height, view.camera.width)
    for axis in (0, 1):
        stored = depth_on_disk(frame, replace(view, depth=grid[..., axis].astype(np.float32)))
        assert stored.shape == (48, 64)
        back = load_view_depth(tmp_path, frame.camera, stored)
        seen = back > 0
        assert seen.mean() > 0.9
        assert np.abs(back - grid[..., axis])[seen].max() <= 2.0


def load_view_depth(folder: Path, camera: Camera, stored: np.ndarray) -> np.ndarray:
    """Stored depth as the view of the folder's first frame has it."""
    np.save(folder / "stored.npy", stored)
    document = json.loads((folder / "transforms.json").read_text())
    document["frames"][0]["depth_file_path"] = "stored.npy"
    (folder / "transforms.json").write_text(json.dumps(document | {"depth_unit_scale_factor": 1.0}))
    source = read_capture(folder)
    depth = load_view(source, source.frames[0]).depth
    assert depth is not None
    return depth


# ── the command ────────────────────────────────────────────────────────────────────────────────
def test_refine_writes_a_copy_that_is_better(tmp_path: Path, capsys: pytest.CaptureFixture):
    rng = np.random.default_rng(3)
    spoilt = [away(view, rng, 0.004, 0.5) for view in as_seen()]
    T_base_world = invert(synthetic.look_at(np.array([0.5, 0.0, 0.3]), np.zeros(3)))
    write_capture(tmp_path / "given", spoilt, T_base_world=T_base_world)
    main([str(tmp_path / "given"), "--refine", str(tmp_path / "copy"), "--json", "-"])  # and leaves with 0
    printed = json.loads(capsys.readouterr().out)
    before = {finding["code"]: finding["severity"] for finding in printed["findings"]}
    after = {finding["code"]: finding["severity"] for finding in printed["refined"]["report"]["findings"]}
    assert "registration" in before
    assert "poses_off" in before
    assert "registration" not in after
    assert "poses_off" not in after
    assert printed["refined"]["frame"] == "base"
    assert [PurePosixPath(row["image"]).stem for row in printed["refined"]["moves"]] == [
        PurePosixPath(view.name).stem for view in spoilt
    ]
    with Image.open(tmp_path / "copy" / PICTURE) as picture:
        assert picture.width >= 2 * 240
    # No image shows the error that all cameras share.
    assert strayed(tmp_path / "copy") < 0.3 * strayed(tmp_path / "given")


def strayed(folder: Path) -> float:
    """Metres by which the cameras are off against one another, in the median."""
    views = load_views(read_capture(folder))
    off = np.array(
        [a.T_world_cam[:3, 3] - b.T_world_cam[:3, 3] for a, b in zip(views, as_seen(), strict=True)]
    )
    return float(np.median(np.linalg.norm(off - off.mean(axis=0), axis=1)))


def test_refine_wants_a_free_folder(small_capture: Path, tmp_path: Path):
    with pytest.raises(CaptureError, match="already exists"):
        main([str(small_capture), "--refine", str(small_capture)])
    assert sorted(tmp_path.iterdir()) == [small_capture]
