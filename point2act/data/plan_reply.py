"""Form in which a model replies with a task plan, see ``core.documents``, and its JSON Schema for servers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from point2act.core.documents import AnyText, Document
from point2act.core.files import is_text
from point2act.core.types import Role


def _at_most(length: int, *, optional: bool = False) -> AfterValidator:
    """Put a text on one line, refuse long ones and control characters, and empty ones if not optional."""

    def check(words: str | None) -> str | None:
        words = " ".join((words or "").split())
        if not words and optional:
            return None
        if not words:
            raise ValueError("is empty: write some words there")
        if len(words) > length:
            raise ValueError(f"has {len(words)} characters: at most {length} are allowed")
        if not is_text(words):
            raise ValueError("has a control character: write words")
        return words

    return AfterValidator(check)


class Closed(Document):
    """An object whose keys are all required, and no others allowed: OpenAI's strict mode wants it so."""

    model_config = ConfigDict(extra="forbid")


# Lengths are chosen; plans for one sentence stay far below them.
class ReplyTarget(Closed):
    """an object with object, part, role and reason, and nothing else"""

    object: Annotated[AnyText, _at_most(80)] = Field(
        description="the whole thing, a noun with what distinguishes it from others"
    )
    part: Annotated[AnyText | None, _at_most(80, optional=True)] = Field(
        description="the part of the object, a noun; null for all of it"
    )
    role: Role = Field(description="grasp, place or avoid")
    reason: Annotated[AnyText, _at_most(400)] = Field(description="why, one short sentence")


class ReplyStep(Closed):
    """an object with action and targets, and nothing else"""

    action: Annotated[AnyText, _at_most(200)] = Field(description="what the robot does, a few words")
    targets: list[ReplyTarget] = Field(description="what has to be found in the scene for this step")


class PlanReply(Closed):
    """an object with steps and nothing else"""

    steps: list[ReplyStep] = Field(description="the steps, in the order in which they are done")


def reply_schema() -> dict[str, Any]:
    """Return the JSON Schema of a reply without references and alternatives, which not all servers know."""
    schema = PlanReply.model_json_schema()
    return {"title": "plan", **_flat(schema, schema["$defs"])}


def _flat(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    kinds = [kind["type"] for kind in part.get("anyOf", ())]
    part = {"type": kinds, **part} if kinds else part
    keys = ("description", "type", "enum", "additionalProperties", "required")
    flat = {key: part[key] for key in keys if key in part}
    if "items" in part:
        flat["items"] = _flat(part["items"], definitions)
    if "properties" in part:
        flat["properties"] = {key: _flat(inner, definitions) for key, inner in part["properties"].items()}
    return flat
