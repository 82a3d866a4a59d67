"""Placement pose on a surface: RANSAC plane at an action point, its normal, and the radius that is flat."""

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
from point2act.core.planes import planes_through
from point2act.core.types import DepthImages, NoAnswer, PlacePose, View
from point2act.grasping.records import Records

_REFINEMENTS = 5
# Ratio of a patch's largest and smallest variance up to which it has no longest extent. Chosen.
_ROUND = 1.3
# Smallest sine of the angle between a view and a normal that gives a direction on the surface.
_SLANTED = 0.1


@dataclass(frozen=True)
class PlacementConfig:
    """Search for a flat surface. Lengths in metres."""

    flatness: float = 0.004
    """Largest distance of the surface from the plane, metres."""
    # Two to three times a depth camera's noise.
    max_radius: float = 0.15
    """Radius around the action point of the surface that is used, metres; upper bound of the flat radius."""
    attraction_width: float = 0.02
    """Standard deviation of the Gaussian weight of the surface around the action point, metres."""
    # A fingertip, the least that anything is set down on.
    max_hole_radius: float = 0.008
    """Radius up to which holes in the surface are missing readings and not its border, metres."""
    trials: int = 300
    """Number of planes through three random points."""
    # Enough for a 99 % chance at an inlier fraction of 0.25.
    max_points: int = 20_000
    """Largest number of surface points; more are subsampled evenly."""
    default_camera_distance: float = 0.5
    """Assumed distance of the cameras from the action point if the scale is unknown, metres."""


@dataclass(frozen=True, eq=False)
class ObservedPoints(Records):
    """Surface points, each as one camera observed it."""

    points: Float[np.ndarray, "n 3"]
    """World."""
    to_camera: Float[np.ndarray, "n 3"]
    """Unit vectors to the camera that observed the point."""

    def __len__(self) -> int:
        return len(self.points)


def find_placement(
    views: Sequence[View],
    depths: DepthImages,
    action_point: Float[np.ndarray, "3"],
    *,
    metric: bool,
    config: PlacementConfig = PlacementConfig(),
    rng: np.random.Generator,
) -> PlacePose | NoAnswer:
    """Find the placement pose on the observed surface at an action point.

    Args:
        depths: z-depth of each view, world units, 0 for none.
        action_point: World.
        metric: Whether world units are metres; else the config's lengths scale with the cameras' distance.
        rng: Draws the planes of RANSAC.

    Returns:
        The pose in the world frame, or ``no_geometry`` with fewer than three surface points.
    """
    metre = 1.0 if metric else assumed_metre(views, action_point, config)
    observed = observed_points(views, depths, action_point, radius=metre * config.max_radius)
    return fit_placement(observed, action_point, metre=metre, config=config, rng=rng)


def assumed_metre(views: Sequence[View], point: Float[np.ndarray, "3"], config: PlacementConfig) -> float:
    """Return a metre in world units of unknown scale, from the usual distance of the cameras."""
    away = [np.linalg.norm(view.T_world_cam[:3, 3] - point) for view in views]
    return float(np.median(away)) / config.default_camera_distance if away else 1.0


def observed_points(
    views: Sequence[View], depths: DepthImages, center: Float[np.ndarray, "3"], *, radius: float
) -> ObservedPoints:
    """Return the world points of all pixels whose surface lies within a radius of a world point."""
    points, to_camera = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for view, depth in zip(views, depths, strict=True):
        rows, columns = _window(view, center, radius)
        usable = np.isfinite(depth[rows, columns]) & (depth[rows, columns] > 0)
        usable &= True if view.mask is None else view.mask[rows, columns]
        row, column = np.nonzero(usable)
        pixels = np.stack([column + columns.start + 0.5, row + rows.start + 0.5], axis=1)
        z = depth[rows, columns][usable].astype(float)
        found = back_project(view.camera, view.T_world_cam, pixels, z)
        found = found[((found - center) ** 2).sum(axis=1) < radius**2]
        back = view.T_world_cam[:3, 3] - found
        points.append(found)
        to_camera.append(back / np.linalg.norm(back, axis=1, keepdims=True))
    return ObservedPoints(np.concatenate(points), np.concatenate(to_camera))


def _window(view: View, center: Float[np.ndarray, "3"], radius: float) -> tuple[slice, slice]:
    """Return the rows and columns of a view that can show a ball."""
    camera = view.camera
    (pixel,), (z,) = project(camera, view.T_world_cam, center[None])
    if z < -radius:
        return slice(0, 0), slice(0, 0)
    if z <= 1.5 * radius:
        return slice(0, camera.height), slice(0, camera.width)
    # The projection of a ball is bounded by that of its radius at depth z - radius, larger off the axis.
    slant = 1 + np.abs(to_tangents(camera, pixel[None])[0])
    half = radius * slant * [camera.fx, camera.fy] / (z - radius)
    low = np.clip(np.floor(pixel - half), 0, [camera.width, camera.height]).astype(int)
    high = np.clip(np.ceil(pixel + half), 0, [camera.width, camera.height]).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def fit_placement(
    observed: ObservedPoints,
    action_point: Float[np.ndarray, "3"],
    *,
    metre: float = 1.0,
    config: PlacementConfig = PlacementConfig(),
    rng: np.random.Generator,
) -> PlacePose | NoAnswer:
    """Fit a placement pose to surface points around an action point.

    The plane has the most surface around the action point and faces the cameras; the origin is where the
    normal through the action point meets the surface.

    ``metre`` is the length of a metre in world units.
    """
    observed = observed.only(slice(None, None, max(1, math.ceil(len(observed) / config.max_points))))
    flatness, hole = metre * config.flatness, metre * config.max_hole_radius
    plane = _plane(observed, action_point, flatness, metre * config.attraction_width, config.trials, rng)
    if plane is None:
        return NoAnswer(
            "no_geometry",
            f"{len(observed)} surface points about the action point make no plane: add views of this place",
        )
    T_world_place = np.eye(4)
    T_world_place[:3, :3] = _frame(plane[:3], observed.to_camera)
    T_world_place[:3, 3] = origin = _origin(observed.points, action_point, plane, flatness, hole)
    x, y, height = transform_points(invert(T_world_place), observed.points).T
    across, flat = np.stack([x, y], axis=1), np.abs(height) < flatness
    limit = max(metre * config.max_radius - float(np.linalg.norm(origin - action_point)), 0.0)
    radius = _flat_radius(across[flat], across[height >= flatness], hole, limit)
    inner = height[flat & (x**2 + y**2 <= max(radius, hole) ** 2)]
    T_world_place[:3, :3] = T_world_place[:3, :3] @ _turn(across[flat], hole)
    return PlacePose(T_world_place, radius, float(np.std(inner)))


def _plane(
    observed: ObservedPoints,
    action_point: Float[np.ndarray, "3"],
    flatness: float,
    attraction_width: float,
    trials: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "4"] | None:
    """Return the plane ``n @ x + d = 0`` with most weight at the action point, n towards the cameras.

    MSAC (Torr and Zisserman 2000): of planes through three points the one with the largest
    ``sum_i w_i max(1 - (n x_i + d)² / f², 0)``, w a Gaussian around the action point, f the flatness; then
    iterated weighted least squares on its inliers.
    """
    if len(observed) < 3:
        return None
    points = observed.points
    squared = ((points - action_point) ** 2).sum(axis=1)
    # Relative to the nearest point, since the action point may lie off the surface.
    weight = np.exp(-0.5 * (squared - squared.min()) / attraction_width**2)
    corners = points[rng.choice(len(observed), size=(trials, 3), p=weight / weight.sum())]
    normals, offsets, area = planes_through(corners)
    proper = area > 1e-3 * attraction_width**2
    if not proper.any():
        return None
    normals, offsets, corners = normals[proper], offsets[proper], corners[proper]
    best = int(np.argmax(weight @ np.maximum(1 - ((points @ normals.T + offsets) / flatness) ** 2, 0)))
    normal, middle = normals[best], corners[best, 0]
    for _ in range(_REFINEMENTS):
        share = weight * (np.abs((points - middle) @ normal) < flatness)
        middle = share @ points / share.sum()
        centered = points - middle
        normal = np.linalg.eigh((share[:, None] * centered).T @ centered)[1][:, 0]
    share = weight * (np.abs((points - middle) @ normal) < flatness)
    normal = normal if share @ observed.to_camera @ normal >= 0 else -normal
    return np.append(normal, -normal @ middle)


def _frame(normal: Float[np.ndarray, "3"], to_camera: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Return axes as columns: z the normal, x on the surface towards the first camera not straight above."""
    level = to_camera - (to_camera @ normal)[:, None] * normal
    slanted = np.linalg.norm(level, axis=1) > _SLANTED
    if not slanted.any():
        return frame_from_normal(normal[None])[0]
    x = level[slanted.argmax()] / np.linalg.norm(level[slanted.argmax()])
    return np.stack([x, np.cross(normal, x), normal], axis=1)


def _origin(
    points: Float[np.ndarray, "n 3"],
    action_point: Float[np.ndarray, "3"],
    plane: Float[np.ndarray, "4"],
    flatness: float,
    hole: float,
) -> Float[np.ndarray, "3"]:
    """Return where the normal through the action point meets the surface, or the nearest surface point."""
    normal = plane[:3]
    height = points @ normal + plane[3]
    on = np.abs(height) < flatness
    foot = action_point - (action_point @ normal + plane[3]) * normal
    away = points[on] - height[on, None] * normal - foot
    nearest = away[(away**2).sum(axis=1).argmin()]
    if np.linalg.norm(nearest) > hole:
        foot, away = foot + nearest, away - nearest
    here = (away**2).sum(axis=1) <= hole**2
    return foot + np.median(height[on][here]) * normal


def _flat_radius(
    flat: Float[np.ndarray, "n 2"], above: Float[np.ndarray, "m 2"], hole: float, limit: float
) -> float:
    """Return the radius around the origin that flat points cover and where nothing stands on the plane.

    A point above the plane is noise unless most points around it are above.
    """
    tree = KDTree(flat)
    steps = np.arange(-limit, limit + hole / 2, hole / 2)
    cells = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    away = np.linalg.norm(cells, axis=1)
    bare = (away <= limit) & (tree.query(cells)[0] > hole)
    radius = min(limit, float(away[bare].min(initial=np.inf)) - hole)
    if len(above):
        around = tree.query_ball_point(above, hole / 2, return_length=True)
        risen = above[KDTree(above).query_ball_point(above, hole / 2, return_length=True) > around]
        radius = min(radius, float(np.linalg.norm(risen, axis=1).min(initial=np.inf)))
    return max(radius, 0.0)


def _turn(flat: Float[np.ndarray, "n 2"], cell: float) -> Float[np.ndarray, "3 3"]:
    """Return the rotation around z, at most 90 degrees, to the longest extent of the patch at the origin.

    The first principal axis; the identity for a patch that is as long as broad.
    """
    patch = _patch(flat, cell)
    variances, axes = np.linalg.eigh(np.cov(patch.T) if len(patch) > 1 else np.eye(2))
    if variances[1] <= _ROUND * variances[0]:
        return np.eye(3)
    x, y = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
    return np.array([[x, -y, 0.0], [y, x, 0.0], [0.0, 0.0, 1.0]])


def _patch(flat: Float[np.ndarray, "n 2"], cell: float) -> Float[np.ndarray, "c 2"]:
    """Return the centres of the grid cells with flat points that are connected with the origin's cell."""
    index = np.rint(flat / cell).astype(int)
    reach = int(np.abs(index).max())
    filled = np.zeros((2 * reach + 1,) * 2, bool)
    filled[tuple((index + reach).T)] = True
    parts = np.zeros(filled.shape, int)
    label(filled, structure=np.ones((3, 3)), output=parts)
    middle = index[(flat**2).sum(axis=1).argmin()] + reach
    return cell * (np.argwhere(parts == parts[tuple(middle)]) - float(reach))
