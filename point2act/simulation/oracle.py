"""Grasps from the true shapes: the ceiling for a planner that only sees, and a check of the physics."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import frame_from_normal, invert, transform_points
from point2act.core.mujoco_import import MjData, mujoco
from point2act.core.types import Grasp
from point2act.grasping.grippers import Gripper
from point2act.simulation.hand import Hand, add_hand, jump, mount, touches
from point2act.simulation.layout import Shape
from point2act.simulation.scene import Scene, part_box, parts_of_geoms

_MIN_DOWN = 0.3
_CLEARANCE = 0.004
"""Metres that the open hand keeps from everything on its way."""
_OPEN = 0.024
"""A hand that does not fit when fully open is tried this much wider than the shape between its fingers."""
_DEPTH = (-0.006, 0.006)
"""How far the pads' centres are from the shape's middle along the approach, metres."""
_WAY = (0.0, 0.02, 0.04, 0.06, 0.08, 0.10)
_FACING = 0.92
"""Least cosine between the closing axis and the normals of a finger's contacts, on average."""


def oracle_grasps(
    scene: Scene, query: str, gripper: Gripper, rng: np.random.Generator, *, count: int = 1, tries: int = 1500
) -> tuple[Grasp, ...]:
    """Up to ``count`` grasps of the part asked for that collide with nothing, the best first.

    Draws poses across the part's shapes, approached from above or the side; keeps those whose open hand
    is free along 10 cm and whose closed fingers meet the part squarely on both sides; prefers a grasp
    near the object's centre of mass, near the part's middle and from above.
    """
    hand = add_hand(scene, gripper, force=1.0)
    hand.model.geom_margin[hand.geoms] = _CLEARANCE
    data = scene.start(hand.model)
    part_of_geom = parts_of_geoms(scene, hand.model)
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
        opening = next((wide for wide in openings if _is_free(hand, data, T, wide)), None)
        if opening is not None:
            contacts = _close(hand, data, wanted, opening)
            if contacts is not None:
                width = float(abs((transform_points(invert(T), contacts) @ [0.0, 1.0, 0.0]) @ [1.0, -1.0]))
                found.append(Grasp(T, width, -cost(T), 1.0, 1.0, contacts, _CLEARANCE))
    return tuple(found)


def _poses(
    scene: Scene, query: str, gripper: Gripper, rng: np.random.Generator, tries: int
) -> list[tuple[Float[np.ndarray, "4 4"], float]]:
    """Poses that look down enough, each with the thickness of the shape between the fingers."""
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
    """A closing axis through the shape, and a place on its other axes, both in the object's frame."""
    if shape.kind == "box":
        axis = rng.integers(3)
        place = rng.uniform(-0.9, 0.9, 3) * shape.half_size
        place[axis] = 0.0
        return shape.rotation[:, axis], shape.rotation @ place
    angle = rng.uniform(0, 2 * np.pi)
    place = np.array([0.0, 0.0, rng.uniform(-0.8, 0.8) * shape.half_size[2]])
    return shape.rotation @ np.array([np.cos(angle), np.sin(angle), 0.0]), shape.rotation @ place


def _turned(closing: Float[np.ndarray, " 3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """A gripper that closes along an axis, its approach at an angle about it."""
    a, b, _ = frame_from_normal(closing[None])[0].T
    approach = np.cos(angle) * a + np.sin(angle) * b
    return np.stack([np.cross(closing, approach), closing, approach], axis=1)


def _is_free(hand: Hand, data: MjData, T_world_gripper: Float[np.ndarray, "4 4"], opening: float) -> bool:
    """Whether the open hand meets nothing on its straight way."""
    mount(hand, data, T_world_gripper, opening)
    for back in _WAY:
        jump(hand, data, np.array([0.0, 0.0, -back, 0.0, 0.0, 0.0]))
        mujoco.mj_fwdPosition(hand.model, data)
        if any(touches(hand, data)):
            return False
    return True


def _close(
    hand: Hand, data: MjData, wanted: Bool[np.ndarray, " g"], start: float
) -> Float[np.ndarray, "2 3"] | None:
    """Close the fingers by half millimetres until one touches: where both do, if squarely on the part."""
    jump(hand, data, np.zeros(6))
    for opening in np.arange(start, 0.0, -0.0005).tolist():
        for side in ("left", "right"):
            data.joint(f"hand/{side}").qpos = opening / 2
        mujoco.mj_fwdPosition(hand.model, data)
        met = list(touches(hand, data))
        if any(data.contact.dist[index] < 0 for index, _, _ in met):
            return _both_sides(hand, data, met, wanted)
    return None


def _both_sides(
    hand: Hand, data: MjData, met: list[tuple[int, int, int]], wanted: Bool[np.ndarray, " g"]
) -> Float[np.ndarray, "2 3"] | None:
    closing = data.body("hand").xmat.reshape(3, 3)[:, 1]
    sides = []
    for finger in hand.fingers:
        mine = [(index, other) for index, geom, other in met if geom in finger]
        square = [abs(data.contact.frame[index][:3] @ closing) for index, _ in mine]
        if not mine or not all(wanted[other] for _, other in mine) or np.mean(square) < _FACING:
            return None
        sides.append(np.mean([data.contact.pos[index] for index, _ in mine], axis=0))
    return np.array(sides)
