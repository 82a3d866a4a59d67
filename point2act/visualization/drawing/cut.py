"""Pictures of cuts through the fused surface, with the gripper's boxes."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from point2act.core.geometry import invert, transform_points
from point2act.core.types import SurfaceCut
from point2act.grasping.grippers import Gripper
from point2act.visualization.drawing.canvas import Canvas, Color

# Colours of unknown, free and occupied space, and of what blocks the gripper. Chosen.
_UNKNOWN, _FREE, _OCCUPIED, _HIT = (168, 174, 184), (250, 251, 252), (58, 64, 76), (230, 40, 40)
# Picture pixels per pixel of the cut, and the most points drawn. Chosen.
_ENLARGED, _MAX_HITS = 3, 150


def draw_cut(cut: SurfaceCut, gripper: Gripper, color: Color) -> UInt8[np.ndarray, "h w 3"]:
    """Draw free, occupied and unknown space, the gripper's boxes, and what blocks them.

    Args:
        cut: The cut; the approach is drawn from above.
        gripper: Its boxes at the opening of the cut are drawn in the plane of y and z.
        color: Colour of the boxes.
    """
    image = np.empty((*cut.free.shape, 3), np.uint8)
    image[:] = _UNKNOWN
    image[cut.free], image[cut.occupied] = _FREE, _OCCUPIED
    canvas = Canvas(np.repeat(np.repeat(image, _ENLARGED, axis=0), _ENLARGED, axis=1))
    scale, middle = _ENLARGED / cut.pixel, _ENLARGED * np.array(cut.free.shape[::-1]) / 2
    boxes = gripper.boxes_at(cut.opening)
    for low, high in zip(boxes.low[:, 1:], boxes.high[:, 1:], strict=True):
        corners = np.array([low, [high[0], low[1]], high, [low[0], high[1]], low]) * scale + middle
        canvas.polygon(corners, color, opacity=0.25)
        canvas.line(corners, color, 2.0)
    hits = transform_points(invert(cut.T_world_gripper), cut.hits)[:, 1:] * scale + middle
    for hit in hits[:: max(1, len(hits) // _MAX_HITS)]:
        canvas.disc(hit, 2.5, _HIT)
    return canvas.merged()
