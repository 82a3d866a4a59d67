"""What closing pads meet: where they touch first, how much of the surface they hold, and how squarely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.contact_pairs import Pairs


@dataclass(frozen=True)
class ContactConfig:
    """What counts as touched."""

    give: float = 0.0015
    """A pad holds what lies this near behind the foremost point it meets, metres: rubber and the surface's
    noise. Chosen."""
    facing: float = 0.3
    """Surface whose outward normal has a smaller cosine with the way to the pad is not met. Chosen."""
    sunk: float = 0.010
    """A pad closes at most this far past where its contact was expected, metres. Chosen."""


@dataclass(frozen=True, eq=False)
class Patch:
    """What one pad holds, one entry for each pose; in the gripper frame, metres."""

    touched: Bool[np.ndarray, " n"]
    place: Float[np.ndarray, "n 3"]
    """Middle of the patch, on the pad's face."""
    normal: Float[np.ndarray, "n 3"]
    """Mean outward normal of the surface, not of unit length."""
    count: Int[np.ndarray, " n"]
    """Surface points held, one for a voxel."""
    length: Float[np.ndarray, " n"]
    """Extent along the finger."""
    breadth: Float[np.ndarray, " n"]
    """Extent across it."""
    seen: Float[np.ndarray, " n"]
    """Share of the points that a camera saw; the others are presumed."""

    @property
    def alignment(self) -> Float[np.ndarray, " n"]:
        """Mean cosine of the surface's normals with the closing axis."""
        return np.abs(self.normal[:, 1])


@dataclass(frozen=True, eq=False)
class Near:
    """Surface points about the contacts of a pair, relative to the middle of the contacts."""

    points: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    seen: Bool[np.ndarray, " m"]


def near_pairs(surface: SurfacePoints, pairs: Pairs, chosen: np.ndarray, reach: float) -> dict[int, Near]:
    """The surface within ``reach`` of either contact, for every pair that is ``chosen`` (by index)."""
    near = {}
    for index in np.unique(chosen).tolist():
        contacts = pairs.contacts[index]
        first, second = surface.tree.query_ball_point(contacts, reach)
        rows = np.union1d(first, second).astype(int)
        middle = contacts.mean(axis=0)
        near[index] = Near(surface.points[rows] - middle, surface.normals[rows], surface.seen[rows])
    return near


def close_pads(
    near: Near,
    rotations: Float[np.ndarray, "n 3 3"],
    origins: Float[np.ndarray, "n 3"],
    pad_size: tuple[float, float],
    *,
    width: float,
    opening: float,
    config: ContactConfig,
) -> tuple[Patch, Patch]:
    """Close grippers at ``n`` poses about one contact pair: the patches on the -y and on the +y side.

    ``origins`` are relative to the middle of the contacts, which are ``width`` apart; the pads start
    ``opening`` apart and stop at the foremost surface in front of them. The object is taken to give way,
    as light things do, until both touch.
    """
    local = [
        near.points @ rotations[:, :, i].T - (origins * rotations[:, :, i]).sum(axis=1) for i in range(3)
    ]
    x, y, z = (coordinate.T for coordinate in local)
    facing = rotations[:, :, 1] @ near.normals.T
    before = (np.abs(x) <= pad_size[0] / 2) & (np.abs(z) <= pad_size[1] / 2)
    first, second = (
        _stop(near, rotations, before, (x, side * y, z), side, side * facing, width, opening, config)
        for side in (-1.0, 1.0)
    )
    return first, second


def _stop(
    near: Near,
    rotations: Float[np.ndarray, "n 3 3"],
    before: Bool[np.ndarray, "n m"],
    local: tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]],
    side: float,
    facing: Float[np.ndarray, "n m"],
    width: float,
    opening: float,
    config: ContactConfig,
) -> Patch:
    x, out, z = local
    before = before & (facing > config.facing) & (out <= opening / 2) & (out >= width / 2 - config.sunk)
    foremost = np.where(before, out, -np.inf).max(axis=1, initial=-np.inf)
    held = before & (out >= foremost[:, None] - config.give)
    count = held.sum(axis=1)
    touched = count > 0
    share = held / np.maximum(count, 1)[:, None]
    place = [(share * x).sum(axis=1), np.where(touched, side * foremost, 0.0), (share * z).sum(axis=1)]
    normal = np.einsum("nj,njk->nk", share @ near.normals, rotations)
    length, breadth, seen = _extent(z, held), _extent(x, held), share @ near.seen
    return Patch(touched, np.stack(place, axis=1), normal, count, length, breadth, seen)


def _extent(values: Float[np.ndarray, "n m"], chosen: Bool[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    highest = np.where(chosen, values, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(chosen, values, np.inf).min(axis=1, initial=np.inf)
    return np.where(chosen.any(axis=1), highest - lowest, 0.0)


def friction_needed(first: Patch, second: Patch) -> Float[np.ndarray, " n"]:
    """The least coefficient of friction at which the patches can press against each other.

    The tangent of the larger angle between the patches' normals and the line along which they press
    (Nguyen 1988): along the closing axis where they overlap, else as little beside it as they allow.
    Infinite where a pad touches nothing.
    """
    line = second.place - first.place
    for axis, extents in ((0, first.breadth + second.breadth), (2, first.length + second.length)):
        beside = np.maximum(np.abs(line[:, axis]) - extents / 2, 0)
        line[:, axis] = np.sign(line[:, axis]) * beside
    line /= np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-9)
    cosines = [
        sign * (patch.normal * line).sum(axis=1) / np.maximum(np.linalg.norm(patch.normal, axis=1), 1e-9)
        for sign, patch in ((-1.0, first), (1.0, second))
    ]
    cosine = np.clip(np.minimum(*cosines), 1e-6, 1.0)
    return np.where(first.touched & second.touched, np.sqrt(1 / cosine**2 - 1), np.inf)
