"""Tables drawn by chance: which objects, where they come to rest, and what of them is asked for.

A table is kept only if the true shapes allow a grasp of the part: what no one could hold says nothing about a
head.
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
from point2act.simulation import Scene, WristConfig
from point2act.simulation.layout import Jitter, QueryTarget, SceneLayout, SceneObject, Table, scaled
from point2act.simulation.mjcf import build

QUERY = "target"
"""The name of the one query of a table."""
_DRAWS = 60
"""Tables tried for one case."""
_SAME = 4
"""Tables tried with one target before another is drawn, so that hard targets are not the first to go."""
_ORACLES = 6
"""Grasps from the true shapes among which one is looked for that meets the pads near their middles."""
_CENTRED = 0.006
"""Metres across the pad from its middle to its contacts: fingers whose edges meet the flanks of something
round press it out between them. Chosen; the pad of a Franka Hand is 17.5 mm wide."""
_SCALE = 0.1
"""Share by which objects are larger or smaller."""
_TOUCHING = 0.003
"""Metres between the target of a heap and its nearest neighbour at most."""


@dataclass(frozen=True)
class Setting:
    """How tables are drawn and seen."""

    name: str
    count: tuple[int, int] = (3, 5)
    """Fewest and most objects."""
    heap: bool = False
    """Dropped onto one another, not put down apart."""
    long: bool = False
    """Asked for is a part at one end of a long object."""
    mass: float = 1.0
    """Times that of the catalogue."""
    sweep: float = WristConfig().sweep
    """The camera's arc, degrees, its middle on the robot's side."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A table worth keeping."""

    scene: Scene
    oracle: Grasp
    """Of the part, from the true shapes."""
    document: dict[str, Any]
    """What ``rebuilt`` needs: objects with their scales and places, and what is asked for."""


def draw(setting: Setting, seed: int, rng: np.random.Generator) -> Drawn:
    """The first table of a seed that is worth keeping. Raises SimulationError when there is none."""
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
    """What draws the table and the noise of its pictures."""
    return np.random.default_rng([seed, zlib.crc32(setting.name.encode())])


def _centred(grasp: Grasp) -> bool:
    """Whether both pads meet the object near their middles."""
    across = (grasp.contacts - grasp.T_world_gripper[:3, 3]) @ grasp.T_world_gripper[:3, 0]
    return bool(np.abs(across).max() <= _CENTRED)


def _wanted(setting: Setting, rng: np.random.Generator) -> tuple[Kind, str, str]:
    """What is asked for: every part worth asking for is as likely as any other."""
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
    """The table of a document's objects. Raises SimulationError when they make none of the setting."""
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
    """The table of a document, its objects where they came to rest."""
    layout = _layout(document, setting, seed)
    poses = {entry["kind"]: np.array(entry["T_world_thing"]) for entry in document["things"]}
    return Scene(layout, seed, build(layout), poses)


def _places(document: dict[str, Any], scene: Scene) -> list[dict[str, Any]]:
    """The objects that are still on the table, and where."""
    return [
        {**entry, "T_world_thing": scene.T_world_thing[entry["kind"]].tolist()}
        for entry in document["things"]
        if entry["kind"] in scene.T_world_thing
    ]
