"""The model of an arm that control uses: with the table and boxes to keep away from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from point2act.core.geometry import transform
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.core.types import OrientedBox
from point2act.grasping.reachability.arm import FLANGE, TOOL, Arm, attach_at, bare_spec, tool
from point2act.grasping.reachability.clearance import Links, find_links, joints_behind

# Boxes that are kept away from at a time. Chosen.
MAX_OBSTACLES = 12
# Distance beyond which clearances are not measured, metres.
_FAR = 0.02
# Distance within which a point seen by a camera is on the arm, metres: its shape and the calibration of the
# camera err. Chosen.
_MARGIN = 0.015
_NOWHERE = np.array([0.0, 0.0, -10.0])
_TABLE, _OBSTACLE = "table", "obstacle"


@dataclass(frozen=True, eq=False)
class ArmModel:
    """A MuJoCo model of an arm and of what is around it, in the arm's base frame."""

    arm: Arm
    model: MjModel

    @classmethod
    def of(cls, arm: Arm, table: Float[np.ndarray, "4"] | None) -> ArmModel:
        """Compile the model.

        Args:
            arm: The arm with its gripper.
            table: Plane ``(n, d)``, base frame: ``n @ x + d`` is the height of x above it, metres; None
                without a table.
        """
        spec = bare_spec(arm.path)
        attach_at(spec, arm.flange, tool(arm.gripper, arm.turn), arm.path, prefix=TOOL)
        if table is not None:
            turn = Rotation.align_vectors(table[None, :3], [[0.0, 0.0, 1.0]])[0].as_quat()[[3, 0, 1, 2]]
            spec.worldbody.add_geom(
                name=_TABLE, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2.0, 2.0, 0.1], quat=turn,
                pos=-table[3] * table[:3],
            )  # fmt: skip
        for number in range(MAX_OBSTACLES):
            body = spec.worldbody.add_body(name=f"{_OBSTACLE} {number}", mocap=True, pos=_NOWHERE)
            body.add_geom(name=body.name, type=mujoco.mjtGeom.mjGEOM_BOX, size=[1e-3] * 3)
        return cls(arm, spec.compile())

    def T_base_gripper(self, data: MjData, opening: float) -> Float[np.ndarray, "4 4"]:
        """Return the pose of the gripper in a state whose poses are computed."""
        site = data.site(FLANGE)
        return transform(site.xmat.reshape(3, 3), site.xpos) @ self.arm.T_flange_gripper(opening)

    def jacobian(self, data: MjData, origin: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "6 d"]:
        """Return the derivative of the gripper's twist at its origin by the joints, along the base's axes."""
        jacobian = np.zeros((2, 3, self.model.nv))
        body = self.model.site_bodyid[self.model.site(FLANGE).id]
        mujoco.mj_jac(self.model, data, jacobian[0], jacobian[1], origin, body)
        return jacobian.reshape(6, -1)

    def place_obstacles(self, data: MjData, boxes: Sequence[OrientedBox]) -> None:
        """Put the obstacles at boxes, base frame; the largest ones where there are too many."""
        largest = sorted(boxes, key=lambda box: -float(np.prod(box.half_extents)))[:MAX_OBSTACLES]
        for number in range(MAX_OBSTACLES):
            body, geom = (getattr(self.model, kind)(f"{_OBSTACLE} {number}") for kind in ("body", "geom"))
            place = body.mocapid[0]
            if number >= len(largest):
                data.mocap_pos[place] = _NOWHERE
                continue
            box = largest[number]
            turn = box.axes.T * [1, 1, np.sign(np.linalg.det(box.axes))]
            data.mocap_pos[place] = box.center
            data.mocap_quat[place] = Rotation.from_matrix(turn).as_quat()[[3, 0, 1, 2]]
            geom.size, geom.rbound = box.half_extents, np.linalg.norm(box.half_extents)

    def covers(self, data: MjData, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
        """Return which points are on the arm or on its gripper, base frame, metres."""
        covered = np.zeros(len(points), dtype=bool)
        squared = np.einsum("ni,ni->n", points, points)
        for geom in self.moving:
            turn = data.geom_xmat[geom].reshape(3, 3)
            center = data.geom_xpos[geom] + turn @ self.links.centers[geom]
            reach = self.links.radii[geom] + _MARGIN
            bound = np.linalg.norm(self.links.halves[geom]) + reach
            # |p - c|² without the differences: most points are far from most links.
            near = np.flatnonzero(squared - 2 * (points @ center) < bound**2 - center @ center)
            beyond = np.maximum(np.abs((points[near] - center) @ turn) - self.links.halves[geom], 0.0)
            covered[near] |= np.linalg.norm(beyond, axis=1) < reach
        return covered

    @cached_property
    def links(self) -> Links:
        """Collision geometry of all geoms."""
        return find_links(self.model)

    def clearance(self, data: MjData) -> float:
        """Return the smallest distance of links and gripper to what is around and to one another, metres.

        At most ``_FAR``, and negative for a penetration.
        """
        best = _FAR
        for a, b in self.pairs:
            best = min(best, mujoco.mj_geomDistance(self.model, data, a, b, best, None))
        return best

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of geoms that must not touch."""
        return [*product(self.moving, self.around), *self.link_pairs]

    @cached_property
    def moving(self) -> list[int]:
        """Geoms behind the second joint, with the gripper: the first link only turns in place."""
        solid = (self.model.geom_contype != 0) & (joints_behind(self.model)[self.model.geom_bodyid] >= 2)
        return np.flatnonzero(solid).tolist()

    @cached_property
    def around(self) -> list[int]:
        """Geoms of the table and of the obstacles."""
        names = [self.model.geom(index).name for index in range(self.model.ngeom)]
        return [index for index, name in enumerate(names) if name == _TABLE or name.startswith(_OBSTACLE)]

    @cached_property
    def link_pairs(self) -> list[tuple[int, int]]:
        """Pairs of geoms of links that are not neighbours."""
        around = set(self.around)
        return [pair for pair in self.links.pairs if not around & set(pair)]
