"""A multi-fingered hand as links of primitives, and where its links are at joint positions. numpy only.

A box, a capsule and a sphere are one primitive: a box with rounded edges. A capsule has half sides (0, 0, l),
a sphere has none, and a box has the radius 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import transform, transform_points
from point2act.core.types import OrientedBox

# Depth in another primitive of the link beyond which a point of its surface is not on the outside, metres.
_BURIED = 1e-3
_MIRROR = np.diag([1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Primitives:
    """Boxes with rounded edges, each fixed to a link."""

    link: Int[np.ndarray, " p"]
    """Index of the link of each."""
    T_link_shape: Float[np.ndarray, "p 4 4"]
    half: Float[np.ndarray, "p 3"]
    """Half the sides of the box inside the rounding, metres."""
    radius: Float[np.ndarray, " p"]
    """Radius of the rounding, metres."""

    def __len__(self) -> int:
        return len(self.link)

    def only(self, link: int) -> Primitives:
        """Return the primitives of one link."""
        own = self.link == link
        return Primitives(self.link[own], self.T_link_shape[own], self.half[own], self.radius[own])

    def depth_inside(
        self, points: Float[np.ndarray, "n 3"], poses: Float[np.ndarray, "p 4 4"]
    ) -> Float[np.ndarray, " n"]:
        """Return how deep points lie inside the primitives at given poses, metres; negative outside.

        The signed distance to a box with half sides h, rounded by r, is
        ``|max(|x| - h, 0)| + min(max(|x| - h), 0) - r``, with x in the frame of the box.
        """
        deepest = np.full(len(points), -np.inf)
        for T, half, radius in zip(poses, self.half, self.radius, strict=True):
            local = np.abs((points - T[:3, 3]) @ T[:3, :3]) - half
            outside = np.linalg.norm(np.maximum(local, 0), axis=1)
            deepest = np.maximum(deepest, radius - outside - np.minimum(local.max(axis=1), 0))
        return deepest


@dataclass(frozen=True, eq=False)
class ContactPoints:
    """Points on a hand's surface that may touch the object."""

    link: Int[np.ndarray, " c"]
    position: Float[np.ndarray, "c 3"]
    """In the frame of the link, metres."""
    normal: Float[np.ndarray, "c 3"]
    """Outward unit normals in the frame of the link."""

    def __len__(self) -> int:
        return len(self.link)


@dataclass(frozen=True, eq=False)
class Spheres:
    """Spheres inside the links, for distances between the fingers."""

    link: Int[np.ndarray, " s"]
    center: Float[np.ndarray, "s 3"]
    """In the frame of the link, metres."""
    radius: Float[np.ndarray, " s"]


@dataclass(frozen=True, eq=False)
class Joints:
    """Revolute joints, each of which moves one link; angles in radians."""

    names: tuple[str, ...]
    link: Int[np.ndarray, " j"]
    """Index of the link that each moves."""
    axis: Float[np.ndarray, "j 3"]
    """Unit axes in the frame of the link."""
    low: Float[np.ndarray, " j"]
    high: Float[np.ndarray, " j"]
    rest: Float[np.ndarray, " j"]
    """Positions of the open hand."""
    pregrasp: Float[np.ndarray, " j"]
    """Positions around which grasps are sought, with the fingers bent over the palm."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Hand:
    """A hand.

    Palm frame: the origin is the middle of the palm's face, +z points out of the palm, which is the direction
    of approach, and +x along the extended fingers. It is what ``T_world_gripper`` of a hand's grasp means.
    """

    name: str
    max_width: float
    """Largest distance between the thumb and the fingers of the open hand, metres."""
    stiffness: float
    """Stiffness of the joints' position control, newton metres per radian."""
    max_torque: float
    """Largest torque of a joint, newton metres."""
    grasp_center: Float[np.ndarray, "3"]
    """Where the fingers meet the thumb, palm frame, metres: an object is to be there."""
    links: tuple[str, ...]
    """Names of the links, parents before their children; the first is the palm."""
    parent: Int[np.ndarray, " l"]
    """Index of each link's parent; -1 for the palm, whose parent is the palm frame."""
    T_parent_link: Float[np.ndarray, "l 4 4"]
    """Poses of the links in their parents' frames, at joint positions of 0."""
    joints: Joints
    primitives: Primitives
    contacts: ContactPoints
    spheres: Spheres
    source: str = ""
    """Origin of the numbers."""
    mount: float | None = None
    """Distance of the mounting face behind the palm frame's origin, along z, metres; None if unknown."""
    fingers: Int[np.ndarray, " l"] = field(init=False)
    """Index of the finger of each link, from 0 on; -1 for the palm."""

    def __post_init__(self) -> None:
        fingers = np.full(len(self.links), -1)
        for index, parent in enumerate(self.parent.tolist()):
            if parent == 0:
                fingers[index] = fingers.max() + 1
            elif parent > 0:
                fingers[index] = fingers[parent]
        object.__setattr__(self, "fingers", fingers)

    def mount_at(self, opening: float) -> float | None:
        """Return the distance of the mounting face behind the palm frame, metres, at any opening."""
        return self.mount

    @cached_property
    def levels(self) -> tuple[Int[np.ndarray, " _"], ...]:
        """The links by their number of ancestors; those of one level depend on the level before only."""
        depth = np.zeros(len(self.links), dtype=int)
        for index, parent in enumerate(self.parent.tolist()):
            depth[index] = 0 if parent < 0 else depth[parent] + 1
        return tuple(np.flatnonzero(depth == level) for level in range(depth.max() + 1))

    def link_poses(self, positions: Float[np.ndarray, " j"]) -> Float[np.ndarray, "l 4 4"]:
        """Return the poses of all links in the palm frame.

        Args:
            positions: Joint positions, radians, in the order of ``joints``.
        """
        turns = np.tile(np.eye(4), (len(self.links), 1, 1))
        for link, axis, angle in zip(self.joints.link, self.joints.axis, positions, strict=True):
            turns[link, :3, :3] = rotation_about(axis, float(angle))
        poses = np.empty_like(turns)
        for index, parent in enumerate(self.parent.tolist()):
            own = self.T_parent_link[index] @ turns[index]
            poses[index] = own if parent < 0 else poses[parent] @ own
        return poses

    def shape_poses(self, positions: Float[np.ndarray, " j"]) -> Float[np.ndarray, "p 4 4"]:
        """Return the poses of all primitives in the palm frame at joint positions."""
        return self.link_poses(positions)[self.primitives.link] @ self.primitives.T_link_shape

    def boxes_at(self, positions: Float[np.ndarray, " j"]) -> tuple[OrientedBox, ...]:
        """Return boxes around all primitives, palm frame; the palm's come first."""
        sides = self.primitives.half + self.primitives.radius[:, None]
        poses = self.shape_poses(positions)
        return tuple(OrientedBox(T[:3, 3], T[:3, :3].T, half) for T, half in zip(poses, sides, strict=True))

    def depth_inside(
        self, points: Float[np.ndarray, "n 3"], positions: Float[np.ndarray, " j"]
    ) -> Float[np.ndarray, " n"]:
        """Return how deep points of the palm frame lie inside the hand, metres; negative outside."""
        return self.primitives.depth_inside(points, self.shape_poses(positions))

    def contact_places(
        self, positions: Float[np.ndarray, " j"]
    ) -> tuple[Float[np.ndarray, "c 3"], Float[np.ndarray, "c 3"]]:
        """Return the contact points and their outward normals in the palm frame."""
        poses = self.link_poses(positions)[self.contacts.link]
        rotations = poses[:, :3, :3]
        places = np.einsum("cij,cj->ci", rotations, self.contacts.position) + poses[:, :3, 3]
        return places, np.einsum("cij,cj->ci", rotations, self.contacts.normal)

    def clipped(self, positions: Float[np.ndarray, "*b j"]) -> Float[np.ndarray, "*b j"]:
        """Return joint positions within the limits."""
        return np.clip(positions, self.joints.low, self.joints.high)

    def self_pairs(self) -> Int[np.ndarray, "2 k"]:
        """Return the pairs of spheres that must not meet: those of links that are not neighbours.

        Pairs that overlap in the open hand do so by construction, and are left out.
        """
        poses = self.link_poses(self.joints.rest)[self.spheres.link]
        centers = np.einsum("sij,sj->si", poses[:, :3, :3], self.spheres.center) + poses[:, :3, 3]
        first, second = np.triu_indices(len(centers), k=1)
        gap = np.linalg.norm(centers[first] - centers[second], axis=1)
        gap -= self.spheres.radius[first] + self.spheres.radius[second]
        links = self.spheres.link[first], self.spheres.link[second]
        near = np.array(
            [self._related(a, b) for a, b in zip(*(one.tolist() for one in links), strict=True)], dtype=bool
        )
        kept = ~near & (gap > 0)
        return np.stack([first[kept], second[kept]])

    def _related(self, one: int, other: int) -> bool:
        """Return whether a link is another, its parent or its grandparent, or the other way round."""
        return other in self._ancestors(one) or one in self._ancestors(other)

    def _ancestors(self, link: int) -> Iterator[int]:
        """Yield a link, its parent and its grandparent."""
        for _ in range(3):
            if link >= 0:
                yield link
                link = int(self.parent[link])

    def mirrored(self) -> Hand:
        """Return the other hand of the pair: this one reflected at the plane y = 0 of the palm frame.

        With M = diag(1, -1, 1), a frame R becomes M R M, and a rotation about an axis a becomes one by the
        same angle about -M a, since M reverses the sense of rotation.
        """
        flip = np.array([1.0, -1.0, 1.0])
        return replace(
            self,
            name=f"{self.name}_mirrored",
            grasp_center=self.grasp_center * flip,
            T_parent_link=_MIRROR @ self.T_parent_link @ _MIRROR,
            joints=replace(self.joints, axis=-self.joints.axis * flip),
            primitives=replace(
                self.primitives, T_link_shape=_MIRROR @ self.primitives.T_link_shape @ _MIRROR
            ),
            contacts=replace(
                self.contacts, position=self.contacts.position * flip, normal=self.contacts.normal * flip
            ),
            spheres=replace(self.spheres, center=self.spheres.center * flip),
        )


def rotation_about(axis: Float[np.ndarray, "3"], angle: float) -> Float[np.ndarray, "3 3"]:
    """Return a rotation about a unit axis (Rodrigues): ``R = I + sin t K + (1 - cos t) K²``."""
    K = np.cross(np.eye(3), axis)
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * (K @ K)


def surface_samples(
    primitives: Primitives, spacing: float
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Return points on the outer surfaces of primitives, about ``spacing`` metres apart.

    Returns:
        The index of each point's link, and its position in the frame of that link, metres.
    """
    links, points = [], []
    for link in np.unique(primitives.link).tolist():
        own = primitives.only(link)
        for T, half, radius in zip(own.T_link_shape, own.half, own.radius, strict=True):
            placed = transform_points(T, _rounded(_on_box(half + radius, spacing), half, radius))
            outer = placed[own.depth_inside(placed, own.T_link_shape) < _BURIED]
            points.append(outer)
            links.append(np.full(len(outer), link))
    return np.concatenate(links), np.concatenate(points)


def _rounded(
    on_box: Float[np.ndarray, "n 3"], half: Float[np.ndarray, "3"], radius: float
) -> Float[np.ndarray, "n 3"]:
    """Return points on a box around a primitive drawn onto the primitive."""
    core = np.clip(on_box, -half, half)
    away = on_box - core
    length = np.linalg.norm(away, axis=1, keepdims=True)
    return core + away * radius / length if radius > 0 else on_box


def _on_box(half: Float[np.ndarray, "3"], spacing: float) -> Float[np.ndarray, "n 3"]:
    """Return a grid of points on the sides of a box, edges included."""
    counts = np.maximum(np.ceil(2 * half / spacing).astype(int) + 1, 2)
    grid = np.stack(
        np.meshgrid(*(np.linspace(-h, h, n) for h, n in zip(half, counts, strict=True)), indexing="ij"), -1
    ).reshape(-1, 3)
    return grid[(np.abs(grid) >= half - 1e-12).any(axis=1)]


def pose_of(position: tuple[float, ...], wxyz: tuple[float, ...]) -> Float[np.ndarray, "4 4"]:
    """Return a pose from a position in metres and a quaternion of any length."""
    w, x, y, z = np.array(wxyz) / np.linalg.norm(wxyz)
    K = np.cross(np.eye(3), [x, y, z])
    return transform(np.eye(3) + 2 * w * K + 2 * K @ K, np.array(position))
