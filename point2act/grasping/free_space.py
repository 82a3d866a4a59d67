"""Where nothing was read: the shadows that near surfaces throw on far ones, through which is free view.

A depth camera measures from two places, so beside a near surface there is a strip of the far one that only
one of them sees, and there it gives no reading. The ray through such a pixel is free up to the far surface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.geometry import invert
from point2act.core.types import View


def seen_through(
    points: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    depths: Sequence[Float[np.ndarray, "_h _w"]],
    *,
    baseline: float,
    truncation: float,
) -> Bool[np.ndarray, " n"]:
    """World points that some view views past through a pixel without a reading.

    ``depths`` are z-depths in metres, 0 where there is none; what a view's mask hides says nothing. The
    camera's two eyes are at most ``baseline`` metres apart.
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
        behind = behind_shadows(depth, view.camera.fx, baseline, window)
        behind = behind if view.mask is None else np.where(view.mask[window], behind, 0.0)
        free[here] |= z[here] < behind[row - row.min(), column - column.min()] - truncation
    return free


def behind_shadows(
    depth: Float[np.ndarray, "h w"],
    focal: float,
    baseline: float,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Float[np.ndarray, "_r _c"]:
    """Depth of the far surface behind each shadow, 0 elsewhere; infinite where there is none up to the edge.

    Of the readings on the two sides of a gap the nearer throws the shadow, ``focal * baseline`` times the
    difference of inverse depths wide. Gaps that no shadow explains, such as dark or shining things before
    a table, stay closed. Only the ``window`` of rows and columns is looked at and returned.
    """
    rows, columns = window
    by_row = _along_rows(depth[rows], focal * baseline)[:, columns]
    return np.maximum(by_row, _along_rows(depth[:, columns].T, focal * baseline).T[rows])


def _along_rows(depth: Float[np.ndarray, "h w"], reach: float) -> Float[np.ndarray, "h w"]:
    width = depth.shape[1]
    column = np.arange(width)
    before = np.maximum.accumulate(np.where(depth > 0, column, -1), axis=1)
    after = np.minimum.accumulate(np.where(depth > 0, column, width)[:, ::-1], axis=1)[:, ::-1]
    framed = np.pad(depth, ((0, 0), (1, 1)))  # no reading: nothing within range
    inverse = np.divide(1.0, framed, out=np.zeros_like(framed), where=framed > 0)
    left, right = np.take_along_axis(inverse, before + 1, 1), np.take_along_axis(inverse, after + 1, 1)
    away = np.where(left > right, column - before, after - column)
    shadow = (depth == 0) & (away <= reach * np.abs(left - right))
    far = np.minimum(left, right)
    return np.where(shadow, np.divide(1.0, far, out=np.full_like(far, np.inf), where=far > 0), 0.0)
