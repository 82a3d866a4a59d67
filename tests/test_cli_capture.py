"""``point2act capture``: what it writes, says and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic
import test_importers as material

from point2act.cli import capture as command
from point2act.core.errors import CaptureError
from point2act.data.capture import read_capture
from point2act.data.importers import phones
from point2act.data.importers.sfm import SfmModel


def test_a_recording_becomes_a_capture_and_the_command_says_what_it_took(tmp_path: Path, capsys):
    material.as_scannet(tmp_path / "scene")
    material.save_matrix(tmp_path / "scene/pose/2.txt", np.full((4, 4), -np.inf))
    command.main(["rgbd", str(tmp_path / "scene"), "--output", str(tmp_path / "capture"), "--every", "2"])
    found = read_capture(tmp_path / "capture")
    assert [frame.name for frame in found.frames] == ["images/0.png", "images/3.png"]
    printed = capsys.readouterr().out
    assert "layout scannet: 2 of 3 images" in printed
    assert "1 images without a pose are omitted" in printed
    assert f"capture: {tmp_path / 'capture'}" in printed


def test_a_layout_may_be_named_and_a_camera_given(tmp_path: Path):
    """As plain, this ScanNet folder wants a description of its camera, whose depth is then registered."""
    material.as_scannet(tmp_path / "scene")
    there = ["rgbd", str(tmp_path / "scene"), "--output", str(tmp_path / "capture"), "--layout", "plain"]
    with pytest.raises(CaptureError, match="--camera"):
        command.main(there)
    fields = material.described(material.VIEWS[0].camera) | {"fx": 50.0}
    (tmp_path / "own.json").write_text(json.dumps(fields))
    command.main([*there, "--camera", str(tmp_path / "own.json"), "--max-frames", "2"])
    found = read_capture(tmp_path / "capture")
    assert [frame.camera.fx for frame in found.frames] == [50.0, 50.0]
    assert [frame.name for frame in found.frames] == ["images/0.png", "images/3.png"]


@pytest.mark.parametrize("kind", list(command.KINDS))
def test_a_place_that_is_taken_is_refused_before_any_work(tmp_path: Path, kind: str):
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture/precious").write_text("x")
    with pytest.raises(CaptureError, match="already exists"):
        command.main([kind, str(tmp_path / "missing"), "--output", str(tmp_path / "capture")])


@pytest.mark.parametrize("kind", list(command.KINDS))
def test_what_is_not_there_is_reported_and_nothing_is_written(tmp_path: Path, kind: str):
    with pytest.raises(CaptureError, match="there is no"):
        command.main([kind, str(tmp_path / "missing"), "--output", str(tmp_path / "capture")])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLMAP's part is played: the cameras are those that the photographs were drawn with."""
    from point2act.data.importers import sfm

    def found(photos, folder, *, progress=None) -> SfmModel:
        truth = material.structure_of(synthetic.views(6, height=360, width=480))
        pictures = tuple(photos[: len(truth.frames)])
        frames = tuple(
            material.replace(frame, image_path=photo.path, name=f"images/{Path(photo.name).stem}.png")
            for frame, photo in zip(truth.frames, pictures, strict=True)
        )
        missing = tuple(photo.name for photo in photos[len(frames) :])
        return SfmModel(frames, pictures, truth.points, truth.colors, missing)

    monkeypatch.setattr(sfm, "reconstruct_photos", found)


@pytest.mark.usefixtures("placed")
def test_photographs_without_a_scale_are_not_metric_and_this_is_printed(tmp_path: Path, capsys):
    material.marker_pictures(tmp_path / "photos")
    material.save(tmp_path / "photos/lost.png", np.zeros((360, 480, 3), np.uint8))
    command.main(["photos", str(tmp_path / "photos"), "--output", str(tmp_path / "capture")])
    found = read_capture(tmp_path / "capture")
    assert not found.metric
    assert json.loads((tmp_path / "capture/transforms.json").read_text())["metric"] is False
    assert found.point_cloud_path is not None
    printed = capsys.readouterr().out
    assert "6 of 7 photographs registered" in printed
    assert "not registered: lost.png" in printed
    assert "not metres" in printed


@pytest.mark.usefixtures("placed")
def test_photographs_with_markers_are_metric(tmp_path: Path, capsys):
    views = material.marker_pictures(tmp_path / "photos")
    scale = f"aruco:4X4_50:{material.SIDE}"
    command.main(
        ["photos", str(tmp_path / "photos"), "--output", str(tmp_path / "capture"), "--scale-from", scale]
    )
    found = read_capture(tmp_path / "capture")
    assert found.metric
    heights = [frame.T_world_cam[2, 3] for frame in found.frames]
    np.testing.assert_allclose(heights, [view.T_world_cam[2, 3] for view in views], atol=0.005)
    assert "sides of the markers agree within" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ("metre", "--scale-from metre cannot be read"),
        ("aruco:9X9:0.04", "no markers 9X9"),
        ("distance:0.3:0.png:1,2:3,4:z.png:1,2:3,4", "z.png is not among the 6"),
    ],
)
def test_a_scale_of_no_use_is_refused_before_any_work(tmp_path: Path, scale: str, words: str):
    material.marker_pictures(tmp_path / "photos")
    with pytest.raises(CaptureError, match=words):
        command.main(
            ["photos", str(tmp_path / "photos"), "--output", str(tmp_path / "c"), "--scale-from", scale]
        )
    assert not (tmp_path / "c").exists()


# ── nerfstudio's converters ───────────────────────────────────────────────────────────────────
def played(monkeypatch: pytest.MonkeyPatch, made: bool, words: str = "") -> list[list[str]]:
    """A converter in the place of nerfstudio's: writes a capture or fails. Returns its arguments."""
    given: list[list[str]] = []
    run = subprocess.run

    def convert(arguments: list[str], **options):
        given.append(arguments)
        output = Path(arguments[arguments.index("--output-dir") + 1])
        if made:
            synthetic.write_capture_files(output, material.VIEWS)
        code = f"import sys; print({words!r}); sys.exit({0 if made or not words else 1})"
        return run([sys.executable, "-c", code], **options)

    monkeypatch.setattr(subprocess, "run", convert)
    monkeypatch.setattr(phones.shutil, "which", lambda program: f"/usr/bin/{program}")
    return given


@pytest.mark.parametrize(("app", "depth"), [("record3d", False), ("polycam", True), ("polycam", False)])
def test_an_export_of_a_phone_goes_through_nerfstudios_converter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: phones.App, depth: bool
):
    given = played(monkeypatch, made=True)
    (tmp_path / "export/keyframes").mkdir(parents=True)
    if depth:
        (tmp_path / "export/keyframes/depth").mkdir()
    command.main([app, str(tmp_path / "export"), "--output", str(tmp_path / "capture")])
    assert given[0][1:4] == ["-m", "nerfstudio.scripts.process_data", app]
    assert ("--use-depth" in given[0]) == depth
    assert read_capture(tmp_path / "capture").metric


@pytest.mark.parametrize(("words", "quoted"), [("no rgb here", "no rgb here"), ("", "no transforms.json")])
def test_a_converter_that_fails_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, quoted: str
):
    played(monkeypatch, made=False, words=words)
    (tmp_path / "export").mkdir()
    with pytest.raises(CaptureError, match=quoted):
        command.main(["record3d", str(tmp_path / "export"), "--output", str(tmp_path / "capture")])
    assert not (tmp_path / "capture").exists()


def test_without_ffmpeg_it_is_reported_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(phones.shutil, "which", lambda program: None)
    (tmp_path / "export").mkdir()
    with pytest.raises(CaptureError, match="needs the program ffmpeg"):
        command.main(["polycam", str(tmp_path / "export"), "--output", str(tmp_path / "capture")])


@pytest.mark.full
@pytest.mark.parametrize("app", ["record3d", "polycam"])
def test_nerfstudios_converters_take_the_options_that_they_are_given(app: str):
    """The real ones, asked for their help: what is passed above exists there."""
    command = [sys.executable, "-m", "nerfstudio.scripts.process_data", app, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    options = ("--data", "--output-dir", "--num-downscales", *(["--use-depth"] if app == "polycam" else []))
    assert [option for option in options if option not in done.stdout] == []


def test_the_command_starts_without_anything_heavy():
    code = (
        "import sys, point2act.cli.capture\n"
        "print(*(name for name in ('torch', 'cv2', 'pycolmap', 'nerfstudio') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
