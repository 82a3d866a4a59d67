"""reasoning-tables in 3D: action points from all views, grasps in physics, a person's clicks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from write_schemas import schema

pytest.importorskip("mujoco", reason="the simulator needs mujoco")

from reasoning_answerer import answer_views

from point2act.cli.main import main
from point2act.core import types
from point2act.core.errors import Point2ActError, ScoringError
from point2act.data.points import PERSON, write_points
from point2act.scoring.answers import Answer, read_answers
from point2act.scoring.clicks import read_clicks
from point2act.scoring.formats import FORMATS
from point2act.scoring.formats.reasoning import read_reasoning
from point2act.scoring.measures import Found, FoundFile, measures
from point2act.scoring.questions import Question
from point2act.scoring.scores import Answers, random_thing, score_answers
from point2act.scoring.views import ask_all_views
from point2act.simulation.camera import WristConfig
from point2act.simulation.reasoning import TablesConfig, read_catalogue, write_reasoning_tables
from point2act.simulation.reasoning_places import find_places

FORM = FORMATS["reasoning"]
CONFIG = TablesConfig(
    arrangements=1, camera=WristConfig(views=4, size=(240, 320), focal=300.0), min_pixels=30
)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    catalogue = read_catalogue()
    some = tuple(thing for thing in catalogue.things if thing.scene in ("kitchen", "toolbox"))
    write_reasoning_tables(folder, seed=2, config=CONFIG, catalogue=replace(catalogue, things=some))
    return folder


@pytest.fixture(scope="module")
def questions(tables: Path) -> tuple[Question, ...]:
    """Those about some things on one table."""
    return tuple(question for question in read_reasoning(tables) if question.id.startswith("kitchen"))[:50]


@pytest.fixture(scope="module")
def skilled(questions: tuple[Question, ...]) -> Answers:
    replies = answer_views(questions, np.random.default_rng(1))
    return Answers("skilled", "robopoint", {name: Answer(reply) for name, reply in replies})


@pytest.fixture(scope="module")
def found(questions: tuple[Question, ...], skilled: Answers, tmp_path_factory: pytest.TempPathFactory):
    kept = tmp_path_factory.mktemp("kept") / "places.jsonl"
    return find_places(skilled, questions, ask_all_views(questions), FORM, kept), kept


def mean(values: list[bool]) -> float:
    return sum(values) / len(values)


# ── views ──────────────────────────────────────────────────────────────────────────────────────
def test_every_question_is_asked_about_every_view(questions: tuple[Question, ...]):
    asked = ask_all_views(questions)
    assert len(asked.questions) == 4 * len(questions)
    assert len({question.id for question in asked.questions}) == len(asked.questions)
    by_id = {question.id: question for question in asked.questions}
    for question in questions:
        assert by_id[question.id] is question
        views = asked.views[question.id]
        assert len({by_id[name].image for name in views.values()}) == 4
        assert all(by_id[name].text == question.text for name in views.values())


def test_questions_without_captures_stay_alone(questions: tuple[Question, ...], tmp_path: Path):
    alone = replace(questions[0], capture=None)
    assert ask_all_views([alone]).questions == (alone,)
    with pytest.raises(ScoringError, match="render reasoning-tables again"):
        find_places(Answers("a", "auto", {}), [alone], ask_all_views([alone]), FORM, tmp_path / "a.jsonl")


def test_answers_about_views_have_their_ids(questions: tuple[Question, ...], tmp_path: Path):
    path = tmp_path / "a.jsonl"
    asked = ask_all_views(questions).questions
    path.write_text("".join(json.dumps({"id": each.id, "reply": "[]"}) + "\n" for each in asked))
    assert len(read_answers(path, asked)) == len(asked)


# ── places ─────────────────────────────────────────────────────────────────────────────────────
def test_what_is_known_is_found(found, questions: tuple[Question, ...], skilled: Answers):
    """Views that miss the part are outvoted; an answerer that does not know the object finds another one."""
    places, _ = found
    (scores,), _ = score_answers([skilled], questions, FORM)
    for kind in ("explicit object", "implicit object"):
        single = {score.question.id: bool(score.score) for score in scores if score.question.category == kind}
        agree = [places[name].region[0] == right for name, right in single.items()]
        assert mean(agree) > 0.9, kind
    parts = [score for score in scores if score.question.category.endswith("t part") and score.question.part]
    right_alone = mean([bool(score.score) for score in parts])
    assert mean([places[score.question.id].region[0] for score in parts]) > right_alone


def test_difficulty_falls_in_3d_too(found, questions: tuple[Question, ...]):
    """One table has few questions of each kind: they are taken in pairs of kinds."""
    hits = {question.id: found[0][question.id].region for question in questions}

    def share(words: str) -> float:
        return mean([any(hits[each.id][:1]) for each in questions if words in each.category])

    assert share("explicit") > share("implicit") > 0.3
    assert share("explicit object") > share("implicit part")
    assert share("absent") > 0.4
    for recall in measures(found[0], questions)[0].categories.values():
        assert recall.at_3.value >= recall.at_1.value


def test_what_was_found_is_kept(found, questions: tuple[Question, ...], skilled: Answers, monkeypatch):
    """Nothing is localized again; another answer or option is."""
    places, kept = found
    views = ask_all_views(questions)

    def place(*_, **__):
        raise InterruptedError

    monkeypatch.setattr("point2act.simulation.reasoning_places.place", place)
    ticks: list[tuple[int, int]] = []
    again = find_places(skilled, questions, views, FORM, kept, progress=lambda *tick: ticks.append(tick))
    assert again == places
    assert ticks[-1] == (len(questions), len(questions))
    other = replace(skilled, by_question=skilled.by_question | {questions[0].id: Answer("[(0.01, 0.01)]")})
    with pytest.raises(InterruptedError):
        find_places(other, questions, views, FORM, kept)


def test_no_answer_is_a_miss(questions: tuple[Question, ...], tmp_path: Path):
    given = Answers("a", "robopoint", {question.id: Answer("what?") for question in questions})
    some = [questions[0], next(question for question in questions if question.absent)]
    places = find_places(given, some, ask_all_views(some), FORM, tmp_path / "a.jsonl")
    assert all(one == Found((False,)) for one in places.values())


def test_an_unknown_object_is_refused(questions: tuple[Question, ...], skilled: Answers, tmp_path: Path):
    strange = replace(questions[0], object="unicorn")
    with pytest.raises(ScoringError, match="of 'unicorn', which"):
        find_places(skilled, [strange], ask_all_views([strange]), FORM, tmp_path / "a.jsonl")


# ── grasps ─────────────────────────────────────────────────────────────────────────────────────
def test_grasps_hold_the_part(tables: Path, questions: tuple[Question, ...], tmp_path: Path, capsys):
    """The knife can be lifted by its handle; what is absent is left alone."""
    chosen = [
        next(each for each in questions if each.object == "knife" and each.part == "handle"),
        next(each for each in questions if each.absent),
    ]
    small = tmp_path / "tables"
    shutil.copytree(tables, small)
    lines = (small / "questions.jsonl").read_text().splitlines()
    names = {question.id for question in chosen}
    (small / "questions.jsonl").write_text("\n".join(one for one in lines if json.loads(one)["id"] in names))
    write_right_answers(read_reasoning(small), tmp_path / "right.jsonl")
    words = ["bench-model", "--format", "reasoning", "--data", small, "--answers", tmp_path / "right.jsonl"]
    words += ["--output", tmp_path / "out", "--dialect", "robopoint", "--score", "grasp"]
    main([str(word) for word in words])
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    Draft202012Validator(schema("scores")).validate(scores)
    assert scores["region"]["recall_at_1"] == scores["grasp"]["recall_at_3"] == 1
    assert scores["region"]["recall_at_1_interval"][1] == 1
    assert all(any(entry["grasp"]) for entry in scores["questions"])
    printed = capsys.readouterr().out
    assert "in 3D" in printed
    assert "R@3" in printed
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "the grasp lifts the object by the part" in page


def write_right_answers(questions: tuple[Question, ...], path: Path) -> None:
    """An answerer that errs nowhere."""
    from reasoning_answerer import Shots, reply

    lines, rng = [], np.random.default_rng(0)
    for question in questions:
        assert question.capture is not None
        seen = Shots(question.capture)
        for image, ids in seen.ids.items():
            name = question.id if image == question.image else f"{question.id}/{image.stem}"
            wanted = seen.mask(ids, question.object, question.part, right=True)
            lines.append({"id": name, "reply": "[]" if question.absent else reply(wanted, rng)})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_other_formats_have_no_scenes(tmp_path: Path, capsys):
    words = ["bench-model", "--format", "where2place", "--data", str(tmp_path), "--answers", "a.jsonl"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--output", str(tmp_path / "out"), "--score", "region"])
    assert stop.value.code == 2
    assert "only reasoning-tables has scenes" in capsys.readouterr().err


# ── measures ───────────────────────────────────────────────────────────────────────────────────
def test_recalls_count_the_best_of_the_first(questions: tuple[Question, ...]):
    some = [replace(questions[0], id=number, category=f"c{number % 2}") for number in range(4)]
    hits = [(True,), (False, True), (False, False, True), (False, False, False, True)]
    places = {number: Found(each, None if number else (True,)) for number, each in enumerate(hits)}
    region, grasp = measures(places, some)
    assert (region.overall.at_1.value, region.overall.at_3.value) == (0.25, 0.75)
    assert (region.categories["c0"].at_1.value, region.categories["c1"].at_3.value) == (0.5, 0.5)
    assert (grasp.name, grasp.overall.at_1.value) == ("grasp", 0.25)
    assert region.overall.at_1.low < 0.25 < region.overall.at_1.high


def test_kept_files_are_read_back(tmp_path: Path):
    path = tmp_path / "places.jsonl"
    FoundFile(path).add("a", Found((True, False)))
    FoundFile(path).add("b", Found((False,), (True,)))
    kept = FoundFile(path)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (
        Found((True, False)),
        Found((False,), (True,)),
        None,
    )


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"key": "a"}', '{"key": "a", "region": [1], "grasp": null}', '"\\u0000"', "\udcff"]
)
def test_other_files_are_refused(text: str, tmp_path: Path):
    path = tmp_path / "places.jsonl"
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(ScoringError, match="delete it"):
        FoundFile(path)


# ── a person, and a random thing ───────────────────────────────────────────────────────────────
def click(
    question: Question, folder: Path, point: tuple[float, float] | None, *, model: str = PERSON
) -> types.PointSet:
    """What the viewer saves after one click."""
    query = types.Query("q", f"  {question.text.upper()} ")
    points = np.zeros((0, 2)) if point is None else np.array([point])
    image = question.image.relative_to(folder).as_posix()
    answer = types.Answer(image, "q", points, visible=point is not None, model=model)
    return types.PointSet((query,), (answer,))


def test_clicks_are_answers_to_the_question_in_its_image(questions: tuple[Question, ...], tables: Path):
    for question in (questions[0], next(each for each in questions if each.absent)):
        assert question.capture is not None
        path = question.capture / "points.json"
        write_points(path, click(question, question.capture, (100.25, 60.75)))
        answers = read_clicks(path, questions)
        assert question.id in answers
        (scores,), baselines = score_answers(
            [Answers("person", "auto", answers)], questions, FORM, person=Answers("p", "auto", answers)
        )
        score = next(score for score in scores if score.question.id == question.id)
        assert score.marks[0] == pytest.approx((100.25, 60.75), abs=1e-4)
        assert baselines.person is not None
        assert baselines.person.count == len(answers)
        write_points(path, click(question, question.capture, None))
        assert "[]" in {answer.reply for answer in read_clicks(path, questions).values()}
        path.unlink()


def test_clicks_lie_beside_the_run_or_in_the_capture(
    questions: tuple[Question, ...], tables: Path, tmp_path: Path
):
    question = questions[0]
    assert question.capture is not None
    path = tmp_path / "points.json"
    write_points(path, click(question, question.capture, (1.0, 1.0)))
    with pytest.raises(ScoringError, match=r"no question of the data set asks .* beside its run\.json"):
        read_clicks(path, questions)
    (tmp_path / "scene.ply").write_bytes(b"")
    run = {"version": 1, "capture": str(question.capture), "scene": "scene.ply", "max_side": 480}
    run |= {"metric": True, "psnr": None, "timings": {}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert question.id in read_clicks(path, questions)


def test_files_without_clicks_are_refused(questions: tuple[Question, ...]):
    question = questions[0]
    assert question.capture is not None
    path = question.capture / "points.json"
    write_points(path, click(question, question.capture, (1.0, 1.0), model="simulated/typical"))
    with pytest.raises(ScoringError, match="no clicks of a person"):
        read_clicks(path, questions)
    path.write_text("[]")
    with pytest.raises(Point2ActError, match=r"points\.json"):
        read_clicks(path, questions)
    path.unlink()


def test_the_command_shows_a_person_beside_the_model(
    questions: tuple[Question, ...], tables: Path, tmp_path: Path, capsys
):
    question = next(each for each in questions if each.mask is not None)
    assert question.capture is not None
    target = FORM.target(question).values
    assert target is not None
    row, column = np.argwhere(target > 0)[0]
    path = question.capture / "points.json"
    write_points(path, click(question, question.capture, (column + 0.5, row + 0.5)))
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": question.id, "reply": "[]"}))
    words = ["bench-model", "--format", "reasoning", "--data", tables, "--answers", f"own={tmp_path}/a.jsonl"]
    words += ["--answers", f"clicks={path}", "--clicks", path, "--output", tmp_path / "out"]
    main([str(word) for word in words])
    path.unlink()
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    Draft202012Validator(schema("scores")).validate(scores)
    baselines = scores["baselines"]
    assert baselines["person"] == 1
    assert baselines["person_questions"] >= 1
    clicks = scores["models"]["clicks"]
    assert clicks["overall"] * len(clicks["questions"]) == pytest.approx(baselines["person_questions"])
    assert 0 < baselines["thing"] < 0.5
    assert "region" not in scores
    printed = capsys.readouterr().out
    assert "a random thing" in printed
    assert "a person, " in printed


def test_a_random_thing_is_a_thing(questions: tuple[Question, ...]):
    rng = np.random.default_rng(0)
    question = next(each for each in questions if each.category == "explicit object")
    values = FORM.target(question).values
    assert values is not None
    hits = 0.0
    for _ in range(60):
        thing = random_thing(question, rng)
        assert thing is not None
        hits += values[int(thing[1]), int(thing[0])]
    assert 0 < hits < 40  # One of about six.
    assert random_thing(replace(question, objects=None), rng) is None
