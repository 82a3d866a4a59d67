"""Values and derivatives of constraints: residuals that are zero wherever a constraint holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.scene_state import Moving, SceneState
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
from point2act.core.geometry import cross_matrix, frame_from_normal

# Below this an angle's sine or a distance is taken as zero: directions are then undefined.
_TINY = 1e-9
# Angles that are to be nearer to 0 or pi than this, radians, are compared as rotation vectors: as a number
# an angle has no derivative there. Chosen: far below any tolerance.
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
    state's things as fixed, save those that are held, and the places at the start of the step as well.

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
    here = _from_angle(a, b, constraint.angle)
    if "hole_axis" not in (constraint.axis.name, constraint.target.name):
        return here
    # An angle to the opposite direction is what is left of half a turn.
    other = _from_angle(a, b, np.pi - constraint.angle)
    return min(here, other, key=lambda one: one.value)


def _from_angle(a: Moving, b: Moving, wanted: float) -> Residual:
    """Return how far the angle between two directions is from another one."""
    if wanted < _ALIGNED:
        return _rotation(a, b)
    if wanted > np.pi - _ALIGNED:
        return _rotation(a, Moving(-b.value, -b.jacobian))
    angle, jacobian = _angle(a, b)
    return Residual(np.array([angle - wanted]), jacobian[None])


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
    aside, by_aside = _distance_from_axis(difference, Moving(state.up, np.zeros((3, 6))))
    return Residual(
        np.array([min(height - constraint.min_height, 0.0), max(aside - constraint.radius, 0.0)]),
        np.stack([by_height * (height < constraint.min_height), by_aside * (aside > constraint.radius)]),
    )


@residual.register
def _(constraint: KeepAway, state: SceneState) -> Residual:
    point, box = state.point(constraint.point), state.box(constraint.region)
    local = box.axes @ (point.value - box.center)
    # How the point moves as seen from the thing of the region: the box may be held too.
    relative = point.jacobian - state.fixed_to(constraint.region, point.value).jacobian
    beyond = local - np.clip(local, -box.half_extents, box.half_extents)
    distance = float(np.linalg.norm(beyond))
    if distance < _TINY:  # inside: out by the nearest face
        depth = box.half_extents - np.abs(local)
        face = int(depth.argmin())
        way = np.sign(local[face] or 1.0) * box.axes[face]
        return Residual(np.array([constraint.distance + depth[face]]), -(way @ relative)[None])
    missing = constraint.distance - distance
    if missing <= 0:
        return Residual(np.zeros(1), np.zeros((1, 6)))
    return Residual(np.array([missing]), -(beyond / distance @ box.axes @ relative)[None])


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
    point = state.point(constraint.point)
    line = point.value - off.error - state.start(constraint.point)  # from the start to the end
    length = float(np.linalg.norm(line))
    if length < _TINY:
        return off
    # The distance from the line through u = line / |line|: (I - u uᵀ) off; where the end moves, so does u.
    unit = line / length
    across, ahead = np.eye(3) - np.outer(unit, unit), float(unit @ off.error)
    by_unit = across @ (point.jacobian - off.jacobian) / length
    turned = ahead * by_unit + np.outer(unit, off.error @ by_unit)
    return Residual(across @ off.error, across @ off.jacobian - turned)


@residual.register
def _(constraint: ArcPath, state: SceneState) -> Residual:
    axis, center = state.axis(constraint.axis), state.point(constraint.center)
    point, start = state.point(constraint.point), state.start(constraint.point)
    # Cylinder coordinates about the axis must be those at the start; the centre has no part in the height.
    moved = point.value - start
    radius, by_radius = _distance_from_axis(_difference(constraint.point, constraint.center, state), axis)
    first, by_first = _distance_from_axis(Moving(start - center.value, -center.jacobian), axis)
    return Residual(
        np.array([axis.value @ moved, radius - first]),
        np.stack([axis.value @ point.jacobian + moved @ axis.jacobian, by_radius - by_first]),
    )


@residual.register
def _(constraint: GripperWidth, state: SceneState) -> Residual:
    # The fingers move by themselves, not with the arm.
    width = min(constraint.width, state.max_width)
    return Residual(np.array([state.width - width]), np.zeros((1, 6)))


def _offset(point: Point, target: Point, distance: float, along: Axis, state: SceneState) -> Residual:
    """Return a point less the place at a distance from its target along an axis."""
    difference, axis = _difference(point, target, state), state.axis(along)
    return Residual(difference.value - distance * axis.value, difference.jacobian - distance * axis.jacobian)


def _difference(first: Point, second: Point, state: SceneState) -> Moving:
    """Return a point less another one, or less where it was itself at the start of the step."""
    a = state.point(first)
    b = Moving(state.start(first), np.zeros((3, 6))) if first == second else state.point(second)
    return Moving(a.value - b.value, a.jacobian - b.jacobian)


def _along(vector: Moving, axis: Float[np.ndarray, " 3"]) -> tuple[float, Float[np.ndarray, " 6"]]:
    """Return the component along a fixed axis and its derivative."""
    return float(axis @ vector.value), axis @ vector.jacobian


def _distance_from_axis(vector: Moving, axis: Moving) -> tuple[float, Float[np.ndarray, " 6"]]:
    """Return the length of a vector's part across an axis, and its derivative, zero where there is none.

    For ``h = v.a``, ``r = |v - h a|`` and ``n = (v - h a) / r``, which is perpendicular to a:
    ``dr = n.dv - h n.da``.
    """
    height = float(axis.value @ vector.value)
    across = vector.value - height * axis.value
    radius = float(np.linalg.norm(across))
    normal = across / max(radius, _TINY)
    return radius, normal @ (vector.jacobian - height * axis.jacobian)


def _angle(a: Moving, b: Moving) -> tuple[float, Float[np.ndarray, " 6"]]:
    """Return the angle between two directions and its derivative.

    It grows as fast as a turns away from b about the unit vector n along ``b x a``:
    ``d angle = (n x a).da - (n x b).db``.
    """
    sine, normal = _normal(a.value, b.value)
    slope = np.cross(normal, a.value) @ a.jacobian - np.cross(normal, b.value) @ b.jacobian
    return float(np.arctan2(sine, a.value @ b.value)), slope


def _rotation(a: Moving, b: Moving) -> Residual:
    """Return the smallest rotation vector from b to a: ``e = angle n``, n the unit vector along ``b x a``.

    It is zero and has a derivative where a is b, and a slope where a is opposite, unlike ``a - b``. From
    ``b x a = sin(angle) n`` follows ``de = n d angle + angle / sin(angle) (I - n nᵀ) d(b x a)``.
    """
    angle, slope = _angle(a, b)
    sine, normal = _normal(a.value, b.value)
    by_product = cross_matrix(b.value) @ a.jacobian - cross_matrix(a.value) @ b.jacobian
    by_normal = by_product - np.outer(normal, normal @ by_product)
    ratio = angle / sine if sine > _TINY else 1.0  # at pi n is arbitrary, and its derivative with it
    return Residual(angle * normal, np.outer(normal, slope) + ratio * by_normal)


def _normal(a: Float[np.ndarray, " 3"], b: Float[np.ndarray, " 3"]) -> tuple[float, Float[np.ndarray, " 3"]]:
    """Return the sine of the angle of two directions and the unit vector along ``b x a``.

    Where they are parallel it is any unit vector across them: the angle changes alike about all of these.
    """
    product = np.cross(b, a)
    sine = float(np.linalg.norm(product))
    return sine, product / sine if sine > _TINY else frame_from_normal(a[None])[0, :, 0]
