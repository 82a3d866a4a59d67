"""Things that are tracked, drawn on a frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from point2act.visualization.drawing.canvas import DARK, Canvas, Color

_LOST: Color = (170, 174, 184)
# Largest number of drawn points of a thing.
_DOTS = 250


def draw_trail(
    image: UInt8[np.ndarray, "h w 3"],
    trail: Float[np.ndarray, "t 2"],
    surface: Float[np.ndarray, "n 2"],
    text: str,
    color: Color,
    *,
    lost: bool = False,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw where a thing is: the points of its surface, a ring in its middle, and where the middle was.

    Args:
        image: The frame.
        trail: Pixels of its middle in the frames so far, the latest one last.
        surface: Pixels of its points.
        text: What is written beside it.
        color: Its colour.
        lost: Whether it is lost: its surface is not drawn, and its ring is gray.
    """
    canvas = Canvas(image)
    radius = max(4.0, image.shape[1] / 90)
    thin = radius / 4
    if not lost:
        for pixel in surface[:: max(1, len(surface) // _DOTS)]:
            canvas.disc(pixel, 0.2 * radius, color)
    if len(trail) > 1:
        canvas.line(trail, color, thin, opacity=0.8)
    for shade, width in ((DARK, 2.2 * thin), (_LOST if lost else color, thin)):
        canvas.ring(trail[-1], radius, shade, width)
    label = f"{text}: lost" if lost else text
    canvas.text(trail[-1] + [1.5 * radius, -radius], label, (255, 255, 255), size=max(11.0, 1.6 * radius))
    return canvas.merged()
