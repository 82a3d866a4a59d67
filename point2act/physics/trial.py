"""Grasp trials in physics: approach, close, lift, shake and hold; then check what the gripper holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from point2act.core.mujoco_import import MjData, mujoco
from point2act.core.types import Grasp
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.grippers import Gripper
from point2act.physics.gripper_model import FreeFlyingRig, Rig, add_gripper, gripper_contacts, squeeze
from point2act.physics.mjcf import TIMESTEP
from point2act.physics.pictures import render_states
from point2act.physics.scene import Scene, advance, parts_of_geoms, thing_of_geom

FILM_RATE = 6.0
"""Images of a film per second of simulated time."""
_FILM_SIZE = 0.6
"""Size of a film's images relative to the others."""

Outcome = Literal["success", "collision", "missed", "slip", "wrong_object", "no_grasp"]
"""Outcome of a trial: ``collision`` on the approach; ``missed`` if the object was not touched; ``slip`` if it
was lost; ``wrong_object`` if another one was lifted; ``no_grasp`` if there was nothing to execute."""


@dataclass(frozen=True)
class TrialConfig:
    """Parameters of a trial."""

    force: float = 40.0
    """Squeezing force of each finger, newtons, limited by the gripper's maximum."""
    clearance: float = 0.006
    """Clearance on each side of a grasp without an ``approach_width``, metres; others open to theirs."""
    approach: float = 0.10
    """Length of the straight approach, metres."""
    lift: float = 0.15
    """Height of the lift, metres."""
    shake: tuple[float, float] = (0.01, 6.0)
    """Amplitude of the shake, metres and degrees."""
    guard: tuple[float, float] = (20.0, 2.0)
    """Force and torque at which an approach counts as a collision, newtons and newton metres."""
    min_rise: float = 0.05
    """Minimum rise of a held object's centre of mass, metres."""
    pictures: bool = True
    """Render images of the trial."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Result of a trial."""

    query: str
    success: bool
    """Whether the queried object was lifted, shaken and held."""
    outcome: Outcome
    by_part: bool
    """Whether it was held by the queried part: most of both fingers' force was on it."""
    lifted: str
    """Object held at the end, empty for none."""
    rise: float
    """Rise of the target's centre of mass at the end, metres."""
    parts: tuple[tuple[str, str], ...]
    """Parts (object, part) that the closed fingers touched, most force first."""
    pictures: tuple[UInt8[np.ndarray, "h w 3"], ...] = ()
    """Images before the approach, at the grasp, closed, lifted, shaken and held; or up to a collision."""
    moments: tuple[str, ...] = ()
    """Label of each image."""
    film: tuple[UInt8[np.ndarray, "_h _w 3"], ...] = ()
    """Smaller images of the whole motion, ``FILM_RATE`` per second."""


def try_grasp(
    scene: Scene, query: str, grasp: Grasp, gripper: Gripper, config: TrialConfig | None = None
) -> Trial:
    """Execute a grasp with a free-flying gripper on a new copy of the settled scene.

    Args:
        query: Name of the query that the grasp answers.
        grasp: Grasp in the world frame.

    Raises:
        SimulationError: for an unknown query.
    """
    config = config or TrialConfig()
    scene.target(query)  # reject an unknown query before anything is built
    opening = planned_opening(grasp, gripper, clearance=config.clearance)
    force = min(config.force, gripper.max_force)
    rig = FreeFlyingRig(add_gripper(scene, gripper, force=force, opening=opening))
    data = scene.start(rig.mounted.model)
    rig.mount(data, grasp.T_world_gripper, opening)
    rest, back = np.zeros(6), np.array([0.0, 0.0, -config.approach, 0.0, 0.0, 0.0])
    up = np.concatenate([grasp.T_world_gripper[:3, :3].T @ [0.0, 0.0, config.lift], np.zeros(3)])
    way = Trajectory(np.array([back, rest]), np.array([rest, up]))
    return execute(scene, query, grasp, rig, data, way, config)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Waypoints of a rig; motion between them is linear."""

    approach: Float[np.ndarray, "a n"]
    lift: Float[np.ndarray, "l n"]
    """Waypoints from the end of the approach."""


def execute(
    scene: Scene, query: str, grasp: Grasp, rig: Rig, data: MjData, way: Trajectory, config: TrialConfig
) -> Trial:
    """Execute a trial with an open gripper on its rig in a new state of the scene."""
    run = _Run(scene, rig, data, parts_of_geoms(scene, rig.mounted.model))
    trial = _play(run, query, scene.target(query).thing, way, config)
    if not config.pictures:
        return trial
    model, T = rig.mounted.model, grasp.T_world_gripper
    pictures = render_states(model, list(run.recorded.values()), T)
    film = render_states(model, run.filmed, T, enlarged=_FILM_SIZE)
    return replace(trial, pictures=pictures, moments=tuple(run.recorded), film=film)


@dataclass(frozen=True, eq=False)
class _Run:
    """State that the phases of one trial share."""

    scene: Scene
    rig: Rig
    data: MjData
    part_of_geom: Int[np.ndarray, " g"]
    recorded: dict[str, Float[np.ndarray, " q"]] = field(default_factory=dict)
    """Labelled states to render."""
    filmed: list[Float[np.ndarray, " q"]] = field(default_factory=list)
    """States of the film."""

    def record_moment(self, moment: str) -> None:
        """Record the state to render."""
        self.recorded[moment] = self.data.qpos.copy()

    def go(self, way: Float[np.ndarray, "k n"], seconds: float) -> Iterator[None]:
        """Move smoothly from the first waypoint to the last; yield after each physics step."""
        steps = round(seconds / TIMESTEP)
        for step in range(1, steps + 1):
            s = step / steps
            at = (3 - 2 * s) * s * s * (len(way) - 1)
            before = min(int(at), len(way) - 2)
            self.rig.move(self.data, way[before] + (at - before) * (way[before + 1] - way[before]))
            self._step()
            yield

    def shake(self, center: Float[np.ndarray, " n"], amplitude: tuple[float, float]) -> None:
        """Oscillate for one second along and about all axes, starting and ending at rest."""
        size = np.array([*[amplitude[0]] * 3, *[np.deg2rad(amplitude[1])] * 3])
        targets_per_twist = self.rig.targets_per_twist(center)
        for time in np.arange(0, 1, TIMESTEP):
            swing = np.sin(2 * np.pi * time * np.array([1, 2, 3, 3, 1, 2])) * np.sin(np.pi * time)
            self.rig.move(self.data, center + targets_per_twist @ (size * swing))
            self._step()

    def _step(self) -> None:
        advance(self.scene, self.rig.mounted.model, self.data)
        if self.data.time * FILM_RATE >= len(self.filmed):
            self.filmed.append(self.data.qpos.copy())


def _play(run: _Run, query: str, target: str, way: Trajectory, config: TrialConfig) -> Trial:
    rest, up = way.lift[[0, 0]], way.lift[[-1, -1]]
    start_height = run.data.body(target).xipos[2]

    run.rig.jump(run.data, way.approach[0])
    run.record_moment("before")
    free = _penetration(run) < 0.001 and _approach(run, way, config)
    run.record_moment("at the grasp" if free else "stopped")
    parts: tuple[tuple[str, str], ...] = ()
    by_part = False
    if free:
        squeeze(run.data)
        run_to_end(run.go(rest, 0.8))
        run.record_moment("closed")
        parts, by_part = _gripped_parts(run, query)
        run_to_end(run.go(way.lift, 1.5))
        run.record_moment("lifted")
        run.shake(up[0], config.shake)
        run.record_moment("shaken")
        run_to_end(run.go(up, 1.0))
        run.record_moment("held")
    held = _held_objects(run) if free else []
    lifted = target if target in held else next(iter(held), "")
    rise = float(run.data.body(target).xipos[2] - start_height)
    success = lifted == target and rise >= config.min_rise
    outcome = _outcome(free, success, lifted, target, parts)
    return Trial(query, success, outcome, success and by_part, lifted, rise, parts)


def _outcome(
    free: bool, success: bool, lifted: str, target: str, parts: tuple[tuple[str, str], ...]
) -> Outcome:
    if not free:
        return "collision"
    if success:
        return "success"
    if lifted not in ("", target):
        return "wrong_object"
    return "slip" if any(thing == target for thing, _ in parts) else "missed"


def _approach(run: _Run, way: Trajectory, config: TrialConfig) -> bool:
    """Move to the grasp; return False as soon as force or torque exceed the guard."""
    for _ in run.go(way.approach, 1.5):
        push, turn = run.rig.load(run.data)
        if push > config.guard[0] or turn > config.guard[1]:
            return False
    return True


def run_to_end(steps: Iterator[None]) -> None:
    """Take all steps of a motion."""
    for _ in steps:
        pass


def _penetration(run: _Run) -> float:
    """Return the deepest penetration of the gripper, metres."""
    mujoco.mj_forward(run.rig.mounted.model, run.data)
    touching = gripper_contacts(run.rig.mounted, run.data)
    return float(max((-run.data.contact.dist[index] for index, _, _ in touching), default=0.0))


def _gripped_parts(run: _Run, query: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Return the parts that the fingers press, and whether each presses mostly on the queried part."""
    wanted = run.scene.target_parts(query)
    force = np.zeros((2, len(run.scene.parts)))
    wrench = np.zeros(6)
    for index, gripper_geom, other in gripper_contacts(run.rig.mounted, run.data):
        part = run.part_of_geom[other]
        for side, geoms in enumerate(run.rig.mounted.fingers):
            if part >= 0 and gripper_geom in geoms:
                mujoco.mj_contactForce(run.rig.mounted.model, run.data, index, wrench)
                force[side, part] += wrench[0]
    order = np.argsort(-force.sum(axis=0))
    parts = tuple(run.scene.parts[i] for i in order if force[:, i].sum() > 0)
    on_it, total = force[:, list(wanted)].sum(axis=1), force.sum(axis=1)
    return parts, bool(np.all(total > 0) and np.all(on_it > 0.5 * total))


def _held_objects(run: _Run) -> list[str]:
    """Return the objects that both fingers touch and that do not rest on the table or the floor."""
    thing = partial(thing_of_geom, run.scene, run.part_of_geom)
    resting: set[str] = set()
    for a, b in run.data.contact.geom.tolist():
        things = {thing(a), thing(b)}
        if "" in things and not (run.rig.mounted.geoms[a] or run.rig.mounted.geoms[b]):
            resting |= things
    left, right = (
        {
            thing(other)
            for _, gripper_geom, other in gripper_contacts(run.rig.mounted, run.data)
            if gripper_geom in geoms
        }
        for geoms in run.rig.mounted.fingers
    )
    return sorted((left & right) - resting - {""})
