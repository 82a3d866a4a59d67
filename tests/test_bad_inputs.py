"""A corpus of broken captures and points: each gets one sentence that names the file and the fix.

These go through the API; what the command line makes of them is tested with the command line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from point2act.core.errors import CaptureError, Point2ActError, PointsError
from point2act.data.capture import load_views, read_capture
from point2act.data.points import read_points

Break = Callable[[Path], None]


def assert_helps(error: Point2ActError, place: str, words: str) -> None:
    """One sentence: the place, what is wrong, what to do."""
    message = str(error)
    assert place in message
    assert re.search(words, message), message
    assert "\n" not in message
    assert len(message) < 500
    assert re.search(r"[:;] \w", message), f"no fix in: {message}"
    assert not message.endswith(".")


def top(**changes) -> Break:
    """Change the top level of transforms.json; None takes a key out."""

    def apply(folder: Path) -> None:
        path = folder / "transforms.json"
        document = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))

    return apply


def frame(**changes) -> Break:
    """Change the third frame."""

    def apply(folder: Path) -> None:
        frames = json.loads((folder / "transforms.json").read_text())["frames"]
        frames[2] = {key: value for key, value in (frames[2] | changes).items() if value is not None}
        top(frames=frames)(folder)

    return apply


def both(first: Break, second: Break) -> Break:
    def apply(folder: Path) -> None:
        first(folder)
        second(folder)

    return apply


def pose(change: Callable[[np.ndarray], object]) -> Break:
    def apply(folder: Path) -> None:
        matrix = np.array(
            json.loads((folder / "transforms.json").read_text())["frames"][2]["transform_matrix"]
        )
        result = change(matrix)
        frame(transform_matrix=result.tolist() if isinstance(result, np.ndarray) else result)(folder)

    return apply


def content(name: str, data: bytes) -> Break:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return apply


def replaced(old: bytes, new: bytes) -> Break:
    def apply(folder: Path) -> None:
        path = folder / "transforms.json"
        path.write_bytes(path.read_bytes().replace(old, new))

    return apply


def cut(name: str, share: float) -> Break:
    def apply(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return apply


def picture(name: str, array: np.ndarray, **entry) -> Break:
    def apply(folder: Path) -> None:
        Image.fromarray(array).save(folder / name)
        if entry:
            frame(**entry)(folder)

    return apply


def array(name: str, values: np.ndarray) -> Break:
    def apply(folder: Path) -> None:
        np.save(folder / name, values, allow_pickle=True)
        frame(depth_file_path=name)(folder)

    return apply


def missing(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


def jpeg_cut(folder: Path) -> None:
    Image.effect_noise((64, 48), 90).convert("RGB").save(folder / "images" / "0002.jpg")
    cut("images/0002.jpg", 0.6)(folder)
    frame(file_path="images/0002.jpg")(folder)


grey8 = np.zeros((48, 64), np.uint8)
color = np.zeros((48, 64, 3), np.uint8)
NOT_RIGID = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]

CAPTURES: dict[str, tuple[Break, str, str]] = {
    # name: what is done to a good capture, a place the message names, words it says
    "no file": (missing("transforms.json"), "transforms.json", "there is no .* give a folder"),
    "empty file": (content("transforms.json", b""), "transforms.json", "not valid JSON"),
    "half a file": (cut("transforms.json", 0.5), "transforms.json", "not valid JSON"),
    "a list": (content("transforms.json", b"[]"), "transforms.json", "no JSON object"),
    "a non-finite number": (
        content("transforms.json", b'{"frames": [], "fl_x": NaN}'),
        "transforms.json",
        "NaN",
    ),
    "binary": (content("transforms.json", b"\x89PNG\xff\xfe"), "transforms.json", "not valid JSON"),
    "frames left out": (top(frames=None), "transforms.json", "lists no frames"),
    "no frames": (top(frames=[]), "transforms.json", "lists no frames"),
    "frames by name": (top(frames={"a": 1}), "transforms.json", "lists no frames"),
    "a frame that is a name": (top(frames=["images/0000.png"]), "frame 0", "no 'file_path'"),
    "a frame without a file": (frame(file_path=None), "frame 2", "no 'file_path'"),
    "a file that is a number": (frame(depth_file_path=3), "images/0002.png", "depth_file_path is 3"),
    "a missing image": (missing("images/0002.png"), "images/0002.png", "a file that does not exist"),
    "a missing depth": (missing("depth/0002.png"), "depth/0002.png", "a file that does not exist"),
    "a missing mask": (frame(mask_path="masks/a.png"), "masks/a.png", "a file that does not exist"),
    "a missing cloud": (top(ply_file_path="sparse.ply"), "sparse.ply", "a file that does not exist"),
    "a cloud that is no name": (top(ply_file_path=3), "transforms.json", "ply_file_path is 3"),
    "a folder as image": (frame(file_path="images"), "images", "a file that does not exist"),
    "the same image twice": (frame(file_path="./images/0001.png"), "images/0001.png", "2 times"),
    "no pose": (frame(transform_matrix=None), "frame 2 (images/0002.png)", "not four rows"),
    "a pose in words": (frame(transform_matrix="identity"), "frame 2", "not four rows"),
    "a ragged pose": (frame(transform_matrix=[[1, 0], [1]]), "frame 2", "not four rows"),
    "a 3x3 pose": (pose(lambda m: m[:3, :3]), "frame 2", "not four rows"),
    "a pose out of range": (
        both(
            frame(transform_matrix="HERE"),
            replaced(b'"HERE"', b"[[1,0,0,1e999],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"),
        ),
        "frame 2",
        "not finite",
    ),
    "a singular pose": (pose(lambda m: m * [[1], [1], [0], [1]]), "frame 2", "singular"),
    "a pose of zeros": (pose(lambda m: 0 * m), "frame 2", "singular"),
    "a scaled pose": (pose(lambda m: m @ np.diag([2.0, 2, 2, 1])), "frame 2", "not rigid"),
    "a sheared pose": (pose(lambda m: m + 0.01 * np.eye(4, k=1)), "frame 2", "not rigid"),
    "a mirrored pose": (pose(lambda m: m @ np.diag([1.0, 1, -1, 1])), "frame 2", "mirrors"),
    "a transposed pose": (pose(lambda m: m.T), "frame 2", "last|0 0 0 1"),
    "a wrong base frame": (top(T_base_world=NOT_RIGID), "T_base_world", "not rigid"),
    "an unknown camera": (
        top(camera_model="EQUIRECTANGULAR"),
        "EQUIRECTANGULAR",
        "use one of OPENCV, .*FISHEYE",
    ),
    "a camera that is no name": (top(camera_model=["OPENCV"]), "OPENCV", "not supported"),
    "no focal length": (top(fl_x=None), "frame 0", "no fl_x"),
    "a focal length of zero": (top(fl_x=0), "fl_x", "above zero"),
    "a focal length behind": (top(fl_y=-500), "fl_y", "above zero"),
    "a focal length in words": (top(fl_x="long"), "fl_x", "finite number"),
    "a field of view in degrees": (top(fl_x=None, camera_angle_x=60), "camera_angle_x", "radians"),
    "a centre that is a list": (top(cx=[3]), "cx", "finite number"),
    "another size": (top(w=640, h=480), "frame 0", "64x48 pixels but w and h say 640x480"),
    "sides swapped": (top(w=48, h=64), "frame 0", "64x48 pixels but w and h say 48x64"),
    "distortion as words": (top(k1="strong"), "k1", "finite number"),
    "distortion by name": (top(distortion_params={"k1": 1}), "distortion_params", "list of k1"),
    "too much distortion": (top(distortion_params=[0] * 12), "distortion_params", "list of k1"),
    "distortion beyond use": (top(k1=-1e12), "0000.png", "leave nothing of the image"),
    "a unit of zero": (top(depth_unit_scale_factor=0), "depth_unit_scale_factor", "above zero"),
    "a unit in words": (top(depth_unit_scale_factor="mm"), "depth_unit_scale_factor", "finite number"),
    "an empty image": (content("images/0002.png", b""), "images/0002.png", "it is empty"),
    "text as image": (content("images/0002.png", b"hello"), "images/0002.png", "not an image"),
    "an image cut in its header": (
        cut("images/0002.png", 0.005),
        "images/0002.png",
        "not an image|to its end",
    ),
    "an image cut in half": (cut("images/0002.png", 0.5), "images/0002.png", "to its end"),
    "a photograph cut short": (jpeg_cut, "images/0002.jpg", "to its end"),
    "an image with 16 bits": (
        picture("images/0002.png", grey8.astype(np.uint16)),
        "images/0002.png",
        "8 bits",
    ),
    "a larger image": (picture("images/0002.png", np.zeros((60, 80, 3), np.uint8)), "0002.png", "80x60"),
    "a mask of another size": (picture("m.png", grey8[:9, :9], mask_path="m.png"), "m.png", "9x9"),
    "a mask cut short": (
        both(picture("m.png", grey8, mask_path="m.png"), cut("m.png", 0.6)),
        "m.png",
        "to its end",
    ),
    "depth with 8 bits": (picture("depth/0002.png", grey8), "depth/0002.png", "16-bit"),
    "depth in colours": (picture("depth/0002.png", color), "depth/0002.png", "16-bit"),
    "depth of another shape": (
        picture("depth/0002.png", np.zeros((64, 48), np.uint16)),
        "depth/0002.png",
        "48x64",
    ),
    "depth cut in half": (cut("depth/0002.png", 0.5), "depth/0002.png", "to its end"),
    "empty depth": (content("depth/0002.png", b""), "depth/0002.png", "it is empty"),
    "a file that is not an array": (
        both(content("d.npy", b"hello"), frame(depth_file_path="d.npy")),
        "d.npy",
        "not a numpy array",
    ),
    "an array of objects": (array("d.npy", np.array([{"a": 1}], dtype=object)), "d.npy", "not a numpy array"),
    "an array of words": (array("d.npy", np.full((48, 64), "far")), "d.npy", "one number a pixel"),
    "an array of three channels": (array("d.npy", np.zeros((48, 64, 3))), "d.npy", "one number a pixel"),
    "an array cut short": (
        both(array("d.npy", np.zeros((48, 64))), cut("d.npy", 0.5)),
        "d.npy",
        "not a numpy array",
    ),
}


@pytest.mark.parametrize("name", CAPTURES)
def test_broken_captures(small_capture: Path, name: str):
    breaks, place, words = CAPTURES[name]
    breaks(small_capture)
    with pytest.raises(CaptureError) as caught:
        load_views(read_capture(small_capture))
    assert_helps(caught.value, place, words)


def test_the_corpus_starts_from_a_good_capture(small_capture: Path):
    assert len(load_views(read_capture(small_capture))) == 8


def test_no_capture_at_all(tmp_path: Path):
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "nothing.json"):
        with pytest.raises(CaptureError) as caught:
            read_capture(path)
        assert_helps(caught.value, str(path), "there is no")


# ── points ─────────────────────────────────────────────────────────────────────────────────────
GOOD = {
    "version": 1,
    "queries": [{"name": "mug", "text": "the mug", "role": "grasp"}, {"name": "lid", "text": "its lid"}],
    "answers": [
        {"image": "images/0000.png", "query": "mug", "points": [[1, 2]], "visible": True},
        {"image": "images/0001.png", "query": "lid", "points": [], "visible": False},
    ],
}


def with_answer(**changes) -> str:
    answer = {key: value for key, value in (GOOD["answers"][0] | changes).items() if value is not None}
    return json.dumps(GOOD | {"answers": [GOOD["answers"][1], answer]})


def with_query(**changes) -> str:
    query = {key: value for key, value in (GOOD["queries"][0] | changes).items() if value is not None}
    return json.dumps(GOOD | {"queries": [GOOD["queries"][1], query]})


POINTS: dict[str, tuple[str, str]] = {
    "empty": ("", "not valid JSON"),
    "half": (json.dumps(GOOD)[:50], "not valid JSON"),
    "a list": ("[]", r"it is \[\]: write an object with version, queries"),
    "a word": ('"mug"', "it is 'mug': write an object"),
    "nothing": ("{}", "'version' is missing: write 1"),
    "version 2": (json.dumps(GOOD | {"version": 2}), "'version' is 2: write 1; .*newer release"),
    "no queries": (json.dumps(GOOD | {"queries": []}), r"'queries' is \[\]: list 1 to 1000 queries"),
    "queries in words": (json.dumps(GOOD | {"queries": "mug"}), "'queries' is 'mug'"),
    "a nameless query": (with_query(name=None), r"'queries\[1\]\.name' is missing: write a short name"),
    "a blank name": (with_query(name=" "), r"'queries\[1\]\.name' is ' '.*short name"),
    "an empty text": (with_query(text=""), r"'queries\[1\]\.text' is ''"),
    "an unknown role": (with_query(role="grab"), r"'queries\[1\]\.role' is 'grab'.*grasp, place or avoid"),
    "two of a name": (with_query(name="lid"), "two queries are named 'lid'"),
    "an answer in words": (
        json.dumps(GOOD | {"answers": ["left"]}),
        r"'answers\[0\]' is 'left': write an answer as",
    ),
    "no image": (with_answer(image=None), r"'answers\[1\]\.image' is missing: write a file_path"),
    "no visible": (with_answer(visible=None), r"'answers\[1\]\.visible' is missing"),
    "visible in words": (with_answer(visible="yes"), r"'answers\[1\]\.visible' is 'yes': write true"),
    "one point too flat": (with_answer(points=[3, 4]), r"'answers\[1\]\.points\[0\]' is 3: .*two numbers"),
    "a 3D point": (
        with_answer(points=[[1, 2, 3]]),
        r"'answers\[1\]\.points\[0\]' is \[1, 2, 3\]: .*two numbers",
    ),
    "a point in words": (with_answer(points=[["1", 2]]), r"points\[0\]\[0\]' is '1': .*two numbers"),
    "negative seconds": (with_answer(seconds=-1), r"answers\[1\]\.seconds"),
    "a non-finite number": (with_answer().replace("[[1, 2]]", "[[NaN, 2]]"), "NaN is not a JSON number"),
    "a number that is too large": (
        with_answer().replace("[[1, 2]]", "[[1e999, 2]]"),
        r"points\[0\]\[0\]' is inf: .*finite",
    ),
    "an integer that is too large": (
        with_answer().replace("[[1, 2]]", f"[[1{'0' * 400}, 2]]"),
        r"points\[0\]\[0\]' is 10{30}.*finite",
    ),
    "an unknown query": (with_answer(query="cup"), "'cup', which is not asked: use one of lid, mug"),
    "an unknown image": (with_answer(image="images/001.png"), "did you mean .*images/0001.png"),
    "the image's bare name": (with_answer(image="0001.png"), "did you mean .*images/0001.png"),
    "an image from elsewhere": (
        with_answer(image="frame_77.jpeg"),
        "its images are named like images/0000.png",
    ),
    "unseen, with points": (with_answer(visible=False), "says visible: false"),
    "a point to the right": (with_answer(points=[[1, 2], [65.5, 3]]), r"\(65\.5, 3\) of query 'mug' .*64x48"),
    "a point above": (with_answer(points=[[3, -1.01]]), r"outside images/0000\.png.*64x48"),
    "points of another size": (with_answer(points=[[500, 900]]), "pixels of the image on disk"),
}


@pytest.mark.parametrize("name", POINTS)
def test_broken_points(small_capture: Path, name: str):
    text, words = POINTS[name]
    path = small_capture / "points.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PointsError) as caught:
        read_points(path, read_capture(small_capture))
    assert_helps(caught.value, "points.json", words)


def test_the_corpus_starts_from_good_points(small_capture: Path):
    path = small_capture / "points.json"
    path.write_text(json.dumps(GOOD))
    assert len(read_points(path, read_capture(small_capture)).answers) == 2


def test_no_points_at_all(tmp_path: Path):
    for path in (tmp_path, tmp_path / "points.json"):
        with pytest.raises(PointsError) as caught:
            read_points(path)
        assert_helps(caught.value, str(path), "does not exist|cannot be read")
