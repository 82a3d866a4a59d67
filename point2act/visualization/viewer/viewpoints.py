"""Cameras of the page's buttons: the first view, from the top, from the front, from the robot's base."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from point2act.core.types import View
from point2act.visualization.initial_camera import InitialCamera
from point2act.visualization.viewer.photos import FOV, BrowserCamera

VIEWPOINTS = ("Start", "Top", "Front")
"""Names of the cameras that every scene has."""
# Distance from above, relative to the capture's cameras, and elevation from the front, radians. Chosen.
_ABOVE, _ELEVATION = 1.3, 0.2
# Height above the robot's base, relative to the distance of the capture's cameras. Chosen: over its shoulder.
_SHOULDER = 0.4


def viewpoint(name: str, initial: InitialCamera) -> BrowserCamera:
    """Return one of ``VIEWPOINTS``, world frame."""
    away = initial.eye - initial.center
    if name == "Top":
        # What is in front at the start is at the bottom.
        eye = initial.center + _ABOVE * initial.distance * initial.up
        return BrowserCamera(eye, initial.center, -_level(away, initial.up), FOV)
    if name == "Front":
        way = np.cos(_ELEVATION) * _level(away, initial.up) + np.sin(_ELEVATION) * initial.up
        eye = initial.center + np.linalg.norm(away) * way
        return BrowserCamera(eye, initial.center, initial.up, FOV)
    return BrowserCamera(initial.eye, initial.center, initial.up, FOV)


def from_base(base: Float[np.ndarray, "3"], initial: InitialCamera) -> BrowserCamera:
    """Return a camera above a robot's base that faces the scene, world frame."""
    eye = base + _SHOULDER * initial.distance * initial.up
    return BrowserCamera(eye, initial.center, initial.up, FOV)


def from_view(view: View, initial: InitialCamera) -> BrowserCamera:
    """Return the camera of a photograph, upright in its own way, world frame."""
    eye, forward = view.T_world_cam[:3, 3], view.T_world_cam[:3, 2]
    reach = max(float((initial.center - eye) @ forward), 0.1 * initial.distance)
    fov = 2 * float(np.arctan(view.camera.height / 2 / view.camera.fy))
    return BrowserCamera(eye, eye + reach * forward, -view.T_world_cam[:3, 1], fov)


def _level(way: Float[np.ndarray, "3"], up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the unit vector across ``up`` that is nearest to a direction."""
    level = way - (way @ up) * up
    length = np.linalg.norm(level)
    if length > 1e-9 * np.linalg.norm(way):
        return level / length
    across = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    return across / np.linalg.norm(across)
