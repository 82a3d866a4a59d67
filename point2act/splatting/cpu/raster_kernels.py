"""Gaussians on the image plane to pixels, and back for gradients: one task for each tile. numba.

The mathematics is derived in ``splatting.render``, and what happens in a row of pixels is in
``splatting.cpu.row_kernels``. Each task copies its tile into planes, works there, and copies back.
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
    clear,
    columns,
    cover,
    exponent_at,
    from_planes,
    is_full,
    is_touched,
    largest,
    plane,
    to_planes,
)
from point2act.splatting.cpu.simd import LANES, load, select, store, total
from point2act.splatting.cpu.tile_kernels import pick, tile_bounds, touched_rows

CHECK = 16
"""Gaussians between two looks at whether a tile is opaque already."""
MOMENTS = 6
"""Sums recorded for the gradients for one Gaussian's opacity, centre and shape."""
STRIDE = 1597
"""A prime, so that equal shares of the tiles in the order of multiples are equal shares of the work."""


@compiled
def _shuffled(task, count):
    """A permutation of the tiles, so that neighbours, alike in work, go to different threads."""
    return np.int64(task) * STRIDE % count if count % STRIDE else np.int64(task)


@compiled
def _draw(tile, splats, features, tiles, image, transmittance, last):
    height, width, channels = image.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through = clear(bounds)
    latest = plane(-ONE)
    picture = np.zeros(channels * PIXELS, np.float32)
    for number in range(tiles.start[tile + 1] - tiles.start[tile]):
        if number % CHECK == CHECK - 1 and is_full(through):
            break
        i = tiles.members[tiles.start[tile] + number]
        center, shape, opacity, reach = pick(splats, i)
        dx = columns(x0, center)
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            _, exponent = exponent_at(dx, np.float32(y) + HALF - center[1], shape)
            if is_touched(exponent, reach):
                at = (y - y0) * LANES
                _, alpha = alpha_at(opacity, exponent)
                drawn, weight = cover(through, at, alpha)
                store(latest, at, select(drawn, np.float32(number), load(latest, at)))
                for k in range(channels):
                    spot = k * PIXELS + at
                    store(picture, spot, load(picture, spot) + weight * features[i, k])
    for at in range(0, PIXELS, LANES):
        left = load(through, at)
        store(through, at, select(left > ZERO, left, ZERO - left))
    from_planes(picture, bounds, image)
    from_planes(through, bounds, transmittance)
    from_planes(latest, bounds, last)


@compiled_parallel
def draw(splats, features, tiles, image, transmittance, last):
    """Fill the last three: (h, w, c), (h, w, 1), and (h, w, 1) with the place in its tile's list of the last
    Gaussian drawn on each pixel, -1 for none.
    """
    count = len(tiles.start) - 1
    for task in prange(count):
        _draw(_shuffled(task, count), splats, features, tiles, image, transmittance, last)


@compiled
def _differentiate(tile, splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    height, width, channels = v_image.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through, behind, latest = plane(ZERO), plane(ZERO), plane(-ONE)
    upstream = np.zeros(channels * PIXELS, np.float32)
    sums = np.zeros(channels * LANES, np.float32)
    to_planes(transmittance, bounds, through)
    to_planes(v_alpha, bounds, behind)
    to_planes(last, bounds, latest)
    to_planes(v_image, bounds, upstream)
    for at in range(0, PIXELS, LANES):
        store(behind, at, ZERO - load(behind, at) * load(through, at))
    for number in range(largest(latest), -1, -1):
        place = tiles.start[tile] + number
        i = tiles.members[place]
        center, shape, opacity, reach = pick(splats, i)
        dx = columns(x0, center)
        none = ZERO * dx
        sum_1, sum_u, sum_uu, sum_y, sum_uy, sum_yy = none, none, none, none, none, none
        sums[:] = ZERO
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            dy = np.float32(y) + HALF - center[1]
            u, exponent = exponent_at(dx, dy, shape)
            if is_touched(exponent, reach):
                at = (y - y0) * LANES
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
                    store(sums, k * LANES, load(sums, k * LANES) + weight * v_pixel)
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
            record[k] = total(load(sums, k * LANES))
        record[channels] = total(sum_1)
        record[channels + 1] = total(sum_u)
        record[channels + 2] = total(sum_uu)
        record[channels + 3] = total(sum_y)
        record[channels + 4] = total(sum_uy)
        record[channels + 5] = total(sum_yy)


@compiled_parallel
def differentiate(splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    """Fill ``records`` (meetings, c + 6), zero on entry: gradients for the features, then the moments.

    ``transmittance`` and ``last`` are what ``draw`` filled, ``v_alpha`` is (h, w, 1).
    """
    count = len(tiles.start) - 1
    for task in prange(count):
        _differentiate(
            _shuffled(task, count), splats, features, tiles, transmittance, last, v_image, v_alpha, records
        )


@compiled
def _heard(tile, maps):
    """The numbers of the maps that say anything in a tile: most say nothing in most."""
    x0, x1, y0, y1 = tile_bounds(tile, maps.shape[1], maps.shape[0])
    says = np.zeros(maps.shape[2], np.bool_)
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(maps.shape[2]):
                says[k] |= maps[y, x, k] != ZERO
    return np.nonzero(says)[0]


@compiled
def _gather(tile, splats, tiles, maps, heard, records):
    height, width, channels = maps.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through = clear(bounds)
    planes = np.zeros(channels * PIXELS, np.float32)
    sums = np.zeros(channels * LANES, np.float32)
    to_planes(maps, bounds, planes)
    for number in range(tiles.start[tile + 1] - tiles.start[tile]):
        if number % CHECK == CHECK - 1 and is_full(through):
            break
        place = tiles.start[tile] + number
        center, shape, opacity, reach = pick(splats, tiles.members[place])
        dx = columns(x0, center)
        weights = ZERO * dx
        sums[:] = ZERO
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            _, exponent = exponent_at(dx, np.float32(y) + HALF - center[1], shape)
            if is_touched(exponent, reach):
                at = (y - y0) * LANES
                _, alpha = alpha_at(opacity, exponent)
                _, weight = cover(through, at, alpha)
                weights = weights + weight
                for k in heard:
                    store(sums, k * LANES, load(sums, k * LANES) + weight * load(planes, k * PIXELS + at))
        record = records[tiles.slots[place]]
        for k in heard:
            record[k] = total(load(sums, k * LANES))
        record[channels] = total(weights)


@compiled_parallel
def gather(splats, tiles, maps, records):
    """Fill ``records`` (meetings, q + 1), zero on entry: sums of weights times maps, and of weights."""
    count = len(tiles.start) - 1
    for task in prange(count):
        tile = _shuffled(task, count)
        _gather(tile, splats, tiles, maps, _heard(tile, maps), records)


@compiled_parallel
def gather_heard(splats, tiles, maps, records):
    """As ``gather``, but only in tiles where some map is not 0: the sums of weights are not whole."""
    count = len(tiles.start) - 1
    for task in prange(count):
        tile = _shuffled(task, count)
        heard = _heard(tile, maps)
        if len(heard) > 0:
            _gather(tile, splats, tiles, maps, heard, records)


@compiled
def _column_sum(records, slot_start, i, column):
    """Over the records of Gaussian i, in the order of the tiles."""
    total = ZERO
    for slot in range(slot_start[i], slot_start[i + 1]):
        total += records[slot, column]
    return total


@compiled_parallel
def sum_columns(slot_start, records, totals):
    """Fill ``totals`` (n, c) with the sums of the first c columns of the records of each Gaussian."""
    for i in prange(len(totals)):
        for column in range(totals.shape[1]):
            totals[i, column] = _column_sum(records, slot_start, i, column)


@compiled_parallel
def sum_moments(splats, slot_start, records, v_centers, v_shapes, v_opacities):
    """Fill the last three from the last columns of the records of each Gaussian."""
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
