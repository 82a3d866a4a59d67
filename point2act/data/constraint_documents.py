"""Constraints of a step as JSON objects or TOML tables: a ``kind`` and the fields of its record.

Points and axes are texts such as ``"mug.bottom"``; fields that have their default may be left out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import Field as DataclassField
from dataclasses import fields
from itertools import combinations
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from point2act.core.constraints import (
    GRIPPER,
    KINDS,
    UP,
    WORLD,
    Above,
    Axis,
    AxisToAxis,
    Constraint,
    GripperWidth,
    KeepAway,
    KeepGrasp,
    KeepUpright,
    LinePath,
    Point,
    PointToPoint,
    When,
    queries_of,
)
from point2act.core.documents import Document
from point2act.core.files import brief, is_text

F = TypeVar("F", Point, Axis)

# Constraints of one step: a few are enough, and each pair is compared. Chosen.
MAX_CONSTRAINTS = 32
# Characters of a point or an axis; names of queries have up to 1000. Chosen.
_MAX_LENGTH = 1100
# Metres: farther than an arm reaches, and less than most lengths in millimetres. Chosen.
_FAR = 10.0

_POINT = 'write a point as "QUERY.name", such as "mug.bottom", or "gripper.center"'
_AXIS = 'write an axis as "QUERY.name", such as "mug.up", "gripper.approach" or "world.up"'
_QUERY = "write the name of a query"


# ── points, axes and names ─────────────────────────────────────────────────────────────────────
def _words(value: object, fix: str) -> str:
    """Check a text that is printed."""
    if not isinstance(value, str) or len(value) > _MAX_LENGTH or not is_text(value):
        raise ValueError(f"is {brief(value)}: {fix}")
    return value


def _feature(kind: type[F], value: object, fix: str) -> F:
    """Return a point or an axis from its text; its name stands after the last dot."""
    of, _, name = _words(value, fix).rpartition(".")
    if not of:
        raise ValueError(f"is {brief(value)}: {fix}")
    try:
        return kind(of, name)
    except ValueError as err:
        raise ValueError(f"is {brief(value)}: {err}") from None


def _point(value: object) -> Point:
    point = _feature(Point, value, _POINT)
    if point.of == WORLD:
        raise ValueError(f"is {brief(value)}, but the world has axes only: {_POINT}")
    return point


def _axis(value: object) -> Axis:
    return _feature(Axis, value, _AXIS)


def _query(value: object) -> str:
    name = _words(value, _QUERY)
    if name in (GRIPPER, WORLD):
        raise ValueError(f"is {brief(value)}: {_QUERY}")
    return name


_AnyPoint = Annotated[
    Point, PlainValidator(_point), WithJsonSchema({"type": "string", "description": _POINT})
]
_AnyAxis = Annotated[Axis, PlainValidator(_axis), WithJsonSchema({"type": "string", "description": _AXIS})]
_AnyQuery = Annotated[str, PlainValidator(_query), WithJsonSchema({"type": "string", "description": _QUERY})]
_Metres = Annotated[float, Field(ge=-_FAR, le=_FAR, description=f"write metres, -{_FAR:g} to {_FAR:g}")]
_Distance = Annotated[float, Field(ge=0, le=_FAR, description=f"write metres, 0 to {_FAR:g}")]
_Angle = Annotated[float, Field(ge=0, le=math.pi, description="write radians, 0 to pi")]
# A default as documents write it.
_UP: dict[str, JsonValue] = {"default": str(UP)}
_Positive = Annotated[float, Field(gt=0)]


# ── a document for each record, with the defaults of the record ────────────────────────────────
class _Fields(Document):
    """What the documents of all constraints have; a constraint that is read in part would be another one."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    when: When = Field(Constraint.when, description="write precondition, path, goal or postcondition")
    tolerance: _Positive = Field(
        Constraint.tolerance, description="write a positive number, metres, or radians for angles"
    )
    weight: _Positive = Field(Constraint.weight, description="write a positive number, 1 being usual")

    def constraint(self) -> Constraint:
        """Return the record."""
        return KINDS[self.kind](**{key: value for key, value in vars(self).items() if key != "kind"})


class PointToPointDocument(_Fields):
    """Write {"kind": "point_to_point", "point": …, "target": …}."""

    kind: Literal["point_to_point"]
    point: _AnyPoint
    target: _AnyPoint
    distance: _Metres = PointToPoint.distance
    along: _AnyAxis = Field(UP, json_schema_extra=_UP)


class AxisToAxisDocument(_Fields):
    """Write {"kind": "axis_to_axis", "axis": …, "target": …}."""

    kind: Literal["axis_to_axis"]
    axis: _AnyAxis
    target: _AnyAxis = Field(UP, json_schema_extra=_UP)
    angle: _Angle = AxisToAxis.angle
    tolerance: _Positive = Field(AxisToAxis.tolerance, description="write a positive number, radians")


class HeightDocument(_Fields):
    """Write {"kind": "height", "point": …, "target": …, "min_height": …, "max_height": …}."""

    kind: Literal["height"]
    point: _AnyPoint
    target: _AnyPoint
    min_height: _Metres | None = None
    max_height: _Metres | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> HeightDocument:
        low, high = self.min_height, self.max_height
        if low is None and high is None:
            raise ValueError("has no limit: write min_height, max_height or both, in metres")
        if low is not None and high is not None and low > high:
            raise ValueError(
                f"has min_height {low:g} above max_height {high:g}: write min_height as the lower one"
            )
        return self


class AboveDocument(_Fields):
    """Write {"kind": "above", "point": …, "target": …, "min_height": …, "radius": …}."""

    kind: Literal["above"]
    point: _AnyPoint
    target: _AnyPoint
    min_height: _Metres = Above.min_height
    radius: _Distance = Above.radius


class KeepAwayDocument(_Fields):
    """Write {"kind": "keep_away", "point": …, "region": …, "distance": …}."""

    kind: Literal["keep_away"]
    point: _AnyPoint
    region: _AnyQuery
    distance: _Distance = KeepAway.distance


class KeepUprightDocument(_Fields):
    """Write {"kind": "keep_upright", "axis": …, "max_angle": …}."""

    kind: Literal["keep_upright"]
    axis: _AnyAxis
    max_angle: _Angle = KeepUpright.max_angle


class KeepGraspDocument(_Fields):
    """Write {"kind": "keep_grasp", "query": …}."""

    kind: Literal["keep_grasp"]
    query: _AnyQuery
    when: When = KeepGrasp.when


class LinePathDocument(_Fields):
    """Write {"kind": "line_path", "point": …, "target": …}."""

    kind: Literal["line_path"]
    point: _AnyPoint
    target: _AnyPoint
    distance: _Metres = LinePath.distance
    along: _AnyAxis = Field(UP, json_schema_extra=_UP)
    when: When = LinePath.when


class ArcPathDocument(_Fields):
    """Write {"kind": "arc_path", "point": …, "center": …, "axis": …}."""

    kind: Literal["arc_path"]
    point: _AnyPoint
    center: _AnyPoint
    axis: _AnyAxis
    when: When = "path"


class GripperWidthDocument(_Fields):
    """Write {"kind": "gripper_width", "width": …}."""

    kind: Literal["gripper_width"]
    width: _Distance


ConstraintDocument = Annotated[
    PointToPointDocument
    | AxisToAxisDocument
    | HeightDocument
    | AboveDocument
    | KeepAwayDocument
    | KeepUprightDocument
    | KeepGraspDocument
    | LinePathDocument
    | ArcPathDocument
    | GripperWidthDocument,
    Field(discriminator="kind", description=f'write {{"kind": …}} with one of {", ".join(KINDS)}'),
]


def record_fields(record: type[Constraint]) -> list[DataclassField[Any]]:
    """Return the fields of a record of ``core.constraints``, those that all kinds have last."""
    return sorted(fields(record), key=lambda field: bool(field.kw_only))


def constraint_document(constraint: Constraint) -> dict[str, Any]:
    """Return a constraint as a JSON object, without the fields that have their default."""
    kind = {record: name for name, record in KINDS.items()}[type(constraint)]
    document: dict[str, Any] = {"kind": kind}
    for field in record_fields(type(constraint)):
        value = getattr(constraint, field.name)
        if value != field.default:
            document[field.name] = str(value) if isinstance(value, (Point, Axis)) else value
    return document


# ── of one step, and of a plan ─────────────────────────────────────────────────────────────────
def _check_together(documents: list[ConstraintDocument]) -> list[ConstraintDocument]:
    """Refuse two constraints that cannot hold at once, wherever things are."""
    for pair in combinations([document.constraint() for document in documents], 2):
        # Either may be the one that comes first.
        problem = _contradiction(*pair) or _contradiction(*reversed(pair))
        if problem:
            raise ValueError(problem)
    return documents


def _contradiction(first: Constraint, second: Constraint) -> str | None:
    """Return why two constraints cannot both hold, None if they may."""
    if first.when != second.when:
        return None
    match first, second:
        case GripperWidth(width=a), GripperWidth(width=b):
            if abs(a - b) > first.tolerance + second.tolerance:
                return f"has gripper_width {a:g} and {b:g} as the same {first.when}: keep one of them"
        case KeepGrasp(query=query), GripperWidth(width=width) if width > 0:
            return (
                f"has keep_grasp of {brief(query)} and gripper_width {width:g} as the same {first.when}: "
                "write width 0 to hold, or open the gripper as the postcondition"
            )
        case PointToPoint(point=point), PointToPoint(point=same) if point == same:
            ends = {(found.target, found.distance, found.along) for found in (first, second)}
            if first.when == "goal" and len(ends) > 1 and first.weight == second.weight:
                return (
                    f"has two goals for {brief(str(point))}, at {first.target} and at {second.target}, of "
                    "the same weight: keep one of them, or give one a lower weight"
                )
    return None


Constraints = Annotated[
    list[ConstraintDocument],
    Field(
        max_length=MAX_CONSTRAINTS,
        fail_fast=True,
        description=f"list up to {MAX_CONSTRAINTS} constraints, or omit it",
    ),
    AfterValidator(_check_together),
]
"""All constraints of a step."""


def check_references(
    steps: Iterable[Sequence[Constraint]], queries: Collection[str], *, place: str = "steps"
) -> None:
    """Check that constraints refer to queries of the plan only.

    Args:
        steps: The constraints of each step.
        queries: Names of the queries of all steps.
        place: Path of the steps in the document.

    Raises:
        ValueError: One does not; the message names the constraint and the query.
    """
    for number, constraints in enumerate(steps):
        for index, constraint in enumerate(constraints):
            for name in queries_of(constraint):
                if name not in queries:
                    known = ", ".join(sorted(queries)) or "none"
                    raise ValueError(
                        f"{place}[{number}].constraints[{index}] refers to {brief(name)}, which is no query "
                        f"of the plan: its queries are {known}"
                    )
