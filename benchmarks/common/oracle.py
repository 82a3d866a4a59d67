"""Grasps from the true shapes: an upper bound for planners, and a check of the physics."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import frame_from_normal, invert, transform_points
from point2act.core.mujoco_import import MjData, mujoco
from point2act.core.types import Grasp
from point2act.grasping.grippers import Gripper
from point2act.physics.gripper_model import FreeFlyingRig, GripperModel, add_gripper, gripper_contacts
from point2act.physics.layout import Shape
from point2act.physics.scene import Scene, part_box, parts_of_geoms

_MIN_DOWN = 0.3
_CLEARANCE = 0.004
"""Clearance of the open gripper on its approach, metres."""
_OPEN = 0.024
"""Opening beyond the thickness of the shape, where the fully open gripper does not fit, metres."""
_DEPTH = (-0.006, 0.006)
"""Offsets of the pads' centres from the shape's middle along the approach, metres."""
_WAY = (0.0, 0.02, 0.04, 0.06, 0.08, 0.10)
_FACING = 0.92
"""Minimum mean cosine between the closing axis and the normals of a finger's contacts."""


def oracle_grasps(
    scene: Scene, query: str, gripper: Gripper, rng: np.random.Generator, *, count: int = 1, tries: int = 1500
) -> tuple[Grasp, ...]:
    """Return up to ``count`` collision-free grasps of the queried part, best first.

    Poses across the part's shapes are sampled from above and from the side; those remain whose open gripper
    is free along 10 cm and whose closed fingers contact the part perpendicularly on both sides. Grasps near
    the object's centre of mass, near the part's middle and from above are preferred.
    """
    mounted = add_gripper(scene, gripper, force=1.0)
    mounted.model.geom_margin[mounted.geoms] = _CLEARANCE
    data = scene.start(mounted.model)
    part_of_geom = parts_of_geoms(scene, mounted.model)
    wanted = np.isin(part_of_geom, scene.target_parts(query))
    middle = part_box(scene, query).center
    mass_center = data.body(scene.target(query).thing).xipos.copy()

    def cost(T: Float[np.ndarray, "4 4"]) -> float:
        to_mass, to_middle = np.linalg.norm(T[:3, 3] - mass_center), np.linalg.norm(T[:3, 3] - middle)
        return float(4 * to_mass + 8 * to_middle + 0.4 * T[2, 2])

    poses = sorted(_poses(scene, query, gripper, rng, tries), key=lambda pose: cost(pose[0]))
    found: list[Grasp] = []
    for T, thickness in poses:
        if len(found) == count:
            break
        openings = (gripper.max_width, min(thickness + _OPEN, gripper.max_width))
        opening = next((wide for wide in openings if _is_free(mounted, data, T, wide)), None)
        if opening is not None:
            contacts = _close(mounted, data, wanted, opening)
            if contacts is not None:
                width = float(abs((transform_points(invert(T), contacts) @ [0.0, 1.0, 0.0]) @ [1.0, -1.0]))
                found.append(Grasp(T, width, -cost(T), 1.0, 1.0, contacts, _CLEARANCE))
    return tuple(found)


def _poses(
    scene: Scene, query: str, gripper: Gripper, rng: np.random.Generator, tries: int
) -> list[tuple[Float[np.ndarray, "4 4"], float]]:
    """Return poses that point down enough, each with the thickness of the shape between the fingers."""
    target = scene.target(query)
    T_world_thing = scene.T_world_thing[target.thing]
    thing = next(thing for thing in scene.layout.things if thing.name == target.thing)
    shapes = [shape for part in thing.parts if target.part in ("", part.name) for shape in part.shapes]
    poses = []
    for _ in range(tries):
        shape = shapes[rng.integers(len(shapes))]
        closing, along = _axis_and_place(shape, rng)
        thickness = 2 * float(shape.reach(closing[None])[0])
        if thickness > gripper.max_width - 2 * _CLEARANCE:
            continue
        T = np.eye(4)
        T[:3, :3] = T_world_thing[:3, :3] @ _turned(closing, rng.uniform(0, 2 * np.pi))
        place = transform_points(T_world_thing, (shape.center + along)[None])[0]
        T[:3, 3] = place + rng.uniform(*_DEPTH) * T[:3, 2]
        if -T[2, 2] >= _MIN_DOWN:
            poses.append((T, thickness))
    return poses


def _axis_and_place(
    shape: Shape, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Sample a closing axis through the shape and an offset along its other axes, in the object's frame."""
    if shape.kind == "box":
        axis = rng.integers(3)
        place = rng.uniform(-0.9, 0.9, 3) * shape.half_size
        place[axis] = 0.0
        return shape.rotation[:, axis], shape.rotation @ place
    angle = rng.uniform(0, 2 * np.pi)
    place = np.array([0.0, 0.0, rng.uniform(-0.8, 0.8) * shape.half_size[2]])
    return shape.rotation @ np.array([np.cos(angle), np.sin(angle), 0.0]), shape.rotation @ place


def _turned(closing: Float[np.ndarray, " 3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """Return a rotation whose y axis is the closing axis, with the approach at an angle about it."""
    a, b, _ = frame_from_normal(closing[None])[0].T
    approach = np.cos(angle) * a + np.sin(angle) * b
    return np.stack([np.cross(closing, approach), closing, approach], axis=1)


def _is_free(
    mounted: GripperModel, data: MjData, T_world_gripper: Float[np.ndarray, "4 4"], opening: float
) -> bool:
    """Return whether the open gripper is free of contacts on its straight approach."""
    rig = FreeFlyingRig(mounted)
    rig.mount(data, T_world_gripper, opening)
    for back in _WAY:
        rig.jump(data, np.array([0.0, 0.0, -back, 0.0, 0.0, 0.0]))
        mujoco.mj_fwdPosition(mounted.model, data)
        if any(gripper_contacts(mounted, data)):
            return False
    return True


def _close(
    mounted: GripperModel, data: MjData, wanted: Bool[np.ndarray, " g"], start: float
) -> Float[np.ndarray, "2 3"] | None:
    """Close the fingers until one touches; return both contacts if they are on the part."""
    FreeFlyingRig(mounted).jump(data, np.zeros(6))
    for opening in np.arange(start, 0.0, -0.0005).tolist():
        for side in ("left", "right"):
            data.joint(f"gripper/{side}").qpos = opening / 2
        mujoco.mj_fwdPosition(mounted.model, data)
        met = list(gripper_contacts(mounted, data))
        if any(data.contact.dist[index] < 0 for index, _, _ in met):
            return _both_sides(mounted, data, met, wanted)
    return None


def _both_sides(
    mounted: GripperModel, data: MjData, met: list[tuple[int, int, int]], wanted: Bool[np.ndarray, " g"]
) -> Float[np.ndarray, "2 3"] | None:
    closing = data.body("gripper").xmat.reshape(3, 3)[:, 1]
    sides = []
    for finger in mounted.fingers:
        gripper_geom = [(index, other) for index, geom, other in met if geom in finger]
        square = [abs(data.contact.frame[index][:3] @ closing) for index, _ in gripper_geom]
        if (
            not gripper_geom
            or not all(wanted[other] for _, other in gripper_geom)
            or np.mean(square) < _FACING
        ):
            return None
        sides.append(np.mean([data.contact.pos[index] for index, _ in gripper_geom], axis=0))
    return np.array(sides)
