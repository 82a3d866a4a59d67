"""Captures that are still being made: grasps soon after the last image, and nothing lost in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import synthetic
from small_run import QUICK, RED, write_answers
from test_pointing import Scripted

import point2act
from point2act.core.errors import CaptureError, ModelError
from point2act.core.geometry import project
from point2act.core.open3d_import import open3d
from point2act.core.progress import Stages
from point2act.core.types import Query
from point2act.data.capture import CaptureWriter, load_views, read_capture, write_capture
from point2act.data.view_loader import ViewLoader
from point2act.pipeline.stream import CaptureFollower, FollowConfig
from point2act.splatting.incremental import IncrementalConfig
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.point import PointerReply

HERE = Path(__file__).resolve().parent
GROW = IncrementalConfig(initial_views=6, steps=20, count_fraction=0.75)
SOON = FollowConfig(quiet=1.0, start=20.0)
# For captures that say when they are complete: on a busy machine the next image may take seconds.
PATIENT = FollowConfig(quiet=60.0, start=60.0)


def pictures(count=10):
    return synthetic.views(count, height=96, width=128)


@contextmanager
def robot(folder, views, *, pause):
    """Writes a capture from a thread while the block runs; waits for it in the end."""

    def write():
        with CaptureWriter(folder) as writer:
            for view in views:
                time.sleep(pause)
                writer.add(view)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def pointer(views, **how):
    """Points at the top of the red box, wherever it is asked."""
    known = {f"{view.name.removesuffix('.png')}.png": view for view in views}

    def point(query, image, crop):
        view = known[image]
        return PointerReply(crop.from_disk(project(view.camera, view.T_world_cam, RED[None])[0]))

    return Scripted(point, **how)


def test_views_arrive_each_once_and_in_order(tmp_path):
    views, seen = pictures(6), []
    with (
        robot(tmp_path / "live", views, pause=0.05),
        CaptureFollower(tmp_path / "live", ViewLoader()) as follower,
    ):
        follower.start(lambda frames: seen.extend(frame.name for frame in frames))
        batches = [batch for _, batch in follower.arrivals(Stages(show=False))]
    assert [view.name for batch in batches for view in batch] == seen
    assert [view.name for view in follower.views] == seen
    assert len(seen) == 6
    for ours, theirs in zip(follower.views, load_views(read_capture(tmp_path / "live")), strict=True):
        assert np.array_equal(ours.rgb, theirs.rgb)
        assert np.array_equal(ours.depth, theirs.depth)


def test_what_goes_wrong_while_watching_is_raised_where_the_work_is(tmp_path):
    with CaptureFollower(tmp_path / "nothing", ViewLoader(), config=FollowConfig(start=0.1)) as follower:
        follower.start(lambda frames: None)
        with pytest.raises(CaptureError, match="nothing"):
            list(follower.arrivals(Stages(show=False)))


def test_grasps_from_a_capture_that_grows(tmp_path):
    """The same place as from the finished capture, every view asked once, all files written."""
    views = pictures()
    asker = pointer(views, delay=0.05)
    questions = Questions((Query("red", "the red box"),), asker, 1280)
    with robot(tmp_path / "live", views, pause=0.1):
        followed = point2act.follow(
            tmp_path / "live",
            tmp_path / "out",
            questions=questions,
            config=QUICK,
            following=PATIENT,
            grow=GROW,
        )
    assert len(asker.asked) == len(set(asker.asked)) == len(views)
    (red,) = followed.results
    assert red.region is not None
    assert np.linalg.norm(red.region.action_point - RED) < 0.03
    assert red.grasps
    again = point2act.run(tmp_path / "live", questions=questions, config=QUICK)
    assert np.linalg.norm(again.results[0].region.action_point - red.region.action_point) < 0.02
    # The one made at once has images of half the size first, which cost an extended scene quality.
    assert followed.psnr > again.psnr - 1.5
    for name in ("grasps.json", "points.json", "report.html", "run.json", "scene.ply"):
        assert (tmp_path / "out" / name).is_file()
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "images arrive" in report
    assert "the model answers" in report


def test_a_capture_that_grows_is_asked_adaptively(tmp_path):
    """Few views while images arrive, the rest once the scene is made, and only until the query is sure."""
    open3d()  # Filters of warnings are no thread's own: imported while others run, its warning is an error.
    views = pictures()
    asker = pointer(views)
    questions = Questions((Query("red", "the red box", "avoid"),), asker, 1280)
    with robot(tmp_path / "live", views, pause=0.05):
        followed = point2act.follow(
            tmp_path / "live",
            questions=questions,
            adaptive=point2act.AdaptiveConfig(),
            config=QUICK,
            following=PATIENT,
            grow=GROW,
        )
    (red,) = followed.results
    assert np.linalg.norm(red.region.action_point - RED) < 0.03
    assert red.confidence > 0.9
    assert followed.points is not None
    assert 3 <= len(followed.points.answers) < len(views)


def test_a_capture_that_is_never_marked_complete_ends_when_it_is_quiet(tmp_path):
    views = pictures(9)
    write_capture(tmp_path / "theirs", views)
    path = tmp_path / "theirs" / "transforms.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["complete"]
    path.write_text(json.dumps(document), encoding="utf-8")
    write_answers(tmp_path / "theirs", [*views, *pictures(10)][:10], RED)
    result = point2act.follow(tmp_path / "theirs", config=QUICK, following=SOON, grow=GROW)
    assert result.results[0].region is not None  # by the points.json that lies there


def test_a_model_that_never_answers_ends_it_with_its_error(tmp_path):
    def point(query, image, crop):
        raise ModelError("no server listens: start the server")

    write_capture(tmp_path / "done", pictures(9))
    questions = Questions((Query("red", "the red box"),), Scripted(point), 1280)
    with pytest.raises(ModelError, match="no server listens"):
        point2act.follow(tmp_path / "done", questions=questions, config=QUICK, following=SOON, grow=GROW)
    assert not (tmp_path / "out").exists()


# ── as commands ────────────────────────────────────────────────────────────────────────────────
@contextmanager
def server(points, capture, log):
    """A model server that answers as points.json has it; its address."""
    command = [sys.executable, str(HERE / "model_server.py"), "--points", str(points)]
    command += ["--capture", str(capture), "--delay", "0.4", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def following(live, output, address, cache):
    """Our command, on a capture that may not be there yet."""
    command = [sys.executable, "-m", "point2act.cli", "run", str(live), "--output", str(output), "--follow"]
    command += ["--query", "the red box", "--model", "qwen3_vl_8b", "--server", address]
    command += ["--cache", str(cache), "--grow.initial-views", "6", "--grow.steps", "20", "--ask", "all"]
    command += ["--start.target-count", "5000", "--following.quiet", "20"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def found(output):
    document = json.loads((output / "grasps.json").read_text(encoding="utf-8"))
    return document["results"]


@pytest.mark.full
def test_killed_in_the_middle_and_started_again_nothing_is_asked_twice_and_the_result_is_the_same(tmp_path):
    views = pictures(12)
    whole = tmp_path / "whole"
    write_capture(whole, views)
    document = json.loads(
        '{"version": 1, "queries": [{"name": "red", "text": "the red box"}], "answers": []}'
    )
    for frame, view in zip(read_capture(whole).frames, views, strict=True):
        place = project(view.camera, view.T_world_cam, RED[None])[0].tolist()
        document["answers"].append({"image": frame.name, "query": "red", "points": place, "visible": True})
    (tmp_path / "points.json").write_text(json.dumps(document), encoding="utf-8")
    live, cache, log = tmp_path / "live", tmp_path / "replies", tmp_path / "log"
    with server(tmp_path / "points.json", whole, log) as address:
        with robot(live, views, pause=0.4):
            first = following(live, tmp_path / "out", address, cache)
            while not (cache.is_dir() and len(list(cache.rglob("*.json"))) >= 6):
                assert first.poll() is None, first.communicate()
                time.sleep(0.02)
            os.kill(first.pid, signal.SIGKILL)
            first.communicate()
            kept = len(list(cache.rglob("*.json")))
            second = following(live, tmp_path / "out", address, cache)
            output = second.communicate()
        assert second.returncode == 0, output
        assert 6 <= kept < len(views)
        # What was under way when it was killed had to be asked again, and nothing else.
        times = Counter(json.loads(line)["image"] for line in log.read_text(encoding="utf-8").splitlines())
        assert len(times) == len(views)
        assert sum(count == 1 for count in times.values()) >= kept
        assert max(times.values()) <= 2
        third = following(live, tmp_path / "again", address, tmp_path / "other-replies")
        output = third.communicate()
        assert third.returncode == 0, output
    assert found(tmp_path / "out") == found(tmp_path / "again")
    assert found(tmp_path / "out")[0]["grasps"]
