"""``point2act act TASK --model``: from a sentence, by the replies of a model, to what physics says is done.

The model is a server with recorded replies to the two planning prompts. It points at what has the colour of
the button: it sees the images that it is sent, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_server import ModelServer, decode_image, prompt

from point2act.acting.execution.run_document import ActDocument
from point2act.cli.main import main
from point2act.vlm.pointing.task_planner import scene_sentence

pytest.importorskip("ruckig")
pytest.importorskip("mink")

PLAN = {
    "steps": [
        {
            "action": "hold the closed gripper above the red button",
            "targets": [
                {"object": "red button", "part": None, "role": "place", "reason": "It is to be pressed."}
            ],
        },
        {"action": "press the red button down", "targets": []},
        {"action": "withdraw the gripper upward", "targets": []},
    ]
}
CLOSED = {"kind": "gripper_width", "width": 0.0, "when": "path"}
DOWNWARD = {
    "kind": "axis_to_axis",
    "axis": "gripper.approach",
    "target": "world.up",
    "angle": np.pi,
    "tolerance": 0.05,
}


def over(height: float) -> dict[str, Any]:
    return {
        "kind": "above",
        "point": "gripper.center",
        "target": "red_button.top",
        "min_height": height,
        "radius": 0.01,
    }


PRESSED = {"point": "gripper.center", "target": "red_button.top", "distance": -0.008}
CONSTRAINTS = {
    "steps": [
        {"constraints": [over(0.05), DOWNWARD, CLOSED]},
        {
            "constraints": [
                {"kind": "line_path", "when": "path", **PRESSED},
                {"kind": "point_to_point", **PRESSED},
                CLOSED,
            ]
        },
        {"constraints": [over(0.08), CLOSED]},
    ]
}
WRONG = {"steps": [{"constraints": [{**CLOSED, "kind": "hope"}]}] * 3}


class Recorded:
    """Replies to the planning prompts in turn, and points of the color of the button."""

    def __init__(self, *planning: object) -> None:
        self.planning: list[object] = list(planning)

    def __call__(self, request: dict[str, Any]) -> str:
        words = prompt(request)
        if scene_sentence(4) in words:
            return json.dumps(self.planning.pop(0))
        assert "red button" in words
        return self.point(decode_image(request).astype(float))

    @staticmethod
    def point(image: np.ndarray) -> str:
        red, green, blue = np.moveaxis(image, -1, 0)
        rows, columns = np.nonzero((red > 90) & (red > 2.2 * green) & (red > 2.2 * blue))
        if len(rows) < 20:
            return "[]"
        x, y = (
            round(1000 * (float(np.median(along)) + 0.5) / size)
            for along, size in ((columns, image.shape[1]), (rows, image.shape[0]))
        )
        return json.dumps([{"point_2d": [x, y], "label": "target"}])


def act(server: ModelServer, folder: Path, more: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    model = ["--model", "qwen3_vl_8b", "--server", server.url, "--cache", str(folder / "replies")]
    command = [sys.executable, "-m", "point2act.cli", "act", "press_button", *model, *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.full
@pytest.mark.slow
def test_recorded_replies_press_a_button(tmp_path: Path):
    """The first reply with constraints is of no use: the model is shown why, and asked again."""
    replies = Recorded(PLAN, WRONG, CONSTRAINTS)
    with ModelServer(replies) as server:
        ended = act(server, tmp_path, ["--instruction", "Ring the red bell push, please."])
    assert ended.returncode == 0, ended.stderr
    assert not replies.planning
    document = ActDocument.model_validate(json.loads((tmp_path / "act.json").read_text()))
    assert document.succeeded, document.reason
    assert document.instruction == "Ring the red bell push, please."
    assert [entry.kind for entry in document.events if entry.detail == "press the red button down"] == [
        "stage",
        "done",
    ]


@pytest.mark.full
@pytest.mark.slow
def test_a_plan_that_stays_wrong_is_one_sentence_and_nothing_moves(tmp_path: Path):
    with ModelServer(Recorded(PLAN, WRONG, WRONG, WRONG)) as server:
        ended = act(server, tmp_path)
    assert ended.returncode == 2
    assert "no usable constraints" in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "act.json").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--instruction", "Press it."], "--instruction is planned by a model: name it with --model"),
        (
            ["--model", "qwen3_vl_8b", "--disturbance", "wrong_first_answer"],
            "is for simulated answers: leave out --model",
        ),
        (["--robot", "own:make", "--instruction", "Press it."], "--instruction is for the simulator"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    arguments: list[str], complaint: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["act", "press_button", *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert not list(tmp_path.iterdir())
