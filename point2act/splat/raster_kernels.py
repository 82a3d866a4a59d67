"""Gaussians on the image plane to pixels, and back for gradients: one task for each tile. numba.

The mathematics is derived in :mod:`point2act.splat.render`. All arithmetic on pixels is float32.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

OPTIONS = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"nnan", "ninf", "nsz", "contract", "reassoc", "arcp"},
}

TILE = 16
"""Pixels along the side of a tile (as in Kerbl et al. 2023); the picture does not depend on it."""
CHECK = 32
"""Gaussians between two looks at whether a tile is opaque already (measured)."""
MOMENTS = 6
"""Sums for the gradients for the opacity, centre and shape of one Gaussian in one tile."""

ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
ALPHA_MIN = np.float32(1.0 / 255.0)
ALPHA_MAX = np.float32(0.999)
OPAQUE = np.float32(1e-4)
SLACK = np.float32(0.01)
"""Pixels by which extents are widened against rounding; alphas are compared exactly afterwards."""


@njit(**OPTIONS)
def sort_by_depth(depths, reach):
    """Indices of the Gaussians with some reach, nearest first; a stable radix sort of the floats' bits."""
    keys = depths.view(np.uint32)
    order = np.nonzero(reach[:, 0] > 0)[0].astype(np.int32)
    spare = np.empty_like(order)
    for shift in (0, 11, 22):
        first = np.zeros(2049, np.int64)
        for i in order:
            first[((keys[i] >> shift) & 2047) + 1] += 1
        first = np.cumsum(first)
        for i in order:
            digit = (keys[i] >> shift) & 2047
            spare[first[digit]] = i
            first[digit] += 1
        order, spare = spare, order
    return order


@njit(**OPTIONS)
def _half_chord(shape, limit, dy):
    """Half the length of the row at height dy (from the centre) where alpha is at least 1/255."""
    rest = limit - HALF * shape[2] * dy * dy
    return math.sqrt(max(TWO * rest / shape[0], ZERO))


@njit(**OPTIONS)
def _tile_rows(center, reach, tiles_y):
    """First tile row touched, and one past the last."""
    low = math.floor((center[1] - reach[2] - SLACK) / TILE)
    high = math.floor((center[1] + reach[2] + SLACK) / TILE) + 1
    return max(low, 0), min(high, tiles_y)


@njit(**OPTIONS)
def _tile_columns(center, shape, reach, row, tiles_x):
    """First tile column touched within a row of tiles, and one past the last."""
    low = max(np.float32(row * TILE) - center[1], -reach[2])
    high = min(np.float32((row + 1) * TILE) - center[1], reach[2])
    rightmost = min(max(reach[3], low), high)
    leftmost = min(max(-reach[3], low), high)
    right = center[0] + shape[1] * rightmost + _half_chord(shape, reach[0], rightmost) + SLACK
    left = center[0] + shape[1] * leftmost - _half_chord(shape, reach[0], leftmost) - SLACK
    return max(math.floor(left / TILE), 0), min(math.floor(right / TILE) + 1, tiles_x)


@njit(**OPTIONS)
def bin_tiles(order, means2d, shapes, reach, tiles_x, tiles_y):
    """Lists of the Gaussians that touch each tile, nearest first, by counting.

    Returns ``(tile_start, members, slots, slot_start)``: tile t holds the Gaussians
    ``members[tile_start[t]:tile_start[t + 1]]``; the gradients of one such meeting are recorded in row
    ``slots[...]``, and rows ``slot_start[i]:slot_start[i + 1]`` belong to Gaussian i.
    """
    tile_start = np.zeros(tiles_x * tiles_y + 1, np.int64)
    slot_start = np.zeros(len(means2d) + 1, np.int64)
    for i in order:
        low, high = _tile_rows(means2d[i], reach[i], tiles_y)
        for row in range(low, high):
            left, right = _tile_columns(means2d[i], shapes[i], reach[i], row, tiles_x)
            for column in range(left, right):
                tile_start[row * tiles_x + column + 1] += 1
                slot_start[i + 1] += 1
    tile_start = np.cumsum(tile_start)
    slot_start = np.cumsum(slot_start)
    members = np.empty(tile_start[-1], np.int32)
    slots = np.empty(tile_start[-1], np.int32)
    free = tile_start.copy()
    for i in order:
        slot = slot_start[i]
        low, high = _tile_rows(means2d[i], reach[i], tiles_y)
        for row in range(low, high):
            left, right = _tile_columns(means2d[i], shapes[i], reach[i], row, tiles_x)
            for column in range(left, right):
                place = free[row * tiles_x + column]
                free[row * tiles_x + column] = place + 1
                members[place] = i
                slots[place] = slot
                slot += 1
    return tile_start, members, slots, slot_start


@njit(inline="always", **OPTIONS)
def _row_span(center, reach, corner, height):
    """First row of the tile touched, and one past the last."""
    low = math.floor(center[1] - reach[2] - corner - HALF)
    high = math.floor(center[1] + reach[2] - corner - HALF) + 2
    return max(low, 0), min(high, height)


@njit(inline="always", **OPTIONS)
def _exp(x):
    """e^x for -6 <= x <= 0, to 5e-7: a polynomial for e^(x/8), then three squarings."""
    y = x * np.float32(0.125)
    p = np.float32(1 / 720)
    p = p * y + np.float32(1 / 120)
    p = p * y + np.float32(1 / 24)
    p = p * y + np.float32(1 / 6)
    p = p * y + HALF
    p = p * y + ONE
    p = p * y + ONE
    p *= p
    p *= p
    return p * p


@njit(**OPTIONS)
def _bounds(tile, width, height):
    """Pixels of a tile: first and one past the last column, then rows."""
    tiles_x = (width + TILE - 1) // TILE
    x0, y0 = tile % tiles_x * TILE, tile // tiles_x * TILE
    return x0, min(x0 + TILE, width), y0, min(y0 + TILE, height)


@njit(inline="always", **OPTIONS)
def _spread(tile, count):
    """A permutation of the tiles, so that equal shares of them are equal shares of the work."""
    return (tile * 1597) % count if count % 1597 else tile


@njit(parallel=True, **OPTIONS)
def rasterize_forward(
    means2d, shapes, opacities, reach, features, tile_start, members, image, transmittance, last
):
    """Fill the last three arrays: (h, w, c), (h, w) and the place in the tile's list of the last Gaussian drawn."""
    count = len(tile_start) - 1
    for task in prange(count):
        tile = _spread(np.int64(task), count)
        _draw_tile(
            tile, means2d, shapes, opacities, reach, features, tile_start, members, image, transmittance, last
        )


@njit(**OPTIONS)
def _draw_tile(
    tile, means2d, shapes, opacities, reach, features, tile_start, members, image, transmittance, last
):
    height, width, channels = image.shape
    x0, x1, y0, y1 = _bounds(tile, width, height)
    live = np.ones((TILE, TILE), np.float32)
    image[y0:y1, x0:x1] = ZERO
    transmittance[y0:y1, x0:x1] = ONE
    last[y0:y1, x0:x1] = -1
    start, stop = tile_start[tile], tile_start[tile + 1]
    for place in range(start, stop):
        if (place - start) % CHECK == CHECK - 1 and live[: y1 - y0, : x1 - x0].max() == ZERO:
            break
        i = members[place]
        center, shape, opacity = means2d[i], shapes[i], opacities[i]
        low, high = _row_span(center, reach[i], np.float32(y0), y1 - y0)
        for row in range(low, high):
            dy = np.float32(y0 + row) + HALF - center[1]
            middle = center[0] + shape[1] * dy
            half = _half_chord(shape, reach[i, 0], dy) + SLACK
            left = max(math.ceil(middle - half - HALF), x0)
            right = min(math.floor(middle + half - HALF) + 1, x1)
            fixed = -HALF * shape[2] * dy * dy
            for x in range(left, right):
                u = np.float32(x) + HALF - middle
                alpha = min(opacity * _exp(fixed - HALF * shape[0] * u * u), ALPHA_MAX)
                now = live[row, x - x0]
                after = now * (ONE - alpha)
                if alpha < ALPHA_MIN or now == ZERO:
                    continue
                if after <= OPAQUE:
                    live[row, x - x0] = ZERO
                    continue
                live[row, x - x0] = after
                transmittance[y0 + row, x] = after
                last[y0 + row, x] = place
                for k in range(channels):
                    image[y0 + row, x, k] += alpha * now * features[i, k]


@njit(parallel=True, **OPTIONS)
def rasterize_backward(
    means2d,
    shapes,
    opacities,
    reach,
    features,
    tile_start,
    members,
    slots,
    transmittance,
    last,
    v_image,
    v_alpha,
    records,
):
    """Fill ``records`` (meetings, c + 6): gradients for the features, then the moments, of each meeting.

    ``records`` must be zero on entry.
    """
    count = len(tile_start) - 1
    for task in prange(count):
        tile = _spread(np.int64(task), count)
        _differentiate_tile(
            tile,
            means2d,
            shapes,
            opacities,
            reach,
            features,
            tile_start,
            members,
            slots,
            transmittance,
            last,
            v_image,
            v_alpha,
            records,
        )


@njit(**OPTIONS)
def _differentiate_tile(
    tile,
    means2d,
    shapes,
    opacities,
    reach,
    features,
    tile_start,
    members,
    slots,
    transmittance,
    last,
    v_image,
    v_alpha,
    records,
):
    height, width, channels = v_image.shape
    x0, x1, y0, y1 = _bounds(tile, width, height)
    before = np.empty((TILE, TILE), np.float32)
    behind = np.empty((TILE, TILE), np.float32)
    deepest = -1
    for y in range(y0, y1):
        for x in range(x0, x1):
            before[y - y0, x - x0] = transmittance[y, x]
            behind[y - y0, x - x0] = -transmittance[y, x] * v_alpha[y, x]
            deepest = max(deepest, last[y, x])
    for place in range(deepest, tile_start[tile] - 1, -1):
        i = members[place]
        center, shape, opacity = means2d[i], shapes[i], opacities[i]
        record = records[slots[place]]
        low, high = _row_span(center, reach[i], np.float32(y0), y1 - y0)
        for row in range(low, high):
            dy = np.float32(y0 + row) + HALF - center[1]
            middle = center[0] + shape[1] * dy
            half = _half_chord(shape, reach[i, 0], dy) + SLACK
            left = max(math.ceil(middle - half - HALF), x0)
            right = min(math.floor(middle + half - HALF) + 1, x1)
            fixed = -HALF * shape[2] * dy * dy
            sum_0, sum_u, sum_uu = ZERO, ZERO, ZERO
            for x in range(left, right):
                if place > last[y0 + row, x]:
                    continue
                u = np.float32(x) + HALF - middle
                full = opacity * _exp(fixed - HALF * shape[0] * u * u)
                alpha = min(full, ALPHA_MAX)
                if alpha < ALPHA_MIN:
                    continue
                inverse = ONE / (ONE - alpha)
                now = before[row, x - x0] * inverse
                weight = alpha * now
                gain = ZERO
                for k in range(channels):
                    record[k] += weight * v_image[y0 + row, x, k]
                    gain += features[i, k] * v_image[y0 + row, x, k]
                before[row, x - x0] = now
                if full <= ALPHA_MAX:
                    v_exponent = full * (now * gain - behind[row, x - x0] * inverse)
                    sum_0 += v_exponent
                    sum_u += v_exponent * u
                    sum_uu += v_exponent * u * u
                behind[row, x - x0] += weight * gain
            record[channels] += sum_0
            record[channels + 1] += sum_u
            record[channels + 2] += dy * sum_0
            record[channels + 3] += sum_uu
            record[channels + 4] += dy * sum_u
            record[channels + 5] += dy * dy * sum_0


@njit(**OPTIONS)
def _column_sum(records, slot_start, i, column):
    """Of the records of Gaussian i."""
    total = ZERO
    for slot in range(slot_start[i], slot_start[i + 1]):
        total += records[slot, column]
    return total


@njit(parallel=True, **OPTIONS)
def sum_records(shapes, opacities, slot_start, records, v_features, v_means2d, v_shapes, v_opacities):
    """Fill the last four arrays from the records of each Gaussian."""
    channels = v_features.shape[1]
    for i in prange(len(shapes)):
        for k in range(channels):
            v_features[i, k] = _column_sum(records, slot_start, i, k)
        sum_0 = _column_sum(records, slot_start, i, channels)
        sum_u = _column_sum(records, slot_start, i, channels + 1)
        sum_y = _column_sum(records, slot_start, i, channels + 2)
        sum_uu = _column_sum(records, slot_start, i, channels + 3)
        sum_uy = _column_sum(records, slot_start, i, channels + 4)
        sum_yy = _column_sum(records, slot_start, i, channels + 5)
        a, slope, e = shapes[i, 0], shapes[i, 1], shapes[i, 2]
        v_means2d[i, 0] = a * sum_u
        v_means2d[i, 1] = e * sum_y - a * slope * sum_u
        v_shapes[i, 0] = -HALF * sum_uu
        v_shapes[i, 1] = a * sum_uy
        v_shapes[i, 2] = -HALF * sum_yy
        v_opacities[i] = sum_0 / opacities[i] if sum_0 != ZERO else ZERO


@njit(parallel=True, **OPTIONS)
def gather_tiles(means2d, shapes, opacities, reach, tile_start, members, slots, maps, records):
    """Fill ``records`` (meetings, q + 1): blending weights times the maps, and the weights, summed over pixels.

    ``records`` must be zero on entry.
    """
    count = len(tile_start) - 1
    for task in prange(count):
        tile = _spread(np.int64(task), count)
        _gather_tile(tile, means2d, shapes, opacities, reach, tile_start, members, slots, maps, records)


@njit(**OPTIONS)
def _gather_tile(tile, means2d, shapes, opacities, reach, tile_start, members, slots, maps, records):
    height, width, channels = maps.shape
    x0, x1, y0, y1 = _bounds(tile, width, height)
    live = np.ones((TILE, TILE), np.float32)
    start, stop = tile_start[tile], tile_start[tile + 1]
    for place in range(start, stop):
        if (place - start) % CHECK == CHECK - 1 and live[: y1 - y0, : x1 - x0].max() == ZERO:
            break
        i = members[place]
        center, shape, opacity = means2d[i], shapes[i], opacities[i]
        record = records[slots[place]]
        low, high = _row_span(center, reach[i], np.float32(y0), y1 - y0)
        for row in range(low, high):
            dy = np.float32(y0 + row) + HALF - center[1]
            middle = center[0] + shape[1] * dy
            half = _half_chord(shape, reach[i, 0], dy) + SLACK
            left = max(math.ceil(middle - half - HALF), x0)
            right = min(math.floor(middle + half - HALF) + 1, x1)
            fixed = -HALF * shape[2] * dy * dy
            for x in range(left, right):
                u = np.float32(x) + HALF - middle
                alpha = min(opacity * _exp(fixed - HALF * shape[0] * u * u), ALPHA_MAX)
                now = live[row, x - x0]
                after = now * (ONE - alpha)
                if alpha < ALPHA_MIN or now == ZERO:
                    continue
                if after <= OPAQUE:
                    live[row, x - x0] = ZERO
                    continue
                live[row, x - x0] = after
                for k in range(channels):
                    record[k] += alpha * now * maps[y0 + row, x, k]
                record[channels] += alpha * now


@njit(parallel=True, **OPTIONS)
def sum_gathered(slot_start, records, totals):
    """Fill ``totals`` from the records of each Gaussian."""
    for i in prange(len(totals)):
        for k in range(totals.shape[1]):
            totals[i, k] = _column_sum(records, slot_start, i, k)
