"""Clearances of an arm's links: to one another, to the table and to observed surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree

from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.grasping.reachability.arm import TOOL

# Distance beyond which clearances are not measured, metres.
_FAR = 0.05


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Table and obstacles, in the base frame of an arm unless noted."""

    table: Float[np.ndarray, "4"] | None = None
    """Plane ``(n, d)``: ``n @ x + d`` is the height of x above it, metres."""
    obstacles: Float[np.ndarray, "n 3"] | None = None
    """Points on observed surfaces, without those of the arm."""

    @cached_property
    def tree(self) -> KDTree | None:
        """Search tree of the obstacles; None without any."""
        return None if self.obstacles is None or not len(self.obstacles) else KDTree(self.obstacles)


@dataclass(frozen=True, eq=False)
class Gap:
    """Smallest distance of one kind."""

    distance: float
    """Metres; negative for the depth of a penetration."""
    required: float
    """Smallest distance allowed, metres."""
    between: tuple[str, str] = ("", "")
    """Names of the link and of the obstacle."""

    @property
    def excess(self) -> float:
        """Distance beyond the required one, metres; negative if it is too small."""
        return self.distance - self.required

    @property
    def description(self) -> str:
        """Sentence about a distance that is too small."""
        first, second = self.between
        if self.distance < 0:
            return f"the {first} would be {-1e3 * self.distance:.0f} mm in {second}"
        return f"the {first} would come within {1e3 * self.distance:.0f} mm of {second}"


@dataclass(frozen=True, eq=False)
class Links:
    """Collision geometry of an arm: boxes in the frames of MuJoCo's geoms, rounded by radii."""

    model: MjModel
    centers: Float[np.ndarray, "g 3"]
    halves: Float[np.ndarray, "g 3"]
    radii: Float[np.ndarray, " g"]
    outer: Int[np.ndarray, " o"]
    """Geoms that are checked against table and obstacles: those behind the second joint, without the
    gripper."""
    # The first link only rotates in place; the grasp planner has checked the gripper.
    names: tuple[str, ...]
    """Name of the link of every geom, for messages."""
    pairs: tuple[tuple[int, int], ...]
    """Pairs of geoms that are checked against each other: those of links that are not neighbours."""

    def gaps(self, data: MjData, around: Surroundings, clearance: float) -> tuple[Gap, ...]:
        """Return the smallest distances at the pose of ``data``.

        ``data`` is MuJoCo's state after ``mj_kinematics``, ``clearance`` the required distance to ``around``,
        metres.
        """
        rotations, centers = self._poses(data)
        return (
            self._to_one_another(data),
            self._to_table(rotations, centers, around.table, clearance),
            self._to_points(rotations, centers, around.tree, clearance),
        )

    def _to_one_another(self, data: MjData) -> Gap:
        # Collision volumes are larger than the links, so that they must only not overlap.
        best = Gap(_FAR, 0.0)
        for a, b in self.pairs:
            distance = mujoco.mj_geomDistance(self.model, data, a, b, best.distance, None)
            if distance < best.distance:
                best = Gap(distance, 0.0, (self.names[a], f"the {self.names[b]}"))
        return best

    def _to_table(
        self,
        rotations: Float[np.ndarray, "o 3 3"],
        centers: Float[np.ndarray, "o 3"],
        plane: Float[np.ndarray, "4"] | None,
        clearance: float,
    ) -> Gap:
        if plane is None or not len(self.outer):
            return Gap(_FAR, clearance)
        down = np.abs(np.einsum("gij,i->gj", rotations, plane[:3]) * self.halves[self.outer]).sum(axis=1)
        heights = centers @ plane[:3] + plane[3] - down - self.radii[self.outer]
        lowest = int(np.argmin(heights))
        if heights[lowest] > _FAR:
            return Gap(_FAR, clearance)
        return Gap(float(heights[lowest]), clearance, (self.names[self.outer[lowest]], "the table"))

    def _to_points(
        self,
        rotations: Float[np.ndarray, "o 3 3"],
        centers: Float[np.ndarray, "o 3"],
        tree: KDTree | None,
        clearance: float,
    ) -> Gap:
        best = Gap(_FAR, clearance)
        if tree is None or not len(self.outer):
            return best
        halves, radii = self.halves[self.outer], self.radii[self.outer]
        near = tree.query_ball_point(centers, np.linalg.norm(halves, axis=1) + radii + _FAR)
        for index, rows in enumerate(near):
            local = (tree.data[rows] - centers[index]) @ rotations[index]
            beyond = np.maximum(np.abs(local) - halves[index], 0.0)
            distance = float(np.linalg.norm(beyond, axis=1).min(initial=np.inf) - radii[index])
            if distance < best.distance:
                name = self.names[self.outer[index]]
                best = Gap(distance, clearance, (name, "an obstacle"))
        return best

    def _poses(self, data: MjData) -> tuple[Float[np.ndarray, "o 3 3"], Float[np.ndarray, "o 3"]]:
        """Return axes and centres of the outer geoms in the base frame."""
        rotations = data.geom_xmat[self.outer].reshape(-1, 3, 3)
        middle = np.einsum("gij,gj->gi", rotations, self.centers[self.outer])
        return rotations, data.geom_xpos[self.outer] + middle


def find_links(model: MjModel) -> Links:
    """Return the collision geometry of an arm's model."""
    solid = np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0))
    round_ends = np.isin(
        model.geom_type, [int(mujoco.mjtGeom.mjGEOM_SPHERE), int(mujoco.mjtGeom.mjGEOM_CAPSULE)]
    )
    radii = np.where(round_ends, model.geom_size[:, 0], 0.0)
    # MuJoCo's bounding box of a geom in its own frame: exact for boxes, and for capsules without the radius.
    centers, halves = model.geom_aabb[:, :3], np.maximum(model.geom_aabb[:, 3:] - radii[:, None], 0.0)
    bodies = [model.body(body).name for body in model.geom_bodyid]
    names = tuple(body.removeprefix(TOOL).replace("_", " ") for body in bodies)
    gripper = np.array([body.startswith(TOOL) for body in bodies])
    outer = solid[~gripper[solid] & (joints_behind(model)[model.geom_bodyid[solid]] >= 2)]
    return Links(model, centers, halves, radii, outer, names, _pairs(model, solid, gripper))


def joints_behind(model: MjModel) -> Int[np.ndarray, " b"]:
    """Return the number of joints between each body and the base."""
    count = np.zeros(model.nbody, dtype=int)
    for body in range(1, model.nbody):
        count[body] = count[model.body_parentid[body]] + model.body_jntnum[body]
    return count


def _pairs(
    model: MjModel, solid: Int[np.ndarray, " s"], gripper: Bool[np.ndarray, " g"]
) -> tuple[tuple[int, int], ...]:
    """Return pairs of geoms whose links share no joint and that the model does not exclude."""
    excluded = {frozenset((int(code) >> 16, int(code) & 0xFFFF)) for code in model.exclude_signature}
    # Bodies without a joint between them are one link with one parent.
    link = model.body_weldid
    carrier = link[model.body_parentid[link]]
    pairs = []
    for a, b in combinations(solid.tolist(), 2):
        one, other = (int(model.geom_bodyid[geom]) for geom in (a, b))
        joined = link[one] in (link[other], carrier[other]) or carrier[one] == link[other]
        if not joined and frozenset((one, other)) not in excluded and not (gripper[a] and gripper[b]):
            pairs.append((a, b))
    return tuple(pairs)
