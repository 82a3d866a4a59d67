"""A simulated wrist camera: poses on an arc around the table; RGB, z-depth and part ids from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from point2act.core.errors import SimulationError
from point2act.core.geometry import transform
from point2act.core.mujoco_import import Renderer, mujoco, open_renderer
from point2act.core.types import Camera, View
from point2act.physics.mjcf import CAMERA
from point2act.physics.pictures import look_at, pinhole, point_camera
from point2act.physics.scene import Scene
from point2act.simulation.depth_sensors import SENSORS, read_depth
from point2act.simulation.sensor import SensorConfig, measured_color, measured_depth

_UNKIND = 7
"""Number of the generator of depth cameras' noise and of errors of poses, beside a scene's seed."""
_LEVER = 0.5
"""Distance at which the turn of an erroneous pose moves things as far as its translation, metres. Chosen."""


# Height and width, focal length and distances: a D435 on a wrist, a Kinect on a tripod, and the narrow view
# of an Azure Kinect, each as its depth is delivered.
_CAMERAS = {
    "stereo": ((480, 640), 610.0, (0.44, 0.64)),
    "structured_light": ((480, 640), 525.0, (1.1, 1.5)),
    "tof": ((576, 640), 505.0, (0.6, 0.9)),
}


@dataclass(frozen=True)
class PoseErrorConfig:
    """Difference between recorded poses and true ones, each with a turn that moves half a metre as far."""

    hand_eye: float = 0.0
    """Error of the hand-eye calibration, the same in every view, metres."""
    drift: float = 0.0
    """Error that grows evenly along the path to this at its end, metres."""


@dataclass(frozen=True)
class WristConfig:
    """The wrist camera and its path."""

    views: int = 24
    """Number of images."""
    size: tuple[int, int] = (240, 320)
    """Height and width, pixels."""
    focal: float = 300.0
    """Focal length, pixels."""
    distance: tuple[float, float] = (0.44, 0.64)
    """Minimum and maximum distance from the point that the camera faces, metres."""
    elevation: tuple[float, float] = (42.0, 72.0)
    """Minimum and maximum elevation above the table, degrees."""
    sweep: float = 300.0
    """Arc around the table's centre, degrees; its gap is opposite the robot."""
    aim: float = 0.03
    """Maximum offset of the point that the camera faces from the table's centre, metres."""
    roll: float = 8.0
    """Maximum roll about the optical axis, degrees."""
    sensor: SensorConfig = field(default_factory=SensorConfig)
    """Noise of the images."""
    depth_sensor: str = "ideal"
    """Depth camera of ``SENSORS`` whose errors the depth has; ``ideal`` for the noise of ``sensor``."""
    pose_error: PoseErrorConfig = field(default_factory=PoseErrorConfig)
    """Difference between the recorded poses and the true ones."""


def wrist_camera(sensor: str, base: WristConfig = WristConfig()) -> WristConfig:
    """Return a camera with a depth sensor of ``SENSORS``, its images and its usual distance.

    The sensor ``ideal`` leaves the camera as it is.

    Raises:
        SimulationError: There is no such sensor.
    """
    if sensor == "ideal":
        return base
    if sensor not in SENSORS:
        raise SimulationError(f"there is no sensor '{sensor}': use ideal, {', '.join(SENSORS)}")
    size, focal, distance = _CAMERAS[sensor]
    return replace(base, size=size, focal=focal, distance=distance, depth_sensor=sensor)


@dataclass(frozen=True, eq=False)
class SimView:
    """A rendered view with its ground truth."""

    view: View
    part_ids: Int[np.ndarray, "h w"]
    """Index into the scene's parts, -1 for everything else."""
    true_depth: Float[np.ndarray, "h w"]
    """Noise-free z-depth, metres."""
    T_world_cam: Float[np.ndarray, "4 4"] | None = None
    """True pose, if the view's is not."""

    @property
    def pose(self) -> Float[np.ndarray, "4 4"]:
        """True pose of the camera."""
        return self.view.T_world_cam if self.T_world_cam is None else self.T_world_cam


def render_views(scene: Scene, config: WristConfig, rng: np.random.Generator) -> tuple[SimView, ...]:
    """Render every view of a capture."""
    limits = scene.layout.camera
    config = replace(
        config,
        sweep=config.sweep if limits.sweep is None else limits.sweep,
        elevation=config.elevation if limits.elevation is None else limits.elevation,
    )
    poses = wrist_poses(scene.layout.table.height, config, rng)
    # Drawn from a generator of their own, so that the default camera's images stay as they are.
    unkind = np.random.default_rng([scene.seed, _UNKIND])
    recorded = recorded_poses(poses, config.pose_error, unkind)
    camera = pinhole(config.size, config.focal)
    color, depth, ids = render(scene, poses, camera)
    shots = []
    for index, T in enumerate(poses):
        seen = measured_color(color[index], config.sensor, rng)
        if config.depth_sensor == "ideal":
            read = measured_depth(depth[index], ids[index], camera, config.sensor, rng)
        else:
            read = read_depth(
                depth[index], color[index], ids[index], camera, SENSORS[config.depth_sensor], unkind
            )
        view = View(f"images/{index:04d}.png", camera, recorded[index], seen, read)
        shots.append(SimView(view, ids[index], depth[index], T))
    return tuple(shots)


def recorded_poses(
    poses: Sequence[Float[np.ndarray, "4 4"]], config: PoseErrorConfig, rng: np.random.Generator
) -> list[Float[np.ndarray, "4 4"]]:
    """Return poses (T_world_cam) as a robot records them: with errors of hand-eye calibration and drift.

    The error of the calibration is the same in every camera frame; drift grows along the path, in the world.
    """
    hand_eye = pose_error(config.hand_eye, *rng.standard_normal((2, 3)))
    way, axis = rng.standard_normal((2, 3))
    found = []
    for share, T in zip(np.linspace(0, 1, len(poses)), poses, strict=True):
        drift = pose_error(share * config.drift, way, axis)
        moved = T @ hand_eye
        # About the camera's place, so that the turn does not move a camera that is far from the origin.
        moved[:3, :3] = drift[:3, :3] @ moved[:3, :3]
        moved[:3, 3] += drift[:3, 3]
        found.append(moved)
    return found


def pose_error(
    length: float, way: Float[np.ndarray, " 3"], axis: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "4 4"]:
    """Return a motion by a length, and a turn that moves what is half a metre away as far.

    Args:
        length: Length, metres.
        way: Direction of the shift, of any length.
        axis: Axis of the turn, of any length.
    """
    turn = Rotation.from_rotvec(length / _LEVER * axis / np.linalg.norm(axis))
    return transform(turn.as_matrix(), length * way / np.linalg.norm(way))


def wrist_poses(
    table_height: float, config: WristConfig, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "4 4"], ...]:
    """Return camera poses (T_world_cam) along an arc that rises and falls, as an arm would move a camera."""
    center = np.array([0.0, 0.0, table_height + 0.03])
    along = (np.arange(config.views) + 0.5) / config.views
    azimuth = np.deg2rad(180 + config.sweep * (along - 0.5))
    # Heights and distances go through their ranges a few times, out of step with one another.
    low, high = np.deg2rad(config.elevation)
    elevation = (low + high) / 2 + (high - low) / 2 * np.sin(2 * np.pi * 3.5 * along + rng.uniform(0, 7))
    near, far = config.distance
    distance = (near + far) / 2 + (far - near) / 2 * np.sin(2 * np.pi * 2.2 * along + rng.uniform(0, 7))
    poses = []
    for a, e, d in zip(azimuth, elevation, distance, strict=True):
        target = center + np.array([*rng.uniform(-config.aim, config.aim, 2), 0.0])
        eye = target + d * np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        lean = Rotation.from_euler("z", config.roll * rng.uniform(-1, 1), degrees=True).as_matrix()
        T = look_at(eye, target)
        T[:3, :3] = T[:3, :3] @ lean
        poses.append(T)
    return tuple(poses)


def render(
    scene: Scene, poses: Sequence[Float[np.ndarray, "4 4"]], camera: Camera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Render noise-free colour (n, h, w, 3) uint8, z-depth (n, h, w) in metres and part ids (n, h, w)."""
    data = scene.start(scene.model)
    color, depth, ids = [], [], []
    with open_renderer(scene.model, camera.height, camera.width) as renderer:
        for T in poses:
            point_camera(scene.model, data, T, camera)
            renderer.update_scene(data, CAMERA)
            color.append(renderer.render())
            depth.append(render_depth(renderer))
            renderer.enable_segmentation_rendering()
            ids.append(part_ids(renderer.render(), scene.part_of_geom))
            renderer.disable_segmentation_rendering()
    return np.array(color), np.array(depth), np.array(ids)


def render_depth(renderer: Renderer) -> Float[np.ndarray, "h w"]:
    """Render the z-depth of the scene that a renderer was updated with, metres."""
    renderer.enable_depth_rendering()
    depth = renderer.render()
    renderer.disable_depth_rendering()
    return depth


def part_ids(
    segmentation: Int[np.ndarray, "h w 2"], part_of_geom: Int[np.ndarray, " g"]
) -> Int[np.ndarray, "h w"]:
    """Return the index of the part that each pixel of a segmentation rendering shows, -1 for none.

    Args:
        segmentation: Number and kind of MuJoCo's object at each pixel.
        part_of_geom: Index of each geom's part.
    """
    geom, kind = segmentation[..., 0], segmentation[..., 1]
    is_geom = kind == int(mujoco.mjtObj.mjOBJ_GEOM)
    return np.where(is_geom, part_of_geom[np.where(is_geom, geom, 0)], -1)
