"""Random tables: objects placed apart from one another, or dropped in a heap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.errors import SimulationError
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.physics.layout import SceneLayout, SceneObject
from point2act.physics.mjcf import TIMESTEP, build, resting_height
from point2act.physics.scene import Scene, body_pose

_PARKED = 3.0
"""Distance from the table's centre at which objects wait to be dropped, metres."""
_CLEAR = 0.002
"""Clearance to all other objects at which an object may be dropped, metres."""
_CHUNK = 0.25
"""Simulated time between two checks whether all objects are at rest, seconds."""
_AIR = 0.998
"""Factor on all speeds per step of settling: a substitute for rolling friction."""
_AT_REST = (0.0005, 0.01)
"""Largest movement of an object at rest in one such interval, metres and radians."""


Poses = Mapping[str, Float[np.ndarray, "4 4"]]
"""T_world_thing by name of the object."""


@dataclass(frozen=True)
class PileConfig:
    """Placement of objects on a table."""

    radius: float = 0.17
    """Maximum distance of objects placed apart from the table's centre, metres."""
    gap: float = 0.015
    """Minimum gap between objects placed apart, seen from above, metres."""
    spread: float = 0.05
    """Standard deviation of the positions over which objects are dropped, metres along x and y."""
    tumbled: float = 0.5
    """Fraction of the dropped objects with a random orientation; the others fall upright."""
    height: float = 0.01
    """Height above the lowest free position from which an object is dropped, metres."""
    reach: float = 0.20
    """Distance of an object's middle from the table's centre beyond which it is removed, metres."""
    attempts: int = 200
    """Maximum number of positions tried for an object that is placed."""
    patience: float = 5.0
    """Maximum time to come to rest, seconds."""


def put_apart(
    layout: SceneLayout, seed: int, rng: np.random.Generator, config: PileConfig = PileConfig()
) -> Scene:
    """Place every object upright at a random position and yaw, none near or above another, and settle them.

    Raises SimulationError if an object cannot be placed or does not stand.
    """
    model = build(layout)
    data = _parked(model, layout)
    put: list[Outline] = []
    for thing in layout.things:
        for _ in range(config.attempts):
            angle = rng.uniform(0, 2 * np.pi)
            place = config.radius * np.sqrt(rng.uniform()) * np.array([np.cos(angle), np.sin(angle)])
            turn = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi))
            outline = _outline(thing, turn, place)
            if all(_plan_gap(outline, other) >= config.gap for other in put):
                break
        else:
            raise SimulationError(f"scene '{layout.name}': '{thing.name}' cannot be placed")
        put.append(outline)
        _put(
            data,
            thing,
            np.array([*place, layout.table.height + resting_height(thing, turn.as_matrix())]),
            turn,
        )
    if _settle(model, data, layout, config.patience):
        raise SimulationError(f"scene '{layout.name}': not all of its objects stand still")
    return _checked(layout, seed, _poses(data, layout))


def drop(
    layout: SceneLayout, seed: int, rng: np.random.Generator, config: PileConfig = PileConfig()
) -> Scene:
    """Drop objects onto and beside one another in the order of the layout, and settle them.

    Objects that roll away are not in the returned scene. Raises SimulationError if the others do not come to
    rest.
    """
    model = build(layout)
    data = _parked(model, layout)
    for thing in layout.things:
        x, y = config.spread * rng.standard_normal(2)
        upright = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi))
        turn = _any_turn(rng) if rng.uniform() < config.tumbled else upright
        z = layout.table.height + resting_height(thing, turn.as_matrix()) + config.height
        for raised in np.arange(0.0, 0.5, 0.01).tolist():
            _put(data, thing, np.array([x, y, z + raised]), turn)
            if _is_free(model, data, thing.name):
                break
        _steps(model, data, 2 * _CHUNK, air=_AIR)
    moving = _settle(model, data, layout, config.patience)
    poses = _poses(data, layout)
    gone = [name for name, T in poses.items() if np.hypot(*T[:2, 3]) > config.reach]
    return _checked(_without(layout, {*moving, *gone}), seed, poses)


def neighbours(scene: Scene, thing: str, within: float) -> set[str]:
    """Return the other objects that are less than ``within`` metres from one, by the true shapes."""
    model, data = scene.model, scene.start(scene.model)
    body = model.body(thing).id
    gripper_geom = np.flatnonzero(model.geom_bodyid == body).tolist()
    near = set()
    for other in scene.T_world_thing.keys() - {thing}:
        theirs = np.flatnonzero(model.geom_bodyid == model.body(other).id).tolist()
        pairs = ((a, b) for a in gripper_geom for b in theirs)
        if any(mujoco.mj_geomDistance(model, data, a, b, within, None) < within for a, b in pairs):
            near.add(other)
    return near


class Outline(NamedTuple):
    """Outline of an object from above: the middle of each shape and its extent in every direction."""

    centers: Float[np.ndarray, "s 2"]
    reach: Float[np.ndarray, "s w"]


_ANGLES = np.arange(36) * np.pi / 18
_WAYS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES), np.zeros(36)], axis=1)
"""Directions in which a gap between two objects is searched."""


def _outline(thing: SceneObject, turn: Rotation, place: Float[np.ndarray, " 2"]) -> Outline:
    R = turn.as_matrix()
    shapes = [shape for part in thing.parts for shape in part.shapes]
    centers = np.array([R @ shape.center for shape in shapes])[:, :2] + place
    return Outline(centers, np.array([shape.reach(_WAYS @ R) for shape in shapes]))


def _plan_gap(a: Outline, b: Outline) -> float:
    """Return the gap between two objects from above: that of the best separating line of convex shapes."""
    away = (b.centers[None] - a.centers[:, None]) @ _WAYS[:, :2].T
    opposite = np.roll(b.reach, len(_WAYS) // 2, axis=1)
    return float((away - a.reach[:, None] - opposite[None]).max(axis=2).min())


def _any_turn(rng: np.random.Generator) -> Rotation:
    """Return a uniformly distributed rotation, from a normally distributed quaternion."""
    return Rotation.from_quat(rng.standard_normal(4))


def _parked(model: MjModel, layout: SceneLayout) -> MjData:
    data = mujoco.MjData(model)
    for index, thing in enumerate(layout.things):
        upright = Rotation.identity()
        height = layout.table.height + resting_height(thing)
        _put(data, thing, np.array([_PARKED + index, 0.0, height]), upright)
    return data


def _put(data: MjData, thing: SceneObject, place: Float[np.ndarray, " 3"], turn: Rotation) -> None:
    joint = data.joint(thing.name)
    joint.qpos[:] = [*place, *turn.as_quat()[[3, 0, 1, 2]]]
    joint.qvel[:] = 0.0


def _is_free(model: MjModel, data: MjData, thing: str) -> bool:
    """Return whether a placed object is clear of all others."""
    margins = model.geom_margin.copy()
    try:
        model.geom_margin[model.geom_bodyid > 0] = _CLEAR
        mujoco.mj_fwdPosition(model, data)
        bodies = model.geom_bodyid[data.contact.geom[data.contact.dist < _CLEAR]]
    finally:
        model.geom_margin[:] = margins
    return not np.any(np.any(bodies == model.body(thing).id, axis=1) & np.all(bodies > 0, axis=1))


def _steps(model: MjModel, data: MjData, seconds: float, *, air: float = 1.0) -> None:
    for _ in range(round(seconds / TIMESTEP)):
        mujoco.mj_step(model, data)
        data.qvel *= air


def _settle(model: MjModel, data: MjData, layout: SceneLayout, patience: float) -> set[str]:
    """Simulate until rest; return the objects that still move after the given seconds."""
    moving = {thing.name for thing in layout.things}
    for _ in range(round(patience / _CHUNK)):
        before = _poses(data, layout)
        _steps(model, data, _CHUNK, air=_AIR)
        moving = _moved(before, _poses(data, layout))
        if not moving:
            break
    return moving


def _moved(before: Poses, after: Poses, times: float = 1.0) -> set[str]:
    """Return the objects that moved further than an object at rest does, times a factor."""
    moved = set()
    for name, T in after.items():
        turned = np.linalg.norm(T[:3, :3] - before[name][:3, :3]) / np.sqrt(2)
        shifted = np.linalg.norm(T[:3, 3] - before[name][:3, 3])
        if shifted > times * _AT_REST[0] or turned > times * _AT_REST[1]:
            moved.add(name)
    return moved


def _poses(data: MjData, layout: SceneLayout) -> Poses:
    mujoco.mj_kinematics(data.model, data)
    return {thing.name: body_pose(data, thing.name) for thing in layout.things}


def _without(layout: SceneLayout, gone: Iterable[str]) -> SceneLayout:
    lost = set(gone)
    return replace(
        layout,
        things=tuple(thing for thing in layout.things if thing.name not in lost),
        targets=tuple(target for target in layout.targets if target.thing not in lost),
    )


def _checked(layout: SceneLayout, seed: int, poses: Poses) -> Scene:
    """Return the scene with objects at these poses if they stay there for half a second."""
    scene = Scene(layout, seed, build(layout), {thing.name: poses[thing.name] for thing in layout.things})
    data = scene.start(scene.model)
    _steps(scene.model, data, 2 * _CHUNK)
    after = _poses(data, layout)
    moved = _moved(scene.T_world_thing, after, times=4.0)
    if moved:
        raise SimulationError(f"scene '{layout.name}': {', '.join(sorted(moved))} would not stay in place")
    return replace(scene, T_world_thing=after)
