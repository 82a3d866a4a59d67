"""Robot arms: a TOML file, the MJCF that it names, and a gripper on the flange."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.spatial.transform import Rotation

from point2act.core import config_files
from point2act.core.documents import Text, TomlTable, check
from point2act.core.errors import ArmError
from point2act.core.geometry import transform
from point2act.core.mujoco_import import MjData, MjModel, mujoco
from point2act.grasping.grippers import Gripper

# Prefix of the gripper's names in the model of an arm, and the site on the flange.
TOOL = "tool/"
FLANGE = f"{TOOL}flange"


@dataclass(frozen=True, eq=False)
class Arm:
    """A serial arm of hinge joints with a gripper. The world of the model is the base frame of the arm."""

    name: str
    path: Path
    """MJCF without the gripper."""
    flange: str
    """Name of a site or body of the MJCF."""
    joints: tuple[str, ...]
    """Names of the joints, from the base to the flange."""
    home: Float[np.ndarray, " d"]
    """Home position of the joints, radians."""
    torque: Float[np.ndarray, " d"]
    """Largest torque of each joint, newton metres."""
    velocity: Float[np.ndarray, " d"]
    """Largest velocity of each joint, radians per second."""
    gripper: Gripper
    turn: float
    """Rotation of the gripper around the flange's z axis, radians."""
    model: MjModel
    """MuJoCo model of the arm with the boxes of the open gripper."""
    source: str

    @property
    def limits(self) -> Float[np.ndarray, "d 2"]:
        """Smallest and largest position of each joint, radians."""
        return self.model.jnt_range

    def T_flange_gripper(self, opening: float) -> Float[np.ndarray, "4 4"]:
        """Return the pose of the gripper frame on the flange at an opening (metres)."""
        return _on_flange(self.gripper, self.turn, opening)

    def joint_places(self, joints: Float[np.ndarray, " d"]) -> Float[np.ndarray, "p 3"]:
        """Return the places of the base, of every joint and of the flange at joint positions (radians).

        Args:
            joints: Joint positions.

        Returns:
            Points in the base frame, metres.
        """
        data = self._at(joints)
        return np.array([np.zeros(3), *data.xanchor, data.site(FLANGE).xpos])

    def _at(self, joints: Float[np.ndarray, " d"]) -> MjData:
        data = mujoco.MjData(self.model)
        data.qpos[:] = joints
        mujoco.mj_kinematics(self.model, data)
        return data

    def T_base_gripper(self, joints: Float[np.ndarray, " d"], opening: float) -> Float[np.ndarray, "4 4"]:
        """Return the pose of the gripper at joint positions (radians): forward kinematics."""
        data = self._at(joints)
        T_base_flange = transform(data.site(FLANGE).xmat.reshape(3, 3), data.site(FLANGE).xpos)
        return T_base_flange @ self.T_flange_gripper(opening)


_Torque = Annotated[float, Field(gt=0, description="write positive newton metres")]
_Velocity = Annotated[float, Field(gt=0, description="write positive radians per second")]
_Angle = Annotated[float, Field(description="write degrees")]
# For an arm whose file gives none, radians per second: half of what ordinary arms do.
_SLOW = 1.0


class _ArmFile(TomlTable):
    """A file of ``configs/arms``."""

    name: Text
    model: Text
    flange: Text
    joints: list[str] = Field(min_length=1, description="write a list of names")
    home: list[float] = Field(description="write a list of numbers, one for each joint, in radians")
    torque: list[_Torque] = Field(description="write a list of numbers, one for each joint, in newton metres")
    velocity: list[_Velocity] | None = Field(
        None, description="write a list of numbers, one for each joint, in radians per second"
    )
    source: Text
    turn: dict[str, _Angle] = Field({}, description="write the degrees of each gripper under [turn]")


def load_arm(name_or_path: str | Path, gripper: Gripper) -> Arm:
    """Load an arm with a gripper.

    Args:
        name_or_path: Name of a shipped arm or path of a TOML file.
        gripper: Gripper on the flange.

    Raises:
        ArmError: The file is wrong; names the file, the key and what to write there.
    """
    path, table = config_files.load("arms", name_or_path, ArmError)
    found = check(_ArmFile, table, ArmError, place=str(path))
    mjcf, joints = path.parent / found.model, tuple(found.joints)
    if gripper.name not in found.turn:
        raise ArmError(
            f"{path} does not say how gripper '{gripper.name}' is turned on the flange: write "
            f"{gripper.name} = 0.0, or what it is in degrees, under [turn]"
        )
    turn = float(np.deg2rad(found.turn[gripper.name]))
    if not gripper.mount:
        raise ArmError(
            f"gripper '{gripper.name}' cannot be put on an arm: write into its file as 'mount' how far its "
            "mounting face lies behind the pads"
        )
    spec = bare_spec(mjcf)
    attach_at(spec, found.flange, tool(gripper, turn), mjcf, prefix=TOOL)
    model = _compiled(spec, mjcf)
    _check_joints(path, mjcf, model, joints)
    velocity = [_SLOW] * len(joints) if found.velocity is None else found.velocity
    for key, values in (("home", found.home), ("torque", found.torque), ("velocity", velocity)):
        if len(values) != len(joints):
            raise ArmError(f"{path}: '{key}' is {values}: write {len(joints)} numbers, one for each joint")
    arm = Arm(
        name=found.name,
        path=mjcf,
        flange=found.flange,
        joints=joints,
        home=np.array(found.home),
        torque=np.array(found.torque),
        velocity=np.array(velocity),
        gripper=gripper,
        turn=turn,
        model=model,
        source=found.source,
    )
    _check_values(path, arm)
    return arm


def bare_spec(mjcf: Path) -> Any:
    """Return an editable MJCF without actuators, sensors, keyframes; raises ``ArmError`` if invalid."""
    if not mjcf.is_file():
        raise ArmError(f"{mjcf} does not exist: 'model' is the path of an MJCF, seen from its .toml file")
    try:
        spec = mujoco.MjSpec.from_file(str(mjcf))
    except ValueError as err:
        raise ArmError(f"{mjcf} cannot be read as MJCF ({err}): correct it") from err
    for element in [*spec.actuators, *spec.sensors, *spec.keys]:
        spec.delete(element)
    return spec


def attach_at(spec: Any, flange: str, child: Any, mjcf: Path, *, prefix: str) -> None:
    """Attach a child to the flange, a site or body; raises ``ArmError`` if there is none of that name."""
    site, body = spec.site(flange), spec.body(flange)
    if site is not None:
        spec.attach(child, prefix=prefix, site=site)
    elif body is not None:
        spec.attach(child, prefix=prefix, frame=body.add_frame())
    else:
        known = ", ".join(element.name for element in [*spec.sites, *spec.bodies[1:]] if element.name)
        raise ArmError(f"{mjcf} has no site or body named '{flange}': use one of {known} as the 'flange'")


def _on_flange(gripper: Gripper, turn: float, opening: float) -> Float[np.ndarray, "4 4"]:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("z", turn).as_matrix()
    T[2, 3] = gripper.mount_at(opening)
    return T


def tool(gripper: Gripper, turn: float) -> Any:
    """Return the open gripper as static boxes on its flange."""
    spec, opening = mujoco.MjSpec(), gripper.max_width
    spec.worldbody.add_site(name="flange")
    T = _on_flange(gripper, turn, opening)
    quat = Rotation.from_matrix(T[:3, :3]).as_quat()[[3, 0, 1, 2]]
    body = spec.worldbody.add_body(name="gripper", pos=T[:3, 3], quat=quat)
    for center, half in gripper.boxes_at(opening):
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=center, size=half)
    return spec


def _compiled(spec: Any, mjcf: Path) -> MjModel:
    try:
        return spec.compile()
    except ValueError as err:
        raise ArmError(f"{mjcf} is not a model that MuJoCo can compile ({err}): correct it") from err


def _check_joints(path: Path, mjcf: Path, model: MjModel, joints: tuple[str, ...]) -> None:
    found = tuple(model.joint(index).name for index in range(model.njnt))
    if found != joints:
        raise ArmError(
            f"{path}: 'joints' are {', '.join(joints)}, but {mjcf} has {', '.join(found) or 'none'}: "
            "list all of them from the base to the flange, and remove those of a gripper from the model"
        )
    for index, name in enumerate(joints):
        if model.jnt_type[index] != mujoco.mjtJoint.mjJNT_HINGE or not model.jnt_limited[index]:
            raise ArmError(f"{mjcf}: joint '{name}' is not a hinge with a range: correct it")


def _check_values(path: Path, arm: Arm) -> None:
    outside = (arm.home < arm.limits[:, 0]) | (arm.home > arm.limits[:, 1])
    if outside.any():
        index = int(np.argmax(outside))
        low, high = arm.limits[index]
        raise ArmError(
            f"{path}: 'home' puts {arm.joints[index]} at {arm.home[index]:.3f}, outside its limits "
            f"{low:.3f} .. {high:.3f}: write radians within them"
        )
