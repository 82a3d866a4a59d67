"""Rasterisation of projected Gaussians and its gradients, one task per tile, in numba.

``splatting.render`` derives the mathematics; ``row_kernels`` has the operations on rows of pixels. Each task
copies its tile into planes, works there, and copies the result back.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from point2act.splatting.cpu.compile_kernels import compiled, compiled_parallel
from point2act.splatting.cpu.row_kernels import (
    ALPHA_MAX,
    ALPHA_MIN,
    HALF,
    ONE,
    PIXELS,
    ZERO,
    alpha_at,
    blend,
    columns,
    exponent_at,
    from_planes,
    initial_transmittance,
    is_covered,
    is_opaque,
    largest,
    plane,
    to_planes,
)
from point2act.splatting.cpu.simd import SIMD_WIDTH, load, select, store, total
from point2act.splatting.cpu.tile_kernels import covered_rows, pick, tile_bounds

CHECK = 16
"""Number of Gaussians between two tests of whether a tile is opaque."""
MOMENTS = 6
"""Number of sums recorded for the gradients of a Gaussian's opacity, centre and shape."""
STRIDE = 1597
"""Prime step of the permutation of tiles, which balances the work of the threads."""


@compiled
def _permuted(task, count):
    """Permute the tiles, so that adjacent ones, which take similar work, go to different threads."""
    return np.int64(task) * STRIDE % count if count % STRIDE else np.int64(task)


@compiled
def _draw(tile, splats, features, tiles, image, transmittance, last):
    height, width, channels = image.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through = initial_transmittance(bounds)
    latest = plane(-ONE)
    colors = np.zeros(channels * PIXELS, np.float32)
    for number in range(tiles.start[tile + 1] - tiles.start[tile]):
        if number % CHECK == CHECK - 1 and is_opaque(through):
            break
        i = tiles.members[tiles.start[tile] + number]
        center, shape, opacity, extent = pick(splats, i)
        dx = columns(x0, center)
        low, high = covered_rows(center, extent, y0, y1)
        for y in range(low, high):
            _, exponent = exponent_at(dx, np.float32(y) + HALF - center[1], shape)
            if is_covered(exponent, extent):
                at = (y - y0) * SIMD_WIDTH
                _, alpha = alpha_at(opacity, exponent)
                drawn, weight = blend(through, at, alpha)
                store(latest, at, select(drawn, np.float32(number), load(latest, at)))
                for k in range(channels):
                    spot = k * PIXELS + at
                    store(colors, spot, load(colors, spot) + weight * features[i, k])
    for at in range(0, PIXELS, SIMD_WIDTH):
        left = load(through, at)
        store(through, at, select(left > ZERO, left, ZERO - left))
    from_planes(colors, bounds, image)
    from_planes(through, bounds, transmittance)
    from_planes(latest, bounds, last)


@compiled_parallel
def draw(splats, features, tiles, image, transmittance, last):
    """Fill ``image`` (h, w, c), ``transmittance`` and ``last`` (h, w, 1).

    ``last`` is the index, in its tile's list, of the last Gaussian drawn on each pixel, -1 for none.
    """
    count = len(tiles.start) - 1
    for task in prange(count):
        _draw(_permuted(task, count), splats, features, tiles, image, transmittance, last)


# Back to front, with T the transmittance and G_i = f_i . image':   f_i' = w_i image'      alpha_i' = T_i G_i
# - S_i / (1 - alpha_i)      S_i = sum_{j > i} w_j G_j - T_end alpha'   T_i = T_{i+1} / (1 - alpha_i)
# S_{i-1} = S_i + w_i G_i      h = alpha_i alpha_i' ``through`` holds T, ``behind`` S; the sums are of h, h u,
# h u^2, h dy, h u dy and h dy^2 over the pixels.
@compiled
def _differentiate(tile, splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    height, width, channels = v_image.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through, behind, latest = plane(ZERO), plane(ZERO), plane(-ONE)
    upstream = np.zeros(channels * PIXELS, np.float32)
    sums = np.zeros(channels * SIMD_WIDTH, np.float32)
    to_planes(transmittance, bounds, through)
    to_planes(v_alpha, bounds, behind)
    to_planes(last, bounds, latest)
    to_planes(v_image, bounds, upstream)
    for at in range(0, PIXELS, SIMD_WIDTH):
        store(behind, at, ZERO - load(behind, at) * load(through, at))
    for number in range(largest(latest), -1, -1):
        place = tiles.start[tile] + number
        i = tiles.members[place]
        center, shape, opacity, extent = pick(splats, i)
        dx = columns(x0, center)
        none = ZERO * dx
        sum_1, sum_u, sum_uu, sum_y, sum_uy, sum_yy = none, none, none, none, none, none
        sums[:] = ZERO
        low, high = covered_rows(center, extent, y0, y1)
        for y in range(low, high):
            dy = np.float32(y) + HALF - center[1]
            u, exponent = exponent_at(dx, dy, shape)
            if is_covered(exponent, extent):
                at = (y - y0) * SIMD_WIDTH
                density, alpha = alpha_at(opacity, exponent)
                drawn = (alpha >= ALPHA_MIN) & (load(latest, at) >= np.float32(number))
                alpha = select(drawn, alpha, ZERO)
                inverse = ONE / (ONE - alpha)
                now, later = load(through, at) * inverse, load(behind, at)
                weight = alpha * now
                gain = none
                for k in range(channels):
                    v_pixel = load(upstream, k * PIXELS + at)
                    gain = gain + features[i, k] * v_pixel
                    store(sums, k * SIMD_WIDTH, load(sums, k * SIMD_WIDTH) + weight * v_pixel)
                v_exponent = alpha * (now * gain - later * inverse)
                v_exponent = select(density <= ALPHA_MAX, v_exponent, ZERO)
                store(through, at, now)
                store(behind, at, later + weight * gain)
                along = v_exponent * u
                sum_1, sum_u, sum_uu = sum_1 + v_exponent, sum_u + along, sum_uu + along * u
                sum_y, sum_uy = sum_y + dy * v_exponent, sum_uy + dy * along
                sum_yy = sum_yy + dy * dy * v_exponent
        record = records[tiles.slots[place]]
        for k in range(channels):
            record[k] = total(load(sums, k * SIMD_WIDTH))
        record[channels] = total(sum_1)
        record[channels + 1] = total(sum_u)
        record[channels + 2] = total(sum_uu)
        record[channels + 3] = total(sum_y)
        record[channels + 4] = total(sum_uy)
        record[channels + 5] = total(sum_yy)


@compiled_parallel
def differentiate(splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    """Fill ``records`` (pairs, c + 6), zero on entry: gradients of the features, then the six sums.

    ``transmittance`` and ``last`` are from ``draw``; ``v_alpha`` is (h, w, 1).
    """
    count = len(tiles.start) - 1
    for task in prange(count):
        _differentiate(
            _permuted(task, count), splats, features, tiles, transmittance, last, v_image, v_alpha, records
        )


@compiled
def _nonzero_maps(tile, maps):
    """Return the indices of the maps that are not all 0 in a tile."""
    x0, x1, y0, y1 = tile_bounds(tile, maps.shape[1], maps.shape[0])
    nonzero = np.zeros(maps.shape[2], np.bool_)
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(maps.shape[2]):
                nonzero[k] |= maps[y, x, k] != ZERO
    return np.nonzero(nonzero)[0]


@compiled
def _gather(tile, splats, tiles, maps, nonzero, records):
    height, width, channels = maps.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through = initial_transmittance(bounds)
    planes = np.zeros(channels * PIXELS, np.float32)
    sums = np.zeros(channels * SIMD_WIDTH, np.float32)
    to_planes(maps, bounds, planes)
    for number in range(tiles.start[tile + 1] - tiles.start[tile]):
        if number % CHECK == CHECK - 1 and is_opaque(through):
            break
        place = tiles.start[tile] + number
        center, shape, opacity, extent = pick(splats, tiles.members[place])
        dx = columns(x0, center)
        weights = ZERO * dx
        sums[:] = ZERO
        low, high = covered_rows(center, extent, y0, y1)
        for y in range(low, high):
            _, exponent = exponent_at(dx, np.float32(y) + HALF - center[1], shape)
            if is_covered(exponent, extent):
                at = (y - y0) * SIMD_WIDTH
                _, alpha = alpha_at(opacity, exponent)
                _, weight = blend(through, at, alpha)
                weights = weights + weight
                for k in nonzero:
                    spot = k * SIMD_WIDTH
                    store(sums, spot, load(sums, spot) + weight * load(planes, k * PIXELS + at))
        record = records[tiles.slots[place]]
        for k in nonzero:
            record[k] = total(load(sums, k * SIMD_WIDTH))
        record[channels] = total(weights)


@compiled_parallel
def gather(splats, tiles, maps, records):
    """Fill ``records`` (pairs, q + 1), zero on entry: sums of weights times maps, and of weights."""
    count = len(tiles.start) - 1
    for task in prange(count):
        tile = _permuted(task, count)
        _gather(tile, splats, tiles, maps, _nonzero_maps(tile, maps), records)


@compiled_parallel
def gather_nonzero(splats, tiles, maps, records):
    """Do as ``gather``, but only in tiles where some map is not 0; sums of weights are incomplete."""
    count = len(tiles.start) - 1
    for task in prange(count):
        tile = _permuted(task, count)
        nonzero = _nonzero_maps(tile, maps)
        if len(nonzero) > 0:
            _gather(tile, splats, tiles, maps, nonzero, records)


@compiled
def _column_sum(records, slot_start, i, column):
    """Sum a column over the records of Gaussian i, in the order of the tiles."""
    total = ZERO
    for slot in range(slot_start[i], slot_start[i + 1]):
        total += records[slot, column]
    return total


@compiled_parallel
def sum_columns(slot_start, records, totals):
    """Fill ``totals`` (n, c) with the sums of the first c columns of each Gaussian's records."""
    for i in prange(len(totals)):
        for column in range(totals.shape[1]):
            totals[i, column] = _column_sum(records, slot_start, i, column)


@compiled_parallel
def sum_moments(splats, slot_start, records, v_centers, v_shapes, v_opacities):
    """Fill the gradients of centres, shapes and opacities from the last six columns of the records.

    o' = sum h / o      c' = (a sum h u, e sum h dy - a s sum h u)
    a' = -sum h u^2 / 2      s' = a sum h u dy      e' = -sum h dy^2 / 2
    """
    first = records.shape[1] - MOMENTS
    for i in prange(len(v_centers)):
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
