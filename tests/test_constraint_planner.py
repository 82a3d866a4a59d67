"""Constraints from language: a model is asked with all that there is, and again with what was wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from test_task_planner import COFFEE, WANTED, Scripted, opened

from point2act.cli import plan as command
from point2act.core.constraints import (
    KINDS,
    AxisName,
    Constraint,
    GripperAxis,
    GripperPoint,
    GripperWidth,
    KeepGrasp,
    PointName,
    PointToPoint,
    When,
    WorldAxis,
)
from point2act.core.errors import ModelError, ReplyError
from point2act.core.types import Plan
from point2act.data.constraint_reply import parse_constraints, reply_schema
from point2act.data.documents import PlanDocument
from point2act.data.points import read_points
from point2act.data.task_plan import parse_plan, plan_document
from point2act.vlm.clients.cache import ReplyCache
from point2act.vlm.pointing import constraint_planner, task_planner
from point2act.vlm.pointing.constraint_planner import plan_constraints

PLAN = parse_plan(json.dumps(COFFEE), WANTED, model="m")
LIFT: list[dict[str, Any]] = [
    {"kind": "point_to_point", "point": "gripper.center", "target": "blue_mug_handle.action_point"},
    {"kind": "gripper_width", "width": 0.0, "when": "postcondition"},
]
PUT: list[dict[str, Any]] = [
    {"kind": "keep_grasp", "query": "blue_mug_handle"},
    {
        "kind": "point_to_point",
        "point": "blue_mug_body.bottom",
        "target": "coaster.top",
        "distance": 0.01,
    },
]


def a_reply(*steps: list[dict[str, Any]]) -> str:
    return json.dumps({"steps": [{"constraints": step} for step in steps]})


GOOD = a_reply(LIFT, PUT)
MALFORMED = a_reply(LIFT, [PUT[0] | {"query": "cup"}])
CONTRADICTORY = a_reply(LIFT, [*PUT, PUT[1] | {"target": "blue_mug_body.top"}])


def kinds(plan: Plan) -> list[list[type[Constraint]]]:
    return [[type(constraint) for constraint in step.constraints] for step in plan.steps]


WANTED_KINDS = [[PointToPoint, GripperWidth], [KeepGrasp, PointToPoint]]


# ── asking ─────────────────────────────────────────────────────────────────────────────────────
def test_a_model_is_asked_with_everything_it_needs():
    client = Scripted(GOOD)
    images = tuple(np.full((4, 6, 3), grey, np.uint8) for grey in (0, 255))
    made = plan_constraints(client, PLAN, images=images)
    assert kinds(made) == WANTED_KINDS
    assert made.queries == PLAN.queries
    (request,) = client.asked
    assert request.schema == reply_schema()
    assert len(request.images) == 2
    for needed in (WANTED, "The 2 images", json.dumps(reply_schema()), "1. lift the mug", "2. set the mug"):
        assert needed in request.prompt
    for query in PLAN.queries:
        assert f"- {query.name}: {query.text} (to {query.role})" in request.prompt


def test_the_prompt_lists_all_that_there_is():
    client = Scripted(GOOD)
    plan_constraints(client, PLAN)
    lines = client.asked[0].prompt.splitlines()
    others = [f"gripper.{name}" for name in get_args(GripperPoint) + get_args(GripperAxis)]
    others += [f"world.{name}" for name in get_args(WorldAxis)]
    for name in (*KINDS, *get_args(PointName), *get_args(AxisName), *others):
        assert sum(line.startswith(f"- {name}: ") for line in lines) == 1, name
    assert tuple(constraint_planner.POINTS) == get_args(PointName)
    assert tuple(constraint_planner.AXES) == get_args(AxisName)
    assert tuple(constraint_planner.TIMES) == get_args(When)
    assert list(constraint_planner.OTHERS) == others
    (line,) = (line for line in lines if line.startswith("- line_path: "))
    assert line.endswith(
        "Keys: point, target, distance (default 0.0), along (default world.up), when (default path)"
    )


def test_the_example_is_a_reply():
    plan = parse_plan(json.dumps(task_planner.EXAMPLE), task_planner.EXAMPLE_INSTRUCTION)
    made = parse_constraints(json.dumps(constraint_planner.EXAMPLE_CONSTRAINTS), plan)
    assert all(step.constraints for step in made.steps)
    client = Scripted(GOOD)
    plan_constraints(client, PLAN)
    assert json.dumps(constraint_planner.EXAMPLE_CONSTRAINTS) in client.asked[0].prompt


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (MALFORMED, "steps[1].constraints[0] refers to 'cup', which is no query of the plan"),
        (CONTRADICTORY, "has two goals for 'blue_mug_body.bottom', at coaster.top and at blue_mug_body.top"),
        ("I would {take} it.", "no JSON object"),
    ],
)
def test_what_cannot_be_used_is_asked_for_again_with_its_error(first: str, problem: str):
    client = Scripted(first, GOOD)
    assert kinds(plan_constraints(client, PLAN)) == WANTED_KINDS
    request, again = client.asked
    assert again.prompt.startswith(request.prompt)
    assert first in again.prompt
    assert problem in again.prompt
    assert (again.images, again.schema) == (request.images, request.schema)


def test_the_third_request_shows_both_errors():
    client = Scripted(MALFORMED, CONTRADICTORY, GOOD)
    assert kinds(plan_constraints(client, PLAN)) == WANTED_KINDS
    assert len(client.asked) == 3
    for earlier in (MALFORMED, CONTRADICTORY, "refers to 'cup'", "has two goals"):
        assert earlier in client.asked[2].prompt


def test_three_unusable_replies_are_enough():
    client = Scripted(MALFORMED, "no", "never", GOOD)
    with pytest.raises(ReplyError, match=r"the reply has no usable constraints: .*The reply: 'never'"):
        plan_constraints(client, PLAN)
    assert len(client.asked) == 3


def test_a_model_that_is_gone_is_an_error():
    with pytest.raises(ModelError, match="gone"):
        plan_constraints(Scripted(MALFORMED), PLAN)


def test_constraints_are_asked_for_once(tmp_path: Path):
    client, cache = Scripted(MALFORMED, GOOD), ReplyCache(tmp_path)
    for _ in range(2):
        assert kinds(plan_constraints(client, PLAN, cache=cache)) == WANTED_KINDS
    assert len(client.asked) == 2


def test_the_gripper_and_the_world_keep_their_names():
    """A thing of that name has another one: their points would have the same names."""
    targets = [
        {"object": name, "part": None, "role": "grasp", "reason": "So."} for name in ("gripper", "world")
    ]
    made = parse_plan(json.dumps({"steps": [{"action": "take", "targets": targets}]}), "take it")
    assert [query.name for query in made.queries] == ["gripper_2", "world_2"]


# ── the command ────────────────────────────────────────────────────────────────────────────────
def test_the_command_writes_and_shows_constraints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("COLUMNS", "200")
    client = Scripted(json.dumps(COFFEE), GOOD)
    opened(monkeypatch, client)
    path = tmp_path / "points.json"
    command.main([WANTED, "--model", "m", "--constraints", "--output", str(path)])
    found = read_points(path).plan
    assert found is not None
    assert kinds(found) == WANTED_KINDS
    shown = capsys.readouterr().out
    for words in (
        "gripper.center at blue_mug_handle.action_point",
        "gripper closed",
        "blue_mug_handle in the gripper",
        "blue_mug_body.bottom 0.01 m from coaster.top along world.up",
        "postcondition",
    ):
        assert words in shown


def test_without_the_option_there_is_one_request(monkeypatch: pytest.MonkeyPatch):
    client = Scripted(json.dumps(COFFEE), GOOD)
    opened(monkeypatch, client)
    command.main([WANTED, "--model", "m"])
    assert len(client.asked) == 1


def test_what_is_written_follows_the_schema():
    made = plan_constraints(Scripted(GOOD), PLAN)
    Draft202012Validator(PlanDocument.model_json_schema()).validate(plan_document(made))
