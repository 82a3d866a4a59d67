"""The start of the Gaussians once more in loops and plain formulas, to check the fast code against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from point2act.core.types import View


def spacing(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Root mean square distance to the nearest others, from the whole table of distances."""
    found = []
    for i, point in enumerate(points):
        others = np.sort([np.linalg.norm(point - other) for j, other in enumerate(points) if j != i])
        found.append(np.sqrt(np.mean(others[:neighbours] ** 2)))
    return np.array(found)


def votes(points: np.ndarray, views: Sequence[View], tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """How many views measured each point, and how many looked through it."""
    measured, crossed = np.zeros(len(points), dtype=int), np.zeros(len(points), dtype=int)
    for n, point in enumerate(points):
        for view in views:
            x, y, z = view.T_cam_world[:3] @ np.append(point, 1.0)
            if z <= 0 or view.depth is None:
                continue
            column = int(np.floor(view.camera.fx * x / z + view.camera.cx))
            row = int(np.floor(view.camera.fy * y / z + view.camera.cy))
            if not (0 <= row < view.camera.height and 0 <= column < view.camera.width):
                continue
            usable = view.depth * (1 if view.mask is None else view.mask)
            if usable[row, column] == 0:
                continue
            patch = usable[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            measured[n] += abs(usable[row, column] - z) <= tolerance * z
            crossed[n] += patch[patch > 0].min() > z + tolerance * z
    return measured, crossed
