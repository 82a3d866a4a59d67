"""What the command line writes to standard error: a line for each stage, or JSON, and never a key."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import synthetic
from model_server import ModelServer, after, status
from recalled import Recalled
from small_run import write_capture

from point2act.cli.main import main
from point2act.core.logs import StderrHandler, log_to_stderr, printable
from point2act.core.progress import Stages
from point2act.data.points import read_points

KEY = "p2a-0f9e8d7c6b5a-secret"
STAGE = re.compile(r"([a-z][\w ]*?) +(\d+\.\d) s(?:  (.+))?")
QUICK = ["--fit.iterations", "5", "--start.target-count", "2000", "--seed", "0"]
ODD = os.fsdecode(b"caf\xe9")
"""A name that is not UTF-8."""


def run_main(*arguments: object, code: int | None = None) -> tuple[str, str]:
    """What a command writes to standard output and error, neither of which is a terminal, both ASCII."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with contextlib.nullcontext() if code is None else pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        assert stop is None or stop.value.code == code
    return out.buffer.getvalue().decode("ascii"), err.buffer.getvalue().decode("ascii")


def stages_of(stderr: str) -> list[str]:
    """The logged stages, if nothing else was logged."""
    lines = [STAGE.fullmatch(line) for line in stderr.splitlines()]
    assert all(lines), stderr
    return [line[1] for line in lines if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A capture in a folder with an umlaut, in which no view shows a unicorn, and the answers of a model."""
    folder = write_capture(tmp_path_factory.mktemp("logs") / "Küche")
    (folder / "points.json").rename(folder.parent / "truth.json")
    document = json.loads((folder.parent / "truth.json").read_text())
    document["queries"] = document["queries"][1:]
    document["answers"] = [answer for answer in document["answers"] if answer["query"] == "unicorn"]
    (folder / "points.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def finished(folder) -> tuple[Path, str, str]:
    """A run and its output."""
    output = folder.parent / ODD
    return output, *run_main("run", folder, "--output", output, *QUICK)


@pytest.fixture(scope="module")
def truth(folder) -> Recalled:
    return Recalled(folder.parent / "truth.json", folder, "qwen3_vl")


def model_options(server: ModelServer, cache: Path, query: str = "the red box") -> list[object]:
    return ["--model", "qwen3_vl_8b", "--server", server.url, "--cache", cache, "--query", query]


# ── a line for each stage ──────────────────────────────────────────────────────────────────────
def test_a_run_logs_each_stage_in_a_line_and_nothing_else(finished):
    output, out, err = finished
    timings = json.loads((output / "timings.json").read_text())["stages"]
    assert stages_of(err) == list(timings)
    assert "caf\\udce9" in out
    assert "\x1b" not in out + err


def test_a_finished_run_queried_again_logs_each_stage(finished, tmp_path):
    output = finished[0]
    _, err = run_main("grasp", "--load-config", output, "--output", tmp_path / "grasps.json", "--no-report")
    assert stages_of(err) == [
        "read the run",
        "render the views",
        "localize the queries",
        "find the grasps",
    ]


def test_check_logs_each_stage_and_quiet_none(folder):
    out, err = run_main("check", folder)
    assert stages_of(err) == ["load the images", "check the capture"]
    assert run_main("--quiet", "check", folder) == (out, "")


def test_asking_logs_how_many_were_asked_and_what_failed(folder, truth, tmp_path):
    points = tmp_path / "points.json"
    with ModelServer(truth, lambda _, earlier: status(400) if len(server.requests) == 1 else None) as server:
        _, err = run_main("ask", folder, "--output", points, *model_options(server, tmp_path))
    stage, trouble = err.splitlines()
    assert STAGE.fullmatch(stage)[3] == "9 asked, 0 cached, 1 failed"
    assert trouble.startswith("point2act: warning: not answered, images/")
    with ModelServer(truth) as server:
        _, err = run_main("ask", folder, "--output", points, *model_options(server, tmp_path), "--quiet")
    assert err == ""


def test_verbose_logs_requests_and_the_machine(folder, truth, tmp_path):
    with ModelServer(truth, lambda *_: after(0.01)) as server:
        _, err = run_main(
            "ask", folder, "--output", tmp_path / "p", *model_options(server, tmp_path / "c"), "--verbose"
        )
        asked = re.findall(r"images/\d+.png \(128x96\), try 1, .* s: answered, 1000 tokens read", err)
        assert len(asked) == 10
        assert f"{server.url}, Qwen/Qwen3-VL-8B-Instruct" in err
        assert "base64" not in err
        assert "Python 3." in err
        _, err = run_main(
            "ask", folder, "--output", tmp_path / "p", *model_options(server, tmp_path / "c"), "--verbose"
        )
        assert len(re.findall(r"images/\d+.png \(128x96\): cached", err)) == 10


def test_verbose_and_quiet_contradict_each_other(tmp_path):
    _, err = run_main("check", tmp_path, "--quiet", "--verbose", code=2)
    assert err == "point2act: do not combine --verbose with --quiet\n"


# ── JSON ───────────────────────────────────────────────────────────────────────────────────────
def test_each_line_is_an_object(folder):
    _, err = run_main("check", folder, "--json-log", "--verbose")
    records = [json.loads(line) for line in err.splitlines()]
    for record in records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
        assert record["level"] in ("debug", "info")
        assert record["logger"].startswith("point2act")
    ends = [record for record in records if "stage" in record]
    assert [end["stage"] for end in ends] == ["load the images", "check the capture"]
    assert all(end["seconds"] >= 0 and end["level"] == "info" for end in ends)
    assert ends[0]["total"] == 10


def test_the_error_is_an_object_too(tmp_path):
    _, err = run_main("check", tmp_path / ODD, "--json-log", code=2)
    error = json.loads(err)
    assert error["level"] == "error"
    assert "transforms.json" in error["message"]


def test_what_others_print_becomes_objects():
    _, err = run_main("check", "--json-log", code=2)
    records = [json.loads(line) for line in err.splitlines()]
    assert any("point2act check --help" in record["message"] for record in records)
    assert all(re.match(r"\w", record["message"]) for record in records)


def test_a_crash_in_a_thread_is_an_object(capsys):
    with log_to_stderr(json_log=True):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    error = json.loads(capsys.readouterr().err)
    assert error["message"] == "stopped by ZeroDivisionError: division by zero"
    assert error["traceback"].startswith("Traceback")


def test_fields_are_json_whatever_they_are(capsys):
    with log_to_stderr(json_log=True):
        extra = {"nan": float("nan"), "path": Path("x"), "many": 3, "odd": ODD}
        logging.getLogger("point2act.test").info("%s\n%s", "two", "lines", extra=extra)
    record = json.loads(capsys.readouterr().err)
    assert record["message"] == "two lines"
    assert (record["nan"], record["path"], record["many"], record["odd"]) == ("nan", "x", 3, "caf\\udce9")


# ── keys ───────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("style", [[], ["--json-log"]])
def test_the_key_is_nowhere(style, folder, truth, tmp_path, monkeypatch):
    """The server echoes it in refusals and in answers."""
    monkeypatch.setenv("POINT2ACT_API_KEY", KEY)
    refusal = status(401, {"error": {"message": f"Incorrect API key provided: {KEY}, Bearer {KEY}"}})
    everywhere = ["--ask", "all", *QUICK]
    options = ["--output", tmp_path / "out", "--verbose", "--debug", *style, *everywhere]
    if style:
        options = ["--output", tmp_path / "out" / "points.json", *options[2 : -len(everywhere)]]
    command = "ask" if style else "run"
    with ModelServer(
        lambda request: f"{KEY} {truth(request)}",
        lambda *_: refusal if len(server.requests) == 1 else None,
    ) as server:
        out, err = run_main(
            command, folder, *options, *model_options(server, tmp_path / "cache", "the unicorn")
        )
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "401" in err
    assert "(hidden key)" in err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"points.json"} <= {path.name for path in written}
    assert len([path for path in written if "cache" in path.parts]) == 9
    for text in (out.encode(), err.encode(), *(path.read_bytes() for path in written)):
        assert KEY.encode() not in text
        assert KEY[4:16].encode() not in text
    assert "(hidden key)" in read_points(tmp_path / "out" / "points.json").answers[0].raw


LEAKS = {
    "a header": {"Authorization": f"Bearer {KEY}"},
    "another header": "authorization: Basic dXNlcjpwYXNzd29yZA",
    "a field": "Client(api_key='dXNlcjpwYXNzd29yZA')",
    "as OpenAI writes it": "sk-dXNlcjpwYXNzd29yZA",
    "of another service": KEY,
}


@pytest.mark.parametrize("name", LEAKS)
def test_other_libraries_leak_no_key(name, capsys, monkeypatch):
    monkeypatch.setenv("SOME_OTHER_TOKEN", KEY)
    log = logging.getLogger("another.library")
    with log_to_stderr(verbose=True):
        log.info("sent %s", LEAKS[name])
        try:
            raise ValueError(f"not taken: {LEAKS[name]}")
        except ValueError:
            log.exception("failed")
    err = capsys.readouterr().err
    assert err.count("(hidden key)") >= 2
    assert "Traceback" in err
    assert KEY not in err
    assert "dXNlcjpw" not in err


def test_an_exception_that_is_not_caught_shows_no_key(tmp_path):
    code = (
        "import sys; from point2act.core.logs import log_to_stderr\n"
        "with log_to_stderr(json_log='json' in sys.argv):\n"
        "    raise RuntimeError('refused: ' + sys.argv[1])"
    )
    for style in ("lines", "json"):
        command = [sys.executable, "-c", code, KEY, style]
        environment = os.environ | {"POINT2ACT_API_KEY": KEY}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 1
        assert "refused: (hidden key)" in done.stderr
        assert "Traceback" in done.stderr
        assert KEY not in done.stderr


def test_words_stay_what_they_are(capsys):
    with log_to_stderr():
        logging.getLogger("point2act.test").info("masks/mask-0001.png, 12 tokens, disk-shaped **bold**")
    assert capsys.readouterr().err == "masks/mask-0001.png, 12 tokens, disk-shaped **bold**\n"


def test_pictures_are_not_logged(capsys):
    with log_to_stderr():
        logging.getLogger("openai").warning("sent %s", {"url": "data:image/jpeg;base64," + "A" * 1000})
    assert capsys.readouterr().err == "openai: warning: sent {'url': 'data:image/jpeg;base64,…'}\n"


# ── terminals ──────────────────────────────────────────────────────────────────────────────────
class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(monkeypatch, **how) -> str:
    """What a terminal gets to see of a stage, a remark and a warning."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with log_to_stderr(**how):
        stages = Stages(show=True)
        with stages.stage("look") as bar:
            bar(3, 3)
            bar.note("at [red]all")
            logging.getLogger("point2act.test").warning("a step was skipped")
        stages.info("a remark [/b] \x1b[31m :mug:")
        stages.warn("it went badly")
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", terminal.getvalue())


def test_a_terminal_gets_bars_and_everything_once(monkeypatch):
    seen = drawn(monkeypatch)
    assert re.search(r"look +━+ 3/3 .* at \[red\]all", seen)
    for words in ("a step was skipped", r"a remark [/b] \x1b[31m :mug:", "it went badly"):
        assert seen.count(words) == 1


def test_a_terminal_gets_no_bars_where_they_are_not_wanted(monkeypatch):
    assert drawn(monkeypatch, quiet=True).splitlines() == [
        "point2act: warning: a step was skipped",
        "point2act: warning: it went badly",
    ]
    records = [json.loads(line) for line in drawn(monkeypatch, json_log=True).splitlines()]
    assert [record.get("stage") for record in records] == [None, "look", None]


def test_text_from_outside_is_harmless():
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\u202ec\\nd"
    assert printable("Küche 東京 “x”") == "Küche 東京 “x”"
    assert printable(ODD) == "caf\\udce9"


@pytest.mark.parametrize("name", ["Küche", ODD])
def test_any_name_of_a_folder_can_be_logged(name, tmp_path):
    synthetic.write_capture_files(tmp_path / name, synthetic.views(3))
    (tmp_path / name / "transforms.json").rename(tmp_path / name / "other.json")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    for there, code in (("other.json", 1), ("nothing.json", 2)):
        command = [sys.executable, "-m", "point2act.cli", "check", str(tmp_path / name / there)]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert b"Traceback" not in done.stderr
        assert (done.stdout + done.stderr).isascii()
        assert done.returncode == code
        assert (ascii(name)[1:-1].encode() in done.stderr) == (code == 2)


def test_a_reader_who_has_read_enough_is_no_error():
    command = [sys.executable, "-m", "point2act.cli", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141


# ── as a library ───────────────────────────────────────────────────────────────────────────────
def test_a_command_leaves_logging_as_it_was(tmp_path):
    def state():
        root, package = logging.getLogger(), logging.getLogger("point2act")
        return root.level, root.handlers[:], package.level, sys.stderr, warnings.showwarning

    before = state()
    run_main("check", tmp_path, "--json-log", "--verbose", code=2)
    assert state() == before
    assert not any(isinstance(handler, StderrHandler) for handler in before[1])


def test_a_library_is_silent_until_it_is_asked(capsys, caplog):
    stages = Stages(show=False)
    with stages.stage("look"):
        stages.warn("it went badly")
    assert capsys.readouterr().err == ""
    caplog.set_level(logging.DEBUG)
    with stages.stage("look"):
        pass
    assert re.fullmatch(r"look: 0\.0 s", caplog.messages[-1])


def test_what_python_warns_of_is_a_line(capsys):
    with log_to_stderr(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("old\nways", DeprecationWarning, "x.py", 3)
    assert capsys.readouterr().err == "py: warning: old ways (DeprecationWarning, x.py:3)\n"
