"""Disturbances of a run: things are moved or pulled from the gripper, the arm pushed, the camera covered.

Each acts once, when the physics reaches its moment, and is drawn from a seed. ``wrong_first_answer`` is none
of the physics: the first answers to one query of the plan mean another object, see ``mistaken``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float

from point2act.core.mujoco_import import MjData, MjModel
from point2act.physics.scene import Scene

PhysicalDisturbance = Literal["target_moved", "goal_moved", "pulled", "pushed", "covered"]
Disturbance = PhysicalDisturbance | Literal["wrong_first_answer"]
DISTURBANCES: tuple[Disturbance, ...] = (*get_args(PhysicalDisturbance), "wrong_first_answer")

# Distances by which things are moved, metres.
_SHIFT = (0.05, 0.15)
# Smallest distance of where a thing is put to the middle of any other, and the half sides of the area for it,
# metres. Chosen: within reach, and free for a gripper.
_APART, _AREA = 0.11, (0.22, 0.26)
_ATTEMPTS = 500
# Distance of the gripper from the target at which it is moved, and height above its place at which a thing
# counts as lifted, metres. Chosen.
_NEAR, _LIFTED = 0.22, 0.05
# Duration of a motion, of a push, and of a covered camera, seconds.
_SECONDS, _PUSHED, _COVERED = 0.5, 0.3, 1.0
# Distance by which a thing is pulled out of the fingers before it is put elsewhere, metres. Chosen: as long
# as fingers are.
_OUT = 0.06
# Torque of a push, as a fraction of the joint's largest. Chosen: it turns the arm by a few degrees.
_TORQUE = 0.6
# Time at which a run without an object to grasp is disturbed, seconds. Chosen.
_EARLIEST = 2.0


@runtime_checkable
class DisturbedRobot(Protocol):
    """What a disturbance acts on."""

    data: MjData
    covered: bool

    @property
    def model(self) -> MjModel:
        """The model of the scene with the robot."""
        ...

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the arm's joints and of their servos in the model, from the base to the flange."""
        ...


@dataclass(frozen=True)
class Roles:
    """Objects that a run is about."""

    target: str | None
    """The object that is grasped first; None if it is fixed."""
    goal: str | None
    """The object that it is brought to, None if that is fixed."""


class Disturber:
    """Carries out one disturbance."""

    def __init__(self, kind: PhysicalDisturbance, scene: Scene, roles: Roles, rng: np.random.Generator):
        """Prepare it.

        Args:
            kind: What happens.
            scene: The scene at rest.
            roles: What it happens to.
            rng: Draws amounts and directions.
        """
        self.kind, self._scene, self._roles, self._rng = kind, scene, roles, rng
        self.started: float | None = None
        """Time at which it started, seconds; None before."""
        self._thing = roles.goal if kind == "goal_moved" else roles.target
        self._turn: Float[np.ndarray, " 4"] | None = None
        """Orientation of the thing when it is taken; None before."""
        self._way: list[Float[np.ndarray, " 3"]] = []
        """Places of the thing from where it is taken to where it is put; none before."""
        self._joint = int(rng.integers(1, 4))
        self._push = _TORQUE * rng.choice([-1.0, 1.0])

    def __call__(self, robot: DisturbedRobot) -> None:
        """Act on the physics; called before each of its steps."""
        time = float(robot.data.time)
        if self.started is None and self._due(robot):
            self.started = time
        if self.started is None:
            return
        since = time - self.started
        if self.kind == "covered":
            robot.covered = since < _COVERED
        elif self.kind == "pushed":
            name = robot.joints[self._joint]
            limit = robot.model.actuator(name).forcerange[1]
            robot.data.joint(name).qfrc_applied = self._push * limit if since < _PUSHED else 0.0
        elif self._thing is not None and since < _SECONDS:
            self._carry(robot, since / _SECONDS)

    def _due(self, robot: DisturbedRobot) -> bool:
        data = robot.data
        if self.kind == "goal_moved" and self._roles.goal is None:
            return False
        if self._roles.target is None:
            return self.kind in ("pushed", "covered") and data.time > _EARLIEST
        target = data.body(self._roles.target).xpos
        rise = target[2] - self._scene.T_world_thing[self._roles.target][2, 3]
        if self.kind in ("goal_moved", "pulled"):
            return bool(rise > _LIFTED)
        return bool(np.linalg.norm(data.body("gripper/palm").xpos - target) < _NEAR)

    def _carry(self, robot: DisturbedRobot, share: float) -> None:
        """Move a thing along a straight line to where it is put, at rest at every moment."""
        joint = robot.data.joint(self._thing)
        if self._turn is None:
            start, self._turn = joint.qpos[:3].copy(), joint.qpos[3:].copy()
            between = [self._out_of(robot, start)] if self.kind == "pulled" else []
            self._way = [start, *between, self._place(robot, start)]
        moments = np.linspace(0.0, 1.0, len(self._way))
        joint.qpos[:3] = [np.interp(share, moments, along) for along in np.transpose(self._way)]
        if self.kind != "pulled":
            joint.qpos[3:] = self._turn
        joint.qvel[:] = 0.0

    def _out_of(self, robot: DisturbedRobot, start: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
        """Return where a thing is out of the gripper, pulled from between its fingers.

        Across them who pulls would push the robot; and not deeper than where the thing rested.
        """
        assert self._thing is not None
        approach = robot.data.body("gripper/palm").xmat.reshape(3, 3)[:, 2]
        out = start + _OUT * approach
        return np.array([*out[:2], max(out[2], self._scene.T_world_thing[self._thing][2, 3])])

    def _place(self, robot: DisturbedRobot, start: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
        """Draw a free place on the table within the distances, at the height at which the thing rested.

        The way there is clear of the gripper, as far as it can be: who moves it does not push the robot.
        """
        assert self._thing is not None
        rest = self._scene.T_world_thing[self._thing][:3, 3]
        base = rest if self.kind == "pulled" else start
        others = [robot.data.body(name).xpos[:2] for name in self._scene.T_world_thing if name != self._thing]
        best, clearance = rest, -np.inf
        for _ in range(_ATTEMPTS):
            angle, length = self._rng.uniform(0, 2 * np.pi), self._rng.uniform(*_SHIFT)
            place = base + length * np.array([np.cos(angle), np.sin(angle), 0.0])
            if (np.abs(place[:2]) > _AREA).any():
                continue
            free = min((float(np.linalg.norm(place[:2] - other)) for other in others), default=np.inf)
            free = min(free, way_beside(robot.data.body("gripper/palm").xpos[:2], start[:2], place[:2]))
            if free > clearance:
                best, clearance = place, free
            if free >= _APART:
                break
        return np.array([best[0], best[1], rest[2] + 0.001])


def mistaken(scene: Scene, queries: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, Scene]]:
    """Yield a query, and the scene with another object as what it means; the most harmful mistakes first.

    Those are about objects that no query means: two queries for one object contradict each other.

    Args:
        scene: The scene.
        queries: Names of the queries of a plan.
        rng: Draws the order.
    """
    meant = {target.query.name: target.thing for target in scene.layout.targets}
    contents = {thing.name for thing in scene.layout.things if thing.inside}
    others = [one.name for one in scene.layout.bodies if one.name not in contents]
    pairs = [(name, thing) for name in queries for thing in others if thing != meant[name]]
    order = [pairs[number] for number in rng.permutation(len(pairs))]
    for name, thing in sorted(order, key=lambda pair: pair[1] in meant.values()):
        targets = tuple(
            replace(one, thing=thing, part="") if one.query.name == name else one
            for one in scene.layout.targets
        )
        yield name, replace(scene, layout=replace(scene.layout, targets=targets))


def way_beside(
    point: Float[np.ndarray, " 2"], start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]
) -> float:
    """Return the distance of a point from the way between two others; infinite where the way leads from it.

    Args:
        point: A place on the table, metres.
        start: Where the way starts; likewise ``end``.
    """
    way = end - start
    along = np.clip((point - start) @ way / max(float(way @ way), 1e-12), 0.0, 1.0)
    nearest, first = np.linalg.norm(point - start - along * way), np.linalg.norm(point - start)
    return float(np.inf if nearest > first - 1e-6 else nearest)
