"""Rigid transforms as the fields of geometry_msgs: position, and a quaternion in the order xyzw."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.geometry import transform


def matrix_of(translation: Any, rotation: Any) -> Float[np.ndarray, "4 4"]:
    """Return the matrix of a Vector3 or Point and a Quaternion."""
    quaternion = [rotation.x, rotation.y, rotation.z, rotation.w]
    return transform(
        Rotation.from_quat(quaternion).as_matrix(), np.array([translation.x, translation.y, translation.z])
    )


def fill(T: Float[np.ndarray, "4 4"], translation: Any, rotation: Any) -> None:
    """Write a rigid transform into a Vector3 or Point and a Quaternion."""
    translation.x, translation.y, translation.z = T[:3, 3].tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = Rotation.from_matrix(T[:3, :3]).as_quat().tolist()


def moved(
    T_before: Float[np.ndarray, "4 4"],
    T_now: Float[np.ndarray, "4 4"],
    *,
    min_translation: float,
    min_rotation: float,
) -> bool:
    """Return whether a camera has moved or turned at least so far.

    Args:
        T_before: Its pose at the last view.
        T_now: Its pose now, in the same frame.
        min_translation: Distance, metres.
        min_rotation: Angle, radians.
    """
    turned = Rotation.from_matrix(T_before[:3, :3].T @ T_now[:3, :3]).magnitude()
    return bool(np.linalg.norm(T_now[:3, 3] - T_before[:3, 3]) >= min_translation or turned >= min_rotation)
