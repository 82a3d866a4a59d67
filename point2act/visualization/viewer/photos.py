"""Photographs placed in the scene in front of their cameras, and the pixel under a click on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.geometry import invert, transform_points
from point2act.core.types import Camera, View
from point2act.visualization.drawing import Color, draw_points, heat_overlay

Overlay = Literal["points and heatmap", "points", "nothing"]
OVERLAYS: tuple[Overlay, ...] = get_args(Overlay)
FOV = 0.9
"""Vertical field of view of a browser's camera, radians: a little wider than a usual depth camera's."""
# Size of the view of a photograph relative to the photograph; fraction of a wide window beside the panel.
_MARGIN, _BESIDE_PANEL = 1.06, 0.73


@dataclass(frozen=True, eq=False)
class PlacedPhoto:
    """A rectangle in the world on which a photograph is drawn."""

    T_world_photo: Float[np.ndarray, "4 4"]
    """Pose: origin in the middle, +x right, +y down, +z away from the camera."""
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class BrowserCamera:
    """Camera of a browser, world frame."""

    position: Float[np.ndarray, " 3"]
    look_at: Float[np.ndarray, " 3"]
    up: Float[np.ndarray, " 3"]
    fov: float
    """Vertical field of view, radians."""


def place_photo(camera: Camera, T_world_cam: Float[np.ndarray, "4 4"], distance: float) -> PlacedPhoto:
    """Place a photograph ``distance`` in front of its camera, where it covers exactly what the camera saw."""
    middle = distance * np.array(
        [(camera.width / 2 - camera.cx) / camera.fx, (camera.height / 2 - camera.cy) / camera.fy, 1.0]
    )
    T_world_photo = T_world_cam.copy()
    T_world_photo[:3, 3] = transform_points(T_world_cam, middle[None])[0]
    return PlacedPhoto(
        T_world_photo, distance * camera.width / camera.fx, distance * camera.height / camera.fy
    )


def camera_facing(photo: PlacedPhoto, aspect: float) -> BrowserCamera:
    """Return the camera for which a photograph just fits a window of this aspect ratio, beside the panel."""
    # A window that is not drawn yet has aspect 0.
    aspect = max(aspect, 0.1)
    free = _BESIDE_PANEL if aspect > 1 else 1.0
    high = _MARGIN * max(photo.height, photo.width / (free * aspect))
    T = photo.T_world_photo
    # The panel covers the right side of the window.
    aside = (1 - free) / 2 * aspect * high
    away = high / 2 / np.tan(FOV / 2)
    look_at = T[:3, 3] + aside * T[:3, 0]
    return BrowserCamera(look_at - away * T[:3, 2], look_at, -T[:3, 1], FOV)


def pixel_under(
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    distance: float,
    origin: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "2"] | None:
    """Return the pixel of a placed photograph that a ray in the world meets; None if the ray misses it."""
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
    """Draw the answers of a view on its photograph: points and their heatmap."""
    image = view.rgb
    if overlay == "points and heatmap" and heat is not None:
        image = heat_overlay(image, heat)
    if overlay != "nothing" and pixels is not None:
        image = draw_points(image, pixels, color)
    return image


def thumbnail(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return a copy with at most ``side`` pixels a side, made by skipping pixels."""
    step = -(-max(image.shape[:2]) // side)
    return image[::step, ::step]
