"""Where to set something down: the surface about an action point, its normal, how far it is flat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import label
from scipy.spatial import KDTree

from point2act.core.geometry import (
    back_project,
    frame_from_normal,
    invert,
    project,
    to_tangents,
    transform_points,
)
from point2act.core.types import NoAnswer, PlacePose, View

_REFINEMENTS = 5
# A patch whose variances along and across differ by less has no longest extent. Chosen.
_ROUND = 1.3
# The sine of the smallest angle between a view and a normal that gives a direction on the surface.
_SLANTED = 0.1


@dataclass(frozen=True)
class PlaceConfig:
    """What counts as flat and how far it is looked for. All chosen; metres of a world of known scale."""

    tolerance: float = 0.004
    """Surface this near to the place's plane is flat, metres: two to three times a depth camera's noise."""
    reach: float = 0.15
    """How far about the action point the surface is looked at, metres; no disc is reported to be larger."""
    attraction: float = 0.02
    """The plane is the one with most surface about the action point, under a Gaussian of this width, metres:
    a fingertip, the least that anything is set down on."""
    gap: float = 0.008
    """Holes in the surface up to twice this wide are missing readings, not the end of it, metres."""
    trials: int = 300
    """Planes through three random points: enough for a 99 % chance at a share of 0.25."""
    max_points: int = 20_000
    """Surface points looked at; more are thinned out evenly."""
    usual_distance: float = 0.5
    """Where lengths are not metres, the cameras are taken to be this far from the action point, metres."""


@dataclass(frozen=True, eq=False)
class SeenPoints:
    """Points of the surface, each as one camera saw it."""

    points: Float[np.ndarray, "n 3"]
    """World."""
    projections: Float[np.ndarray, "n 3"]
    """Unit vectors to the camera that saw the point."""

    def __len__(self) -> int:
        return len(self.points)

    def only(self, chosen: np.ndarray | slice) -> SeenPoints:
        """Some of them."""
        return SeenPoints(self.points[chosen], self.projections[chosen])


def find_place(
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    action_point: Float[np.ndarray, "3"],
    *,
    metric: bool,
    config: PlaceConfig = PlaceConfig(),
    rng: np.random.Generator,
) -> PlacePose | NoAnswer:
    """The place on the seen surface at an action point, in the world frame and its unit.

    ``depths`` are z-depths that belong to the views, 0 where there is none. Where lengths are not
    ``metric``, those of the config are scaled by how far the cameras are. Without three surface points
    in reach the answer is ``no_geometry``.
    """
    metre = 1.0 if metric else presumed_metre(views, action_point, config)
    seen = seen_points(views, depths, action_point, reach=metre * config.reach)
    return fit_place(seen, action_point, metre=metre, config=config, rng=rng)


def presumed_metre(views: Sequence[View], point: Float[np.ndarray, "3"], config: PlaceConfig) -> float:
    """A metre in the unit of a world of unknown scale, were the cameras as far away as they usually are."""
    away = [np.linalg.norm(view.T_world_cam[:3, 3] - point) for view in views]
    return float(np.median(away)) / config.usual_distance if away else 1.0


def seen_points(
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    center: Float[np.ndarray, "3"],
    *,
    reach: float,
) -> SeenPoints:
    """World points of all pixels whose surface lies within ``reach`` of a world point."""
    points, projections = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for view, depth in zip(views, depths, strict=True):
        rows, columns = _window(view, center, reach)
        usable = np.isfinite(depth[rows, columns]) & (depth[rows, columns] > 0)
        usable &= True if view.mask is None else view.mask[rows, columns]
        row, column = np.nonzero(usable)
        pixels = np.stack([column + columns.start + 0.5, row + rows.start + 0.5], axis=1)
        z = depth[rows, columns][usable].astype(float)
        found = back_project(view.camera, view.T_world_cam, pixels, z)
        found = found[((found - center) ** 2).sum(axis=1) < reach**2]
        back = view.T_world_cam[:3, 3] - found
        points.append(found)
        projections.append(back / np.linalg.norm(back, axis=1, keepdims=True))
    return SeenPoints(np.concatenate(points), np.concatenate(projections))


def _window(view: View, center: Float[np.ndarray, "3"], reach: float) -> tuple[slice, slice]:
    """Rows and columns of a view that can show what lies within ``reach`` of a point."""
    camera = view.camera
    (pixel,), (z,) = project(camera, view.T_world_cam, center[None])
    if z < -reach:
        return slice(0, 0), slice(0, 0)
    if z <= 1.5 * reach:
        return slice(0, camera.height), slice(0, camera.width)
    # From the middle outwards a ball views largest on its near side: at depth z - reach, and off the axis.
    slant = 1 + np.abs(to_tangents(camera, pixel[None])[0])
    half = reach * slant * [camera.fx, camera.fy] / (z - reach)
    low = np.clip(np.floor(pixel - half), 0, [camera.width, camera.height]).astype(int)
    high = np.clip(np.ceil(pixel + half), 0, [camera.width, camera.height]).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def fit_place(
    seen: SeenPoints,
    action_point: Float[np.ndarray, "3"],
    *,
    metre: float = 1.0,
    config: PlaceConfig = PlaceConfig(),
    rng: np.random.Generator,
) -> PlacePose | NoAnswer:
    """The place that surface points in the world make at an action point.

    ``metre`` is the length of a metre in the world's unit. The plane has most surface about the action
    point (RANSAC, Fischler and Bolles 1981, then weighted least squares) and faces those who saw it; the
    origin is where the action point, moved along the normal, meets the surface.
    """
    seen = seen.only(slice(None, None, max(1, math.ceil(len(seen) / config.max_points))))
    tolerance, gap = metre * config.tolerance, metre * config.gap
    plane = _plane(seen, action_point, tolerance, metre * config.attraction, config.trials, rng)
    if plane is None:
        return NoAnswer("no_geometry", f"{len(seen)} surface points about the action point make no plane")
    T_world_place = np.eye(4)
    T_world_place[:3, :3] = _frame(plane[:3], seen.projections)
    T_world_place[:3, 3] = origin = _origin(seen.points, action_point, plane, tolerance, gap)
    x, y, height = transform_points(invert(T_world_place), seen.points).T
    across, flat = np.stack([x, y], axis=1), np.abs(height) < tolerance
    limit = max(metre * config.reach - float(np.linalg.norm(origin - action_point)), 0.0)
    radius = _flat_radius(across[flat], across[height >= tolerance], gap, limit)
    inner = height[flat & (x**2 + y**2 <= max(radius, gap) ** 2)]
    T_world_place[:3, :3] = T_world_place[:3, :3] @ _turn(across[flat], gap)
    return PlacePose(T_world_place, radius, float(np.std(inner)))


def _plane(
    seen: SeenPoints,
    action_point: Float[np.ndarray, "3"],
    tolerance: float,
    attraction: float,
    trials: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "4"] | None:
    """The plane ``n @ x + d = 0`` with most weight about the action point, as ``(n, d)``; None without one.

    ``n`` is the side from which the points were seen.
    """
    if len(seen) < 3:
        return None
    squared = ((seen.points - action_point) ** 2).sum(axis=1)
    # Relative to the nearest, for the action point may lie off the surface.
    weight = np.exp(-0.5 * (squared - squared.min()) / attraction**2)
    corners = seen.points[rng.choice(len(seen), size=(trials, 3), p=weight / weight.sum())]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1)
    proper = length > 1e-3 * attraction**2
    if not proper.any():
        return None
    normals, corners = normals[proper] / length[proper, None], corners[proper]
    off = (seen.points @ normals.T - (normals * corners[:, 0]).sum(axis=1)) / tolerance
    best = int(np.argmax(weight @ np.maximum(1 - off**2, 0)))
    normal, middle = normals[best], corners[best, 0]
    for _ in range(_REFINEMENTS):
        share = weight * (np.abs((seen.points - middle) @ normal) < tolerance)
        middle = share @ seen.points / share.sum()
        apart = seen.points - middle
        normal = np.linalg.eigh((share[:, None] * apart).T @ apart)[1][:, 0]
    share = weight * (np.abs((seen.points - middle) @ normal) < tolerance)
    normal = normal if share @ seen.projections @ normal >= 0 else -normal
    return np.append(normal, -normal @ middle)


def _frame(normal: Float[np.ndarray, "3"], projections: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Axes as columns: z is the normal, x level with the surface and towards the first camera.

    Whatever turns with the world will do for x; a camera straight above has no direction to offer.
    """
    level = projections - (projections @ normal)[:, None] * normal
    slanted = np.linalg.norm(level, axis=1) > _SLANTED
    if not slanted.any():
        return frame_from_normal(normal[None])[0]
    x = level[slanted.argmax()] / np.linalg.norm(level[slanted.argmax()])
    return np.stack([x, np.cross(normal, x), normal], axis=1)


def _origin(
    points: Float[np.ndarray, "n 3"],
    action_point: Float[np.ndarray, "3"],
    plane: Float[np.ndarray, "4"],
    tolerance: float,
    gap: float,
) -> Float[np.ndarray, "3"]:
    """Where the action point, moved along the normal, meets the surface; or the nearest point to there."""
    normal = plane[:3]
    height = points @ normal + plane[3]
    on = np.abs(height) < tolerance
    foot = action_point - (action_point @ normal + plane[3]) * normal
    apart = points[on] - height[on, None] * normal - foot
    nearest = apart[(apart**2).sum(axis=1).argmin()]
    if np.linalg.norm(nearest) > gap:
        foot, apart = foot + nearest, apart - nearest
    here = (apart**2).sum(axis=1) <= gap**2
    return foot + np.median(height[on][here]) * normal


def _flat_radius(
    flat: Float[np.ndarray, "n 2"], above: Float[np.ndarray, "m 2"], gap: float, limit: float
) -> float:
    """How far from the origin the plane is covered by flat points with nothing resting on it.

    At most ``limit``. Flat points close holes of twice the ``gap``. A point above the plane is noise unless
    most points about it are above.
    """
    tree = KDTree(flat)
    steps = np.arange(-limit, limit + gap / 2, gap / 2)
    cells = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    away = np.linalg.norm(cells, axis=1)
    bare = (away <= limit) & (tree.query(cells)[0] > gap)
    radius = min(limit, float(away[bare].min(initial=np.inf)) - gap)
    if len(above):
        around = tree.query_ball_point(above, gap / 2, return_length=True)
        risen = above[KDTree(above).query_ball_point(above, gap / 2, return_length=True) > around]
        radius = min(radius, float(np.linalg.norm(risen, axis=1).min(initial=np.inf)))
    return max(radius, 0.0)


def _turn(flat: Float[np.ndarray, "n 2"], cell: float) -> Float[np.ndarray, "3 3"]:
    """A turn about z, by at most 90 degrees, to the longest extent of the patch about the origin.

    No turn where the patch is as long as broad.
    """
    patch = _patch(flat, cell)
    variances, axes = np.linalg.eigh(np.cov(patch.T) if len(patch) > 1 else np.eye(2))
    if variances[1] <= _ROUND * variances[0]:
        return np.eye(3)
    x, y = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
    return np.array([[x, -y, 0.0], [y, x, 0.0], [0.0, 0.0, 1.0]])


def _patch(flat: Float[np.ndarray, "n 2"], cell: float) -> Float[np.ndarray, "c 2"]:
    """Middles of the cells that flat points fill, as far as they is connected with the origin's."""
    index = np.rint(flat / cell).astype(int)
    reach = int(np.abs(index).max())
    filled = np.zeros((2 * reach + 1,) * 2, bool)
    filled[tuple((index + reach).T)] = True
    parts = np.zeros(filled.shape, int)
    label(filled, structure=np.ones((3, 3)), output=parts)
    middle = index[(flat**2).sum(axis=1).argmin()] + reach
    return cell * (np.argwhere(parts == parts[tuple(middle)]) - float(reach))
