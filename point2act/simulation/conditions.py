"""Conditions of a task's success, judged by the poses and contacts in a state of the physics alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from point2act.core.documents import Length, TomlTable, Vector
from point2act.core.geometry import invert, transform_points
from point2act.core.mujoco_import import MjData, MjModel
from point2act.physics.layout import Fixture, SceneLayout, SceneObject
from point2act.physics.mjcf import resting_height
from point2act.physics.scene import body_pose, extent

_UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class PhysicalState:
    """A state of a scene's model, possibly with a robot in it; kinematics and contacts are up to date."""

    layout: SceneLayout
    model: MjModel
    data: MjData
    reached: Mapping[str, float]
    """Largest position so far of each fixture's joint, metres or radians."""

    def pose(self, name: str) -> Float[np.ndarray, "4 4"]:
        """Return T_world_body of an object or fixture."""
        return body_pose(self.data, name)

    def center(self, name: str, part: str) -> Float[np.ndarray, " 3"]:
        """Return the centre of a part's box, or of the whole thing's with an empty part, world frame."""
        low, high = self._extent(name, part)
        return transform_points(self.pose(name), (low + high) / 2)

    def outside(self, point: Float[np.ndarray, " 3"], name: str, part: str) -> float:
        """Return how far a world point is outside of a part's box along its axes, metres; negative inside."""
        low, high = self._extent(name, part)
        local = transform_points(invert(self.pose(name)), point)
        return float(np.max([low - local, local - high]))

    def clearance(self, name: str) -> float:
        """Return the height of a thing's lowest point above the table, metres."""
        T = self.pose(name)
        return float(T[2, 3] - resting_height(self._body(name), T[:3, :3]) - self.layout.table.height)

    def touching(self, name: str) -> frozenset[str]:
        """Return the names of the bodies that a thing touches; the table and the floor are ``world``."""
        pairs = self.model.geom_bodyid[self.data.contact.geom]
        own = self.model.body(name).id
        others = {int(b if a == own else a) for a, b in pairs if own in (a, b)}
        return frozenset(self.model.body(other).name for other in others)

    def released(self, name: str) -> bool:
        """Return whether no part of a gripper touches a thing."""
        return not any(map(_of_gripper, self.touching(name)))

    def _extent(self, name: str, part: str) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        return extent([one for one in self._body(name).parts if part in ("", one.name)])

    def _body(self, name: str) -> SceneObject | Fixture:
        return next(body for body in self.layout.bodies if body.name == name)


class Condition(TomlTable):
    """What all conditions have."""

    kind: str
    thing: str
    """Name of an object, or of a fixture."""

    @abstractmethod
    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether the condition holds, and the value that it measures."""


class On(Condition):
    """The thing rests on another one, and on nothing else; measures the horizontal distance, metres."""

    kind: Literal["on"]
    part: str = ""
    """Part whose box's centre is compared; empty for the whole thing."""
    other: str
    other_part: str = ""
    max_offset: Length
    """Largest horizontal distance of the two centres, metres."""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether it touches the other thing alone within the distance, and the distance."""
        between = state.center(self.thing, self.part) - state.center(self.other, self.other_part)
        offset = float(np.hypot(between[0], between[1]))
        return state.touching(self.thing) == {self.other} and offset <= self.max_offset, offset


class Inside(Condition):
    """A part of the thing is released in the box of another one; measures how far it is outside, metres."""

    kind: Literal["inside"]
    part: str = ""
    """Part whose centre is meant; empty for the whole thing."""
    other: str
    other_part: str = ""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether its centre is in the box and no gripper touches it, and the distance outside."""
        outside = state.outside(state.center(self.thing, self.part), self.other, self.other_part)
        return outside <= 0 and state.released(self.thing), outside


class Upright(Condition):
    """The thing's z axis points up; measures its tilt, degrees."""

    kind: Literal["upright"]
    max_tilt: float = 15.0
    """Degrees."""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether the tilt is small enough, and the tilt."""
        tilt = _angle(state.pose(self.thing)[:3, 2], _UP)
        return tilt <= self.max_tilt, tilt


class JointAtLeast(Condition):
    """The joint of a fixture was moved this far at any time; measures the largest position."""

    kind: Literal["joint_at_least"]
    position: Length
    """Metres, or radians of a hinge."""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether the joint reached the position, and the largest one."""
        reached = state.reached[self.thing]
        return reached >= self.position, reached


class ShareInside(Condition):
    """Enough things of one kind, such as beads, are in the box of another; measures their share."""

    kind: Literal["share_inside"]
    other: str
    other_part: str = ""
    min_share: float
    """0 to 1."""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether enough centres are in the box, and the share of them."""
        names = [thing.name for thing in state.layout.things if thing.name.startswith(f"{self.thing}/")]
        inside = [state.outside(state.center(name, ""), self.other, self.other_part) <= 0 for name in names]
        return float(np.mean(inside)) >= self.min_share, float(np.mean(inside))


class HeldAxis(Condition):
    """An axis of the lifted thing points in a direction; measures the angle between them, degrees."""

    kind: Literal["held_axis"]
    axis: Vector
    """In the frame of the thing."""
    direction: Vector
    """In the world: x away from the robot, y to its left, z up."""
    max_angle: float
    """Degrees."""
    min_height: Length
    """Of its lowest point above the table, metres."""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether it touches only a gripper, high enough and in the direction; and the angle."""
        angle = _angle(state.pose(self.thing)[:3, :3] @ self.axis, self.direction)
        free = all(map(_of_gripper, state.touching(self.thing)))
        return free and angle <= self.max_angle and state.clearance(self.thing) >= self.min_height, angle


class Hanging(Condition):
    """The thing hangs from another one; measures the height of its lowest point above the table, metres."""

    kind: Literal["hanging"]
    other: str
    min_height: Length
    """Metres."""

    def check(self, state: PhysicalState) -> tuple[bool, float]:
        """Return whether it touches the other thing alone and is high enough, and the height."""
        height = state.clearance(self.thing)
        return state.touching(self.thing) == {self.other} and height >= self.min_height, height


AnyCondition = Annotated[
    On | Inside | Upright | JointAtLeast | ShareInside | HeldAxis | Hanging,
    Field(discriminator="kind", description='write kind = "on", "inside" or another one of configs/tasks'),
]


def _of_gripper(body: str) -> bool:
    return body.partition("/")[0] == "gripper"


def _angle(a: Float[np.ndarray, " 3"], b: tuple[float, float, float]) -> float:
    """Return the angle between two directions, degrees."""
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
