"""Recordings for Rerun, read again with its own reader."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from point2act.cli.main import main
from point2act.grasping.grasps_json import read_grasps


@pytest.fixture(scope="module")
def rerun() -> Any:
    return pytest.importorskip("rerun", reason='no Rerun: pip install "point2act[rerun]"')


@pytest.fixture(scope="module")
def recording(rerun: Any, small_run, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("recording") / "run.rrd"
    main(["export", str(small_run.output), "--rerun", str(path)])
    assert [entry.name for entry in path.parent.iterdir()] == ["run.rrd"], "no draft is left behind"
    return rerun.dataframe.load_recording(str(path))


def entities(recording: Any) -> set[str]:
    return {column.entity_path for column in recording.schema().component_columns()}


def test_everything_is_in_it(recording: Any, small_run):
    found = entities(recording)
    assert {"/world/gaussians", "/world/camera/image/color", "/world/camera/image/depth"} <= found
    for result in read_grasps(small_run.output / "grasps.json")["results"]:
        name = result["query"]["name"]
        assert f"/world/relevancy/{name}" in found
        drawn = {path for path in found if path.startswith(f"/world/results/{name}/grasps/")}
        assert len({path.split("/")[5] for path in drawn}) == len(result["grasps"])
        assert (f"/world/results/{name}/action_point" in found) == (result["action_point"] is not None)


def test_each_view_is_a_step_with_its_pose(recording: Any, small_run):
    import point2act

    table = recording.view(index="view", contents="/world/camera").select().read_all()
    column = next(name for name in table.column_names if "Translation" in name)
    positions = np.array([row[0] for row in table[column].to_pylist()])
    views = point2act.open_run(small_run.output).views
    np.testing.assert_allclose(positions, [view.T_world_cam[:3, 3] for view in views], atol=1e-5)


def test_missing_points_are_reported(small_run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_info:
        main(["export", str(small_run.output), "--points", str(tmp_path / "none.json")])
    assert exit_info.value.code == 2
    assert "none.json" in capsys.readouterr().err


def test_without_rerun_the_error_names_the_extra(
    small_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(SystemExit) as exit_info:
        main(["export", str(small_run.output), "--rerun", str(tmp_path / "run.rrd")])
    assert exit_info.value.code == 2
    assert "point2act[rerun]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
