"""``point2act check`` as people and programs see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic

from point2act.calibration.checks import Finding
from point2act.cli.check import _line, main
from point2act.core.errors import CaptureError


def run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def test_a_capture_gets_words_and_a_file(small_capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    file = tmp_path / "out" / "check.json"
    assert run(small_capture, "--json", file) == 0
    printed = capsys.readouterr().out
    document = json.loads(file.read_text())
    assert document["version"] == 1
    assert document["figures"]["views"] == 8
    for finding in document["findings"]:
        assert finding["severity"] == "remark"
        assert finding["message"] in printed
    assert "fine: " in printed


def test_a_spoilt_capture_ends_with_two_and_names_the_images(
    small_capture: Path, capsys: pytest.CaptureFixture
):
    document = json.loads((small_capture / "transforms.json").read_text())
    document["depth_unit_scale_factor"] = 1e-9
    for entry in document["frames"]:
        entry["transform_matrix"] = document["frames"][0]["transform_matrix"]
    (small_capture / "transforms.json").write_text(json.dumps(document))
    assert run(small_capture, "--json", "-") == 2
    printed = json.loads(capsys.readouterr().out)
    assert "one_place" in {
        finding["code"] for finding in printed["findings"] if finding["severity"] == "error"
    }


@pytest.mark.parametrize("known", [False, True])
def test_the_base_frame_is_part_of_the_report(small_capture: Path, tmp_path: Path, known: bool):
    document = json.loads((small_capture / "transforms.json").read_text())
    document.pop("T_base_world", None)
    if known:
        document["T_base_world"] = [[0, -1, 0, 0.3], [1, 0, 0, 0], [0, 0, 1, 0.1], [0, 0, 0, 1]]
    (small_capture / "transforms.json").write_text(json.dumps(document))
    assert run(small_capture, "--json", tmp_path / "check.json") == 0
    report = json.loads((tmp_path / "check.json").read_text())
    assert ("base" in {finding["code"] for finding in report["findings"]}) != known
    assert ("the robot's base frame" in report["fine"]) == known


def test_one_capture_has_one_view(tmp_path: Path):
    synthetic.write_capture_files(tmp_path, synthetic.views(1))
    assert run(tmp_path) == 2


def test_a_capture_that_cannot_be_read_is_its_own_finding(tmp_path: Path):
    with pytest.raises(CaptureError, match="there is no"):
        main([str(tmp_path / "nothing")])


def test_many_images_are_named_in_short():
    names = tuple(f"images/{k:04d}.png" for k in range(16))
    line = _line(Finding("warning", "blur", "blurred: take it again", names))
    assert line.count("images/") == 4
    assert " and 12 more: blurred" in line
    assert " more" not in _line(Finding("warning", "blur", "blurred: take it again", names[:4]))
