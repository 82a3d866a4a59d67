"""``point2act act``: a task from its sentence to physics, in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

from point2act.acting.execution.run_document import ActDocument
from point2act.cli.act import Arguments
from point2act.cli.main import main
from point2act.data.points import read_points, write_points
from point2act.simulation.disturbances import DISTURBANCES
from point2act.simulation.record import CaptureConfig, capture_scene
from point2act.simulation.task import load_task

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


SIMULATED = """
from point2act.acting.execution.simulated_robot import SimulatedRobot
from point2act.grasping.grippers import load_gripper
from point2act.grasping.reachability.arm import load_arm
from point2act.simulation.task import load_task

def make():
    return SimulatedRobot(load_task("press_button", 0).scene, load_arm("panda", load_gripper("panda")))
"""


@pytest.mark.full
def test_a_robot_of_ones_own_carries_out_the_plan_of_a_capture(tmp_path: Path) -> None:
    task = load_task("press_button", 0)
    capture_scene(task.scene, tmp_path / "table", CaptureConfig(), np.random.default_rng([0, 1]))
    path = tmp_path / "table" / "points.json"
    write_points(path, replace(read_points(path), plan=task.plan))
    (tmp_path / "own.py").write_text(SIMULATED)
    ended = _act("table", "--robot", "own:make", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "done: the plan is done" in ended.stdout
    document = ActDocument.model_validate(json.loads((tmp_path / "act.json").read_text()))
    assert (document.task, document.instruction) == ("table", "Press the red button.")
    assert document.succeeded
    assert document.conditions == []
    assert [entry.kind for entry in document.events if entry.detail == "press it"] == ["stage", "done"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["table", "--robot", "own:make", "--film", "a.webp"], "--film is for the simulator"),
        (
            ["table", "--robot", "own:make", "--disturbance", "pushed"],
            "--disturbance is for the simulator: leave it out with --robot own:make",
        ),
        (["press_button", "--robot", "own:make"], "press_button is not a folder: with --robot"),
    ],
)
def test_what_does_not_fit_a_robot_of_ones_own_is_one_sentence(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["act", *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
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
