"""Constraints of a task as typed records: what must hold at the end of a step, or on the way there.

They follow ReKep (Huang et al. 2024) and ReSem3D (Su et al. 2025), which let a model write such functions as
code; here a model chooses among records, and no code of a model is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

When = Literal["precondition", "path", "goal", "postcondition"]
"""When a constraint must hold: at the start of a step, all the way, as its goal, or after it."""

CellName = Literal["far_left", "far", "far_right", "left", "right", "near_left", "near", "near_right"]
CELLS: dict[CellName, tuple[int, int]] = {
    "far_left": (1, 1),
    "far": (1, 0),
    "far_right": (1, -1),
    "left": (0, 1),
    "right": (0, -1),
    "near_left": (-1, 1),
    "near": (-1, 0),
    "near_right": (-1, -1),
}
"""Cells of a grid of three by three over a region, as the robot's base faces it: steps forward and left."""

PointName = Literal["action_point", "center", "top", "bottom", "rim", "hole", "side_1", "side_2", CellName]
"""Points of a region.

``rim`` is the middle of an opening, ``hole`` that of a hole through it; the sides are the ends along its
longest axis. Those of ``CELLS`` are the middles of cells, seen from above.
"""

AxisName = Literal["up", "long", "middle", "short", "rim_normal", "hole_axis"]
"""Axes of a region.

``up`` points upward when it is first seen, ``rim_normal`` out of an opening, ``hole_axis`` through a hole, in
either sense: a handle fits over a peg from both sides.
"""

GripperPoint = Literal["center"]
GripperAxis = Literal["approach", "closing"]
WorldAxis = Literal["up", "forward", "left"]
"""Axes of the world; forward and left are those of the robot's base."""

GRIPPER, WORLD = "gripper", "world"
"""Names that a feature may have instead of that of a query."""


def _check(feature: Point | Axis, others: dict[str, object], of_region: object) -> None:
    known = get_args(others.get(feature.of, of_region))
    if feature.name not in known:
        kind = type(feature).__name__.lower()
        raise ValueError(f"'{feature.of}' has no {kind} '{feature.name}': use one of {', '.join(known)}")


@dataclass(frozen=True)
class Point:
    """A named point of a queried region, or of the gripper."""

    of: str
    """Name of a query, or ``gripper``."""
    name: str
    """One of ``PointName``; of the gripper ``center``, halfway between its pads."""

    def __post_init__(self) -> None:
        _check(self, {GRIPPER: GripperPoint}, PointName)

    def __str__(self) -> str:
        return f"{self.of}.{self.name}"


@dataclass(frozen=True)
class Axis:
    """A named direction of a queried region, of the gripper or of the world."""

    of: str
    """Name of a query, ``gripper`` or ``world``."""
    name: str
    """One of ``AxisName``, ``GripperAxis`` or ``WorldAxis``."""

    def __post_init__(self) -> None:
        _check(self, {GRIPPER: GripperAxis, WORLD: WorldAxis}, AxisName)

    def __str__(self) -> str:
        return f"{self.of}.{self.name}"


UP = Axis(WORLD, "up")


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What all constraints have."""

    when: When = "goal"
    tolerance: float = 0.01
    """Largest value at which it counts as satisfied: metres, or radians for angles."""
    weight: float = 1.0
    """Cost of a metre or a radian, relative to the other constraints."""


@dataclass(frozen=True)
class PointToPoint(Constraint):
    """A point is at another one, or at a distance from it along an axis."""

    point: Point
    target: Point
    distance: float = 0.0
    """Metres."""
    along: Axis = UP


@dataclass(frozen=True)
class AxisToAxis(Constraint):
    """An axis has an angle to another one; a ``hole_axis`` in either sense."""

    axis: Axis
    target: Axis = UP
    angle: float = 0.0
    """Radians, 0 to pi."""
    # Axes of regions that cameras see in part err by some degrees.
    tolerance: float = field(default=0.1, kw_only=True)
    """Radians, as of all constraints."""


@dataclass(frozen=True)
class Height(Constraint):
    """A point is at least, or at most, so high above another one; only the height counts."""

    point: Point
    target: Point
    min_height: float | None = None
    """Metres, along the world's up; None for no limit."""
    max_height: float | None = None


@dataclass(frozen=True)
class Above(Constraint):
    """A point is within a vertical cylinder over another one."""

    point: Point
    target: Point
    min_height: float = 0.0
    """Metres above the target."""
    radius: float = 0.0
    """Largest horizontal distance, metres."""


@dataclass(frozen=True)
class KeepAway(Constraint):
    """A point keeps a distance from the box of a region."""

    point: Point
    region: str
    """Name of a query."""
    distance: float = 0.05
    """Metres."""


@dataclass(frozen=True)
class KeepUpright(Constraint):
    """An axis does not tilt from the world's up by more than an angle."""

    axis: Axis
    max_angle: float = 0.2
    """Radians."""


@dataclass(frozen=True)
class KeepGrasp(Constraint):
    """The gripper holds the thing of a query."""

    query: str
    when: When = field(default="path", kw_only=True)


@dataclass(frozen=True)
class LinePath(Constraint):
    """A point moves along the straight line from where it is at the start of the step to another one."""

    point: Point
    target: Point
    distance: float = 0.0
    """Distance of the end of the line from the target along ``along``, metres."""
    along: Axis = UP
    when: When = field(default="path", kw_only=True)


@dataclass(frozen=True)
class ArcPath(Constraint):
    """A point moves on the circle around an axis that it is on at the start of the step."""

    point: Point
    center: Point
    axis: Axis
    when: When = field(default="path", kw_only=True)


@dataclass(frozen=True)
class GripperWidth(Constraint):
    """The pads of the gripper are apart by a distance."""

    width: float
    """Metres; more than the gripper can open means fully open."""


KINDS: dict[str, type[Constraint]] = {
    "point_to_point": PointToPoint,
    "axis_to_axis": AxisToAxis,
    "height": Height,
    "above": Above,
    "keep_away": KeepAway,
    "keep_upright": KeepUpright,
    "keep_grasp": KeepGrasp,
    "line_path": LinePath,
    "arc_path": ArcPath,
    "gripper_width": GripperWidth,
}
"""Names in documents."""


def features_of(constraint: Constraint) -> tuple[Point | Axis, ...]:
    """Return the points and axes that a constraint refers to."""
    return tuple(value for value in vars(constraint).values() if isinstance(value, (Point, Axis)))


def queries_of(constraint: Constraint) -> tuple[str, ...]:
    """Return the names of the queries that a constraint refers to, each once."""
    names = [feature.of for feature in features_of(constraint)]
    names += [vars(constraint)[key] for key in ("region", "query") if key in vars(constraint)]
    return tuple(dict.fromkeys(name for name in names if name not in (GRIPPER, WORLD, None)))
