"""Form of a line of a manifest."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from point2act.core.documents import TomlTable, Words
from point2act.core.types import Role
from point2act.grasping.depth_noise import Sensor

# A query is asked about every image. Chosen, as in points.json.
_MAX_QUERIES = 1000


class QueryLine(TomlTable):
    """Write a query as a text, or as {"text": …, "role": …}."""

    text: Words = Field(description="write what is asked for, in words")
    role: Role = Field("grasp", description="write grasp, place or avoid (grasp where it is left out)")

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


Queries = Annotated[
    list[QueryLine],
    Field(min_length=1, max_length=_MAX_QUERIES, description="list what is to be found, each in words"),
]


class OptionsLine(TomlTable):
    """Options that a job may set."""

    gripper: Words | None = Field(None, description="write the name or the .toml file of a gripper")
    arm: Words | None = Field(None, description="write the name or the .toml file of an arm")
    metric: bool | None = Field(None, description="write true or false")
    sensor: Sensor | None = Field(None, description="write a kind of depth camera, such as auto")
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(
        None, description="write a whole number from 0 to 4294967295"
    )
    max_side: Annotated[int, Field(ge=16)] | None = Field(None, description="write at least 16 pixels")
    max_views: Annotated[int, Field(ge=1)] | None = Field(None, description="write a number of images")
    refine_poses: bool | None = Field(None, description="write true or false")


class JobLine(OptionsLine):
    """Write an object such as {"capture": "a/", "points": "a/points.json"}."""

    capture: Words = Field(description="write the path of a capture's folder")
    points: Words | None = Field(None, description="write the path of a points.json")
    queries: Queries | None = None
    allow_outside: bool | None = Field(None, description="write true or false")
    fields: bool | None = Field(None, description="write true or false")
    device: Words | None = Field(None, description="write cpu or cuda")
