"""Form of grasps.json, see ``core.documents``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from point2act.core.documents import AnyText, Document, Version
from point2act.core.types import Query, Reason, Role
from point2act.data.documents import PlanDocument, Rigid

# Rounding error of ratios beyond [0, 1].
_ROUNDING = 1e-6


def _clipped(value: Any) -> Any:
    """Clip rounding errors beyond [0, 1]."""
    near = isinstance(value, float) and -_ROUNDING <= value <= 1 + _ROUNDING
    return min(max(value, 0.0), 1.0) if near else value


Point = Annotated[list[float], Field(min_length=3, max_length=3, description="three numbers, metres")]
Fraction = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1"), BeforeValidator(_clipped)]
Count = Annotated[int, Field(ge=0, description="a number of views")]
Length = Annotated[float, Field(ge=0, description="metres, not below zero")]
Positions = Annotated[list[float], Field(min_length=1, description="one number for each joint")]


class _Entry(Document):
    """A part of the file, read from JSON or from the attributes of a result, whose arrays become lists."""

    model_config = ConfigDict(from_attributes=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_json(cls, value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        return list(value) if isinstance(value, tuple) else value


class GripperEntry(_Entry):
    """The gripper or the hand that the grasps are for."""

    name: AnyText = Field(description="its name")
    max_width: float = Field(gt=0, description="its largest opening, metres")


class QueryEntry(_Entry):
    """What was asked."""

    name: AnyText
    text: AnyText
    role: Role = Field(description="grasp, place or avoid")


class SupportEntry(_Entry):
    """How many views back the action point, and the images whose answers were not believed."""

    agree: Count
    disagree: Count
    unseen: Count
    rejected_images: list[AnyText]


class RegionEntry(_Entry):
    """The oriented box around what was asked for; axes are the rows of a rotation."""

    center: Point
    axes: list[Point] = Field(min_length=3, max_length=3, description="three unit vectors")
    half_extents: Point


class JointPathEntry(_Entry):
    """How the arm goes straight to the grasp and up, where an arm was named; radians per joint."""

    joints: list[AnyText] = Field(min_length=1, description="names of the joints")
    approach: list[Positions] = Field(description="from behind the grasp to the grasp")
    grasp: Positions
    lift: list[Positions] = Field(description="from the grasp upwards")
    limit_margin: float = Field(description="smallest distance to a joint limit, radians")
    manipulability: float = Field(description="smallest root of det(J Jt), 0 at a singularity")
    clearance: float = Field(description="smallest distance of a link to anything, metres, 0.05 at most")


class HandJointsEntry(_Entry):
    """Joint positions of a hand, radians, and where it touches; its palm frame is T_world_gripper."""

    names: list[AnyText] = Field(min_length=1, description="names of the joints")
    pregrasp: Positions = Field(description="the open hand, as on the approach")
    grasp: Positions = Field(description="the fingers touch")
    squeeze: Positions = Field(description="targets of a position control that presses")
    contacts: list[Point] = Field(min_length=2, description="all contacts on the surface, world")
    links: list[AnyText] = Field(min_length=2, description="the link that touches at each contact")

    @model_validator(mode="after")
    def _check_lengths(self) -> HandJointsEntry:
        for name in ("pregrasp", "grasp", "squeeze"):
            if len(getattr(self, name)) != len(self.names):
                raise ValueError(f"has {len(self.names)} names and another number of {name} positions")
        if len(self.links) != len(self.contacts):
            raise ValueError(f"has {len(self.contacts)} contacts and {len(self.links)} links: one for each")
        return self


class GraspEntry(_Entry):
    """One way to close the gripper."""

    T_world_gripper: Rigid
    T_base_gripper: Rigid | None = Field(
        description="the same in the robot's base frame, null where the capture has no T_base_world"
    )
    width: Length
    approach_width: Length | None = Field(
        None,
        description="metres between the pads that were checked on the approach, to which a robot opens; null "
        "where none were checked",
    )
    flange_distance: float | None = Field(
        None,
        description="metres from the gripper's mounting face to its frame, along +z, at this width; null "
        "where not known",
    )
    score: float = Field(description="a number, the best grasp has the largest")
    relevancy: Fraction
    quality: Fraction
    contacts: list[Point] = Field(min_length=2, max_length=2, description="the two contacts on the surface")
    contacts_seen: list[bool] = Field(
        [True, True],
        min_length=2,
        max_length=2,
        description="whether a camera saw each contact; the surface at the others is inferred",
    )
    terms: dict[str, Fraction] = Field({}, description="what the quality is made of, by name, 1 being best")
    approach_clearance: float = Field(
        description="metres from the open gripper on its way to the nearest thing"
    )
    free_fully_open: bool | None = Field(
        None,
        description="whether the approach is also free with the gripper fully open; null where that was not "
        "checked",
    )
    approach_seen: Fraction | None = Field(
        None,
        description="fraction of the space that the gripper passes on its way that a camera looked through; "
        "null where that was not checked",
    )
    lift_clearance: float | None = Field(
        None,
        ge=0,
        description="metres from the closed gripper on its way up to the nearest thing but the object, null "
        "where there is nothing",
    )
    avoid_clearance: float | None = Field(
        None,
        ge=0,
        description="metres from the gripper on its way to the nearest region to avoid, null without one",
    )
    joint_path: JointPathEntry | None = None
    joints: HandJointsEntry | None = Field(
        None,
        description="for a hand only: its joint positions; the grasp's own contacts are those of thumb and "
        "opposite finger",
    )


class PlaceEntry(_Entry):
    """Where to set something down; lengths are metres where the capture has a scale."""

    T_world_place: Rigid
    T_base_place: Rigid | None = Field(
        description="the same in the robot's base frame, null where the capture has no T_base_world"
    )
    normal: Point
    flat_radius: Length
    roughness: Length


class AlternativeEntry(_Entry):
    """Another place that it may be."""

    action_point: Point
    confidence: Fraction


# The conditions of ``ResultEntry._check_reason`` for readers of the JSON Schema.
_SAYS_WHY = {"reason": {"type": "string"}, "detail": {"type": "string"}}
_UNFOUND = {"properties": {"action_point": {"type": "null"}}}
_CONDITIONS: Any = [
    {
        "if": _UNFOUND,
        "then": {"properties": {**_SAYS_WHY, "grasps": {"maxItems": 0}, "place": {"type": "null"}}},
        "else": {"properties": {"support": {"type": "object"}, "region": {"type": "object"}}},
    },
    {
        "if": {"properties": {"query": {"properties": {"role": {"enum": ["grasp", "avoid"]}}}}},
        "then": {"not": {"required": ["place"]}},
    },
    {
        "if": {
            "properties": {"query": {"properties": {"role": {"const": "grasp"}}}, "grasps": {"maxItems": 0}}
        },
        "then": {"properties": _SAYS_WHY},
    },
]


class ResultEntry(_Entry):
    """The answer to one query; without an action point, or without grasps where they were asked for, it
    says why in reason and detail.
    """

    model_config = ConfigDict(json_schema_extra={"allOf": _CONDITIONS})

    query: QueryEntry
    action_point: Point | None = Field(description="where to act, three numbers, metres, or null")
    confidence: Fraction
    support: SupportEntry | None = Field(description="the views behind it, or null")
    region: RegionEntry | None = Field(description="the box around it, or null")
    grasps: list[GraspEntry] = Field(fail_fast=True, description="best first")
    alternatives: list[AlternativeEntry] = Field(description="other places it may be, most likely first")
    reason: Reason | None = Field(description="why there is no answer, or null")
    detail: AnyText | None = Field(description="the reason as a sentence for people, or null")
    counts: dict[str, Annotated[int, Field(ge=0)]] = Field(
        {}, description="number of grasp candidates that each check removed"
    )
    place: PlaceEntry | None = Field(
        None, description="for the role place only: the pose, or null where there is no surface"
    )

    @model_validator(mode="after")
    def _check_reason(self) -> ResultEntry:
        unfound, role = self.action_point is None, self.query.role
        without = "an action point" if unfound else "grasps" if role == "grasp" and not self.grasps else None
        if without and self.reason is None:
            raise ValueError(f"is without {without} and has no reason: an answer without {without} gives one")
        if without and self.detail is None:
            raise ValueError(f"is without {without} and has no detail: say why in words")
        if unfound and (self.grasps or self.place):
            what = "grasps" if self.grasps else "place"
            raise ValueError(f"has no action point but {what}: there are no {what} without an action point")
        if not unfound and (self.support is None or self.region is None):
            raise ValueError("has an action point without support or region: an action point has both")
        if role != "place" and "place" in self.model_fields_set:
            raise ValueError(f"has a place but the role {role}: only the role place has a place")
        return self


class GraspsDocument(_Entry):
    """An object with version, frame, capture, created, gripper and results."""

    version: Version
    frame: Literal["world"] = Field(
        description="the frame of everything but T_base_gripper and T_base_place: world, the capture's"
    )
    capture: AnyText = Field(description="the folder of the capture")
    created: str = Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        description="a time in UTC such as 2026-11-21T03:00:00Z",
    )
    gripper: GripperEntry
    results: list[ResultEntry] = Field(fail_fast=True, description="one result for each query")
    plan: PlanDocument | None = Field(
        None, description="what the results are for, step by step; left out where no instruction was given"
    )

    @model_validator(mode="after")
    def _check_plan(self) -> GraspsDocument:
        if self.plan is not None:
            self.plan.check_queries(Query(**vars(result.query)) for result in self.results)
        return self
