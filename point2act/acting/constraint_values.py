"""Values and derivatives of constraints: residuals that are zero wherever a constraint holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from jaxtyping import Float

from point2act.acting.scene_state import Moving, SceneState
from point2act.core.constraints import (
    Above,
    ArcPath,
    Axis,
    AxisToAxis,
    Constraint,
    GripperWidth,
    Height,
    KeepAway,
    KeepGrasp,
    KeepUpright,
    LinePath,
    Point,
    PointToPoint,
)

# Below this an angle's sine or a distance is taken as zero: directions are then undefined.
_TINY = 1e-9
# Angles nearer to 0 or pi than this are compared as vectors: as a number they have no derivative there.
_ALIGNED = 1e-3


@dataclass(frozen=True, eq=False)
class Residual:
    """What is missing for a constraint, and its derivative by a twist of the gripper."""

    error: Float[np.ndarray, " k"]
    """Zero on the whole set where the constraint holds; metres or radians."""
    jacobian: Float[np.ndarray, "k 6"]
    """Per velocity of the gripper's origin and angular velocity, along the world's axes."""

    @property
    def value(self) -> float:
        """The norm of the error."""
        return float(np.linalg.norm(self.error))


def satisfied(constraint: Constraint, state: SceneState) -> bool:
    """Return whether a constraint holds within its tolerance."""
    return residual(constraint, state).value <= constraint.tolerance


@singledispatch
def residual(constraint: Constraint, state: SceneState) -> Residual:
    """Return what is missing for a constraint.

    Inequalities are hinges ``max(0, .)``, whose derivative is zero where they hold. The derivative takes the
    state's things as fixed, save those that are held.

    Args:
        constraint: A record of ``core.constraints``.
        state: Where everything is; has the features that the constraint names.
    """
    raise TypeError(f"{type(constraint).__name__} has no residual")


@residual.register
def _(constraint: PointToPoint, state: SceneState) -> Residual:
    return _offset(constraint.point, constraint.target, constraint.distance, constraint.along, state)


@residual.register
def _(constraint: AxisToAxis, state: SceneState) -> Residual:
    a, b = state.axis(constraint.axis), state.axis(constraint.target)
    if min(constraint.angle, np.pi - constraint.angle) < _ALIGNED:
        # |a - b| = 2 sin(angle / 2): the angle itself to the third order, and smooth at zero.
        sign = 1.0 if constraint.angle < 1 else -1.0
        return Residual(a.value - sign * b.value, a.jacobian - sign * b.jacobian)
    angle, jacobian = _angle(a, b)
    return Residual(np.array([angle - constraint.angle]), jacobian[None])


@residual.register
def _(constraint: Height, state: SceneState) -> Residual:
    height, jacobian = _along(_difference(constraint.point, constraint.target, state), state.up)
    low, high = constraint.min_height, constraint.max_height
    if low is not None and height < low:
        return Residual(np.array([height - low]), jacobian[None])
    if high is not None and height > high:
        return Residual(np.array([height - high]), jacobian[None])
    return Residual(np.zeros(1), np.zeros((1, 6)))


@residual.register
def _(constraint: Above, state: SceneState) -> Residual:
    difference = _difference(constraint.point, constraint.target, state)
    height, by_height = _along(difference, state.up)
    flat = np.eye(3) - np.outer(state.up, state.up)
    aside, by_aside = _length(Moving(flat @ difference.value, flat @ difference.jacobian))
    return Residual(
        np.array([min(height - constraint.min_height, 0.0), max(aside - constraint.radius, 0.0)]),
        np.stack([by_height * (height < constraint.min_height), by_aside * (aside > constraint.radius)]),
    )


@residual.register
def _(constraint: KeepAway, state: SceneState) -> Residual:
    point, box = state.point(constraint.point), state.box(constraint.region)
    local = box.axes @ (point.value - box.center)
    beyond = local - np.clip(local, -box.half_extents, box.half_extents)
    if not beyond.any():  # inside: out by the nearest face
        depth = box.half_extents - np.abs(local)
        face = int(depth.argmin())
        way = np.sign(local[face] or 1.0) * box.axes[face]
        return Residual(np.array([constraint.distance + depth[face]]), -(way @ point.jacobian)[None])
    distance = float(np.linalg.norm(beyond))
    missing = constraint.distance - distance
    if missing <= 0:
        return Residual(np.zeros(1), np.zeros((1, 6)))
    return Residual(np.array([missing]), -(beyond / distance @ box.axes @ point.jacobian)[None])


@residual.register
def _(constraint: KeepUpright, state: SceneState) -> Residual:
    angle, jacobian = _angle(state.axis(constraint.axis), Moving(state.up, np.zeros((3, 6))))
    if angle <= constraint.max_angle:
        return Residual(np.zeros(1), np.zeros((1, 6)))
    return Residual(np.array([angle - constraint.max_angle]), jacobian[None])


@residual.register
def _(constraint: KeepGrasp, state: SceneState) -> Residual:
    # Holding is no function of the pose: 1 or 0, and nothing to descend on.
    return Residual(np.array([float(constraint.query not in state.held)]), np.zeros((1, 6)))


@residual.register
def _(constraint: LinePath, state: SceneState) -> Residual:
    off = _offset(constraint.point, constraint.target, constraint.distance, constraint.along, state)
    start = state.start(constraint.point)
    line = state.point(constraint.point).value - off.error - start  # from the start to the end
    length = float(np.linalg.norm(line))
    if length < _TINY:
        return off
    across = np.eye(3) - np.outer(line, line) / length**2
    return Residual(across @ off.error, across @ off.jacobian)


@residual.register
def _(constraint: ArcPath, state: SceneState) -> Residual:
    axis = state.axis(constraint.axis).value
    difference = _difference(constraint.point, constraint.center, state)
    started = state.start(constraint.point) - state.point(constraint.center).value
    height, by_height = _along(difference, axis)
    flat = np.eye(3) - np.outer(axis, axis)
    radius, by_radius = _length(Moving(flat @ difference.value, flat @ difference.jacobian))
    return Residual(
        np.array([height - started @ axis, radius - np.linalg.norm(flat @ started)]),
        np.stack([by_height, by_radius]),
    )


@residual.register
def _(constraint: GripperWidth, state: SceneState) -> Residual:
    # The fingers move by themselves, not with the arm.
    return Residual(np.array([state.width - constraint.width]), np.zeros((1, 6)))


def _offset(point: Point, target: Point, distance: float, along: Axis, state: SceneState) -> Residual:
    """Return a point less the place at a distance from its target along an axis."""
    difference, axis = _difference(point, target, state), state.axis(along)
    return Residual(difference.value - distance * axis.value, difference.jacobian - distance * axis.jacobian)


def _difference(first: Point, second: Point, state: SceneState) -> Moving:
    a, b = state.point(first), state.point(second)
    return Moving(a.value - b.value, a.jacobian - b.jacobian)


def _along(vector: Moving, axis: Float[np.ndarray, " 3"]) -> tuple[float, Float[np.ndarray, " 6"]]:
    """Return the component along a fixed axis and its derivative."""
    return float(axis @ vector.value), axis @ vector.jacobian


def _length(vector: Moving) -> tuple[float, Float[np.ndarray, " 6"]]:
    """Return the length and its derivative, zero where there is none."""
    length = float(np.linalg.norm(vector.value))
    return length, vector.value / max(length, _TINY) @ vector.jacobian


def _angle(a: Moving, b: Moving) -> tuple[float, Float[np.ndarray, " 6"]]:
    """Return the angle between two directions and its derivative: ``d cos = b.da + a.db``."""
    cosine, sine = float(a.value @ b.value), float(np.linalg.norm(np.cross(a.value, b.value)))
    slope = b.value @ a.jacobian + a.value @ b.jacobian
    return float(np.arctan2(sine, cosine)), slope / -max(sine, _TINY)
