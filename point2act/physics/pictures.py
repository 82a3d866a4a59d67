"""Cameras of a MuJoCo model, and images of a trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.geometry import opengl_to_opencv, transform
from point2act.core.mujoco_import import MjData, MjModel, mujoco, open_renderer
from point2act.core.types import Camera
from point2act.physics.mjcf import CAMERA, wxyz

_TRIPOD_SIZE = (360, 480)
_TRIPOD_FOCAL = 500.0
_TRIPOD_DISTANCE = 0.78
_TRIPOD_ELEVATION = np.deg2rad(20.0)
_TRIPOD_TURN = np.deg2rad(35.0)
"""Angle away from perpendicular to the closing axis, so that the palm does not fill the image."""
_TRIPOD_RAISED = 0.12
"""Height above the grasp that the tripod faces, so that the lifted object stays in the image, metres."""


def pinhole(size: tuple[int, int], focal: float) -> Camera:
    """Return a camera with square pixels and a centred principal point."""
    height, width = size
    return Camera(focal, focal, width / 2, height / 2, height, width)


def look_at(eye: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
    """Return T_world_cam of an upright camera at ``eye`` that faces ``target``, not straight up or down."""
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return transform(np.stack([x, np.cross(z, x), z], axis=1), eye)


def point_camera(model: MjModel, data: MjData, T_world_cam: Float[np.ndarray, "4 4"], camera: Camera) -> None:
    """Set the pose (OpenCV axes) and the field of view of the model's camera."""
    T_world_glcam = opengl_to_opencv(T_world_cam)
    eye = model.body(CAMERA).mocapid[0]
    data.mocap_pos[eye] = T_world_glcam[:3, 3]
    data.mocap_quat[eye] = wxyz(T_world_glcam)
    model.cam_fovy[model.camera(CAMERA).id] = np.rad2deg(2 * np.arctan(camera.height / 2 / camera.fy))
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)


def render_states(
    model: MjModel,
    states: Sequence[Float[np.ndarray, " q"]],
    T_world_gripper: Float[np.ndarray, "4 4"],
    *,
    enlarged: float = 1.0,
) -> tuple[UInt8[np.ndarray, "_h _w 3"], ...]:
    """Render one image of each recorded state (``qpos``) of a model with a gripper at a grasp.

    Args:
        model: Model of the scene with the gripper.
        states: Positions of all joints, one row for each image.
        T_world_gripper: The grasp.
        enlarged: Size of the images relative to 480x360 pixels.
    """
    data = mujoco.MjData(model)
    height, width = (round(enlarged * side) for side in _TRIPOD_SIZE)
    camera, T_world_cam = pinhole((height, width), enlarged * _TRIPOD_FOCAL), _tripod(T_world_gripper)
    pictures = []
    with open_renderer(model, height, width) as renderer:
        for qpos in states:
            data.qpos[:] = qpos
            point_camera(model, data, T_world_cam, camera)
            renderer.update_scene(data, CAMERA)
            pictures.append(renderer.render())
    return tuple(pictures)


def _tripod(T_world_gripper: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Return a pose beside the gripper, perpendicular to its closing axis, on the side of the lamp."""
    closing = T_world_gripper[:2, 1]
    across = np.array([-closing[1], closing[0]])
    across = across / np.linalg.norm(across) if np.linalg.norm(across) > 0.2 else np.array([-0.8, -0.6])
    if across @ [-0.5, -0.6] < 0:
        across = -across
    c, s = np.cos(_TRIPOD_TURN), np.sin(_TRIPOD_TURN)
    across = np.array([c * across[0] - s * across[1], s * across[0] + c * across[1]])
    target = T_world_gripper[:3, 3] + [0.0, 0.0, _TRIPOD_RAISED]
    offset = np.array([*(np.cos(_TRIPOD_ELEVATION) * across), np.sin(_TRIPOD_ELEVATION)])
    return look_at(target + _TRIPOD_DISTANCE * offset, target)
