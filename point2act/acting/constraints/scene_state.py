"""Where the features of regions, the gripper and the world are, and how they move with the gripper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.core.constraints import GRIPPER, WORLD, Axis, Point
from point2act.core.geometry import cross_matrix, transform_box, transform_points
from point2act.core.types import OrientedBox


@dataclass(frozen=True, eq=False)
class Moving:
    """A point or a direction with its derivative by a twist of the gripper.

    A twist is the velocity of the gripper's origin and its angular velocity, both along the world's axes.
    """

    value: Float[np.ndarray, " 3"]
    jacobian: Float[np.ndarray, "3 6"]


@dataclass(frozen=True, eq=False)
class SceneState:
    """The state that constraints are evaluated in; world frame, metres and radians."""

    T_world_gripper: Float[np.ndarray, "4 4"]
    width: float
    """Distance between the gripper's pads."""
    features: Mapping[str, RegionFeatures]
    """Features of the region of each query, where they were found."""
    motion: Mapping[str, Float[np.ndarray, "4 4"]]
    """Rigid motion of each query's thing since then, world to world."""
    held: frozenset[str] = frozenset()
    """Queries whose thing is in the gripper: it moves along."""
    starts: Mapping[Point, Float[np.ndarray, " 3"]] = field(default_factory=dict)
    """Where points were at the start of the step; those without an entry are where they are."""
    axes: Float[np.ndarray, "3 3"] = field(default_factory=lambda: np.eye(3))
    """Forward, left and up of the world, as rows."""
    max_width: float = np.inf
    """Distance between the pads of the fully open gripper."""

    @property
    def up(self) -> Float[np.ndarray, " 3"]:
        """The world's upward direction."""
        return self.axes[2]

    def point(self, point: Point) -> Moving:
        """Return a point and how it moves."""
        if point.of == GRIPPER:
            return self.fixed_to(GRIPPER, self.T_world_gripper[:3, 3])
        found = self.features[point.of].points[point.name]
        return self.fixed_to(point.of, transform_points(self.motion[point.of], found))

    def fixed_to(self, name: str, place: Float[np.ndarray, " 3"]) -> Moving:
        """Return a place that is fixed to the gripper or to a query's thing, and how it moves.

        Args:
            name: ``gripper`` or the name of a query.
            place: Where it is now, world frame, metres.
        """
        jacobian = np.zeros((3, 6))
        if self._moves(name):
            jacobian[:, :3] = np.eye(3)
            jacobian[:, 3:] = -cross_matrix(place - self.T_world_gripper[:3, 3])  # d(w x r) = -[r]x dw
        return Moving(place, jacobian)

    def axis(self, axis: Axis) -> Moving:
        """Return a direction and how it turns."""
        if axis.of == WORLD:
            return Moving(self.axes[("forward", "left", "up").index(axis.name)], np.zeros((3, 6)))
        if axis.of == GRIPPER:
            way = self.T_world_gripper[:3, 2 if axis.name == "approach" else 1]
        else:
            way = self.motion[axis.of][:3, :3] @ self.features[axis.of].axes[axis.name]
        jacobian = np.zeros((3, 6))
        if self._moves(axis.of):
            jacobian[:, 3:] = -cross_matrix(way)
        return Moving(way, jacobian)

    def box(self, query: str) -> OrientedBox:
        """Return the box of a query's region."""
        return transform_box(self.motion[query], self.features[query].box)

    def start(self, point: Point) -> Float[np.ndarray, " 3"]:
        """Return where a point was at the start of the step."""
        return self.starts[point] if point in self.starts else self.point(point).value

    def _moves(self, name: str) -> bool:
        return name == GRIPPER or name in self.held
