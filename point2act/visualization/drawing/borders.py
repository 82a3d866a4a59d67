"""Edges of depth drawn on photographs, to check the registration of depth and colour by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from point2act.calibration.checks.depth_edges import border_maps
from point2act.core.types import View
from point2act.visualization.drawing.canvas import PALETTE
from point2act.visualization.drawing.maps import dim_grey
from point2act.visualization.drawing.marks import grid


def borders_picture(view: View) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the edges of a view's depth on its photograph in grey."""
    assert view.depth is not None
    picture = dim_grey(view.rgb).astype(np.uint8)
    picture[np.logical_or(*border_maps(view.depth))] = PALETTE[1]
    return picture


def registration_picture(before: Sequence[View], after: Sequence[View]) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the view with most depth edges, before and after registration; one view must have depth."""
    counts = [0 if view.depth is None else int(sum(map(np.sum, border_maps(view.depth)))) for view in after]
    index = int(np.argmax(counts))
    pictures = [borders_picture(views[index]) for views in (before, after)]
    name = after[index].name
    return grid(pictures, 2, [f"{name}: depth edges as captured", "registered"])
