"""An interrupted run is resumed with its saved scene and with no other."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from small_run import QUICK, SmallRun, write_capture

import point2act
from point2act.core.errors import Point2ActError, RunError
from point2act.core.types import GaussianScene
from point2act.data.capture import read_capture
from point2act.data.resume import NAME, find_saved, fingerprint, remove_saved, save_scene
from point2act.data.run_manifest import RunManifest, read_run
from point2act.data.scene_ply import as_stored, read_splat_ply, write_splat_ply
from point2act.grasping.grasps_json import read_grasps

PIXELS = 320


def scene(seed: int = 0, count: int = 20) -> GaussianScene:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return GaussianScene(
        means=rng.normal(size=(count, 3)),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=np.exp(rng.normal(-3, 0.5, (count, 3))),
        opacities=rng.uniform(0.1, 0.9, count),
        sh=rng.normal(size=(count, 1, 3)),
    )


def saved(capture: Path, made: str = "as it was") -> RunManifest:
    return RunManifest(
        capture, Path("scene.ply"), PIXELS, True, 30.0, {}, fingerprint=made, notes={"start": "depth"}
    )


# ── what is kept ───────────────────────────────────────────────────────────────────────────────
def test_what_is_kept_is_recalled_and_forgotten(tmp_path: Path, small_capture: Path):
    save_scene(tmp_path / "out", saved(small_capture), scene())
    found = find_saved(tmp_path / "out", "as it was")
    assert found is not None
    assert (found.psnr, found.notes, found.max_side) == (30.0, {"start": "depth"}, PIXELS)
    np.testing.assert_allclose(read_splat_ply(found.scene).means, scene().means, atol=1e-6)
    remove_saved(tmp_path / "out")
    assert find_saved(tmp_path / "out", "as it was") is None
    assert not list((tmp_path / "out").iterdir())


def test_what_was_cut_off_is_forgotten_but_not_what_another_run_is_about_to_keep(tmp_path: Path):
    """Drafts are called after the process that writes them: here this one, and some that cannot be."""
    names = [f"{NAME}.{whose}.part" for whose in (os.getpid(), 999_999_999, 10**30, "none")]
    for name in (NAME, *names):
        (tmp_path / name).mkdir()
    remove_saved(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == names[:1]


def test_what_is_gone_on_with_is_what_is_read_however_often_it_is_written(tmp_path: Path):
    """A file has the logarithms of scales and opacities, whose last digits do not come back."""
    made = scene(count=20_000)
    made = replace(made, opacities=np.random.default_rng(1).uniform(1e-4, 1 - 1e-4, 20_000))
    kept = as_stored(made)
    for number in range(3):
        write_splat_ply(tmp_path / f"{number}.ply", kept)
        again = read_splat_ply(tmp_path / f"{number}.ply")
        for name in ("means", "quats", "scales", "opacities", "sh"):
            np.testing.assert_array_equal(getattr(again, name), getattr(kept, name))
    assert not np.array_equal(kept.scales, made.scales)


def test_the_geometry_is_saved_with_the_scene(tmp_path: Path, small_capture: Path):
    manifest = replace(saved(small_capture), geometry=Path("geometry.ply"))
    save_scene(tmp_path, manifest, scene(), scene(seed=1))
    found = find_saved(tmp_path, "as it was")
    assert found is not None
    assert found.geometry is not None
    np.testing.assert_array_equal(read_splat_ply(found.geometry).means, as_stored(scene(seed=1)).means)
    found.geometry.write_bytes(found.scene.read_bytes())
    assert find_saved(tmp_path, "as it was") is None
    found.geometry.unlink()
    with pytest.raises(RunError, match=r"geometry\.ply is missing"):
        read_run(tmp_path / NAME)


def test_nothing_else_is_taken_for_it(tmp_path: Path, small_capture: Path):
    save_scene(tmp_path, saved(small_capture), scene())
    assert find_saved(tmp_path, "as it is now") is None
    assert find_saved(tmp_path / "elsewhere", "as it was") is None


def test_the_last_one_is_kept(tmp_path: Path, small_capture: Path):
    for seed in range(3):
        save_scene(tmp_path / "out", saved(small_capture), scene(seed))
    found = find_saved(tmp_path / "out", "as it was")
    assert found is not None
    np.testing.assert_allclose(read_splat_ply(found.scene).means, scene(2).means, atol=1e-6)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]


def test_a_damaged_scene_is_none(tmp_path: Path, small_capture: Path):
    save_scene(tmp_path, saved(small_capture), scene())
    path = tmp_path / NAME / "scene.ply"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert find_saved(tmp_path, "as it was") is None
    with pytest.raises(RunError, match="--resume"):
        read_run(tmp_path / NAME)


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path, small_capture: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Point2ActError, match="cannot be written"):
        save_scene(tmp_path / "file", saved(small_capture), scene())


# ── whether it is the same ─────────────────────────────────────────────────────────────────────
def test_the_same_is_the_same_from_anywhere(small_capture: Path, monkeypatch: pytest.MonkeyPatch):
    one = fingerprint(read_capture(small_capture), "how", 1.0)
    monkeypatch.chdir(small_capture.parent)
    assert fingerprint(read_capture(small_capture.name), "how", 1.0) == one


@pytest.mark.parametrize("change", ["how", "an image", "a pose", "its depth"])
def test_whatever_changes_is_another(small_capture: Path, change: str):
    before = fingerprint(read_capture(small_capture), QUICK.build)
    how = QUICK.build
    if change == "how":
        how = dataclasses.replace(how, fit=dataclasses.replace(how.fit, iterations=7))
    elif change == "a pose":
        path = small_capture / "transforms.json"
        document = json.loads(path.read_text())
        document["frames"][1]["transform_matrix"][0][3] += 0.01
        path.write_text(json.dumps(document))
    else:
        frame = read_capture(small_capture).frames[1]
        path = frame.image_path if change == "an image" else frame.depth_path
        assert path is not None
        os.utime(path, (1, 1))
    assert fingerprint(read_capture(small_capture), how) != before


def test_a_file_that_is_gone_is_named(small_capture: Path):
    capture = read_capture(small_capture)
    capture.frames[2].image_path.unlink()
    with pytest.raises(Point2ActError, match=capture.frames[2].image_path.name):
        fingerprint(capture)


# ── a whole run ────────────────────────────────────────────────────────────────────────────────
def test_a_run_goes_on_with_the_scene_of_one_that_failed(
    tmp_path: Path, small_run: SmallRun, monkeypatch: pytest.MonkeyPatch
):
    capture, out = write_capture(tmp_path / "capture"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("point2act.pipeline.steps.publish", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            point2act.run(capture, out, config=QUICK)
    assert {path.name for path in out.iterdir()} == {NAME, "grasps.json"}
    (out / "grasps.json").unlink()
    again = point2act.run(capture, out, config=QUICK, resume=True)
    assert "fit the Gaussians" not in again.timings
    assert NAME not in {path.name for path in out.iterdir()}
    whole = small_run.result()
    assert "fit the Gaussians" in whole.timings
    assert again.psnr == whole.psnr
    one, other = (read_grasps(folder / "grasps.json")["results"] for folder in (out, small_run.output))
    assert one == other  # to the last digit
    # A finished run has it too.
    finished = point2act.run(capture, out, config=QUICK, resume=True)
    assert "fit the Gaussians" not in finished.timings


KILLED = """
import os, signal, sys
from point2act.cli.main import main
from point2act.pipeline import steps
steps.write_timings = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_command_that_was_killed_goes_on(tmp_path: Path):
    synthetic.write_capture_files(tmp_path / "capture", synthetic.views())
    options = ["run", "capture", "--output", "out", "--resume", "--fit.iterations", "30"]
    # It kills itself before its last files: from outside, the moment would be a matter of milliseconds.
    first = subprocess.run([sys.executable, "-c", KILLED, *options], cwd=tmp_path, stderr=subprocess.DEVNULL)
    assert first.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / NAME).is_dir()
    assert not (tmp_path / "out" / "run.json").exists()
    command = [sys.executable, "-m", "point2act.cli", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "going on with it" in done.stderr
    assert read_run(tmp_path / "out").psnr is None  # of eight views none is held out
    assert NAME not in {path.name for path in (tmp_path / "out").iterdir()}
