"""Antipodal contact pairs: opposite surface points of the object with normals along the line between them.

A pair of contacts p1, p2 with outward normals n1, n2 and the closing axis u = (p2 - p1) / |p2 - p1| is
antipodal with friction mu if both normals lie within the friction cone (Nguyen 1988):

    min(-n1 . u, n2 . u) >= 1 / sqrt(1 + mu²)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import frame_from_normal
from point2act.grasping.antipodal.boundary import SurfacePoints
from point2act.grasping.antipodal.volume import LocalVolume, interpolate, solid_field
from point2act.grasping.records import Records, concatenate

# Length of the rays, in openings of the gripper: how much too wide an object is can be reported up to there.
RAY_LENGTH = 1.5


@dataclass(frozen=True)
class PairConfig:
    """Search for antipodal contact pairs."""

    # Numbers without another origin are those of the grasp study.

    start_radii: tuple[float, ...] = (0.03, 0.045)
    """Largest distance of the first contact from the action point, metres; the next radius is tried if one
    gives too few grasps."""
    last_radius: float = 0.09
    """The same if there is still no grasp at all: the whole object is searched."""
    # The rim of a bowl whose near side is too low for a gripper, a corner of a box that is too wide. Chosen.
    last_density: int = 3
    """Factor on the numbers of rays, chords and their directions there."""
    # Things that hardly fit the gripper have few places where they do, and a chord 15 degrees off makes them
    # 4 % wider: of 19 things at 0.7 to 1.2 m, 3 more have grasps.
    start_points: int = 600
    """Number of surface points at which rays start."""
    rays_per_point: int = 3
    """Number of rays from each point: one along the inward normal, the others jittered."""
    ray_jitter: float = 0.14
    """Standard deviation of the direction of jittered rays, radians."""
    friction: float = 0.5
    """Coefficient of friction between pads and object."""
    chord_points: int = 100
    """Number of points just below the surface from which horizontal chords are marched both ways."""
    # Objects that lie flat on a table show their top and hardly their sides. Chosen.
    chord_azimuths: int = 6
    """Number of horizontal directions of chords at each point."""
    chord_depth: float = 0.002
    """Depth of the chords below the surface, metres."""
    min_chord_cosine: float = 0.5
    """Smallest cosine between the normals and a chord."""
    # 60 degrees: low objects show round edges, and pads that reach further than the chord may still close on
    # a knob's widest place. Chosen.
    min_width: float = 0.0025
    """Smallest width of a pair, metres; narrower ones are corners that a ray clips."""
    clearance: float = 0.006
    """Clearance between each open finger and its contact, metres, where the gripper opens that far."""
    min_clearance: float = 0.003
    """The same for the widest objects, metres: an 80 mm gripper spans 74 mm."""
    # Beyond it the margin of the fingers alone is left. Chosen.
    step: float = 0.001
    """Step of the ray march, metres."""
    max_pairs: int = 600
    """Largest number of pairs, best first."""
    # Few are tried where grasps are easy to find. With 200, two things in a shelf have none. Chosen.


@dataclass(frozen=True, eq=False)
class ContactPairs:
    """Contact pairs in the volume frame, and statistics of the rejected ones."""

    contacts: Float[np.ndarray, "p 2 3"]
    normals: Float[np.ndarray, "p 2 3"]
    seen: Bool[np.ndarray, "p 2"]
    """Contacts that a camera observed."""
    tried: int
    """Number of rays."""
    endless: int
    """Number of rays that do not leave the object within reach."""
    slanted: int
    """Number of pairs with a normal outside the friction cone."""
    least_slant: float
    """Smallest over all pairs of the larger angle between a normal and the closing axis, radians."""
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
        """Midpoints between the contacts."""
        return self.contacts.mean(axis=1)


@dataclass(frozen=True, eq=False)
class _Candidates(Records):
    """Unchecked pairs: both contacts, their outward normals, and whether they were observed."""

    contacts: Float[np.ndarray, "p 2 3"]
    normals: Float[np.ndarray, "p 2 3"]
    seen: Bool[np.ndarray, "p 2"]


def find_contact_pairs(
    volume: LocalVolume,
    surface: SurfacePoints,
    action_point: Float[np.ndarray, "3"],
    *,
    radius: float,
    max_width: float,
    config: PairConfig,
    rng: np.random.Generator,
) -> ContactPairs:
    """Find antipodal contact pairs by marching rays through the signed distance field (Nguyen 1988).

    Rays go along inward normals and jittered around them, to every surface at which the object ends: a mug's
    wall gives one pair, the whole mug another. Horizontal chords are added. At least one contact of a pair is
    observed.

    Args:
        action_point: Volume frame, metres.
        radius: Largest distance of the first contact from the action point, metres.
        max_width: Opening of the gripper, metres.
        rng: Draws start points and jitter.
    """
    reach = RAY_LENGTH * max_width
    start = _start_points(surface, action_point, radius, config, rng)
    through, ray, rays = _through_rays(volume, surface, start, reach, config, rng)
    level = _level_chords(volume, surface, start, reach, config)
    found = concatenate([through, level])
    contacts, normals = found.contacts, found.normals
    width = np.linalg.norm(contacts[:, 1] - contacts[:, 0], axis=1)
    axis = (contacts[:, 1] - contacts[:, 0]) / np.maximum(width, 1e-9)[:, None]
    cosine = np.minimum(-(normals[:, 0] * axis).sum(axis=1), (normals[:, 1] * axis).sum(axis=1))
    cone = [1 / np.sqrt(1 + config.friction**2), config.min_chord_cosine]
    held = cosine > np.repeat(cone, [len(through.seen), len(level.seen)])
    held &= width >= config.min_width
    fits = width <= max_width - 2 * config.min_clearance
    merit = _merit(found, axis, cosine, action_point)
    candidates = np.flatnonzero(held & fits & found.seen.any(axis=1))
    best = found.only(_distinct(contacts.mean(axis=1), axis, merit, candidates, config.max_pairs))
    return ContactPairs(
        contacts=best.contacts,
        normals=best.normals,
        seen=best.seen,
        tried=rays,
        endless=rays - len(np.unique(ray)),
        slanted=int((~held).sum()),
        least_slant=float(np.arccos(np.clip(cosine.max(), -1, 1))) if len(cosine) else np.inf,
        wide=width[held & ~fits],
    )


def _start_points(
    surface: SurfacePoints,
    action_point: Float[np.ndarray, "3"],
    radius: float,
    config: PairConfig,
    rng: np.random.Generator,
) -> SurfacePoints:
    """Draw object points near the action point, preferably close ones: a knob is small on its chest."""
    near = surface.on_object & (((surface.points - action_point) ** 2).sum(axis=1) < radius**2)
    chosen = np.flatnonzero(near)
    if len(chosen) > config.start_points:
        squared = ((surface.points[chosen] - action_point) ** 2).sum(axis=1)
        weight = np.exp(-0.5 * squared / (radius / 2) ** 2) + 0.1
        p = weight / weight.sum()
        chosen = np.sort(rng.choice(chosen, config.start_points, replace=False, p=p))
    return surface.only(chosen)


def _through_rays(
    volume: LocalVolume,
    surface: SurfacePoints,
    start: SurfacePoints,
    reach: float,
    config: PairConfig,
    rng: np.random.Generator,
) -> tuple[_Candidates, np.ndarray, int]:
    """Return pairs along inward and jittered rays, the ray of each pair, and the number of rays."""
    directions = _directions(start.normals, config, rng)
    start = start.only(np.tile(np.arange(len(start.points)), config.rays_per_point))
    ray, ends = march_rays(volume, start.points, directions, reach=reach, step=config.step)
    normals, seen = _at_surface(surface, ends)
    here = start.only(ray)
    pairs = ((here.points, ends), (here.normals, normals), (here.seen, seen))
    return _Candidates(*(np.stack(pair, axis=1) for pair in pairs)), ray, len(directions)


def _level_chords(
    volume: LocalVolume, surface: SurfacePoints, start: SurfacePoints, reach: float, config: PairConfig
) -> _Candidates:
    """Return pairs at both ends of horizontal chords through points just below the surface."""
    start = start.only(slice(None, None, -(-len(start.points) // config.chord_points) or 1))
    inside = start.points - config.chord_depth * start.normals
    inside = inside[interpolate(volume, solid_field(volume), inside, outside=0.0) < 0]
    angles = np.pi * np.arange(config.chord_azimuths) / config.chord_azimuths
    flat = np.stack([np.cos(angles), np.sin(angles), np.zeros(config.chord_azimuths)], axis=1)
    middle = np.repeat(inside, config.chord_azimuths, axis=0)
    direction = np.tile(flat, (len(inside), 1))
    ends = []
    for side in (-1.0, 1.0):
        ray, found = march_rays(volume, middle, side * direction, reach=reach, step=config.step)
        ray, first = np.unique(ray, return_index=True)
        ends.append((ray, found[first]))
    _, left, right = np.intersect1d(ends[0][0], ends[1][0], return_indices=True)
    contacts = ends[0][1][left], ends[1][1][right]
    normals, seen = zip(*(_at_surface(surface, side) for side in contacts), strict=True)
    return _Candidates(np.stack(contacts, axis=1), np.stack(normals, axis=1), np.stack(seen, axis=1))


def _directions(
    normals: Float[np.ndarray, "n 3"], config: PairConfig, rng: np.random.Generator
) -> Float[np.ndarray, "m 3"]:
    """Return the inward normals, then jittered copies of them."""
    if not len(normals):
        return np.zeros((0, 3))
    frames = frame_from_normal(-normals)
    directions = [-normals]
    for _ in range(config.rays_per_point - 1):
        tilt = config.ray_jitter * rng.standard_normal((len(normals), 2))
        jittered = (frames[:, :, :2] * tilt[:, None]).sum(axis=2) - normals
        directions.append(jittered / np.linalg.norm(jittered, axis=1, keepdims=True))
    return np.concatenate(directions)


def march_rays(
    volume: LocalVolume,
    start: Float[np.ndarray, "n 3"],
    directions: Float[np.ndarray, "n 3"],
    *,
    reach: float,
    step: float,
) -> tuple[np.ndarray, Float[np.ndarray, "m 3"]]:
    """Find where rays leave the solid, within ``reach`` metres and inside the cube.

    Unobserved space counts as solid; a ray that ends inside it has no exit.

    Returns:
        The index of the ray and the point of every exit, nearest first for each ray.
    """
    along = step * np.arange(1, int(reach / step) + 1)
    points = start[:, None] + along[:, None] * directions[:, None]
    values = interpolate(volume, solid_field(volume), points.reshape(-1, 3), outside=-volume.truncation)
    values = values.reshape(len(start), len(along))
    ray, last = np.nonzero((values[:, :-1] <= 0) & (values[:, 1:] > 0))
    low, high = values[ray, last], values[ray, last + 1]
    distance = along[last] + step * low / (low - high)
    ends = start[ray] + distance[:, None] * directions[ray]
    within = (np.abs(ends) <= volume.half_size - volume.voxel).all(axis=1)
    return ray[within], ends[within]


def _at_surface(
    surface: SurfacePoints, ends: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    """Return normals at the ends of rays and whether they were observed, from the nearest surface points."""
    if not len(surface.points):
        return np.zeros((len(ends), 3)), np.zeros(len(ends), bool)
    _, nearest = surface.tree.query(ends)
    return surface.normals[nearest], surface.seen[nearest]


def _merit(
    found: _Candidates,
    axis: Float[np.ndarray, "p 3"],
    cosine: Float[np.ndarray, " p"],
    action_point: Float[np.ndarray, "3"],
) -> Float[np.ndarray, " p"]:
    """Return the order of pairs: aligned normals, near the action point, horizontal, observed."""
    # Chosen: the study's weights of the score but for the distance (8), which would leave a knob few pairs
    # beside those of its chest; and what is closed on upright is hardly ever reached from above.
    away, upright = _to_segments(action_point, found.contacts), np.abs(axis[:, 2])
    return 2 * cosine - 20 * away - 0.5 * upright + 0.5 * found.seen.sum(axis=1)


def _distinct(
    middle: Float[np.ndarray, "p 3"],
    axis: Float[np.ndarray, "p 3"],
    merit: Float[np.ndarray, " p"],
    candidates: np.ndarray,
    count: int,
) -> np.ndarray:
    """Return the indices of the best pairs, none within 3 mm and 12 degrees of a better one."""
    order = candidates[np.argsort(-merit[candidates], kind="stable")]
    chosen: list[int] = []
    while len(order) and len(chosen) < count:
        first = order[0]
        chosen.append(int(first))
        near = np.linalg.norm(middle[order] - middle[first], axis=1) < 0.003
        parallel = np.abs(axis[order] @ axis[first]) > 0.978
        order = order[~(near & parallel)]
    return np.array(chosen, dtype=int)


def _to_segments(point: Float[np.ndarray, "3"], ends: Float[np.ndarray, "p 2 3"]) -> Float[np.ndarray, " p"]:
    """Return the distances from a point to the segments between contacts."""
    line = ends[:, 1] - ends[:, 0]
    along = ((point - ends[:, 0]) * line).sum(axis=1) / np.maximum((line**2).sum(axis=1), 1e-12)
    return np.linalg.norm(ends[:, 0] + np.clip(along, 0, 1)[:, None] * line - point, axis=1)
