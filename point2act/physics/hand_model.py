"""A free-flying hand in a scene: its primitives on hinges with position control, and a wrist on servos.

As the gripper of ``gripper_model``, it hangs on a fixed mount at the pose of a grasp by three slide and three
hinge joints along its own axes. Gravity does not act on it, and it does not collide with itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.mujoco_import import MjData, MjModel
from point2act.grasping.hands.hand import Hand
from point2act.physics.gripper_model import SERVOS, WRIST_JOINTS
from point2act.physics.mjcf import build, numbers, wxyz
from point2act.physics.scene import Scene

_PREFIX = "gripper/"
# Kilograms of palm with wrist, and of each other link; a whole Allegro Hand weighs 1.1 kg, 17 links.
_PALM_MASS, _LINK_MASS = 0.6, 0.03
# Reflected inertia of a finger's motor, kg m², and damping at which it closes without oscillation. Chosen:
# with 3 Nm/rad the time constant is 30 ms.
_ARMATURE, _DAMPING = 0.002, 0.15


@dataclass(frozen=True, eq=False)
class HandModel:
    """A scene's model with a hand in it."""

    model: MjModel
    hand: Hand
    geoms: Bool[np.ndarray, " g"]
    """True for geoms of the hand."""

    def contacts(self, data: MjData) -> Iterator[tuple[int, int, int]]:
        """Yield contacts of the hand: index of the contact, geom of the hand, other geom."""
        for index, (a, b) in enumerate(data.contact.geom.tolist()):
            if self.geoms[a] != self.geoms[b]:
                yield (index, a, b) if self.geoms[a] else (index, b, a)

    def mount(self, data: MjData, T_world_palm: Float[np.ndarray, "4 4"]) -> None:
        """Place the mount at a pose, and the hand at the mount."""
        body = self.model.body("mount")
        body.pos, body.quat = T_world_palm[:3, 3], wxyz(T_world_palm)
        self.move_wrist(data, np.zeros(6))

    def move_wrist(self, data: MjData, offset: Float[np.ndarray, " 6"]) -> None:
        """Command the offset of the palm from its mount, metres and radians along its own axes."""
        for name, value in zip(WRIST_JOINTS, offset, strict=True):
            data.actuator(name).ctrl = value

    def move_fingers(self, data: MjData, positions: Float[np.ndarray, " j"]) -> None:
        """Command joint positions, radians."""
        for name, value in zip(self.hand.joints.names, positions, strict=True):
            data.actuator(_PREFIX + name).ctrl = value

    def jump(self, data: MjData, offset: Float[np.ndarray, " 6"], positions: Float[np.ndarray, " j"]) -> None:
        """Set wrist and fingers without moving through what is between."""
        for name, value in zip(WRIST_JOINTS, offset, strict=True):
            data.joint(name).qpos = value
        for name, value in zip(self.hand.joints.names, positions, strict=True):
            data.joint(_PREFIX + name).qpos = value
        self.move_wrist(data, offset)
        self.move_fingers(data, positions)

    def load(self, data: MjData) -> float:
        """Return the force of the wrist's servos, newtons."""
        return float(np.linalg.norm([data.actuator(name).force[0] for name in WRIST_JOINTS[:3]]))


def add_hand(scene: Scene, hand: Hand) -> HandModel:
    """Rebuild the scene's model with a hand."""
    world, actuator = ET.Element("worldbody"), ET.Element("actuator")
    base = ET.SubElement(world, "body", name="mount")
    palm = ET.SubElement(base, "body", name="gripper", gravcomp="1")
    _inertial(palm, _PALM_MASS, radius=0.05)
    for name, axis in zip(WRIST_JOINTS, [*np.eye(3), *np.eye(3)], strict=True):
        kind = "slide" if "slide" in name else "hinge"
        ET.SubElement(palm, "joint", name=name, type=kind, axis=numbers(axis))
        ET.SubElement(actuator, "position", {"name": name, "joint": name, **SERVOS[kind]})
    add_links(palm, actuator, hand)
    model = build(scene.layout, [world, actuator])
    geoms = np.array([model.geom(index).name.startswith(_PREFIX) for index in range(model.ngeom)])
    return HandModel(model, hand, geoms)


def add_links(palm: ET.Element, actuator: ET.Element, hand: Hand) -> None:
    """Add all links of a hand below a body whose frame is the palm frame, and position-controlled joints."""
    bodies: list[ET.Element] = []
    for index, name in enumerate(hand.links):
        above = palm if hand.parent[index] < 0 else bodies[hand.parent[index]]
        T = hand.T_parent_link[index]
        body = ET.SubElement(
            above, "body", name=_PREFIX + name, pos=numbers(T[:3, 3]), quat=numbers(wxyz(T)), gravcomp="1"
        )
        _inertial(body, _LINK_MASS, radius=0.012)
        bodies.append(body)
    joints = hand.joints
    for joint, link in enumerate(joints.link.tolist()):
        name, limits = _PREFIX + joints.names[joint], (joints.low[joint], joints.high[joint])
        ET.SubElement(
            bodies[link], "joint", name=name, type="hinge", axis=numbers(joints.axis[joint]), limited="true",
            range=numbers(limits), damping=numbers(_DAMPING), armature=numbers(_ARMATURE),
        )  # fmt: skip
        torque = [-hand.max_torque, hand.max_torque]
        ET.SubElement(
            actuator,
            "position",
            name=name,
            joint=name,
            kp=numbers(hand.stiffness),
            forcerange=numbers(torque),
        )
    for index, link in enumerate(hand.primitives.link.tolist()):
        _geom(bodies[link], hand, index)


def _geom(body: ET.Element, hand: Hand, index: int) -> None:
    shapes = hand.primitives
    half, radius, T = shapes.half[index], shapes.radius[index], shapes.T_link_shape[index]
    if radius == 0:
        kind, size = "box", half
    elif half.any():
        kind, size = "capsule", np.array([radius, half[2]])
    else:
        kind, size = "sphere", np.array([radius])
    palm = shapes.link[index] == 0
    ET.SubElement(
        body, "geom", name=f"{body.get('name')}/{index}", type=kind, size=numbers(size),
        pos=numbers(T[:3, 3]), quat=numbers(wxyz(T)), mass="0", contype="0", conaffinity="1", condim="6",
        rgba="0.86 0.87 0.89 1" if palm else "0.25 0.26 0.28 1",
    )  # fmt: skip


def _inertial(body: ET.Element, mass: float, *, radius: float) -> None:
    inertia = np.full(3, 0.4 * mass * radius**2)
    ET.SubElement(body, "inertial", pos="0 0 0", mass=numbers(mass), diaginertia=numbers(inertia))
