"""Gaussians on the image plane to pixels, and back for gradients: one task for each tile. numba.

The mathematics is derived in :mod:`point2act.splat.render`. All arithmetic is float32.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from point2act.splat.compile_kernels import compiled, compiled_parallel
from point2act.splat.tile_kernels import pick, tile_bounds, touched_pixels, touched_rows

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
ALPHA_MIN = np.float32(1 / 255)
"""Fainter contributions are skipped (Kerbl et al. 2023)."""
ALPHA_MAX = np.float32(0.999)
"""Denser ones are held to this (gsplat; Kerbl et al. have 0.99)."""
OPAQUE = np.float32(1e-4)
"""A Gaussian that would let less through is not drawn, nor any behind it (Kerbl et al. 2023)."""
CHECK = 32
"""Gaussians between two looks at whether a tile is opaque already."""
MOMENTS = 6
"""Sums recorded for the gradients for one Gaussian's opacity, centre and shape."""
STRIDE = 1597
"""A prime, so that equal shares of the tiles in the order of multiples are equal shares of the work."""


@compiled
def _exp(x):
    """e^x for -8 <= x <= 0 to a relative 5e-7: a polynomial for e^(x / 8), and three squarings.

    The coefficients are a least-maximum fit (relative error 2.4e-8) of e^y on [-1, 0].
    """
    y = np.float32(0.125) * x
    p = np.float32(8.35845746e-4)
    p = p * y + np.float32(7.61402351e-3)
    p = p * y + np.float32(4.11768257e-2)
    p = p * y + np.float32(0.166490286)
    p = p * y + np.float32(0.499969015)
    p = p * y + np.float32(0.999997903)
    p = p * y + np.float32(0.999999976)
    p *= p
    p *= p
    return p * p


@compiled
def _shuffled(task, count):
    """A permutation of the tiles, so that neighbours, alike in work, go to different threads."""
    return np.int64(task) * STRIDE % count if count % STRIDE else np.int64(task)


@compiled
def _cover(through, row, column, alpha):
    """Put a Gaussian on a pixel: take alpha of what still shines through and return its weight.

    What shines through is zero from the first Gaussian on that would leave less than ``OPAQUE``.
    """
    now = through[row, column]
    after = now * (ONE - alpha)
    if alpha < ALPHA_MIN or now == ZERO:
        return ZERO
    if after <= OPAQUE:
        through[row, column] = ZERO
        return ZERO
    through[row, column] = after
    return alpha * now


@compiled
def _draw(tile, splats, features, tiles, image, transmittance, last):
    height, width, channels = image.shape
    x0, x1, y0, y1 = tile_bounds(tile, width, height)
    through = np.ones((y1 - y0, x1 - x0), np.float32)
    image[y0:y1, x0:x1] = ZERO
    transmittance[y0:y1, x0:x1] = ONE
    last[y0:y1, x0:x1] = -1
    start = tiles.start[tile]
    for place in range(start, tiles.start[tile + 1]):
        if (place - start) % CHECK == CHECK - 1 and through.max() == ZERO:
            break
        i = tiles.members[place]
        center, shape, opacity, reach = pick(splats, i)
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            left, right, _, middle, peak = touched_pixels(center, shape, reach, y, x0, x1)
            for x in range(left, right):
                u = np.float32(x) + HALF - middle
                alpha = min(opacity * _exp(peak - HALF * shape[0] * u * u), ALPHA_MAX)
                weight = _cover(through, y - y0, x - x0, alpha)
                if weight > ZERO:
                    transmittance[y, x] = through[y - y0, x - x0]
                    last[y, x] = place
                    for k in range(channels):
                        image[y, x, k] += weight * features[i, k]


@compiled_parallel
def draw(splats, features, tiles, image, transmittance, last):
    """Fill the last three: (h, w, c), (h, w), and the place among the members of the last Gaussian drawn."""
    count = len(tiles.start) - 1
    for task in prange(count):
        _draw(_shuffled(task, count), splats, features, tiles, image, transmittance, last)


@compiled
def _differentiate(tile, splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    height, width, channels = v_image.shape
    x0, x1, y0, y1 = tile_bounds(tile, width, height)
    through = transmittance[y0:y1, x0:x1].copy()
    behind = -through * v_alpha[y0:y1, x0:x1]
    for place in range(last[y0:y1, x0:x1].max(), tiles.start[tile] - 1, -1):
        i = tiles.members[place]
        center, shape, opacity, reach = pick(splats, i)
        record = records[tiles.slots[place]]
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            left, right, dy, middle, peak = touched_pixels(center, shape, reach, y, x0, x1)
            sum_1, sum_u, sum_uu = ZERO, ZERO, ZERO
            for x in range(left, right):
                u = np.float32(x) + HALF - middle
                density = opacity * _exp(peak - HALF * shape[0] * u * u)
                alpha = min(density, ALPHA_MAX)
                if place > last[y, x] or alpha < ALPHA_MIN:
                    continue
                inverse = ONE / (ONE - alpha)
                now = through[y - y0, x - x0] * inverse
                gain = ZERO
                for k in range(channels):
                    record[k] += alpha * now * v_image[y, x, k]
                    gain += features[i, k] * v_image[y, x, k]
                if density <= ALPHA_MAX:
                    v_exponent = alpha * (now * gain - behind[y - y0, x - x0] * inverse)
                    sum_1 += v_exponent
                    sum_u += v_exponent * u
                    sum_uu += v_exponent * u * u
                through[y - y0, x - x0] = now
                behind[y - y0, x - x0] += alpha * now * gain
            record[channels] += sum_1
            record[channels + 1] += sum_u
            record[channels + 2] += sum_uu
            record[channels + 3] += dy * sum_1
            record[channels + 4] += dy * sum_u
            record[channels + 5] += dy * dy * sum_1


@compiled_parallel
def differentiate(splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    """Fill ``records`` (meetings, c + 6), zero on entry: gradients for the features, then the moments."""
    count = len(tiles.start) - 1
    for task in prange(count):
        _differentiate(
            _shuffled(task, count), splats, features, tiles, transmittance, last, v_image, v_alpha, records
        )


@compiled
def _gather(tile, splats, tiles, maps, records):
    height, width, channels = maps.shape
    x0, x1, y0, y1 = tile_bounds(tile, width, height)
    through = np.ones((y1 - y0, x1 - x0), np.float32)
    start = tiles.start[tile]
    for place in range(start, tiles.start[tile + 1]):
        if (place - start) % CHECK == CHECK - 1 and through.max() == ZERO:
            break
        i = tiles.members[place]
        center, shape, opacity, reach = pick(splats, i)
        record = records[tiles.slots[place]]
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            left, right, _, middle, peak = touched_pixels(center, shape, reach, y, x0, x1)
            for x in range(left, right):
                u = np.float32(x) + HALF - middle
                alpha = min(opacity * _exp(peak - HALF * shape[0] * u * u), ALPHA_MAX)
                weight = _cover(through, y - y0, x - x0, alpha)
                if weight > ZERO:
                    for k in range(channels):
                        record[k] += weight * maps[y, x, k]
                    record[channels] += weight


@compiled_parallel
def gather(splats, tiles, maps, records):
    """Fill ``records`` (meetings, q + 1), zero on entry: sums of weights times maps, and of weights."""
    count = len(tiles.start) - 1
    for task in prange(count):
        _gather(_shuffled(task, count), splats, tiles, maps, records)


@compiled
def _column_sum(records, slot_start, i, column):
    """Over the records of Gaussian i, in the order of the tiles."""
    total = ZERO
    for slot in range(slot_start[i], slot_start[i + 1]):
        total += records[slot, column]
    return total


@compiled
def sum_columns(slot_start, records, totals):
    """Fill ``totals`` (n, c) with the sums of the first c columns of the records of each Gaussian."""
    for i in range(len(totals)):
        for column in range(totals.shape[1]):
            totals[i, column] = _column_sum(records, slot_start, i, column)


@compiled
def sum_moments(splats, slot_start, records, v_centers, v_shapes, v_opacities):
    """Fill the last three from the last columns of the records of each Gaussian."""
    first = records.shape[1] - MOMENTS
    for i in range(len(v_centers)):
        a, s, e = splats.shapes[i, 0], splats.shapes[i, 1], splats.shapes[i, 2]
        sum_1 = _column_sum(records, slot_start, i, first)
        sum_u = _column_sum(records, slot_start, i, first + 1)
        sum_uu = _column_sum(records, slot_start, i, first + 2)
        sum_y = _column_sum(records, slot_start, i, first + 3)
        sum_uy = _column_sum(records, slot_start, i, first + 4)
        sum_yy = _column_sum(records, slot_start, i, first + 5)
        v_centers[i, 0] = a * sum_u
        v_centers[i, 1] = e * sum_y - a * s * sum_u
        v_shapes[i, 0] = -HALF * sum_uu
        v_shapes[i, 1] = a * sum_uy
        v_shapes[i, 2] = -HALF * sum_yy
        v_opacities[i] = sum_1 / splats.opacities[i] if sum_1 != ZERO else ZERO
