"""A corpus of hostile and broken inputs: the change to a good one, and the expected error.

Each case is either refused in one sentence that says what is matched here, or, with None, read: then all that
comes of it is finite. ``test_bad_inputs`` has the mistakes that people make; here is what no one makes in
good faith, and what fuzzing found (``python -m benchmarks fuzz``).
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from test_bad_inputs import Break, array, both, content, frame, picture, replaced, top

Case = tuple[Break, str | None]


# ── what is done to a capture ──────────────────────────────────────────────────────────────────
def elsewhere(key: str, name: str = "../elsewhere.png") -> Break:
    """A good file beside the capture, which the third frame names."""

    def apply(folder: Path) -> None:
        source = "images/0002.png" if key == "file_path" else "depth/0002.png"
        (folder.parent / "elsewhere.png").write_bytes((folder / source).read_bytes())
        frame(**{key: name.replace("HERE", str(folder.parent))})(folder)

    return apply


def linked(name: str, target: str) -> Break:
    """A file or folder of the capture moved to ``target`` and a symbolic link put in its place."""

    def apply(folder: Path) -> None:
        (folder / target).parent.mkdir(exist_ok=True)
        (folder / name).rename(folder / target)
        (folder / name).symlink_to((folder / target).resolve())

    return apply


def link(name: str, target: str) -> Break:
    """A symbolic link in place of a file."""

    def apply(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return apply


def pipe(name: str) -> Break:
    """A pipe without a writer, in place of a file."""

    def apply(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return apply


def renamed(name: str) -> Break:
    """The third image under another name."""

    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images/0002.png").rename(folder / name)
        frame(file_path=name)(folder)

    return apply


def whole(text: str | bytes) -> Break:
    """Another transforms.json."""
    return content("transforms.json", text.encode() if isinstance(text, str) else text)


def document(change: Callable[[str], bytes]) -> Break:
    """The text of transforms.json, changed."""

    def apply(folder: Path) -> None:
        path = folder / "transforms.json"
        path.write_bytes(change(path.read_text()))

    return apply


def sparse(name: str, size: int) -> Break:
    """A file of zeros that takes no place on the disk."""

    def apply(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return apply


def many_frames(folder: Path) -> None:
    frames = ", ".join(f'{{"file_path": "{index}"}}' for index in range(100_001))
    (folder / "transforms.json").write_text(f'{{"frames": [{frames}]}}')


def matrix(*rows: str) -> Break:
    """The third pose, digit by digit."""
    return both(frame(transform_matrix="HERE"), replaced(b'"HERE"', f"[{', '.join(rows)}]".encode()))


def number(text: str, **where: str) -> Break:
    """A number at the top level, digit by digit."""
    ((key, _),) = where.items() or (("fl_x", ""),)
    return both(top(**{key: "HERE"}), replaced(b'"HERE"', text.encode()))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG whose header says so, and hardly any pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(bytes(100)))


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    )


def npy(header: str) -> bytes:
    """A numpy file with a header of our own and hardly any data."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)


def shaped(shape: str) -> bytes:
    """A numpy file that says it has this shape."""
    return npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}")


def depth(data: bytes) -> Break:
    """The third depth as a numpy file."""
    return both(content("d.npy", data), frame(depth_file_path="d.npy"))


def with_lab(folder: Path) -> None:
    Image.new("LAB", (64, 48)).save(folder / "images" / "0002.tiff")
    frame(file_path="images/0002.tiff")(folder)


def zipped(folder: Path) -> None:
    np.savez(folder / "d.npz", depth=np.ones((48, 64)))
    (folder / "d.npz").rename(folder / "d.npy")
    frame(depth_file_path="d.npy")(folder)


HUGE = "1" + 400 * "0"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\n(%pipe%true) (w) file\n"
POSE = ("[1,0,0,0]", "[0,1,0,0]", "[0,0,1,0]", "[0,0,0,1]")
IDENTITY = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
readings = np.full((48, 64), 1.0)
readings[0, :5] = np.nan, np.inf, -np.inf, -1.0, 1e300

PATHS: dict[str, Case] = {
    "an image above": (elsewhere("file_path"), "frame 2 .*file_path leads to .*outside .*--allow-outside"),
    "an image by its whole path": (elsewhere("file_path", "HERE/elsewhere.png"), "outside"),
    "an image above, in Windows' way": (elsewhere("file_path", "..\\elsewhere.png"), "outside"),
    "an image above, by a detour": (elsewhere("file_path", "images/../../elsewhere.png"), "outside"),
    "a depth above": (elsewhere("depth_file_path"), "depth_file_path leads to .*outside"),
    "a mask above": (elsewhere("mask_path"), "mask_path leads to .*outside"),
    "a secret file": (frame(mask_path="/etc/passwd"), "leads to /etc/passwd, outside"),
    "a file that is not there, outside": (frame(file_path="/no/such/place.png"), "outside"),
    "a cloud outside": (top(ply_file_path="/etc/passwd"), "ply_file_path leads to /etc/passwd, outside"),
    "an image linked to the outside": (linked("images/0002.png", "../moved.png"), "moved.png, outside"),
    "images linked to the outside": (linked("images", "../moved"), "moved/0000.png, outside"),
    "an image linked within": (linked("images/0002.png", "images/moved.png"), None),
    "images linked within": (linked("images", "moved"), None),
    "a detour within": (frame(file_path="depth/.././images/0002.png"), None),
    "a link to nowhere": (link("images/0002.png", "nowhere.png"), "does not exist"),
    "a link to itself": (link("images/0002.png", "0002.png"), "does not exist"),
    "a pipe as image": (pipe("images/0002.png"), "file_path is a pipe or a device"),
    "a pipe as depth": (pipe("depth/0002.png"), "depth_file_path is a pipe or a device"),
    "a pipe as cloud": (both(pipe("c.ply"), top(ply_file_path="c.ply")), "ply_file_path is a pipe"),
    "a device as image": (link("images/0002.png", "/dev/zero"), "leads to /dev/zero, outside"),
    "a pipe as transforms.json": (pipe("transforms.json"), "there is no"),
    "a device as transforms.json": (link("transforms.json", "/dev/zero"), "there is no"),
    "a name with a NUL": (frame(file_path="images/0002.png\0.jpg"), "control character"),
    "a name of two lines": (frame(file_path="images/\n0002.png"), "control character"),
    "a name that colours the terminal": (frame(mask_path="\x1b[31mred"), "mask_path .*control character"),
    "a name that is no Unicode": (frame(file_path="images/\ud800.png"), r"'images/\\ud800.png'"),
    "a name of 100 000 characters": (frame(file_path="a" * 100_000), "at most 1000"),
    "a name longer than files have": (frame(file_path="a" * 300), "does not exist"),
    "a web address": (frame(file_path="https://example.org/0002.png"), "does not exist"),
    "a home folder": (frame(file_path="~/0002.png"), "does not exist"),
    "a name with spaces": (renamed("my images/number 2 .png"), None),
    "a name in many scripts": (renamed("画像/Ä ß é Ω 🍵.png"), None),
    "a name with quotes": (renamed("images/'\"$(touch x)`.png"), None),
    "a name like an option": (renamed("images/--help.png"), None),
}

DOCUMENTS: dict[str, Case] = {
    "nothing": (whole(""), "not valid JSON"),
    "null": (whole("null"), "no JSON object"),
    "a number": (whole("17"), "no JSON object"),
    "nested lists": (whole("[" * 1_000_000), "nested too deeply"),
    "nested lists that end": (whole("[" * 200 + "]" * 200), "nested more than 50 deep"),
    "nested objects": (whole('{"a":' * 900 + "1" + "}" * 900), "nested more than 50 deep|too deeply"),
    "nested in a pose": (matrix("[" * 60 + "]" * 60), "nested more than 50 deep"),
    "a key twice": (document(lambda text: b'{"fl_x": 1, ' + text[1:].encode()), "the key 'fl_x' twice"),
    "infinity": (number("Infinity", fl_x=""), "Infinity is not a JSON number"),
    "an integer of 5000 digits": (number("9" * 5000, fl_x=""), "not valid JSON .*digits"),
    "UTF-16": (document(lambda text: text.encode("utf-16")), "not valid JSON .*utf-8"),
    "Latin-1": (replaced(b"OPENCV", b"\xe4"), "not valid JSON .*utf-8"),
    "a byte order mark": (document(lambda text: b"\xef\xbb\xbf" + text.encode()), None),
    "Python, not JSON": (document(lambda text: repr(json.loads(text)).encode()), "not valid JSON"),
    "a comment": (document(lambda text: b"// own\n" + text.encode()), "not valid JSON"),
    "a pickle": (whole(pickle.dumps(os.getcwd)), "not valid JSON"),
    "300 MB": (sparse("transforms.json", 300 * 2**20), "more than 256 MB"),
    "100 001 frames": (many_frames, "100001 frames: keep 100000 or fewer"),
}  # fmt: skip

NUMBERS: dict[str, Case] = {
    "a focal length beyond numbers": (number("1e999", fl_x=""), "fl_x is inf: write a finite number"),
    "a focal length of 400 digits": (number(HUGE, fl_x=""), "fl_x is 10+.*0: write a finite number"),
    "an enormous focal length": (top(fl_x=1e308), r"1e\+308 pixels for an image of 64: write one between"),
    "a tiny focal length": (top(fl_y=1e-308), "fl_y makes a focal length of 1e-308"),
    "a focal length of 10 MB": (top(fl_x="9" * 10_000_000), "fl_x is '9+....*: write a finite number"),
    "a field of view of nothing": (top(fl_x=None, camera_angle_x=1e-300), "camera_angle_x makes"),
    "a field of view of everything": (top(fl_x=None, camera_angle_x=3.141592653589), "camera_angle_x makes"),
    "a centre far away": (top(cx=1e300), r"cx is 1e\+300 for an image of 64 pixels"),
    "an enormous size": (top(w=1e308, h=-1e308), r"w and h say 1e\+308x-1e\+308"),
    "a size of 400 digits": (number(HUGE, w=""), "w is 10+.*0: write a finite number"),
    "a negative size": (top(w=-64, h=-48), "w and h say -64x-48"),
    "an enormous distortion": (top(k1=1e308), r"k1 is 1e\+308, too large for a lens"),
    "an enormous distortion in a list": (top(distortion_params=[0, -1e300]), r"k2 is -1e\+300"),
    "a large fisheye distortion": (top(camera_model="OPENCV_FISHEYE", k4=1e12), None),
    "a negative fisheye distortion": (top(camera_model="OPENCV_FISHEYE", k1=-1e12), "leave nothing"),
    "a fisheye circle of nothing": (
        top(camera_model="OPENCV_FISHEYE", fisheye_crop_radius=-5),
        "fisheye_crop_radius is -5: write a number",
    ),
    "a large tangential distortion": (top(p1=1e12), "leave nothing|no lens"),
    "a pose beyond the Earth": (matrix("[1,0,0,1e308]", *POSE[1:]), r"leads 1e\+308 from the origin"),
    "a pose of 400 digits": (matrix(f"[1,0,0,{HUGE}]", *POSE[1:]), "not four rows of four numbers"),
    "a pose that would overflow": (matrix("[1e308,0,0,0]", *POSE[1:]), "not rigid"),
    "a pose that would vanish": (matrix("[1e-320,0,0,0]", *POSE[1:]), "singular|not rigid"),
    "a pose with a last row beyond reason": (matrix(*POSE[:3], "[0,0,0,1e308]"), "0 0 0 1"),
    "a pose of nothing": (frame(transform_matrix=[[None] * 4] * 4), "not finite|not four rows"),
    "a pose of tables": (frame(transform_matrix=[[{}] * 4] * 4), "not four rows"),
    "a pose of 10 000 rows": (frame(transform_matrix=[[1, 0, 0, 0]] * 10_000), "not four rows"),
    "a pose of nine dimensions": (frame(transform_matrix=[[[[[[[[[1]]]]]]]]]), "not four rows"),
    "a base beyond the Earth": (top(T_base_world=[[1, 0, 0, 1e300], *IDENTITY[1:]]), "T_base_world leads"),
    "an enormous unit": (top(depth_unit_scale_factor=1e300), r"is 1e\+300: write the metres"),
    "a tiny unit": (top(depth_unit_scale_factor=1e-300), "is 1e-300: write the metres"),
    "a camera of 1 MB": (top(camera_model="A" * 1_000_000), "not supported"),
    "a camera of many lists": (top(camera_model=[[[[[[[[[[1]]]]]]]]]]), "not supported"),
    "a flag that is a list": (top(metric=[1], complete={}), None),
}

PICTURES: dict[str, Case] = {
    "an image of 2.5 billion pixels": (content("images/0002.png", png(50_000, 50_000)), "pixels"),
    "an image of 100 million pixels": (content("images/0002.png", png(10_000, 10_000)), "pixels"),
    "an image of no pixels": (content("images/0002.png", png(0, 0)), "not an image|to its end"),
    "an image of the most pixels": (content("images/0002.png", png(2**31 - 1, 1)), "pixels|not an"),
    "a bitmap of 2.5 billion pixels": (content("images/0002.png", bmp(50_000, 50_000)), "pixels"),
    "a depth of 2.5 billion pixels": (content("depth/0002.png", png(50_000, 50_000)), "pixels"),
    "a text of 100 MB in an image": (
        content("images/0002.png", png(64, 48, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))))),
        "images/0002.png",
    ),
    "a header that is cut": (content("images/0002.png", png(64, 48)[:20]), "not an image"),
    "a program in PostScript": (content("images/0002.png", EPS), "a program in EPS, not an image"),
    "a drawing": (content("images/0002.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "not an image"),
    "a page": (content("images/0002.png", b"%PDF-1.4\n"), "not an image"),
    "colours as printers have them": (with_lab, None),
    "an empty mask": (both(content("m.png", b""), frame(mask_path="m.png")), "it is empty"),
    "a mask that hides all": (picture("m.png", np.zeros((48, 64), np.uint8), mask_path="m.png"), None),
    "depth that is not finite": (array("d.npy", readings), None),
    "depth below zero": (array("d.npy", np.full((48, 64), -5, np.int16)), None),
    "depth of all bits": (array("d.npy", np.full((48, 64), 2**64 - 1, np.uint64)), None),
    "depth as float32 for nothing": (array("d.npy", np.full((48, 64), np.finfo(np.float32).max)), None),
    "depth without readings": (picture("depth/0002.png", np.zeros((48, 64), np.uint16)), None),
    "depth of no pixels": (array("d.npy", np.ones((0, 0))), r"shape \(0, 0\)"),
    "depth of one pixel": (array("d.npy", np.ones((1, 1))), None),
    "depth in long floats": (array("d.npy", np.ones((48, 64), np.longdouble)), "one number a pixel|numpy"),
    "depth in complex numbers": (array("d.npy", np.ones((48, 64), complex)), "one number a pixel"),
    "depth zipped": (zipped, "not a numpy array"),
    "depth pickled": (depth(pickle.dumps(np.ones((48, 64)))), "not a numpy array"),
    "depth that starts like an array": (depth(b"\x93NUMPY"), "not a numpy array"),
    "depth of 10^12 pixels": (depth(shaped("(1000000, 1000000)")), "not a numpy array"),
    "depth of fewer than no pixels": (depth(shaped("(-48, 64)")), "not a numpy array"),
    "depth of more pixels than integers": (depth(shaped(f"({HUGE}, 1)")), "not a numpy array"),
    "depth with a program in it": (depth(npy("__import__('os').getcwd()")), "not a numpy array"),
    "depth with brackets in it": (depth(npy("(" * 500)), "not a numpy array"),
    "depth with a nest in it": (depth(npy("{'descr': " + "[" * 300 + "]" * 300 + "}")), "not a numpy array"),
    "depth of pickled objects": (array("d.npy", np.array([[print]], dtype=object)), "not a numpy array"),
}  # fmt: skip

CAPTURES = PATHS | DOCUMENTS | NUMBERS | PICTURES

# ── points ─────────────────────────────────────────────────────────────────────────────────────
GOOD = '{"version": 1, "queries": [{"name": "mug", "text": "the mug"}], "answers": [ANSWERS]}'
ANSWER = '{"image": "images/0000.png", "query": "mug", "points": [[1, 2]], "visible": true}'


def points(text: str | bytes) -> Break:
    """A points.json."""
    return content("points.json", text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def answered(old: str, new: str) -> Break:
    """One answer, changed."""
    return points(GOOD.replace("ANSWERS", ANSWER.replace(old, new)))


def asked(name: str, text: str) -> Break:
    """One query, of other words."""
    query = json.dumps([{"name": name, "text": text}])
    return points(json.dumps(json.loads(GOOD.replace("[ANSWERS]", "[]")) | {"queries": json.loads(query)}))


def planned(steps: str) -> Break:
    """A plan of these steps."""
    return points(GOOD.replace("[ANSWERS]", f'[], "plan": {{"instruction": "a", "steps": {steps}}}'))


def listed(answers: list[object], queries: int = 1) -> Break:
    names = [{"name": "mug" if index == 0 else str(index), "text": "mug"} for index in range(queries)]
    return points(json.dumps({"version": 1, "queries": names, "answers": answers}))


POINTS: dict[str, Case] = {
    "points: nothing": (points(""), "not valid JSON"),
    "points: a pipe": (pipe("points.json"), "a pipe or a device"),
    "points: a device": (link("points.json", "/dev/zero"), "a pipe or a device"),
    "points: a pickle": (points(pickle.dumps(os.getcwd)), "not valid JSON"),
    "points: UTF-16": (points(GOOD.encode("utf-16")), "not valid JSON"),
    "points: half a pair, not escaped": (points(b'{"version": "\xed\xa0\x80"}'), "not valid JSON"),
    "points: nested": (points("[" * 100_000), "nested too deeply"),
    "points: nested, and ended": (points("[" * 400 + "]" * 400), "nested more than 50"),
    "points: a key twice": (answered('"visible"', '"query": "mug", "visible"'), "the key 'query' twice"),
    "points: 300 MB": (sparse("points.json", 300 * 2**20), "more than 256 MB"),
    "points: a million values": (listed([[0] * 1_000_001]), r"answers\[0\]' is \[0, .*\]: write an answer"),
    "points: one pair of 100 000": (answered("[[1, 2]]", json.dumps([[0] * 20_000])), "two numbers"),
    "points: 200 000 wrong ones": (answered("[[1, 2]]", json.dumps([["a"]] * 200_000)), "is 'a': "),
    "points: 1001 queries": (listed([], 1001), "'queries' is .*: list 1 to 1000 queries"),
    "points: 10^400 seconds": (answered('"visible"', f'"seconds": {HUGE}, "visible"'), "seconds' is 10{9}"),
    "points: infinite seconds": (answered('"visible"', '"seconds": 1e999, "visible"'), "seconds' is inf"),
    "points: enormous": (answered("[[1, 2]]", "[[1e308, -1e308]]"), r"\(1e\+308, -1e\+308\) .*outside"),
    "points: of 400 digits": (answered("[[1, 2]]", f"[[{HUGE}, 1]]"), "' is 10{30}.*two numbers"),
    "points: true and false": (answered("[[1, 2]]", "[[true, false]]"), "is True: .*two numbers"),
    "points: version true": (points(GOOD.replace(": 1,", ": true,").replace("ANSWERS", "")), "is True: .* 1"),
    "points: a query that rings": (asked("mug\x07", "the mug"), r"name is 'mug\\x07': write"),
    "points: words that colour the terminal": (asked("mug", "\x1b[31mmug"), "control characters"),
    "points: half a pair": (asked("mug", "\ud83d"), r"'\\ud83d'"),
    "points: words of 1 MB": (asked("mug", "mug " * 250_000), "at most 1000"),
    "points: words in many scripts": (asked("カップ", "la poignée de la tasse 🍵"), None),
    "points: words on two lines": (asked("mug", "the mug\n\ton the left"), None),
    "points: an image of 1 MB": (answered("images/0000.png", "a" * 1_000_000), "at most 1000"),
    "points: an image with a NUL": (answered("images/0000.png", "images/0000.png\\u0000"), "control"),
    "points: an image elsewhere": (answered("images/0000.png", "/etc/passwd"), "has no image '/etc/passwd'"),
    "points: a query of 1 MB": (answered('"query": "mug"', f'"query": "{"a" * 1_000_000}"'), "is not asked"),
    "points: a plan of 10 000 steps": (planned("[" + "{}, " * 10_000 + "{}]"), "action' is missing"),
    "points: a detour": (answered("images/0000.png", "depth/../images\\\\0000.png"), None),
}  # fmt: skip

# ── configs ────────────────────────────────────────────────────────────────────────────────────
PANDA = (Path(__file__).resolve().parent.parent / "configs" / "grippers" / "panda.toml").read_text()
QWEN = (Path(__file__).resolve().parent.parent / "configs" / "models" / "qwen3_vl_8b.toml").read_text()


def toml(good: str, old: str = "", new: str = "") -> Callable[[Path], None]:
    """A file of its own, made of a good one: the first line that starts with ``old`` is another."""

    def apply(path: Path) -> None:
        lines = good.splitlines()
        which = next(index for index, line in enumerate(lines) if line.startswith(old)) if old else len(lines)
        lines[which : which + 1] = [new]
        path.write_text("\n".join(lines), encoding="utf-8")

    return apply


def bytes_of(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


ANY: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (bytes_of(b""), "no|nothing|is None|says nothing"),
    "binary": (bytes_of(bytes(range(256))), "cannot be read as TOML"),
    "Latin-1": (bytes_of(b"name = '\xe4'"), "cannot be read as TOML"),
    "UTF-16": (bytes_of("name = 'a'".encode("utf-16")), "cannot be read as TOML"),
    "a pipe": (lambda path: os.mkfifo(path), "no .* named"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "no .* named"),
    "a folder": (lambda path: path.mkdir(), "no .* named"),
    "2 MB": (bytes_of(b"#" * 2**21), "more than 1 MB"),
    "nested lists": (bytes_of(b"a = " + b"[" * 100_000), "nested too deeply"),
    "nested lists that end": (bytes_of(b"a = " + b"[" * 80 + b"]" * 80), "nested more than 50"),
    "a key of 5000 parts": (bytes_of(b".".join([b"a"] * 5000) + b" = 1"), "nested more than 50"),
    "a table of 5000 parts": (bytes_of(b"[" + b".".join([b"a"] * 5000) + b"]"), "nested more than 50"),
    "an integer of 5000 digits": (bytes_of(b"max_width = " + b"9" * 5000), "cannot be read as TOML .*digits"),
    "an integer of 5000 hex digits": (bytes_of(b"max_width = 0x" + b"f" * 5000), "beyond 64 bits"),
    "a key twice": (bytes_of(b"a = 1\na = 2\n"), "cannot be read as TOML"),
    "a date": (bytes_of(b"name = 1979-05-27\n"), "has no model|name"),
    "an invalid date": (bytes_of(b"name = 1979-13-99\n"), "cannot be read as TOML"),
    "a million keys": (bytes_of(b"\n".join(b"k%d=1" % index for index in range(20_000))), "unknown keys"),
}

GRIPPERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an opening of infinity": (toml(PANDA, "max_width", "max_width = inf"), "max_width"),
    "an opening that is no number": (toml(PANDA, "max_width", "max_width = nan"), "max_width"),
    "a negative opening": (toml(PANDA, "max_width", "max_width = -0.08"), "max_width"),
    "pads of infinity": (toml(PANDA, "pad_size", "pad_size = [inf, nan]"), "pad_size"),
    "pads of tables": (toml(PANDA, "pad_size", "pad_size = [{}, {}]"), "pad_size"),
    "a mount of words": (toml(PANDA, "mount", 'mount = ["far", "near"]'), "mount"),
    "a name of nothing": (toml(PANDA, "name", 'name = "  "'), "name"),
}

MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a dialect that is a list": (toml(QWEN, "dialect", "dialect = [[]]"), "dialect"),
    "a prompt of braces": (toml(QWEN, "prompt", 'prompt = "{query.__class__}{0}{"'), "prompt|TOML"),
    "a prompt that reaches inside": (
        toml(QWEN, "name", 'name = "a"\nkey_variable = "$(id)"'),
        "key_variable",
    ),
    "a price of infinity": (toml(QWEN, "name", 'name = "a"\nprice = [inf, nan]'), "price"),
}

# ── replies ────────────────────────────────────────────────────────────────────────────────────
REPLIES: dict[str, str] = {
    "nothing": "",
    "a separator before a number": '<point x="\x1f3.5" y="1">a</point>',
    "space": " \t\n" * 1000,
    "a NUL": "\0",
    "half a pair": "\ud800 [1, 2] \udfff",
    "an endless list": "[[1, 2], " * 100_000,
    "nested lists": "[" * 5000 + "1, 2" + "]" * 5000,
    "nested objects in a list": "[" + '{"a":' * 5000 + "1" + "}" * 5000 + "]",
    "an integer of 5000 digits": f'[{{"point_2d": [{"9" * 5000}, 1]}}]',
    "a number of 5000 digits in a tag": f'<point x="{"9" * 5000}" y="1">a</point>',
    "non-finite numbers": '[{"point_2d": [NaN, Infinity]}]',
    "a number beyond numbers": '[{"point_2d": [1e999, -1e999], "point": [1e999, 1]}]',
    "digits of another script": '<point x="٣" y="४">a</point>',
    "tags without end": "<points " * 20_000,
    "attributes without end": "<point " + 'x="1" ' * 8000 + "/>",
    "spaces without end": "<point" + " " * 45_000 + "x",
    "quotes without end": '["' + "\\" * 45_000,
    "corners without end": "(1,2)," * 8000 + "(3",
    "coords without end": f'<points coords="1 {"1 5 5 " * 10_000}"/>',
    "there is no, without end": "there is no " * 4000,
    "keys of Python": '{"__class__": {"__init__": [1, 2]}}',
    "a key twice": '{"x": 1, "y": 2, "x": 3}',
    "all brackets": "([{<" * 2000 + ">}])" * 2000,
    "only thought": "<think>[1, 2]",
    "another program": "__import__('os').system('true')",
}
