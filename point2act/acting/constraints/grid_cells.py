"""Cells of a region seen from above, as named points: "the left end of the tray", "the near right corner".

ReSem3D (Su et al. 2025) lets its model pick a cell of a grid over the part's mask in one image. Here the grid
lies on the region itself, so that its cells mean the same in every image, and have names.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from point2act.acting.constraints.region_features import ENDS, RegionFeatures
from point2act.core.constraints import CELLS
from point2act.core.geometry import upright_axes

_CELLS = 3
"""Cells along each side."""


def with_cells(
    features: RegionFeatures, surface: Float[np.ndarray, "n 3"], up: Float[np.ndarray, " 3"]
) -> RegionFeatures:
    """Return the features of a region with the middles of eight of its three by three cells.

    The sides of the grid point forward and to the left. A cell's height is the median of the surface in its
    inner half, which leaves out walls along the border; a cell without surface, as at the corner of a plate,
    has its nearest point. The middle cell is about ``center``.

    Args:
        features: Features, frame of the robot's base: x forward, y to the left, metres.
        surface: Points of the region's surface, same frame.
        up: Upward unit vector, same frame.
    """
    axes = upright_axes(up)
    local = surface @ axes.T
    low, high = np.quantile(local[:, :2], ENDS, axis=0)
    cell = (high - low) / _CELLS
    middle = (low + high) / 2
    points = {
        name: _on_surface(local, middle + np.array(step) * cell, cell) @ axes for name, step in CELLS.items()
    }
    return replace(features, points={**features.points, **points})


def _on_surface(
    local: Float[np.ndarray, "n 3"], middle: Float[np.ndarray, " 2"], cell: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, " 3"]:
    """Return the middle of a cell at the height of the surface there, or the surface point nearest to it."""
    away = local[:, :2] - middle
    inner = (np.abs(away) <= cell / 4).all(axis=1)
    if inner.any():
        return np.array([*middle, np.median(local[inner, 2])])
    return local[np.linalg.norm(away, axis=1).argmin()]
