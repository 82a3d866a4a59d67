"""Cases of the grasp trials: a random table, a target, and the measured depth.

A case depends on its setting and seed alone. Each lies in a file in the folder named by
``POINT2ACT_BENCHMARK_CACHE``; another catalogue or version of the sampling has another folder.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.common.tables import folder
from benchmarks.grasps.catalogue import digest
from benchmarks.grasps.tables import QUERY, Setting, draw, rebuilt, table_rng
from point2act.core.types import Grasp, Region, View
from point2act.physics.layout import QueryTarget
from point2act.physics.mjcf import build
from point2act.physics.pictures import pinhole
from point2act.simulation import Scene
from point2act.simulation.camera import render_views
from point2act.simulation.true_region import true_region

VERSION = 2
"""Version of the sampling; a new version makes all cases anew."""


@dataclass(frozen=True)
class Condition:
    """One condition: a setting of the table, and changes to the grasp or the objects after planning."""

    name: str
    setting: Setting
    friction: float | None = None
    """Friction of all objects; None keeps the catalogue's."""
    off: bool = False
    """Whether the gripper's pose is off by 3 mm and 3 degrees."""
    arm: bool = False
    """Whether a Panda carries the gripper; only cases whose oracle grasp it reaches count."""


EASY = Setting("easy")
CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("easy", EASY),
        Condition("pose_error", EASY, off=True),
        Condition("slippery", EASY, friction=0.3),
        Condition("arm", EASY, arm=True),
        Condition("heavy", Setting("heavy", long=True, mass=2.0)),
        Condition("partly_seen", Setting("half_seen", sweep=100.0)),
        Condition("clutter", Setting("clutter", count=(6, 10), heap=True)),
    )
}
"""All conditions; every planner but ``whole_pipeline`` is given the true region."""

SEEDS = {"tune": 0, "report": 1000, "fresh": 2000}
"""First seeds: for tuning; for published figures; for a last evaluation."""


@dataclass(frozen=True, eq=False)
class Case:
    """A table, its target and the measured views."""

    setting: Setting
    seed: int
    scene: Scene
    views: tuple[View, ...]
    """Views with depth; their colour is black."""
    region: Region
    """True region: box of the part, and the point of its solid nearest to the box's centre."""
    oracle: Grasp
    """A grasp of the part from the true shapes."""

    @property
    def target(self) -> QueryTarget:
        """Target of the table's one query."""
        return self.scene.target(QUERY)

    @property
    def depths(self) -> list[Float[np.ndarray, "h w"]]:
        """Depth of the views, metres, 0 for no reading."""
        return [view.depth for view in self.views if view.depth is not None]


def case(setting: Setting, seed: int) -> Case:
    """Return a case from the cache; draw and capture it first if it is not there."""
    path = case_path(setting, seed)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(setting, seed, path)
    with np.load(path) as stored:
        document = json.loads(str(stored["document"]))
        depths, poses = stored["depth"] * np.float32(1e-3), stored["T_world_cam"]
    scene = rebuilt(document, setting, seed)
    camera = pinhole(setting.camera.size, setting.camera.focal)
    black = np.zeros((camera.height, camera.width, 3), np.uint8)
    views = tuple(
        View(f"{index:04d}", camera, T, black, depth)
        for index, (T, depth) in enumerate(zip(poses, depths, strict=True))
    )
    return Case(setting, seed, scene, views, true_region(scene, QUERY), _grasp(document["oracle"]))


def case_path(setting: Setting, seed: int) -> Path:
    """Return the file of a case."""
    return folder() / f"grasps-{VERSION}-{digest()}" / setting.name / f"{seed}.npz"


def for_trial(case: Case, condition: Condition) -> Scene:
    """Return the case's scene with the condition's friction."""
    if condition.friction is None:
        return case.scene
    layout = case.scene.layout
    things = tuple(replace(thing, friction=condition.friction) for thing in layout.things)
    layout = replace(layout, things=things)
    return replace(case.scene, layout=layout, model=build(layout))


def _make(setting: Setting, seed: int, path: Path) -> None:
    """Draw a table, capture it, and write both."""
    rng = table_rng(setting, seed)
    drawn = draw(setting, seed, rng)
    shots = render_views(drawn.scene, setting.camera, rng)
    described = {
        "T_world_gripper": drawn.oracle.T_world_gripper.tolist(),
        "width": drawn.oracle.width,
        "contacts": drawn.oracle.contacts.tolist(),
    }
    text = json.dumps({**drawn.document, "oracle": described})
    # The sensor has a resolution of one millimetre.
    depths = [shot.view.depth for shot in shots if shot.view.depth is not None]
    depth = np.array([np.round(1e3 * one) for one in depths], np.uint16)
    poses = np.array([shot.view.T_world_cam for shot in shots])
    partial = path.with_name(f"{path.stem}-{os.getpid()}.part.npz")
    np.savez_compressed(partial, document=np.array(text), depth=depth, T_world_cam=poses)
    partial.replace(path)


def _grasp(entry: dict) -> Grasp:
    return grasp_at(np.array(entry["T_world_gripper"]), entry["width"], np.array(entry["contacts"]))


def grasp_at(
    T_world_gripper: Float[np.ndarray, "4 4"],
    width: float,
    contacts: Float[np.ndarray, "2 3"] | None = None,
) -> Grasp:
    """Return a grasp with this pose and width; its contacts are half the width to either side."""
    origin, closing = T_world_gripper[:3, 3], T_world_gripper[:3, 1]
    beside = origin + np.outer([0.5, -0.5], width * closing)
    return Grasp(
        T_world_gripper=T_world_gripper,
        width=width,
        score=1.0,
        relevancy=1.0,
        quality=1.0,
        contacts=beside if contacts is None else contacts,
        approach_clearance=0.0,
    )
