"""``point2act bench-model``: data sets and answers in, scores.json, a table and a report out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_scores
from jsonschema import Draft202012Validator
from model_server import ModelServer, after, in_turn, prompt, status
from PIL import Image
from pointing_benchmarks import (
    reply_in_first_pair,
    reply_in_pixels,
    reply_in_tuples,
    some_replies,
    write_data_set,
)
from write_schemas import schema

from point2act.cli.main import main
from point2act.core.errors import ScoringError
from point2act.scoring.answers import Answer, read_answers, write_answers
from point2act.scoring.asking import prompt_for
from point2act.scoring.formats import FORMATS
from point2act.vlm.clients.models import load_model

WRITERS = {
    "where2place": reply_in_tuples,
    "refspatial": reply_in_tuples,
    "pointbench": reply_in_pixels,
    "robospatial": reply_in_first_pair,
}
COUNT = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Any]]]:
    root = tmp_path_factory.mktemp("data")
    return {kind: (root / kind, write_data_set(kind, root / kind, count=COUNT)) for kind in WRITERS}


def store(path: Path, ids: list[Any], replies: list[str | None]) -> Path:
    lines = [
        {"id": name, "reply": reply} for name, reply in zip(ids, replies, strict=True) if reply is not None
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def bench(kind: str, folder: Path, output: Path, *options: object) -> dict[str, Any]:
    words = ["bench-model", "--format", kind, "--data", folder, "--output", output, *options]
    main([str(word) for word in words])
    return json.loads((output / "scores.json").read_text(encoding="utf-8"))


def refuse(capsys: pytest.CaptureFixture, kind: str, folder: Path, output: Path, *options: object) -> str:
    """Exit code 2 and one sentence, and nothing is written."""
    with pytest.raises(SystemExit) as stop:
        bench(kind, folder, output, *options)
    assert stop.value.code == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not re.match(r"[a-z ]{24} +[0-9.]+ s", line)
    ]
    assert len(lines) == 1
    assert lines[0].startswith("point2act: ")
    assert not output.exists()
    return lines[0]


def test_stored_answers_are_scored_in_a_process_of_its_own(data: dict, tmp_path: Path):
    folder, ids = data["refspatial"]
    answers = store(tmp_path / "answers.jsonl", ids, some_replies(reply_in_tuples, COUNT, seed=5))
    words = ["--format", "refspatial", "--data", folder, "--answers", answers, "--output", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-m", "point2act.cli", "bench-model", *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert f"{100 * scores['overall']:.1f}" in done.stdout
    assert "middle of the image" in done.stdout
    assert scores == bench("refspatial", folder, tmp_path / "again", "--answers", answers)
    pages = [(tmp_path / name / "report.html").read_bytes() for name in ("out", "again")]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("kind", WRITERS)
def test_stored_answers_are_scored(kind: str, data: dict, tmp_path: Path):
    folder, ids = data[kind]
    replies = some_replies(WRITERS[kind], COUNT, seed=5)
    answers = store(tmp_path / "answers.jsonl", ids, replies)
    scores = bench(kind, folder, tmp_path / "out", "--answers", answers)
    Draft202012Validator(schema("scores")).validate(scores)
    wanted = getattr(reference_scores, kind)(folder, replies)
    counted = [value for value in wanted if value is not None]
    assert scores["overall"] == pytest.approx(np.mean(counted), abs=1e-12)
    assert scores["overall_all"] == pytest.approx(sum(counted) / COUNT, abs=1e-12)
    assert [entry["id"] for entry in scores["questions"]] == ids
    assert [entry["score"] for entry in scores["questions"]] == pytest.approx(
        [value or 0 for value in wanted]
    )
    assert scores["unanswered"] == replies.count(None)
    without = sum(not entry["points"] and entry["reply"] is not None for entry in scores["questions"])
    assert scores["unreadable"] == without
    for name, value in scores["categories"].items():
        of_name = [e["score"] for e in scores["questions"] if e["category"] == name and e["counted"]]
        assert value == (pytest.approx(np.mean(of_name)) if of_name else None)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    failed = sum(entry["score"] < 0.5 for entry in scores["questions"])
    assert page.count("data:image/jpeg") == failed
    assert 'src="http' not in page


def test_points_are_pixels_of_the_image(data: dict, tmp_path: Path):
    folder, ids = data["robospatial"]
    answers = store(tmp_path / "a.jsonl", ids[:1], ["[(0.25, 0.5)]"])
    scores = bench("robospatial", folder, tmp_path / "out", "--answers", answers)
    with Image.open(folder / "images" / "img_context_0.png") as image:
        assert scores["questions"][0]["points"] == [[0.25 * image.width, 0.5 * image.height]]


def test_models_are_compared(data: dict, tmp_path: Path):
    folder, ids = data["refspatial"]
    files = [
        store(tmp_path / f"{n}.jsonl", ids, some_replies(reply_in_tuples, COUNT, seed=n)) for n in (1, 2)
    ]
    options = ("--answers", f"first={files[0]}", "--answers", f"second={files[1]}")
    both = bench("refspatial", folder, tmp_path / "out", *options)
    Draft202012Validator(schema("scores")).validate(both)
    alone = bench("refspatial", folder, tmp_path / "alone", "--answers", files[1])
    assert set(both["models"]) == {"first", "second"}
    assert both["models"]["second"]["questions"] == alone["questions"]
    assert both["overall"] == both["models"]["first"]["overall"]
    difference = both["models"]["second"]["overall_all"] - both["models"]["first"]["overall_all"]
    found = both["differences"]["second"]
    assert found["difference"] == pytest.approx(difference)
    assert found["interval"][0] < difference < found["interval"][1]
    assert both["baselines"] == alone["baselines"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Failures of first" in page
    assert "Failures of second" in page


def test_the_number_of_pictures_is_limited(data: dict, tmp_path: Path):
    folder, ids = data["pointbench"]
    answers = store(tmp_path / "a.jsonl", ids, ["nothing like it"] * COUNT)
    bench("pointbench", folder, tmp_path / "out", "--answers", answers, "--pictures", 3)
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") == 3


def test_texts_are_escaped(tmp_path: Path):
    write_data_set("robospatial", tmp_path / "data", count=2)
    path = tmp_path / "data" / "annotations.json"
    path.write_text(path.read_text().replace("Pinpoint points", "<script>alert(1)</script>"))
    answers = store(tmp_path / "a.jsonl", [0], ["<img src=x onerror=alert(1)>"])
    bench("robospatial", tmp_path / "data", tmp_path / "out", "--answers", answers)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page


# ── ids ────────────────────────────────────────────────────────────────────────────────────────
ALIASES = [
    ("where2place", lambda ids: [str(name) for name in ids]),
    ("refspatial", lambda ids: [name.lower() for name in ids]),
    ("refspatial", lambda ids: [name.replace("/", "_") for name in ids]),
    ("pointbench", lambda ids: [name.removesuffix(".png") for name in ids]),
    ("robospatial", lambda ids: [str(name) for name in ids]),
    ("robospatial", lambda ids: [f"images/img_context_{number}.png" for number in range(len(ids))]),
]


@pytest.mark.parametrize(("kind", "renamed"), ALIASES)
def test_ids_may_be_written_in_other_ways(
    kind: str, renamed: Callable[[list[Any]], list[Any]], data: dict, tmp_path: Path
):
    folder, ids = data[kind]
    questions = FORMATS[kind].read(folder)
    replies = [f"({number}, 1)" for number in range(len(ids))]
    own = read_answers(store(tmp_path / "own.jsonl", ids, list(replies)), questions)
    other = read_answers(store(tmp_path / "other.jsonl", renamed(ids), list(replies)), questions)
    assert own == other
    assert [answer.reply for answer in own.values()] == replies


def test_an_id_of_several_folders_may_come_with_its_folder(data: dict, tmp_path: Path):
    questions = FORMATS["refspatial"].read(data["refspatial"][0])
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": 1, "reply": "a", "category": "placement"}\n{"id": 1, "reply": "b", "category": "Unseen"}\n'
    )
    found = read_answers(path, questions)
    assert {name: answer.reply for name, answer in found.items()} == {"Placement/1": "a", "Unseen/1": "b"}
    path.write_text('{"id": 1, "reply": "a"}\n')
    with pytest.raises(ScoringError, match="may be any of Location/1, Placement/1, Unseen/1"):
        read_answers(path, questions)


def test_one_folder_of_refspatial_keeps_its_ids(data: dict):
    questions = FORMATS["refspatial"].read(data["refspatial"][0] / "Placement")
    assert [question.id for question in questions] == list(range(COUNT // 3))
    assert {question.category for question in questions} == {"placement"}


def test_files_of_robopoint_are_read(data: dict, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question_id": 100, "prompt": "?", "text": "(0.5, 0.5)", "model_id": "robopoint"}\n\n')
    assert read_answers(path, FORMATS["where2place"].read(data["where2place"][0])) == {
        100: Answer("(0.5, 0.5)")
    }


def test_answers_are_read_as_they_were_written(data: dict, tmp_path: Path):
    questions = FORMATS["pointbench"].read(data["pointbench"][0])
    written = {
        questions[0].id: Answer("\ud800 \u2028 ü", 1.5, (3, 4), (30, 40), (28, 56), 0.01, "molmo"),
        questions[1].id: Answer(""),
    }
    write_answers(tmp_path / "a.jsonl", written)
    assert read_answers(tmp_path / "a.jsonl", questions) == written


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            '{"id": 100, "reply": "a"}\n{"id": "100", "reply": "b"}\n',
            "line 2: there are two answers to question '100'",
        ),
        (
            '{"id": 7, "reply": "a"}\n',
            "line 1: there is no question 7 in the data set: its ids are such as 100",
        ),
        ('{"reply": "a"}\n', "line 1: 'id' is missing"),
        ('{"id": 100}\n', "line 1: 'reply' is missing"),
        ('{"id": 100, "reply": null}\n', "line 1: 'reply' is None: write the model's reply as text"),
        ('{"id": 100, "reply": ["a"]}\n', "line 1: 'reply' is ['a']"),
        ('{"id": true, "reply": "a"}\n', "line 1: 'id"),
        ('{"id": 1.5, "reply": "a"}\n', "line 1: 'id"),
        ('{"id": 100, "reply": "a"\n', "line 1 is not valid JSON"),
        ("[1, 2]\n", "line 1"),
        ('{"id": NaN, "reply": "a"}\n', "NaN is not a JSON number"),
        ('{"id": 100, "id": 101, "reply": "a"}\n', "the key 'id' twice"),
        ('{"id": 100, "reply": "a", "seconds": -1}\n', "'seconds' is -1"),
        ("[" * 3000, "nested"),
        ('{"id": 100, "reply": "a", "dialect": "klingon"}\n', "there is no dialect 'klingon'"),
    ],
)
def test_wrong_answers_end_in_one_sentence(content: str, says: str, data: dict, tmp_path: Path, capsys):
    path = tmp_path / "answers.jsonl"
    path.write_text(content, encoding="utf-8")
    folder, _ = data["where2place"]
    sentence = refuse(capsys, "where2place", folder, tmp_path / "out", "--answers", path)
    assert says in sentence
    assert str(path) in sentence


def test_wrong_files_of_answers_end_in_one_sentence(data: dict, tmp_path: Path, capsys):
    folder, _ = data["where2place"]
    output, absent = tmp_path / "out", tmp_path / "absent.jsonl"
    assert "does not exist" in refuse(capsys, "where2place", folder, output, "--answers", absent)
    assert "is a folder" in refuse(capsys, "where2place", folder, output, "--answers", tmp_path)
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refuse(capsys, "where2place", folder, output, "--answers", tmp_path / "b.jsonl")


def test_wrong_options_end_in_one_sentence(data: dict, tmp_path: Path, capsys):
    folder, ids = data["where2place"]
    output, answers = tmp_path / "out", store(tmp_path / "a.jsonl", ids[:1], ["(0.5, 0.5)"])
    assert "give --answers FILE" in refuse(capsys, "where2place", folder, output)
    assert "use one of published, robopoint" in refuse(
        capsys, "where2place", folder, output, "--answers", answers, "--dialect", "klingon"
    )
    for option in ("--seed", "--pictures"):
        negative = (option, -1, "--answers", answers)
        assert f"{option} -1: give" in refuse(capsys, "where2place", folder, output, *negative)
    for other in (folder, answers):  # Nothing is rendered into a folder of something else.
        before = sorted(folder.rglob("*"))
        assert "is not a folder of reasoning-tables" in refuse(
            capsys, "reasoning", other, output, "--answers", answers
        )
        assert sorted(folder.rglob("*")) == before
    twice = ("--answers", answers, "--answers", f"a={answers}")
    assert "two answers are called 'a'" in refuse(capsys, "where2place", folder, output, *twice)


def test_no_answer_at_all_is_a_result(data: dict, tmp_path: Path):
    folder, _ = data["where2place"]
    answers = store(tmp_path / "a.jsonl", [], [])
    scores = bench("where2place", folder, tmp_path / "out", "--answers", answers)
    assert (scores["overall"], scores["overall_all"], scores["unanswered"]) == (None, 0, COUNT)
    (tmp_path / "p.jsonl").write_text("")
    pointbench = bench("pointbench", data["pointbench"][0], tmp_path / "p", "--answers", tmp_path / "p.jsonl")
    assert pointbench["overall"] == 0


# ── malformed data sets ────────────────────────────────────────────────────────────────────────
FILES = {
    "where2place": "point_questions.jsonl",
    "refspatial": "Location/question.json",
    "pointbench": "data.json",
    "robospatial": "annotations.json",
}


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


BROKEN = [
    ("where2place", replaced('"image": "01.jpg"', '"image": "../../etc/passwd"'), "leads out of"),
    ("where2place", replaced('"image": "01.jpg"', '"image": "absent.jpg"'), "does not exist"),
    ("where2place", replaced('"question_id": 101', '"question_id": 100'), "2 questions with the id '100'"),
    ("where2place", replaced('"question_id": 101', '"question": 101'), "line 2: 'question_id' is missing"),
    ("where2place", content(b""), "has no questions"),
    ("where2place", content(b'{"question_id": 1'), "line 1 is not valid JSON"),
    ("refspatial", replaced('"image/1.png"', '"/etc/passwd"'), "leads out of"),
    ("refspatial", replaced('"mask/1.png"', '""'), "entry 1: 'mask_path' is ''"),
    ("refspatial", replaced('"mask/1.png"', "5"), "entry 1: 'mask_path' is 5"),
    ("refspatial", content(b'{"id": 1}'), "should be a list"),
    ("refspatial", content(b"[1]"), "entry 0: it is 1"),
    ("refspatial", content(b"[NaN]"), "NaN is not a JSON number"),
    ("pointbench", replaced('"count": 1', '"count": -1'), "'count' is -1"),
    ("pointbench", replaced('"count": 1', '"count": "one"'), "'count' is 'one'"),
    (
        "pointbench",
        replaced('"mask_filename": "2_mask.png"', '"mask_filename": "..\\\\..\\\\x"'),
        "leads out of",
    ),
    ("pointbench", content(b"[]"), "has no questions"),
    ("pointbench", content(b"[null]"), "entry 0: it is None"),
    ("pointbench", content(b"\xff\xfe"), "is not valid JSON"),
    ("robospatial", replaced('"[(', '"[('.replace("[", "[[")), "list of 3 or more corners"),
    ("robospatial", replaced('"images/img_context_1.png"', "null"), "does not exist"),
    ("robospatial", replaced('"answer": "[', '"answer": "maybe ['), "list of 3 or more corners"),
    ("robospatial", replaced('"answer": "[(', '"answer": "[(1e999, 0), ('), "list of 3 or more corners"),
    ("robospatial", content(b"{}"), "has no questions"),
    ("robospatial", content(b"[" * 100), "is not valid JSON"),
]


@pytest.mark.parametrize(("kind", "change", "says"), BROKEN)
def test_malformed_data_sets_end_in_one_sentence(
    kind: str, change: Callable[[Path], None], says: str, tmp_path: Path, capsys
):
    folder = tmp_path / "data"
    ids = write_data_set(kind, folder, count=6)
    change(folder / FILES[kind])
    answers = store(tmp_path / "a.jsonl", ids[:0], [])
    sentence = refuse(capsys, kind, folder, tmp_path / "out", "--answers", answers)
    assert says in sentence


@pytest.mark.parametrize("kind", WRITERS)
def test_absent_and_empty_folders_end_in_one_sentence(kind: str, tmp_path: Path, capsys):
    answers = store(tmp_path / "a.jsonl", [], [])
    absent = refuse(capsys, kind, tmp_path / "absent", tmp_path / "out", "--answers", answers)
    assert "there is no such folder" in absent
    (tmp_path / "empty").mkdir()
    assert "empty" in refuse(capsys, kind, tmp_path / "empty", tmp_path / "out", "--answers", answers)


@pytest.mark.parametrize("data_of_mask", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_mask_ends_in_one_sentence(data_of_mask: bytes, tmp_path: Path, capsys):
    write_data_set("refspatial", tmp_path / "data", count=6)
    mask = tmp_path / "data" / "Placement" / "mask" / "1.png"
    mask.write_bytes(data_of_mask)
    answers = store(tmp_path / "a.jsonl", [], [])
    sentence = refuse(capsys, "refspatial", tmp_path / "data", tmp_path / "out", "--answers", answers)
    assert str(mask) in sentence


def test_the_released_archives_of_point_bench_are_found(tmp_path: Path):
    folder = tmp_path / "data"
    write_data_set("pointbench", folder, count=10)
    wanted = [question.id for question in FORMATS["pointbench"].read(folder)]
    (folder / "images").rename(folder / "selected_images")
    (folder / "masks").rename(folder / "masks_of_all")
    for entry in json.loads((folder / "data.json").read_text()):
        if "mask_filename" in entry:
            place = folder / "selected_masks" / entry["category"]
            place.mkdir(parents=True, exist_ok=True)
            (folder / "masks_of_all" / entry["mask_filename"]).rename(place / entry["mask_filename"])
    questions = FORMATS["pointbench"].read(folder)
    assert [question.id for question in questions] == wanted
    assert "[20.0, 15.0]" in questions[4].text  # The marked point of pixmo_metadata.csv.


@pytest.mark.parametrize(
    "text", ["image_filename,points\n4.png,[1]\n", "a\nb\n", 'image_filename,points\n4.png,"{']
)
def test_malformed_metadata_end_in_one_sentence(text: str, tmp_path: Path, capsys):
    write_data_set("pointbench", tmp_path / "data", count=5)
    (tmp_path / "data" / "pixmo_metadata.csv").write_text(text)
    answers = store(tmp_path / "a.jsonl", [], [])
    assert "pixmo_metadata.csv" in refuse(
        capsys, "pointbench", tmp_path / "data", tmp_path / "out", "--answers", answers
    )


# ── asking a model ─────────────────────────────────────────────────────────────────────────────
def asking(server: ModelServer, cache: Path) -> tuple[object, ...]:
    return ("--model", "qwen3_vl_8b", "--server", server.url, "--served-as", "test", "--cache", cache)


def middle(request: dict[str, Any]) -> str:
    return '[{"point_2d": [500, 500], "label": "target"}]'


def test_a_model_is_asked_once_and_its_answers_can_be_scored_again(data: dict, tmp_path: Path, capsys):
    folder, _ = data["refspatial"]
    with ModelServer(middle) as server:
        asked = bench("refspatial", folder, tmp_path / "out", *asking(server, tmp_path / "cache"))
        assert len(server.requests) == COUNT
        again = bench("refspatial", folder, tmp_path / "again", *asking(server, tmp_path / "cache"))
        assert len(server.requests) == COUNT  # From the cache.
        assert "Locate the cup in the image with a point" in prompt(server.requests[0])
    assert asked["questions"] == again["questions"]
    assert asked["overall"] == pytest.approx(asked["baselines"]["middle"])
    assert asked["seconds"] > 0
    assert "s per question" in capsys.readouterr().out
    stored = tmp_path / "out" / "answers_qwen3_vl_8b.jsonl"
    scored = bench("refspatial", folder, tmp_path / "scored", "--answers", stored)
    assert [entry["points"] for entry in scored["questions"]] == [
        entry["points"] for entry in asked["questions"]
    ]


def test_an_unreadable_reply_is_cached_and_counted(data: dict, tmp_path: Path):
    folder, _ = data["where2place"]
    with ModelServer(lambda request: "I would rather talk.") as server:
        scores = bench("where2place", folder, tmp_path / "out", *asking(server, tmp_path / "cache"))
        bench("where2place", folder, tmp_path / "again", *asking(server, tmp_path / "cache"))
        assert len(server.requests) == COUNT
    assert scores["unreadable"] == COUNT
    assert scores["overall_all"] == 0


def test_failed_requests_are_unanswered(data: dict, tmp_path: Path, capsys):
    folder, _ = data["where2place"]
    with ModelServer(middle, in_turn(*[status(400)] * 3)) as server:
        options = (*asking(server, tmp_path / "cache"), "--requests.concurrency", 1)
        scores = bench("where2place", folder, tmp_path / "out", *options)
    assert scores["unanswered"] == 3
    assert "3 questions, such as 100, were not answered" in capsys.readouterr().err


def test_a_server_that_fails_ends_in_one_sentence(data: dict, tmp_path: Path, capsys):
    folder, _ = data["where2place"]
    with ModelServer(middle, lambda *_: status(400)) as server:
        options = asking(server, tmp_path / "cache")
        sentence = refuse(capsys, "where2place", folder, tmp_path / "out", *options)
        assert len(server.requests) <= COUNT
    assert f"none of {COUNT} questions was answered" in sentence


def test_prompts(data: dict):
    qwen, robopoint = load_model("qwen3_vl_8b"), load_model("robopoint_13b")
    where2place = FORMATS["where2place"].read(data["where2place"][0])[0]
    assert 'what this asks for: "Find a few spots on the free part."' in prompt_for(qwen, where2place)
    assert "tuples" not in prompt_for(qwen, where2place)
    assert prompt_for(robopoint, where2place) == where2place.prompt
    refspatial = FORMATS["refspatial"].read(data["refspatial"][0])[0]
    assert prompt_for(robopoint, refspatial).endswith("formatted as a list of tuples.")


def test_several_questions_are_asked_at_once(data: dict, tmp_path: Path):
    folder, _ = data["where2place"]
    with ModelServer(middle, lambda *_: after(0.1)) as server:
        bench("where2place", folder, tmp_path / "out", *asking(server, tmp_path / "cache"))
        assert server.most_in_flight > 1


# ── docs/choosing_a_model.md ───────────────────────────────────────────────────────────────────
PAGE = Path(__file__).resolve().parent.parent / "docs" / "choosing_a_model.md"


def fenced(language: str) -> list[str]:
    blocks = re.findall(
        rf"^ *```{language}\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return [textwrap.dedent(block) for block in blocks]


def test_the_page_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The files and commands of the page, with a small server in place of the models."""
    question, answer = (json.loads(block) for block in fenced("json"))
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "masks"):
        (tmp_path / "questions" / folder).mkdir(parents=True)
        Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).save(f"questions/{folder}/{question['image']}")
    Path("questions/point_questions.jsonl").write_text(json.dumps(question) + "\n", encoding="utf-8")
    for name in ("first", "second"):
        Path(f"{name}.jsonl").write_text(json.dumps(answer) + "\n", encoding="utf-8")
    commands = [line for block in fenced("bash") for line in block.replace("\\\n", " ").splitlines()]
    with ModelServer(lambda request: '[{"point": [500, 500], "point_2d": [500, 500]}]') as server:
        for command in commands:
            program, *words = shlex.split(command)
            assert program == "point2act"
            asks = ["--server", server.url, "--cache", str(tmp_path / "cache")] if "--model" in words else []
            main([*words, *asks])
    scores = {name: json.loads(Path(name, "scores.json").read_text()) for name in ("qwen", "gemini", "out")}
    assert [found["overall"] for found in scores.values()] == [1, 1, 1]
    assert set(scores["gemini"]["models"]) == {"qwen", "gemini_robotics_er"}
    assert set(scores["out"]["models"]) == {"first", "second"}


def test_the_page_names_every_format_and_key():
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{kind}` |" in page for kind in FORMATS)
    keys = set(schema("scores")["properties"])
    named = set(re.findall(r"`(\w+)`", page.partition("## Reading the scores")[2]))
    keys = {key for key in keys if not key.endswith("_interval")} - {"category_details"}
    assert keys - named == {"version", "format", "data", "metric", "name", "dialect"}
