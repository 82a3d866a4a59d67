"""Grippers, boxes and points of the world drawn into a camera's picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from point2act.core.geometry import invert, project, transform, transform_points
from point2act.core.types import Camera, Grasp, OrientedBox
from point2act.grasping.end_effector import EndEffector, finger_boxes, palm_boxes
from point2act.grasping.hands.hand import Hand
from point2act.visualization.drawing.canvas import DARK, Canvas, Color

_NEAR = 0.01
"""Distance of the near plane, in the scene's unit."""

# Corner k of a box has the signs of k's bits, x first.
_SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))
# Corners of each side in turn around it, and its outward normal.
_SIDES = (
    ((0, 1, 3, 2), (-1.0, 0.0, 0.0)),
    ((4, 5, 7, 6), (1.0, 0.0, 0.0)),
    ((0, 1, 5, 4), (0.0, -1.0, 0.0)),
    ((2, 3, 7, 6), (0.0, 1.0, 0.0)),
    ((0, 2, 6, 4), (0.0, 0.0, -1.0)),
    ((1, 3, 7, 5), (0.0, 0.0, 1.0)),
)
# From the camera's upper left and from behind it, so that faces turned to the viewer are bright.
_LIGHT = np.array([-0.35, -0.65, -0.67])


@dataclass(frozen=True, eq=False)
class Cuboid:
    """An axis-aligned box of a frame shared with other boxes."""

    low: Float[np.ndarray, " 3"]
    high: Float[np.ndarray, " 3"]


def draw_gripper(
    image: UInt8[np.ndarray, "h w 3"],
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    grasp: Grasp,
    gripper: EndEffector,
    color: Color,
    *,
    opacity: float = 0.8,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the gripper of a grasp, open as on the approach, or a hand that touches; and the contacts.

    The palm is transparent, so that fingers and contacts behind it are visible. The scene does not hide the
    gripper; what lies behind the camera is omitted.

    Args:
        image: Photograph.
        camera: Intrinsics of the photograph.
        T_world_cam: Pose of the photograph.
        grasp: Grasp, world frame.
        gripper: Its gripper or hand.
        color: Colour of the boxes.
        opacity: Opacity of the drawing in [0, 1].
    """
    T_cam_gripper = invert(T_world_cam) @ grasp.T_world_gripper
    for boxes, strength in ((palm_boxes(grasp, gripper), 0.45), (finger_boxes(grasp, gripper), 1.0)):
        canvas = Canvas(image)
        if isinstance(gripper, Hand):
            _draw_turned(canvas, camera, T_cam_gripper, boxes, color)
        else:
            cuboids = [Cuboid(box.center - box.half_extents, box.center + box.half_extents) for box in boxes]
            for cuboid in far_to_near(cuboids, invert(T_cam_gripper)[:3, 3]):
                _draw_cuboid(canvas, camera, T_cam_gripper, cuboid, color)
        image = canvas.merged(opacity=strength * opacity)
    canvas = Canvas(image)
    places = grasp.contacts if grasp.joints is None else grasp.joints.contacts
    contacts = _pixels(camera, _clipped(transform_points(invert(T_world_cam), places)))
    for contact in contacts[: len(places)]:
        canvas.disc(contact, max(2.0, image.shape[1] / 170), (255, 255, 255))
    return canvas.merged(opacity=opacity)


def draw_box(
    image: UInt8[np.ndarray, "h w 3"],
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    box: OrientedBox,
    color: Color,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the edges of a box, world frame; those at the back are thin and faint."""
    canvas = Canvas(image)
    T_cam_box = invert(T_world_cam) @ transform(box.axes.T, box.center)
    corners = transform_points(T_cam_box, _SIGNS * box.half_extents)
    # Sides that face away from the camera: an edge at the back lies on two of them.
    away = [set(face) for face, normal in _SIDES if not _faces_camera(corners[list(face)], T_cam_box, normal)]
    edges = [(a, b) for a in range(8) for b in range(a) if bin(a ^ b).count("1") == 1]
    back = [edge for edge in edges if sum(set(edge) <= face for face in away) == 2]
    front = [edge for edge in edges if edge not in back]
    thick = max(1.4, image.shape[1] / 320)
    for group, shade, width, strength in (
        (back, color, 0.5 * thick, 0.6),
        (front, DARK, 2.0 * thick, 0.75),
        (front, color, thick, 1.0),
    ):
        for edge in group:
            segment = _clipped(corners[list(edge)])
            if len(segment):
                canvas.line(_pixels(camera, segment), shade, width, opacity=strength)
    return canvas.merged()


def draw_marker(
    image: UInt8[np.ndarray, "h w 3"],
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    point: Float[np.ndarray, " 3"],
    color: Color,
    *,
    label: str = "",
) -> UInt8[np.ndarray, "h w 3"]:
    """Mark a point of the world with a diamond and a label."""
    (pixel,), (depth,) = project(camera, T_world_cam, point[None])
    if depth < _NEAR:
        return image.copy()
    canvas = Canvas(image)
    size = max(3.0, image.shape[1] / 90)
    diamond = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    for shade, reach in ((DARK, 1.55), ((255, 255, 255), 1.3), (color, 0.85)):
        canvas.polygon(pixel + diamond * size * reach, shade)
    if label:
        high = max(10.0, image.shape[1] / 34)
        canvas.text(pixel + np.array([1.8 * size, 0.0]), label, (255, 255, 255), size=high, anchor="lm")
    return canvas.merged()


def close_up(
    image: UInt8[np.ndarray, "h w 3"],
    camera: Camera,
    T_world_cam: Float[np.ndarray, "4 4"],
    point: Float[np.ndarray, " 3"],
    *,
    radius: float,
    width: int = 480,
) -> tuple[UInt8[np.ndarray, "_ _ 3"], Camera]:
    """Crop and enlarge an image around a point of the world; the crop stays inside the image.

    Args:
        image: Photograph.
        camera: Intrinsics of the photograph.
        T_world_cam: Pose of the photograph.
        point: Centre of the crop, world frame.
        radius: Distance from the point that the crop shows above and below, in the scene's unit.
        width: Width of the crop, pixels.

    Returns:
        The enlarged crop and its camera.
    """
    (pixel,), (depth,) = project(camera, T_world_cam, point[None])
    fraction = min(1.0, max(2 * radius * camera.fy / max(depth, _NEAR) / camera.height, 0.1))
    size = fraction * np.array([camera.width, camera.height])
    left, top = np.clip(pixel - size / 2, 0.0, np.array([camera.width, camera.height]) - size)
    height = round(width * camera.height / camera.width)
    area = (float(left), float(top), float(left + size[0]), float(top + size[1]))
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=area)
    sx, sy = width / size[0], height / size[1]
    moved = replace(
        camera,
        fx=camera.fx * sx,
        fy=camera.fy * sy,
        cx=(camera.cx - left) * sx,
        cy=(camera.cy - top) * sy,
        height=height,
        width=width,
    )
    return np.array(resized), moved


# ── boxes ──────────────────────────────────────────────────────────────────────────────────────
def far_to_near(cuboids: Sequence[Cuboid], eye: Float[np.ndarray, " 3"]) -> list[Cuboid]:
    """Sort boxes by the painter's algorithm as seen from ``eye``, exactly if such an order exists.

    Each step takes a box that hides none of the remaining ones, the farthest if there are several.
    """
    waiting = sorted(cuboids, key=lambda c: -float(np.linalg.norm((c.low + c.high) / 2 - eye)))
    order = []
    while waiting:
        free = (c for c in waiting if not any(_hides(c, other, eye) for other in waiting if other is not c))
        chosen = next(free, waiting[0])
        waiting.remove(chosen)
        order.append(chosen)
    return order


def _draw_turned(
    canvas: Canvas,
    camera: Camera,
    T_cam_gripper: Float[np.ndarray, "4 4"],
    boxes: Sequence[OrientedBox],
    color: Color,
) -> None:
    """Draw boxes of any orientation, the farthest first: links of fingers are small and lie side by side."""
    poses = [T_cam_gripper @ transform(box.axes.T, box.center) for box in boxes]
    for index in sorted(range(len(boxes)), key=lambda index: -float(np.linalg.norm(poses[index][:3, 3]))):
        half = boxes[index].half_extents
        _draw_cuboid(canvas, camera, poses[index], Cuboid(-half, half), color)


def _hides(one: Cuboid, other: Cuboid, eye: Float[np.ndarray, " 3"]) -> bool:
    """Return whether a box may hide part of another: no plane separates it from the other box and the eye.

    Boxes that overlap by less than 1 mm, as those of a measured gripper do, count as separate.
    """
    middle = (np.minimum(one.high, other.high) + np.maximum(one.low, other.low)) / 2
    overlap = np.minimum(one.high, other.high) - np.maximum(one.low, other.low)
    apart = overlap < 1e-3
    below = (one.low + one.high) < (other.low + other.high)
    return not bool(np.any(apart & np.where(below, eye > middle, eye < middle)))


def _draw_cuboid(
    canvas: Canvas, camera: Camera, T_cam_box: Float[np.ndarray, "4 4"], cuboid: Cuboid, color: Color
) -> None:
    corners = transform_points(T_cam_box, np.where(_SIGNS > 0, cuboid.high, cuboid.low))
    for face, normal in _SIDES:
        outline = corners[list(face)]
        visible = _clipped(outline)
        if len(visible) == 0 or not _faces_camera(outline, T_cam_box, normal):
            continue
        bright = max(0.0, float(T_cam_box[:3, :3] @ np.array(normal) @ _LIGHT))
        pixels = _pixels(camera, visible)
        canvas.polygon(pixels, _shaded(color, 0.5 + 0.5 * bright))
        canvas.line(np.concatenate([pixels, pixels[:1]]), _tinted(color), 0.9)


def _faces_camera(
    outline: Float[np.ndarray, "4 3"], T_cam_box: Float[np.ndarray, "4 4"], normal: Sequence[float]
) -> bool:
    """Return whether a side, in the camera frame, faces the camera."""
    return float(T_cam_box[:3, :3] @ np.array(normal) @ outline[0]) < 0


def _tinted(color: Color) -> Color:
    """Return a colour mixed half with white."""
    red, green, blue = ((channel + 255) // 2 for channel in color)
    return red, green, blue


def _shaded(color: Color, light: float) -> Color:
    red, green, blue = (min(255, round(light * channel)) for channel in color)
    return red, green, blue


# ── camera ─────────────────────────────────────────────────────────────────────────────────────
def _clipped(outline: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """Clip a polygon of the camera frame at the near plane (Sutherland & Hodgman 1974)."""
    if outline[:, 2].min(initial=np.inf) >= _NEAR:
        return outline
    kept = []
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if start[2] >= _NEAR:
            kept.append(start)
        if (start[2] >= _NEAR) != (end[2] >= _NEAR):
            kept.append(start + (end - start) * (_NEAR - start[2]) / (end[2] - start[2]))
    return np.array(kept).reshape(-1, 3)


def _pixels(camera: Camera, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Project points of the camera frame."""
    return project(camera, np.eye(4), points)[0]
