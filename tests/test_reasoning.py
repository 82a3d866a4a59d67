"""reasoning-tables: its words, its images and masks, and what a simulated answerer of known skill scores."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pointing_benchmarks import ellipse, save

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from point2act.cli.main import main
from point2act.core.errors import ScoringError, SimulationError
from point2act.physics.layout import read_layout
from point2act.scoring.answers import Answer
from point2act.scoring.formats import FORMATS
from point2act.scoring.formats.reasoning import read_reasoning
from point2act.scoring.scores import Answers, Score, by_category, overall, overall_recall, score_answers
from point2act.simulation.camera import WristConfig
from point2act.simulation.reasoning import (
    Catalogue,
    TablesConfig,
    read_catalogue,
    word_questions,
    write_reasoning_tables,
)

SMALL = TablesConfig(arrangements=1, camera=WristConfig(views=2, size=(120, 160), focal=150.0), min_pixels=12)
PRESENT = ("explicit object", "implicit object", "explicit part", "implicit part")
KINDS = (*PRESENT, "absent object", "absent part")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue()


def only(catalogue: Catalogue, *scenes: str) -> Catalogue:
    """Questions about some scenes; what is not there may still come from the others."""
    return replace(catalogue, things=tuple(thing for thing in catalogue.things if thing.scene in scenes))


# ── words ──────────────────────────────────────────────────────────────────────────────────────
def test_there_are_enough_questions_of_every_kind(catalogue: Catalogue):
    wordings = word_questions(catalogue, 0)
    assert len(wordings) >= 400
    assert len({(wording.scene, wording.thing) for wording in wordings if wording.thing}) >= 40
    assert set(Counter(wording.category for wording in wordings)) == set(KINDS)
    assert min(Counter(wording.category for wording in wordings).values()) >= 60


def test_the_words_are_those_of_the_scenes(catalogue: Catalogue):
    for scene in catalogue.scenes:
        layout = read_layout(scene)
        things = catalogue.of_scene(scene)
        assert [thing.key for thing in things] == [body.name for body in layout.bodies]
        assert len({thing.name for thing in things}) == len({thing.use for thing in things}) == len(things)
        parts = {body.name: {part.name for part in body.parts} for body in layout.bodies}
        for thing in things:
            assert set(thing.parts) <= parts[thing.key]
            # A description does not name the part.
            assert all(name not in need.split() for name, need in thing.parts.values()), thing
            assert thing.name not in thing.use


def test_questions_are_complete_sentences(catalogue: Catalogue):
    for wording in word_questions(catalogue, 0):
        assert re.fullmatch(r"[A-Z][^{}]+[.?]", wording.text), wording.text
        assert wording.thing or wording.category.startswith("absent")


def test_what_is_absent_is_not_there(catalogue: Catalogue):
    for wording in word_questions(catalogue, 3):
        if wording.category != "absent object":
            continue
        here = catalogue.of_scene(wording.scene)
        assert all(f"the {thing.name}." not in wording.text for thing in here), wording.text
        assert all(f"the {thing.name}?" not in wording.text for thing in here), wording.text
        meant = [thing for thing in catalogue.things if thing.use in wording.text]
        assert all(not {thing.kinds[0] for thing in here} & set(other.kinds) for other in meant)


def test_the_same_seed_gives_the_same_questions(catalogue: Catalogue):
    assert word_questions(catalogue, 5) == word_questions(catalogue, 5)
    assert word_questions(catalogue, 5) != word_questions(catalogue, 6)


@pytest.mark.parametrize(
    "text", ["", "[scenes]", "[scenes.desk]\npen = 5", "[scenes.desk]\npen = { name = 'pen' }"]
)
def test_a_wrong_file_of_words_is_refused(text: str, tmp_path: Path):
    path = tmp_path / "words.toml"
    path.write_text(text)
    with pytest.raises(SimulationError, match=r"words\.toml lacks"):
        read_catalogue(path)


def test_the_page_lists_questions_that_exist(catalogue: Catalogue):
    page = (Path(__file__).parent.parent / "docs" / "reasoning_tables.md").read_text(encoding="utf-8")
    wordings = word_questions(catalogue, 0)
    of_scene: dict[str, list[Any]] = {scene: [] for scene in catalogue.scenes}
    for wording in wordings:
        of_scene[wording.scene].append(wording)
    rows = re.findall(r"^\| `([a-z]+)-(\d+)` \| ([^|]+) \| ([^|]+) \|", page, re.MULTILINE)
    assert len(rows) == 40
    for scene, number, category, text in rows:
        wording = of_scene[scene][int(number)]
        assert (wording.category, wording.text) == (category, text)
    for category, count in Counter(wording.category for wording in wordings).items():
        assert f"| `{category}` | {count} |" in page
    assert f"These {len(wordings)} questions are about {len(catalogue.things)} objects" in page


# ── images ─────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    count = write_reasoning_tables(folder, seed=1, config=SMALL, catalogue=only(catalogue, "desk", "kitchen"))
    assert count > 60
    return folder


def test_masks_show_what_is_meant(rendered: Path):
    entries = [json.loads(line) for line in (rendered / "questions.jsonl").read_text().splitlines()]
    questions = read_reasoning(rendered)
    assert {question.split for question in questions} == {"development", "test"}
    areas: dict[tuple[str, str, str], list[int]] = {}
    for question, entry in zip(questions, entries, strict=True):
        assert question.absent == question.category.startswith("absent")
        values = FORMATS["reasoning"].target(question).values
        assert values is not None
        assert (values.sum() >= SMALL.min_pixels) != question.absent
        if entry["part"] == "" and entry["object"] == "red_chest":
            rgb = np.asarray(Image.open(question.image))[values > 0].mean(axis=0)
            assert rgb[0] > 1.5 * rgb[2]
        areas.setdefault((entry["image"], entry["object"], entry["part"]), []).append(int(values.sum()))
    assert all(len(set(same)) == 1 for same in areas.values())


def test_the_same_seed_gives_the_same_files(rendered: Path, tmp_path: Path, catalogue: Catalogue):
    write_reasoning_tables(tmp_path, seed=1, config=SMALL, catalogue=only(catalogue, "desk", "kitchen"))
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(rendered) for path in rendered.rglob("*") if path.is_file())
    assert all((tmp_path / name).read_bytes() == (rendered / name).read_bytes() for name in names)


def test_the_command_scores_what_is_there(rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    questions = read_reasoning(rendered)
    answers = tmp_path / "right.jsonl"
    lines = [{"id": question.id, "reply": right_reply(question)} for question in questions]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ["bench-model", "--format", "reasoning", "--data", str(rendered), "--answers", str(answers)]
    main([*words, "--output", str(tmp_path / "out"), "--split", "test"])
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["overall"] == scores["recall_at_3"] == 1
    assert set(scores["categories"]) == set(KINDS)
    assert len(scores["questions"]) == sum(question.split == "test" for question in questions)
    assert "best of 3" in capsys.readouterr().out
    main([*words[:5], "--output", str(tmp_path / "none")])
    assert f"questions: {len(questions)}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main([*words, "--output", str(tmp_path / "other"), "--split", "training"])
    assert stop.value.code == 2
    assert "use development or test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": 1}', "'image' is missing"),
        ('{"id": 1, "image": "../x.png", "text": "a", "category": "b", "split": "c"}', "leads out of"),
        ("nothing", "is not valid JSON"),
    ],
)
def test_malformed_questions_are_refused(line: str, says: str, tmp_path: Path):
    (tmp_path / "questions.jsonl").write_text(line)
    with pytest.raises(ScoringError, match=says):
        read_reasoning(tmp_path)


# ── an answerer of known skill ─────────────────────────────────────────────────────────────────
def right_reply(question: Any) -> str:
    if question.absent:
        return "There are none."
    rows, columns = np.nonzero(np.asarray(Image.open(question.mask)) > 0)
    return tags([(columns[0], rows[0])], question)


def tags(pixels: list[tuple[int, int]], question: Any) -> str:
    with Image.open(question.image) as image:
        width, height = image.size
    points = [(100 * (x + 0.5) / width, 100 * (y + 0.5) / height) for x, y in pixels]
    return " ".join(f'<point x="{x:.4f}" y="{y:.4f}"/>' for x, y in points)


KNOWS_NAME, KNOWS_USE, FINDS_PART, DENIES = 0.95, 0.7, 0.75, 0.6
SKILL = {
    "explicit object": KNOWS_NAME,
    "implicit object": KNOWS_USE,
    "explicit part": KNOWS_NAME * FINDS_PART,
    "implicit part": KNOWS_USE * FINDS_PART,
    "absent object": DENIES,
    "absent part": DENIES,
}
"""Probability of a right answer: it knows the object and finds its part."""


def reply(question: Any, rng: np.random.Generator) -> str:
    """Three points, each right with the answerer's skill; else anywhere outside the target."""
    if question.absent:
        return "It is not visible." if rng.random() < DENIES else tags([(1, 1)], question)
    mask = np.asarray(Image.open(question.mask)) > 0
    pixels = []
    for _ in range(3):
        rows, columns = np.nonzero(mask == (rng.random() < SKILL[question.category]))
        pick = rng.integers(len(rows))
        pixels.append((int(columns[pick]), int(rows[pick])))
    return tags(pixels, question)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, catalogue: Catalogue) -> tuple[Score, ...]:
    """All questions with small masks of any kind in place of the rendered ones."""
    folder, rng = tmp_path_factory.mktemp("words"), np.random.default_rng(0)
    save(folder / "image.png", np.zeros((48, 64, 3), np.uint8))
    lines = []
    for number, wording in enumerate(word_questions(catalogue, 0)):
        mask = None if not wording.thing else f"masks/{number}.png"
        if mask:
            save(folder / mask, ellipse(rng, (48, 64)))
        lines.append(
            {"id": number, "image": "image.png", "mask": mask, "text": wording.text}
            | {"category": wording.category, "split": "test"}
        )
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    questions = read_reasoning(folder)
    answers = {question.id: Answer(reply(question, rng)) for question in questions}
    form = FORMATS["reasoning"]
    (scores,), _ = score_answers([Answers("simulated", form.dialect, answers)], questions, form)
    return scores


def test_the_score_of_each_kind_is_the_skill(scored: tuple[Score, ...]):
    for kind, scores in by_category(scored).items():
        mean = overall(scores)
        assert mean is not None
        spread = np.sqrt(SKILL[kind] * (1 - SKILL[kind]) / mean.count)
        assert abs(mean.value - SKILL[kind]) < 3 * spread, kind


def test_difficulty_falls_from_explicit_objects_to_implicit_parts(scored: tuple[Score, ...]):
    means = {kind: overall(scores) for kind, scores in by_category(scored).items()}
    values = [mean.value for kind in PRESENT if (mean := means[kind]) is not None]
    object_named, object_used, part_named, part_used = values
    assert object_named > object_used > part_used
    assert object_named > part_named > part_used


def test_the_best_of_three_is_as_expected(scored: tuple[Score, ...]):
    for kind, scores in by_category(scored).items():
        recall = overall_recall(scores)
        assert recall is not None
        expected = SKILL[kind] if kind.startswith("absent") else 1 - (1 - SKILL[kind]) ** 3
        assert recall.value == pytest.approx(expected, abs=0.17)
    assert all((score.recall or 0) >= score.score for score in scored)


def test_an_unreadable_reply_is_not_a_denial():
    form, question = FORMATS["reasoning"], None
    for text, value in (("Not visible.", 1.0), ("[]", 1.0), ("Hm, where?", 0.0), ("", 0.0)):
        question = question or fake_question()
        answers = [Answers("a", form.dialect, {question.id: Answer(text)})]
        ((score,),), _ = score_answers(answers, [question], form)
        assert score.score == value, text
        assert bool(score.problem) == (value == 0.0)


def fake_question() -> Any:
    from point2act.scoring.questions import Question

    image = Path(__file__).parent.parent / "docs" / "assets" / "demo.jpg"
    return Question(0, image, "Where is it?", "absent object", absent=True)
