"""Hands read from TOML files, see ``configs/hands/README.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from point2act.core import config_files
from point2act.core.documents import Length, Text, TomlTable, Vector, check
from point2act.core.errors import HandError
from point2act.core.geometry import frame_from_normal, transform
from point2act.grasping.hands.hand import ContactPoints, Hand, Joints, Primitives, Spheres, pose_of

# Largest distance of a contact point from the surface of its link, metres.
_ON_SURFACE = 2e-3

_Quaternion = Annotated[
    tuple[float, float, float, float],
    Field(strict=False, description="write a quaternion [w, x, y, z] that is not zero"),
]
_Angle = Annotated[float, Field(description="write an angle in radians")]
_STRAIGHT = (1.0, 0.0, 0.0, 0.0)


class _Joint(TomlTable):
    """Write a joint as name, axis, limits, rest and pregrasp."""

    name: Text
    axis: Vector
    limits: tuple[_Angle, _Angle] = Field(
        strict=False, description="write the smallest and the largest angle, radians"
    )
    rest: _Angle
    pregrasp: _Angle


class _Box(TomlTable):
    """Write a box as center and half_extents, and a quaternion if it is turned."""

    center: Vector
    half_extents: tuple[Length, Length, Length] = Field(
        strict=False, description="write a list of 3 positive numbers in metres"
    )
    quaternion: _Quaternion = _STRAIGHT


class _Capsule(TomlTable):
    """Write a capsule as center, axis, half_length and radius."""

    center: Vector
    axis: Vector
    half_length: Length
    radius: Length


class _Sphere(TomlTable):
    """Write a sphere as center and radius."""

    center: Vector
    radius: Length


class _Contact(TomlTable):
    """Write a contact as position and outward normal."""

    position: Vector
    normal: Vector


class _Link(TomlTable):
    """Write a link with its name, its parent and its shapes."""

    name: Text
    parent: Text | None = None
    position: Vector = (0.0, 0.0, 0.0)
    quaternion: _Quaternion = _STRAIGHT
    joint: _Joint | None = None
    boxes: list[_Box] = Field([], description="write boxes as tables")
    capsules: list[_Capsule] = Field([], description="write capsules as tables")
    spheres: list[_Sphere] = Field([], description="write spheres as tables")
    contacts: list[_Contact] = Field([], description="write contacts as tables")
    self_collision: list[_Sphere] = Field([], description="write spheres as tables")


class _HandFile(TomlTable):
    """A file of ``configs/hands``."""

    name: Text
    source: Text
    max_width: Length
    stiffness: float = Field(gt=0, description="write one positive number, newton metres per radian")
    max_torque: float = Field(gt=0, description="write one positive number, newton metres")
    grasp_center: Vector
    mount: Length | None = None
    link: list[_Link] = Field(min_length=2, description="write the palm and at least one more [[link]]")


def load_hand(name_or_path: str | Path) -> Hand:
    """Load a hand.

    Args:
        name_or_path: Name of a shipped hand or path of a TOML file, see ``configs/hands/README.md``.

    Raises:
        HandError: The file is wrong; names the file, the key and what to write there.
    """
    path, table = config_files.load("hands", name_or_path, HandError)
    found = check(_HandFile, table, HandError, place=str(path))
    _check_tree(path, found.link)
    _check_joints(path, found.link)
    names = [link.name for link in found.link]
    hand = Hand(
        name=found.name,
        max_width=found.max_width,
        stiffness=found.stiffness,
        max_torque=found.max_torque,
        grasp_center=np.array(found.grasp_center),
        links=tuple(names),
        parent=np.array([-1 if link.parent is None else names.index(link.parent) for link in found.link]),
        T_parent_link=np.array([pose_of(link.position, link.quaternion) for link in found.link]),
        joints=_joints(found.link),
        primitives=_primitives(found.link),
        contacts=_contacts(found.link),
        spheres=_spheres(found.link),
        source=found.source,
        mount=found.mount,
    )
    _check_contacts(path, hand)
    return hand


def _joints(links: Sequence[_Link]) -> Joints:
    moved = [(index, link.joint) for index, link in enumerate(links) if link.joint is not None]
    axes = np.array([joint.axis for _, joint in moved], dtype=float)
    return Joints(
        names=tuple(joint.name for _, joint in moved),
        link=np.array([index for index, _ in moved]),
        axis=axes / np.linalg.norm(axes, axis=1, keepdims=True),
        low=np.array([joint.limits[0] for _, joint in moved]),
        high=np.array([joint.limits[1] for _, joint in moved]),
        rest=np.array([joint.rest for _, joint in moved]),
        pregrasp=np.array([joint.pregrasp for _, joint in moved]),
    )


def _primitives(links: Sequence[_Link]) -> Primitives:
    rows = []
    for index, link in enumerate(links):
        for box in link.boxes:
            rows.append((index, pose_of(box.center, box.quaternion), box.half_extents, 0.0))
        for capsule in link.capsules:
            along = np.array(capsule.axis) / np.linalg.norm(capsule.axis)
            T = transform(frame_from_normal(along[None])[0], capsule.center)
            rows.append((index, T, (0.0, 0.0, capsule.half_length), capsule.radius))
        for sphere in link.spheres:
            rows.append((index, pose_of(sphere.center, _STRAIGHT), (0.0, 0.0, 0.0), sphere.radius))
    index, poses, half, radius = zip(*rows, strict=True)
    return Primitives(np.array(index), np.array(poses), np.array(half), np.array(radius))


def _contacts(links: Sequence[_Link]) -> ContactPoints:
    rows = [(index, contact) for index, link in enumerate(links) for contact in link.contacts]
    normals = np.array([contact.normal for _, contact in rows], dtype=float)
    return ContactPoints(
        np.array([index for index, _ in rows]),
        np.array([contact.position for _, contact in rows]),
        normals / np.linalg.norm(normals, axis=1, keepdims=True),
    )


def _spheres(links: Sequence[_Link]) -> Spheres:
    rows = [(index, sphere) for index, link in enumerate(links) for sphere in link.self_collision]
    return Spheres(
        np.array([index for index, _ in rows], dtype=int),
        np.array([sphere.center for _, sphere in rows]).reshape(-1, 3),
        np.array([sphere.radius for _, sphere in rows]),
    )


# ── checks ─────────────────────────────────────────────────────────────────────────────────────
def _check_tree(path: Path, links: Sequence[_Link]) -> None:
    known: set[str] = set()
    for number, link in enumerate(links):
        if link.name in known:
            raise HandError(f"{path}: two [[link]] are named '{link.name}': give each its own name")
        if number == 0 and link.parent is not None:
            raise HandError(f"{path}: the first [[link]] is the palm: leave out its parent")
        if number > 0 and link.parent is None:
            raise HandError(
                f"{path}: [[link]] '{link.name}' has no parent: name the link that it is fixed to"
            )
        if number > 0 and link.parent not in known:
            raise HandError(
                f"{path}: the parent '{link.parent}' of [[link]] '{link.name}' is not a link above it: write "
                "parents before their children"
            )
        known.add(link.name)
        for what, vector in _directions(link):
            if not np.linalg.norm(vector) > 1e-6:
                raise HandError(f"{path}: {what} of [[link]] '{link.name}' is zero: write a direction")
    if not any(link.boxes or link.capsules or link.spheres for link in links):
        raise HandError(f"{path}: no [[link]] has a shape: write boxes, capsules or spheres")
    fingers = {link.name for link in links if link.contacts}
    if len(fingers) < 2:
        raise HandError(f"{path}: contacts are needed on at least 2 links: a grasp has opposite contacts")


def _directions(link: _Link) -> list[tuple[str, Sequence[float]]]:
    """Return the vectors of a link that must not be zero, by name."""
    return [
        ("the quaternion", link.quaternion),
        *(("the quaternion of a box", box.quaternion) for box in link.boxes),
        *(("the axis of a capsule", capsule.axis) for capsule in link.capsules),
        *(("the normal of a contact", contact.normal) for contact in link.contacts),
        *([] if link.joint is None else [("the axis of the joint", link.joint.axis)]),
    ]


def _check_joints(path: Path, links: Sequence[_Link]) -> None:
    joints = [link.joint for link in links if link.joint is not None]
    if not joints:
        raise HandError(f"{path}: no [[link]] has a joint: a hand without joints cannot grasp")
    if len({joint.name for joint in joints}) < len(joints):
        raise HandError(f"{path}: two joints have the same name: give each its own")
    for joint in joints:
        low, high = joint.limits
        if not low < high:
            raise HandError(
                f"{path}: joint '{joint.name}' has the limits {low:g} and {high:g}: smallest first"
            )
        for what in ("rest", "pregrasp"):
            value = getattr(joint, what)
            if not low <= value <= high:
                raise HandError(
                    f"{path}: joint '{joint.name}' has {what} = {value:g}: write an angle from {low:g} to "
                    f"{high:g}, its limits"
                )


def _check_contacts(path: Path, hand: Hand) -> None:
    """Check that every contact point lies on the surface of its own link."""
    for link in sorted(set(hand.contacts.link.tolist())):
        places, shapes = hand.contacts.position[hand.contacts.link == link], hand.primitives.only(link)
        far = np.abs(shapes.depth_inside(places, shapes.T_link_shape))
        worst = int(far.argmax())
        if far[worst] > _ON_SURFACE:
            x, y, z = places[worst]
            where = f"{1e3 * far[worst]:.1f} mm from it" if len(shapes) else "which has no shape"
            raise HandError(
                f"{path}: the contact of [[link]] '{hand.links[link]}' at ({x:g}, {y:g}, {z:g}) is not on "
                f"the link's surface, {where}: move it there"
            )
