"""Which Gaussians touch which tiles, rows and pixels of an image. numba.

A Gaussian on the image plane is kept by its centre, its opacity and its ``shape`` (a, s, e): given y,
x is distributed about a mean of slope s with precision a, and y itself has precision e. So with
``dy`` measured from the centre and ``u`` from the point of the row where the Gaussian is strongest,

    exponent = -(a u^2 + e dy^2) / 2,    u = dx - s dy.

This is the usual quadratic form as a sum of squares, which rounding cannot make negative. A
Gaussian's ``reach`` is (log(255 opacity), half height, height of the rightmost point above the
centre) of the ellipse where alpha is 1/255: outside of it nothing is drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from point2act.splatting.cpu.compile_kernels import compiled
from point2act.splatting.cpu.simd import LANES

WIDTH, HEIGHT = LANES, 16
"""Pixels along the sides of a tile; the picture does not depend on it."""
SLACK = np.float32(0.01)
"""Pixels by which extents are widened against rounding; alphas are compared one by one afterwards."""
HALF, TWO, ZERO = np.float32(0.5), np.float32(2), np.float32(0)


class Splats(NamedTuple):
    """Gaussians on the image plane, float32, one row each."""

    centers: np.ndarray
    """(n, 2) pixels."""
    shapes: np.ndarray
    """(n, 3)"""
    opacities: np.ndarray
    """(n,)"""
    reach: np.ndarray
    """(n, 3); zero where the Gaussian is not drawn."""


class Tiles(NamedTuple):
    """Meetings of Gaussians with tiles."""

    start: np.ndarray
    """Tile t meets the Gaussians ``members[start[t]:start[t + 1]]``, nearest first."""
    members: np.ndarray
    slots: np.ndarray
    """The row in which the sums of each meeting are recorded."""
    slot_start: np.ndarray
    """Rows ``slot_start[i]:slot_start[i + 1]`` are Gaussian i's."""


@compiled
def pick(splats, i):
    """Centre, shape, opacity and reach of one Gaussian."""
    return splats.centers[i], splats.shapes[i], splats.opacities[i], splats.reach[i]


@compiled
def sort_by_depth(depths, reach):
    """Indices of the Gaussians that are drawn, nearest first: a stable radix sort of the depths' bits."""
    keys = depths.view(np.uint32)
    order = np.nonzero(reach[:, 0] > 0)[0].astype(np.int32)
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
    """The largest integer below x, held within two others."""
    return math.floor(min(max(x, np.float32(low)), np.float32(high)))


@compiled
def half_chord(shape, reach, dy):
    """Half the length of the row at height dy above the centre, as far as alpha is at least 1/255."""
    return math.sqrt(max(TWO * reach[0] - shape[2] * dy * dy, ZERO) / shape[0])


@compiled
def _tile_rows(center, reach, tiles_y):
    """First row of tiles touched, and one past the last."""
    low = _floor((center[1] - reach[1] - SLACK) / HEIGHT, 0, tiles_y)
    return low, _floor((center[1] + reach[1] + SLACK) / HEIGHT, -1, tiles_y - 1) + 1


@compiled
def _tile_columns(center, shape, reach, row, tiles_x):
    """First column of tiles touched within a row of tiles, and one past the last."""
    low = max(np.float32(row * HEIGHT) - center[1], -reach[1])
    high = min(np.float32((row + 1) * HEIGHT) - center[1], reach[1])
    rightmost = min(max(reach[2], low), high)
    leftmost = min(max(-reach[2], low), high)
    right = center[0] + shape[1] * rightmost + half_chord(shape, reach, rightmost) + SLACK
    left = center[0] + shape[1] * leftmost - half_chord(shape, reach, leftmost) - SLACK
    return _floor(left / WIDTH, 0, tiles_x), _floor(right / WIDTH, -1, tiles_x - 1) + 1


@compiled
def bin_tiles(order, splats, tiles_x, tiles_y):
    """Sort Gaussians, given nearest first, into the tiles they touch, by counting."""
    start = np.zeros(tiles_x * tiles_y + 1, np.int64)
    slot_start = np.zeros(len(splats.centers) + 1, np.int64)
    for i in order:
        center, shape, _, reach = pick(splats, i)
        low, high = _tile_rows(center, reach, tiles_y)
        for row in range(low, high):
            left, right = _tile_columns(center, shape, reach, row, tiles_x)
            for column in range(left, right):
                start[row * tiles_x + column + 1] += 1
                slot_start[i + 1] += 1
    start, slot_start = np.cumsum(start), np.cumsum(slot_start)
    members, slots = np.empty(start[-1], np.int32), np.empty(start[-1], np.int32)
    place, slot = start.copy(), slot_start.copy()
    for i in order:
        center, shape, _, reach = pick(splats, i)
        low, high = _tile_rows(center, reach, tiles_y)
        for row in range(low, high):
            left, right = _tile_columns(center, shape, reach, row, tiles_x)
            for tile in range(row * tiles_x + left, row * tiles_x + right):
                members[place[tile]] = i
                slots[place[tile]] = slot[i]
                place[tile] += 1
                slot[i] += 1
    return Tiles(start, members, slots, slot_start)


@compiled
def tile_bounds(tile, width, height):
    """A tile's first column and one past its last, then the same for rows."""
    tiles_x = (width + WIDTH - 1) // WIDTH
    x0, y0 = tile % tiles_x * WIDTH, tile // tiles_x * HEIGHT
    return x0, min(x0 + WIDTH, width), y0, min(y0 + HEIGHT, height)


@compiled
def touched_rows(center, reach, y0, y1):
    """First pixel row within [y0, y1) that a Gaussian colours, and one past the last."""
    low = _floor(center[1] - reach[1] - SLACK + HALF, y0, y1)
    return low, _floor(center[1] + reach[1] + SLACK - HALF, y0 - 1, y1 - 1) + 1
