"""Closing the pads of a gripper on a surface: contact patches, friction needed and robustness.

In the gripper frame the pads close along y, with signed coordinate ``s = ±y`` of a surface point x and
outward normal n. Each pad of size ``(b, l)`` stops at the foremost surface in front of it,

    s* = max { s_i : |x_i| <= b/2, |z_i| <= l/2, ±n_i,y > cos_min, w/2 - o <= s_i <= opening/2 }

and its patch holds the points with ``s_i >= s* - compliance``. Two patches can press against each other along
a line u if both mean normals lie within the friction cone of u, tan(angle(n, u)) <= mu (Nguyen 1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation

from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.contact_pairs import ContactPairs
from point2act.grasping.records import Records


@dataclass(frozen=True)
class ContactConfig:
    """Contact of a pad with a surface."""

    compliance: float = 0.0015
    """Largest distance behind the foremost contact at which a pad still holds the surface, metres."""
    # Rubber and the noise of the surface. Chosen.
    min_facing_cosine: float = 0.3
    """Smallest cosine between a surface normal and the direction to the pad for contact."""
    max_overclosing: float = 0.010
    """Largest distance that a pad closes beyond its expected contact, metres."""


@dataclass(frozen=True, eq=False)
class ContactPatch(Records):
    """Surface that one pad holds, one entry per pose, in the gripper frame, metres."""

    touched: Bool[np.ndarray, " n"]
    center: Float[np.ndarray, "n 3"]
    """Centre of the patch on the pad's face."""
    normal: Float[np.ndarray, "n 3"]
    """Mean outward normal of the surface, not normalised."""
    count: Int[np.ndarray, " n"]
    """Number of surface points, one per voxel."""
    length: Float[np.ndarray, " n"]
    """Extent along the finger."""
    breadth: Float[np.ndarray, " n"]
    """Extent across the finger."""
    seen: Float[np.ndarray, " n"]
    """Fraction of the points that a camera observed; the others are presumed."""

    @property
    def alignment(self) -> Float[np.ndarray, " n"]:
        """Mean cosine between the surface's normals and the closing axis."""
        return np.abs(self.normal[:, 1])


@dataclass(frozen=True, eq=False)
class NearSurface:
    """Surface points around a contact pair, relative to the midpoint of the contacts."""

    points: Float[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "m 3"]
    seen: Bool[np.ndarray, " m"]


def near_surfaces(
    surface: SurfacePoints, pairs: ContactPairs, chosen: np.ndarray, radius: float
) -> dict[int, NearSurface]:
    """Return the surface within a radius (metres) of either contact, for every chosen index of a pair."""
    near = {}
    for index in np.unique(chosen).tolist():
        contacts = pairs.contacts[index]
        first, second = surface.tree.query_ball_point(contacts, radius)
        rows = np.union1d(first, second).astype(int)
        middle = contacts.mean(axis=0)
        near[index] = NearSurface(surface.points[rows] - middle, surface.normals[rows], surface.seen[rows])
    return near


def close_pads(
    near: NearSurface,
    rotations: Float[np.ndarray, "n 3 3"],
    origins: Float[np.ndarray, "n 3"],
    pad_size: tuple[float, float],
    *,
    width: float,
    opening: float,
    config: ContactConfig,
) -> tuple[ContactPatch, ContactPatch]:
    """Close a gripper at poses around one contact pair.

    The object gives way, as light objects do, until both pads touch.

    Args:
        near: Surface around the pair, relative to the midpoint of the contacts.
        rotations: Gripper axes (columns) in the frame of the surface.
        origins: Gripper origins, relative to the midpoint of the contacts, metres.
        pad_size: Width and length of a pad, metres.
        width: Distance between the contacts, metres.
        opening: Distance between the pads before they close, metres.

    Returns:
        The patches on the -y and on the +y side.
    """
    local = [
        near.points @ rotations[:, :, i].T - (origins * rotations[:, :, i]).sum(axis=1) for i in range(3)
    ]
    x, y, z = (coordinate.T for coordinate in local)
    facing = rotations[:, :, 1] @ near.normals.T
    before = (np.abs(x) <= pad_size[0] / 2) & (np.abs(z) <= pad_size[1] / 2)

    def stop(side: float) -> ContactPatch:
        out = side * y
        reachable = (out <= opening / 2) & (out >= width / 2 - config.max_overclosing)
        meets = before & (side * facing > config.min_facing_cosine) & reachable
        foremost = np.where(meets, out, -np.inf).max(axis=1, initial=-np.inf)
        held = meets & (out >= foremost[:, None] - config.compliance)
        count = held.sum(axis=1)
        touched = count > 0
        share = held / np.maximum(count, 1)[:, None]
        center = [(share * x).sum(axis=1), np.where(touched, side * foremost, 0.0), (share * z).sum(axis=1)]
        normal = np.einsum("nj,njk->nk", share @ near.normals, rotations)
        extents = _extent(z, held), _extent(x, held)
        return ContactPatch(touched, np.stack(center, axis=1), normal, count, *extents, share @ near.seen)

    return stop(-1.0), stop(1.0)


def _extent(values: Float[np.ndarray, "n m"], chosen: Bool[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    highest = np.where(chosen, values, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(chosen, values, np.inf).min(axis=1, initial=np.inf)
    return np.where(chosen.any(axis=1), highest - lowest, 0.0)


def required_friction(first: ContactPatch, second: ContactPatch) -> Float[np.ndarray, " n"]:
    """Return the smallest coefficient of friction at which two patches can press against each other.

    The tangent of the larger angle between the patches' normals and the line along which they press (Nguyen
    1988): the closing axis where the patches overlap, otherwise tilted as little as the patches allow.
    Infinite if a pad touches nothing.
    """
    line = second.center - first.center
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


# ── robustness ─────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class RobustnessConfig:
    """Errors of execution, as standard deviations."""

    # About what arms, their calibration and depth leave. Chosen.

    draws: int = 24
    """Number of perturbed grasps."""
    # Dex-Net 2.0 takes 10 to 25 (Mahler et al. 2017).
    position_sigma: float = 0.002
    """Error of the gripper's position along each axis, metres."""
    angle_sigma: float = 0.035
    """Error of the gripper's orientation about each axis, radians."""
    friction_sigma: float = 0.1
    """Error of the coefficient of friction."""
    depth_sigma: float = 0.001
    """Error of the surface along the approach, the same for the whole object, metres."""
    min_points: int = 3
    """Smallest number of surface points that a pad must hold."""


@dataclass(frozen=True, eq=False)
class Perturbations:
    """Errors of execution, the same for every grasp, so that grasps are compared under equal conditions."""

    rotations: Float[np.ndarray, "m 3 3"]
    """Rotations of the gripper in its own frame."""
    shifts: Float[np.ndarray, "m 3"]
    """Translations in the gripper frame, metres."""
    friction: Float[np.ndarray, " m"]
    """Coefficients of friction."""


def draw_perturbations(friction: float, config: RobustnessConfig, rng: np.random.Generator) -> Perturbations:
    """Draw errors of pose and depth, and coefficients of friction around a given one."""
    shifts = config.position_sigma * rng.standard_normal((config.draws, 3))
    shifts[:, 2] += config.depth_sigma * rng.standard_normal(config.draws)
    rotations = Rotation.from_rotvec(config.angle_sigma * rng.standard_normal((config.draws, 3))).as_matrix()
    rough = friction + config.friction_sigma * rng.standard_normal(config.draws)
    return Perturbations(rotations, shifts, np.maximum(rough, 0.05))


def robustness(
    near: NearSurface,
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    pad_size: tuple[float, float],
    perturbations: Perturbations,
    *,
    width: float,
    opening: float,
    contact: ContactConfig,
    config: RobustnessConfig,
) -> float:
    """Return the fraction of perturbed grasps that hold: both pads touch and press within the friction cone.

    Monte Carlo over pose, friction and depth as in Dex-Net (Mahler et al. 2017). For the arguments see
    ``close_pads``.
    """
    patches = close_pads(
        near,
        rotation @ perturbations.rotations,
        origin + perturbations.shifts @ rotation.T,
        pad_size,
        width=width,
        opening=opening,
        config=contact,
    )
    held = np.minimum(patches[0].count, patches[1].count) >= config.min_points
    return float((held & (required_friction(*patches) <= perturbations.friction)).mean())
