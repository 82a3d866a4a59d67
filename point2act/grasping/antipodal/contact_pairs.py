"""Antipodal contact pairs: from a surface point through the object to where it ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import frame_from_normal
from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.volume import LocalVolume, sample, solid

REACH = 1.5
"""Rays are followed for this many openings of the gripper, to report how much too wide a thing is."""


@dataclass(frozen=True)
class PairConfig:
    """How contact pairs are looked for. Numbers from the grasp study unless answered otherwise."""

    radii: tuple[float, ...] = (0.03, 0.045)
    """Contacts start within this distance of the action point, metres; the next one is tried when one
    gives no grasp."""
    points: int = 600
    """Surface points drawn to start at."""
    rays: int = 3
    """Directions tried from each point: straight in, the others jittered."""
    jitter: float = 0.14
    """Standard deviation of a jittered direction about the inward normal, radians (8 degrees)."""
    friction: float = 0.5
    """Coefficient of friction; both contacts' normals lie within its cone about the closing axis."""
    chords: int = 100
    """Places just below the surface from which level chords are drawn both ways: what lies flat on a table
    shows its top and hardly its sides. Chosen."""
    azimuths: int = 6
    """Level directions tried from each place."""
    below: float = 0.002
    """How far below the surface chords are drawn, metres: a voxel."""
    leaning: float = 0.5
    """Least cosine of both normals with a chord, 60 degrees: low things show round edges, and pads that reach
    further than the chord may still close on a knob's widest place. Chosen."""
    thinnest: float = 0.0025
    """Minimum width of a pair, metres; narrower ones are corners that a ray clips."""
    clearance: float = 0.006
    """Clearance between each open finger and its contact, metres: an 80 mm gripper spans 68 mm."""
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
    least_slant: float
    """The largest angle of a normal with the closing axis, of the pair where it is smallest, radians."""
    wide: Float[np.ndarray, " w"]
    """Widths of the antipodal pairs that the gripper cannot span, metres."""

    def __len__(self) -> int:
        return len(self.contacts)

    @property
    def widths(self) -> Float[np.ndarray, " p"]:
        """Distances between the contacts, metres."""
        return np.linalg.norm(self.contacts[:, 1] - self.contacts[:, 0], axis=1)

    @property
    def middles(self) -> Float[np.ndarray, "p 3"]:
        """Half-way between the contacts."""
        return self.contacts.mean(axis=1)


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
    """Pairs that start on the object, within ``radius`` of the action point (volume frame), and leave
    clearance to open a gripper of ``max_width``, metres.

    Along inward normals and jittered ones, to every surface on the way at which the object ends: a mug's
    wall gives one pair, the whole mug another; and along level chords. One contact at least is on a surface
    that was seen. Method: Nguyen (1988), antipodal point contacts with friction, on a signed distance field.
    """
    reach = REACH * max_width
    start, normals, start_seen = _beginnings(surface, action_point, radius, config, rng)
    across, ray, rays = _across(volume, surface, (start, normals, start_seen), reach, config, rng)
    level = _level(volume, surface, (start, normals), reach, config)
    contacts = np.concatenate([across[0], level[0]])
    both = np.concatenate([across[1], level[1]])
    seen = np.concatenate([across[2], level[2]])
    width = np.linalg.norm(contacts[:, 1] - contacts[:, 0], axis=1)
    axis = (contacts[:, 1] - contacts[:, 0]) / np.maximum(width, 1e-9)[:, None]
    cosine = np.minimum(-(both[:, 0] * axis).sum(axis=1), (both[:, 1] * axis).sum(axis=1))
    cone = np.repeat([1 / np.sqrt(1 + config.friction**2), config.leaning], [len(across[0]), len(level[0])])
    held = cosine > cone
    fits = width <= max_width - 2 * config.clearance
    held &= width >= config.thinnest
    known = seen.any(axis=1)
    merit = _merit(contacts, axis, cosine, seen, action_point)
    best = _different(contacts.mean(axis=1), axis, merit, np.flatnonzero(held & fits & known), config.keep)
    return Pairs(
        contacts=contacts[best],
        normals=both[best],
        seen=seen[best],
        tried=rays,
        endless=rays - len(np.unique(ray)),
        slanted=int((~held).sum()),
        least_slant=float(np.arccos(np.clip(cosine.max(), -1, 1))) if len(cosine) else np.inf,
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
        # A knob on a chest is a small share of what is near: most beginnings are close by.
        squared = ((surface.points[chosen] - action_point) ** 2).sum(axis=1)
        weight = np.exp(-0.5 * squared / (radius / 2) ** 2) + 0.1
        chosen = np.sort(rng.choice(chosen, config.points, replace=False, p=weight / weight.sum()))
    return surface.points[chosen], surface.normals[chosen], surface.seen[chosen]


_Found = tuple[Float[np.ndarray, "p 2 3"], Float[np.ndarray, "p 2 3"], Bool[np.ndarray, "p 2"]]
"""Contacts, their outward normals, and whether they were seen."""


def _across(
    volume: LocalVolume,
    surface: SurfacePoints,
    start_time: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]],
    reach: float,
    config: PairConfig,
    rng: np.random.Generator,
) -> tuple[_Found, np.ndarray, int]:
    """Pairs along inward normals and jittered ones; the ray of each pair, and how many rays there were."""
    directions = _directions(start_time[1], config, rng)
    repeat = len(directions) // max(len(start_time[0]), 1)
    start, normals = np.tile(start_time[0], (repeat, 1)), np.tile(start_time[1], (repeat, 1))
    seen = np.tile(start_time[2], repeat)
    ray, ends = march(volume, start, directions, reach=reach, step=config.step)
    end_normals, end_seen = _met(surface, ends)
    contacts = np.stack([start[ray], ends], axis=1)
    both = np.stack([normals[ray], end_normals], axis=1)
    return (contacts, both, np.stack([seen[ray], end_seen], axis=1)), ray, len(start)


def _level(
    volume: LocalVolume,
    surface: SurfacePoints,
    start_time: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]],
    reach: float,
    config: PairConfig,
) -> _Found:
    """Pairs at both ends of level chords through places just below the surface."""
    stride = -(-len(start_time[0]) // config.chords) or 1
    points, normals = (values[::stride] for values in start_time)
    inside = points - config.below * normals
    inside = inside[sample(volume, solid(volume), inside, outside=0.0) < 0]
    angles = np.pi * np.arange(config.azimuths) / config.azimuths
    flat = np.stack([np.cos(angles), np.sin(angles), np.zeros(config.azimuths)], axis=1)
    middle = np.repeat(inside, config.azimuths, axis=0)
    way = np.tile(flat, (len(inside), 1))
    ends = []
    for side in (-1.0, 1.0):
        ray, found = march(volume, middle, side * way, reach=reach, step=config.step)
        ray, first = np.unique(ray, return_index=True)
        ends.append((ray, found[first]))
    rays, left, right = np.intersect1d(ends[0][0], ends[1][0], return_indices=True)
    contacts = np.stack([ends[0][1][left], ends[1][1][right]], axis=1)
    sides = [_met(surface, contacts[:, side]) for side in (0, 1)]
    both = np.stack([sides[0][0], sides[1][0]], axis=1)
    return contacts, both.reshape(len(rays), 2, 3), np.stack([sides[0][1], sides[1][1]], axis=1)


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


def _met(
    surface: SurfacePoints, ends: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    """Normals where rays end, and whether a camera saw that: of the nearest point of the surface."""
    if not len(surface.points):
        return np.zeros((len(ends), 3)), np.zeros(len(ends), bool)
    _, nearest = surface.tree.query(ends)
    return surface.normals[nearest], surface.seen[nearest]


def _merit(
    contacts: Float[np.ndarray, "p 2 3"],
    axis: Float[np.ndarray, "p 3"],
    alignment: Float[np.ndarray, " p"],
    seen: Bool[np.ndarray, "p 2"],
    action_point: Float[np.ndarray, "3"],
) -> Float[np.ndarray, " p"]:
    """What pairs are ordered by: squarely faced, near the action point, level, and seen."""
    # Chosen: the study's weights of the score but for the distance (8), which would leave a knob few pairs
    # beside those of its chest; and what is closed on upright is hardly ever reached from above.
    away, upright = _to_segments(action_point, contacts), np.abs(axis[:, 2])
    return 2 * alignment - 20 * away - 0.5 * upright + 0.5 * seen.sum(axis=1)


def _different(
    middle: Float[np.ndarray, "p 3"],
    axis: Float[np.ndarray, "p 3"],
    merit: Float[np.ndarray, " p"],
    candidates: np.ndarray,
    keep: int,
) -> np.ndarray:
    """Indices of the best pairs, none within 3 mm and 12 degrees of a better one."""
    order = candidates[np.argsort(-merit[candidates], kind="stable")]
    chosen: list[int] = []
    while len(order) and len(chosen) < keep:
        first = order[0]
        chosen.append(int(first))
        near = np.linalg.norm(middle[order] - middle[first], axis=1) < 0.003
        parallel = np.abs(axis[order] @ axis[first]) > 0.978
        order = order[~(near & parallel)]
    return np.array(chosen, dtype=int)


def _to_segments(point: Float[np.ndarray, "3"], ends: Float[np.ndarray, "p 2 3"]) -> Float[np.ndarray, " p"]:
    """Distance from a point to the line between each pair's contacts."""
    line = ends[:, 1] - ends[:, 0]
    along = ((point - ends[:, 0]) * line).sum(axis=1) / np.maximum((line**2).sum(axis=1), 1e-12)
    return np.linalg.norm(ends[:, 0] + np.clip(along, 0, 1)[:, None] * line - point, axis=1)
