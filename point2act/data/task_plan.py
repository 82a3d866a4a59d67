"""Plans: an instruction taken apart into steps, as a model writes it and as files keep it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from point2act.core.errors import Point2ActError, ReplyError
from point2act.core.files import schema_problem
from point2act.core.reply_text import after_thinking, shown
from point2act.core.types import Plan, Query, Role, Step, Target

# What a hand does with one sentence is far below these. Chosen; the prompt states the first two.
MAX_STEPS = 12
MAX_TARGETS = 6
# Characters at most.
_LENGTHS = {"action": 200, "object": 80, "part": 80, "reason": 400}
# Characters. A plan at all limits has under 60 000; a model that writes more repeats itself.
_LONGEST_REPLY = 100_000

_BEGINNING = re.compile(r'\{\s*"steps"\s*:\s*\[')
_ARTICLES = re.compile(r"\A(?:(?:the|an|a)\s+)+", re.IGNORECASE)
# Words that stand where an article would.
_DETERMINED = re.compile(
    r"(?:my|your|his|her|its|our|their|this|that|these|those|some|any|each|every|both|all|one|\S+['’]s)\s",
    re.IGNORECASE,
)
# How models write that no part in particular is meant, where they should write null.
_NO_PART = frozenset(("none", "null", "n/a", "all", "whole", "entire", "whole object", "entire object"))


class _UnfitError(ValueError):
    """Why a reply is no plan, in words."""


# ── as files keep it ───────────────────────────────────────────────────────────────────────────
def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan as JSON, as ``plan.schema.json`` has it."""
    return {
        "instruction": plan.instruction,
        "model": plan.model,
        "steps": [
            {"action": step.action, "targets": [_entry(target) for target in step.targets]}
            for step in plan.steps
        ],
    }


def read_plan_document(
    document: Any, queries: Iterable[Query], *, place: str, error: type[Point2ActError]
) -> Plan:
    """A plan from JSON, the inverse of ``plan_document``.

    Raises ``error``, its message beginning with ``place``, where the document does not follow
    ``plan.schema.json``, or where a target's query is not one of ``queries`` with the same text and role.
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


def _entry(target: Target) -> dict[str, Any]:
    return {
        "query": {"name": target.query.name, "text": target.query.text, "role": target.query.role},
        "object": target.object,
        "part": target.part,
        "reason": target.reason,
    }


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


# ── as a model writes it ───────────────────────────────────────────────────────────────────────
def parse_plan(text: str, instruction: str, *, model: str = "") -> Plan:
    """Read the plan that a model wrote for an instruction.

    The reply holds one JSON object that follows ``plan_reply.schema.json``; a ``<think>`` block, prose
    and fences around it are passed over. Queries get their names here: a target's words, unique; the same
    object, part and role is the same query in all steps.

    Raises ``ReplyError``, which shows the reply, where it holds no plan or two different ones, more
    than ``MAX_STEPS`` steps or ``MAX_TARGETS`` targets a step, an empty or endless text, the same thing
    twice in one step, or nothing to grasp and nowhere to place.
    """
    try:
        document = _only_plan(text)
        problem = schema_problem(document, "plan_reply")
        if problem is not None:
            raise _UnfitError(problem)
        steps = _steps(document["steps"])
    except (_UnfitError, RecursionError) as err:
        problem = "it is nested too deeply" if isinstance(err, RecursionError) else str(err)
        raise ReplyError(f"the reply is not a plan: {problem}. The reply: {shown(text)}") from None
    return Plan(instruction, steps, model)


def _only_plan(text: str) -> dict[str, Any]:
    """The one JSON object with steps in a reply."""
    if len(text) > _LONGEST_REPLY:
        raise _UnfitError(f"it has {len(text)} characters, and {_LONGEST_REPLY} are too many: ask for less")
    answer = after_thinking(text)
    if answer is None:
        raise _UnfitError("it ends before the thinking does: allow more tokens")
    plans = list(_plans(answer))
    if any(plan != plans[0] for plan in plans):
        raise _UnfitError(f"it holds {len(plans)} that differ: one is wanted")
    if plans:
        return plans[0]
    raise _UnfitError('no JSON object {"steps": […]} can be read; if it was cut off, allow more tokens')


def _plans(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text that begin as a plan does and are not within one another."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats)
    start = _BEGINNING.search(text)
    while start:
        try:
            found, end = decoder.raw_decode(text, start.start())
            yield found
        except ValueError:
            end = start.end()
        start = _BEGINNING.search(text, end)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two values for one key neither is certain."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _steps(entries: list[dict[str, Any]]) -> tuple[Step, ...]:
    if not 1 <= len(entries) <= MAX_STEPS:
        raise _UnfitError(f"it has {len(entries)} steps: 1 to {MAX_STEPS} are wanted")
    queries: dict[tuple[str, Role], Query] = {}
    steps = tuple(_step(entry, f"steps[{number}]", queries) for number, entry in enumerate(entries))
    if all(role == "avoid" for _, role in queries):
        raise _UnfitError("it has nothing to grasp and nowhere to place: name at least one target for either")
    return steps


def _step(entry: dict[str, Any], place: str, queries: dict[tuple[str, Role], Query]) -> Step:
    action, wanted = _words(entry, "action", place), entry["targets"]
    if len(wanted) > MAX_TARGETS:
        raise _UnfitError(f"{place} has {len(wanted)} targets: {MAX_TARGETS} at most are wanted")
    targets = tuple(_named(one, f"{place}.targets[{index}]", queries) for index, one in enumerate(wanted))
    texts = Counter(target.query.text.casefold() for target in targets)
    twice = [text for text, count in texts.items() if count > 1]
    if twice:
        raise _UnfitError(f"{place} names {twice[0]!r} more than once: name it once, in one role")
    return Step(action, targets)


def _named(entry: dict[str, Any], place: str, queries: dict[tuple[str, Role], Query]) -> Target:
    """One target. Its query is one of those there are already, or is added to them."""
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
    """A text on one line, neither empty nor endless, that files and terminals can hold."""
    words = " ".join(entry[key].split())
    if not words:
        raise _UnfitError(f"{place}.{key} is empty: write some words there")
    if len(words) > _LENGTHS[key]:
        raise _UnfitError(f"{place}.{key} has {len(words)} characters: {_LENGTHS[key]} at most are wanted")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in words):
        raise _UnfitError(f"{place}.{key} holds a sign that is no text: write words")
    return words


# ── words ──────────────────────────────────────────────────────────────────────────────────────
def describe(thing: str, part: str | None) -> str:
    """A query's words for a part of a thing, or for all of it: ``"the handle of the mug"``, ``"the mug"``.

    Both may come with an article or without. A part that names its thing already (``"mug handle"``) is
    left as it is.
    """
    thing = _bare(thing)
    if part is None:
        return _definite(thing)
    part = _bare(part)
    return _definite(part) if _names(part, thing) else f"{_definite(part)} of {_definite(thing)}"


def _names(part: str, thing: str) -> bool:
    """Whether a part's words say already of what it is one."""
    return re.search(rf"(?<!\w){re.escape(thing)}(?!\w)", part, re.IGNORECASE) is not None


def _bare(words: str) -> str:
    """Words without the articles before them."""
    return _ARTICLES.sub("", words)


def _definite(words: str) -> str:
    return words if _DETERMINED.match(words) else f"the {words}"


def free_name(words: str, taken: Iterable[str]) -> str:
    """A short name made of words that is not taken: letters, digits and underscores."""
    base = "_".join(re.findall(r"\w+", words.casefold())) or "target"
    names = (base if number == 1 else f"{base}_{number}" for number in count(1))
    return next(name for name in names if name not in taken)
