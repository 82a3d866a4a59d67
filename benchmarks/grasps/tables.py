"""Random tables of the grasp trials: which objects, their resting poses, and the target.

A table is kept only if the true shapes allow a grasp of the part, as other tables do not distinguish
planners.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.common.oracle import oracle_grasps
from benchmarks.common.piles import drop, neighbours, put_apart
from benchmarks.grasps.catalogue import Kind, catalogue, held_at_one_end, named
from point2act.core.errors import SimulationError
from point2act.core.types import Grasp, Query
from point2act.grasping.grippers import load_gripper
from point2act.physics.layout import Jitter, QueryTarget, SceneLayout, SceneObject, Table, scaled
from point2act.physics.mjcf import build
from point2act.simulation import Scene, WristConfig
from point2act.simulation.camera import wrist_camera

QUERY = "target"
"""Name of the one query of a table."""
_DRAWS = 60
"""Maximum number of tables tried for one case."""
_SAME = 4
"""Tables tried with one target before another is drawn, so that difficult targets are not lost first."""
_ORACLES = 6
"""Number of grasps from the true shapes among which one with centred contacts is searched."""
_CENTRED = 0.006
"""Metres across the pad from its middle to its contacts: fingers whose edges meet the flanks of something
round press it out between them. Chosen; the pad of a Franka Hand is 17.5 mm wide."""
_SCALE = 0.1
"""Range of the scale of objects, as a fraction."""
_TOUCHING = 0.003
"""Maximum distance between the target of a heap and its nearest neighbour, metres."""


@dataclass(frozen=True)
class Setting:
    """Setting by which tables are drawn and captured."""

    name: str
    count: tuple[int, int] = (3, 5)
    """Minimum and maximum number of objects."""
    heap: bool = False
    """Whether objects are dropped onto one another, and not placed apart."""
    long: bool = False
    """Whether the target is a part at one end of a long object."""
    mass: float = 1.0
    """Factor on the catalogue's masses."""
    sweep: float = WristConfig().sweep
    """Arc of the camera's path, degrees, centred on the robot's side."""
    sensor: str = "ideal"
    """Depth camera, see ``wrist_camera``."""

    @property
    def camera(self) -> WristConfig:
        """The camera and its path."""
        return wrist_camera(self.sensor, replace(WristConfig(), sweep=self.sweep))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A table that is kept."""

    scene: Scene
    oracle: Grasp
    """Grasp of the part from the true shapes."""
    document: dict[str, Any]
    """Input of ``rebuilt``: objects with their scales and poses, and the target."""


def draw(setting: Setting, seed: int, rng: np.random.Generator) -> Drawn:
    """Return the first table of a seed that can be kept. Raises SimulationError if there is none."""
    wanted: tuple[Kind, str, str] | None = None
    for attempt in range(_DRAWS):
        if wanted is None or attempt % _SAME == 0:
            wanted = _wanted(setting, rng)
        kind, part, text = wanted
        document = {
            "things": _things(setting, kind, rng),
            "target": {"kind": kind.name, "part": part, "text": text},
        }
        try:
            scene = _drawn(document, setting, seed, rng)
            found = oracle_grasps(scene, QUERY, load_gripper("panda"), rng, count=_ORACLES)
        except SimulationError:
            continue
        grasps = [grasp for grasp in found if _centred(grasp)]
        if grasps:
            return Drawn(scene, grasps[0], {**document, "things": _places(document, scene)})
    raise SimulationError(f"setting '{setting.name}', seed {seed}: no table in {_DRAWS} allows a grasp")


def table_rng(setting: Setting, seed: int) -> np.random.Generator:
    """Return the generator of the table and of the noise of its images."""
    return np.random.default_rng([seed, zlib.crc32(setting.name.encode())])


def _centred(grasp: Grasp) -> bool:
    """Return whether both pads touch the object near their middles."""
    across = (grasp.contacts - grasp.T_world_gripper[:3, 3]) @ grasp.T_world_gripper[:3, 0]
    return bool(np.abs(across).max() <= _CENTRED)


def _wanted(setting: Setting, rng: np.random.Generator) -> tuple[Kind, str, str]:
    """Draw the target: all parts that are worth a query are equally likely."""
    known = [
        (kind, part, text)
        for kind in catalogue()
        for part, text in kind.asked
        if not setting.long or held_at_one_end(kind, part)
    ]
    return known[rng.integers(len(known))]


def _things(setting: Setting, wanted: Kind, rng: np.random.Generator) -> list[dict[str, Any]]:
    others = [kind for kind in catalogue() if kind is not wanted]
    count = int(rng.integers(setting.count[0], setting.count[1] + 1))
    kinds = [wanted, *(others[i] for i in rng.choice(len(others), count - 1, replace=False))]
    return [
        {"kind": kinds[i].name, "scale": 1 + _SCALE * float(rng.uniform(-1, 1))}
        for i in rng.permutation(count).tolist()
    ]


def _drawn(document: dict[str, Any], setting: Setting, seed: int, rng: np.random.Generator) -> Scene:
    """Return the table of a document's objects. Raises SimulationError if they do not fit the setting."""
    layout = _layout(document, setting, seed)
    if not setting.heap:
        return put_apart(layout, seed, rng)
    scene = drop(layout, seed, rng)
    if len(scene.layout.things) < setting.count[0] or not scene.layout.targets:
        raise SimulationError("too much rolled away")
    if not neighbours(scene, scene.target(QUERY).thing, _TOUCHING):
        raise SimulationError("the target touches nothing")
    return scene


def _layout(document: dict[str, Any], setting: Setting, seed: int) -> SceneLayout:
    things = tuple(_thing(entry["kind"], entry["scale"], setting) for entry in document["things"])
    asked = document["target"]
    target = QueryTarget(Query(QUERY, asked["text"]), asked["kind"], asked["part"])
    table = Table(size=(1.2, 1.1))
    return SceneLayout(f"{setting.name}-{seed}", "", table, Jitter(), things, (target,))


def _thing(kind: str, scale: float, setting: Setting) -> SceneObject:
    thing = scaled(named(kind).thing, scale)
    return replace(thing, mass=setting.mass * thing.mass)


def rebuilt(document: dict[str, Any], setting: Setting, seed: int) -> Scene:
    """Return the table of a document, its objects at their resting poses."""
    layout = _layout(document, setting, seed)
    poses = {entry["kind"]: np.array(entry["T_world_thing"]) for entry in document["things"]}
    return Scene(layout, seed, build(layout), poses)


def _places(document: dict[str, Any], scene: Scene) -> list[dict[str, Any]]:
    """Return the objects that are still on the table with their poses."""
    return [
        {**entry, "T_world_thing": scene.T_world_thing[entry["kind"]].tolist()}
        for entry in document["things"]
        if entry["kind"] in scene.T_world_thing
    ]
