"""Scene files: objects and fixtures on a table, in parts made of convex shapes, and the queries about them.

The file's lengths are full sizes in metres, its angles degrees. A part is any number of boxes,
cylinders, capsules, ellipsoids and rings; a ring is cut into boxes, so that its hole stays open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core import config_files
from point2act.core.errors import SimulationError
from point2act.core.types import Query, Role

ShapeKind = Literal["box", "cylinder", "capsule", "ellipsoid", "sphere"]
JointKind = Literal["slide", "hinge"]


@dataclass(frozen=True, eq=False)
class Shape:
    """A convex solid in the frame of its object; cylinders and capsules lie along their z axis."""

    kind: ShapeKind
    half_size: Float[np.ndarray, " 3"]
    """Half the size of the bounding box in the shape's frame."""
    center: Float[np.ndarray, " 3"]
    rotation: Float[np.ndarray, "3 3"]
    """Shape axes in the object's frame, as columns."""

    @property
    def volume(self) -> float:
        """Volume, cubic metres."""
        x, y, z = self.half_size
        straight = {
            "box": 8 * x * y * z,
            "cylinder": 2 * np.pi * x * y * z,
            "ellipsoid": 4 / 3 * np.pi * x * y * z,
            "sphere": 4 / 3 * np.pi * x * y * z,
            "capsule": np.pi * x * x * (2 * (z - x) + 4 / 3 * x),
        }
        return float(straight[self.kind])

    def reach(self, directions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Return how far the shape extends from its centre along unit directions of the object's frame."""
        along = np.abs(directions @ self.rotation)
        x, y, z = self.half_size
        if self.kind == "box":
            return along @ self.half_size
        if self.kind in ("ellipsoid", "sphere"):
            return np.linalg.norm(along * self.half_size, axis=1)
        if self.kind == "capsule":
            return x + (z - x) * along[:, 2]
        return np.hypot(x * along[:, 0], y * along[:, 1]) + z * along[:, 2]


@dataclass(frozen=True, eq=False)
class Part:
    """A named piece of an object."""

    name: str
    color: tuple[float, float, float]
    texture: str
    shine: float
    """Specular strength, 0 to 1."""
    density: float
    """Density relative to the other parts of the object."""
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, eq=False)
class SceneObject:
    """An object on the table; its frame has z up and touches the table wherever its shapes end."""

    name: str
    mass: float
    """Kilograms."""
    friction: float
    position: tuple[float, float]
    """Position on the table from its centre, metres."""
    yaw: float
    """Rotation about the vertical axis, degrees."""
    parts: tuple[Part, ...]
    inside: str = ""
    """Object that it starts in, from whose origin ``position`` is then measured; empty for none."""


@dataclass(frozen=True, eq=False)
class Joint:
    """The one joint of a fixture, through the origin of its frame; it starts at 0, where its spring rests."""

    kind: JointKind
    axis: tuple[float, float, float]
    """Direction of the slide, or of the hinge's axis, in the fixture's frame."""
    range: tuple[float, float]
    """Limits, metres or degrees."""
    damping: float = 0.0
    """Newtons per metre a second, or newton metres per radian a second."""
    friction: float = 0.0
    """Friction loss, newtons or newton metres."""
    stiffness: float = 0.0
    """Of the spring, newtons per metre or newton metres per radian."""


@dataclass(frozen=True, eq=False)
class Fixture:
    """What is fixed to the table, or moves on one joint; fixtures pass through one another."""

    name: str
    friction: float
    position: tuple[float, float, float]
    """Origin of its frame from the centre of the table's top, metres."""
    yaw: float
    """Rotation about the vertical axis, degrees."""
    parts: tuple[Part, ...]
    mass: float = 1.0
    """Kilograms; matters only with a joint."""
    joint: Joint | None = None


@dataclass(frozen=True, eq=False)
class QueryTarget:
    """Ground truth of a query: a part of an object or fixture, or the whole of it if ``part`` is empty."""

    query: Query
    thing: str
    part: str


@dataclass(frozen=True, eq=False)
class Table:
    """The table; its top's centre is at ``(0, 0, height)`` of the world."""

    size: tuple[float, float] = (0.9, 0.8)
    height: float = 0.4
    color: tuple[float, float, float] = (0.72, 0.58, 0.44)
    texture: str = "wood"


@dataclass(frozen=True, eq=False)
class Wall:
    """A fixed box, such as a board of a shelf; its place is relative to the centre of the table's top."""

    size: tuple[float, float, float]
    center: tuple[float, float, float]
    color: tuple[float, float, float] = (0.85, 0.82, 0.76)


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Directions from which a scene can be seen, where they are fewer than around a table."""

    sweep: float | None = None
    """Arc around the table's centre, degrees, centred on the robot's side; None for the camera's own."""
    elevation: tuple[float, float] | None = None
    """Minimum and maximum elevation above the table, degrees; None for the camera's own."""


@dataclass(frozen=True, eq=False)
class Jitter:
    """Random displacement of the objects from their positions in the file."""

    position: float = 0.0
    """Maximum displacement along x and y, metres, uniform."""
    yaw: float = 0.0
    """Maximum rotation, degrees, uniform."""
    scale: float = 0.0
    """Maximum change of size, as a fraction, uniform."""


@dataclass(frozen=True, eq=False)
class SceneLayout:
    """A parsed scene file."""

    name: str
    source: str
    """The file's text."""
    table: Table
    jitter: Jitter
    things: tuple[SceneObject, ...]
    targets: tuple[QueryTarget, ...]
    walls: tuple[Wall, ...] = ()
    camera: CameraPath = CameraPath()
    fixtures: tuple[Fixture, ...] = ()

    @property
    def bodies(self) -> tuple[SceneObject | Fixture, ...]:
        """The objects, then the fixtures."""
        return (*self.things, *self.fixtures)


def read_layout(name: str | Path) -> SceneLayout:
    """Read a scene by its shipped name or from a path ending in ``.toml``.

    Raises:
        SimulationError: with what is wrong in the file.
    """
    return parse_layout(*config_files.load("scenes", name, SimulationError))


def parse_layout(path: Path, table: Mapping[str, Any]) -> SceneLayout:
    """Return the scene in a TOML table; other top-level keys than those of a scene are ignored.

    Args:
        path: The file that the table was read from.
        table: The parsed file.

    Raises:
        SimulationError: with what is wrong in the file.
    """
    try:
        things: dict[str, SceneObject] = {}
        for key, entry in table["objects"].items():
            thing = parse_object(key, entry, things)
            things |= {one.name: one for one in _counted(thing, entry)}
        fixtures = tuple(_fixture(key, entry) for key, entry in table.get("fixtures", {}).items())
        bodies = things | {fixture.name: fixture for fixture in fixtures}
        layout = SceneLayout(
            name=path.stem,
            source=path.read_text(encoding="utf-8"),
            table=Table(**_floats(table.get("table", {}))),
            jitter=Jitter(**_floats(table.get("jitter", {}))),
            things=tuple(things.values()),
            targets=tuple(_target(entry, bodies) for entry in table["query"]),
            walls=tuple(Wall(**_floats(entry)) for entry in table.get("wall", ())),
            camera=CameraPath(**_floats(table.get("camera", {}))),
            fixtures=fixtures,
        )
    except KeyError as err:
        raise SimulationError(f"{path}: the key {err} is missing; compare with a shipped scene") from err
    except (TypeError, ValueError) as err:
        raise SimulationError(f"{path}: {err}; compare with a shipped scene") from err
    return layout


def scaled(thing: SceneObject, scale: float) -> SceneObject:
    """Return the object scaled in size, with the same mass."""

    def shape(old: Shape) -> Shape:
        return replace(old, half_size=old.half_size * scale, center=old.center * scale)

    parts = tuple(replace(part, shapes=tuple(map(shape, part.shapes))) for part in thing.parts)
    return replace(thing, parts=parts)


def _floats(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Convert TOML numbers and lists to floats and tuples of floats."""

    def value(old: Any) -> Any:
        if isinstance(old, list):
            return tuple(map(float, old))
        return old if isinstance(old, str) else float(old)

    return {key: value(old) for key, old in entry.items()}


def _known(entry: Mapping[str, Any], keys: str, what: str) -> None:
    """Reject unknown keys, so that a misspelt key is an error and not a default."""
    unknown = sorted(set(entry) - set(keys.split()))
    if unknown:
        raise ValueError(f"{what} has no '{unknown[0]}', only {', '.join(keys.split())}")


def _target(entry: Mapping[str, Any], things: Mapping[str, SceneObject | Fixture]) -> QueryTarget:
    _known(entry, "name text role object part", "a query")
    thing, part, role = entry["object"], entry.get("part", ""), entry.get("role", "grasp")
    if role not in get_args(Role):
        raise ValueError(
            f"query '{entry['name']}' has the role '{role}': use one of {', '.join(get_args(Role))}"
        )
    if thing not in things:
        raise ValueError(
            f"query '{entry['name']}' asks for '{thing}', but the objects are {', '.join(things)}"
        )
    names = [p.name for p in things[thing].parts]
    if part and part not in names:
        raise ValueError(
            f"query '{entry['name']}' asks for part '{part}', but '{thing}' has {', '.join(names)}"
        )
    return QueryTarget(Query(entry["name"], entry["text"], role), thing, part)


def parse_object(name: str, entry: Mapping[str, Any], earlier: Mapping[str, SceneObject] = {}) -> SceneObject:
    """Return the object in a table of a scene file.

    Args:
        name: Its name.
        entry: The table ``objects.NAME``.
        earlier: Objects that it can be like, or inside.

    Raises:
        KeyError, TypeError, ValueError: The table is not that of an object.
    """
    own = "like position yaw colors" if "like" in entry else "position yaw mass friction parts inside count"
    _known(entry, own, f"object '{name}'")
    place = {
        "name": name,
        "position": (float(entry["position"][0]), float(entry["position"][1])),
        "yaw": float(entry.get("yaw", 0.0)),
    }
    if entry.get("inside", name) not in (name, *earlier):
        raise ValueError(f"object '{name}' is inside '{entry['inside']}', which no object above it is called")
    if "like" not in entry:
        parts = tuple(_part(key, value) for key, value in entry["parts"].items())
        mass, friction = float(entry["mass"]), float(entry["friction"])
        return SceneObject(mass=mass, friction=friction, parts=parts, inside=entry.get("inside", ""), **place)
    if entry["like"] not in earlier:
        raise ValueError(f"object '{name}' is like '{entry['like']}', which no object above it is called")
    model = earlier[entry["like"]]
    colors = _floats(entry.get("colors", {}))
    parts = tuple(replace(part, color=colors.get(part.name, part.color)) for part in model.parts)
    return replace(model, parts=parts, **place)


def _counted(thing: SceneObject, entry: Mapping[str, Any]) -> list[SceneObject]:
    """Return the object, or as copies of it called ``name/0``, ``name/1``... if the entry has a count."""
    if "count" not in entry:
        return [thing]
    return [replace(thing, name=f"{thing.name}/{index}") for index in range(int(entry["count"]))]


def _fixture(name: str, entry: Mapping[str, Any]) -> Fixture:
    _known(entry, "position yaw mass friction parts joint", f"fixture '{name}'")
    x, y, z = map(float, entry["position"])
    parts = tuple(_part(key, value) for key, value in entry["parts"].items())
    joint = Joint(**_floats(entry["joint"])) if "joint" in entry else None
    if joint and joint.kind not in get_args(JointKind):
        raise ValueError(f"the joint of '{name}' cannot be a '{joint.kind}': use slide or hinge")
    return Fixture(
        name=name,
        friction=float(entry.get("friction", 0.7)),
        position=(x, y, z),
        yaw=float(entry.get("yaw", 0.0)),
        parts=parts,
        mass=float(entry.get("mass", 1.0)),
        joint=joint,
    )


def _part(name: str, entry: Mapping[str, Any]) -> Part:
    _known(entry, "color texture shine density shapes", f"part '{name}'")
    shapes = [shape for piece in entry["shapes"] for shape in _shapes(piece)]
    return Part(
        name=name,
        color=(float(entry["color"][0]), float(entry["color"][1]), float(entry["color"][2])),
        texture=entry.get("texture", "plain"),
        shine=float(entry.get("shine", 0.3)),
        density=float(entry.get("density", 1.0)),
        shapes=tuple(shapes),
    )


def _shapes(entry: Mapping[str, Any]) -> list[Shape]:
    keys = "type center angles size radius length thickness height pieces arc"
    _known(entry, keys, "a shape")
    kind = entry["type"]
    center = np.array(entry.get("center", (0.0, 0.0, 0.0)), dtype=float)
    rotation = Rotation.from_euler("xyz", entry.get("angles", (0.0, 0.0, 0.0)), degrees=True).as_matrix()
    if kind == "ring":
        return _ring(entry, center, rotation)
    if kind in ("box", "ellipsoid"):
        half = np.array(entry["size"], dtype=float) / 2
    elif kind in ("cylinder", "capsule"):
        half = np.array([entry["radius"], entry["radius"], entry["length"] / 2], dtype=float)
    else:
        raise ValueError(f"a shape cannot be a '{kind}': use box, cylinder, capsule, ellipsoid or ring")
    return [Shape(kind, half, center, rotation)]


def _ring(entry: Mapping[str, Any], center: np.ndarray, rotation: np.ndarray) -> list[Shape]:
    """Return a ring about z, or an arc of it, made of boxes that touch at their outer edges."""
    start, stop = np.deg2rad(entry.get("arc", (0.0, 360.0)))
    pieces, radius, thickness = int(entry["pieces"]), float(entry["radius"]), float(entry["thickness"])
    step = (stop - start) / pieces
    half = np.array([thickness / 2, (radius + thickness / 2) * np.tan(step / 2), entry["height"] / 2])
    shapes = []
    for angle in start + step * (np.arange(pieces) + 0.5):
        turn = rotation @ Rotation.from_euler("z", angle).as_matrix()
        shapes.append(Shape("box", half, center + radius * turn[:, 0], turn))
    return shapes
