"""``ask``, ``plan``, ``run`` and ``grasp`` with a model that a server over loopback plays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from model_server import ModelServer, prompt, stall
from recalled import Recalled
from small_run import RED, write_capture

from point2act.cli.main import main
from point2act.data.capture import read_capture
from point2act.data.capture.view_selection import select_views
from point2act.data.points import read_points
from point2act.grasping.grasps_json import read_grasps

TASK = "bring me what is red"
STEPS = [
    {
        "action": "pick up the red box",
        "targets": [{"object": "red box", "part": None, "role": "grasp", "reason": "It alone is red."}],
    }
]
QUICK = ["--fit.iterations", "40", "--start.target-count", "5000"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A capture without answers, and beside it what the model would point at."""
    folder = write_capture(tmp_path_factory.mktemp("capture"))
    (folder / "points.json").rename(folder.parent / "truth.json")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    point = Recalled(folder.parent / "truth.json", folder, "qwen3_vl")

    def answer(request):
        if TASK in prompt(request):
            return f"```json\n{json.dumps({'steps': STEPS})}\n```"
        return point(request)

    with ModelServer(answer) as running:
        yield running


@pytest.fixture(scope="module")
def asked(server, tmp_path_factory):
    """The options that name the model; replies are remembered for all tests here."""
    cache = tmp_path_factory.mktemp("replies")
    return ["--model", "qwen3_vl_8b", "--server", server.url, "--cache", str(cache)]


def test_an_instruction_becomes_a_plan_points_and_grasps(folder, server, asked, tmp_path, capsys):
    plan, points, out = tmp_path / "plan.json", tmp_path / "points.json", tmp_path / "out"
    main(["plan", TASK, "--capture", str(folder), "--output", str(plan), *asked])
    assert "pick up the red box" in capsys.readouterr().out
    main(["ask", str(folder), "--points", str(plan), "--output", str(points), *asked])
    answered = read_points(points, read_capture(folder))
    assert answered.plan is not None
    assert answered.plan.instruction == TASK
    assert [query.text for query in answered.queries] == ["the red box"]
    assert len(answered.answers) == 10
    assert {answer.model for answer in answered.answers} == {"Qwen/Qwen3-VL-8B-Instruct"}
    before = len(server.requests)
    main(["run", str(folder), "--output", str(out), "--task", TASK, "--ask", "all", *QUICK, *asked])
    assert len(server.requests) == before  # all of it was answered before
    document = read_grasps(out / "grasps.json")
    assert document["plan"]["steps"][0]["targets"][0]["reason"] == "It alone is red."
    assert np.linalg.norm(np.array(document["results"][0]["action_point"]) - RED) < 0.03
    assert "It alone is red." in (out / "report.html").read_text(encoding="utf-8")


def test_a_saved_scene_is_asked_something_new(folder, server, asked, tmp_path):
    main(["run", str(folder), "--output", str(tmp_path / "out"), *QUICK])
    grasps = tmp_path / "new" / "grasps.json"
    run = str(tmp_path / "out")
    main(
        [
            "grasp",
            "--load-config",
            run,
            "--query",
            "the red box",
            "--output",
            str(grasps),
            "--no-report",
            "--ask",
            "all",
            *asked,
        ]
    )
    assert read_grasps(grasps)["results"][0]["query"]["text"] == "the red box"
    assert len(read_points(grasps.with_name("points.json")).answers) == 10


def test_of_many_images_some_are_asked_about(folder, asked, tmp_path, capsys):
    """And they are those that a run with as many views uses."""
    points = tmp_path / "points.json"
    few = ["--max-views", "4"]
    main(["ask", str(folder), "--query", "the red box", "--output", str(points), *few, *asked])
    capture = read_capture(folder)
    about = [answer.image for answer in read_points(points, capture).answers]
    assert about == [frame.name for frame in select_views(capture.frames, 4)]
    assert "images: 4 of 10, spread over viewpoints (--max-views 10: all)" in capsys.readouterr().out


def test_points_that_are_there_are_not_overwritten(folder, asked, tmp_path, capsys):
    copy = write_capture(tmp_path / "capture")
    with pytest.raises(SystemExit) as left:
        main(["ask", str(copy), "--query", "the red box", *asked])
    assert left.value.code == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "--query"),
        (["--query", "x", "--points", "y.json"], "--query"),
        (["--query", " "], "empty"),
        (["--query", "x", "--task", "y"], "--task"),
        (["--query", "x", "--model", "no-such-model"], "no-such-model"),
    ],
)
def test_what_is_unclear_is_one_sentence(options, says, folder, asked, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["ask", str(folder), "--output", str(tmp_path / "points.json"), *asked, *options])
    assert left.value.code == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "points.json").exists()


@pytest.mark.parametrize("options", [["--query", "x"], ["--follow"]])
def test_a_run_takes_points_or_questions(options, folder, tmp_path, capsys):
    points = str(folder.parent / "truth.json")
    with pytest.raises(SystemExit) as left:
        main(["run", str(folder), "--output", str(tmp_path / "out"), "--points", points, *options])
    assert left.value.code == 2
    assert "--points" in capsys.readouterr().err


def test_choosing_needs_a_model(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["run", str(folder), "--output", str(tmp_path / "out"), "--choose"])
    assert left.value.code == 2
    assert "--model" in capsys.readouterr().err


def test_interrupted_it_stops_at_once_although_the_server_stalls(folder, tmp_path):
    """Ctrl-C while eight questions hang: no waiting for their time-outs, and nothing is written."""
    with ModelServer(lambda request: "", lambda request, earlier: stall) as silent:
        command = [sys.executable, "-m", "point2act.cli", "ask", str(folder), "--query", "the red box"]
        command += [
            "--model",
            "qwen3_vl_8b",
            "--server",
            silent.url,
            "--output",
            str(tmp_path / "points.json"),
        ]
        with subprocess.Popen([*command, "--cache", str(tmp_path)], stderr=subprocess.DEVNULL) as running:
            while silent.in_flight < 8:
                assert running.poll() is None
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=10) == 130
    assert not (tmp_path / "points.json").exists()
