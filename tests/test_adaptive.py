"""Adaptive asking: laws of the loop, on three boxes with scripted models, and the command end to end."""

from __future__ import annotations

import json
from collections import Counter
from unittest.mock import Mock

import numpy as np
import pytest
import synthetic
import torch
from model_server import ModelServer, prompt
from recalled import Recalled
from small_run import RED as RED_TOP
from small_run import write_capture

from point2act.cli.main import main
from point2act.core.errors import ModelError, PointsError, ReplyError
from point2act.core.geometry import project
from point2act.core.types import Frame, PointSet, Query
from point2act.data.capture import load_views, read_capture
from point2act.data.crops import Crop
from point2act.data.points import read_points, write_points
from point2act.grasping.grasps_json import read_grasps
from point2act.pipeline.adaptive import AdaptiveAsking, EarlyFrames, ask_adaptively
from point2act.pipeline.question_rounds import AdaptiveConfig, samples
from point2act.pipeline.session import Session
from point2act.splatting.initialization import StartConfig, initialize_gaussians
from point2act.vlm.pointing.ask import Questions
from point2act.vlm.pointing.mark_selector import MarkChoice, MarkQuestion
from point2act.vlm.pointing.point import PointerReply

VIEWS = synthetic.views(10, height=96, width=128)
IDS = {view.name: synthetic.render(view.T_world_cam, synthetic.rays(view.camera)).ids for view in VIEWS}
RED, GREEN = 0, 1
QUERY = Query("red", "the red box", "avoid")
TOPS = [np.array([*b.center[:2], b.center[2] + b.half_extents[2]]) for b in synthetic.TABLETOP]
SMALL = AdaptiveConfig(side=160)


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Session:
    """The three boxes as Gaussians, straight from their depth."""
    folder = tmp_path_factory.mktemp("boxes")
    synthetic.write_capture_files(folder, VIEWS)
    capture = read_capture(folder)
    views = load_views(capture)
    initial = initialize_gaussians(
        views, point_cloud_path=None, config=StartConfig(target_count=6000), rng=np.random.default_rng(0)
    )
    return Session(capture, views, initial.scene, True, torch.device("cpu"))


class Model:
    """Points at the top of a box that depends on the view, and chooses the mark of a box; counts requests."""

    name, concurrency = "scripted", 1

    def __init__(self, points_at, chooses: int | None = RED):
        self.points_at, self.chooses = points_at, chooses
        self.asked: Counter[str] = Counter()
        self.questions: list[MarkQuestion] = []

    def point(self, query: Query, image: str, crop: Crop) -> PointerReply:
        whole = crop.window.width == VIEWS[0].camera.width
        self.asked["view" if whole else "crop"] += 1
        number = next(n for n, view in enumerate(VIEWS) if view.name == image)
        box = self.points_at(number)
        if box is None:
            return PointerReply(np.zeros((0, 2)))
        pixels, _ = project(VIEWS[number].camera, VIEWS[number].T_world_cam, TOPS[box][None])
        shown = crop.from_disk(pixels)
        height, width = crop.size
        inside = ((shown >= 0) & (shown <= [width, height])).all()
        return PointerReply(shown if inside else np.zeros((0, 2)))

    def select(self, question: MarkQuestion) -> MarkChoice:
        self.asked["choice"] += 1
        self.questions.append(question)
        if self.chooses is None:
            raise ReplyError("the reply is no choice")
        on = {label: self._share(question, label) for label in question.places}
        best = max(on, key=lambda label: on[label])
        return MarkChoice(best if on[best] > 0.5 else None)

    def _share(self, question: MarkQuestion, label: str) -> float:
        column, row = question.places[label].astype(int).T
        return float((IDS[question.image][row, column] == self.chooses).mean())


def ask(session: Session, model, config: AdaptiveConfig = SMALL, selector=None, points=None):
    points = points or PointSet((QUERY,), ())
    return ask_adaptively(session, points, model, selector or model, side=1280, config=config)


def place(session: Session, points: PointSet) -> int | None:
    """The box that the region lies on."""
    region = session.localize(points)[0].region
    action = getattr(region, "action_point", None)
    away = None if action is None else [float(np.linalg.norm(action[:2] - top[:2])) for top in TOPS]
    return None if away is None else int(np.argmin(away))


def test_what_agrees_is_verified_by_a_choice_and_asked_no_further(session):
    model = Model(lambda view: RED)
    found = ask(session, model)
    assert model.asked["view"] == SMALL.start
    assert 1 <= model.asked["choice"] <= 3
    assert found.questions["red"] <= SMALL.start + 3
    assert place(session, found.points) == RED


def test_a_sure_query_is_asked_nothing_more(session):
    first = ask(session, Model(lambda view: RED))
    again = Model(lambda view: RED)
    found = ask(session, again, points=first.points)
    assert not again.asked
    assert found.count.total == 0
    assert found.points.answers == first.points.answers


def test_rivals_with_as_many_votes_are_separated_by_choices(session):
    for chosen in (RED, GREEN):
        model = Model(lambda view: view % 2, chosen)
        found = ask(session, model)
        assert model.asked["choice"] > 0
        assert place(session, found.points) == chosen
        assert session.localize(found.points)[0].region.confidence > 0.9
        marked = model.questions[0]
        assert len(marked.places) >= 2


@pytest.mark.parametrize("budget", [1, 4, 9])
def test_the_budget_is_kept(session, budget):
    model = Model(lambda view: view % 3, RED)
    found = ask(session, model, AdaptiveConfig(side=160, budget=budget, confidence=1.0))
    assert sum(model.asked.values()) == found.questions["red"] <= budget


def test_the_same_replies_bring_the_same_questions(session):
    one, other = (ask(session, Model(lambda view: view % 2)) for _ in range(2))
    assert one.questions == other.questions
    assert [(a.image, a.window) for a in one.points.answers] == [
        (a.image, a.window) for a in other.points.answers
    ]
    assert [(c.image, c.chosen) for c in one.points.choices] == [
        (c.image, c.chosen) for c in other.points.choices
    ]


def test_no_question_is_asked_twice(session):
    model = Model(lambda view: view % 3, GREEN)
    found = ask(session, model, AdaptiveConfig(side=160, confidence=1.0, budget=30))
    whole = [answer.image for answer in found.points.answers if answer.window is None]
    assert len(whole) == len(set(whole))
    assert len(found.points.choices) == len({choice.image for choice in found.points.choices})


def test_a_model_that_cannot_choose_is_asked_for_points_alone(session):
    model = Model(lambda view: view % 2, None)
    found = ask(session, model)
    assert 1 <= model.asked["choice"] <= 3  # two failures, or three of which two were asked at once
    assert not found.points.choices
    assert found.errors
    assert model.asked["view"] + model.asked["crop"] > SMALL.start
    pointing = Model(lambda view: RED)
    without = ask_adaptively(session, PointSet((QUERY,), ()), pointing, None, side=1280, config=SMALL)
    assert pointing.asked["choice"] == 0
    assert place(session, without.points) == RED


def test_what_is_not_there_is_refused(session):
    model = Model(lambda view: None, None)
    found = ask(session, model)
    assert session.localize(found.points)[0].region.reason == "no_points"
    assert found.questions["red"] <= SMALL.budget


def test_a_model_that_never_answers_is_an_error(session):
    class Down(Model):
        def point(self, query, image, crop):
            raise ModelError("no server listens")

    with pytest.raises(ModelError, match="no server listens"):
        ask(session, Down(lambda view: RED, None))


def test_what_was_asked_is_read_from_its_file_again(session, tmp_path):
    found = ask(session, Model(lambda view: view % 2, GREEN), AdaptiveConfig(side=160, confidence=1.0))
    write_points(tmp_path / "points.json", found.points)
    again = read_points(tmp_path / "points.json", session.capture)
    assert any(answer.window is not None for answer in again.answers) or again.choices
    one, other = (session.localize(points)[0] for points in (found.points, again))
    np.testing.assert_allclose(one.posterior.parts, other.posterior.parts, atol=1e-9)


def test_of_frames_that_arrive_few_are_asked_about(session):
    seen: list[Frame] = []
    asking = AdaptiveAsking(Mock(spec=Questions), None, AdaptiveConfig(start=3))
    early = EarlyFrames(seen.extend, asking)
    frames = list(session.frames)
    early(frames[:2])
    early(frames[2:])
    assert seen == [frames[0], frames[2], frames[6]]


def test_samples_of_a_mask_are_spread_over_it():
    mask = np.zeros((60, 80), dtype=bool)
    mask[10:50, 20:70] = True
    some = samples(mask, most=60)
    assert 30 <= len(some) <= 90
    assert (some.min(axis=0) > [20, 10]).all()
    assert (some.max(axis=0) < [70, 50]).all()
    assert np.ptp(some, axis=0).min() >= 25
    lone = np.zeros((60, 80), dtype=bool)
    lone[7, 9] = True
    np.testing.assert_allclose(samples(lone), [[9.5, 7.5]])


# ── the command ─────────────────────────────────────────────────────────────────────────────────
QUICK = ["--fit.iterations", "40", "--start.target-count", "5000"]


def test_the_command_asks_few_questions_keeps_the_choices_and_asks_nothing_again(tmp_path):
    folder = write_capture(tmp_path / "capture")
    (folder / "points.json").rename(tmp_path / "truth.json")
    point = Recalled(tmp_path / "truth.json", folder, "qwen3_vl")
    kinds: Counter[str] = Counter()

    def answer(request):
        choice = "Which number" in prompt(request)
        kinds["choice" if choice else "point"] += 1
        return '{"choice": "1"}' if choice else point(request)

    with ModelServer(answer) as server:
        asked = ["--model", "qwen3_vl_8b", "--server", server.url, "--cache", str(tmp_path / "cache")]
        command = ["run", str(folder), "--query", "the red box", *QUICK, *asked]
        main([*command, "--output", str(tmp_path / "out"), "--budget", "8"])
        first = dict(kinds)
        assert first["point"] >= 5
        assert first["choice"] >= 1
        assert sum(first.values()) <= 8
        main([*command, "--output", str(tmp_path / "again"), "--budget", "8"])
        assert dict(kinds) == first  # all replies are remembered
        main([*command, "--output", str(tmp_path / "all"), "--ask", "all"])
        assert kinds["point"] == 10
    points = read_points(tmp_path / "out" / "points.json", read_capture(folder))
    assert len(points.choices) == first["choice"]
    results = [read_grasps(tmp_path / name / "grasps.json")["results"] for name in ("out", "again")]
    assert json.dumps(results[0]) == json.dumps(results[1])
    action = results[0][0]["action_point"]
    if action is not None:  # a model that always says 1 may well be refused
        assert np.linalg.norm(np.array(action)[:2] - RED_TOP[:2]) < 0.1


@pytest.mark.parametrize("wrong", [("--budget", "0"), ("--confidence", "1.5"), ("--confidence", "0")])
def test_options_out_of_range_are_refused(wrong, tmp_path, capsys):
    command = ["run", str(write_capture(tmp_path / "c")), "--output", str(tmp_path / "o"), *wrong]
    with pytest.raises((SystemExit, PointsError)):
        main([*command, "--query", "x", "--model", "qwen3_vl_8b", "--server", "http://127.0.0.1:9/v1"])
    assert "--budget" in capsys.readouterr().err
