"""Trials of a hand in physics: approach, close and squeeze, lift, shake, and gravity from six sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from point2act.core.errors import SimulationError
from point2act.core.mujoco_import import MjData, mujoco
from point2act.core.types import Grasp, HandJoints
from point2act.grasping.hands.hand import Hand
from point2act.physics.hand_model import HandModel, add_hand
from point2act.physics.mjcf import TIMESTEP
from point2act.physics.pictures import render_states
from point2act.physics.scene import Scene, advance, parts_of_geoms, thing_of_geom
from point2act.physics.trial import Outcome, run_to_end

_DIRECTIONS = np.concatenate([np.eye(3), -np.eye(3)])
_GRAVITY = np.array([0.0, 0.0, -9.81])


@dataclass(frozen=True)
class HandTrialConfig:
    """Parameters of a trial."""

    approach: float = 0.10
    """Length of the straight approach, metres; 0 to start at the grasp."""
    lift: float = 0.20
    """Height of the lift, metres."""
    # Get a Grip (Lum et al. 2024): lift 20 cm, then 3 cm along each axis.
    shake: float = 0.03
    """Amplitude of the shake along each axis, metres."""
    gravity_seconds: float = 0.5
    """Time for which gravity pulls in each of six directions."""
    guard: float = 20.0
    """Force at which an approach counts as a collision, newtons."""
    min_rise: float = 0.10
    """Smallest rise of a lifted object's centre of mass, metres."""
    pictures: bool = True
    """Render images of the trial."""


@dataclass(frozen=True, eq=False)
class HandTrial:
    """Result of a trial."""

    query: str
    outcome: Outcome
    """As of a gripper's trial: ``slip`` if it was lost at any time."""
    lifted: bool
    """Whether the queried object was lifted."""
    shaken: bool
    """Whether it was also held while it was shaken."""
    held_directions: int
    """Number of the six directions of gravity in which it was also held, up to the first loss."""
    by_part: bool
    """Whether it was lifted by the queried part: most of the hand's force was on it."""
    parts: tuple[tuple[str, str], ...]
    """Parts (object, part) that the closed hand pressed, most force first."""
    forces: tuple[float, ...] = ()
    """Normal force on each of them, newtons."""
    pictures: tuple[UInt8[np.ndarray, "h w 3"], ...] = ()
    """Images before the approach, at the grasp, squeezed, lifted and shaken; or up to a collision."""
    moments: tuple[str, ...] = ()
    """Label of each image."""

    @property
    def success(self) -> bool:
        """Whether the object was lifted, shaken and held in all directions of gravity."""
        return self.outcome == "success"


def try_hand_grasp(
    scene: Scene, query: str, grasp: Grasp, hand: Hand, config: HandTrialConfig = HandTrialConfig()
) -> HandTrial:
    """Execute a hand's grasp with a free-flying hand on a new copy of the settled scene.

    Args:
        scene: The scene at rest.
        query: Name of the query that the grasp answers.
        grasp: Grasp in the world frame with ``joints``.
        hand: The hand.
        config: Parameters of the trial.

    Raises:
        SimulationError: The query is unknown, or the grasp has no joint positions.
    """
    return try_mounted_hand(scene, query, grasp, add_hand(scene, hand), config)


def try_mounted_hand(
    scene: Scene, query: str, grasp: Grasp, mounted: HandModel, config: HandTrialConfig = HandTrialConfig()
) -> HandTrial:
    """Execute a grasp as ``try_hand_grasp`` does, with a hand that was added to the scene before.

    Args:
        scene: The scene at rest.
        query: Name of the query that the grasp answers.
        grasp: Grasp in the world frame with ``joints``.
        mounted: The scene's model with the hand; its mount and gravity are set anew.
        config: Parameters of the trial.

    Raises:
        SimulationError: The query is unknown, or the grasp has no joint positions.
    """
    target = scene.target(query).thing
    if grasp.joints is None:
        raise SimulationError("the grasp has no joint positions: plan it for a hand, with --hand")
    mounted.model.opt.gravity[:] = _GRAVITY
    data = scene.start(mounted.model)
    mounted.mount(data, grasp.T_world_gripper)
    run = _Run(scene, mounted, data, parts_of_geoms(scene, mounted.model), target)
    trial = _play(run, query, grasp, grasp.joints, config)
    if not config.pictures:
        return trial
    images = render_states(mounted.model, list(run.recorded.values()), grasp.T_world_gripper)
    return replace(trial, pictures=images, moments=tuple(run.recorded))


@dataclass(frozen=True, eq=False)
class _Run:
    """State that the phases of one trial share."""

    scene: Scene
    mounted: HandModel
    data: MjData
    part_of_geom: Int[np.ndarray, " g"]
    target: str
    recorded: dict[str, Float[np.ndarray, " q"]] = field(default_factory=dict)
    """Labelled states to render."""

    def record_moment(self, moment: str) -> None:
        """Record the state to render."""
        self.recorded[moment] = self.data.qpos.copy()

    def move(
        self, start: Float[np.ndarray, " 6"], end: Float[np.ndarray, " 6"], seconds: float
    ) -> Iterator[None]:
        """Move the wrist smoothly from one offset to another; yield after each physics step."""
        steps = round(seconds / TIMESTEP)
        for step in range(1, steps + 1):
            s = step / steps
            self.mounted.move_wrist(self.data, start + (3 - 2 * s) * s * s * (end - start))
            self.step()
            yield

    def close(self, start: np.ndarray, end: np.ndarray, seconds: float) -> None:
        """Move the fingers from joint positions to others."""
        steps = round(seconds / TIMESTEP)
        for step in range(1, steps + 1):
            self.mounted.move_fingers(self.data, start + step / steps * (end - start))
            self.step()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TIMESTEP)):
            self.step()

    def step(self) -> None:
        """Advance the physics by a step."""
        advance(self.scene, self.mounted.model, self.data)

    def touched(self) -> set[str]:
        """Return the objects that the hand touches."""
        others = (other for _, _, other in self.mounted.contacts(self.data))
        return {thing_of_geom(self.scene, self.part_of_geom, other) for other in others} - {""}

    @property
    def height(self) -> float:
        """Height of the target's centre of mass, metres."""
        return float(self.data.body(self.target).xipos[2])


def _play(run: _Run, query: str, grasp: Grasp, joints: HandJoints, config: HandTrialConfig) -> HandTrial:
    """Carry out all phases."""
    rest = np.zeros(6)
    up = np.concatenate([grasp.T_world_gripper[:3, :3].T @ [0.0, 0.0, config.lift], np.zeros(3)])
    start = run.height
    if not _approach(run, joints, config):
        return HandTrial(query, "collision", False, False, 0, False, ())
    run.close(joints.pregrasp, joints.grasp, 0.8)
    run.close(joints.grasp, joints.squeeze, 0.4)
    run.wait(0.3)
    run.record_moment("squeezed")
    parts, forces, by_part = _pressed_parts(run, query)
    run_to_end(run.move(rest, up, 2.0))
    run.wait(0.5)
    run.record_moment("lifted")
    others = run.touched() - {run.target}
    lifted = _is_held(run, start, config)
    shaken = lifted and _shake(run, up, start, config)
    run.record_moment("shaken")
    directions = _gravity(run, config) if shaken else 0
    outcome = _outcome(lifted, shaken, directions, others, run.target in {thing for thing, _ in parts})
    return HandTrial(query, outcome, lifted, shaken, directions, lifted and by_part, parts, forces)


def _outcome(lifted: bool, shaken: bool, directions: int, others: set[str], pressed: bool) -> Outcome:
    if lifted and shaken and directions == len(_DIRECTIONS):
        return "success"
    if not lifted and others:
        return "wrong_object"
    return "slip" if pressed or lifted else "missed"


def _approach(run: _Run, joints: HandJoints, config: HandTrialConfig) -> bool:
    """Move to the grasp with an open hand; return False where that collides."""
    back, rest = np.array([0.0, 0.0, -config.approach, 0.0, 0.0, 0.0]), np.zeros(6)
    run.mounted.jump(run.data, back, joints.pregrasp)
    mujoco.mj_forward(run.mounted.model, run.data)
    run.record_moment("before")
    inside = [-run.data.contact.dist[index] for index, _, _ in run.mounted.contacts(run.data)]
    free = bool(max(inside, default=0.0) < 0.001)
    for _ in run.move(back, rest, 1.5) if free and config.approach else ():
        if run.mounted.load(run.data) > config.guard:
            free = False
            break
    run.record_moment("at the grasp" if free else "stopped")
    return free


def _is_held(run: _Run, start: float, config: HandTrialConfig) -> bool:
    return bool(run.height - start >= config.min_rise) and run.target in run.touched()


def _shake(run: _Run, up: Float[np.ndarray, " 6"], start: float, config: HandTrialConfig) -> bool:
    """Move along each axis of the palm by the amplitude, there and back; return whether it is still held."""
    for axis in range(3):
        way = np.zeros(6)
        way[axis] = config.shake
        for end, other in ((up + way, up), (up - way, up + way), (up, up - way)):
            run_to_end(run.move(other, end, 0.3))
        if not _is_held(run, start, config):
            return False
    return True


def _gravity(run: _Run, config: HandTrialConfig) -> int:
    """Let gravity pull in six directions; return how many of them pass before the object is lost."""
    for count, direction in enumerate(_DIRECTIONS):
        run.mounted.model.opt.gravity[:] = 9.81 * direction
        run.wait(config.gravity_seconds)
        if run.target not in run.touched():
            return count
    return len(_DIRECTIONS)


def _pressed_parts(run: _Run, query: str) -> tuple[tuple[tuple[str, str], ...], tuple[float, ...], bool]:
    """Return the parts that the hand presses, the force on each, and whether the queried one has most."""
    force, wrench = np.zeros(len(run.scene.parts)), np.zeros(6)
    for index, _, other in run.mounted.contacts(run.data):
        part = run.part_of_geom[other]
        if part >= 0:
            mujoco.mj_contactForce(run.mounted.model, run.data, index, wrench)
            force[part] += wrench[0]
    order = [int(part) for part in np.argsort(-force, kind="stable") if force[part] > 0]
    on_it = force[list(run.scene.target_parts(query))].sum()
    parts = tuple(run.scene.parts[part] for part in order)
    return parts, tuple(force[order].tolist()), bool(on_it > 0.5 * force.sum())
