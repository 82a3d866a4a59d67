"""Hostile and broken input: one sentence and exit code 2, or read; no traceback, no hang, no half a file."""

from __future__ import annotations

import copy
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_bad_inputs import frame, top

from point2act.core.errors import (
    CaptureError,
    GripperError,
    ModelError,
    Point2ActError,
    PointsError,
    SceneError,
)
from point2act.core.files import read_json, write_bytes, write_json
from point2act.core.types import PointSet, Query
from point2act.data.capture import load_views, read_capture
from point2act.data.capture.memory import check_memory, free_bytes, needed_bytes
from point2act.data.points import read_points, write_points
from point2act.grasping.grippers import load_gripper
from point2act.vlm.clients.models import load_model
from point2act.vlm.parsers import DIALECTS, parse_reply

_PATIENCE = 60  # Seconds until a case counts as a hang, on a machine with other work. Measured: all below 5.


@pytest.fixture(scope="session")
def good_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import synthetic

    folder = tmp_path_factory.mktemp("good")
    synthetic.write_capture_files(folder, synthetic.views())
    return folder


@pytest.fixture
def capture(tmp_path: Path, good_capture: Path) -> Path:
    return Path(shutil.copytree(good_capture, tmp_path / "capture"))


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """An error in a test that hangs: nothing else would end it."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not done after {_PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def assert_helps(error: Point2ActError, words: str) -> None:
    """One sentence, not long, with a fix, that can be printed."""
    message = str(error)
    assert re.search(words, message), message
    assert len(message) < 700
    assert message.isprintable(), message
    assert re.search(r"[:;] \w", message), f"no fix in: {message}"
    assert not message.endswith(".")


def refusal(work: Callable[[], object]) -> str | None:
    """The error message of a call, None if it succeeds."""
    try:
        work()
    except Point2ActError as err:
        return str(err)
    return None


def read_all(folder: Path) -> None:
    """What every command does first; all numbers that come of it are finite."""
    capture = read_capture(folder)
    for view in load_views(capture):
        assert np.isfinite(view.T_world_cam).all()
        assert view.depth is None or (np.isfinite(view.depth) & (view.depth >= 0)).all()
    if os.path.lexists(folder / "points.json"):
        for answer in read_points(folder / "points.json", capture).answers:
            assert np.isfinite(answer.points).all()


def test_the_corpus_is_large():
    cases = (hostile.CAPTURES, hostile.POINTS, hostile.ANY, hostile.GRIPPERS, hostile.MODELS, hostile.REPLIES)
    assert sum(map(len, cases)) >= 150


@pytest.mark.parametrize("name", hostile.CAPTURES | hostile.POINTS)
def test_captures_and_points(capture: Path, name: str):
    build, words = (hostile.CAPTURES | hostile.POINTS)[name]
    build(capture)
    if words is None:
        read_all(capture)
        return
    with pytest.raises((CaptureError, PointsError)) as caught:
        read_all(capture)
    assert_helps(caught.value, words)


@pytest.mark.parametrize("name", hostile.ANY | hostile.GRIPPERS)
def test_grippers(tmp_path: Path, name: str):
    build, words = (hostile.ANY | hostile.GRIPPERS)[name]
    build(tmp_path / "own.toml")
    with pytest.raises(GripperError, match=words):
        load_gripper(tmp_path / "own.toml")


@pytest.mark.parametrize("name", hostile.ANY | hostile.MODELS)
def test_models(tmp_path: Path, name: str):
    build, words = (hostile.ANY | hostile.MODELS)[name]
    build(tmp_path / "own.toml")
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path / "own.toml")


def test_the_corpus_of_configs_starts_from_good_ones(tmp_path: Path):
    for text, load in ((hostile.PANDA, load_gripper), (hostile.QWEN, load_model)):
        (tmp_path / "own.toml").write_text(text)
        load(tmp_path / "own.toml")


@pytest.mark.parametrize("name", hostile.REPLIES)
def test_replies(name: str):
    for dialect in DIALECTS:
        found: list[tuple[float, float]] = []
        read = partial(parse_reply, hostile.REPLIES[name], dialect, image_size=(48, 64))
        message = refusal(lambda read=read, found=found: found.extend(read()))
        assert message is None or (message.isprintable() and len(message) < 1000)
        assert all(0 <= x <= 64 and 0 <= y <= 48 for x, y in found)


# ── paths ──────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", [name for name, case in hostile.PATHS.items() if "outside" in str(case[1])])
def test_the_outside_can_be_allowed(capture: Path, name: str):
    hostile.PATHS[name][0](capture)
    message = refusal(lambda: load_views(read_capture(capture, allow_outside=True)))
    # A file that was never good is still none; those beside the capture are.
    assert message is None or (", outside the capture" not in message and "elsewhere" not in message)


def test_the_folder_may_be_a_link(capture: Path):
    (capture.parent / "linked").symlink_to(capture)
    assert len(read_capture(capture.parent / "linked").frames) == 8
    assert len(read_capture(capture.parent / "linked" / "transforms.json").frames) == 8


def test_the_folder_may_be_named_from_inside(capture: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(capture)
    assert len(read_capture(".").frames) == 8
    assert len(read_capture("transforms.json").frames) == 8
    assert len(read_capture("../capture/images/..").frames) == 8


def test_a_folder_beside_with_the_same_beginning_is_outside(capture: Path):
    shutil.copytree(capture, capture.parent / "capture2")
    frame(file_path="../capture2/images/0002.png")(capture)
    with pytest.raises(CaptureError, match="outside"):
        read_capture(capture)


def test_no_code_is_unpickled(capture: Path):
    """What would leave a trace does not: as array, as image, as document, as points."""

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(capture / "trace"),))

    import pickle

    data = pickle.dumps(Evil())
    np.save(capture / "d.npy", np.array([[Evil()]], dtype=object), allow_pickle=True)
    for name in ("e.npy", "images/0002.png", "points.json"):
        (capture / name).write_bytes(data)
    for entry in ({"depth_file_path": "d.npy"}, {"depth_file_path": "e.npy"}, {}):
        frame(**entry)(capture)
        with pytest.raises(CaptureError):
            read_all(capture)
    with pytest.raises(PointsError):
        read_points(capture / "points.json")
    assert not (capture / "trace").exists()


# ── memory ─────────────────────────────────────────────────────────────────────────────────────
def test_what_will_not_fit_is_an_error_before_anything_is_loaded(
    capture: Path, monkeypatch: pytest.MonkeyPatch
):
    source = read_capture(capture)
    needed = needed_bytes(source.frames)
    monkeypatch.setattr("point2act.data.capture.memory.free_bytes", lambda: needed // 3)
    shutil.rmtree(capture / "images")
    with pytest.raises(CaptureError, match=r"8 views of 64x48 need about .* GB and .* GB are free") as caught:
        load_views(source)
    assert_helps(caught.value, r"give --max-side \d+ or keep every \w+ image")
    side = int(re.findall(r"max-side (\d+)", str(caught.value))[0])
    assert 0 < side < 64


def test_memory_is_counted_by_pixels(capture: Path):
    top(w=None, h=None)(capture)
    frames = read_capture(capture).frames
    loading = 48 * 64 * 26
    assert needed_bytes(frames) == 8 * 48 * 64 * 7 + loading
    assert needed_bytes(frames, max_side=32) == 8 * 24 * 32 * 7 + loading
    assert needed_bytes(frames, extra=16) == 8 * 48 * 64 * 23 + loading
    assert needed_bytes(frames[:2]) < needed_bytes(frames)
    views = load_views(read_capture(capture))
    assert (
        sum(view.rgb.nbytes + view.depth.nbytes for view in views if view.depth is not None)
        == 8 * 48 * 64 * 7
    )


def test_nothing_is_refused_if_the_free_memory_is_unknown(capture: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("point2act.data.capture.memory.free_bytes", lambda: None)
    check_memory(read_capture(capture).frames, extra=10**12)
    monkeypatch.undo()
    free = free_bytes()
    assert free is not None
    assert 10**7 < free < 10**14
    with pytest.raises(CaptureError, match="are free"):
        check_memory(read_capture(capture).frames, extra=10**12)


# ── writing ────────────────────────────────────────────────────────────────────────────────────
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    """A limit on the size of files: what a full disk does, for this process alone."""
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(Point2ActError, match=r"cannot be written .*too large.*: choose another place"):
            write_json(path, {"a": "b" * 5000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert read_json(path, SceneError) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("place", ["/proc/point2act/out.json", "/dev/full/out.json", "/dev/null/out.json"])
def test_a_place_that_takes_no_files(place: str):
    """Where not even root may make a folder."""
    with pytest.raises(Point2ActError, match="cannot be written"):
        write_bytes(place, b"")


def test_a_name_that_no_file_can_have(tmp_path: Path):
    for name in ("a\0b", "a" * 300, "\ud800"):
        with pytest.raises(Point2ActError, match="cannot be written"):
            write_bytes(tmp_path / name, b"")


def test_a_folder_whose_name_is_no_utf8_survives_the_way_through_a_file(tmp_path: Path):
    folder = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "x.json", {"capture": folder})
    assert read_json(tmp_path / "x.json", SceneError) == {"capture": folder}


def test_points_that_could_not_be_read_back_are_not_written(tmp_path: Path):
    with pytest.raises(PointsError, match="control characters"):
        write_points(tmp_path / "points.json", PointSet((Query("mug", "the\x1bmug", "grasp"),), ()))
    assert not (tmp_path / "points.json").exists()


# ── the command ────────────────────────────────────────────────────────────────────────────────
COMMANDED = (
    "an image above",
    "a pipe as image",
    "a device as transforms.json",
    "a name that colours the terminal",
    "nested lists that end",
    "an image of 2.5 billion pixels",
    "a pose beyond the Earth",
    "depth of pickled objects",
    "points: 1001 queries",
    "points: words that colour the terminal",
)


RUN_EACH = """
import contextlib, io, json, sys
from point2act.cli.main import main

for folder in sys.argv[1:]:
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message), contextlib.redirect_stdout(sys.stderr):
            main(["run", folder, "--output", folder + "-out"])
    except SystemExit as stop:
        print(json.dumps([stop.code, message.getvalue()]))
"""


def assert_one_line(stderr: str) -> None:
    lines = [line for line in stderr.splitlines() if not re.match(r"[a-z ]{24} +[0-9.]+ s", line)]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("point2act: ")


def test_run_says_one_sentence_and_leaves_nothing(tmp_path: Path, good_capture: Path):
    """All in one process of its own: what the command imports takes longer than any case."""
    folders = [Path(shutil.copytree(good_capture, tmp_path / str(index))) for index in range(len(COMMANDED))]
    for folder, name in zip(folders, COMMANDED, strict=True):
        (hostile.CAPTURES | hostile.POINTS)[name][0](folder)
    command = [sys.executable, "-c", RUN_EACH, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for code, _ in found] == [2] * len(COMMANDED)
    for (_, stderr), name in zip(found, COMMANDED, strict=True):
        assert_one_line(stderr)
        assert re.search(str((hostile.CAPTURES | hostile.POINTS)[name][1]), stderr)
    assert not list(tmp_path.glob("*-out"))


def test_the_command_itself(capture: Path):
    """As a person starts it, with Python's own filters of warnings."""
    hostile.PICTURES["an image of 100 million pixels"][0](capture)
    out = capture.parent / "out"
    command = [sys.executable, "-m", "point2act.cli", "run", str(capture), "--output", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert_one_line(done.stderr)
    assert not out.exists()


# ── any JSON at any place ──────────────────────────────────────────────────────────────────────
numbers = st.sampled_from([0, -1, 1, 0.5, 1e308, -1e308, 1e-308, 5e-324, 1e7, 10**400, 2**63, 64, 48])
leaves = st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | st.text(max_size=8)
names = st.sampled_from(
    [
        "",
        ".",
        "..",
        "/",
        "images",
        "images/0000.png",
        "depth/0001.png",
        "../x",
        "\0",
        "\ud800",
        "OPENCV_FISHEYE",
    ]
)
anything = st.recursive(
    leaves | names,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = (
    "k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "distortion_params", "fisheye_crop_radius",
    "camera_model", "camera_angle_x", "camera_angle_y", "depth_unit_scale_factor", "mask_path",
    "ply_file_path", "metric", "T_base_world", "complete", "role", "seconds", "raw", "model", "plan",
)  # fmt: skip


def places(document: Any) -> list[tuple[Any, ...]]:
    """The ways to all values of a document, and to keys that it might have."""
    if isinstance(document, dict):
        inner = [(key, *way) for key, value in document.items() for way in places(value)]
        return [(), *inner, *((key,) for key in KEYS if key not in document)]
    if isinstance(document, list):
        return [(), *((index, *way) for index, value in enumerate(document) for way in places(value))]
    return [()]


def changed(document: Any, way: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at the end of a way; one that leads nowhere changes nothing."""
    if not way:
        return value
    found, key = copy.copy(document), way[0]
    if isinstance(found, dict) or (isinstance(found, list) and key in range(len(found))):
        inner = found.get(key) if isinstance(found, dict) else found[key]
        found[key] = changed(inner, way[1:], value)
    return found


def mutations(document: Any) -> st.SearchStrategy[list[tuple[tuple[Any, ...], Any]]]:
    return st.lists(st.tuples(st.sampled_from(places(document)), anything), min_size=1, max_size=3)


def first_frames(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "transforms.json").read_text())
    return document | {"frames": document["frames"][:2]}


quietly = settings(suppress_health_check=list(HealthCheck), max_examples=100)


@quietly
@given(data=st.data())
def test_transforms_with_anything_anywhere(good_capture: Path, data: st.DataObject):
    document = first_frames(good_capture)
    for way, value in data.draw(mutations(document)):
        document = changed(document, way, value)
    path = good_capture / "mutated.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    message = refusal(lambda: load_views(read_capture(path)))
    assert message is None or (message.isprintable() and len(message) < 1500)


@quietly
@given(data=st.data())
def test_points_with_anything_anywhere(good_capture: Path, data: st.DataObject):
    query = {"name": "mug", "text": "the mug", "role": "grasp"}
    target = {"query": query, "object": "mug", "part": None, "reason": "a"}
    document: Any = {
        "version": 1,
        "queries": [query],
        "answers": [json.loads(hostile.ANSWER)],
        "plan": {"instruction": "a", "model": "b", "steps": [{"action": "a", "targets": [target]}]},
    }
    for way, value in data.draw(mutations(document)):
        document = changed(document, way, value)
    path = good_capture / "points.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    message = refusal(lambda: read_points(path, read_capture(good_capture)))
    assert message is None or len(message) < 1500
