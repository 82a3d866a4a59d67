"""Grasps from one RGB-D image: arrays and files in, results out, without a fit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import synthetic
from model_server import ModelServer, prompt
from PIL import Image

import point2act
from benchmarks.real.frames import judge_frame
from point2act.cli.main import main
from point2act.core.errors import CaptureError, PointsError
from point2act.core.geometry import project, transform_points
from point2act.core.types import View
from point2act.data.importers.single_image import read_intrinsics, read_single_image
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import load_gripper
from point2act.pipeline.grasp_image import grasp_image
from point2act.pipeline.image_input import camera_of, camera_pose, metres, view_of_arrays

RED = np.array([0.0, 0.0, 0.1])
"""The middle of the top of the red box, 6 cm by 8 cm wide, in the frame of the table."""


@pytest.fixture(scope="module")
def seen() -> View:
    """The boxes at 320x240 pixels from the side: the camera faces the narrow way across the red box."""
    return synthetic.views(8, height=240, width=320)[1]


@pytest.fixture(scope="module")
def pixel(seen: View) -> tuple[float, float]:
    """A pixel on the red box, 2 cm below the middle of its top."""
    (place,), _ = project(seen.camera, seen.T_world_cam, RED[None])
    return float(place[0]), float(place[1])


@pytest.fixture(scope="module")
def K(seen: View) -> np.ndarray:
    """The intrinsic matrix with the centre of the first pixel at 0."""
    return seen.camera.K - [[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]


@pytest.fixture(scope="module")
def depth(seen: View) -> np.ndarray:
    """Depth as a camera gives it: 16-bit millimetres."""
    assert seen.depth is not None
    return np.round(seen.depth * 1000).astype(np.uint16)


@pytest.fixture(scope="module")
def found(seen: View, depth: np.ndarray, K: np.ndarray, pixel: tuple[float, float]):
    return grasp_image(seen.rgb, depth, K, points={"the red box": pixel})


def no_planner(region, surface, gripper):
    """Plan nothing, at once: where only the region is of interest."""
    return ()


# ── arrays ─────────────────────────────────────────────────────────────────────────────────────
def test_the_box_under_the_pixel_is_grasped_in_the_camera_frame(found, seen):
    (result,) = found.results
    assert result.query.text == "the red box"
    assert result.reason is None
    in_table = transform_points(seen.T_world_cam, result.action_point[None])[0]
    assert np.abs(in_table - RED).max() < 0.05
    T = seen.T_world_cam @ result.grasps[0].T_world_gripper
    assert np.linalg.norm(T[:3, 3] - RED) < 0.06
    # From above, between the two faces that are 6 cm apart.
    assert T[2, 2] < 0
    assert 0.055 < result.grasps[0].width < 0.07


def test_the_action_point_is_the_surface_under_the_pixel(seen, depth, K, pixel):
    for right, down in ((0, 0), (-12, 4), (10, 6)):
        x, y = pixel[0] + right, pixel[1] + down
        (result,) = grasp_image(seen.rgb, depth, K, points=[(x, y)], planner=no_planner).results
        z = depth[int(y), int(x)] / 1000
        place = z * np.array([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], 1.0])
        assert np.linalg.norm(result.action_point - place) < 0.012


def test_the_picture_is_the_image_with_something_drawn_on_it(found, seen, pixel):
    picture = found.picture()
    assert picture.shape == seen.rgb.shape
    changed = (picture != seen.rgb).any(axis=2)
    column, row = (int(x) for x in pixel)
    assert changed[row - 8 : row + 8, column - 8 : column + 8].any()
    assert 0.005 < changed.mean() < 0.5


def test_up_is_the_z_axis_of_the_world(seen, depth, K, pixel, found):
    up = seen.T_world_cam[:3, :3].T @ [0.0, 0.0, 1.0]
    upright = grasp_image(seen.rgb, depth, K, points=[pixel], up=tuple(2 * up))
    T = upright.results[0].grasps[0].T_world_gripper
    assert T[2, 2] < 0
    # The camera is 35 cm above the table.
    assert upright.results[0].action_point[2] == pytest.approx(RED[2] - 0.35, abs=0.05)
    here, there = found.results[0], upright.results[0]
    assert np.linalg.norm(here.action_point) == pytest.approx(np.linalg.norm(there.action_point), abs=0.01)


def test_metres_and_millimetres_give_the_same(seen, depth, K, pixel, found):
    numbers = list(K[[0, 1, 0, 1], [0, 1, 2, 2]])
    same = grasp_image(seen.rgb, depth.astype(np.float32) / 1000, numbers, points=[pixel], planner=no_planner)
    np.testing.assert_allclose(same.results[0].action_point, found.results[0].action_point, atol=1e-5)


def test_a_function_points(seen, depth, K, pixel):
    shown = []

    def pointer(image, text):
        shown.append((image.shape, text))
        return [pixel] if "red" in text else []

    answered = grasp_image(
        seen.rgb, depth, K, queries=["the red box", "the unicorn"], pointer=pointer, planner=no_planner
    )
    assert shown == [(seen.rgb.shape, "the red box"), (seen.rgb.shape, "the unicorn")]
    red, unicorn = answered.results
    assert red.region is not None
    assert unicorn.reason == "no_points"


def test_depth_is_fused_at_full_size_and_located_at_a_smaller_one(seen, depth, K, pixel):
    config = point2act.ImageConfig(max_side=160)
    (result,) = (
        small := grasp_image(seen.rgb, depth, K, points=[pixel], config=config, planner=no_planner)
    ).results
    shown = small.session.views[0]
    assert shown.camera.width == 160
    assert small.session.full_size(shown).camera.width == 320
    assert np.linalg.norm(transform_points(seen.T_world_cam, result.action_point[None])[0] - RED) < 0.06


def test_the_same_image_gives_the_same_grasps(seen, depth, K, pixel, found):
    again = grasp_image(seen.rgb, depth, K, points={"the red box": pixel})
    assert len(again.results[0].grasps) == len(found.results[0].grasps)
    for one, other in zip(again.results[0].grasps, found.results[0].grasps, strict=True):
        np.testing.assert_array_equal(one.T_world_gripper, other.T_world_gripper)


# ── mistakes ───────────────────────────────────────────────────────────────────────────────────
def test_a_pixel_far_from_any_depth_is_refused(seen, depth, K, pixel):
    column, row = (int(x) for x in pixel)
    holed = depth.copy()
    holed[row - 30 : row + 30, column - 30 : column + 30] = 0
    with pytest.raises(PointsError, match="no depth, the nearest reading is"):
        grasp_image(seen.rgb, holed, K, points=[pixel])
    # Beside the hole there is depth enough.
    grasp_image(seen.rgb, holed, K, points=[(column + 32.0, float(row))], planner=no_planner)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": np.zeros((120, 160), np.uint16)}, "depth has the shape"),
        ({"depth": np.zeros((240, 320), np.uint16)}, "no reading"),
        ({"depth": np.zeros((240, 320), bool)}, "depth is bool"),
        ({"depth_unit": 1.0}, "median depth is"),
        ({"depth_unit": 0.0}, "depth unit is 0"),
        ({"K": [600.0, 600.0, 320.0, 240.0]}, "not those of an image of 320x240"),
        ({"K": np.eye(4)}, "not those of an image"),
        ({"K": [np.nan, 600.0, 160.0, 120.0]}, "not those of an image"),
        ({"up": (0.0, 0.0, 0.0)}, "up is"),
        ({"rgb": np.zeros((240, 320), np.uint8)}, "rgb is uint8"),
    ],
)
def test_wrong_arrays_are_one_sentence(seen, depth, K, pixel, change, words):
    given = {"rgb": seen.rgb, "depth": depth, "K": K} | change
    with pytest.raises(CaptureError, match=words):
        grasp_image(given.pop("rgb"), given.pop("depth"), given.pop("K"), points=[pixel], **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "either points, or queries"),
        ({"points": []}, "no point"),
        ({"points": [(500.0, 20.0)]}, "500,20 is outside the image, 320x240"),
        ({"points": {"it": (np.nan, 3.0)}}, "give a pixel"),
        ({"queries": ["the box"]}, "need a pointer"),
        ({"points": [(1.0, 1.0)], "queries": ["the box"]}, "either points, or queries"),
    ],
)
def test_wrong_points_are_one_sentence(seen, depth, K, given, words):
    with pytest.raises(PointsError, match=words):
        grasp_image(seen.rgb, depth, K, **given)


def test_missing_readings_are_zero():
    values = metres(np.array([[np.nan, np.inf, -1.0, 0.5]]), 1e-3)
    np.testing.assert_array_equal(values, np.float32([[0, 0, 0, 0.5]]))
    np.testing.assert_allclose(metres(np.array([[0, 500]], np.uint16), 1e-3), [[0, 0.5]])


@pytest.mark.parametrize("up", [(0.0, -1.0, 0.0), (0.1, -0.8, -0.6), (1.0, 0.0, 0.0), (0.0, 0.0, -3.0)])
def test_the_pose_of_an_upright_world_is_rigid(up):
    T = camera_pose(up)
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(T[:3, :3] @ up / np.linalg.norm(up), [0.0, 0.0, 1.0], atol=1e-12)


def test_the_first_pixel_has_its_centre_at_zero(seen):
    camera = camera_of([600.0, 600.0, 159.5, 119.5], (240, 320))
    assert (camera.cx, camera.cy) == (160.0, 120.0)
    view = view_of_arrays(
        seen.rgb,
        np.ones((240, 320), np.float32),
        np.array([[600.0, 0.0, 159.5], [0.0, 600.0, 119.5], [0.0, 0.0, 1.0]]),
    )
    assert dataclasses.astuple(view.camera) == dataclasses.astuple(camera)


# ── files ──────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def files(tmp_path: Path, seen: View, depth: np.ndarray) -> Path:
    Image.fromarray(seen.rgb).save(tmp_path / "color.png")
    Image.fromarray(depth).save(tmp_path / "depth.png")
    return tmp_path


def command(folder: Path, *options: str) -> list[str]:
    return ["grasp-image", str(folder / "color.png"), str(folder / "depth.png"), *options]


def refused(capsys: pytest.CaptureFixture, words: list[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    return capsys.readouterr().err


def intrinsics(K: np.ndarray) -> str:
    return f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}"


def test_the_command_writes_grasps_and_a_picture(files, K, pixel, found, capsys):
    x, y = pixel
    main(
        command(
            files,
            "--intrinsics",
            intrinsics(K),
            "--point",
            f"{x},{y}",
            "--output",
            str(files / "out" / "grasps.json"),
            "--report",
        )
    )
    assert sorted(path.name for path in (files / "out").iterdir()) == [
        "grasps.json",
        "grasps.png",
        "report.html",
    ]
    (result,) = read_grasps(files / "out" / "grasps.json")["results"]
    assert result["action_point"] == pytest.approx(found.results[0].action_point)
    assert len(result["grasps"]) == len(found.results[0].grasps)
    with Image.open(files / "out" / "grasps.png") as picture:
        assert picture.size == (320, 240)
    assert "picture: " in capsys.readouterr().out
    assert "not fitted: 1 view with depth" in (files / "out" / "report.html").read_text()


def test_a_model_points(files, K, pixel, found, tmp_path, capsys):
    """The model answers in thousandths of the image, as Qwen3-VL does."""
    x, y = round(1000 * pixel[0] / 320), round(1000 * pixel[1] / 240)

    def answer(request) -> str:
        seen = "red box" in prompt(request)
        return json.dumps([{"point_2d": [x, y], "label": "it"}] if seen else [])

    output = ("--output", str(tmp_path / "g.json"), "--cache", str(tmp_path / "cache"))
    with ModelServer(answer) as server:
        ask = ("--query", "the red box", "--query", "the unicorn", "--model", "qwen3_vl_8b")
        main(command(files, "--intrinsics", intrinsics(K), *ask, "--server", server.url, *output))
    red, unicorn = read_grasps(tmp_path / "g.json")["results"]
    assert red["action_point"] == pytest.approx(found.results[0].action_point, abs=0.02)
    assert red["grasps"]
    assert unicorn["reason"] == "no_points"


@pytest.mark.full
def test_most_clicks_of_a_real_frame_are_grasped(shared_data):
    found = judge_frame(shared_data / "frames" / "uoc_0", load_gripper("panda"))
    assert len(found) == 8
    assert sum(one.sound for one in found) >= 7


@pytest.mark.parametrize("form", ["json", "matrix", "commas"])
def test_intrinsics_come_in_three_forms(files, K, form):
    given = intrinsics(K)
    if form == "json":
        numbers = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
        (files / "camera.json").write_text(json.dumps(numbers | {"depth_scale": 0.0005}))
        given = str(files / "camera.json")
    if form == "matrix":
        np.savetxt(files / "K.txt", K)
        given = str(files / "K.txt")
    calibration = read_intrinsics(given, files / "color.png")
    assert dataclasses.astuple(calibration.color.camera) == pytest.approx(
        dataclasses.astuple(camera_of(K, (240, 320)))
    )
    assert calibration.depth_unit == (0.0005 if form == "json" else None)


def test_an_array_of_floats_is_in_metres(files, depth, K):
    np.save(files / "depth.npy", depth / 1000)
    np.save(files / "whole.npy", depth)
    calibration = read_intrinsics(intrinsics(K), files / "color.png")
    for name in ("depth.npy", "whole.npy", "depth.png"):
        capture, view = read_single_image(files / "color.png", files / name, calibration, np.eye(4))
        np.testing.assert_allclose(view.depth, depth / 1000, atol=1e-6)
        assert capture.frames[0].name == view.name == "color.png"
    _, view = read_single_image(
        files / "color.png", files / "whole.npy", calibration, np.eye(4), depth_unit=0.002
    )
    np.testing.assert_allclose(view.depth, depth / 500, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--intrinsics", "600,600,160"], "not 4 numbers"),
        (["--intrinsics", "none.txt"], "there is no such file"),
        (["--intrinsics", "900,900,640,360"], "not those of an image of 320x240"),
        (["--intrinsics", "300,300,160,120", "--point", "12"], "--point 12: give 2 numbers"),
        (["--intrinsics", "300,300,160,120", "--up", "0,1"], "--up 0,1: give 3 numbers"),
        (["--intrinsics", "300,300,160,120", "--query", "the box"], "either --point X,Y, or --query"),
        (["--intrinsics", "300,300,160,120", "--gripper", "hook"], "hook"),
        (["--intrinsics", "300,300,160,120", "--depth-unit", "1"], "median depth"),
    ],
)
def test_mistakes_are_one_sentence_and_nothing_is_written(files, options, words, capsys):
    point = [] if "--point" in options else ["--point", "160,120"]
    message = refused(capsys, command(files, *options, *point, "--output", str(files / "g.json")))
    assert words in message
    assert "Traceback" not in message
    assert sorted(path.name for path in files.iterdir()) == ["color.png", "depth.png"]


def test_depth_of_another_size_is_refused(files, K, capsys):
    Image.fromarray(np.full((120, 160), 500, np.uint16)).save(files / "depth.png")
    message = refused(capsys, command(files, "--intrinsics", intrinsics(K), "--point", "160,120"))
    assert "depth.png is 160x120 pixels" in message
    assert "register the depth" in message


def test_a_file_that_is_no_matrix_is_refused(files, capsys):
    (files / "K.txt").write_text("600 0 160 0 600 120")
    message = refused(capsys, command(files, "--intrinsics", str(files / "K.txt"), "--point", "160,120"))
    assert "K.txt holds 6 numbers" in message
