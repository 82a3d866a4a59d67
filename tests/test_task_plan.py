"""Plans: what a model writes is read or refused, and what is read is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from patience import seconds

from point2act.core.documents import check
from point2act.core.errors import PointsError, ReplyError
from point2act.core.types import Plan, PointSet, Query
from point2act.data.documents import PointsDocument
from point2act.data.plan_reply import reply_schema
from point2act.data.points import read_points, write_points
from point2act.data.task_plan import (
    MAX_STEPS,
    MAX_TARGETS,
    describe,
    parse_plan,
    plan_document,
    query_document,
)

WANTED = "I want to drink coffee without burning my hand"


def a_target(**changes: Any) -> dict:
    return {"object": "blue mug", "part": "handle", "role": "grasp", "reason": "It is cool."} | changes


def a_reply(*targets: dict) -> dict:
    """One step; what a model writes."""
    return {"steps": [{"action": "lift the mug", "targets": list(targets or (a_target(),))}]}


COFFEE = {
    "steps": [
        {
            "action": "lift the mug",
            "targets": [
                a_target(),
                a_target(part="body", role="avoid", reason="The coffee makes it hot."),
            ],
        },
        {
            "action": "set the mug down beside the person",
            "targets": [
                a_target(object="a coaster", part=None, role="place", reason="It is flat."),
                a_target(object="The  Blue Mug", part="the handle"),
            ],
        },
    ]
}


def read(reply: object) -> Plan:
    return parse_plan(json.dumps(reply), WANTED, model="m")


# ── what a model writes ────────────────────────────────────────────────────────────────────────
def test_a_plan_is_read():
    made = read(COFFEE)
    assert (made.instruction, made.model) == (WANTED, "m")
    assert [step.action for step in made.steps] == ["lift the mug", "set the mug down beside the person"]
    assert [query_document(query) for query in made.queries] == [
        {"name": "blue_mug_handle", "text": "the handle of the blue mug", "role": "grasp"},
        {"name": "blue_mug_body", "text": "the body of the blue mug", "role": "avoid"},
        {"name": "coaster", "text": "the coaster", "role": "place"},
    ]
    coaster, again = made.steps[1].targets
    assert (coaster.object, coaster.part, coaster.reason) == ("coaster", None, "It is flat.")
    assert again.query is made.steps[0].targets[0].query


@pytest.mark.parametrize(
    "wrapping",
    [
        "{}",
        "```json\n{}\n```",
        "```\n{}```",
        "Here is the plan {see below}:\n{}\nI hope this helps {:-).",
        '<think>First {"steps": []}? No.</think>\n\n{}',
        'The thought started in the prompt. {"steps": []}</think>{}',
        '{"plan": {}}',
        "By this schema: " + json.dumps(reply_schema()) + "\n{}",
        '{}\n\nOnce more:\n{}\n{"remark": "all done"}',
    ],
)
def test_what_is_around_a_plan_is_passed_over(wrapping: str):
    text = wrapping.replace("{}", json.dumps(COFFEE, indent=2))
    assert plan_document(parse_plan(text, WANTED)) == plan_document(parse_plan(json.dumps(COFFEE), WANTED))


@pytest.mark.parametrize(
    ("thing", "part", "text"),
    [
        ("mug", "handle", "the handle of the mug"),
        ("a mug", "the handle", "the handle of the mug"),
        ("An apple", None, "the apple"),
        ("mug", "mug handle", "the mug handle"),
        ("mug", "Handle of the Mug", "the Handle of the Mug"),
        ("mug", "mug's handle", "mug's handle"),
        ("cup", "cupboard side", "the cupboard side of the cup"),
        ("my mug", "handle", "the handle of my mug"),
        ("Anna's mug", None, "Anna's mug"),
        ("anvil", None, "the anvil"),
        ("theatre ticket", "one corner", "one corner of the theatre ticket"),
        ("mug (blue)", "handle", "the handle of the mug (blue)"),
    ],
)
def test_queries_are_english(thing: str, part: str | None, text: str):
    assert describe(thing, part) == text


@pytest.mark.parametrize("part", ["", "  ", None, "none", "N/A", "whole", "the whole object", "The blue mug"])
def test_no_part_in_particular_is_all_of_it(part: str | None):
    (target,) = read(a_reply(a_target(part=part))).steps[0].targets
    assert (target.part, target.query.text, target.query.name) == (None, "the blue mug", "blue_mug")


def test_names_differ_where_queries_do():
    targets = [
        a_target(object="mug 2", part=None),
        a_target(object="Mug", part="2"),
        a_target(object="mug-2", part=None),
        a_target(object="🍵", part=None),
        a_target(object="☕", part=None, role="avoid"),
        a_target(object="кружка", part="ручка"),
    ]
    names = [query.name for query in read(a_reply(*targets)).queries]
    assert names == ["mug_2", "mug_2_2", "mug_2_3", "target", "target_2", "кружка_ручка"]


def test_a_role_of_its_own_is_a_query_of_its_own():
    steps = a_reply()["steps"] + a_reply(a_target(role="avoid"))["steps"]
    assert [(query.name, query.role) for query in read({"steps": steps}).queries] == [
        ("blue_mug_handle", "grasp"),
        ("blue_mug_handle_2", "avoid"),
    ]


def kept(document: dict, queries: Sequence[Query]) -> Plan:
    """A plan as points.json has it, read."""
    points = {"version": 1, "queries": list(map(vars, queries)), "answers": [], "plan": document}
    found = check(PointsDocument, points, PointsError, place="here").plan
    assert found is not None
    return found.plan()


REFUSED: list[tuple[str, object, str]] = [
    ("no JSON", "I would take the handle.", "no JSON object"),
    ("nothing", "", "no JSON object"),
    ("truncated", json.dumps(COFFEE)[:-3], "allow more tokens"),
    ("still thinking", "<think>" + json.dumps(COFFEE), "ends before the thinking does"),
    ("two plans", json.dumps(COFFEE) + json.dumps(a_reply()), "2 different lists of steps"),
    ("a list", [a_reply()["steps"]], "no JSON object"),
    ("a schema", reply_schema(), "no JSON object"),
    ("something before", {"remark": "so", **COFFEE}, "no JSON object"),
    ("something after", {**COFFEE, "remark": "so"}, "unknown keys remark: use steps"),
    ("a key twice", '{"steps": [], "steps": []}', "no JSON object"),
    ("no steps", {"steps": []}, "0 steps"),
    ("steps of another kind", {"steps": ["lift the mug"]}, r"steps\[0\]"),
    ("too many steps", {"steps": a_reply()["steps"] * (MAX_STEPS + 1)}, f"{MAX_STEPS + 1} steps"),
    (
        "too many targets",
        a_reply(*(a_target(object=f"mug {number}") for number in range(MAX_TARGETS + 1))),
        f"{MAX_TARGETS + 1} targets",
    ),
    ("no action", {"steps": [{"targets": [a_target()]}]}, r"'steps\[0\]\.action' is missing"),
    ("an empty action", {"steps": [{"action": " ", "targets": []}]}, r"steps\[0\]\.action is empty"),
    ("no targets", {"steps": [{"action": "wave"}]}, r"'steps\[0\]\.targets' is missing"),
    ("nothing but thoughts", {"steps": [{"action": "wave", "targets": []}]}, "nothing to grasp"),
    ("nothing but dangers", a_reply(a_target(role="avoid")), "nothing to grasp"),
    ("no reason", a_reply(a_target(reason="\n")), r"targets\[0\]\.reason is empty"),
    ("no object", a_reply(a_target(object="")), r"targets\[0\]\.object is empty"),
    ("an object of another kind", a_reply(a_target(object=3)), r"targets\[0\]\.object' is 3: "),
    ("another role", a_reply(a_target(role="grab")), "grasp, place or avoid"),
    ("something more", a_reply(a_target(confidence=0.9)), r"keys confidence in steps\[0\]\.targets\[0\]: use object"),  # noqa: E501
    ("an endless object", a_reply(a_target(object="mug " * 30)), "119 characters"),
    ("an endless reason", a_reply(a_target(reason="x" * 401)), "401 characters"),
    ("a control sign", a_reply(a_target(part="han\u0000dle")), r"targets\[0\]\.part has a control character"),
    ("half a character", a_reply(a_target(object="mug \ud83c")), r"targets\[0\]\.object has a control character"),  # noqa: E501
    ("one part twice", a_reply(a_target(), a_target(role="avoid")), "'the handle of the blue mug' more than"),
    ("an endless reply", json.dumps(COFFEE) + " " * 100_000, "more than 100000"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_is_no_plan_is_refused_and_shown(reply: object, words: str):
    text = reply if isinstance(reply, str) else json.dumps(reply)
    with pytest.raises(ReplyError, match=words) as caught:
        parse_plan(text, WANTED)
    assert repr(text[:100])[1:-1] in str(caught.value)
    assert "\n" not in str(caught.value)


words = st.text(min_size=1, max_size=12)
targets = st.fixed_dictionaries(
    {
        "object": words,
        "part": st.none() | words,
        "role": st.sampled_from(("grasp", "place", "avoid")),
        "reason": words,
    }
)
steps = st.fixed_dictionaries({"action": words, "targets": st.lists(targets, max_size=3)})
replies = st.fixed_dictionaries({"steps": st.lists(steps, max_size=3)})
mutations = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.sampled_from('{}[]",:\\u0 n')))


def read_or_refused(text: str) -> Plan | None:
    """The plan, after what holds for every plan; None where the reply is refused. Nothing else is raised."""
    try:
        made = parse_plan(text, WANTED)
    except ReplyError:
        return None
    document = json.loads(json.dumps(plan_document(made)))
    found = kept(document, made.queries)
    assert plan_document(found) == document
    names = [query.name for query in made.queries]
    texts = [(query.text.casefold(), query.role) for query in made.queries]
    assert len(set(names)) == len(set(texts)) == len(names)
    assert {query.role for query in made.queries} & {"grasp", "place"}
    return made


@given(text=st.text(max_size=60) | st.text(alphabet='{}[]":,steps \\n', max_size=60))
def test_nothing_but_a_reply_error(text: str):
    assert read_or_refused(text) is None


@given(reply=replies, changes=mutations)
def test_spoiled_replies_are_read_or_refused(reply: dict, changes: list[tuple[int, int, str]]):
    text = json.dumps(reply)
    for place, length, sign in changes:
        place %= len(text) + 1
        text = text[:place] + sign + text[place + length :]
    read_or_refused(text)


@given(reply=replies, places=st.lists(st.integers(0, 99)), junk=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
))  # fmt: skip
def test_other_documents_are_read_or_refused(reply: Any, places: list[int], junk: Any):
    parent: Any = None
    key, inner = None, reply
    for place in places:
        if not isinstance(inner, dict | list) or not inner:
            break
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        parent, key = inner, keys[place % len(keys)]
        inner = parent[key]
    if parent is not None:
        parent[key] = junk
    read_or_refused(json.dumps(reply))


plain = st.sampled_from(("mug", "mug handle", "red pen", "Pen", "handle", "lid", "tray", "left half"))
plain_targets = st.fixed_dictionaries(
    {
        "object": plain,
        "part": st.none() | plain,
        "role": st.sampled_from(("grasp", "place")),
        "reason": st.just("so"),
    }
)
plain_steps = st.fixed_dictionaries({"action": plain, "targets": st.lists(plain_targets, max_size=1)})


@given(
    parts=st.lists(plain_steps, min_size=1, max_size=6), articles=st.lists(st.sampled_from(("a ", "The ")))
)
def test_plans_say_what_the_reply_says(parts: list[dict], articles: list[str]):
    made = read_or_refused(json.dumps({"steps": parts}))
    if not any(step["targets"] for step in parts):
        assert made is None
        return
    assert made is not None
    for step, part in zip(made.steps, parts, strict=True):
        assert step.action == part["action"]
        for target, wanted in zip(step.targets, part["targets"], strict=True):
            assert (target.object, target.query.role) == (wanted["object"], wanted["role"])
            assert target.part in (wanted["part"], None)
            assert target.query.text == describe(target.object, target.part)
            # Articles change nothing.
            for article in articles:
                wanted["object"] = article + wanted["object"]
    again = read_or_refused(json.dumps({"steps": parts}))
    assert again is not None
    assert plan_document(again) == plan_document(made)


@pytest.mark.parametrize(
    "junk",
    [
        "{",
        '{"steps": [',
        '{"steps":[0,{"steps":[' + "0," * 40 + '"",',
        '{"steps": [{"action": "',
        '{"steps":[' + " " * 300,
        "<think>",
    ],
)
def test_endless_junk_is_refused_quickly(junk: str):
    def refused() -> None:
        with pytest.raises(ReplyError):
            parse_plan((junk * 100_000)[:99_000], WANTED)
        with pytest.raises(ReplyError):
            parse_plan(junk * 1_000_000, WANTED)

    assert seconds(refused, 3.0) < 3.0


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_deep_replies_are_refused(depth: int):
    for inner in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        with pytest.raises(ReplyError):
            parse_plan(f'{{"steps": {inner}}}', WANTED)
        with pytest.raises(ReplyError):
            parse_plan(f'{{"steps": {inner}}}' * 2, WANTED)


# ── schemas ────────────────────────────────────────────────────────────────────────────────────
def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(reply_schema())


def closed(part: dict) -> None:
    """OpenAI's strict mode wants closed objects, all keys required, and knows no lengths or counts."""
    known = {
        "title",
        "description",
        "type",
        "enum",
        "items",
        "properties",
        "required",
        "additionalProperties",
    }
    assert set(part) <= known
    if part["type"] == "object":
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
        for inner in part["properties"].values():
            closed(inner)
    if part["type"] == "array":
        closed(part["items"])


def test_servers_can_hold_a_reply_to_its_schema():
    closed(reply_schema())


# ── as files keep it ───────────────────────────────────────────────────────────────────────────
def test_a_document_is_the_one_promised():
    assert plan_document(read(a_reply(a_target(part=None)))) == {
        "instruction": WANTED,
        "model": "m",
        "steps": [
            {
                "action": "lift the mug",
                "targets": [
                    {
                        "query": {"name": "blue_mug", "text": "the blue mug", "role": "grasp"},
                        "object": "blue mug",
                        "part": None,
                        "reason": "It is cool.",
                    }
                ],
            }
        ],
    }


def test_what_may_be_left_out_of_a_document():
    document = plan_document(read(a_reply()))
    del (
        document["model"],
        document["steps"][0]["targets"][0]["part"],
        document["steps"][0]["targets"][0]["reason"],
    )
    document["author"] = "someone"
    made = kept(document, read(a_reply()).queries)
    (target,) = made.steps[0].targets
    assert (made.model, target.part, target.reason) == ("", None, "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("instruction"), "'plan.instruction' is missing"),
        (lambda d: d.update(instruction=" "), "'plan.instruction' is ' '"),
        (lambda d: d.update(steps=[]), r"'plan\.steps' is \[\]"),
        (lambda d: d["steps"][0].update(action=""), r"'plan\.steps\[0\]\.action' is ''"),
        (
            lambda d: d["steps"][0]["targets"][0]["query"].pop("text"),
            r"'plan\.steps\[0\]\.targets\[0\]\.query\.text' is missing",
        ),
        (
            lambda d: d["steps"][1]["targets"][1]["query"].update(name="cup"),
            r"steps\[1\] needs the query 'cup'",
        ),
        (lambda d: d["steps"][1]["targets"][1]["query"].update(text="x"), "make them the same"),
        (lambda d: d["steps"][0]["targets"][1]["query"].update(role="grasp"), "make them the same"),
    ],
)
def test_other_documents_are_refused(change: Any, words: str):
    made = read(COFFEE)
    document = plan_document(made)
    change(document)
    with pytest.raises(PointsError, match=f"^here.*{words}"):
        kept(document, made.queries)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reply=replies)
def test_every_plan_can_be_kept(tmp_path: Path, reply: dict):
    try:
        made = parse_plan(json.dumps(reply), WANTED)
    except ReplyError:
        return
    write_points(tmp_path / "points.json", PointSet(made.queries, (), made))
    found = read_points(tmp_path / "points.json").plan
    assert found is not None
    assert plan_document(found) == plan_document(made)
