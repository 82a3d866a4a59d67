"""Random states of a scene, and for every kind of constraint one that holds in a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from scipy.spatial.transform import Rotation

from point2act.acting.constraints.region_features import RegionFeatures
from point2act.acting.constraints.scene_state import SceneState
from point2act.core.constraints import (
    GRIPPER,
    Above,
    ArcPath,
    Axis,
    AxisName,
    AxisToAxis,
    Constraint,
    GripperWidth,
    Height,
    KeepAway,
    KeepGrasp,
    KeepUpright,
    LinePath,
    Point,
    PointName,
    PointToPoint,
)
from point2act.core.geometry import transform, transform_points
from point2act.core.types import OrientedBox

THINGS = ("cup", "pot")
Twist = np.ndarray
"""Velocity of the gripper's origin and angular velocity, along the world's axes."""


def rigid(rng: np.random.Generator) -> np.ndarray:
    return transform(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-0.5, 0.5, 3))


def random_features(rng: np.random.Generator) -> RegionFeatures:
    T = rigid(rng)
    box = OrientedBox(T[:3, 3], T[:3, :3].T, rng.uniform(0.02, 0.1, 3))
    points = {name: T[:3, 3] + rng.uniform(-0.1, 0.1, 3) for name in get_args(PointName)}
    axes = {name: Rotation.random(random_state=rng).as_matrix()[0] for name in get_args(AxisName)}
    return RegionFeatures(points, axes, box)


def random_state(rng: np.random.Generator) -> SceneState:
    """Two things anywhere in a world with any axes; none, one or both are held, and points have started."""
    points = [Point(GRIPPER, "center")] + [Point(of, name) for of in THINGS for name in get_args(PointName)]
    return SceneState(
        T_world_gripper=rigid(rng),
        width=rng.uniform(0.0, 0.08),
        features={name: random_features(rng) for name in THINGS},
        motion={name: rigid(rng) for name in THINGS},
        held=frozenset(name for name in THINGS if rng.random() < 0.4),
        starts={point: rng.uniform(-0.5, 0.5, 3) for point in points},
        axes=Rotation.random(random_state=rng).as_matrix(),
        max_width=0.08,
    )


def moved(state: SceneState, name: str, T: np.ndarray) -> SceneState:
    """The state after a motion of the gripper alone, or of one thing alone, in the world."""
    if name == GRIPPER:
        return replace(state, T_world_gripper=T @ state.T_world_gripper)
    return replace(state, motion={**state.motion, name: T @ state.motion[name]})


def twisted(state: SceneState, twist: Twist) -> SceneState:
    """The state after the gripper has moved by a twist, with what it holds."""
    origin = state.T_world_gripper[:3, 3]
    turn = Rotation.from_rotvec(twist[3:]).as_matrix()
    T = transform(turn, origin + twist[:3] - turn @ origin)
    for name in (GRIPPER, *state.held):
        state = moved(state, name, T)
    return state


def world_moved(state: SceneState, G: np.ndarray) -> SceneState:
    """The same state in another world frame."""
    for name in (GRIPPER, *state.motion):
        state = moved(state, name, G)
    starts = {point: transform_points(G, place) for point, place in state.starts.items()}
    return replace(state, starts=starts, axes=state.axes @ G[:3, :3].T)


@dataclass(frozen=True)
class Pair:
    """What a constraint is about: features of two different bodies, so that one can be moved alone."""

    point: Point
    target: Point
    axis: Axis
    other_axis: Axis

    @staticmethod
    def of(rng: np.random.Generator) -> Pair:
        first, second = rng.permutation([GRIPPER, *THINGS])[:2].tolist()
        return Pair(_point(first, rng), _point(second, rng), _axis(first, rng), _axis(second, rng))


def _point(of: str, rng: np.random.Generator) -> Point:
    return Point(of, "center" if of == GRIPPER else str(rng.choice(get_args(PointName))))


def _axis(of: str, rng: np.random.Generator) -> Axis:
    return Axis(of, str(rng.choice(["approach", "closing"] if of == GRIPPER else get_args(AxisName))))


Holding = tuple[Constraint, SceneState]
"""A constraint and a state in which it holds, exactly."""


def placed(state: SceneState, point: Point, place: np.ndarray) -> SceneState:
    """The state with the body of a point shifted so that the point is at a place."""
    return moved(state, point.of, transform(np.eye(3), place - state.point(point).value))


def turned(state: SceneState, axis: Axis, way: np.ndarray) -> SceneState:
    """The state with the body of an axis turned so that the axis points a way."""
    turn, _ = Rotation.align_vectors(way[None], state.axis(axis).value[None])
    return moved(state, axis.of, transform(turn.as_matrix(), (0.0, 0.0, 0.0)))


def tilted(way: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """A direction at an angle to another one."""
    across = np.cross(way, rng.standard_normal(3))
    return np.cos(angle) * way + np.sin(angle) * across / np.linalg.norm(across)


def _sideways(state: SceneState, rng: np.random.Generator) -> np.ndarray:
    return state.axes[:2].T @ rng.uniform(-1.0, 1.0, 2)


def point_to_point(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, distance = Pair.of(rng), rng.uniform(-0.1, 0.1)
    end = state.point(pair.target).value + distance * state.axis(pair.other_axis).value
    return PointToPoint(pair.point, pair.target, distance, pair.other_axis), placed(state, pair.point, end)


def axis_to_axis(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, angle = Pair.of(rng), float(rng.choice([0.0, np.pi, rng.uniform(0.1, 3.0)]))
    way = tilted(state.axis(pair.other_axis).value, angle, rng)
    return AxisToAxis(pair.axis, pair.other_axis, angle), turned(state, pair.axis, way)


def height(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, (low, high) = Pair.of(rng), np.sort(rng.uniform(-0.5, 0.5, 2)).tolist()
    place = state.point(pair.target).value + rng.uniform(low, high) * state.up + _sideways(state, rng)
    limits = [(low, high), (low, None), (None, high)][rng.integers(3)]
    return Height(pair.point, pair.target, *limits), placed(state, pair.point, place)


def above(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, low, radius = Pair.of(rng), rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.3)
    aside = tilted(state.up, np.pi / 2, rng) * radius * rng.uniform(0.0, 0.99)
    place = state.point(pair.target).value + rng.uniform(low, 0.5) * state.up + aside
    return Above(pair.point, pair.target, low, radius), placed(state, pair.point, place)


def keep_away(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, distance = Pair.of(rng), rng.uniform(0.0, 0.3)
    region = pair.target.of if pair.target.of != GRIPPER else next(n for n in THINGS if n != pair.point.of)
    box = state.box(region)
    side = rng.integers(3)
    local = rng.uniform(-0.5, 0.5, 3)
    local[side] = rng.choice([-1, 1]) * (box.half_extents[side] + distance * rng.uniform(1.0001, 2))
    place = box.center + box.axes.T @ local
    return KeepAway(pair.point, region, distance), placed(state, pair.point, place)


def keep_upright(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, limit = Pair.of(rng), rng.uniform(0.0, 1.5)
    way = tilted(state.up, limit * rng.uniform(0.0, 0.999), rng)
    return KeepUpright(pair.axis, limit), turned(state, pair.axis, way)


def keep_grasp(rng: np.random.Generator, state: SceneState) -> Holding:
    return KeepGrasp("cup"), replace(state, held=state.held | {"cup"})


def line_path(rng: np.random.Generator, state: SceneState) -> Holding:
    pair, distance = Pair.of(rng), rng.uniform(-0.1, 0.1)
    end = state.point(pair.target).value + distance * state.axis(pair.other_axis).value
    place = state.start(pair.point) + rng.uniform(0.0, 1.0) * (end - state.start(pair.point))
    return LinePath(pair.point, pair.target, distance, pair.other_axis), placed(state, pair.point, place)


def arc_path(rng: np.random.Generator, state: SceneState) -> Holding:
    pair = Pair.of(rng)
    center, axis = state.point(pair.target).value, state.axis(pair.other_axis).value
    turn = Rotation.from_rotvec(rng.uniform(-np.pi, np.pi) * axis).as_matrix()
    place = center + turn @ (state.start(pair.point) - center)
    return ArcPath(pair.point, pair.target, pair.other_axis), placed(state, pair.point, place)


def gripper_width(rng: np.random.Generator, state: SceneState) -> Holding:
    width = rng.uniform(0.0, 0.16)
    return GripperWidth(width), replace(state, width=min(width, state.max_width))


HOLDING: Mapping[str, Callable[[np.random.Generator, SceneState], Holding]] = {
    "point_to_point": point_to_point,
    "axis_to_axis": axis_to_axis,
    "height": height,
    "above": above,
    "keep_away": keep_away,
    "keep_upright": keep_upright,
    "keep_grasp": keep_grasp,
    "line_path": line_path,
    "arc_path": arc_path,
    "gripper_width": gripper_width,
}
"""By the names of ``core.constraints.KINDS``."""
