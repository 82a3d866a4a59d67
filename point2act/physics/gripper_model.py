"""A free-flying gripper in a scene: the gripper's boxes on servos with the force of an arm.

The gripper is attached to a fixed mount at the pose of a grasp by three slide and three hinge joints along
its own axes, so that small rotations never reach a singularity. The servos are compliant: a gripper that
presses against something stops short, and the servo forces measure how hard it presses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.core.mujoco_import import MjData, MjModel
from point2act.grasping.grippers import Boxes, Gripper
from point2act.physics.mjcf import build, numbers, wxyz
from point2act.physics.scene import Scene

_AXES = np.eye(3)
WRIST_JOINTS = tuple(f"gripper/{kind}-{axis}" for kind in ("slide", "hinge") for axis in "xyz")
_MASS = 1.0
"""Mass of gripper and wrist, kilograms; real grippers weigh 0.7 to 0.9."""
_FINGER_MASS = 0.1
_FINGER_ARMATURE = 1.5
"""Reflected inertia of the finger drive, kilograms; with much less, this damping is unstable."""
# Stiff enough for 1 mm under the weight of a mug, damped for about 1.2 kg; arms carry some 80 N.
SERVOS = {
    "slide": {"kp": "20000", "kv": "310", "forcerange": "-80 80"},
    "hinge": {"kp": "300", "kv": "3", "forcerange": "-12 12"},
}
_CLOSING_SPEED = 0.1
"""Speed of one finger at full force without contact, metres per second."""
_BEYOND = 0.1
"""Distance past the middle that a closing finger is commanded to, so that its servo saturates, metres."""


@dataclass(frozen=True, eq=False)
class GripperModel:
    """A scene's model with a gripper in it."""

    model: MjModel
    gripper: Gripper
    geoms: Bool[np.ndarray, " g"]
    """True for geoms that move with the gripper."""
    fingers: tuple[Int[np.ndarray, " f"], Int[np.ndarray, " f"]]
    """Ids of the geoms of the finger on the +y side and of the other finger."""


def add_gripper(
    scene: Scene, gripper: Gripper, *, force: float, opening: float | None = None
) -> GripperModel:
    """Rebuild the scene's model with a gripper that squeezes with ``force`` newtons per finger.

    Fingers slide; linkages between palm and fingers stay as they are when the pads are ``opening`` metres
    apart, by default fully open.
    """
    elements = _elements(gripper, force, gripper.max_width if opening is None else opening)
    return find_gripper(build(scene.layout, elements), gripper)


def find_gripper(model: MjModel, gripper: Gripper, *, carried_by: str = "gripper/") -> GripperModel:
    """Find the gripper in a model; geoms whose names start with ``carried_by`` also move with it."""
    names = [model.geom(index).name for index in range(model.ngeom)]
    fingers = tuple(
        np.array([i for i, name in enumerate(names) if name.startswith(f"gripper/{side}/")])
        for side in ("left", "right")
    )
    geoms = np.array([name.startswith(("gripper/", carried_by)) for name in names])
    return GripperModel(model, gripper, geoms, (fingers[0], fingers[1]))


@dataclass(frozen=True, eq=False)
class Rig(ABC):
    """What moves a gripper in a trial. A target is the vector of commands to its joints."""

    mounted: GripperModel
    joints: tuple[str, ...]
    """Names in the model of the joints and of their servos."""

    def jump(self, data: MjData, target: Float[np.ndarray, " n"]) -> None:
        """Set joint positions without moving through them."""
        for name, value in zip(self.joints, target, strict=True):
            data.joint(name).qpos = value
        self.move(data, target)

    def move(self, data: MjData, target: Float[np.ndarray, " n"]) -> None:
        """Command joint positions."""
        for name, value in zip(self.joints, target, strict=True):
            data.actuator(name).ctrl = value

    @abstractmethod
    def targets_per_twist(self, target: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 6"]:
        """Return the change of a target per small motion along the gripper's axes, metres and radians."""

    @abstractmethod
    def load(self, data: MjData) -> tuple[float, float]:
        """Return force and torque on the gripper, newtons and newton metres."""


@dataclass(frozen=True, eq=False)
class FreeFlyingRig(Rig):
    """A free-flying gripper; targets are offsets from its mount, metres and radians along its own axes."""

    joints: tuple[str, ...] = WRIST_JOINTS

    def mount(self, data: MjData, T_world_gripper: Float[np.ndarray, "4 4"], opening: float) -> None:
        """Place the mount at a pose, the gripper at the mount, and the fingers ``opening`` metres apart."""
        body = self.mounted.model.body("mount")
        body.pos, body.quat = T_world_gripper[:3, 3], wxyz(T_world_gripper)
        self.move(data, np.zeros(6))
        spread(data, opening)

    def targets_per_twist(self, target: Float[np.ndarray, " 6"]) -> Float[np.ndarray, "6 6"]:
        """Return the identity: targets are motions."""
        return np.eye(6)

    def load(self, data: MjData) -> tuple[float, float]:
        """Return force and torque of the servos; gravity is compensated."""
        load = np.array([data.actuator(name).force[0] for name in self.joints])
        return float(np.linalg.norm(load[:3])), float(np.linalg.norm(load[3:]))


def spread(data: MjData, opening: float) -> None:
    """Set the fingers ``opening`` metres apart."""
    for side in ("left", "right"):
        data.joint(f"gripper/{side}").qpos = opening / 2
        data.actuator(f"gripper/{side}").ctrl = opening / 2


def squeeze(data: MjData) -> None:
    """Close the fingers with full force."""
    for side in ("left", "right"):
        data.actuator(f"gripper/{side}").ctrl = -_BEYOND


def gripper_contacts(mounted: GripperModel, data: MjData) -> Iterator[tuple[int, int, int]]:
    """Yield contacts of the gripper: index of the contact, geom of the gripper, other geom."""
    for index, (a, b) in enumerate(data.contact.geom.tolist()):
        if mounted.geoms[a] != mounted.geoms[b]:
            yield (index, a, b) if mounted.geoms[a] else (index, b, a)


def _elements(gripper: Gripper, force: float, opening: float) -> list[ET.Element]:
    world = ET.Element("worldbody")
    body, actuator, equality = gripper_elements(gripper, force, opening, prefix="gripper/")
    base = ET.SubElement(world, "body", name="mount")
    base.append(body)
    for index, (name, axis) in enumerate(zip(WRIST_JOINTS, [*_AXES, *_AXES], strict=True)):
        kind = "slide" if "slide" in name else "hinge"
        body.insert(index, ET.Element("joint", name=name, type=kind, axis=numbers(axis)))
        actuator.insert(index, ET.Element("position", {"name": name, "joint": name, **SERVOS[kind]}))
    return [world, actuator, equality]


def gripper_elements(
    gripper: Gripper, force: float, opening: float, *, prefix: str
) -> tuple[ET.Element, ET.Element, ET.Element]:
    """Return an unattached gripper: its body, its finger actuators and the constraint that couples them."""
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
        # The gripper collides with objects and the table, never with itself.
        ET.SubElement(
            body, "geom", name=f"{name}/{index}", type="box", pos=numbers(center), size=numbers(half),
            rgba=color, mass="0", contype="0", conaffinity="1", condim="6",
        )  # fmt: skip


def _inertial(body: ET.Element, boxes: Boxes, mass: float) -> None:
    """Add all mass at the middle of the boxes, with the inertia of a 10 cm ball."""
    center = boxes.center.mean(axis=0) * [0.0, 0.0, 1.0]
    inertia = np.full(3, 0.4 * mass * 0.05**2)
    ET.SubElement(body, "inertial", pos=numbers(center), mass=numbers(mass), diaginertia=numbers(inertia))
