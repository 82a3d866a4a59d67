"""Instructions: a model is asked for a plan with everything it needs, and once more where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from point2act.cli import plan as command
from point2act.core.errors import ModelError, ReplyError
from point2act.data.plan_reply import reply_schema
from point2act.data.points import read_points
from point2act.data.task_plan import parse_plan, plan_document, query_document
from point2act.vlm.clients.cache import ReplyCache
from point2act.vlm.clients.client import PointingModel, Reply, Request
from point2act.vlm.clients.factory import OpenModel
from point2act.vlm.pointing import task_planner

WANTED = "I want to drink coffee without burning my hand"
LIFT = {
    "action": "lift the mug",
    "targets": [
        {"object": "blue mug", "part": "handle", "role": "grasp", "reason": "It is cool."},
        {"object": "blue mug", "part": "body", "role": "avoid", "reason": "The coffee makes it hot."},
    ],
}
PUT = {
    "action": "set the mug down",
    "targets": [{"object": "coaster", "part": None, "role": "place", "reason": "It is flat."}],
}
COFFEE = {"steps": [LIFT, PUT]}
COFFEE_DOCUMENT = plan_document(parse_plan(json.dumps(COFFEE), WANTED, model="m"))


class Scripted:
    """Answers in a given order, and remembers what it was asked."""

    concurrency = 1

    def __init__(self, *answers: str) -> None:
        self.identity = {"model": "scripted"}
        self.answers = list(answers)
        self.asked: list[Request] = []

    def ask(self, request: Request) -> Reply:
        request.prompt.encode("utf-8")
        self.asked.append(request)
        if not self.answers:
            raise ModelError("the server is gone")
        return Reply(self.answers.pop(0), 0.5)


def test_a_model_is_asked_with_everything_it_needs():
    client = Scripted(json.dumps(COFFEE))
    images = tuple(np.full((4, 6, 3), grey, np.uint8) for grey in (0, 255))
    made = task_planner.plan(client, f"  {WANTED} \n", model_name="m", images=images)
    assert plan_document(made) == COFFEE_DOCUMENT
    (request,) = client.asked
    assert request.schema == reply_schema()
    assert all(sent is image for sent, image in zip(request.images, images, strict=True))
    for needed in (WANTED, "The 2 images", json.dumps(reply_schema()), '"grasp"', '"place"', '"avoid"'):
        assert needed in request.prompt


def test_without_images_a_model_is_informed():
    client = Scripted(json.dumps(COFFEE), json.dumps(COFFEE))
    task_planner.plan(client, WANTED, model_name="m")
    task_planner.plan(client, WANTED, model_name="m", images=(np.zeros((2, 2, 3), np.uint8),))
    assert "cannot see the scene" in client.asked[0].prompt
    assert "The image shows the scene" in client.asked[1].prompt


def test_the_example_is_a_plan():
    made = parse_plan(json.dumps(task_planner.EXAMPLE), task_planner.EXAMPLE_INSTRUCTION)
    assert [query.role for query in made.queries] == ["grasp", "avoid", "place"]
    client = Scripted(json.dumps(COFFEE))
    task_planner.plan(client, WANTED, model_name="m")
    assert json.dumps(task_planner.EXAMPLE) in client.asked[0].prompt


@pytest.mark.parametrize(
    "wanted", ['say "hello" {name}', "{0} {instruction}", "%s\nand\tmore", "кофе, {{please}}"]
)
def test_any_instruction_may_be_given(wanted: str):
    client = Scripted("no", json.dumps(COFFEE))
    assert task_planner.plan(client, wanted, model_name="m").instruction == wanted
    assert json.dumps(" ".join(wanted.split()), ensure_ascii=False) in client.asked[1].prompt


@pytest.mark.parametrize(
    "first", ["I would {take} the mug.", json.dumps(COFFEE)[:-9], "\ud800", "x" * 200_000]
)
def test_what_cannot_be_read_is_shown_and_asked_for_once_more(first: str):
    client = Scripted(first, json.dumps(COFFEE))
    image = np.zeros((2, 2, 3), np.uint8)
    made = task_planner.plan(client, WANTED, model_name="m", images=(image,))
    assert plan_document(made) == COFFEE_DOCUMENT
    request, again = client.asked
    assert again.prompt.startswith(request.prompt)
    assert first[:1000].encode("utf-8", "replace").decode() in again.prompt
    assert "is not a plan" in again.prompt
    assert len(again.prompt) < len(request.prompt) + 10_000
    assert again.images == request.images
    assert again.schema == request.schema


def test_two_replies_that_cannot_be_read_are_enough():
    client = Scripted("no", "never", json.dumps(COFFEE))
    with pytest.raises(ReplyError, match="never"):
        task_planner.plan(client, WANTED, model_name="m")
    assert len(client.asked) == 2


def test_a_model_that_is_gone_is_an_error():
    with pytest.raises(ModelError, match="gone"):
        task_planner.plan(Scripted(), WANTED, model_name="m")
    with pytest.raises(ModelError, match="gone"):
        task_planner.plan(Scripted("no"), WANTED, model_name="m")


def test_no_request_without_an_instruction():
    client = Scripted(json.dumps(COFFEE))
    with pytest.raises(ModelError, match="instruction is empty"):
        task_planner.plan(client, " \n", model_name="m")
    assert not client.asked


def test_a_plan_is_asked_for_once(tmp_path: Path):
    client, cache = Scripted(json.dumps(COFFEE), json.dumps({"steps": [PUT]})), ReplyCache(tmp_path)
    plans = [plan_document(task_planner.plan(client, WANTED, model_name="m", cache=cache)) for _ in range(2)]
    assert plans[0] == plans[1]
    assert len(client.asked) == 1
    task_planner.plan(client, "something else", model_name="m", cache=cache)
    assert len(client.asked) == 2


def test_what_was_asked_once_more_costs_nothing_again(tmp_path: Path):
    client, cache = Scripted("no", json.dumps(COFFEE)), ReplyCache(tmp_path)
    for _ in range(2):
        assert (
            plan_document(task_planner.plan(client, WANTED, model_name="m", cache=cache)) == COFFEE_DOCUMENT
        )
    assert len(client.asked) == 2


def test_a_second_reply_that_cannot_be_read_is_not_remembered(tmp_path: Path):
    client, cache = Scripted("no", "never", json.dumps(COFFEE)), ReplyCache(tmp_path)
    with pytest.raises(ReplyError):
        task_planner.plan(client, WANTED, model_name="m", cache=cache)
    assert plan_document(task_planner.plan(client, WANTED, model_name="m", cache=cache)) == COFFEE_DOCUMENT
    assert len(client.asked) == 3


# ── the command ────────────────────────────────────────────────────────────────────────────────
def opened(monkeypatch: pytest.MonkeyPatch, client: Scripted) -> None:
    """Let the command ask this one, whatever model is named."""
    model = PointingModel("m", "makers/m", "qwen3_vl", "Point at {query}.", "none", "made up")
    monkeypatch.setattr(command, "open_model", lambda config: OpenModel(model, client, None))


def test_the_command_writes_queries_to_be_answered(
    tmp_path: Path, small_capture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    client = Scripted(json.dumps(COFFEE))
    opened(monkeypatch, client)
    path = tmp_path / "points.json"
    command.main([WANTED, "--model", "m", "--capture", str(small_capture), "--output", str(path)])
    points = read_points(path)
    assert points.plan is not None
    assert (points.plan.instruction, points.plan.model, points.answers) == (WANTED, "makers/m", ())
    assert [query_document(query) for query in points.queries] == [
        target["query"] for step in COFFEE_DOCUMENT["steps"] for target in step["targets"]
    ]
    assert [image.shape for image in client.asked[0].images] == [(48, 64, 3)] * 4
    shown = " ".join(capsys.readouterr().out.split())
    for word in ("lift", "grasp", "avoid", "place", "coaster", str(path.name)):
        assert word in shown


def test_the_command_prints_words_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    opened(monkeypatch, Scripted(json.dumps({"steps": [PUT | {"action": "[red]put"}]})))
    command.main([WANTED, "--model", "m"])
    assert "[red]put" in capsys.readouterr().out
