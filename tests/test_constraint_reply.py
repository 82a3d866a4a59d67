"""Replies with constraints: what a model writes for a plan is read or refused, and servers can demand it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from test_constraint_documents import EXAMPLES, QUERIES
from test_task_plan import closed

from point2act.core.constraints import KINDS, GripperWidth, KeepGrasp
from point2act.core.errors import ReplyError
from point2act.core.types import Plan, Step, Target
from point2act.data.constraint_documents import constraint_document
from point2act.data.constraint_reply import parse_constraints, reply_schema
from point2act.data.constraint_words import in_words

TARGETS = tuple(Target(query, query.name, None, "") for query in QUERIES)
PLAN = Plan("tidy up", (Step("lift the mug", TARGETS), Step("wave", ())), "m")
PUT = {"kind": "point_to_point", "point": "mug.bottom", "target": "coaster.top"}
OPEN, CLOSED = {"kind": "gripper_width", "width": 0.08}, {"kind": "gripper_width", "width": 0.0}


def a_reply(*steps: object) -> str:
    return json.dumps({"steps": [{"constraints": step} for step in steps]})


def full(document: dict) -> dict:
    """A constraint as servers that hold a reply to its schema write it."""
    constraint = reply_schema()["properties"]["steps"]["items"]["properties"]["constraints"]["items"]
    return dict.fromkeys(constraint["required"]) | document


@pytest.mark.parametrize("written", [dict, full])
def test_every_kind_is_read(written):
    documents = [written(constraint_document(example)) for example in EXAMPLES]
    made = parse_constraints(f"<think>Well.</think>Here:\n```\n{a_reply(documents, [])}\n```", PLAN)
    assert [step.constraints for step in made.steps] == [tuple(EXAMPLES), ()]
    assert [(step.action, step.targets) for step in made.steps] == [
        (step.action, step.targets) for step in PLAN.steps
    ]
    assert (made.instruction, made.model) == ("tidy up", "m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I would close the gripper.", "no JSON object"),
        (a_reply([PUT], [])[:-3], "allow more tokens"),
        (a_reply([PUT], []) + a_reply([], [PUT]), "2 different lists of steps"),
        ('{"steps": [[], []]}', r"'steps\[0\]' is \[\]: an object with constraints"),
        ('{"steps": [{}, {}]}', r"'steps\[0\]\.constraints' is missing: what must hold"),
        (a_reply([PUT]), "it has 1 steps, but the plan has 2: write one entry for each"),
        (a_reply([], []), "it has no constraint"),
        (a_reply([PUT], "none"), r"'steps\[1\]\.constraints' is 'none': what must hold in this step"),
        (a_reply([], ["open"]), r"'steps\[1\]\.constraints\[0\]' is 'open': write \{"),
        (a_reply([PUT | {"kind": "near"}], []), r"'steps\[0\]\.constraints\[0\]' is .*with one of point_to_"),
        (
            a_reply([PUT | {"target": None}], []),
            r"'steps\[0\]\.constraints\[0\]\.target' is missing: write a",
        ),
        (
            a_reply([PUT | {"radius": 0.1}], []),
            r"unknown keys radius in steps\[0\]\.constraints\[0\]: use alo",
        ),
        (a_reply([PUT | {"point": "mug.base"}], []), r"constraints\[0\]\.point is 'mug\.base': 'mug' has no"),
        (
            a_reply([], [PUT | {"point": "cup.top"}]),
            r"steps\[1\]\.constraints\[0\] refers to 'cup', which is ",
        ),
        (a_reply([], [OPEN, CLOSED]), r"steps\[1\]\.constraints has gripper_width 0\.08 and 0 as the same"),
        ('{"steps": ' + "[" * 5000 + "]" * 5000 + "}", "cannot|can be read|too deeply"),
    ],
)
def test_what_cannot_be_used_is_refused_and_shown(text: str, message: str):
    with pytest.raises(ReplyError, match=rf"the reply has no usable constraints: .*{message}") as caught:
        parse_constraints(text, PLAN)
    assert repr(text[:100])[1:-1] in str(caught.value)


mutations = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.sampled_from('{}[]",:\\u0 n.')))


@given(changes=mutations)
def test_spoilt_replies_are_read_or_refused(changes: list[tuple[int, int, str]]):
    text = a_reply([constraint_document(example) for example in EXAMPLES], [OPEN])
    for place, length, sign in changes:
        place %= len(text) + 1
        text = text[:place] + sign + text[place + length :]
    with suppress(ReplyError):
        assert len(parse_constraints(text, PLAN).steps) == 2


# ── the schema ─────────────────────────────────────────────────────────────────────────────────
def test_servers_can_hold_a_reply_to_its_schema():
    schema = reply_schema()
    Draft202012Validator.check_schema(schema)
    closed(schema)
    documents = [full(constraint_document(example)) for example in EXAMPLES]
    Draft202012Validator(schema).validate(json.loads(a_reply(documents, [])))


def test_the_schema_has_the_keys_of_all_kinds():
    constraint = reply_schema()["properties"]["steps"]["items"]["properties"]["constraints"]["items"]
    known = {field.name for record in KINDS.values() for field in fields(record)}
    assert set(constraint["properties"]) == known | {"kind"}
    texts = {key for key, part in constraint["properties"].items() if "string" in part["type"]}
    words = {"kind", "when", "point", "target", "along", "axis", "center", "region", "query"}
    assert texts == words


# ── in words ───────────────────────────────────────────────────────────────────────────────────
def test_every_kind_has_words():
    words = [in_words(example) for example in EXAMPLES]
    assert words == [
        "mug.bottom at coaster.top",
        "mug.up at 0° to world.up",
        "mug.bottom at least 0.1 m above coaster.top",
        "mug.bottom over coaster.top, within 0 m and at least 0 m above it",
        "gripper.center at least 0.05 m from coaster",
        "mug.up tilted by at most 11.5°",
        "mug in the gripper",
        "mug.bottom on a line to where it is at coaster.top",
        "mug.bottom on a circle about coaster.top, around world.up",
        "gripper closed",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distance": -0.02}, "mug.bottom -0.02 m from coaster.top along world.up"),
        ({"kind": "height", "max_height": 0.2}, "mug.bottom at most 0.2 m above coaster.top"),
        (
            {"kind": "height", "min_height": 0.0, "max_height": 0.2},
            "mug.bottom 0 to 0.2 m above coaster.top",
        ),
        (
            {"kind": "line_path", "distance": 0.1},
            "mug.bottom on a line to where it is 0.1 m from coaster.top along world.up",
        ),
    ],
)
def test_words_have_the_numbers(changes: dict, words: str):
    (made,) = parse_constraints(a_reply([PUT | changes], []), PLAN).steps[0].constraints
    assert in_words(made) == words


def test_hold_and_open():
    assert in_words(KeepGrasp("mug")) == "mug in the gripper"
    assert in_words(GripperWidth(0.04)) == "gripper open by 0.04 m"
