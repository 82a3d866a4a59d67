"""Every script in examples/ runs as its first line says."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_run import SmallRun, write_capture

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run_example(name: str, *arguments: object) -> None:
    """Run a script in this process, as ``python examples/NAME ARGUMENTS`` does."""
    before = sys.argv
    sys.argv = [name, *map(str, arguments)]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = before


def test_scripts_are_short_and_listed():
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert len(scripts) >= 10
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for script in scripts:
        assert len(script.read_text(encoding="utf-8").splitlines()) < 60
        assert f"`{script.name}`" in text


@pytest.mark.full
def test_examples_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    capture, out = write_capture(tmp_path / "capture"), tmp_path / "out"

    run_example("01_run.py", capture, out)
    assert "the red box: " in capsys.readouterr().out
    assert (out / "grasps.json").is_file()

    run_example("03_own_pointer.py", capture, tmp_path / "red")
    (found,) = json.loads((tmp_path / "red" / "grasps.json").read_text())["results"]
    assert np.linalg.norm(np.subtract(found["action_point"], [0.0, 0.0, 0.06])) < 0.06

    run_example("04_own_planner.py", capture, tmp_path / "planned")
    best = json.loads((tmp_path / "planned" / "grasps.json").read_text())["results"][0]["grasps"][0]
    assert best["T_world_gripper"][2][2] == -1.0

    run_example("12_own_segmenter.py", capture, tmp_path / "segmented")
    assert "the red box: half extents" in capsys.readouterr().out

    run_example("15_camera_callback.py", capture, "--pause", 0.0)
    printed = capsys.readouterr().out
    assert "10 views, answered after" in printed
    assert "open the gripper to" in printed

    growing = tmp_path / "growing"
    run_example("05_closed_loop.py", capture, growing, tmp_path / "followed")
    assert (tmp_path / "followed" / "grasps.json").is_file()


def test_examples_of_a_saved_run(small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    capture, out, points = small_run.capture, tmp_path / "out", small_run.capture / "points.json"
    shutil.copytree(small_run.output, out)

    run_example("02_ask_again.py", out, points)
    assert (out / "other_grasps.json").is_file()

    capsys.readouterr()
    image = (capture / "images" / "0000.png", capture / "depth" / "0000.png")
    run_example(
        "06_single_depth_image.py", *image, 121, 120, 65, 46, 65, 40, "--picture", tmp_path / "06.png"
    )
    assert capsys.readouterr().out.strip()
    assert (tmp_path / "06.png").is_file()

    run_example("07_own_gripper.py", out, points, tmp_path / "gripper")
    assert (tmp_path / "gripper" / "slim.png").is_file()

    run_example("08_render_relevancy.py", out, points, tmp_path / "relevancy")
    assert len(list((tmp_path / "relevancy").glob("*.png"))) == 10

    run_example("10_place_and_avoid.py", out, points, "--avoid", "unicorn")
    assert "the red box" in capsys.readouterr().out

    run_example("13_figure.py", out, points, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.size == (3 * 480, 2 * 360)

    run_example("11_refine_poses.py", capture)
    assert capsys.readouterr().out.count(" mm") == 10


def test_example_of_an_arm(small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("mink")
    capture, out = tmp_path / "capture", tmp_path / "out"
    shutil.copytree(small_run.capture, capture)
    shutil.copytree(small_run.output, out)
    base = np.eye(4)
    base[:3, 3] = [0.45, 0.0, 0.0]
    for path, change in (
        (capture / "transforms.json", {"T_base_world": base.tolist()}),
        (out / "run.json", {"capture": str(capture)}),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    run_example("09_arm_path.py", out, capture / "points.json")
    assert "the red box" in capsys.readouterr().out


@pytest.mark.full
def test_example_of_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("mink")
    pytest.importorskip("ruckig")
    run_example("14_act.py", tmp_path / "capture", "--task", "press_button")
    printed = capsys.readouterr().out
    assert "Press the red button. (undisturbed)\n" in printed
    assert "Press the red button. (target_moved)\n" in printed
    assert printed.count(" done     press it\n") == 2
    assert (tmp_path / "capture" / "points.json").is_file()


def test_examples_of_features(small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Models of random weights: no download."""
    transformers = pytest.importorskip("transformers")
    out, points = tmp_path / "out", small_run.capture / "points.json"
    shutil.copytree(small_run.output, out)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 56}

    config = transformers.Dinov2Config(**shape, patch_size=14)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "dinov2")
    run_example("16_lift_dinov2.py", out, points, "--model", tmp_path / "dinov2")
    assert "the red box: [" in capsys.readouterr().out
    with np.load(out / "features.npz") as file:
        assert file["values"].shape == (len(file["means"]), 16)
    assert (out / "crops.npz").is_file()
    assert (out / "crops.parquet").is_file()

    config = transformers.SiglipVisionConfig(**shape, patch_size=16, intermediate_size=32)
    transformers.SiglipVisionModel(config).save_pretrained(tmp_path / "siglip")
    run_example("17_lift_siglip.py", out, points, "--model", tmp_path / "siglip")
    assert "the red box: most like it" in capsys.readouterr().out
