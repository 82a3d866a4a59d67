"""The help of every command, advanced options, options from a file, and completion in a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import seconds

from point2act.cli import capture, completion, export, grasp, learn_grasps, run, teach
from point2act.cli.main import COMMANDS, main
from point2act.cli.options import list_options, parse_advanced, parse_user_level
from point2act.core.errors import Point2ActError

KINDS = {"capture": capture.KINDS, "teach": teach.KINDS, "learn-grasps": learn_grasps.KINDS}
WAYS = [
    *(name for name in COMMANDS if name not in KINDS),
    *(f"export {kind}" for kind in export.KINDS),
    *(f"{name} {kind}" for name, kinds in KINDS.items() for kind in kinds),
]


def shown(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    return capsys.readouterr().out


def options_in(text: str) -> set[str]:
    """Options that a help text lists, ``--x`` and ``--no-x`` as one."""
    return set(re.findall(r"^  (?:-h, )?(--(?:\[no-\])?[\w.-]+)", text.replace(".[no-]", "."), re.MULTILINE))


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", ["run", "grasp"])
def test_help_is_short(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = shown(capsys, command, "--help")
    assert len(text.splitlines()) <= 90
    assert len(options_in(text)) <= 45
    groups = ["input", "queries", "model", "gripper and arm", "output", "speed", "every command"]
    assert re.findall(r"^([a-z ]+):$", text, re.MULTILINE) == groups


@pytest.mark.parametrize("command", WAYS)
def test_help_fits_the_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(capsys, *command.split(), "--help")
    assert len(text.splitlines()) <= 90
    lines = [line for line in text.splitlines() if "point2act " not in line and ":" not in line]
    assert max(map(len, lines)) <= 80


def test_the_overview_fits_80_columns(capsys):
    assert max(map(len, shown(capsys, "--help").splitlines())) <= 80


@pytest.mark.parametrize("command", ["run", "grasp"])
def test_help_is_quick(command):
    words = [sys.executable, "-m", "point2act.cli", command, "--help"]

    def processor_time() -> float:
        times = os.times()
        return times.children_user + times.children_system

    quickest = seconds(
        lambda: subprocess.run(words, capture_output=True, check=True), 2, clock=processor_time
    )
    assert quickest < 2


@pytest.mark.parametrize("command", ["run", "grasp"])
def test_all_options_are_shown_once(command, capsys):
    text = shown(capsys, command, "--help-all")
    short = options_in(shown(capsys, command, "--help"))
    everything = options_in(text)
    assert short < everything
    assert len(everything) > 200
    assert text.count("  --gripper TEXT") == 1


def test_user_level_options_have_the_defaults_of_the_configuration():
    for module, path in ((run, ["capture", "--output", "out"]), (grasp, ["--load-config", "out"])):
        arguments, rest = parse_user_level(module.Arguments, path, "run", advanced=module._advanced)
        assert rest == []
        assert module._options(arguments) == module._advanced()()


# ── advanced options ──────────────────────────────────────────────────────────────────────────
def parsed(*argv: str):
    """Return the user-level and the advanced options of ``run``."""
    arguments, rest = parse_user_level(run.Arguments, argv, "run", advanced=run._advanced)
    return arguments, parse_advanced(run._options(arguments), rest, "run")


def test_advanced_options_may_stand_anywhere():
    arguments, options = parsed(
        *("--fit.iterations", "60", "capture", "--output", "out"),
        *("--start.target-count=9", "--holdout_every", "4"),
    )
    assert arguments.input.capture == Path("capture")
    assert options.pipeline.build.fit.iterations == 60
    assert options.pipeline.build.start.target_count == 9
    assert options.pipeline.build.holdout_every == 4


@pytest.mark.parametrize(
    ("option", "hint"),
    [("--griper", "--gripper"), ("--fit.iteration", "--fit.iterations"), ("--qery", "--query")],
)
def test_an_unknown_option_gets_a_suggestion(option, hint, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "capture", "--output", "out", option, "1"])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert f"unknown option {option}: did you mean {hint}" in message
    assert "Traceback" not in message


# ── options from a file ───────────────────────────────────────────────────────────────────────
FILE = """
capture = "table"
query = ["the mug", "the lid"]
gripper = "robotiq_2f85"
max_side = 320
refine_poses = false
seed = 3

[fit]
iterations = 60

[following]
quiet = 2.5
"""


def test_a_file_sets_any_option(tmp_path):
    (tmp_path / "options.toml").write_text(FILE)
    arguments, options = parsed("--config", str(tmp_path / "options.toml"), "--output", "out")
    assert arguments.input.capture == Path("table")
    assert arguments.queries.query == ("the mug", "the lid")
    assert options.pipeline.answer.gripper == "robotiq_2f85"
    assert options.pipeline.max_side == 320
    assert options.pipeline.build.refine_poses is False
    assert options.pipeline.build.fit.iterations == 60
    assert options.following.quiet == 2.5


def test_the_command_line_wins_over_the_file(tmp_path):
    (tmp_path / "options.toml").write_text(FILE)
    argv = ["other", "--output", "out", f"--config={tmp_path / 'options.toml'}", "--query", "the pan"]
    arguments, options = parsed(*argv, "--fit.iterations", "5", "--refine-poses")
    assert arguments.input.capture == Path("other")
    assert arguments.queries.query == ("the pan",)
    assert options.pipeline.build.fit.iterations == 5
    assert options.pipeline.build.refine_poses is True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("griper = 'panda'", "unknown key 'griper': did you mean gripper"),
        ("[fit]\niteration = 3", "unknown key 'fit.iteration': did you mean fit.iterations"),
        ("seed = [1, 2]", "'seed'"),
        ("metric = 'yes'", "'metric'"),
        ("seed = ", "cannot be read as TOML"),
    ],
)
def test_a_file_with_an_error_is_refused(tmp_path, text, words):
    file = tmp_path / "options.toml"
    file.write_text(text)
    with pytest.raises(Point2ActError, match=re.escape(words)) as refused:
        parsed("capture", "--output", "out", "--config", str(file))
    assert str(file) in str(refused.value)


def test_a_missing_file_is_refused():
    with pytest.raises(Point2ActError, match=r"none\.toml"):
        parsed("capture", "--output", "out", "--config", "none.toml")


# ── completion ────────────────────────────────────────────────────────────────────────────────
def completed(script: str, *words: str) -> list[str]:
    """Return what bash proposes for the last word."""
    typed = " ".join(f"'{word}'" for word in words)
    code = (
        f'{script}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _point2act; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands_options_and_values(capsys):
    completion.main(["bash"])
    script = capsys.readouterr().out
    registered = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\ncomplete -p point2act"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert registered.stdout.split() == ["complete", "-o", "default", "-F", "_point2act", "point2act"]
    assert completed(script, "point2act", "ru") == ["run"]
    assert completed(script, "point2act", "run", "--que") == ["--query"]
    assert completed(script, "point2act", "simulate", "--pointing", "") == ["clean", "typical", "hard"]
    assert completed(script, "point2act", "capture", "p") == ["photos", "polycam"]
    assert completed(script, "point2act", "run", "cap") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_every_option(shell, capsys):
    completion.main([shell])
    script = capsys.readouterr().out
    for option in list_options(run.Arguments):
        if not option.positional and "." not in option.path:
            assert option.path in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)
