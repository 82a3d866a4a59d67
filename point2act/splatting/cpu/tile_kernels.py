"""Assignment of projected Gaussians to the tiles, rows and pixels that they blend, in numba.

A Gaussian on the image plane has a centre, an opacity and a ``shape`` (a, s, e): given y, x has precision a
about a mean of slope s, and y itself has precision e. With (dx, dy) from the centre,

    exponent = -(a u^2 + e dy^2) / 2,    u = dx - s dy.

This is the quadratic form as a sum of squares, which rounding cannot make negative. The ``extent`` of a
Gaussian is (log(255 opacity), half height, y offset of the rightmost point) of the ellipse where alpha is
1/255, outside of which nothing is drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from point2act.splatting.cpu.compile_kernels import compiled
from point2act.splatting.cpu.simd import SIMD_WIDTH

WIDTH, HEIGHT = SIMD_WIDTH, 16
"""Tile size in pixels; the image does not depend on it."""
SLACK = np.float32(0.01)
"""Margin of extents against rounding, pixels; alphas are compared individually afterwards."""
HALF, TWO, ZERO = np.float32(0.5), np.float32(2), np.float32(0)


class Splats(NamedTuple):
    """Gaussians on the image plane, float32, one row each."""

    centers: np.ndarray
    """(n, 2), pixels."""
    shapes: np.ndarray
    """(n, 3): a, s, e."""
    opacities: np.ndarray
    """(n,)"""
    extent: np.ndarray
    """(n, 3); zero where the Gaussian is not drawn."""


class Tiles(NamedTuple):
    """Pairs of Gaussians and tiles."""

    start: np.ndarray
    """Tile t has the Gaussians ``members[start[t]:start[t + 1]]``, front to back."""
    members: np.ndarray
    slots: np.ndarray
    """Row of ``records`` of each pair."""
    slot_start: np.ndarray
    """Rows ``slot_start[i]:slot_start[i + 1]`` are those of Gaussian i."""


@compiled
def pick(splats, i):
    """Return centre, shape, opacity and extent of one Gaussian."""
    return splats.centers[i], splats.shapes[i], splats.opacities[i], splats.extent[i]


@compiled
def sort_by_depth(depths, extent):
    """Return the indices of the drawn Gaussians front to back, by a stable radix sort of the depths' bits."""
    keys = depths.view(np.uint32)
    order = np.nonzero(extent[:, 0] > 0)[0].astype(np.int32)
    spare = np.empty_like(order)
    for shift in (0, 11, 22):
        place = np.zeros(2049, np.int64)
        for i in order:
            place[((keys[i] >> shift) & 2047) + 1] += 1
        place = np.cumsum(place)
        for i in order:
            digit = (keys[i] >> shift) & 2047
            spare[place[digit]] = i
            place[digit] += 1
        order, spare = spare, order
    return order


@compiled
def _floor(x, low, high):
    """Return the floor of x clamped to a range."""
    return math.floor(min(max(x, np.float32(low)), np.float32(high)))


@compiled
def half_chord(shape, extent, dy):
    """Return half the width of the row at offset dy where alpha is at least 1/255."""
    return math.sqrt(max(TWO * extent[0] - shape[2] * dy * dy, ZERO) / shape[0])


@compiled
def _tile_rows(center, extent, tiles_y):
    """Return the first row of tiles covered, and one past the last."""
    low = _floor((center[1] - extent[1] - SLACK) / HEIGHT, 0, tiles_y)
    return low, _floor((center[1] + extent[1] + SLACK) / HEIGHT, -1, tiles_y - 1) + 1


@compiled
def _tile_columns(center, shape, extent, row, tiles_x):
    """Return the first column of tiles covered within a row of tiles, and one past the last."""
    low = max(np.float32(row * HEIGHT) - center[1], -extent[1])
    high = min(np.float32((row + 1) * HEIGHT) - center[1], extent[1])
    rightmost = min(max(extent[2], low), high)
    leftmost = min(max(-extent[2], low), high)
    right = center[0] + shape[1] * rightmost + half_chord(shape, extent, rightmost) + SLACK
    left = center[0] + shape[1] * leftmost - half_chord(shape, extent, leftmost) - SLACK
    return _floor(left / WIDTH, 0, tiles_x), _floor(right / WIDTH, -1, tiles_x - 1) + 1


@compiled
def bin_tiles(order, splats, tiles_x, tiles_y):
    """Assign Gaussians, given front to back, to the tiles that they blend, by counting sort."""
    start = np.zeros(tiles_x * tiles_y + 1, np.int64)
    slot_start = np.zeros(len(splats.centers) + 1, np.int64)
    for i in order:
        center, shape, _, extent = pick(splats, i)
        low, high = _tile_rows(center, extent, tiles_y)
        for row in range(low, high):
            left, right = _tile_columns(center, shape, extent, row, tiles_x)
            for column in range(left, right):
                start[row * tiles_x + column + 1] += 1
                slot_start[i + 1] += 1
    start, slot_start = np.cumsum(start), np.cumsum(slot_start)
    members, slots = np.empty(start[-1], np.int32), np.empty(start[-1], np.int32)
    place, slot = start.copy(), slot_start.copy()
    for i in order:
        center, shape, _, extent = pick(splats, i)
        low, high = _tile_rows(center, extent, tiles_y)
        for row in range(low, high):
            left, right = _tile_columns(center, shape, extent, row, tiles_x)
            for tile in range(row * tiles_x + left, row * tiles_x + right):
                members[place[tile]] = i
                slots[place[tile]] = slot[i]
                place[tile] += 1
                slot[i] += 1
    return Tiles(start, members, slots, slot_start)


@compiled
def tile_bounds(tile, width, height):
    """Return a tile's first column and one past its last, then the same for rows."""
    tiles_x = (width + WIDTH - 1) // WIDTH
    x0, y0 = tile % tiles_x * WIDTH, tile // tiles_x * HEIGHT
    return x0, min(x0 + WIDTH, width), y0, min(y0 + HEIGHT, height)


@compiled
def covered_rows(center, extent, y0, y1):
    """Return the first pixel row within [y0, y1) that a Gaussian covers, and one past the last."""
    low = _floor(center[1] - extent[1] - SLACK + HALF, y0, y1)
    return low, _floor(center[1] + extent[1] + SLACK - HALF, y0 - 1, y1 - 1) + 1
