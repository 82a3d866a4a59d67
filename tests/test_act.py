"""``point2act act``: a task from its sentence to physics, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from PIL import Image

from point2act.acting.execution.run_document import ActDocument
from point2act.cli.act import Arguments
from point2act.simulation.disturbances import DISTURBANCES

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


def test_the_command_has_the_disturbances_of_the_simulator() -> None:
    chosen = get_args(get_type_hints(Arguments)["disturbance"])
    assert chosen == ("none", *DISTURBANCES)


def test_the_executor_may_be_imported_before_the_simulator() -> None:
    """MuJoCo chooses its OpenGL when it is first imported, which mink does too."""
    code = (
        "from point2act.acting.execution.executor import Executor\n"
        "from point2act.core.mujoco_import import mujoco, open_renderer\n"
        "model = mujoco.MjModel.from_xml_string('<mujoco><worldbody/></mujoco>')\n"
        "open_renderer(model, 8, 8).close()\n"
    )
    environment = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "DISPLAY")}
    command = [sys.executable, "-W", "error", "-c", code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
