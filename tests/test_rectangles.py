"""Grasp rectangles: overlap beside a slow twin, the rule, files of Cornell and Jacquard, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pointing_benchmarks import save
from write_schemas import schema

from point2act.cli.main import main
from point2act.core.errors import ScoringError
from point2act.scoring.formats import FORMATS
from point2act.scoring.formats.rectangles import read_corner_lists, read_rectangle_file
from point2act.scoring.rectangles import (
    angle_between,
    from_center,
    is_convex,
    rectangle_iou,
    rectangles_match,
)
from point2act.scoring.replies import PUBLISHED, Frame, read_reply

sides = st.floats(5, 80)
rectangles = st.builds(
    from_center, st.floats(20, 80), st.floats(20, 80), st.floats(-np.pi, np.pi), sides, sides
)
FRAME = Frame((480, 640), (480, 640))


def counted_iou(first: np.ndarray, second: np.ndarray, step: float = 0.5) -> float:
    """The slow twin: points of a fine grid inside of both and of any, each by its sides of the edges."""
    x, y = np.meshgrid(np.arange(-60, 160, step), np.arange(-60, 160, step))
    inside = []
    for corners in (first, second):
        turns = []
        for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
            turns.append((bx - ax) * (y - ay) - (by - ay) * (x - ax))
        inside.append(np.all([turn >= 0 for turn in turns], axis=0) | np.all([t <= 0 for t in turns], axis=0))
    return float((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum())


@settings(max_examples=12, deadline=None)
@given(rectangles, rectangles)
def test_the_overlap_equals_the_slow_twin(first: np.ndarray, second: np.ndarray):
    assert rectangle_iou(first, second) == pytest.approx(counted_iou(first, second), abs=0.02)


@given(rectangles, rectangles, st.floats(-np.pi, np.pi), st.floats(-500, 500), st.floats(0.1, 10))
def test_motion_and_scale_change_nothing(
    first: np.ndarray, second: np.ndarray, angle: float, shift: float, scale: float
):
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = [scale * corners @ R.T + shift for corners in (first, second)]
    iou = rectangle_iou(first, second)
    assert rectangle_iou(*moved) == pytest.approx(iou, abs=1e-9)
    assert rectangle_iou(second, first) == pytest.approx(iou, abs=1e-9)
    assert angle_between(*moved) == pytest.approx(angle_between(first, second), abs=1e-6)
    assert 0 <= iou <= 1 + 1e-12


@given(rectangles, st.integers(0, 3), st.booleans())
def test_the_order_of_corners_matters_for_the_angle_alone(first: np.ndarray, start: int, mirrored: bool):
    other = np.roll(first[::-1] if mirrored else first, start, axis=0)
    assert rectangle_iou(first, other) == pytest.approx(1)
    assert rectangles_match(first, first)
    turned = angle_between(first, other)
    assert turned == pytest.approx(0, abs=1e-6) or turned == pytest.approx(np.pi / 2, abs=1e-6)


@given(st.floats(0, np.pi / 2))
def test_openings_are_within_thirty_degrees(angle: float):
    """A square turned about its middle overlaps enough at any angle, and its opening decides."""
    square = from_center(50.0, 50.0, 0.3, 40.0, 40.0)
    turned = from_center(50.0, 50.0, 0.3 + angle, 40.0, 40.0)
    assert rectangle_iou(square, turned) > 0.7
    for sign in (1, -1):  # The fingers may be exchanged.
        other = from_center(50.0, 50.0, 0.3 + sign * angle + np.pi, 40.0, 40.0)
        if abs(angle - np.pi / 6) > 1e-6:
            assert rectangles_match(square, other) == (angle < np.pi / 6)
    assert angle_between(square, turned) == pytest.approx(angle, abs=1e-6)


def test_a_quarter_of_the_union_is_too_little():
    square = from_center(0.0, 0.0, 0.0, 10.0, 10.0)
    shift = 10 * (1 - 0.4)  # Overlap 0.4 of each: 0.4 / 1.6 is a quarter.
    assert rectangle_iou(square, square + np.array([shift, 0])) == pytest.approx(0.25)
    assert not rectangles_match(square, square + np.array([shift + 0.01, 0]))
    assert rectangles_match(square, square + np.array([shift - 0.01, 0]))


@pytest.mark.parametrize(
    "corners",
    [
        [[0, 0], [0, 0], [0, 0], [0, 0]],
        [[0, 0], [10, 0], [10, 0], [0, 0]],
        [[0, 0], [10, 10], [10, 0], [0, 10]],  # A bow tie.
        [[0, 0], [10, 0], [2, 2], [0, 10]],  # Not convex.
        [[1e300, 0], [0, 1e300], [-1e300, 0], [0, np.inf]],
    ],
)
def test_what_is_no_rectangle_matches_nothing(corners: list[list[float]]):
    with np.errstate(all="ignore"):
        strange, square = np.array(corners, dtype=float), from_center(5.0, 5.0, 0.0, 10.0, 10.0)
        assert not is_convex(strange)
        assert rectangle_iou(strange, square) == rectangle_iou(square, strange) == 0
        assert not rectangles_match(strange, square)


# ── files and replies ──────────────────────────────────────────────────────────────────────────
def test_files_of_cornell_are_read_without_their_nan(tmp_path: Path):
    path = tmp_path / "pcd0132cpos.txt"
    path.write_text("283 286.999 \n284 315 \n313 314 \n312 285.999\nNaN NaN \n256 313 \n277 313 \nNaN NaN\n")
    (corners,) = read_rectangle_file(path)
    np.testing.assert_allclose(corners, [[283, 286.999], [284, 315], [313, 314], [312, 285.999]])


def test_files_of_jacquard_are_read(tmp_path: Path):
    """The angle turns clockwise as one sees it: y is down."""
    path = tmp_path / "0_grasps.txt"
    path.write_text("100.0;50.0;90.0;40.0;10.0\n100;50;0;40;10\n")
    up, level = read_rectangle_file(path)
    np.testing.assert_allclose(up, [[105, 30], [105, 70], [95, 70], [95, 30]], atol=1e-9)
    np.testing.assert_allclose(level, [[80, 45], [120, 45], [120, 55], [80, 55]], atol=1e-9)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"1 2\n3 4\n",
        b"a b\nc d\ne f\ng h\n",
        b"1 2 3\n" * 4,
        b"1;2;3;4\n",
        b"\xff\xfe\x00",
        b"NaN NaN\n" * 4,
    ],
)
def test_malformed_files_are_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "cpos.txt"
    path.write_bytes(content)
    with pytest.raises(ScoringError, match=r"cpos\.txt has no grasp rectangles: write four lines"):
        read_rectangle_file(path)


CORNERS = [[80, 45], [120, 45], [120, 55], [80, 55]]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (json.dumps(CORNERS), 1),
        (f"Here: ```json\n{json.dumps([CORNERS, CORNERS])}\n```", 2),
        ("100;50;0;40;10\n1e2; 50.0; 0; 40; 10", 2),
        ("[[[0, 0], [0, 0], [0, 0], [0, 0]]]", 0),
        ("(0.5, 0.5)", 0),
        ("[[1, 2], [3, 4]]", 0),
        ('[[[["a"]]]]', 0),
        ("-;-;-;-;-", 0),
        ("[" * 5000, 0),
        (f"[{CORNERS[:3]}, {CORNERS}]", 0),
    ],
)
def test_rectangles_are_read_in_replies(text: str, count: int):
    found = read_corner_lists(text, FRAME)
    assert len(found) == count
    for mark in found:
        np.testing.assert_allclose(np.reshape(mark, (4, 2)), CORNERS, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789.;-+eE[], naif", max_size=80))
def test_no_reply_fails(text: str):
    reading = read_reply(text, PUBLISHED, FRAME, FORMATS["rectangles"].readers)
    assert all(len(mark) == 8 for mark in reading.marks)


# ── the command ────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    rng, lines = np.random.default_rng(0), []
    for number in range(4):
        save(folder / f"{number}.png", rng.integers(0, 256, (120, 160, 3), dtype=np.uint8))
        corners = "".join(f"{x} {y}\n" for x, y in CORNERS)
        (folder / f"{number}cpos.txt").write_text(corners + "NaN NaN\n" * 4 + "10 10\n30 10\n30 20\n10 20\n")
        lines.append(
            {"id": number, "image": f"{number}.png", "text": "Grasp it.", "grasps": f"{number}cpos.txt"}
        )
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def bench(data: Path, replies: list[str], *options: object) -> list[str]:
    path = data.parent / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": n, "reply": text}) + "\n" for n, text in enumerate(replies)))
    words = [
        "bench-model",
        "--format",
        "rectangles",
        "--data",
        data,
        "--output",
        data.parent / "out",
        *options,
    ]
    return [str(word) for word in (*words, "--answers", path)]


def test_the_command_scores_rectangles(data: Path, capsys: pytest.CaptureFixture):
    wrong, right = json.dumps([[0, 60], [9, 60], [9, 90], [0, 90]]), "20;15;10;22;9"
    third = f"[{wrong}, {wrong}, {json.dumps(CORNERS)}]"
    main(bench(data, [right, wrong, third, "no idea"]))
    scores = json.loads((data.parent / "out" / "scores.json").read_text())
    Draft202012Validator(schema("scores")).validate(scores)
    assert [entry["score"] for entry in scores["questions"]] == [1, 0, 0, 0]
    assert (scores["overall"], scores["recall_at_3"], scores["unreadable"]) == (0.25, 0.5, 1)
    assert len(scores["questions"][2]["points"][2]) == 8
    assert scores["baselines"]["area"] is None
    assert scores["baselines"]["middle"] == 0
    assert "Grasp rectangles: 4 questions" in capsys.readouterr().out
    assert (data.parent / "out" / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") == 3


def test_a_rectangle_in_the_middle_is_a_baseline(data: Path):
    for number in range(4):
        (data / f"{number}cpos.txt").write_text("68 54\n92 54\n92 66\n68 66\n")
    main(bench(data, ["[]"]))
    baselines = json.loads((data.parent / "out" / "scores.json").read_text())["baselines"]
    assert baselines["middle"] == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("0cpos.txt", "../secret"), "leads out of"),
        (("0cpos.txt", "absent.txt"), "does not exist"),
        (('"grasps"', '"rects"'), "'grasps' is missing"),
        (('"id": 1,', '"id": 0,'), "2 questions with the id '0'"),
        (('"id": 1,', '"id": NaN,'), "NaN is not a JSON number"),
    ],
)
def test_malformed_data_sets_end_in_one_sentence(
    change: tuple[str, str], says: str, data: Path, capsys: pytest.CaptureFixture
):
    path = data / "questions.jsonl"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(SystemExit) as stop:
        main(bench(data, []))
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
    assert not (data.parent / "out").exists()


@pytest.mark.parametrize("options", [("--model", "qwen3_vl_8b"), ("--clicks", "points.json")])
def test_points_are_no_answers(options: tuple[str, str], data: Path, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as stop:
        main(bench(data, ["[]"], *options))
    assert stop.value.code == 2
    assert "points are no answers to it" in capsys.readouterr().err
