"""Antipodal contact pairs: from a surface point through the object to where it ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from point2act.geometry import frame_from_normal
from point2act.grasps.boundary import SurfacePoints
from point2act.grasps.volume import LocalVolume, normals_at, sample, solid

REACH = 1.5
"""Rays are followed for this many openings of the gripper, to tell how much too wide a thing is."""


@dataclass(frozen=True)
class PairConfig:
    """How contact pairs are looked for. Numbers from the grasp study unless said otherwise."""

    radii: tuple[float, ...] = (0.03, 0.045)
    """Contacts begin within this distance of the action point, metres; the next one is tried when one
    gives no grasp."""
    points: int = 600
    """Surface points drawn to begin at."""
    rays: int = 3
    """Directions tried from each point: straight in, the others jittered."""
    jitter: float = 0.14
    """Standard deviation of a jittered direction about the inward normal, radians (8 degrees)."""
    friction: float = 0.5
    """Coefficient of friction; both contacts' normals lie within its cone about the closing axis."""
    clearance: float = 0.006
    """Room left between each open finger and its contact, metres; so 68 mm is the widest for 80 mm."""
    step: float = 0.001
    """Step of the march, metres: half a voxel."""
    keep: int = 200
    """Pairs kept, the best and mutually different ones: what 2 seconds are enough for (measured)."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Contact pairs in the volume frame, and what became of the others."""

    contacts: Float[np.ndarray, "p 2 3"]
    normals: Float[np.ndarray, "p 2 3"]
    seen: Bool[np.ndarray, "p 2"]
    tried: int
    """Rays marched."""
    endless: int
    """Rays that met no other side within reach."""
    slanted: int
    """Pairs with a normal outside the friction cone."""
    wide: Float[np.ndarray, " w"]
    """Widths of the antipodal pairs that the gripper cannot span, metres."""

    def __len__(self) -> int:
        return len(self.contacts)


def find_pairs(
    volume: LocalVolume,
    surface: SurfacePoints,
    action_point: Float[np.ndarray, "3"],
    *,
    radius: float,
    max_width: float,
    config: PairConfig,
    rng: np.random.Generator,
) -> Pairs:
    """Pairs that begin on the object, within ``radius`` of the action point (volume frame), and leave
    room to open a gripper of ``max_width``, metres.

    Along inward normals and jittered ones, to every surface on the way at which the object ends: a mug's
    wall gives one pair, the whole mug another. Method: Nguyen (1988), antipodal point
    contacts with friction, on a signed distance field.
    """
    start, normals, start_seen = _beginnings(surface, action_point, radius, config, rng)
    directions = _directions(normals, config, rng)
    repeat = len(directions) // max(len(start), 1)
    start, normals = np.tile(start, (repeat, 1)), np.tile(normals, (repeat, 1))
    start_seen = np.tile(start_seen, repeat)
    ray, ends = march(volume, start, directions, reach=REACH * max_width, step=config.step)
    end_normals = normals_at(volume, surface.slopes, ends)
    cone = 1 / np.sqrt(1 + config.friction**2)
    axis = directions[ray]
    held = (-(normals[ray] * axis).sum(axis=1) > cone) & ((end_normals * axis).sum(axis=1) > cone)
    contacts = np.stack([start[ray], ends], axis=1)
    width = np.linalg.norm(contacts[:, 1] - contacts[:, 0], axis=1)
    fits = width <= max_width - 2 * config.clearance
    seen = np.stack([start_seen[ray], _on_seen_surface(surface, ends, volume.voxel)], axis=1)
    both = np.stack([normals[ray], end_normals], axis=1)
    best = _different(contacts, both, seen, np.flatnonzero(held & fits), action_point, config.keep)
    return Pairs(
        contacts=contacts[best],
        normals=both[best],
        seen=seen[best],
        tried=len(start),
        endless=len(start) - len(np.unique(ray)),
        slanted=int((~held).sum()),
        wide=width[held & ~fits],
    )


def _beginnings(
    surface: SurfacePoints,
    action_point: Float[np.ndarray, "3"],
    radius: float,
    config: PairConfig,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    near = surface.on_object & (((surface.points - action_point) ** 2).sum(axis=1) < radius**2)
    chosen = np.flatnonzero(near)
    if len(chosen) > config.points:
        chosen = np.sort(rng.choice(chosen, config.points, replace=False))
    return surface.points[chosen], surface.normals[chosen], surface.seen[chosen]


def _directions(
    normals: Float[np.ndarray, "n 3"], config: PairConfig, rng: np.random.Generator
) -> Float[np.ndarray, "m 3"]:
    if not len(normals):
        return np.zeros((0, 3))
    frames = frame_from_normal(-normals)
    directions = [-normals]
    for _ in range(config.rays - 1):
        tilt = config.jitter * rng.standard_normal((len(normals), 2))
        jittered = (frames[:, :, :2] * tilt[:, None]).sum(axis=2) - normals
        directions.append(jittered / np.linalg.norm(jittered, axis=1, keepdims=True))
    return np.concatenate(directions)


def march(
    volume: LocalVolume,
    start: Float[np.ndarray, "n 3"],
    directions: Float[np.ndarray, "n 3"],
    *,
    reach: float,
    step: float,
) -> tuple[np.ndarray, Float[np.ndarray, "m 3"]]:
    """Where rays from the surface leave the solid again, within ``reach`` and inside the cube.

    Returns for every exit the index of its ray and the point, nearest first for each ray. What was
    never seen counts as solid; a ray that ends inside it has no exit.
    """
    along = step * np.arange(1, int(reach / step) + 1)
    points = start[:, None] + along[:, None] * directions[:, None]
    values = sample(volume, solid(volume), points.reshape(-1, 3), outside=-volume.truncation)
    values = values.reshape(len(start), len(along))
    ray, last = np.nonzero((values[:, :-1] <= 0) & (values[:, 1:] > 0))
    low, high = values[ray, last], values[ray, last + 1]
    distance = along[last] + step * low / (low - high)
    ends = start[ray] + distance[:, None] * directions[ray]
    within = (np.abs(ends) <= volume.half_size - volume.voxel).all(axis=1)
    return ray[within], ends[within]


def _on_seen_surface(
    surface: SurfacePoints, points: Float[np.ndarray, "n 3"], voxel: float
) -> Bool[np.ndarray, " n"]:
    if not surface.seen.any():
        return np.zeros(len(points), bool)
    distance, _ = KDTree(surface.points[surface.seen]).query(points, distance_upper_bound=1.5 * voxel)
    return np.isfinite(distance)


def _different(
    contacts: Float[np.ndarray, "p 2 3"],
    normals: Float[np.ndarray, "p 2 3"],
    seen: Bool[np.ndarray, "p 2"],
    candidates: np.ndarray,
    action_point: Float[np.ndarray, "3"],
    keep: int,
) -> np.ndarray:
    """Indices of the best pairs, none within 3 mm and 12 degrees of a better one."""
    line = contacts[:, 1] - contacts[:, 0]
    axis = line / np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-9)
    middle = contacts.mean(axis=1)
    alignment = np.minimum(-(normals[:, 0] * axis).sum(axis=1), (normals[:, 1] * axis).sum(axis=1))
    # The weights of the score: alignment 2, 8 per metre from the action point; an unseen contact costs 0.5.
    merit = 2 * alignment - 8 * np.linalg.norm(middle - action_point, axis=1) + 0.5 * seen.sum(axis=1)
    order = candidates[np.argsort(-merit[candidates], kind="stable")]
    chosen: list[int] = []
    while len(order) and len(chosen) < keep:
        first = order[0]
        chosen.append(int(first))
        near = np.linalg.norm(middle[order] - middle[first], axis=1) < 0.003
        parallel = np.abs(axis[order] @ axis[first]) > 0.978
        order = order[~(near & parallel)]
    return np.array(chosen, dtype=int)
