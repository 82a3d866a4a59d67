"""A free-flying hand in a scene: the gripper's boxes, on servos with the force of an arm.

The hand hangs on a mount that stands still at the pose of a grasp; three slides and three hinges move
it from there, along the gripper's own axes, so that small turns never meet a singularity. The servos
yield: a hand that presses into something stops short, and its servos say how hard it presses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from point2act.core.mujoco_import import MjData, MjModel
from point2act.grasping.grippers import Boxes, Gripper
from point2act.simulation.mjcf import build, numbers
from point2act.simulation.scene import Scene

_AXES = np.eye(3)
_MASS = 1.0
"""Kilograms; real hands weigh 0.7 to 0.9, and the wrist moves with them."""
_FINGER_MASS = 0.1
_FINGER_ARMATURE = 1.5
"""Inertia of the drive as the finger feels it, kilograms; much less, and so much damping would rattle."""
# Stiff enough for 1 mm under the weight of a mug, damped for about 1.2 kg; arms carry some 80 N.
_SERVOS = {
    "slide": {"kp": "20000", "kv": "310", "forcerange": "-80 80"},
    "hinge": {"kp": "300", "kv": "3", "forcerange": "-12 12"},
}
_CLOSING_SPEED = 0.1
"""Metres a second of one finger at full force in the air."""
_BEYOND = 0.1
"""A closing finger is sent this far past the middle, so that its servo pushes with all its force."""


@dataclass(frozen=True, eq=False)
class Hand:
    """A scene's model with a hand in it, and where the hand's things are in it."""

    model: MjModel
    gripper: Gripper
    geoms: Bool[np.ndarray, " g"]
    """True for geoms of the hand."""
    fingers: tuple[Int[np.ndarray, " f"], Int[np.ndarray, " f"]]
    """Ids of the geoms of the finger on the +y side and of the other."""


def add_hand(scene: Scene, gripper: Gripper, *, force: float, opening: float | None = None) -> Hand:
    """Build the scene's model again with a hand that squeezes with ``force`` newtons on each finger.

    Its fingers slide, and what swings between palm and fingers stays where it is when the pads are
    ``opening`` metres apart, by default fully open.
    """
    elements = _elements(gripper, force, gripper.max_width if opening is None else opening)
    return hand_in(build(scene.layout, elements), gripper)


def hand_in(model: MjModel, gripper: Gripper, *, carried_by: str = "hand/") -> Hand:
    """Find a hand in a model; geoms whose names begin with ``carried_by`` move with it, as its own do."""
    names = [model.geom(index).name for index in range(model.ngeom)]
    fingers = tuple(
        np.array([i for i, name in enumerate(names) if name.startswith(f"hand/{side}/")])
        for side in ("left", "right")
    )
    geoms = np.array([name.startswith(("hand/", carried_by)) for name in names])
    return Hand(model, gripper, geoms, (fingers[0], fingers[1]))


@runtime_checkable
class Rig(Protocol):
    """What carries a hand in a trial. A target is where it is sent: any numbers that suit the rig."""

    @property
    def hand(self) -> Hand:
        """The hand, and the model that it is in."""
        ...

    def jump(self, data: MjData, target: Float[np.ndarray, " n"]) -> None:
        """Be at a target at once."""
        ...

    def move(self, data: MjData, target: Float[np.ndarray, " n"]) -> None:
        """Send the hand to a target."""
        ...

    def ways(self, target: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 6"]:
        """How a target changes for small moves of the hand, metres and radians along the gripper's axes."""
        ...

    def load(self, data: MjData) -> tuple[float, float]:
        """How hard the hand is pushed and turned, newtons and newton metres."""
        ...


@dataclass(frozen=True, eq=False)
class FreeRig:
    """A hand that flies; its targets are offsets from its mount, metres and radians."""

    hand: Hand

    def jump(self, data: MjData, target: Float[np.ndarray, " 6"]) -> None:
        """Be at an offset at once."""
        jump(self.hand, data, target)

    def move(self, data: MjData, target: Float[np.ndarray, " 6"]) -> None:
        """Send the hand to an offset."""
        move(self.hand, data, target)

    def ways(self, target: Float[np.ndarray, " 6"]) -> Float[np.ndarray, "6 6"]:
        """Targets are moves."""
        return np.eye(6)

    def load(self, data: MjData) -> tuple[float, float]:
        """See ``servo_load``."""
        return servo_load(data)


def mount(hand: Hand, data: MjData, T_world_gripper: Float[np.ndarray, "4 4"], opening: float) -> None:
    """Put the mount at a pose, the hand at the mount, and the fingers ``opening`` metres apart."""
    body = hand.model.body("mount")
    body.pos = T_world_gripper[:3, 3]
    body.quat = Rotation.from_matrix(T_world_gripper[:3, :3]).as_quat()[[3, 0, 1, 2]]
    move(hand, data, np.zeros(6))
    spread(data, opening)


def spread(data: MjData, opening: float) -> None:
    """Put the fingers ``opening`` metres apart."""
    for side in ("left", "right"):
        data.joint(f"hand/{side}").qpos = opening / 2
        data.actuator(f"hand/{side}").ctrl = opening / 2


def jump(hand: Hand, data: MjData, pose: Float[np.ndarray, " 6"]) -> None:
    """Put the hand at an offset from its mount at once (metres and radians along the gripper's axes)."""
    for name, value in zip(_JOINTS, pose, strict=True):
        data.joint(name).qpos = value
    move(hand, data, pose)


def move(hand: Hand, data: MjData, pose: Float[np.ndarray, " 6"]) -> None:
    """Send the hand to an offset from its mount."""
    for name, value in zip(_JOINTS, pose, strict=True):
        data.actuator(name).ctrl = value


def squeeze(data: MjData) -> None:
    """Send the fingers together with all their force."""
    for side in ("left", "right"):
        data.actuator(f"hand/{side}").ctrl = -_BEYOND


def servo_load(data: MjData) -> tuple[float, float]:
    """How hard the servos push and turn, newtons and newton metres; the hand itself weighs nothing."""
    load = np.array([data.actuator(name).force[0] for name in _JOINTS])
    return float(np.linalg.norm(load[:3])), float(np.linalg.norm(load[3:]))


def touches(hand: Hand, data: MjData) -> Iterator[tuple[int, int, int]]:
    """What the hand touches or nearly touches: index of the contact, geom of the hand, other geom."""
    for index, (a, b) in enumerate(data.contact.geom.tolist()):
        if hand.geoms[a] != hand.geoms[b]:
            yield (index, a, b) if hand.geoms[a] else (index, b, a)


_JOINTS = tuple(f"hand/{kind}-{axis}" for kind in ("slide", "hinge") for axis in "xyz")


def _elements(gripper: Gripper, force: float, opening: float) -> list[ET.Element]:
    world = ET.Element("worldbody")
    body, actuator, equality = hand_elements(gripper, force, opening, prefix="hand/")
    base = ET.SubElement(world, "body", name="mount")
    base.append(body)
    for index, (name, axis) in enumerate(zip(_JOINTS, [*_AXES, *_AXES], strict=True)):
        kind = "slide" if "slide" in name else "hinge"
        body.insert(index, ET.Element("joint", name=name, type=kind, axis=numbers(axis)))
        actuator.insert(index, ET.Element("position", {"name": name, "joint": name, **_SERVOS[kind]}))
    return [world, actuator, equality]


def hand_elements(
    gripper: Gripper, force: float, opening: float, *, prefix: str
) -> tuple[ET.Element, ET.Element, ET.Element]:
    """A hand that hangs on nothing yet: its body, the drives of its fingers, and what couples them."""
    body = ET.Element("body", name=prefix.strip("/") or "palm", gravcomp="1")
    actuator, equality = ET.Element("actuator"), ET.Element("equality")
    _inertial(body, gripper.body, _MASS)
    _add_boxes(body, f"{prefix}body", gripper.body_at(opening), "0.86 0.87 0.89 1")
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _finger(body, actuator, gripper, force, name=f"{prefix}{side}", sign=sign)
    # Both fingers move as one, as a real parallel gripper's do; else two equal forces would drift.
    ET.SubElement(
        equality, "joint", joint1=f"{prefix}left", joint2=f"{prefix}right", polycoef="0 1 0 0 0",
        solref="0.004 1",
    )  # fmt: skip
    return body, actuator, equality


def _finger(
    body: ET.Element, actuator: ET.Element, gripper: Gripper, force: float, *, name: str, sign: float
) -> None:
    finger = ET.SubElement(body, "body", name=name, gravcomp="1")
    ET.SubElement(
        finger, "joint", name=name, type="slide", axis=numbers([0.0, sign, 0.0]), limited="true",
        range=numbers([0.0, gripper.max_width / 2]), damping=numbers(force / _CLOSING_SPEED),
        armature=numbers(_FINGER_ARMATURE),
    )  # fmt: skip
    ET.SubElement(actuator, "position", name=name, joint=name, kp="4000", forcerange=numbers([-force, force]))
    _inertial(finger, gripper.finger, _FINGER_MASS)
    boxes = Boxes(gripper.finger.center * [1, sign, 1], gripper.finger.half)
    _add_boxes(finger, name, boxes, "0.25 0.26 0.28 1")


def _add_boxes(body: ET.Element, name: str, boxes: Boxes, color: str) -> None:
    for index, (center, half) in enumerate(boxes):
        # The hand meets objects and the table, never itself.
        ET.SubElement(
            body, "geom", name=f"{name}/{index}", type="box", pos=numbers(center), size=numbers(half),
            rgba=color, mass="0", contype="0", conaffinity="1", condim="6",
        )  # fmt: skip


def _inertial(body: ET.Element, boxes: Boxes, mass: float) -> None:
    """All mass in the middle of the boxes, with the inertia of a 10 cm ball: only the servos feel it."""
    center = boxes.center.mean(axis=0) * [0.0, 0.0, 1.0]
    inertia = np.full(3, 0.4 * mass * 0.05**2)
    ET.SubElement(body, "inertial", pos=numbers(center), mass=numbers(mass), diaginertia=numbers(inertia))
