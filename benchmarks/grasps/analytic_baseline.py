"""The first version of this planner as a baseline: contact pairs, poses, checks, and a weighted score.

The surface is that of a TSDF with voxels of 2 mm. Closing axes start along jittered inward normals and are
marched through the field to the other side; gripper poses are sampled about each axis; the best
collision-free one by a weighted sum is returned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import KDTree

from benchmarks.grasps.baselines import Found
from benchmarks.grasps.cases import Case, grasp_at
from benchmarks.grasps.clouds import hits, lowest, measured, open_gripper, table_height
from point2act.core.geometry import frame_from_normal, transform_points
from point2act.grasping.grippers import Gripper
from point2act.grasping.tsdf import fuse_local

RADII = (0.03, 0.045)
"""Radii around the action point in which contacts are searched, one after the other, metres."""
SAMPLES, TURNS = 600, 24
"""Number of surface points, and of approach directions about a closing axis."""
JITTER, FRICTION, WIDEST, DOWN = np.deg2rad(8.0), 0.5, 0.068, 0.3
TIPS = (-0.006, -0.001, 0.004, 0.009)
"""Offsets of the fingertips beyond the contacts along the approach, metres."""
MARGIN, OVER_TABLE = 0.002, 0.002
UNKNOWN = 40
"""Maximum number of unobserved cells of 8 cubic millimetres in the fingers' way."""


@dataclass(frozen=True, eq=False)
class Field:
    """A signed distance field with its zero crossings, in the world frame."""

    tsdf: Float[np.ndarray, "r r r"]
    observed: Bool[np.ndarray, "r r r"]
    gradient: Float[np.ndarray, "3 r r r"]
    T_world_cell: Float[np.ndarray, "4 4"]
    """Transform from cell indices; its axes are one voxel long."""

    def cells(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Return cell indices, not rounded."""
        return transform_points(np.linalg.inv(self.T_world_cell), points)

    def at(self, points: Float[np.ndarray, "*n 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Return the distance, and whether the cell was observed; cells outside the grid are not."""
        cells = np.moveaxis(self.cells(points), -1, 0)
        seen = map_coordinates(self.observed.astype(np.uint8), cells, order=0) > 0
        return map_coordinates(self.tsdf, cells, order=1), seen

    def normals(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Return outward unit normals from the smoothed gradient."""
        cells = np.moveaxis(self.cells(points), -1, 0)
        local = np.stack([map_coordinates(slope, cells, order=1) for slope in self.gradient], axis=-1)
        world = local @ self.T_world_cell[:3, :3].T
        return world / np.maximum(np.linalg.norm(world, axis=-1, keepdims=True), 1e-12)

    def crossings(self) -> Float[np.ndarray, "n 3"]:
        """Return the zero crossings between neighbouring observed cells."""
        found = []
        for axis in range(3):
            ahead = np.eye(3, dtype=int)[axis]
            index = np.argwhere(np.take(self.observed, range(self.tsdf.shape[axis] - 1), axis))
            a, b = self.tsdf[tuple(index.T)], self.tsdf[tuple((index + ahead).T)]
            crossed = ((a > 0) != (b > 0)) & self.observed[tuple((index + ahead).T)]
            share = a[crossed] / (a - b)[crossed]
            found.append(index[crossed] + share[:, None] * ahead)
        return transform_points(self.T_world_cell, np.concatenate(found))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Contact pairs of closing axes, and whether the far contact was observed."""

    first: Float[np.ndarray, "n 3"]
    second: Float[np.ndarray, "n 3"]
    axis: Float[np.ndarray, "n 3"]
    seen: Bool[np.ndarray, " n"]


def prototype(case: Case, gripper: Gripper, rng: np.random.Generator) -> Found:
    """Plan the best collision-free pose by the weighted score, from the measured depth."""
    goal = case.region.action_point
    field = _field(case)
    cloud, _ = measured(case, 0.30)
    table = table_height(cloud)
    surface = field.crossings()
    surface = surface[surface[:, 2] > table + 0.002]
    normals = field.normals(surface)
    unseen = transform_points(field.T_world_cell, np.argwhere(~field.observed))
    unseen = unseen[unseen[:, 2] > table + 0.004]
    cloud = np.concatenate([cloud[cloud[:, 2] > table + 0.004], surface])
    for radius in RADII:
        pairs = _pairs(field, surface, normals, goal, radius, rng)
        poses, of_pair = _poses(pairs, gripper)
        scores = _scores(pairs, poses, of_pair, surface, normals, goal, gripper)
        for index in np.argsort(-scores, kind="stable"):
            T, pair = poses[index], of_pair[index]
            width = float(np.linalg.norm(pairs.second[pair] - pairs.first[pair]))
            if _is_free(T, width, cloud, unseen, table, gripper):
                return (grasp_at(T, width, np.stack([pairs.first[pair], pairs.second[pair]])),), ""
    return (), "no pose is free"


def _field(case: Case) -> Field:
    volume = fuse_local(case.views, case.depths, case.region.action_point)
    inside = np.where(volume.observed, volume.tsdf, -volume.truncation)
    gradient = np.stack(np.gradient(gaussian_filter(inside, 1.0)))
    to_cells = np.eye(4)
    to_cells[:3, :3] *= volume.voxel
    to_cells[:3, 3] = -volume.half_size
    return Field(volume.tsdf, volume.observed, gradient, volume.T_world_volume @ to_cells)


def _pairs(
    field: Field,
    surface: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    goal: Float[np.ndarray, " 3"],
    radius: float,
    rng: np.random.Generator,
) -> Pairs:
    """Return axes from surface points to their exits, both ends within the friction cone.

    An axis that exits into free space without a surface passed unobserved cells: its end is accepted.
    """
    near = np.flatnonzero(np.linalg.norm(surface - goal, axis=1) < radius)
    starts = rng.permutation(near)[:SAMPLES]
    axis = -normals[starts] + np.tan(JITTER) * rng.standard_normal((len(starts), 3)) / np.sqrt(2)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    steps = np.arange(0.003, WIDEST, 0.001)
    distance, seen = field.at(surface[starts, None] + steps[:, None] * axis[:, None])
    out = seen & (distance > 0)
    exit_step = out.argmax(axis=1)
    second = surface[starts] + steps[exit_step, None] * axis
    before = np.take_along_axis(seen, np.maximum(exit_step - 2, 0)[:, None], axis=1)[:, 0]
    cosine = np.cos(np.arctan(FRICTION))
    entered = -np.sum(normals[starts] * axis, axis=1) > cosine
    left = ~before | (np.sum(field.normals(second) * axis, axis=1) > cosine)
    kept = out.any(axis=1) & entered & left
    return Pairs(surface[starts][kept], second[kept], axis[kept], before[kept])


def _poses(pairs: Pairs, gripper: Gripper) -> tuple[Float[np.ndarray, "n 4 4"], np.ndarray]:
    """Return gripper poses about every axis that point down enough, and the pair of each."""
    angle = 2 * np.pi * np.arange(TURNS) / TURNS
    frames = frame_from_normal(pairs.axis)
    ways = np.cos(angle)[:, None] * frames[:, None, :, 0] + np.sin(angle)[:, None] * frames[:, None, :, 1]
    pair, turn = np.nonzero(ways[..., 2] < -DOWN)
    approach, closing = ways[pair, turn], pairs.axis[pair]
    past = np.array(TIPS) - gripper.finger.high[:, 2].max()
    T = np.tile(np.eye(4), (len(past), len(pair), 1, 1))
    T[..., :3, :3] = np.stack([np.cross(closing, approach), closing, approach], axis=-1)
    middle = (pairs.first + pairs.second)[pair] / 2
    T[..., :3, 3] = middle + past[:, None, None] * approach
    return T.reshape(-1, 4, 4), np.tile(pair, len(past))


def _scores(
    pairs: Pairs,
    poses: Float[np.ndarray, "n 4 4"],
    of_pair: np.ndarray,
    surface: Float[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "m 3"],
    goal: Float[np.ndarray, " 3"],
    gripper: Gripper,
) -> Float[np.ndarray, " n"]:
    tree = KDTree(surface)
    around = np.linalg.norm(surface - goal, axis=1) < 0.06
    centroid = surface[around].mean(axis=0) if around.any() else goal
    scores = np.zeros(len(poses))
    for pair in np.unique(of_pair):
        here = np.flatnonzero(of_pair == pair)
        ends = np.stack([pairs.first[pair], pairs.second[pair]])
        near = [np.array(found, dtype=int) for found in tree.query_ball_point(ends, 0.016)]
        square, count, reach, outside, middle = _pad(
            poses[here], ends[0], surface[near[0]], normals[near[0]], gripper
        )
        square2, count2, reach2, outside2, middle2 = _pad(
            poses[here], ends[1], surface[near[1]], normals[near[1]], gripper
        )
        line = middle2 - middle
        length = np.maximum(np.linalg.norm(line, axis=1), 1e-9)
        scores[here] = (
            2.0 * np.minimum(square, square2)
            + 1.5 * abs(line @ pairs.axis[pair]) / length
            + np.minimum(np.minimum(count, count2), 25) / 25
            + np.minimum(np.minimum(reach, reach2), 0.012) / 0.012
            - (outside + outside2) / 2
            - 8.0 * np.linalg.norm(ends.mean(axis=0) - goal)
            - 2.0 * np.linalg.norm(ends.mean(axis=0) - centroid)
            - 0.4 * (1 + poses[here, 2, 2])
            - np.linalg.norm(line - (line @ pairs.axis[pair])[:, None] * pairs.axis[pair], axis=1) / 0.01
            - 0.5 * (not pairs.seen[pair])
        )
    return scores


def _pad(
    poses: Float[np.ndarray, "k 4 4"],
    end: Float[np.ndarray, " 3"],
    points: Float[np.ndarray, "m 3"],
    normals: Float[np.ndarray, "m 3"],
    gripper: Gripper,
) -> tuple[np.ndarray, ...]:
    """Return mean alignment, number, length, fraction outside the cone and middle of one pad's contacts.

    Contacts are surface points within the pad's face and 3 mm of the contact's plane that face the pad.
    """
    local = np.einsum("kmi,kij->kmj", points - poses[:, None, :3, 3], poses[:, :3, :3])
    depth = np.einsum("ki,kij->kj", end - poses[:, :3, 3], poses[:, :3, :3])[:, None, 1]
    facing = np.einsum("mi,ki->km", normals, poses[:, :3, 1]) * np.sign(depth)
    x, z = abs(local[..., 0]), abs(local[..., 2])
    touched = (x < gripper.pad_size[0] / 2) & (z < gripper.pad_size[1] / 2)
    touched &= (abs(local[..., 1] - depth) < 0.003) & (facing > 0)
    count = touched.sum(axis=1)
    some = np.maximum(count, 1)
    outside = (touched & (facing < np.cos(np.arctan(FRICTION)))).sum(axis=1) / some
    low = np.where(touched, local[..., 2], np.inf).min(axis=1, initial=np.inf)
    high = np.where(touched, local[..., 2], -np.inf).max(axis=1, initial=-np.inf)
    middle = np.where(count[:, None] > 0, np.einsum("km,mi->ki", touched, points) / some[:, None], end)
    return (facing * touched).sum(axis=1) / some, count, np.where(count > 0, high - low, 0.0), outside, middle


def _is_free(
    T: Float[np.ndarray, "4 4"],
    width: float,
    cloud: Float[np.ndarray, "n 3"],
    unseen: Float[np.ndarray, "u 3"],
    table: float,
    gripper: Gripper,
) -> bool:
    """Return whether the straight approach is clear of points and table, and mostly observed."""
    boxes = open_gripper(gripper, width)
    if lowest(T, boxes) < table + OVER_TABLE or hits(cloud, T, boxes, margin=MARGIN).any():
        return False
    fingers = boxes[: 2 * len(gripper.finger)]
    return int(hits(unseen, T, fingers).sum()) <= UNKNOWN
