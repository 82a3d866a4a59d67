"""Captures that are still being made: written frame by frame, killed, gone on with, watched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from point2act.core.errors import CaptureError, Point2ActError
from point2act.core.types import View
from point2act.data.capture import (
    Arrived,
    CaptureWriter,
    load_view,
    read_capture,
    watch,
    watch_capture,
    write_capture,
)

T_BASE_WORLD = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, 0.1], [0, 0, 1, 0.7], [0, 0, 0, 1]])


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where power does not fail."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def some_views() -> list[View]:
    """Four views: with depth; and a mask; of another camera without depth; with depth."""
    views = list(synthetic.views(4))
    views[1] = replace(views[1], mask=views[1].rgb[..., 0] > 100)
    camera = replace(views[2].camera, fx=70.0, width=40)
    views[2] = replace(views[2], rgb=views[2].rgb[:, :40], depth=None, camera=camera)
    return views


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def visible(folder: Path) -> dict[str, bytes]:
    """Without drafts that a killed program left behind: they stay, and are never read."""
    return {name: data for name, data in contents(folder).items() if not Path(name).name.startswith(".")}


def document(folder: Path) -> dict:
    return json.loads((folder / "transforms.json").read_text())


def names(folder: Path) -> list[str]:
    return [frame.name for frame in read_capture(folder).frames]


# ── writing ────────────────────────────────────────────────────────────────────────────────────
def test_one_by_one_is_the_same_as_all_at_once(tmp_path: Path):
    write_capture(tmp_path / "all", some_views(), T_base_world=T_BASE_WORLD)
    with CaptureWriter(tmp_path / "one", T_base_world=T_BASE_WORLD) as writer:
        for view in some_views():
            writer.add(view)
    assert len(contents(tmp_path / "one")) == 4 + 3 + 1 + 1
    assert contents(tmp_path / "one") == contents(tmp_path / "all")


def test_the_folder_is_always_a_capture_of_what_was_added(tmp_path: Path):
    views = some_views()
    writer = CaptureWriter(tmp_path / "c")
    assert not (tmp_path / "c").exists()
    for count, view in enumerate(views, 1):
        writer.add(view)
        assert list(writer.names) == names(tmp_path / "c") == [view.name for view in views[:count]]
        assert document(tmp_path / "c")["complete"] is False
    writer.finish()
    assert document(tmp_path / "c")["complete"] is True
    capture = read_capture(tmp_path / "c")
    for frame, view in zip(capture.frames, views, strict=True):
        np.testing.assert_array_equal(load_view(capture, frame).rgb, view.rgb)
        np.testing.assert_allclose(frame.T_world_cam, view.T_world_cam, atol=1e-12)


def test_an_exception_leaves_it_unfinished_and_it_is_gone_on_with(tmp_path: Path):
    views = some_views()
    with suppress(KeyboardInterrupt), CaptureWriter(tmp_path / "c", T_base_world=T_BASE_WORLD) as writer:
        for view in views[:2]:
            writer.add(view)
        raise KeyboardInterrupt
    assert document(tmp_path / "c")["complete"] is False
    with CaptureWriter(tmp_path / "c") as writer:
        assert list(writer.names) == [view.name for view in views[:2]]
        with pytest.raises(CaptureError, match="has an image called 0001 already"):
            writer.add(views[1])
        for view in views[2:]:
            writer.add(view)
    write_capture(tmp_path / "all", views, T_base_world=T_BASE_WORLD)
    assert contents(tmp_path / "c") == contents(tmp_path / "all")


def test_what_cannot_be_gone_on_with(tmp_path: Path):
    views = some_views()
    with CaptureWriter(tmp_path / "done") as writer:
        writer.add(views[0])
    writer.finish()
    with pytest.raises(CaptureError, match="finished capture"):
        writer.add(views[1])
    with pytest.raises(CaptureError, match="done is a finished capture"):
        CaptureWriter(tmp_path / "done")
    write_capture(tmp_path / "whole", views)
    with pytest.raises(CaptureError, match="whole is a finished capture"):
        CaptureWriter(tmp_path / "whole")
    synthetic.write_capture_files(tmp_path / "theirs", synthetic.views(2))
    with pytest.raises(CaptureError, match="not written by CaptureWriter"):
        CaptureWriter(tmp_path / "theirs")
    CaptureWriter(tmp_path / "moved", T_base_world=T_BASE_WORLD).add(views[0])
    CaptureWriter(tmp_path / "moved", T_base_world=T_BASE_WORLD)
    with pytest.raises(CaptureError, match="another T_base_world"):
        CaptureWriter(tmp_path / "moved", T_base_world=np.eye(4))
    (tmp_path / "moved" / "images" / "0000.png").unlink()
    with pytest.raises(CaptureError, match=r"0000\.png"):
        CaptureWriter(tmp_path / "moved")


def test_no_frames_are_no_capture(tmp_path: Path):
    with pytest.raises(CaptureError, match="no frames"), CaptureWriter(tmp_path / "c"):
        pass
    with pytest.raises(CaptureError, match="T_base_world is not rigid"):
        CaptureWriter(tmp_path / "c", T_base_world=2 * T_BASE_WORLD)
    assert not (tmp_path / "c").exists()


def spoil(view: View, part: str, value: object) -> View:
    """A view with a part that its own types would not let through where they are checked."""
    view = replace(view)
    owner, name = (replace(view.camera), part[7:]) if part.startswith("camera.") else (view, part)
    object.__setattr__(owner, name, value)
    if owner is not view:
        object.__setattr__(view, "camera", owner)
    return view


NAN_POSE = np.where(np.eye(4) > 0, np.nan, 0.0)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("rgb", np.zeros((48, 63, 3), np.uint8), r"rgb is uint8 of shape \(48, 63, 3\)"),
        ("rgb", np.zeros((48, 64), np.uint8), "rgb"),
        ("rgb", np.zeros((48, 64, 3), np.float32), "8-bit"),
        ("depth", np.ones((47, 64), np.float32), r"depth is float32 of shape \(47, 64\)"),
        ("depth", np.ones((48, 64), np.uint16), "metres as floats"),
        ("mask", np.ones((64, 48), bool), "mask"),
        ("mask", np.ones((48, 64), np.uint8), "bools"),
        ("T_world_cam", NAN_POSE, "T_world_cam holds a number that is not finite"),
        ("T_world_cam", 2 * np.eye(4), "not rigid"),
        ("T_world_cam", np.eye(3), "four rows"),
        ("camera.fx", float("nan"), "fx, fy, cx, cy are nan"),
        ("camera.fy", 0.0, "above zero"),
    ],
)
def test_views_that_could_not_be_read_back(tmp_path: Path, part: str, value: object, words: str):
    view = spoil(some_views()[1], part, value)
    with pytest.raises(CaptureError, match=words):
        write_capture(tmp_path / "all", [view])
    writer = CaptureWriter(tmp_path / "one")
    with pytest.raises(CaptureError, match=words):
        writer.add(view)
    assert writer.names == ()
    assert list(tmp_path.iterdir()) == []


CHARACTERS = st.one_of(st.sampled_from("./\\:~ ab\0"), st.characters())


@pytest.mark.usefixtures("no_sync")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.lists(st.text(CHARACTERS, max_size=8), min_size=1, max_size=3))
def test_any_name_is_refused_or_read_back(tmp_path: Path, text: list[str]):
    shutil.rmtree(tmp_path / "in", ignore_errors=True)
    view = synthetic.views(1, height=2, width=2)[0]
    writer = CaptureWriter(tmp_path / "in" / "c")
    for name in text:
        before = writer.names
        try:
            writer.add(replace(view, name=name))
        except CaptureError:
            assert writer.names == before
    assert len(list(tmp_path.iterdir())) <= 1
    if writer.names:
        assert names(tmp_path / "in" / "c") == list(writer.names)
        assert list((tmp_path / "in").iterdir()) == [tmp_path / "in" / "c"]
        capture = read_capture(tmp_path / "in" / "c")
        for frame in capture.frames:
            np.testing.assert_array_equal(load_view(capture, frame).rgb, view.rgb)
        assert CaptureWriter(tmp_path / "in" / "c").names == writer.names


@pytest.mark.parametrize(
    "name", ["", ".", "/", "/a", "../a", "a/../../b", "..\\a", "C:\\a", "a\0", "\ud800", "a\nb"]
)
def test_names_that_are_none(tmp_path: Path, name: str):
    with pytest.raises(CaptureError, match=r"leaves the capture|cannot be an image's"):
        CaptureWriter(tmp_path / "c").add(replace(some_views()[0], name=name))
    assert list(tmp_path.iterdir()) == []


def test_names_that_depth_and_masks_need(tmp_path: Path):
    view = some_views()[0]
    writer = CaptureWriter(tmp_path)
    for name in ("depth/0000", "masks/0000.png", "./Depth/a.png"):
        with pytest.raises(CaptureError, match="which hold other files"):
            writer.add(replace(view, name=name))
    writer.add(replace(view, name="left/a"))
    for name in ("right/a", "left/A.jpg"):
        with pytest.raises(CaptureError, match="name each view once"):
            writer.add(replace(view, name=name))
    with pytest.raises(Point2ActError, match="cannot be written"):
        writer.add(replace(view, name="b" * 300))
    assert writer.names == ("left/a.png",)


def test_a_frame_that_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    views = some_views()
    writer = CaptureWriter(tmp_path)
    writer.add(views[0])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = contents(tmp_path)["transforms.json"]
    for call in ("os.replace", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(call, full)
            with pytest.raises(Point2ActError, match=r"cannot be written .*No space left"):
                writer.add(views[1])
        assert contents(tmp_path)["transforms.json"] == before
        assert writer.names == (views[0].name,)
    writer.add(views[1])
    assert names(tmp_path) == [view.name for view in views[:2]]


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Point2ActError, match="cannot be written"):
        CaptureWriter(tmp_path / "file" / "c").add(some_views()[0])
    if os.geteuid() == 0:
        return  # No folder is closed to this user.
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(Point2ActError, match=r"cannot be written .*Permission denied"):
        CaptureWriter(tmp_path / "closed").add(some_views()[0])
    (tmp_path / "closed").chmod(0o000)
    for folder in (tmp_path / "closed", tmp_path / "closed" / "c"):
        with pytest.raises(CaptureError, match="there is no"):
            list(watch_capture(folder, startup_timeout=0.01))
        with pytest.raises(CaptureError, match="there is no"):
            read_capture(folder)
        with pytest.raises(Point2ActError, match="cannot be written"):
            CaptureWriter(folder).add(some_views()[0])
    (tmp_path / "closed").chmod(0o700)


def test_all_is_on_the_disk_before_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a loss of power must not turn round: transforms.json, its files, and their names in folders."""
    on_disk: set[int] = set()
    early: list[Path] = []
    sync, move = os.fsync, os.replace

    def watched_sync(descriptor: int) -> None:
        sync(descriptor)
        on_disk.add(os.fstat(descriptor).st_ino)

    def watched_move(source: Path, target: Path) -> None:
        if target == tmp_path / "transforms.json":
            keys = ("file_path", "depth_file_path", "mask_path")
            frames = json.loads(source.read_text())["frames"]
            files = [tmp_path / frame[key] for frame in frames for key in keys if key in frame]
            needed = {source, *files, *(file.parent for file in files)}
            early.extend(path for path in needed if path.stat().st_ino not in on_disk)
        move(source, target)
        on_disk.discard(target.parent.stat().st_ino)

    monkeypatch.setattr("os.fsync", watched_sync)
    monkeypatch.setattr("os.replace", watched_move)
    with CaptureWriter(tmp_path) as writer:
        for view in some_views():
            writer.add(view)
            assert tmp_path.stat().st_ino in on_disk
    assert early == []
    assert len(on_disk) > 4


# ── killing ────────────────────────────────────────────────────────────────────────────────────
# Lives in a process of its own, without threads, so that it may fork; every child is killed at another
# step of what it asks of the system.
KILLED_AT_EACH_STEP = """
import io, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import synthetic
from point2act.data.capture import CaptureWriter, read_capture

folder = Path(sys.argv[2])
views = synthetic.views(2)
steps, last = 0, None
os.fsync = lambda descriptor: None  # The power stays on here.

def counted(call):
    def f(*arguments, **options):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return f

def write(place):
    with CaptureWriter(place) as writer:
        for view in views:
            if view.name not in writer.names:
                writer.add(view)

for last in range(1, 1000):
    place = folder / str(last)
    child = os.fork()
    if child == 0:
        for module, name in ((io, "open"), (os, "open"), (os, "replace"), (os, "fsync"), (os, "mkdir")):
            setattr(module, name, counted(getattr(module, name)))
        write(place)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if (place / "transforms.json").exists():
        print(last, len(read_capture(place).frames), flush=True)
    else:
        print(last, 0, flush=True)
    if not os.WIFSIGNALED(status):
        break
    try:
        write(place)
    except Exception as err:
        assert "finished capture" in str(err), err
"""


def run_apart(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, Path(__file__).parent, *arguments]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def test_killed_at_each_step(tmp_path: Path):
    with run_apart(KILLED_AT_EACH_STEP, tmp_path / "killed") as child:
        assert child.stdout is not None
        lines = [tuple(map(int, line.split())) for line in child.stdout]
    assert child.returncode == 0
    assert len(lines) > 20
    counts = [count for _, count in lines]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2}
    write_capture(tmp_path / "all", synthetic.views(2))
    expected = contents(tmp_path / "all")
    for step, _ in lines:
        assert visible(tmp_path / "killed" / str(step)) == expected


WRITES_SLOWLY = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np, synthetic
from point2act.data.capture import CaptureWriter

life = int(sys.argv[3])
pauses = np.random.default_rng(life).uniform(0, 0.06, 12)
with CaptureWriter(Path(sys.argv[2])) as writer:
    for view in synthetic.views(12):
        if view.name not in writer.names:
            writer.add(view)
            time.sleep(pauses[len(writer.names) - 1])
        if life < 2 and len(writer.names) == 4 * life + 6:
            time.sleep(100)  # Long enough to be killed.
"""


class Lives:
    """A program that writes 12 frames: killed after the fourth and after the eighth, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = 0
        self.rng = np.random.default_rng(0)
        self.start()

    def start(self) -> None:
        self.child = run_apart(WRITES_SLOWLY, self.folder, self.starts)
        self.starts += 1

    def sleep(self, seconds: float) -> None:
        """What the watching program calls between two polls."""
        time.sleep(seconds)
        written = names(self.folder) if (self.folder / "transforms.json").exists() else []
        if self.starts < 3 and len(written) >= 4 * self.starts:
            time.sleep(self.rng.uniform(0.0, 0.06))
            self.child.kill()
            self.end()
            self.start()

    def end(self) -> int:
        self.child.communicate()
        return self.child.returncode


def test_one_program_watches_another_that_is_killed(tmp_path: Path):
    lives = Lives(tmp_path / "c")
    try:
        arrivals = list(watch_capture(tmp_path / "c", quiet=20.0, poll=0.005, sleep=lives.sleep))
        assert lives.end() == 0
    finally:
        lives.child.kill()
        lives.child.wait()
    assert lives.starts == 3
    check_arrivals(tmp_path / "c", arrivals)
    assert len(arrivals) >= 3
    assert [arrived.complete for arrived in arrivals] == [False] * (len(arrivals) - 1) + [True]
    write_capture(tmp_path / "all", synthetic.views(12))
    assert visible(tmp_path / "c") == contents(tmp_path / "all")


# ── watching ───────────────────────────────────────────────────────────────────────────────────
class Stage:
    """Time that passes only in sleep, and what happens to a folder in the meantime."""

    def __init__(self, *script: tuple[float, Callable[[], object]]) -> None:
        self.now = 0.0
        self.script = sorted(script, key=lambda act: act[0])
        self.play()

    def play(self) -> None:
        while self.script and self.script[0][0] <= self.now + 1e-9:
            self.script.pop(0)[1]()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.play()

    def follow(self, folder: Path, **options: float) -> Iterator[Arrived]:
        return watch_capture(folder, clock=self.clock, sleep=self.sleep, **options)


def check_arrivals(folder: Path, arrivals: list[Arrived]) -> None:
    """Each frame was given out once, in order, beside a capture of all until then."""
    capture = read_capture(folder)
    given: list[str] = []
    for arrived in arrivals:
        given += [frame.name for frame in arrived.new_frames]
        assert [frame.name for frame in arrived.capture.frames] == given
        assert all(any(frame is one for one in arrived.capture.frames) for frame in arrived.new_frames)
        assert arrived.new_frames or arrived.complete
    assert given == [frame.name for frame in capture.frames]
    last = arrivals[-1].capture
    assert (last.folder, last.depth_unit, last.metric) == (capture.folder, capture.depth_unit, capture.metric)
    for one, other in zip(last.frames, capture.frames, strict=True):
        assert (one.image_path, one.depth_path, one.mask_path) == (
            other.image_path,
            other.depth_path,
            other.mask_path,
        )
        np.testing.assert_array_equal(one.T_world_cam, other.T_world_cam)
        np.testing.assert_array_equal(one.camera.K, other.camera.K)


class Careless:
    """A program that writes a capture in any order and nothing at one go."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.folder = folder
        made = folder.parent / "made"
        synthetic.write_capture_files(made, synthetic.views(count))
        self.files = {name: data for name, data in contents(made).items() if name != "transforms.json"}
        self.document = document(made)

    def put(self, name: str, share: float = 1.0) -> None:
        """Write the first part of a file."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(self.files[name][: int(share * len(self.files[name]))])

    def put_frame(self, index: int) -> None:
        self.put(f"images/{index:04d}.png")
        self.put(f"depth/{index:04d}.png")

    def list(self, count: int, *, share: float = 1.0, **changes: object) -> None:
        """Write the first part of a transforms.json of the first frames."""
        text = json.dumps(self.document | {"frames": self.document["frames"][:count]} | changes)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "transforms.json").write_text(text[: int(share * len(text))])

    def all(self) -> None:
        for index in range(len(self.document["frames"])):
            self.put_frame(index)


@pytest.fixture
def careless(tmp_path: Path) -> Careless:
    return Careless(tmp_path / "c")


def test_frames_come_as_they_are_written(tmp_path: Path):
    views = some_views()
    writer = CaptureWriter(tmp_path / "c", T_base_world=T_BASE_WORLD)
    acts = [(10.0 + index, lambda view=view: writer.add(view)) for index, view in enumerate(views)]
    stage = Stage(*acts, (15.0, writer.finish))
    arrivals, times = [], []
    for arrived in stage.follow(tmp_path / "c", poll=0.05):
        arrivals.append(arrived)
        times.append(stage.now)
    np.testing.assert_allclose(times, [10, 11, 12, 13, 15], atol=0.06)
    check_arrivals(tmp_path / "c", arrivals)
    assert [arrived.complete for arrived in arrivals] == [False] * 4 + [True]
    assert arrivals[-1].new_frames == ()
    assert arrivals[0].capture.T_base_world is not None
    np.testing.assert_array_equal(arrivals[0].capture.T_base_world, T_BASE_WORLD)


def test_a_finished_capture_comes_at_once(tmp_path: Path):
    write_capture(tmp_path / "c", some_views())
    stage = Stage()
    arrivals = list(stage.follow(tmp_path / "c" / "transforms.json"))
    assert len(arrivals) == 1
    assert arrivals[0].complete
    assert stage.now == 0.0
    check_arrivals(tmp_path / "c", arrivals)


def test_a_capture_that_does_not_start(tmp_path: Path, careless: Careless):
    stage = Stage()
    with pytest.raises(CaptureError, match=r"there is no .*c/transforms\.json: give the folder"):
        list(stage.follow(tmp_path / "c", startup_timeout=30.0, quiet=2.0))
    assert stage.now == pytest.approx(30.0, abs=0.1)
    stage = Stage((0.0, lambda: careless.list(0)))
    with pytest.raises(CaptureError, match="lists no frames"):
        list(stage.follow(tmp_path / "c", startup_timeout=30.0, quiet=2.0))
    assert stage.now == pytest.approx(30.0, abs=0.1)


def test_an_empty_list_is_a_capture_that_has_not_started(tmp_path: Path, careless: Careless):
    careless.all()
    stage = Stage((20.0, lambda: careless.list(0)), (40.0, lambda: careless.list(2)))
    arrivals = list(stage.follow(tmp_path / "c", startup_timeout=30.0, quiet=2.0))
    assert stage.now == pytest.approx(42.0, abs=0.2)
    check_arrivals(tmp_path / "c", arrivals)


def test_without_a_mark_it_ends_when_it_is_quiet(tmp_path: Path, careless: Careless):
    careless.all()
    stage = Stage(
        (1.0, lambda: careless.list(1)), (3.5, lambda: careless.list(2)), (6.0, lambda: careless.list(3))
    )
    arrivals = list(stage.follow(tmp_path / "c", quiet=3.0))
    assert stage.now == pytest.approx(9.0, abs=0.2)
    check_arrivals(tmp_path / "c", arrivals)
    assert not any(arrived.complete for arrived in arrivals)
    # With less patience the last is missed: that is what the mark is for.
    careless.list(1)
    stage = Stage((2.5, lambda: careless.list(2)))
    assert sum(len(arrived.new_frames) for arrived in stage.follow(tmp_path / "c", quiet=2.0)) == 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_transforms_json_that_is_half_written(tmp_path: Path, careless: Careless, share: float):
    careless.all()
    whole, half = lambda: careless.list(3), lambda: careless.list(3, share=share)
    stage = Stage((0.0, half), (1.0, lambda: careless.list(2)), (2.0, half), (3.0, whole))
    check_arrivals(tmp_path / "c", list(stage.follow(tmp_path / "c", quiet=2.0)))
    stage = Stage((0.0, lambda: careless.list(2)), (1.0, half))
    arrivals = stage.follow(tmp_path / "c", quiet=2.0)
    assert len(next(arrivals).new_frames) == 2
    with pytest.raises(CaptureError, match=r"transforms\.json is not valid JSON"):
        next(arrivals)
    assert stage.now == pytest.approx(3.0, abs=0.2)


def test_a_transforms_json_that_goes_and_comes_back(tmp_path: Path, careless: Careless):
    careless.all()
    careless.list(2)
    path = tmp_path / "c" / "transforms.json"
    stage = Stage((1.0, path.unlink), (2.0, lambda: careless.list(3)))
    check_arrivals(tmp_path / "c", list(stage.follow(tmp_path / "c", quiet=1.5)))
    stage = Stage((1.0, path.unlink))
    with pytest.raises(CaptureError, match="there is no"):
        list(stage.follow(tmp_path / "c", quiet=1.5))
    assert stage.now == pytest.approx(2.5, abs=0.2)


@pytest.mark.parametrize("name", ["images/0001.png", "depth/0001.png"])
def test_a_frame_that_is_listed_before_it_is_whole(tmp_path: Path, careless: Careless, name: str):
    """It is given out when its last pixel is there, and no later frame before it."""
    careless.all()
    careless.list(3, complete=True)
    (tmp_path / "c" / name).unlink()
    shares = (0.0, 0.1, 0.5, 0.8, 0.9, 1.0)
    stage = Stage(
        *((1.0 + k, lambda share=share: careless.put(name, share)) for k, share in enumerate(shares))
    )
    came = [(stage.now, arrived) for arrived in stage.follow(tmp_path / "c", quiet=1.5)]
    np.testing.assert_allclose([at for at, _ in came], [0.0, 6.0], atol=0.06)
    assert [len(arrived.new_frames) for _, arrived in came] == [1, 2]
    assert [arrived.complete for _, arrived in came] == [False, True]
    check_arrivals(tmp_path / "c", [arrived for _, arrived in came])


@pytest.mark.parametrize("share", [None, 0.0, 0.5, 0.97])
def test_a_frame_that_never_gets_whole(tmp_path: Path, careless: Careless, share: float | None):
    """Others that come do not keep it from being reported."""
    name = "images/0001.png"
    careless.all()
    (tmp_path / "c" / name).unlink()
    if share is not None:
        careless.put(name, share)
    stage = Stage(*((float(k), lambda: careless.list(3, edited=stage.now)) for k in range(1, 20)))
    with pytest.raises(CaptureError, match=r"0001\.png"):
        list(stage.follow(tmp_path / "c", quiet=4.0))
    assert stage.now == pytest.approx(5.0, abs=0.2)


def test_masks_and_jpegs_are_waited_for_too(tmp_path: Path):
    view = replace(some_views()[1], rgb=np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    write_capture(tmp_path, [view])
    Image.fromarray(view.rgb).save(tmp_path / "images" / "0001.jpg", quality=95)
    there = document(tmp_path)
    there["frames"][0]["file_path"] = "images/0001.jpg"
    (tmp_path / "transforms.json").write_text(json.dumps(there))
    for name in ("images/0001.jpg", "masks/0001.png"):
        path = tmp_path / name
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 3 // 4])
        stage = Stage((1.0, lambda path=path, data=data: path.write_bytes(data)))
        arrivals = list(stage.follow(tmp_path))
        assert stage.now == pytest.approx(1.0, abs=0.06)
        check_arrivals(tmp_path, arrivals)


def changed_pose(frames: list[dict]) -> list[dict]:
    pose = np.array(frames[1]["transform_matrix"])
    pose[0, 3] += 0.001
    return [frames[0], frames[1] | {"transform_matrix": pose.tolist()}, frames[2]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frames: {"frames": frames[:1]}, r"no longer lists images/0001\.png"),
        (lambda frames: {"frames": frames[1:]}, r"no longer lists images/0000\.png"),
        (lambda frames: {"frames": changed_pose(frames)}, r"changed transform_matrix of images/0001\.png"),
        (lambda frames: {"fl_x": 50.0}, "changed fl_x of images/0000"),
        (lambda frames: {"k1": 0.1}, "changed k1 of"),
        (lambda frames: {"depth_unit_scale_factor": 0.01}, "changed depth_unit_scale_factor of"),
        (
            lambda frames: {"frames": [frames[0] | {"mask_path": "images/0000.png"}, *frames[1:]]},
            "mask_path of",
        ),
    ],
)
def test_what_was_given_out_must_not_change(tmp_path: Path, careless: Careless, change: Callable, words: str):
    careless.all()
    careless.list(2)
    stage = Stage((1.0, lambda: careless.list(3, **change(careless.document["frames"]))))
    with pytest.raises(CaptureError, match=words):
        list(stage.follow(tmp_path / "c"))
    assert stage.now == pytest.approx(1.0, abs=0.1)


def test_what_may_change(tmp_path: Path, careless: Careless):
    """What no frame is made of; a cloud that comes last; values moved from the top to each frame."""
    careless.all()
    careless.list(1)
    frames = careless.document["frames"]
    own = {key: careless.document[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
    moved = [frame | own | {"seconds": 0.5} for frame in frames]
    dropped = {key: value for key, value in careless.document.items() if key not in own}

    def end() -> None:
        careless.document = dropped
        careless.list(3, frames=moved, ply_file_path="points.ply", T_base_world=np.eye(4).tolist())

    stage = Stage(
        (1.0, lambda: careless.list(2, train_filenames=["images/0000.png"])),
        (1.1, lambda: careless.list(2, complete=False)),
        (2.0, end),
        (3.0, lambda: (tmp_path / "c" / "points.ply").write_bytes(b"")),
    )
    arrivals = list(stage.follow(tmp_path / "c"))
    check_arrivals(tmp_path / "c", arrivals)
    assert arrivals[-1].capture.point_cloud_path == tmp_path / "c" / "points.ply"
    assert arrivals[0].capture.T_base_world is None
    assert arrivals[-1].capture.T_base_world is not None
    np.testing.assert_array_equal(arrivals[-1].capture.T_base_world, np.eye(4))


def test_rare_polling_gives_more_at_a_time(tmp_path: Path, careless: Careless):
    """Work between two frames may take longer than a quiet time: nothing is lost, nothing comes twice."""
    careless.all()
    stage = Stage(*((0.4 * k, lambda k=k: careless.list(k)) for k in (1, 2, 3)))
    arrivals = []
    for arrived in stage.follow(tmp_path / "c", quiet=1.0):
        arrivals.append(arrived)
        stage.sleep(3.0)
    assert [len(arrived.new_frames) for arrived in arrivals] == [1, 2]
    check_arrivals(tmp_path / "c", arrivals)


def test_many_frames_are_given_out_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And each is read once, however often the list grows."""
    careless = Careless(tmp_path / "c", count=9)
    careless.all()
    stage = Stage(
        (0.0, lambda: careless.list(7)), (5.0, lambda: careless.list(8)), (6.0, lambda: careless.list(9))
    )
    read: list[str] = []
    read_frame = watch.read_frame

    def slow_read(entry, folder):
        stage.now += 0.04
        read.append(entry.own["file_path"])
        return read_frame(entry, folder)

    monkeypatch.setattr(watch, "read_frame", slow_read)
    arrivals = list(stage.follow(tmp_path / "c"))
    assert [len(arrived.new_frames) for arrived in arrivals] == [3, 3, 1, 1, 1]
    check_arrivals(tmp_path / "c", arrivals)
    assert len(read) == 9


def test_an_image_twice_and_a_broken_pose_are_reported(tmp_path: Path, careless: Careless):
    careless.all()
    frames = careless.document["frames"]
    for wrong, words in (
        ([*frames, frames[0] | {"file_path": "./images/0000.png"}], "2 times"),
        ([frames[0], frames[1] | {"transform_matrix": None}], r"0001\.png\): transform_matrix is not"),
        ([frames[0], frames[1] | {"depth_file_path": 3}], "depth_file_path is 3"),
        ([{"transform_matrix": None}], "has no 'file_path'"),
    ):
        careless.list(3, frames=wrong)
        stage = Stage()
        with pytest.raises(CaptureError, match=words):
            list(stage.follow(tmp_path / "c", quiet=2.0))
        assert stage.now == pytest.approx(2.0, abs=0.1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(data=st.data())
def test_any_order_of_writing_gives_every_frame_once(tmp_path: Path, careless: Careless, data: st.DataObject):
    """Files in halves, lists in halves, and all of them in any order."""
    shutil.rmtree(tmp_path / "c", ignore_errors=True)
    acts: list[Callable[[], object]] = []
    lanes: list[list[tuple[str | int, float]]] = [[(name, 0.4), (name, 1.0)] for name in careless.files]
    lanes.append([(count, share) for count in (1, 2, 3) for share in (0.6, 1.0)])
    while any(lanes):
        what, share = data.draw(st.sampled_from([lane for lane in lanes if lane])).pop(0)
        if isinstance(what, int):
            acts.append(lambda what=what, share=share: careless.list(what, share=share))
        else:
            acts.append(lambda what=what, share=share: careless.put(what, share))
    gap = data.draw(st.sampled_from([0.0, 0.02, 0.3]))
    stage = Stage(*((gap * k, act) for k, act in enumerate(acts)))
    arrivals = list(stage.follow(tmp_path / "c", quiet=6.0))
    check_arrivals(tmp_path / "c", arrivals)
