"""Files are written whole or not at all; PLY vertices survive the way to disk and back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from point2act.core.errors import Point2ActError, SceneError
from point2act.core.files import read_bytes, read_json, replacing, write_bytes, write_json
from point2act.core.ply import read_ply, write_ply


def test_folders_are_made_and_nothing_else_stays(tmp_path: Path):
    write_bytes(tmp_path / "a" / "b" / "file.bin", b"one")
    write_bytes(tmp_path / "a" / "b" / "file.bin", b"two")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["file.bin"]
    assert (tmp_path / "a" / "b" / "file.bin").read_bytes() == b"two"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(Point2ActError, match="disk full"):
        write_json(path, {"a": 2})
    assert read_json(path, SceneError) == {"a": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_where_a_folder_should_be(tmp_path: Path):
    (tmp_path / "a").write_text("")
    with pytest.raises(Point2ActError, match="cannot be written"):
        write_bytes(tmp_path / "a" / "b", b"")


# ── drafts of programs that were killed ────────────────────────────────────────────────────────
KILLED = """
import os, signal, sys
from point2act.core.files import replacing
with replacing(sys.argv[1]) as draft:
    draft.write_bytes(b"half of")
    print(os.getpid(), flush=True)
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def writer(path: Path, fate: str) -> subprocess.Popen[str]:
    """A program in the middle of writing a file."""
    command = [sys.executable, "-c", KILLED, str(path), fate]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert int(child.stdout.readline()) == child.pid
    return child


def drafts(folder: Path) -> set[int]:
    """Whose drafts are in a folder."""
    return {int(path.name.split(".")[-3]) for path in folder.glob(".*.bin.*.part")}


def aged(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_later_write_removes_what_a_killed_one_left_and_no_other(tmp_path: Path):
    with writer(tmp_path / "a.bin", "dies") as dead:
        dead.wait()
    with writer(tmp_path / "b.bin", "lives") as alive:
        assert drafts(tmp_path) == {dead.pid, alive.pid}
        (tmp_path / ".own.part").write_bytes(b"")
        aged(tmp_path, 300)
        write_bytes(tmp_path / "c.bin", b"c")
        assert drafts(tmp_path) == {alive.pid}
        alive.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {".own.part", "b.bin", "c.bin"}
    assert (tmp_path / "b.bin").read_bytes() == b"half of"


def test_a_fresh_draft_may_be_another_machines(tmp_path: Path):
    with writer(tmp_path / "a.bin", "dies") as dead:
        dead.wait()
    write_bytes(tmp_path / "b.bin", b"")
    assert drafts(tmp_path) == {dead.pid}


def test_an_old_draft_goes_although_its_number_runs_again(tmp_path: Path):
    old = tmp_path / f".a.bin.{os.getpid()}.1.part"
    old.write_bytes(b"")
    aged(tmp_path, 2 * 24 * 3600)
    write_bytes(tmp_path / "b.bin", b"")
    assert not old.exists()


def test_many_at_once_lose_nothing(tmp_path: Path):
    def write(which: int) -> None:
        for count in range(20):
            write_bytes(tmp_path / "shared.bin", bytes([which]) * 1000)
            write_bytes(tmp_path / f"{which}-{count}.bin", bytes([which]))

    threads = [threading.Thread(target=write, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.iterdir())) == 4 * 20 + 1
    content = (tmp_path / "shared.bin").read_bytes()
    assert content == content[:1] * 1000


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail(draft: Path) -> None:
        draft.write_bytes(b"new")
        raise KeyError

    with pytest.raises(KeyError), replacing(path) as draft:
        fail(draft)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file.bin", b"old")]


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', '{"a": -Infinity}', "\xff", "[" * 100_000])
def test_json_is_read_strictly(tmp_path: Path, text: str):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SceneError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json", SceneError)


def test_json_with_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json", SceneError) == {"a": 1}


kinds = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(kinds, min_size=1, max_size=6), count=st.integers(0, 5), seed=st.integers(0, 99))
def test_ply_round_trip(tmp_path: Path, kinds: list[str], count: int, seed: int):
    rng = np.random.default_rng(seed)
    vertices = np.zeros(count, dtype=[(f"p{index}", kind) for index, kind in enumerate(kinds)])
    for name in vertices.dtype.names or ():
        vertices[name] = rng.integers(0, 100, count)
    write_ply(tmp_path / "x.ply", vertices)
    found = read_ply(tmp_path / "x.ply", SceneError)
    assert found.dtype == vertices.dtype
    np.testing.assert_array_equal(found, vertices)


ASCII = b"""ply
format ascii 1.0
comment written by hand
element vertex 2
property float x
property uchar red
element face 1
property list uchar int vertex_indices
end_header
0.5 255
-1e3 0
3 0 0 1
"""


def test_ply_of_other_kinds(tmp_path: Path):
    (tmp_path / "x.ply").write_bytes(ASCII)
    found = read_ply(tmp_path / "x.ply", SceneError)
    np.testing.assert_array_equal(found["x"], np.float32([0.5, -1000.0]))
    np.testing.assert_array_equal(found["red"], [255, 0])
    head = b"ply\r\nformat binary_big_endian 1.0\r\nelement vertex 1\r\nproperty double x\r\nend_header\r\n"
    (tmp_path / "x.ply").write_bytes(head + np.array([2.5], ">f8").tobytes())
    assert read_ply(tmp_path / "x.ply", SceneError)["x"][0] == 2.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((b"ply", b"obj"), "does not start"),
        ((b"end_header", b"end"), "header does not end"),
        ((b"vertex 2", b"vertex 4"), "holds 3 of 4"),
        ((b"vertex 2", b"vertex x"), "PLY"),
        ((b"float x", b"list uchar int x"), "not a number"),
        ((b"element vertex 2", b"element face 2"), "not 'vertex'"),
        ((b"0.5", b"abc"), "PLY"),
        ((b"format ascii", b"format packed"), "names no format"),
    ],
)
def test_broken_ply(tmp_path: Path, change: tuple[bytes, bytes], words: str):
    (tmp_path / "x.ply").write_bytes(ASCII.replace(*change))
    with pytest.raises(SceneError, match=words):
        read_ply(tmp_path / "x.ply", SceneError)
    with pytest.raises(SceneError, match="cannot be read"):
        read_ply(tmp_path / "y.ply", SceneError)


def test_ply_cut_short(tmp_path: Path):
    write_ply(tmp_path / "x.ply", np.zeros(10, dtype=[("x", "f4"), ("y", "f4")]))
    data = (tmp_path / "x.ply").read_bytes()
    (tmp_path / "x.ply").write_bytes(data[:-9])
    with pytest.raises(SceneError, match="8 of 10"):
        read_ply(tmp_path / "x.ply", SceneError)


def test_reading_a_small_file_takes_little_memory(tmp_path: Path):
    write_json(tmp_path / "a.json", {"a": 1})
    tracemalloc.start()
    read_json(tmp_path / "a.json", Point2ActError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


@pytest.mark.parametrize("size", [0, 1, 2**18 - 1, 2**18, 2**18 + 1, 3 * 2**18])
def test_files_of_any_size_are_read_whole_up_to_the_limit(tmp_path: Path, size: int):
    path, data = tmp_path / "f", np.random.default_rng(0).bytes(size)
    path.write_bytes(data)
    assert read_bytes(path, Point2ActError, max_bytes=size) == data
    if size:
        with pytest.raises(Point2ActError, match="has more than"):
            read_bytes(path, Point2ActError, max_bytes=size - 1)
