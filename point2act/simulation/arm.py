"""A hand on an arm in a scene: trials of grasps that go along a joint path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from point2act.core.geometry import invert
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.core.types import Grasp, JointPath
from point2act.grasping.reachability.arm import Arm, attach_at, bare_spec
from point2act.grasping.reachability.clearance import joints_behind
from point2act.simulation.hand import Hand, hand_elements, hand_in, spread
from point2act.simulation.mjcf import build_with, numbers
from point2act.simulation.scene import Scene
from point2act.simulation.trial import Trial, TrialConfig, Way, carry_out, open_for

_ARM = "arm/"
_YIELD = 0.02
"""A joint that is this far from its target is driven with all its torque, radians: a held mug of 0.5 kg
bends a Panda by 1 mm. Chosen."""


def try_grasp_on_arm(
    scene: Scene, query: str, grasp: Grasp, path: JointPath, arm: Arm, config: TrialConfig | None = None
) -> Trial:
    """Try a grasp with the arm at ``scene.T_base_world`` that moves along its path.

    The grasp is in the world frame, the path as ``find_path`` gives it for this
    arm and the arm's own gripper; it decides the length of approach and lift. Links that meet something
    count like the hand. Raises SimulationError for an unknown query.
    """
    config = config or TrialConfig()
    scene.target(query)  # an unknown query is told before anything is built
    opening = open_for(grasp, arm.gripper, config)
    hand = _hand_spec(arm, grasp.width, opening, force=min(config.force, arm.gripper.max_force))
    rig = add_arm(scene, arm, hand, path.grasp)
    data = scene.start(rig.hand.model)
    spread(data, opening)
    return carry_out(scene, query, grasp, rig, data, Way(path.approach, path.lift), config)


@dataclass(frozen=True, eq=False)
class ArmRig:
    """A hand on an arm; its targets are joint positions, radians."""

    hand: Hand
    joints: tuple[str, ...]
    """Names in the model, of the joints and of their servos."""

    def jump(self, data: MjData, target: Float[np.ndarray, " d"]) -> None:
        """Be at joint positions at once."""
        data.qpos[self.places] = target
        self.move(data, target)

    def move(self, data: MjData, target: Float[np.ndarray, " d"]) -> None:
        """Send the joints to positions."""
        for name, value in zip(self.joints, target, strict=True):
            data.actuator(name).ctrl = value

    def ways(self, target: Float[np.ndarray, " d"]) -> Float[np.ndarray, "d 6"]:
        """Inverse of the Jacobian at a target."""
        return np.linalg.pinv(self._jacobian(_at(self.hand.model, self.places, target)))

    def load(self, data: MjData) -> tuple[float, float]:
        """How hard the hand is pushed and turned, from what contacts do to the joints: what is left of an
        arm's measured torques without its own weight and inertia."""
        load = np.linalg.pinv(self._jacobian(data)).T @ data.qfrc_constraint[self._degrees]
        return float(np.linalg.norm(load[:3])), float(np.linalg.norm(load[3:]))

    @cached_property
    def places(self) -> Int[np.ndarray, " d"]:
        """Of the joints in a state's positions."""
        return np.array([self.hand.model.joint(name).qposadr[0] for name in self.joints])

    @cached_property
    def _degrees(self) -> Int[np.ndarray, " d"]:
        return np.array([self.hand.model.joint(name).dofadr[0] for name in self.joints])

    def _jacobian(self, data: MjData) -> Float[np.ndarray, "6 d"]:
        """Of the gripper's frame, along its own axes."""
        jacobian = np.zeros((2, 3, self.hand.model.nv))
        palm = data.body("hand/palm")
        mujoco.mj_jacBody(self.hand.model, data, jacobian[0], jacobian[1], palm.id)
        local = palm.xmat.reshape(3, 3).T @ jacobian
        return local.reshape(6, -1)[:, self._degrees]


def add_arm(scene: Scene, arm: Arm, hand: Any, posture: Float[np.ndarray, " d"]) -> ArmRig:
    """Build the scene's model again with an arm in it, its servos tuned for a posture, and a hand on it."""
    joints = tuple(_ARM + name for name in arm.joints)

    def add(spec: Any) -> None:
        T_world_base = invert(scene.T_base_world)
        frame = spec.worldbody.add_frame(pos=T_world_base[:3, 3], quat=_wxyz(T_world_base))
        spec.attach(_weightless(arm), prefix=_ARM, frame=frame)
        attach_at(spec, _ARM + arm.flange, hand, arm.path, prefix="hand/")
        for name, torque in zip(joints, arm.torque.tolist(), strict=True):
            servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            servo.set_to_position(kp=torque / _YIELD)
            servo.forcelimited, servo.forcerange = True, [-torque, torque]

    model = build_with(scene.layout, add)
    rig = ArmRig(hand_in(model, arm.gripper, carried_by=_ARM), joints)
    _meet_things_only(model)
    _damp(model, joints, _at(model, rig.places, posture))
    return rig


def _weightless(arm: Arm) -> Any:
    """The arm without a hand; it carries its own weight, as real ones do without being asked."""
    spec = bare_spec(arm.path)
    for number, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"geom {number}"
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0
    return spec


def _hand_spec(arm: Arm, width: float, opening: float, *, force: float) -> Any:
    """The gripper with pads ``opening`` apart, where it sits on the flange when they are ``width`` apart."""
    root, world = ET.Element("mujoco"), ET.Element("worldbody")
    body, actuator, equality = hand_elements(arm.gripper, force, opening, prefix="")
    T = arm.T_flange_gripper(width)
    body.set("pos", numbers(T[:3, 3]))
    body.set("quat", numbers(_wxyz(T)))
    world.append(body)
    root.extend([world, actuator, equality])
    return mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))


def _meet_things_only(model: MjModel) -> None:
    """Links meet objects and the table; not one another or the hand, which the path was checked for. The
    first link meets nothing: it turns where it stands, partly in the table."""
    mine = np.array([model.geom(index).name.startswith(_ARM) for index in range(model.ngeom)])
    solid = mine & ((model.geom_contype != 0) | (model.geom_conaffinity != 0))
    model.geom_contype[mine] = 0
    model.geom_conaffinity[mine] = 0
    model.geom_conaffinity[solid & (joints_behind(model)[model.geom_bodyid] >= 2)] = 1


def _damp(model: MjModel, joints: tuple[str, ...], data: MjData) -> None:
    """Damp every servo critically for the inertia that it moves in a posture."""
    for name in joints:
        unit, moved = np.zeros(model.nv), np.zeros(model.nv)
        degree = model.joint(name).dofadr[0]
        unit[degree] = 1.0
        mujoco.mj_mulM(model, data, moved, unit)
        servo = model.actuator(name).id
        model.actuator_biasprm[servo, 2] = -2 * np.sqrt(model.actuator_gainprm[servo, 0] * moved[degree])


def _at(model: MjModel, places: Int[np.ndarray, " d"], joints: Float[np.ndarray, " d"]) -> MjData:
    """A state with the arm at joint positions, as far as it is needed for Jacobians and inertias."""
    data = mujoco.MjData(model)
    data.qpos[places] = joints
    mujoco.mj_fwdPosition(model, data)
    return data


def _wxyz(T: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " 4"]:
    return Rotation.from_matrix(T[:3, :3]).as_quat()[[3, 0, 1, 2]]
