"""Form of act.json, see ``core.documents``."""

from __future__ import annotations

from pydantic import Field

from point2act.acting.execution.timeline import EventKind
from point2act.core.documents import AnyText, Document, Version


class ConditionEntry(Document):
    """A condition of success at the end."""

    kind: str = Field(description="kind of the condition, as in the task's file")
    thing: AnyText
    holds: bool
    value: float = Field(description="what the condition measures: metres, degrees or a share")


class EventEntry(Document):
    """One thing that happened."""

    time: float = Field(ge=0, description="seconds since the start, on the robot's clock")
    kind: EventKind
    detail: AnyText = Field(description="one sentence")


class ActDocument(Document):
    """Whether a task was done, and what happened when."""

    version: Version
    task: AnyText
    instruction: AnyText
    succeeded: bool = Field(
        description="whether all conditions hold; without any, whether the plan was carried out to its end"
    )
    reason: AnyText = Field(description="why the run ended")
    seconds: float = Field(ge=0, description="duration on the robot's clock")
    disturbed_at: float | None = Field(description="time of the disturbance, seconds; null without one")
    conditions: list[ConditionEntry]
    events: list[EventEntry]
