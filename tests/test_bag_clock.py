"""Clock skew of a bag: reported by ``capture bag``, and gone with ``--skew``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ros_recording import Recipe, write
from test_clock_skew import CAMERA, TIMES, film, poses

from benchmarks.bags.writing import BagWriter
from point2act.calibration.checks.clock_skew import ClockSkew
from point2act.calibration.checks.findings import Evidence
from point2act.calibration.checks.recorded_clock import check_clock
from point2act.cli.capture_bag import clock_note
from point2act.cli.main import main
from point2act.core.errors import CaptureError
from point2act.data.capture import load_views, read_capture

SKEW = 0.04
START = 1_700_000_000 * 10**9


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag whose transforms are stamped 40 ms late."""
    file = tmp_path_factory.mktemp("bag") / "arm.bag"
    ticks = np.arange(0, 4.5, 0.01)
    with BagWriter(file, "ros1") as bag:
        for tick, pose in zip(ticks, poses(ticks), strict=True):
            bag.tf(START + round((tick + SKEW) * 1e9), [("base_link", "optical", pose)])
        for time, pose in zip(TIMES, poses(TIMES), strict=True):
            stamp, seen = START + round(time * 1e9), film(pose, time)
            assert seen.depth is not None
            bag.info("/camera/color/camera_info", stamp, "optical", CAMERA)
            bag.image(
                "/camera/color/image_raw", stamp, "optical", np.repeat(seen.gray[..., None], 3, 2), "rgb8"
            )
            depth = seen.depth.astype(np.float32)
            bag.image("/camera/aligned_depth/image_raw", stamp, "optical", depth, "32FC1")
    return file


def convert(bag: Path, output: Path, capsys: pytest.CaptureFixture, *more: str) -> str:
    main(["capture", "bag", str(bag), "--max-frames", "8", *more, "--output", str(output)])
    return capsys.readouterr().out


def test_a_skew_is_reported_and_corrected(late: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    printed = convert(late, tmp_path / "as_stamped", capsys)
    assert "ms before tf has the poses that they show" in printed
    option = printed.split("--skew ")[1].split()[0]
    assert float(option) == pytest.approx(SKEW, abs=0.003)
    assert "images and tf agree in time" in convert(late, tmp_path / "corrected", capsys, "--skew", option)
    for view in load_views(read_capture(tmp_path / "corrected")):
        truth = poses(TIMES)[:, :3, 3]
        assert np.linalg.norm(truth - view.T_world_cam[:3, 3], axis=1).min() < 0.002


def test_check_reports_the_recorded_skew(late: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    option = convert(late, tmp_path / "as_stamped", capsys).split("--skew ")[1].split()[0]
    found = check_clock(tmp_path / "as_stamped").findings
    assert [(one.code, one.severity) for one in found] == [("clock", "warning")]
    assert f"--skew {option}" in found[0].message
    convert(late, tmp_path / "corrected", capsys, "--skew", option)
    corrected = check_clock(tmp_path / "corrected")
    assert not corrected.findings
    assert corrected.fine == "clocks of images and poses"
    with pytest.raises(SystemExit):
        main(["check", str(tmp_path / "as_stamped")])
    assert f"--skew {option}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "skew", [[], "late", 0.04, {}, {"seconds": 0.04}, {"seconds": "late", "std": 0.001}, {"seconds": None}]
)
def test_a_malformed_record_is_an_error(tmp_path: Path, skew):
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [], "clock_skew": skew}))
    with pytest.raises(CaptureError, match="clock_skew"):
        check_clock(tmp_path)


def test_a_capture_without_a_record_has_no_clock(tmp_path: Path):
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": []}))
    assert check_clock(tmp_path) == Evidence()


def test_a_bag_without_features_gives_no_skew(tmp_path: Path, capsys: pytest.CaptureFixture):
    bag = write(tmp_path / "robot.bag", "ros1", Recipe(seconds=1.0))
    assert "cannot be compared" in convert(bag, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("found", "given", "says"),
    [
        (ClockSkew(0.003, 0.0005, 20), 0.0, "agree in time to 3 ms"),
        (ClockSkew(0.006, 0.0035, 20), 0.0, "agree in time"),
        (ClockSkew(0.02, 0.001, 20), 0.01, "20 ms before tf has the poses that they show (± 1 ms)"),
        (ClockSkew(0.02, 0.001, 20), 0.01, "convert again with --skew 0.030"),
        (ClockSkew(-0.02, 0.001, 20), 0.0, "20 ms after tf has"),
    ],
)
def test_what_is_reported(found: ClockSkew, given: float, says: str):
    assert says in clock_note(found, given)
