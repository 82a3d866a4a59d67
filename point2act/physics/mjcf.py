"""Scene layouts as MuJoCo models: every shape is a primitive, so that collision and visual geometry agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.errors import SimulationError
from point2act.core.mujoco_import import MjModel, mujoco
from point2act.physics.layout import Fixture, Part, SceneLayout, SceneObject, Shape, Table, Wall
from point2act.physics.textures import TEXTURES, texture_png

TIMESTEP = 0.002
CAMERA = "eye"
"""The one movable camera, on a mocap body of the same name."""


def build(layout: SceneLayout, extra: Sequence[ET.Element] = ()) -> MjModel:
    """Compile a layout with further top-level XML elements, such as a gripper.

    Raises:
        SimulationError: if MuJoCo rejects the model.
    """
    return _built(layout, lambda: mujoco.MjModel.from_xml_string(*_document(layout, extra)))


def build_with(layout: SceneLayout, add: Callable[[Any], None]) -> MjModel:
    """Compile a layout after ``add`` has attached something, such as an arm, to its MuJoCo spec.

    Raises:
        SimulationError: if MuJoCo rejects the model.
    """
    xml, images = _document(layout, ())
    spec = mujoco.MjSpec.from_string(xml, assets=images)
    add(spec)
    return _built(layout, spec.compile)


def _document(layout: SceneLayout, extra: Sequence[ET.Element]) -> tuple[str, dict[str, bytes]]:
    """Return the XML and the texture images that it names."""
    root = ET.Element("mujoco", model=layout.name)
    _options(root)
    _assets(root, layout)
    world = ET.SubElement(root, "worldbody")
    _surroundings(world, layout.table)
    for index, wall in enumerate(layout.walls):
        _wall(world, wall, index, layout.table)
    for thing in layout.things:
        _thing(world, thing, layout.table)
    for fixture in layout.fixtures:
        _fixture(world, fixture, layout.table)
    root.extend(extra)
    images = {f"{name}.png": texture_png(name, seed) for seed, name in enumerate(TEXTURES)}
    return ET.tostring(root, encoding="unicode"), images


def _built(layout: SceneLayout, make: Callable[[], MjModel]) -> MjModel:
    try:
        return make()
    except ValueError as err:
        raise SimulationError(f"scene '{layout.name}' is not a scene that MuJoCo can build: {err}") from err


def numbers(values: Sequence[float] | np.ndarray | float) -> str:
    """Format numbers as an XML attribute."""
    return " ".join(f"{value:.9g}" for value in np.atleast_1d(values))


def wxyz(rotation: Float[np.ndarray, "_ _"]) -> Float[np.ndarray, " 4"]:
    """Return the quaternion of a rotation or of a rigid transform."""
    return Rotation.from_matrix(rotation[:3, :3]).as_quat()[[3, 0, 1, 2]]


def geom_name(thing: str, part: str, index: int) -> str:
    """Return the name of a shape in the model."""
    return f"{thing}/{part}/{index}"


def resting_height(thing: SceneObject | Fixture, turn: Float[np.ndarray, "3 3"] = np.eye(3)) -> float:
    """Return the height of the rotated object's frame above the table on which it rests."""
    down = -turn[2]
    return float(
        max(shape.reach(down[None])[0] + shape.center @ down for part in thing.parts for shape in part.shapes)
    )


def _options(root: ET.Element) -> None:
    # Elliptic cones and a high impratio keep a held object from creeping out of the fingers.
    ET.SubElement(
        root, "option", timestep=numbers(TIMESTEP), cone="elliptic", impratio="100", integrator="implicitfast"
    )
    ET.SubElement(root, "compiler", angle="radian", inertiafromgeom="auto")
    ET.SubElement(root, "size", memory="64M")
    ET.SubElement(root, "statistic", center="0 0 0.4", extent="1")
    visual = ET.SubElement(root, "visual")
    ET.SubElement(visual, "global", offwidth="1280", offheight="960")
    ET.SubElement(visual, "quality", shadowsize="2048", offsamples="4")
    ET.SubElement(visual, "headlight", ambient="0.36 0.36 0.38", diffuse="0.22 0.22 0.22", specular="0 0 0")
    ET.SubElement(visual, "map", znear="0.02", zfar="6", shadowclip="0.8", fogstart="10", fogend="20")


def _assets(root: ET.Element, layout: SceneLayout) -> None:
    asset = ET.SubElement(root, "asset")
    ET.SubElement(
        asset, "texture", type="skybox", builtin="gradient", rgb1="0.93 0.94 0.96", rgb2="0.62 0.66 0.72",
        width="64", height="384",
    )  # fmt: skip
    for name in TEXTURES:
        ET.SubElement(asset, "texture", name=f"{name}-flat", type="2d", file=f"{name}.png")
        ET.SubElement(asset, "texture", name=name, type="cube", file=f"{name}.png")
    _material(asset, "floor", "speckled-flat", (0.50, 0.52, 0.55), 0.0, repeat=6.0)
    _material(asset, "table", f"{layout.table.texture}-flat", layout.table.color, 0.15, repeat=2.0)
    for index, wall in enumerate(layout.walls):
        _material(asset, f"wall/{index}", "wood", wall.color, 0.1, repeat=1.0)
    for thing in layout.bodies:
        for part in thing.parts:
            _material(asset, f"{thing.name}/{part.name}", part.texture, part.color, part.shine, repeat=1.0)


def _material(
    asset: ET.Element, name: str, texture: str, color: Sequence[float], shine: float, *, repeat: float
) -> None:
    ET.SubElement(
        asset, "material", name=name, texture=texture, rgba=numbers([*color, 1.0]), specular=numbers(shine),
        shininess="0.6", texrepeat=numbers([repeat, repeat]),
    )  # fmt: skip


def _surroundings(world: ET.Element, table: Table) -> None:
    for position, direction, strength, shadow in (
        ("-0.5 -0.6 1.9", "0.35 0.42 -1.0", "0.52 0.50 0.46", "true"),
        ("0.7 0.5 1.7", "-0.5 -0.35 -1.0", "0.20 0.21 0.24", "false"),
    ):
        ET.SubElement(
            world, "light", pos=position, dir=direction, diffuse=strength, specular="0.3 0.3 0.3",
            directional="true", castshadow=shadow,
        )  # fmt: skip
    eye = ET.SubElement(world, "body", name=CAMERA, mocap="true")
    ET.SubElement(eye, "camera", name=CAMERA, pos="0 0 0", quat="1 0 0 0")
    ET.SubElement(world, "geom", name="floor", type="plane", size="2 2 0.1", material="floor")
    half = [table.size[0] / 2, table.size[1] / 2, 0.015]
    ET.SubElement(
        world, "geom", name="table", type="box", size=numbers(half), material="table",
        pos=numbers([0.0, 0.0, table.height - half[2]]), contype="0", conaffinity="0",
    )  # fmt: skip
    # A visual box, but a collision plane: bottles and cans rest more stably on a plane.
    ET.SubElement(
        world, "geom", name="table/top", type="plane", size=numbers([half[0], half[1], 0.1]), group="3",
        pos=numbers([0.0, 0.0, table.height]),
    )  # fmt: skip


def _wall(world: ET.Element, wall: Wall, index: int, table: Table) -> None:
    ET.SubElement(
        world, "geom", name=f"wall/{index}", type="box", size=numbers(np.array(wall.size) / 2),
        material=f"wall/{index}", pos=numbers(np.add(wall.center, (0.0, 0.0, table.height))),
    )  # fmt: skip


def _thing(world: ET.Element, thing: SceneObject, table: Table) -> None:
    yaw = np.deg2rad(thing.yaw) / 2
    body = ET.SubElement(
        world, "body", name=thing.name, quat=numbers([np.cos(yaw), 0.0, 0.0, np.sin(yaw)]),
        pos=numbers([*thing.position, table.height + resting_height(thing)]),
    )  # fmt: skip
    ET.SubElement(body, "freejoint", name=thing.name)
    _geoms(body, thing, {})


def _fixture(world: ET.Element, fixture: Fixture, table: Table) -> None:
    yaw, joint = np.deg2rad(fixture.yaw) / 2, fixture.joint
    # The weight of what moves is carried by its bearing, so that a spring or friction need not hold it up.
    body = ET.SubElement(
        world, "body", name=fixture.name, quat=numbers([np.cos(yaw), 0.0, 0.0, np.sin(yaw)]),
        pos=numbers(np.add(fixture.position, (0.0, 0.0, table.height))), gravcomp="1",
    )  # fmt: skip
    if joint:
        limits = np.array(joint.range) if joint.kind == "slide" else np.deg2rad(joint.range)
        ET.SubElement(
            body, "joint", name=fixture.name, type=joint.kind, axis=numbers(joint.axis),
            range=numbers(limits), damping=numbers(joint.damping), frictionloss=numbers(joint.friction),
            stiffness=numbers(joint.stiffness),
        )  # fmt: skip
    # A drawer runs in its cabinet without a gap: fixtures collide with all but one another. A gripper's
    # contype is 0 and its conaffinity 1.
    _geoms(body, fixture, {"contype": "1", "conaffinity": "2"})


def _geoms(body: ET.Element, thing: SceneObject | Fixture, collides: dict[str, str]) -> None:
    weighed = sum(part.density * shape.volume for part in thing.parts for shape in part.shapes)
    for part in thing.parts:
        for index, shape in enumerate(part.shapes):
            mass = thing.mass * part.density * shape.volume / weighed
            geom = _geom(body, thing, part, shape, name=geom_name(thing.name, part.name, index), mass=mass)
            geom.attrib.update(collides)


def _geom(
    body: ET.Element, thing: SceneObject | Fixture, part: Part, shape: Shape, *, name: str, mass: float
) -> ET.Element:
    x, y, z = shape.half_size
    sizes = {"cylinder": (x, z), "capsule": (x, z - x)}
    # Of two friction values MuJoCo takes the larger unless one geom has priority: the object decides.
    # Torsion 5 mm is the radius of the patch that a finger or a foot rests on; rolling 0.1 mm.
    # The contacts are stiffer than MuJoCo's own, or 40 N would press the fingers 3 mm into the object.
    return ET.SubElement(
        body, "geom", name=name, type=shape.kind, size=numbers(sizes.get(shape.kind, (x, y, z))),
        pos=numbers(shape.center), quat=numbers(wxyz(shape.rotation)), mass=numbers(mass),
        material=f"{thing.name}/{part.name}", priority="1", condim="6",
        friction=numbers([thing.friction, 0.005, 0.0001]), solref="0.005 1", solimp="0.95 0.99 0.001",
    )  # fmt: skip
