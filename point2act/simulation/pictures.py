"""Images of a trial, from a tripod that sees both fingers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.mujoco_import import MjModel, mujoco, open_renderer
from point2act.simulation.camera import look_at, pinhole, point_camera
from point2act.simulation.mjcf import CAMERA

_SIZE = (360, 480)
_FOCAL = 500.0
_DISTANCE = 0.6
_ELEVATION = np.deg2rad(20.0)
_TURN = np.deg2rad(35.0)
"""Angle away from perpendicular to the closing axis, so that the palm does not fill the image."""
_RAISED = 0.05
"""Height above the grasp that the tripod faces, so that the lifted object stays in the image, metres."""


def render_states(
    model: MjModel,
    states: Sequence[Float[np.ndarray, " q"]],
    T_world_gripper: Float[np.ndarray, "4 4"],
) -> tuple[UInt8[np.ndarray, "360 480 3"], ...]:
    """Render one image of each recorded state (``qpos``) of a model with a gripper at a grasp."""
    data = mujoco.MjData(model)
    camera, T_world_cam = pinhole(_SIZE, _FOCAL), _tripod(T_world_gripper)
    pictures = []
    with open_renderer(model, *_SIZE) as renderer:
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
    c, s = np.cos(_TURN), np.sin(_TURN)
    across = np.array([c * across[0] - s * across[1], s * across[0] + c * across[1]])
    target = T_world_gripper[:3, 3] + [0.0, 0.0, _RAISED]
    offset = np.array([*(np.cos(_ELEVATION) * across), np.sin(_ELEVATION)])
    return look_at(target + _DISTANCE * offset, target)
