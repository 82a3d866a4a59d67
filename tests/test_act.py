"""``point2act act``: a task from its sentence to physics, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from point2act.acting.execution.run_document import ActDocument

pytest.importorskip("ruckig")
pytest.importorskip("mink")


def _act(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "point2act.cli", "act", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.full
def test_a_button_is_pressed_and_the_time_line_is_written(tmp_path: Path) -> None:
    ended = _act("press_button", "--film", "act.webp", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    document = ActDocument.model_validate(json.loads((tmp_path / "act.json").read_text()))
    assert document.succeeded
    assert [entry.kind for entry in document.events if entry.detail == "press it"] == ["stage", "done"]
    with Image.open(tmp_path / "act.webp") as film:
        assert getattr(film, "n_frames", 1) > 10


def test_an_unknown_task_is_an_error_with_what_there_is(tmp_path: Path) -> None:
    ended = _act("make_coffee", folder=tmp_path)
    assert ended.returncode == 2
    assert "make_coffee" in ended.stderr
    assert "press_button" in ended.stderr
    assert not list(tmp_path.iterdir())
