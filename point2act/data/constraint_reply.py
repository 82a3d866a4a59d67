"""Constraints of a plan's steps as a model replies with them, and the JSON Schema for servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BeforeValidator, Field

from point2act.core.constraints import KINDS, When
from point2act.core.errors import ReplyError
from point2act.core.reply_text import shown
from point2act.core.types import Plan
from point2act.data.constraint_documents import Constraints, check_references, record_fields
from point2act.data.plan_reply import Closed
from point2act.data.step_reply import InvalidReplyError, read_steps


def _without_nulls(constraints: object) -> object:
    """Omit keys that are null: OpenAI's strict mode wants all keys, those of other kinds, too."""
    return [_filled(found) for found in constraints] if isinstance(constraints, list) else constraints


def _filled(found: object) -> object:
    if not isinstance(found, dict):
        return found
    return {key: value for key, value in found.items() if value is not None}


class ReplyStep(Closed):
    """an object with constraints and nothing else"""

    constraints: Annotated[Constraints, BeforeValidator(_without_nulls)] = Field(
        description="what must hold in this step; none is allowed"
    )


class ConstraintsReply(Closed):
    """an object with steps and nothing else"""

    steps: list[ReplyStep] = Field(description="the steps of the plan, in its order")


def parse_constraints(text: str, plan: Plan) -> Plan:
    """Return a plan with the constraints that a model wrote for its steps.

    Args:
        text: The reply, one JSON object that follows ``ConstraintsReply``, with or without a ``<think>``
            block, prose and code fences around it.
        plan: The plan.

    Raises:
        ReplyError: The reply has no such object, or not one entry for each step, no constraint at all, or
            one that is invalid, contradicts another one or refers to no query of the plan; the message
            quotes the reply.
    """
    try:
        reply = read_steps(ConstraintsReply, text)
        found = [tuple(one.constraint() for one in step.constraints) for step in reply.steps]
        if len(found) != len(plan.steps):
            raise InvalidReplyError(
                f"it has {len(found)} steps, but the plan has {len(plan.steps)}: write one entry for each"
            )
        if not any(found):
            raise InvalidReplyError("it has no constraint: write what must hold in at least one step")
        check_references(found, [query.name for query in plan.queries])
    except ValueError as err:
        raise ReplyError(f"the reply has no usable constraints: {err}. The reply: {shown(text)}") from None
    steps = zip(plan.steps, found, strict=True)
    return replace(plan, steps=tuple(replace(step, constraints=constraints) for step, constraints in steps))


def reply_schema() -> dict[str, Any]:
    """Return the JSON Schema of a reply, without alternatives: each constraint has the keys of all kinds."""
    hints = {
        field.name: get_type_hints(record)[field.name]
        for record in KINDS.values()
        for field in record_fields(record)
    }
    properties = {"kind": {"type": "string", "enum": list(KINDS)}}
    properties |= {name: _nullable(hint) for name, hint in hints.items()}
    return {
        "title": "constraints",
        **_object({"steps": _list(_object({"constraints": _list(_object(properties))}))}),
    }


def _nullable(hint: object) -> dict[str, Any]:
    if hint == When:
        return {"type": ["string", "null"], "enum": [*get_args(When), None]}
    return {"type": ["number" if float in (hint, *get_args(hint)) else "string", "null"]}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
