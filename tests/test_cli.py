"""The command line as a person meets it: in a subprocess where that matters, else in this process."""

import gc
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from contextlib import suppress

import numpy as np
import pytest
from patience import seconds
from PIL import Image

from point2act.cli.main import COMMANDS, EVERYWHERE, main
from point2act.core.errors import CaptureError


def point2act(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "point2act.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def refuses(capsys):
    """Exit code 2 and, after the stages, one sentence on standard error that names the trouble."""

    def check(*arguments: object, says: str) -> None:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert stop.value.code == 2
        assert_one_sentence(capsys.readouterr().err, says)

    return check


def assert_one_sentence(stderr: str, says: str) -> None:
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if not re.match(r"[a-z ]{24} +[0-9.]+ s", line)]
    assert len(lines) == 1
    assert lines[0].startswith("point2act: ")
    assert says in lines[0]


def test_help_lists_the_commands_and_is_quick():
    runs: list[subprocess.CompletedProcess[str]] = []
    assert seconds(lambda: runs.append(point2act("--help")), 2) < 2
    run = runs[0]
    assert run.returncode == 0
    assert all(f"\n  {name} " in run.stdout for name in COMMANDS)
    assert all(f" COMMAND {flag} " in run.stdout for flag in EVERYWHERE)


def test_help_shows_commands_that_can_be_typed(capsys):
    def shown(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main([*arguments, "--help"])
        return capsys.readouterr().out

    typed = re.findall(r"^  point2act (\w+) (.*?)(?:   .*)?$", shown(), re.MULTILINE)
    assert {name for name, _ in typed} == {"capture", "run", "simulate", "view", "COMMAND"}
    for name, words in typed:
        kind = words.split()[:1] if name == "capture" else []
        known = (
            " ".join(["--help", "--help-all", "--config", *EVERYWHERE])
            if name == "COMMAND"
            else shown(name, *kind)
        )
        assert set(re.findall(r"--[\w-]+", words)) <= set(re.findall(r"--[\w-]+", known))


def loaded_after(code: str, names: str) -> list[str]:
    """Which of some libraries a fresh interpreter has loaded after running code."""
    code = f"import sys\n{code}\nprint(*(name for name in {names.split()!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1].split()


def test_the_package_imports_no_library():
    heavy = (
        "torch nerfstudio numba open3d mujoco pycolmap scipy numpy PIL matplotlib cv2 jsonschema tyro rich"
    )
    assert loaded_after("import point2act, point2act.cli.main", heavy) == []


def test_explaining_run_loads_nothing_that_only_running_needs():
    code = (
        "from contextlib import redirect_stdout, suppress\n"
        "import io, point2act.cli.main\n"
        "with suppress(SystemExit), redirect_stdout(io.StringIO()):\n"
        "    point2act.cli.main.main(['run', '--help'])"
    )
    only_running = "torch numba transformers open3d pycolmap nerfstudio mujoco matplotlib jsonschema cv2"
    assert loaded_after(code, only_running) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    run = point2act(command, "--help")
    assert run.returncode == 0, run.stderr
    assert "usage: point2act" in run.stdout
    assert all(f"\n  {flag} " in run.stdout for flag in EVERYWHERE)


def test_commands_in_one_process_leave_it_as_it_was(capsys):
    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        hooks = sys.excepthook, threading.excepthook, warnings.showwarning, gc.isenabled()
        return *hooks, tuple(root.handlers), root.level, sys.stdout.errors, gc.get_freeze_count()

    before = state()
    for arguments in (["gripper", "tongs"], ["run", "--griper"], ["--version"], ["run", "--help"]) * 2:
        with suppress(SystemExit):
            main([*arguments, "--verbose"])
    capsys.readouterr()
    assert state() == before


def test_a_wrong_command_lists_the_right_ones(refuses):
    commands = "run, ask, batch, plan, grasp, grasp-image, track, act, view, bench-model, teach, learn-grasps"
    refuses("grab", says=commands)


def test_no_transforms(tmp_path):
    run = point2act("run", tmp_path, "--output", tmp_path / "out")
    assert run.returncode == 2
    assert_one_sentence(run.stderr, "transforms.json")
    assert not (tmp_path / "out").exists()


def test_debug_lets_the_error_through(tmp_path):
    with pytest.raises(CaptureError):
        main(["run", str(tmp_path), "--output", str(tmp_path / "out"), "--debug"])


def edit(path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


POINTS = {
    "version": 1,
    "queries": [{"name": "red", "text": "the red box", "role": "grasp"}],
    "answers": [{"image": "images/0000.png", "query": "red", "points": [[30.0, 20.0]], "visible": True}],
}


def truncate(folder):
    path = folder / "images/0003.png"
    path.write_bytes(path.read_bytes()[:300])


def shrink_depth(folder):
    Image.fromarray(np.zeros((7, 11), np.uint16)).save(folder / "depth/0002.png")


def flatten_pose(folder):
    flat = np.zeros((4, 4)).tolist()
    edit(folder / "transforms.json", lambda d: d["frames"][1].update(transform_matrix=flat))


def point_outside(folder):
    edit(folder / "points.json", lambda d: d["answers"][0].update(points=[[5000.0, 20.0]]))


def unknown_query(folder):
    edit(folder / "points.json", lambda d: d["answers"][0].update(query="blue"))


def empty_image(folder):
    (folder / "images/0001.png").write_bytes(b"")


def lose_depth(folder):
    (folder / "depth/0004.png").unlink()


BAD = {
    "truncated image": (truncate, "0003.png"),
    "empty image": (empty_image, "0001.png"),
    "depth of another size": (shrink_depth, "0002.png"),
    "missing depth": (lose_depth, "0004.png"),
    "singular pose": (flatten_pose, "transforms.json"),
    "not JSON": (lambda folder: (folder / "transforms.json").write_text("{frames: "), "transforms.json"),
    "points not JSON": (lambda folder: (folder / "points.json").write_text("]"), "points.json"),
    "point outside the image": (point_outside, "points.json"),
    "unknown query": (unknown_query, "blue"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(name, small_capture, tmp_path, refuses):
    (small_capture / "points.json").write_text(json.dumps(POINTS))
    spoil, says = BAD[name]
    spoil(small_capture)
    refuses("run", small_capture, "--output", tmp_path / "out", says=says)
    assert not (tmp_path / "out").exists()


def test_an_unknown_gripper_lists_the_shipped_ones(small_capture, tmp_path, refuses):
    refuses("run", small_capture, "--output", tmp_path / "out", "--gripper", "tongs", says="panda")


@pytest.mark.filterwarnings("ignore")  # importing nerfstudio warns
def test_a_run_that_is_not_there(tmp_path, refuses):
    missing = tmp_path / "config.yml"
    refuses("grasp", "--load-config", missing, "--output", tmp_path / "g.json", says="config.yml")


def test_simulate_without_anything_to_do(refuses):
    refuses("simulate", says="--output")


def test_trying_grasps_that_are_not_there(tmp_path, refuses):
    refuses("simulate", "--try", tmp_path / "grasps.json", says="grasps.json")
