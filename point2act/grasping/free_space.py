"""Free space behind stereo shadows, where a depth camera has no reading.

A stereo camera measures from two viewpoints, so beside a near surface at inverse depth a there is a strip of
the far surface at inverse depth b that only one of them sees. In a row of pixels the strip is ``f B (a - b)``
wide, with focal length f and baseline B. Rays through such a pixel are free up to the far surface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import invert
from point2act.core.types import DepthImages, View


def seen_through_shadows(
    points: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    depths: DepthImages,
    *,
    baseline: float,
    truncation: float,
) -> Bool[np.ndarray, " n"]:
    """Return which world points a view sees through a stereo shadow; masked pixels do not count.

    Depths are z-depths in metres, 0 for none.
    """
    free = np.zeros(len(points), bool)
    columns = np.ascontiguousarray(points.T, np.float32)
    for view, depth in zip(views, depths, strict=True):
        P = (view.camera.K @ invert(view.T_world_cam)[:3]).astype(np.float32)
        x, y, z = P[:, :3] @ columns + P[:, 3:]
        height, width = depth.shape
        ahead = z > truncation
        x, y = x / np.where(ahead, z, 1), y / np.where(ahead, z, 1)
        here = np.flatnonzero(ahead & (x >= 0) & (x < width) & (y >= 0) & (y < height))
        if not len(here):
            continue
        row, column = y[here].astype(np.int32), x[here].astype(np.int32)
        window = (slice(row.min(), row.max() + 1), slice(column.min(), column.max() + 1))
        behind = depth_behind_shadows(depth, view.camera.fx, baseline, window)
        behind = behind if view.mask is None else np.where(view.mask[window], behind, 0.0)
        free[here] |= z[here] < behind[row - row.min(), column - column.min()] - truncation
    return free


def depth_behind_shadows(
    depth: Float[np.ndarray, "h w"],
    focal: float,
    baseline: float,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Float[np.ndarray, "_r _c"]:
    """Return the depth of the far surface behind each shadow, 0 elsewhere; infinite up to the image border.

    The nearer of the readings on both sides of a gap casts the shadow. Gaps that no shadow explains, such as
    dark or shiny objects before a table, stay unknown.

    Only the ``window`` of rows and columns is computed; focal length in pixels, depths and baseline in
    metres.
    """
    rows, columns = window
    by_row = _along_rows(depth[rows], focal * baseline)[:, columns]
    return np.maximum(by_row, _along_rows(depth[:, columns].T, focal * baseline).T[rows])


def _along_rows(depth: Float[np.ndarray, "h w"], reach: float) -> Float[np.ndarray, "h w"]:
    """Return the depth behind shadows along rows; ``reach`` is focal length times baseline."""
    width = depth.shape[1]
    column = np.arange(width)
    before = np.maximum.accumulate(np.where(depth > 0, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(depth > 0, column, width)[:, ::-1], axis=1)[:, ::-1]
    framed = np.pad(depth, ((0, 0), (1, 1)))  # no reading beyond the border
    inverse = np.divide(1.0, framed, out=np.zeros_like(framed), where=framed > 0)
    left, right = np.take_along_axis(inverse, before + 1, 1), np.take_along_axis(inverse, after + 1, 1)
    away = np.where(left > right, column - before, after - column)
    shadow = (depth == 0) & (away <= reach * np.abs(left - right))
    far = np.minimum(left, right)
    return np.where(shadow, np.divide(1.0, far, out=np.full_like(far, np.inf), where=far > 0), 0.0)
