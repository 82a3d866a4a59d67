"""Grasp trials with a gripper on an arm that follows a joint path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float, Int

from point2act.core.geometry import invert
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.core.types import Grasp, JointPath
from point2act.grasping.antipodal.collision import planned_opening
from point2act.grasping.reachability.arm import Arm, attach_at, bare_spec
from point2act.grasping.reachability.clearance import joints_behind
from point2act.physics.gripper_model import Rig, find_gripper, gripper_elements, spread
from point2act.physics.mjcf import build_with, numbers, wxyz
from point2act.physics.scene import Scene
from point2act.physics.trial import Trajectory, Trial, TrialConfig, execute

_ARM = "arm/"
_YIELD = 0.02
"""Position error at which a joint's servo reaches its maximum torque, radians."""
# Chosen: a held mug of 0.5 kg bends a Panda by 1 mm.


def try_grasp_on_arm(
    scene: Scene, query: str, grasp: Grasp, path: JointPath, arm: Arm, config: TrialConfig | None = None
) -> Trial:
    """Execute a grasp with the arm at ``scene.T_base_world``.

    Args:
        query: Name of the query that the grasp answers.
        grasp: Grasp in the world frame.
        path: Joint path of this arm with its own gripper, as ``Reach.find`` returns it. It determines the
            lengths of approach and lift.

    Raises:
        SimulationError: for an unknown query.
    """
    config = config or TrialConfig()
    scene.target(query)  # reject an unknown query before anything is built
    opening = planned_opening(grasp, arm.gripper, clearance=config.clearance)
    spec = gripper_spec(arm, grasp.width, opening, force=min(config.force, arm.gripper.max_force))
    rig = add_arm(scene, arm, spec, path.grasp)
    data = scene.start(rig.mounted.model)
    spread(data, opening)
    return execute(scene, query, grasp, rig, data, Trajectory(path.approach, path.lift), config)


@dataclass(frozen=True, eq=False)
class ArmRig(Rig):
    """A gripper on an arm; targets are joint positions, radians."""

    def targets_per_twist(self, target: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d 6"]:
        """Return the pseudo-inverse of the Jacobian at a target."""
        return np.linalg.pinv(self._jacobian(_at(self.mounted.model, self.qpos_indices, target)))

    def load(self, data: MjData) -> tuple[float, float]:
        """Return force and torque on the gripper, from the joint torques that contacts cause.

        F = (J^T)^+ tau_contact: what an arm measures minus its own gravity and inertia.
        """
        load = np.linalg.pinv(self._jacobian(data)).T @ data.qfrc_constraint[self._dof_indices]
        return float(np.linalg.norm(load[:3])), float(np.linalg.norm(load[3:]))

    @cached_property
    def qpos_indices(self) -> Int[np.ndarray, " d"]:
        """Indices of the joints in ``qpos``."""
        return np.array([self.mounted.model.joint(name).qposadr[0] for name in self.joints])

    @cached_property
    def _dof_indices(self) -> Int[np.ndarray, " d"]:
        return np.array([self.mounted.model.joint(name).dofadr[0] for name in self.joints])

    def _jacobian(self, data: MjData) -> Float[np.ndarray, "6 d"]:
        """Return the Jacobian of the gripper frame, expressed in its own axes."""
        jacobian = np.zeros((2, 3, self.mounted.model.nv))
        palm = data.body("gripper/palm")
        mujoco.mj_jacBody(self.mounted.model, data, jacobian[0], jacobian[1], palm.id)
        local = palm.xmat.reshape(3, 3).T @ jacobian
        return local.reshape(6, -1)[:, self._dof_indices]


def add_arm(scene: Scene, arm: Arm, gripper: Any, posture: Float[np.ndarray, " d"]) -> ArmRig:
    """Rebuild the scene's model with an arm, its servos tuned for a posture, and a gripper on its flange."""
    joints = tuple(_ARM + name for name in arm.joints)

    def add(spec: Any) -> None:
        T_world_base = invert(scene.T_base_world)
        frame = spec.worldbody.add_frame(pos=T_world_base[:3, 3], quat=wxyz(T_world_base))
        spec.attach(_gravity_compensated(arm), prefix=_ARM, frame=frame)
        attach_at(spec, _ARM + arm.flange, gripper, arm.path, prefix="gripper/")
        for name, torque in zip(joints, arm.torque.tolist(), strict=True):
            servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            servo.set_to_position(kp=torque / _YIELD)
            servo.forcelimited, servo.forcerange = True, [-torque, torque]

    model = build_with(scene.layout, add)
    rig = ArmRig(find_gripper(model, arm.gripper, carried_by=_ARM), joints)
    _collide_with_objects_only(model)
    _damp(model, joints, _at(model, rig.qpos_indices, posture))
    return rig


def _gravity_compensated(arm: Arm) -> Any:
    """Return the arm without a gripper, with gravity compensation as real controllers have."""
    spec = bare_spec(arm.path)
    for number, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"geom {number}"
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0
    return spec


def gripper_spec(arm: Arm, width: float, opening: float, *, force: float) -> Any:
    """Return the gripper with pads ``opening`` apart, mounted as at pad distance ``width``."""
    root, world = ET.Element("mujoco"), ET.Element("worldbody")
    body, actuator, equality = gripper_elements(arm.gripper, force, opening, prefix="")
    T = arm.T_flange_gripper(width)
    body.set("pos", numbers(T[:3, 3]))
    body.set("quat", numbers(wxyz(T)))
    world.append(body)
    root.extend([world, actuator, equality])
    return mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))


def _collide_with_objects_only(model: MjModel) -> None:
    """Let links collide with objects and the table only: the path was checked for self-collision.

    The first link collides with nothing, because it rotates in place, partly inside the table.
    """
    arm_geoms = np.array([model.geom(index).name.startswith(_ARM) for index in range(model.ngeom)])
    solid = arm_geoms & ((model.geom_contype != 0) | (model.geom_conaffinity != 0))
    model.geom_contype[arm_geoms] = 0
    model.geom_conaffinity[arm_geoms] = 0
    model.geom_conaffinity[solid & (joints_behind(model)[model.geom_bodyid] >= 2)] = 1


def _damp(model: MjModel, joints: tuple[str, ...], data: MjData) -> None:
    """Set critical damping of every servo for the inertia that it moves in a posture."""
    for name in joints:
        unit, moved = np.zeros(model.nv), np.zeros(model.nv)
        degree = model.joint(name).dofadr[0]
        unit[degree] = 1.0
        mujoco.mj_mulM(model, data, moved, unit)
        servo = model.actuator(name).id
        model.actuator_biasprm[servo, 2] = -2 * np.sqrt(model.actuator_gainprm[servo, 0] * moved[degree])


def _at(model: MjModel, qpos_indices: Int[np.ndarray, " d"], joints: Float[np.ndarray, " d"]) -> MjData:
    """Return a state with the arm at joint positions, computed far enough for Jacobians and inertias."""
    data = mujoco.MjData(model)
    data.qpos[qpos_indices] = joints
    mujoco.mj_fwdPosition(model, data)
    return data
