"""Physics proof of a grasp: approach, close, lift, shake and hold, and see what the hand then holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from point2act.core.errors import SimulationError
from point2act.core.mujoco_import import MjData, mujoco
from point2act.core.types import Grasp
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import Gripper
from point2act.simulation.hand import FreeRig, Hand, Rig, add_hand, mount, squeeze, touches
from point2act.simulation.mjcf import TIMESTEP
from point2act.simulation.pictures import photograph
from point2act.simulation.record import captured_scene
from point2act.simulation.scene import Scene, parts_of_geoms

Outcome = Literal["success", "collision", "missed", "slip", "wrong_object", "no_grasp"]
"""How a trial ended: pressed into something on the way; closed on nothing, or on nothing it could
lift; lost the object; lifted another object than the one asked for; nothing to try."""


@dataclass(frozen=True)
class TrialConfig:
    """How a grasp is tried."""

    force: float = 40.0
    """Squeezing force of each finger, newtons; the gripper's own limit where that is lower."""
    clearance: float = 0.006
    """The fingers approach this much from the object on each side, metres, if the gripper opens so far;
    the planner checks its grasps with the same."""
    approach: float = 0.10
    """Length of the straight way to the grasp, metres."""
    lift: float = 0.15
    """Height of the lift, metres."""
    shake: tuple[float, float] = (0.01, 6.0)
    """Amplitude of the shake, metres and degrees."""
    guard: tuple[float, float] = (20.0, 2.0)
    """An approach that pushes or turns harder than this, newtons and newton metres, is a collision."""
    min_rise: float = 0.05
    """A held object's centre of mass has risen by at least this, metres."""
    pictures: bool = True
    """Whether to render pictures of the trial."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of a grasp."""

    query: str
    success: bool
    """The object asked for was lifted, shaken and held."""
    outcome: Outcome
    by_part: bool
    """It was, and by the part asked for: most of both fingers' force was on it."""
    lifted: str
    """The object in the hand at the end, empty for none."""
    rise: float
    """How far the centre of mass of the target has risen at the end, metres."""
    parts: tuple[tuple[str, str], ...]
    """The parts (object, part) that the closed fingers touched, most force first."""
    pictures: tuple[UInt8[np.ndarray, "h w 3"], ...] = ()
    """Before the approach, at the grasp, closed, lifted, shaken and held; or before, and where it stopped."""
    moments: tuple[str, ...] = ()
    """A word for each picture."""


def try_grasp(
    scene: Scene, query: str, grasp: Grasp, gripper: Gripper, config: TrialConfig | None = None
) -> Trial:
    """Try a grasp on a fresh copy of the settled scene.

    ``query`` names what the hand is to lift; the grasp is in the world frame. Raises SimulationError for
    an unknown query.
    """
    config = config or TrialConfig()
    scene.target(query)  # an unknown query is told before anything is built
    opening = open_for(grasp, gripper, config)
    hand = add_hand(scene, gripper, force=min(config.force, gripper.max_force), opening=opening)
    data = scene.start(hand.model)
    mount(hand, data, grasp.T_world_gripper, opening)
    rest, back = np.zeros(6), np.array([0.0, 0.0, -config.approach, 0.0, 0.0, 0.0])
    up = np.concatenate([grasp.T_world_gripper[:3, :3].T @ [0.0, 0.0, config.lift], np.zeros(3)])
    way = Way(np.array([back, rest]), np.array([rest, up]))
    return carry_out(scene, query, grasp, FreeRig(hand), data, way, config)


@dataclass(frozen=True, eq=False)
class Way:
    """Where a hand is sent, as targets of its rig; from each to the next it goes straight."""

    approach: Float[np.ndarray, "a n"]
    lift: Float[np.ndarray, "l n"]
    """From the last of the approach."""


def open_for(grasp: Grasp, gripper: Gripper, config: TrialConfig) -> float:
    """How far the pads are apart on the approach, metres."""
    return min(grasp.width + 2 * config.clearance, gripper.max_width)


def carry_out(
    scene: Scene, query: str, grasp: Grasp, rig: Rig, data: MjData, way: Way, config: TrialConfig
) -> Trial:
    """Play a trial: an open hand on its rig, in a fresh state of the scene, goes along its way."""
    run = _Run(scene, rig.hand, rig, data, parts_of_geoms(scene, rig.hand.model))
    trial = _play(run, query, scene.target(query).thing, way, config)
    if not config.pictures:
        return trial
    pictures = photograph(rig.hand.model, list(run.album.values()), grasp.T_world_gripper)
    return replace(trial, pictures=pictures, moments=tuple(run.album))


def try_grasps_file(
    folder: Path | str, grasps_path: Path | str, gripper: Gripper, config: TrialConfig | None = None
) -> list[Trial]:
    """Try the best grasp of every query in a grasps.json against the scene that a capture was made of.

    Queries with the role ``grasp`` only; each starts from a fresh copy of the scene. A query without a
    grasp has the outcome ``no_grasp``.
    """
    scene = captured_scene(folder)
    trials = []
    for result in read_grasps(grasps_path)["results"]:
        query = result["query"]
        if query["role"] != "grasp":
            continue
        if not result["grasps"]:
            trials.append(Trial(query["name"], False, "no_grasp", False, "", 0.0, ()))
            continue
        trials.append(try_grasp(scene, query["name"], written_grasp(result["grasps"][0]), gripper, config))
    return trials


def written_grasp(entry: Mapping[str, Any]) -> Grasp:
    """What a trial needs to know of a grasp in a grasps.json."""
    return Grasp(
        T_world_gripper=np.array(entry["T_world_gripper"], dtype=float),
        width=float(entry["width"]),
        score=float(entry["score"]),
        relevancy=float(entry["relevancy"]),
        quality=float(entry["quality"]),
        contacts=np.array(entry["contacts"], dtype=float),
        approach_clearance=float(entry["approach_clearance"]),
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """What the phases of one trial share."""

    scene: Scene
    hand: Hand
    rig: Rig
    data: MjData
    part_of_geom: Int[np.ndarray, " g"]
    album: dict[str, Float[np.ndarray, " q"]] = field(default_factory=dict)
    """The moments worth a picture, and the state then."""

    def remember(self, moment: str) -> None:
        """Keep this moment for a picture."""
        self.album[moment] = self.data.qpos.copy()

    def go(self, way: Float[np.ndarray, "k n"], seconds: float) -> Iterator[None]:
        """Move the hand smoothly from the first target to the last, a physics step an item."""
        steps = round(seconds / TIMESTEP)
        for step in range(1, steps + 1):
            s = step / steps
            at = (3 - 2 * s) * s * s * (len(way) - 1)
            before = min(int(at), len(way) - 2)
            self.rig.move(self.data, way[before] + (at - before) * (way[before + 1] - way[before]))
            self._step()
            yield

    def shake(self, center: Float[np.ndarray, " n"], amplitude: tuple[float, float]) -> None:
        """One second of swinging along and about all axes, from and to a standstill."""
        size = np.array([*[amplitude[0]] * 3, *[np.deg2rad(amplitude[1])] * 3])
        ways = self.rig.ways(center)
        for time in np.arange(0, 1, TIMESTEP):
            swing = np.sin(2 * np.pi * time * np.array([1, 2, 3, 3, 1, 2])) * np.sin(np.pi * time)
            self.rig.move(self.data, center + ways @ (size * swing))
            self._step()

    def _step(self) -> None:
        mujoco.mj_step(self.hand.model, self.data)
        if not np.isfinite(self.data.qpos).all():
            raise SimulationError(f"the physics of scene '{self.scene.name}' blew up; lighten its objects")


def _play(run: _Run, query: str, target: str, way: Way, config: TrialConfig) -> Trial:
    rest, up = way.lift[[0, 0]], way.lift[[-1, -1]]
    start_height = run.data.body(target).xipos[2]

    run.rig.jump(run.data, way.approach[0])
    run.remember("before")
    free = _penetration(run) < 0.001 and _approach(run, way, config)
    run.remember("at the grasp" if free else "stopped")
    parts: tuple[tuple[str, str], ...] = ()
    by_part = False
    if free:
        squeeze(run.data)
        _exhaust(run.go(rest, 0.8))
        run.remember("closed")
        parts, by_part = _grip(run, query)
        _exhaust(run.go(way.lift, 1.5))
        run.remember("lifted")
        run.shake(up[0], config.shake)
        run.remember("shaken")
        _exhaust(run.go(up, 1.0))
        run.remember("held")
    held = _held(run) if free else []
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


def _approach(run: _Run, way: Way, config: TrialConfig) -> bool:
    """Move to the grasp; False as soon as the hand presses harder than its guard allows."""
    for _ in run.go(way.approach, 1.5):
        push, turn = run.rig.load(run.data)
        if push > config.guard[0] or turn > config.guard[1]:
            return False
    return True


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def _penetration(run: _Run) -> float:
    """How deep the hand is in something, metres."""
    mujoco.mj_forward(run.hand.model, run.data)
    return float(
        max((-run.data.contact.dist[index] for index, _, _ in touches(run.hand, run.data)), default=0.0)
    )


def _grip(run: _Run, query: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """The parts that the fingers press, and whether each presses mostly on the part asked for."""
    wanted = run.scene.target_parts(query)
    force = np.zeros((2, len(run.scene.parts)))
    wrench = np.zeros(6)
    for index, mine, other in touches(run.hand, run.data):
        part = run.part_of_geom[other]
        for side, geoms in enumerate(run.hand.fingers):
            if part >= 0 and mine in geoms:
                mujoco.mj_contactForce(run.hand.model, run.data, index, wrench)
                force[side, part] += wrench[0]
    order = np.argsort(-force.sum(axis=0))
    parts = tuple(run.scene.parts[i] for i in order if force[:, i].sum() > 0)
    on_it, total = force[:, list(wanted)].sum(axis=1), force.sum(axis=1)
    return parts, bool(np.all(total > 0) and np.all(on_it > 0.5 * total))


def _held(run: _Run) -> list[str]:
    """The objects that both fingers touch and that do not stand on the table or the floor."""
    standing: set[str] = set()
    for a, b in run.data.contact.geom.tolist():
        things = {_thing_of(run, a), _thing_of(run, b)}
        if "" in things and not (run.hand.geoms[a] or run.hand.geoms[b]):
            standing |= things
    left, right = (
        {_thing_of(run, other) for _, mine, other in touches(run.hand, run.data) if mine in geoms}
        for geoms in run.hand.fingers
    )
    return sorted((left & right) - standing - {""})


def _thing_of(run: _Run, geom: int) -> str:
    part = run.part_of_geom[geom]
    return run.scene.parts[part][0] if part >= 0 else ""
