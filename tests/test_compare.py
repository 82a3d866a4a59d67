from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from point2act.cli.compare import compare
from point2act.cli.main import main
from point2act.grasping.grasps_json import read_grasps


@pytest.fixture
def document(small_run) -> dict[str, Any]:
    return read_grasps(small_run.output / "grasps.json")


def test_a_result_compared_with_itself_has_no_changes(document: dict[str, Any]):
    rows = compare(document, document)
    assert [row.query for row in rows] == [result["query"]["text"] for result in document["results"]]
    for row, result in zip(rows, document["results"], strict=True):
        assert "→" not in row.confidence + row.grasps + row.score
        assert row.moved == ("–" if result["action_point"] is None else "0 mm")


def test_what_changed_is_shown_with_an_arrow(document: dict[str, Any]):
    other = copy.deepcopy(document)
    found = next(result for result in other["results"] if result["grasps"])
    found["action_point"][0] += 0.012
    found["grasps"], found["reason"], found["confidence"] = [], "all_collide", 0.5
    before = next(result for result in document["results"] if result["grasps"])
    row = next(row for row in compare(document, other) if row.query == found["query"]["text"])
    assert row.moved == "12 mm"
    assert row.confidence == f"{before['confidence']:.0%} → 50%"
    assert row.grasps == f"{len(before['grasps'])} → all_collide"
    assert row.score == f"{before['grasps'][0]['score']:.2f} → –"


def test_queries_of_one_result_alone_are_absent_in_the_other(document: dict[str, Any]):
    fewer = document | {"results": document["results"][1:]}
    row = compare(document, fewer)[0]
    assert row.grasps.endswith("→ absent")
    assert compare(fewer, document)[-1].grasps.startswith("absent →")


def test_the_command_takes_folders_and_files(small_run, capsys: pytest.CaptureFixture[str]):
    main(["compare", str(small_run.output), str(small_run.output / "grasps.json")])
    printed = capsys.readouterr().out
    assert "the red box" in printed
    assert "total" in printed
    assert "→" not in printed


@pytest.mark.parametrize("content", ["[]", '{"stages": {"fit": "long"}, "total": 1}', '{"stages": 3}'])
def test_times_that_cannot_be_read_are_reported(small_run, tmp_path: Path, capsys, content: str):
    (tmp_path / "grasps.json").write_text((small_run.output / "grasps.json").read_text())
    (tmp_path / "timings.json").write_text(content)
    with pytest.raises(SystemExit) as exit_info:
        main(["compare", str(tmp_path), str(small_run.output)])
    assert exit_info.value.code == 2
    assert "timings.json" in capsys.readouterr().err


def test_a_folder_without_results_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_info:
        main(["compare", str(tmp_path), str(tmp_path)])
    assert exit_info.value.code == 2
    assert "grasps.json" in capsys.readouterr().err
