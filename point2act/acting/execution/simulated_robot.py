"""A simulated robot: a scene in MuJoCo with an arm, and a camera that stands beside the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, UInt8

from point2act.acting.execution.robot import RobotState
from point2act.core.mujoco_import import MjData, MjModel, Renderer, mujoco, open_renderer
from point2act.core.types import Camera, View
from point2act.grasping.reachability.arm import Arm
from point2act.physics.gripper_model import spread, squeeze
from point2act.physics.mjcf import CAMERA, TIMESTEP
from point2act.physics.pictures import look_at, pinhole, point_camera
from point2act.physics.scene import Scene, parts_of_geoms
from point2act.simulation.arm import ArmRig, add_arm, gripper_spec
from point2act.simulation.camera import part_ids, render_depth
from point2act.simulation.sensor import SensorConfig, measured_color

# From the camera to the point above the middle of the table that it faces, metres: opposite the robot and to
# the side, so that the arm hides little. Chosen.
_EYE, _FACES = np.array([0.62, 0.42, 0.62]), np.array([0.02, 0.0, 0.04])
# Noise of z-depth half a metre away, metres; it grows with the square of the depth. That of a stereo camera.
_DEPTH_SIGMA = 0.001
# Side of the map of shadows in the live images, pixels.
_SHADOW_SIZE = 1024


@dataclass(frozen=True)
class SimulatedRobotConfig:
    """The simulated robot."""

    period: float = 0.01
    """Duration of a control step, seconds."""
    force: float = 40.0
    """Squeezing force of each finger, newtons."""
    size: tuple[int, int] = (480, 640)
    """Height and width of the camera's images, pixels."""
    focal: float = 850.0
    """Focal length, pixels."""
    sensor: SensorConfig = field(default_factory=SensorConfig)
    """Noise of the images' colours."""


class SimulatedRobot:
    """An arm in a scene; its clock stands still while something is computed."""

    real_time = False

    def __init__(
        self, scene: Scene, arm: Arm, config: SimulatedRobotConfig = SimulatedRobotConfig(), seed: int = 0
    ):
        """Put the arm at its home posture beside the settled scene.

        Args:
            scene: The scene.
            arm: The arm with its gripper, which stands at ``scene.T_base_world``.
            config: Camera and control period.
            seed: Seed of the camera's noise.
        """
        self.period = config.period
        opening = arm.gripper.max_width
        spec = gripper_spec(arm, opening, opening, force=min(config.force, arm.gripper.max_force))
        self.rig: ArmRig = add_arm(scene, arm, spec, arm.home)
        self.data: MjData = scene.start(self.model)
        self._T_base_world = scene.T_base_world
        self._part_of_geom = parts_of_geoms(scene, self.model)
        self._rng = np.random.default_rng(seed)
        self._config = config
        self._camera: Camera = pinhole(config.size, config.focal)
        middle = np.array([0.0, 0.0, scene.layout.table.height])
        self._T_world_cam = look_at(middle + _EYE, middle + _FACES)
        # A software renderer takes 0.08 s for an image so, and 0.20 s with the quality of captures.
        self.model.vis.quality.offsamples, self.model.vis.quality.shadowsize = 0, _SHADOW_SIZE
        self._renderer: Renderer = open_renderer(self.model, *config.size)
        self.before_step: list[Callable[[SimulatedRobot], None]] = []
        """Called before each step of the physics, such as disturbances."""
        self.covered = False
        """Whether something covers the camera."""
        self.rig.jump(self.data, arm.home)
        spread(self.data, opening)
        mujoco.mj_forward(self.model, self.data)

    @property
    def model(self) -> MjModel:
        """The model of the scene with the arm."""
        return self.rig.mounted.model

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the arm's joints and of their servos in the model."""
        return self.rig.joints

    def state(self) -> RobotState:
        """Return the state of the physics."""
        joints = self.data.qpos[self.rig.qpos_indices].copy()
        width = sum(float(self.data.joint(f"gripper/{side}").qpos[0]) for side in ("left", "right"))
        return RobotState(float(self.data.time), joints, max(width, 0.0), self.rig.load(self.data)[0])

    def command(self, joints: Float[np.ndarray, " d"], width: float) -> None:
        """Set the servos, and simulate one control step."""
        self.rig.move(self.data, joints)
        if width > 0:
            for side in ("left", "right"):
                self.data.actuator(f"gripper/{side}").ctrl = width / 2
        else:
            squeeze(self.data)
        for _ in range(round(self.period / TIMESTEP)):
            for act in self.before_step:
                act(self)
            mujoco.mj_step(self.model, self.data)

    def view(self) -> View:
        """Render the camera's image with its depth."""
        rgb, depth = self.picture(), render_depth(self._renderer)
        depth = depth + _DEPTH_SIGMA * (depth / 0.5) ** 2 * self._rng.standard_normal(depth.shape)
        if self.covered:
            rgb, depth = np.zeros_like(rgb), np.zeros_like(depth)
        rgb = measured_color(rgb, self._config.sensor, self._rng)
        T_base_cam: Float[np.ndarray, "4 4"] = np.matmul(self._T_base_world, self._T_world_cam)
        return View("camera", self._camera, T_base_cam, rgb, depth.astype(np.float32))

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Render the colours without noise."""
        point_camera(self.model, self.data, self._T_world_cam, self._camera)
        self._renderer.update_scene(self.data, CAMERA)
        return self._renderer.render()

    def part_ids(self) -> Int[np.ndarray, "h w"]:
        """Return the index of the scene's part that each pixel of the camera's image shows, -1 for none."""
        if self.covered:
            return np.full(self._config.size, -1)
        self.picture()
        self._renderer.enable_segmentation_rendering()
        shown = part_ids(self._renderer.render(), self._part_of_geom)
        self._renderer.disable_segmentation_rendering()
        return shown

    def rest(self, seconds: float) -> None:
        """Hold still for a while, as after a run."""
        self.stop()
        for _ in range(round(seconds / TIMESTEP)):
            mujoco.mj_step(self.model, self.data)

    def stop(self) -> None:
        """Hold still where the arm is."""
        self.rig.move(self.data, self.data.qpos[self.rig.qpos_indices])

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()
