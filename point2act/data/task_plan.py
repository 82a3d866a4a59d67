"""Task plans: an instruction decomposed into steps, as JSON documents and as model replies."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import count
from typing import Any

from point2act.core.errors import Point2ActError, ReplyError
from point2act.core.files import is_text, schema_problem, unique_keys
from point2act.core.reply_text import after_thinking, shown
from point2act.core.types import Plan, Query, Role, Step, Target

# Plans for one sentence stay far below these. Chosen; the prompt states the first two.
MAX_STEPS = 12
MAX_TARGETS = 6
# Largest numbers of characters.
_MAX_LENGTHS = {"action": 200, "object": 80, "part": 80, "reason": 400}
# Characters. A plan at all limits has under 60 000; a model that writes more repeats itself.
_MAX_REPLY = 100_000

_PLAN_START = re.compile(r'\{\s*"steps"\s*:\s*\[')
_ARTICLES = re.compile(r"\A(?:(?:the|an|a)\s+)+", re.IGNORECASE)
# Determiners that replace an article.
_DETERMINED = re.compile(
    r"(?:my|your|his|her|its|our|their|this|that|these|those|some|any|each|every|both|all|one|\S+['’]s)\s",
    re.IGNORECASE,
)
# What models write instead of null for the whole object.
_NO_PART = frozenset(("none", "null", "n/a", "all", "whole", "entire", "whole object", "entire object"))


class _InvalidPlanError(ValueError):
    """The reason why a reply is not a plan."""


# ── as a document ───────────────────────────────────────────────────────────────────────────
def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as a JSON document that follows ``plan.schema.json``."""
    steps = [{"action": step.action, "targets": list(map(asdict, step.targets))} for step in plan.steps]
    return {"instruction": plan.instruction, "model": plan.model, "steps": steps}


def read_plan_document(
    document: Any, queries: Iterable[Query], *, place: str, error: type[Point2ActError]
) -> Plan:
    """Read a plan from a JSON document; the inverse of ``plan_document``.

    Args:
        document: The parsed JSON.
        queries: Queries that the targets must be among, with the same text and role.
        place: Start of an error message.
        error: Class of the exception to raise.

    Raises:
        error: The document does not follow ``plan.schema.json`` or needs another query.
    """
    problem = schema_problem(document, "plan")
    if problem is not None:
        raise error(f"{place} is not a plan: {problem}")
    asked = {query.name: query for query in queries}
    steps = []
    for number, entry in enumerate(document["steps"]):
        step = Step(entry["action"], tuple(_target(target) for target in entry["targets"]))
        for target in step.targets:
            _check_asked(target.query, asked, f"{place}.steps[{number}]", error)
        steps.append(step)
    return Plan(document["instruction"], tuple(steps), document.get("model", ""))


def _target(entry: dict[str, Any]) -> Target:
    query = Query(**{key: entry["query"][key] for key in ("name", "text", "role")})
    return Target(query, entry["object"], entry.get("part"), entry.get("reason", ""))


def _check_asked(query: Query, asked: dict[str, Query], place: str, error: type[Point2ActError]) -> None:
    same = asked.get(query.name)
    if same is None:
        known = ", ".join(sorted(asked)) or "none"
        raise error(f"{place} needs the query {query.name!r}, which is not asked: the queries are {known}")
    if (query.text, query.role) != (same.text, same.role):
        raise error(
            f"{place} says that the query {query.name!r} is {query.text!r} to {query.role}, but it is "
            f"{same.text!r} to {same.role}: make them the same"
        )


# ── as a model reply ───────────────────────────────────────────────────────────────────────────
def parse_plan(text: str, instruction: str, *, model: str = "") -> Plan:
    """Parse the plan that a model wrote for an instruction.

    Queries are named after their target's words; the same object, part and role is the same query in all
    steps.

    Args:
        text: The reply, one JSON object that follows ``plan_reply.schema.json``, with or without a
            ``<think>`` block, prose and code fences around it.
        instruction: The instruction.
        model: Name of the model.

    Raises:
        ReplyError: The reply has no plan or two different ones, more than ``MAX_STEPS`` steps or
            ``MAX_TARGETS`` targets per step, an empty or very long text, a repeated target in a step, or
            no target to grasp or place at; the message quotes the reply.
    """
    try:
        document = _only_plan(text)
        problem = schema_problem(document, "plan_reply")
        if problem is not None:
            raise _InvalidPlanError(problem)
        steps = _steps(document["steps"])
    except (_InvalidPlanError, RecursionError) as err:
        problem = "it is nested too deeply" if isinstance(err, RecursionError) else str(err)
        raise ReplyError(f"the reply is not a plan: {problem}. The reply: {shown(text)}") from None
    return Plan(instruction, steps, model)


def _only_plan(text: str) -> dict[str, Any]:
    """Return the only JSON object with steps in a reply."""
    if len(text) > _MAX_REPLY:
        raise _InvalidPlanError(f"it has {len(text)} characters, more than {_MAX_REPLY}: ask for less")
    answer = after_thinking(text)
    if answer is None:
        raise _InvalidPlanError("it ends before the thinking does: allow more tokens")
    plans = list(_plans(answer))
    if any(plan != plans[0] for plan in plans):
        raise _InvalidPlanError(f"it has {len(plans)} different plans: only one is allowed")
    if plans:
        return plans[0]
    raise _InvalidPlanError(
        'no JSON object {"steps": […]} can be read; if it is truncated, allow more tokens'
    )


def _plans(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text that start like a plan and are not nested in one another."""
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys)
    start = _PLAN_START.search(text)
    while start:
        try:
            found, end = decoder.raw_decode(text, start.start())
            yield found
        except ValueError:
            end = start.end()
        start = _PLAN_START.search(text, end)


def _steps(entries: list[dict[str, Any]]) -> tuple[Step, ...]:
    if not 1 <= len(entries) <= MAX_STEPS:
        raise _InvalidPlanError(f"it has {len(entries)} steps: 1 to {MAX_STEPS} are allowed")
    queries: dict[tuple[str, Role], Query] = {}
    steps = tuple(_step(entry, f"steps[{number}]", queries) for number, entry in enumerate(entries))
    if all(role == "avoid" for _, role in queries):
        raise _InvalidPlanError(
            "it has nothing to grasp and nowhere to place: name at least one target for either"
        )
    return steps


def _step(entry: dict[str, Any], place: str, queries: dict[tuple[str, Role], Query]) -> Step:
    action, wanted = _words(entry, "action", place), entry["targets"]
    if len(wanted) > MAX_TARGETS:
        raise _InvalidPlanError(f"{place} has {len(wanted)} targets: at most {MAX_TARGETS} are allowed")
    targets = tuple(_named(one, f"{place}.targets[{index}]", queries) for index, one in enumerate(wanted))
    texts = Counter(target.query.text.casefold() for target in targets)
    twice = [text for text, count in texts.items() if count > 1]
    if twice:
        raise _InvalidPlanError(f"{place} names {twice[0]!r} more than once: name it once, in one role")
    return Step(action, targets)


def _named(entry: dict[str, Any], place: str, queries: dict[tuple[str, Role], Query]) -> Target:
    """Return a target; its query is taken from ``queries`` or added to them."""
    thing = _bare(_words(entry, "object", place))
    part = _part(entry, thing, place)
    text, role = describe(thing, part), entry["role"]
    query = queries.get((text.casefold(), role))
    if query is None:
        words = thing if part is None else part if _names(part, thing) else f"{thing} {part}"
        name = free_name(words, {known.name for known in queries.values()})
        query = Query(name, text, role)
        queries[text.casefold(), role] = query
    return Target(query, thing, part, _words(entry, "reason", place))


def _part(entry: dict[str, Any], thing: str, place: str) -> str | None:
    if not (entry["part"] or "").strip():
        return None
    part = _bare(_words(entry, "part", place))
    return None if part.casefold() in (*_NO_PART, thing.casefold()) else part


def _words(entry: dict[str, Any], key: str, place: str) -> str:
    """Return a text on one line, checked for its length and for control characters."""
    words = " ".join(entry[key].split())
    if not words:
        raise _InvalidPlanError(f"{place}.{key} is empty: write some words there")
    if len(words) > _MAX_LENGTHS[key]:
        raise _InvalidPlanError(
            f"{place}.{key} has {len(words)} characters: at most {_MAX_LENGTHS[key]} are allowed"
        )
    if not is_text(words):
        raise _InvalidPlanError(f"{place}.{key} has a control character: write words")
    return words


# ── words ──────────────────────────────────────────────────────────────────────────────────────
def describe(thing: str, part: str | None) -> str:
    """Return the text of a query for an object or its part, such as ``"the handle of the mug"``.

    Both may have an article or not. A part that already names its object (``"mug handle"``) is not extended.
    """
    thing = _bare(thing)
    if part is None:
        return _definite(thing)
    part = _bare(part)
    return _definite(part) if _names(part, thing) else f"{_definite(part)} of {_definite(thing)}"


def _names(part: str, thing: str) -> bool:
    """Return whether the words of a part already name its object."""
    return re.search(rf"(?<!\w){re.escape(thing)}(?!\w)", part, re.IGNORECASE) is not None


def _bare(words: str) -> str:
    """Remove leading articles."""
    return _ARTICLES.sub("", words)


def _definite(words: str) -> str:
    return words if _DETERMINED.match(words) else f"the {words}"


def free_name(words: str, taken: Iterable[str]) -> str:
    """Return an unused name made of words: letters, digits and underscores."""
    base = "_".join(re.findall(r"\w+", words.casefold())) or "target"
    names = (base if number == 1 else f"{base}_{number}" for number in count(1))
    return next(name for name in names if name not in taken)
