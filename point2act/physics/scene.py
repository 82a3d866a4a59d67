"""Settled scenes: objects placed by a seed, at rest in physics, with the true boxes of their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from point2act.core.errors import SimulationError
from point2act.core.geometry import transform, transform_points
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.core.types import OrientedBox, Query
from point2act.physics.layout import Part, QueryTarget, SceneLayout, SceneObject, read_layout, scaled
from point2act.physics.mjcf import TIMESTEP, build, geom_name, wxyz

_SETTLING_SECONDS = 1.5
_FALLING_SECONDS = 2.5
"""Further time for the contents of vessels. Twenty beads in a jug came to rest after 2.5 s in all."""
_GAP = 0.01
"""Minimum distance between placed objects, metres."""
_ATTEMPTS = 200
_FLOOR = 0.01
"""Height over its foot at which the contents of a vessel start, metres: above its floor. Chosen."""
_SPACING = 1.1
"""Distance of contents at the start, in their sizes. Chosen."""
_CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
_AT_REST = 0.005
"""Speed below which an object counts as at rest, metres or radians per second."""

BASE_BEHIND_TABLE = 0.5
"""Distance of the robot's base behind the table's centre (along -x), on the table's top, metres."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Objects at rest on the table beside its fixtures, in MuJoCo's world frame: z up, metres."""

    layout: SceneLayout
    seed: int
    model: MjModel
    T_world_thing: Mapping[str, Float[np.ndarray, "4 4"]]
    """Pose of each object at rest."""

    @property
    def name(self) -> str:
        """Name of the scene file."""
        return self.layout.name

    @property
    def queries(self) -> tuple[Query, ...]:
        """Queries of this scene."""
        return tuple(target.query for target in self.layout.targets)

    @property
    def T_base_world(self) -> Float[np.ndarray, "4 4"]:
        """Transform from the world to the robot's base, which faces +x."""
        return transform(np.eye(3), (BASE_BEHIND_TABLE, 0.0, -self.layout.table.height))

    @cached_property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """All parts as (object or fixture, part); their indices are the ids of a segmentation."""
        return tuple((thing.name, part.name) for thing in self.layout.bodies for part in thing.parts)

    @cached_property
    def part_of_geom(self) -> Int[np.ndarray, " g"]:
        """Part id of each geom of the model, -1 for the table and the floor."""
        return parts_of_geoms(self, self.model)

    def pose(self, name: str) -> Float[np.ndarray, "4 4"]:
        """Return T_world_thing of an object at rest, or of a fixture with its joint at 0."""
        if name in self.T_world_thing:
            return self.T_world_thing[name]
        fixture = next(fixture for fixture in self.layout.fixtures if fixture.name == name)
        turn = Rotation.from_euler("z", fixture.yaw, degrees=True).as_matrix()
        return transform(turn, np.add(fixture.position, (0.0, 0.0, self.layout.table.height)))

    def target(self, query: str) -> QueryTarget:
        """Return the ground truth of a query; raise SimulationError for an unknown name."""
        for target in self.layout.targets:
            if target.query.name == query:
                return target
        known = ", ".join(query.name for query in self.queries)
        raise SimulationError(f"scene '{self.name}' has no query '{query}': its queries are {known}")

    def target_parts(self, query: str) -> tuple[int, ...]:
        """Return the part ids of a query: one part, or all of an object."""
        target = self.target(query)
        return tuple(
            index
            for index, (thing, part) in enumerate(self.parts)
            if thing == target.thing and target.part in ("", part)
        )

    def start(self, model: MjModel) -> MjData:
        """Return a new state of ``model`` (this scene's, or with a gripper added), objects at rest."""
        data = mujoco.MjData(model)
        for name, T in self.T_world_thing.items():
            data.joint(name).qpos[:] = [*T[:3, 3], *wxyz(T)]
        mujoco.mj_forward(model, data)
        return data


def load_scene(name_or_path: str | Path, seed: int = 0) -> Scene:
    """Read a scene, place its objects by the seed, and let them settle.

    Args:
        name_or_path: Shipped name, or path of a ``.toml`` file.
        seed: Seed of positions, rotations and sizes.

    Raises:
        SimulationError: if the file is invalid, no arrangement without contacts is found, or an object falls.
    """
    return settled(read_layout(name_or_path), seed)


def settled(layout: SceneLayout, seed: int) -> Scene:
    """Place the objects of a layout by the seed, and let them settle.

    Raises:
        SimulationError: if no arrangement without contacts is found, or an object falls.
    """
    rng = np.random.default_rng(seed)
    layout = replace(layout, things=tuple(_resized(thing, layout, rng) for thing in layout.things))
    model = build(layout)
    data = _place(model, layout, rng)
    _settle(model, data, layout)
    return Scene(layout, seed, model, {thing.name: body_pose(data, thing.name) for thing in layout.things})


def at_rest(layout: SceneLayout, seed: int, T_world_thing: Mapping[str, Float[np.ndarray, "4 4"]]) -> Scene:
    """Rebuild the scene of a layout and seed with its objects at recorded poses."""
    rng = np.random.default_rng(seed)
    layout = replace(layout, things=tuple(_resized(thing, layout, rng) for thing in layout.things))
    return Scene(layout, seed, build(layout), dict(T_world_thing))


def part_box(scene: Scene, query: str) -> OrientedBox:
    """Return the true box of a query's part in the world frame, along the axes of its object."""
    target = scene.target(query)
    thing = next(thing for thing in scene.layout.bodies if thing.name == target.thing)
    parts = [part for part in thing.parts if target.part in ("", part.name)]
    low, high = extent(parts)
    T = scene.pose(thing.name)
    center = transform_points(T, (low + high)[None] / 2)[0]
    return OrientedBox(center, T[:3, :3].T.copy(), (high - low) / 2)


def parts_of_geoms(scene: Scene, model: MjModel) -> Int[np.ndarray, " g"]:
    """Return the part ids of a model's geoms: this scene's model, possibly with a gripper added."""
    ids = np.full(model.ngeom, -1)
    for thing in scene.layout.bodies:
        for part in thing.parts:
            for index in range(len(part.shapes)):
                geom = model.geom(geom_name(thing.name, part.name, index)).id
                ids[geom] = scene.parts.index((thing.name, part.name))
    return ids


def thing_of_geom(scene: Scene, part_of_geom: Int[np.ndarray, " g"], geom: int) -> str:
    """Return the object that a geom belongs to, see ``parts_of_geoms``; empty for none."""
    part = part_of_geom[geom]
    return scene.parts[part][0] if part >= 0 else ""


def advance(scene: Scene, model: MjModel, data: MjData) -> None:
    """Advance the physics by a step. Raises ``SimulationError`` if it diverges."""
    mujoco.mj_step(model, data)
    if not np.isfinite(data.qpos).all():
        raise SimulationError(f"the physics of scene '{scene.name}' blew up; lighten its objects")


def extent(parts: Sequence[Part]) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Return the lowest and the highest corner of the box around parts, in the frame of their object."""
    shapes = [shape for part in parts for shape in part.shapes]
    centers = np.array([shape.center for shape in shapes])
    reach = np.array([shape.reach(np.eye(3)) for shape in shapes])
    return (centers - reach).min(axis=0), (centers + reach).max(axis=0)


def _resized(thing: SceneObject, layout: SceneLayout, rng: np.random.Generator) -> SceneObject:
    return scaled(thing, 1 + layout.jitter.scale * rng.uniform(-1, 1))


def _place(model: MjModel, layout: SceneLayout, rng: np.random.Generator) -> MjData:
    """Draw positions with jitter until no two objects are close to each other."""
    data = mujoco.MjData(model)
    written = data.qpos.copy()
    jitter = layout.jitter
    margins = model.geom_margin.copy()
    inside = [model.body(thing.name).id for thing in layout.things if thing.inside]
    on_objects = (model.geom_bodyid > 0) & ~np.isin(model.geom_bodyid, inside)
    try:
        model.geom_margin[on_objects] = _GAP
        for _ in range(_ATTEMPTS):
            data.qpos[:] = written
            for thing in layout.things:
                pose = data.joint(thing.name).qpos
                pose[:2] += jitter.position * rng.uniform(-1, 1, 2)
                turn = Rotation.from_euler("z", thing.yaw + jitter.yaw * rng.uniform(-1, 1), degrees=True)
                pose[3:] = turn.as_quat()[[3, 0, 1, 2]]
            _fill(data, layout)
            mujoco.mj_fwdPosition(model, data)
            if not np.any(np.all(on_objects[data.contact.geom], axis=1)):
                return data
    finally:
        model.geom_margin[:] = margins
    raise SimulationError(
        f"scene '{layout.name}': its objects touch in all of {_ATTEMPTS} drawn arrangements; "
        "move their positions apart or lower its jitter"
    )


def _fill(data: MjData, layout: SceneLayout) -> None:
    """Stack the contents of vessels in layers of four over their floors, from where they fall into place."""
    for vessel in {thing.inside: None for thing in layout.things if thing.inside}:
        origin = data.joint(vessel).qpos[:3]
        for index, thing in enumerate(thing for thing in layout.things if thing.inside == vessel):
            low, high = extent(thing.parts)
            layer, corner = divmod(index, 4)
            place = np.array([*(_CORNERS[corner] / 2), layer + 0.5]) * _SPACING * (high - low).max()
            data.joint(thing.name).qpos[:3] = origin + place + [*thing.position, _FLOOR]


def _settle(model: MjModel, data: MjData, layout: SceneLayout) -> None:
    falling = any(thing.inside for thing in layout.things)
    for _ in range(round((_SETTLING_SECONDS + falling * _FALLING_SECONDS) / TIMESTEP)):
        mujoco.mj_step(model, data)
    for thing in layout.things:
        beyond = np.any(np.abs(data.body(thing.name).xipos[:2]) > np.array(layout.table.size) / 2)
        # A ball that lies among others may still spin.
        speed = data.joint(thing.name).qvel[: 3 if thing.inside else 6]
        if beyond or np.abs(speed).max() > _AT_REST:
            raise SimulationError(
                f"scene '{layout.name}': '{thing.name}' does not stand still on the table; "
                "give it a flat foot, or move it from the edge"
            )


def body_pose(data: MjData, name: str) -> Float[np.ndarray, "4 4"]:
    """Return T_world_body of a body; its kinematics must be up to date."""
    return transform(data.body(name).xmat.reshape(3, 3), data.body(name).xpos)
