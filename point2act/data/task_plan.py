"""Task plans: an instruction decomposed into steps, as JSON documents and as model replies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from point2act.core.constraints import GRIPPER, WORLD
from point2act.core.errors import ReplyError
from point2act.core.reply_text import shown
from point2act.core.types import Plan, Query, Role, Step, Target
from point2act.data.step_reply import InvalidReplyError, read_steps

if TYPE_CHECKING:
    from point2act.data.plan_reply import ReplyStep, ReplyTarget

# Plans for one sentence stay far below these. Chosen; the prompt states the first two.
MAX_STEPS = 12
MAX_TARGETS = 6
_ARTICLES = re.compile(r"\A(?:(?:the|an|a)\s+)+", re.IGNORECASE)
# Determiners that replace an article.
_DETERMINED = re.compile(
    r"(?:my|your|his|her|its|our|their|this|that|these|those|some|any|each|every|both|all|one|\S+['’]s)\s",
    re.IGNORECASE,
)
# What models write instead of null for the whole object.
_NO_PART = frozenset(("none", "null", "n/a", "all", "whole", "entire", "whole object", "entire object"))


# ── as a document ───────────────────────────────────────────────────────────────────────────
def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as a JSON document that follows ``PlanDocument``."""
    return {
        "instruction": plan.instruction,
        "model": plan.model,
        "steps": [_step_document(step) for step in plan.steps],
    }


def _step_document(step: Step) -> dict[str, Any]:
    from point2act.data.constraint_documents import constraint_document

    targets = [{**vars(target), "query": query_document(target.query)} for target in step.targets]
    document: dict[str, Any] = {"action": step.action, "targets": targets}
    if step.constraints:
        document["constraints"] = [constraint_document(constraint) for constraint in step.constraints]
    return document


def query_document(query: Query) -> dict[str, str]:
    """Return a query as a JSON document that follows ``QueryDocument``; ``instances`` only if it is all."""
    return {key: value for key, value in vars(query).items() if (key, value) != ("instances", "one")}


# ── as a model reply ───────────────────────────────────────────────────────────────────────────
def parse_plan(text: str, instruction: str, *, model: str = "") -> Plan:
    """Parse the plan that a model wrote for an instruction.

    Queries are named after their target's words; the same object, part and role is the same query in all
    steps.

    Args:
        text: The reply, one JSON object that follows ``plan_reply.PlanReply``, with or without a
            ``<think>`` block, prose and code fences around it.
        instruction: The instruction.
        model: Name of the model.

    Raises:
        ReplyError: The reply has no plan or two different ones, more than ``MAX_STEPS`` steps or
            ``MAX_TARGETS`` targets per step, an empty or very long text, a repeated target in a step, or
            no target to grasp or place at; the message quotes the reply.
    """
    from point2act.data.plan_reply import PlanReply

    try:
        steps = _steps(read_steps(PlanReply, text).steps)
    except InvalidReplyError as err:
        raise ReplyError(f"the reply is not a plan: {err}. The reply: {shown(text)}") from None
    return Plan(instruction, steps, model)


def _steps(replies: Sequence[ReplyStep]) -> tuple[Step, ...]:
    if not 1 <= len(replies) <= MAX_STEPS:
        raise InvalidReplyError(f"it has {len(replies)} steps: 1 to {MAX_STEPS} are allowed")
    queries: dict[tuple[str, Role], Query] = {}
    steps = tuple(_step(reply, f"steps[{number}]", queries) for number, reply in enumerate(replies))
    if all(role == "avoid" for _, role in queries):
        raise InvalidReplyError(
            "it has nothing to grasp and nowhere to place: name at least one target for either"
        )
    return steps


def _step(reply: ReplyStep, place: str, queries: dict[tuple[str, Role], Query]) -> Step:
    if len(reply.targets) > MAX_TARGETS:
        raise InvalidReplyError(
            f"{place} has {len(reply.targets)} targets: at most {MAX_TARGETS} are allowed"
        )
    targets = tuple(_target(target, queries) for target in reply.targets)
    texts = Counter(target.query.text.casefold() for target in targets)
    twice = [text for text, count in texts.items() if count > 1]
    if twice:
        raise InvalidReplyError(f"{place} names {twice[0]!r} more than once: name it once, in one role")
    return Step(reply.action, targets)


def _target(reply: ReplyTarget, queries: dict[tuple[str, Role], Query]) -> Target:
    """Return a target; its query is taken from ``queries`` or added to them."""
    thing, part = _bare(reply.object), reply.part and _bare(reply.part)
    if part is not None and part.casefold() in (*_NO_PART, thing.casefold()):
        part = None
    text, role = describe(thing, part), reply.role
    query = queries.get((text.casefold(), role))
    if query is None:
        words = thing if part is None else part if _names(part, thing) else f"{thing} {part}"
        # Constraints refer to the gripper and to the world by these names.
        name = free_name(words, {GRIPPER, WORLD, *(known.name for known in queries.values())})
        query = Query(name, text, role)
        queries[text.casefold(), role] = query
    return Target(query, thing, part, reply.reason)


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
