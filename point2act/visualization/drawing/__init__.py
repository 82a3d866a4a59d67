"""Drawing on photographs: heatmaps, depth, relevancy, marks, grippers. numpy and Pillow.

Every function returns a new image and does not modify its arguments. Colours are ``(r, g, b)`` in 0..255,
images ``(h, w, 3)`` uint8, pixels continuous as in ``core.types``.
"""

from point2act.visualization.drawing.canvas import PALETTE, Color
from point2act.visualization.drawing.cut import draw_cut
from point2act.visualization.drawing.film import encode_film
from point2act.visualization.drawing.maps import (
    colorize,
    depth_picture,
    dim_grey,
    heat_overlay,
    relevancy_layer,
    relevancy_picture,
)
from point2act.visualization.drawing.marks import caption, draw_points, grid
from point2act.visualization.drawing.trails import draw_trail
from point2act.visualization.drawing.wireframe import close_up, draw_box, draw_gripper, draw_marker

__all__ = [
    "PALETTE",
    "Color",
    "caption",
    "close_up",
    "colorize",
    "depth_picture",
    "dim_grey",
    "draw_box",
    "draw_cut",
    "draw_gripper",
    "draw_marker",
    "draw_points",
    "draw_trail",
    "encode_film",
    "grid",
    "heat_overlay",
    "relevancy_layer",
    "relevancy_picture",
]
