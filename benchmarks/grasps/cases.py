"""Cases of the grasp trials: a table by chance, what is asked for, and the depth that a camera measured.

What a case is depends on its setting and seed alone. Each lies in a file of its own in the folder named by
``POINT2ACT_BENCHMARK_CACHE``; another catalogue or version of the drawing has another folder.
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
from point2act.core.geometry import invert, transform_points
from point2act.core.types import Camera, Grasp, Region, Support, View
from point2act.simulation import Scene, WristConfig, part_box
from point2act.simulation.camera import pinhole, render_views
from point2act.simulation.layout import QueryTarget, Shape
from point2act.simulation.mjcf import build

VERSION = 2
"""Of the drawing; another one makes all cases anew."""


@dataclass(frozen=True)
class Row:
    """One row of the table: a setting, and what happens to the grasp or the objects afterwards."""

    name: str
    setting: Setting
    friction: float | None = None
    """Of all objects; None leaves the catalogue's."""
    off: bool = False
    """The gripper does not come quite where it was sent: 3 mm and 3 degrees off."""
    arm: bool = False
    """A Panda at the scene's base carries the gripper; cases count if it reaches the oracle's grasp."""


EASY = Setting("easy")
ROWS = {
    row.name: row
    for row in (
        Row("easy", EASY),
        Row("execution", EASY, off=True),
        Row("slippery", EASY, friction=0.3),
        Row("arm", EASY, arm=True),
        Row("heavy", Setting("heavy", long=True, mass=2.0)),
        Row("half_seen", Setting("half_seen", sweep=100.0)),
        Row("clutter", Setting("clutter", count=(6, 10), heap=True)),
    )
}
"""All rows; every head but ``system`` is reported the true region."""

SEEDS = {"tune": 0, "report": 1000, "fresh": 2000}
"""First seed: for choosing parameters; for figures that are published; for a last look."""


@dataclass(frozen=True, eq=False)
class Case:
    """A table, what is asked for, and what was measured of it."""

    setting: Setting
    seed: int
    scene: Scene
    views: tuple[View, ...]
    """Depth only: their colours are black."""
    region: Region
    """The truth: box of the part, and the point of its solid nearest to the box's centre."""
    oracle: Grasp
    """A grasp of the part from the true shapes."""

    @property
    def target(self) -> QueryTarget:
        """What is asked for."""
        return self.scene.target(QUERY)

    @property
    def depths(self) -> list[Float[np.ndarray, "h w"]]:
        """Of the views, metres, 0 for no reading."""
        return [view.depth for view in self.views if view.depth is not None]


def case(setting: Setting, seed: int) -> Case:
    """A case from the folder; drawn and captured first where it is not there."""
    path = case_path(setting, seed)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(setting, seed, path)
    with np.load(path) as stored:
        document = json.loads(str(stored["document"]))
        depths, poses = stored["depth"] * np.float32(1e-3), stored["T_world_cam"]
    scene = rebuilt(document, setting, seed)
    camera = _camera()
    black = np.zeros((camera.height, camera.width, 3), np.uint8)
    views = tuple(
        View(f"{index:04d}", camera, T, black, depth)
        for index, (T, depth) in enumerate(zip(poses, depths, strict=True))
    )
    return Case(setting, seed, scene, views, true_region(scene), _grasp(document["oracle"]))


def case_path(setting: Setting, seed: int) -> Path:
    """Where a case is kept."""
    return folder() / f"grasps-{VERSION}-{digest()}" / setting.name / f"{seed}.npz"


def for_trial(case: Case, row: Row) -> Scene:
    """The case's table with what the row does to its objects."""
    if row.friction is None:
        return case.scene
    layout = case.scene.layout
    things = tuple(replace(thing, friction=row.friction) for thing in layout.things)
    layout = replace(layout, things=things)
    return replace(case.scene, layout=layout, model=build(layout))


def true_region(scene: Scene) -> Region:
    """The region of a perfect localisation."""
    box = part_box(scene, QUERY)
    target = scene.target(QUERY)
    thing = next(thing for thing in scene.layout.things if thing.name == target.thing)
    T = scene.T_world_thing[thing.name]
    center = transform_points(invert(T), box.center[None])[0]
    shapes = [shape for part in thing.parts if target.part in ("", part.name) for shape in part.shapes]
    points = np.array([nearest_in(shape, center) for shape in shapes])
    nearest = points[np.linalg.norm(points - center, axis=1).argmin()]
    return Region(transform_points(T, nearest[None])[0], 1.0, Support(24, 0, 0), box)


def nearest_in(shape: Shape, point: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """The point of a solid nearest to another, in the object's frame; of an ellipsoid one on the way."""
    x, y, z = (point - shape.center) @ shape.rotation
    half = shape.half_size
    if shape.kind == "box":
        local = np.clip([x, y, z], -half, half)
    elif shape.kind == "ellipsoid":
        local = np.array([x, y, z]) / max(np.linalg.norm(np.array([x, y, z]) / half), 1.0)
    elif shape.kind == "cylinder":
        inward = min(1.0, half[0] / max(np.hypot(x, y), 1e-9))
        local = np.array([inward * x, inward * y, np.clip(z, -half[2], half[2])])
    else:
        middle = np.array([0.0, 0.0, np.clip(z, half[0] - half[2], half[2] - half[0])])
        away = np.array([x, y, z]) - middle
        local = middle + away * min(1.0, half[0] / max(float(np.linalg.norm(away)), 1e-9))
    return shape.center + shape.rotation @ local


def _make(setting: Setting, seed: int, path: Path) -> None:
    """Draw a table, capture it, and write both."""
    rng = table_rng(setting, seed)
    drawn = draw(setting, seed, rng)
    shots = render_views(drawn.scene, replace(WristConfig(), sweep=setting.sweep), rng)
    described = {
        "T_world_gripper": drawn.oracle.T_world_gripper.tolist(),
        "width": drawn.oracle.width,
        "contacts": drawn.oracle.contacts.tolist(),
    }
    text = json.dumps({**drawn.document, "oracle": described})
    # The sensor gives whole millimetres.
    depths = [shot.view.depth for shot in shots if shot.view.depth is not None]
    depth = np.array([np.round(1e3 * one) for one in depths], np.uint16)
    poses = np.array([shot.view.T_world_cam for shot in shots])
    partial = path.with_name(f"{path.stem}-{os.getpid()}.part.npz")
    np.savez_compressed(partial, document=np.array(text), depth=depth, T_world_cam=poses)
    partial.replace(path)


def _camera() -> Camera:
    return pinhole(WristConfig().size, WristConfig().focal)


def _grasp(entry: dict) -> Grasp:
    return grasp_at(np.array(entry["T_world_gripper"]), entry["width"], np.array(entry["contacts"]))


def grasp_at(
    T_world_gripper: Float[np.ndarray, "4 4"],
    width: float,
    contacts: Float[np.ndarray, "2 3"] | None = None,
) -> Grasp:
    """A grasp of which nothing but its pose and width matters here; contacts half the width either way."""
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
