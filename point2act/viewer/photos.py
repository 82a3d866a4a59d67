"""A captured image hung up where its camera stood: what is drawn on it, and what a click on it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from point2act.drawing import Color, draw_points, heat_overlay
from point2act.geometry import invert, transform_points
from point2act.types import Camera, View

Overlay = Literal["points and heatmap", "points", "nothing"]
OVERLAYS: tuple[Overlay, ...] = ("points and heatmap", "points", "nothing")
# Room around a photograph that fills the window, as a share of its size.
_MARGIN = 1.06


@dataclass(frozen=True, eq=False)
class Hanging:
    """A rectangle in the world that a photograph is drawn on."""

    T_world_photo: Float[np.ndarray, "4 4"]
    """Origin in its middle, +x right, +y down, +z away from the camera."""
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Gaze:
    """A camera of the browser's that looks at a photograph and nothing else."""

    position: Float[np.ndarray, " 3"]
    look_at: Float[np.ndarray, " 3"]
    up: Float[np.ndarray, " 3"]
    fov: float
    """Vertical, radians."""


def hang(camera: Camera, T_world_cam: Float[np.ndarray, "4 4"], distance: float) -> Hanging:
    """Where a photograph covers just what its camera saw, ``distance`` in front of it."""
    middle = distance * np.array(
        [(camera.width / 2 - camera.cx) / camera.fx, (camera.height / 2 - camera.cy) / camera.fy, 1.0]
    )
    T_world_photo = T_world_cam.copy()
    T_world_photo[:3, 3] = transform_points(T_world_cam, middle[None])[0]
    return Hanging(T_world_photo, distance * camera.width / camera.fx, distance * camera.height / camera.fy)


def gaze(camera: Camera, T_world_cam: Float[np.ndarray, "4 4"], distance: float, aspect: float) -> Gaze:
    """From where a photograph fits into a window of this width over height, seen from its camera's place."""
    hanging = hang(camera, T_world_cam, distance)
    height = max(hanging.height, hanging.width / max(aspect, 1e-3))
    return Gaze(
        position=T_world_cam[:3, 3],
        look_at=hanging.T_world_photo[:3, 3],
        up=-T_world_cam[:3, 1],
        fov=2 * float(np.arctan(_MARGIN * height / 2 / distance)),
    )


def pixel_under(
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    distance: float,
    origin: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "2"] | None:
    """The pixel of a hung photograph that a ray in the world meets; None where it misses it."""
    T_cam_world = invert(T_world_cam)
    start, way = transform_points(T_cam_world, origin[None])[0], T_cam_world[:3, :3] @ direction
    if abs(way[2]) < 1e-12:
        return None
    reach = (distance - start[2]) / way[2]
    x, y, _ = start + reach * way
    pixel = np.array([camera.fx * x, camera.fy * y]) / distance + [camera.cx, camera.cy]
    met = reach > 0 and (pixel >= 0).all() and (pixel < [camera.width, camera.height]).all()
    return pixel if met else None


def annotated(
    view: View,
    pixels: Float[np.ndarray, "n 2"] | None,
    heat: Float[np.ndarray, "h w"] | None,
    color: Color,
    overlay: Overlay,
) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph with what was said about it: ``pixels`` of the view, and the heatmap they make."""
    image = view.rgb
    if overlay == "points and heatmap" and heat is not None:
        image = heat_overlay(image, heat)
    if overlay != "nothing" and pixels is not None:
        image = draw_points(image, pixels, color)
    return image


def thumbnail(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A small copy for a camera's frustum, by leaving out pixels."""
    step = max(1, max(image.shape[:2]) // side)
    return image[::step, ::step]
